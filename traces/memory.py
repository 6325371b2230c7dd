"""A trace store in memory: the test double that is a real store, and what a service without a disk uses."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import Self

from inframind.errors import ConfigError, StoreClosed, StoreError, UnknownTrace
from inframind.traces.aliases import canonical, check_alias
from inframind.traces.codec import check_outcome, decode, encode
from inframind.traces.memory_graph import MemoryGraph
from inframind.traces.memory_shelf import MemoryShelf
from inframind.traces.prefix import check_prefix, only_match
from inframind.traces.query import ALL_TRACES, TraceQuery, TraceSummary, parse_cursor
from inframind.traces.records import Outcome, Trajectory
from inframind.traces.unreadable import say_left_out

Summaries = list[TraceSummary]  # inside the class, `list` is the method
Trajectories = list[Trajectory]


class MemoryStore:
    """Keeps the latest ``max_traces`` traces of this process; the oldest put is dropped first.

    Early outcomes, whose trace has not arrived, are kept for as many names again, and so are the aliases of traces
    that have not arrived; the oldest are dropped first. Methods may be called from any
    thread and any event loop; none waits for anything but a short lock.

    Args:
        max_traces: how many to keep.
        through_codec: pass every trajectory through the codec, so that this store refuses and returns exactly what
            a store on disk does. Simulations, which make millions of traces and all of their contents, do without.

    Attributes:
        shelf: what a learner and those who serve share, see `inframind.traces.shelves.shelf_of`.
        graph: configurations, runs and advice, see `inframind.traces.outcome_graphs.graph_of`.

    Raises:
        ConfigError: ``max_traces`` is below 1.
    """

    def __init__(self, *, max_traces: int = 10_000, through_codec: bool = True) -> None:
        if max_traces < 1:
            raise ConfigError("max_traces", max_traces, "give a positive number of traces to keep")
        self._max_traces, self._through_codec = max_traces, through_codec
        self._lock = threading.Lock()
        self._traces: dict[str, _Kept] = {}
        self._outcomes: dict[str, dict[str, Outcome]] = {}
        self._aliases: dict[str, str] = {}
        self._aliases_of: dict[str, set[str]] = {}
        self._closed = False
        self.shelf = MemoryShelf(self._lock, self._said_of)
        self.graph = MemoryGraph(self._lock, self._said_of)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def put(self, trajectory: Trajectory) -> None:
        """Keep a trajectory, or replace the one with its id; outcomes recorded before are kept."""
        self._require_open()
        bare = replace(trajectory, outcomes=()) if trajectory.outcomes else trajectory
        kept = _Kept(encode(bare) if self._through_codec else bare)
        outcomes = [check_outcome(outcome) for outcome in trajectory.outcomes]
        with self._lock:
            self._traces[trajectory.trace_id] = kept
            self.shelf.keep_lesson(trajectory)
            self.graph.keep_run(trajectory)
            recorded = self._outcomes.setdefault(trajectory.trace_id, {})
            for outcome in outcomes:
                recorded.setdefault(outcome.feedback_id, outcome)
            self._drop_oldest()

    async def get(self, trace_id: str) -> Trajectory:
        """The trajectory with its outcomes so far. Raises UnknownTrace."""
        self._require_open()
        with self._lock:
            if trace_id not in self._traces:
                raise UnknownTrace(trace_id)
            return self._joined(trace_id)

    async def get_many(self, trace_ids: Sequence[str]) -> tuple[Trajectory, ...]:
        """Those of the trajectories that there are and that can be read, in the order asked for."""
        self._require_open()
        found: Trajectories = []
        refused: dict[str, str] = {}
        with self._lock:
            for trace_id in trace_ids:
                try:
                    found += [self._joined(trace_id)] if trace_id in self._traces else []
                except StoreError as error:
                    refused[trace_id] = str(error)
        say_left_out(refused)
        return tuple(found)

    async def resolve(self, prefix: str) -> str:
        """The one trace id that begins with these six or more hex digits."""
        self._require_open()
        wanted = check_prefix(prefix)
        with self._lock:
            return only_match(wanted, [known for known in self._traces if known.startswith(wanted)])

    async def list(self, query: TraceQuery = ALL_TRACES) -> Summaries:
        """Summaries of the traces that the query selects."""
        self._require_open()
        return [TraceSummary.of(trajectory, query.solved_keys) for trajectory in self._select(query)]

    async def iter(self, query: TraceQuery = ALL_TRACES) -> AsyncIterator[Trajectory]:
        """The trajectories that the query selects, as they were when the iteration began."""
        self._require_open()
        for trajectory in self._select(query):
            self._require_open()
            yield trajectory

    async def add_outcome(self, reference: str, outcome: Outcome) -> None:
        """Record feedback, now or before its trace arrives; the same feedback id replaces."""
        self._require_open()
        check_outcome(outcome)
        name = canonical(reference)
        with self._lock:
            self._record(self._trace_of(name) or name, outcome)
            self._drop_oldest()

    async def add_alias(self, alias: str, trace_id: str) -> None:
        """Give a trace another name, and join what was said early under that name."""
        self._require_open()
        name = check_alias(alias)
        with self._lock:
            if name != trace_id:
                self._point(name, trace_id)
                self._drop_oldest()

    async def trace_of(self, reference: str) -> str | None:
        """Id of the trace that an alias, or its own id, names; None when there is none yet."""
        self._require_open()
        with self._lock:
            return self._trace_of(canonical(reference))

    async def count_pending(self) -> int:
        """Number of outcomes whose trace has not arrived."""
        self._require_open()
        with self._lock:
            return sum(len(said) for name, said in self._outcomes.items() if name not in self._traces)

    async def prune_pending(self, *, before_s: float) -> None:
        """Forget outcomes recorded before an instant whose trace has not arrived."""
        self._require_open()
        with self._lock:
            for name in [name for name in self._outcomes if name not in self._traces]:
                said = self._outcomes[name]
                kept = {
                    own_id: outcome for own_id, outcome in said.items() if outcome.recorded_at_s >= before_s
                }
                self._outcomes[name] = kept
                if not kept:
                    del self._outcomes[name]

    async def count(self) -> int:
        """Number of traces."""
        self._require_open()
        return len(self._traces)

    async def delete(self, trace_id: str) -> None:
        """Forget a trace, its outcomes and its aliases; nothing happens when there is none."""
        self._require_open()
        with self._lock:
            self._forget(trace_id)

    async def prune(self, *, before_s: float, dry_run: bool = False) -> int:
        """Forget what arrived before an instant."""
        self._require_open()
        with self._lock:
            old = [own_id for own_id, kept in self._traces.items() if kept.trajectory.arrived_at_s < before_s]
            for trace_id in () if dry_run else old:
                self._forget(trace_id)
        return len(old)

    async def close_abandoned(self, *, before_s: float) -> int:
        """Close open traces that arrived before an instant."""
        self._require_open()
        with self._lock:
            known = [self._joined(trace_id) for trace_id in self._traces]
        left = [t for t in known if t.status == "open" and t.arrived_at_s < before_s]
        for trajectory in left:
            await self.put(abandoned(trajectory))
        return len(left)

    async def adopt_lessons(self, *, since_s: float) -> int:
        """Nothing: no older version shares this memory."""
        self._require_open()
        return 0

    async def aclose(self) -> None:
        """Forget everything. Closing twice is fine."""
        self._closed = True
        self.shelf.close()
        self.graph.close()
        with self._lock:
            self._traces.clear()
            self._outcomes.clear()
            self._aliases.clear()
            self._aliases_of.clear()

    def _require_open(self) -> None:
        if self._closed:
            raise StoreClosed

    def _joined(self, trace_id: str) -> Trajectory:
        ordered = sorted(
            self._said_of(trace_id), key=lambda outcome: (outcome.recorded_at_s, outcome.feedback_id)
        )
        return replace(self._traces[trace_id].trajectory, outcomes=tuple(ordered))

    def _said_of(self, trace_id: str) -> Iterable[Outcome]:
        return self._outcomes.get(trace_id, {}).values()

    def _trace_of(self, name: str) -> str | None:
        """A stored trace's own id always means that trace."""
        return name if name in self._traces else self._aliases.get(name)

    def _record(self, name: str, outcome: Outcome) -> None:
        said = self._outcomes.setdefault(name, {})
        kept = said.get(outcome.feedback_id)
        if kept is None or outcome.recorded_at_s >= kept.recorded_at_s:
            said[outcome.feedback_id] = outcome

    def _point(self, name: str, trace_id: str) -> None:
        self._aliases_of.get(self._aliases.get(name, ""), set()).discard(name)
        self._aliases[name] = trace_id
        self._aliases_of.setdefault(trace_id, set()).add(name)
        waiting = {} if name in self._traces else self._outcomes.pop(name, {})
        for outcome in waiting.values():
            self._record(trace_id, outcome)

    def _forget(self, trace_id: str) -> None:
        self._traces.pop(trace_id, None)
        self.shelf.forget_lesson(trace_id)
        self.graph.forget_run(trace_id)
        self._outcomes.pop(trace_id, None)
        self._forget_aliases(trace_id)

    def _forget_aliases(self, trace_id: str) -> None:
        for name in self._aliases_of.pop(trace_id, ()):
            del self._aliases[name]

    def _drop_oldest(self) -> None:
        while len(self._traces) > self._max_traces:
            self._forget(next(iter(self._traces)))
        while len(self._outcomes) > 2 * self._max_traces:
            del self._outcomes[next(known for known in self._outcomes if known not in self._traces)]
        while len(self._aliases_of) > 2 * self._max_traces:
            self._forget_aliases(next(known for known in self._aliases_of if known not in self._traces))

    def _select(self, query: TraceQuery) -> Trajectories:
        with self._lock:
            found = [t for t in map(self._joined, self._traces) if query.matches(t)]
        found.sort(key=_place, reverse=not query.oldest_first)
        if query.cursor is not None:
            start = parse_cursor(query.cursor)
            found = [t for t in found if (_place(t) > start if query.oldest_first else _place(t) < start)]
        return found[: query.limit]


class _Kept:
    """A trajectory, written down until somebody reads it: most are never read, and every request waits for `put`."""

    __slots__ = ("_as_it_is",)

    def __init__(self, as_it_is: bytes | Trajectory) -> None:
        self._as_it_is = as_it_is

    @property
    def trajectory(self) -> Trajectory:
        """The trajectory, decoded once."""
        if isinstance(self._as_it_is, bytes):
            self._as_it_is = decode(self._as_it_is)
        return self._as_it_is


def abandoned(trajectory: Trajectory) -> Trajectory:
    """An open trace as it is closed when nobody resumes it."""
    return replace(trajectory, status="cancelled", error_detail="nobody resumed it")


def _place(trajectory: Trajectory) -> tuple[float, str]:
    return trajectory.arrived_at_s, trajectory.trace_id
