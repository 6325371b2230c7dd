"""The shelf of a store in memory: for one process, and as long as the store is open."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from heapq import nsmallest

from inframind.errors import RolloutMoved, StoreClosed, UnknownPolicy
from inframind.traces.bell import Bell, wait_for_number
from inframind.traces.records import SOLVED_ONLY, Outcome, SolvedKeys, Trajectory
from inframind.traces.shelf import (
    Lesson,
    LessonState,
    PolicyVersion,
    Progress,
    Replica,
    Rollout,
    RolloutEvent,
    rollout_after,
)
from inframind.traces.shelf_checks import (
    REPLICA_MEMORY_S,
    STATES,
    check_content,
    check_keep,
    check_learned,
    check_limit,
    check_version_prefix,
    checked_event,
    checked_policy,
    heard_at_s,
    in_use,
    lesson_state,
    names_a_policy,
    only_version,
    plain,
    require_last,
    require_unlearned,
)


@dataclass(slots=True)
class _Run:
    """A run that has ended."""

    arrived_at_s: float
    learned_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Lease:
    """Who leads, and until when."""

    holder: str
    until_s: float


class MemoryShelf:
    """See `inframind.traces.shelf.Shelf`. A lesson is forgotten with its trace.

    Args:
        lock: the store's own; held whenever the store calls `keep_lesson` and `forget_lesson`.
        said_of: outcomes of a trace, called with the lock held.
    """

    def __init__(self, lock: threading.Lock, said_of: Callable[[str], Iterable[Outcome]]) -> None:
        self._lock, self._said_of = lock, said_of
        self._policies: dict[str, tuple[PolicyVersion, bytes]] = {}
        self._events: list[RolloutEvent] = []
        self._rollout = Rollout()
        self._runs: dict[str, _Run] = {}
        self._unlearned: dict[str, _Run] = {}
        self._progress: dict[str, Progress] = {}
        self._leases: dict[str, _Lease] = {}
        self._replicas: dict[str, Replica] = {}
        self._bell = Bell()
        self._closed = False

    def keep_lesson(self, trajectory: Trajectory) -> None:
        """Called by the store for every run that it keeps; those that have not ended are no lessons yet."""
        if trajectory.status == "open":
            return
        run = self._runs.get(trajectory.trace_id)
        if run is None:
            run = _Run(trajectory.arrived_at_s)
            self._runs[trajectory.trace_id] = self._unlearned[trajectory.trace_id] = run
        run.arrived_at_s = trajectory.arrived_at_s

    def forget_lesson(self, trace_id: str) -> None:
        """Called by the store for every run that it forgets."""
        self._runs.pop(trace_id, None)
        self._unlearned.pop(trace_id, None)

    def close(self) -> None:
        """Refuse everything from now on, and wake who waits."""
        self._closed = True
        self._bell.close()

    async def add_policy(self, version: PolicyVersion, content: bytes) -> PolicyVersion:
        """Keep a version for good; adding the same again changes nothing."""
        checked = checked_policy(version, content)
        with self._open():
            number = 1 + max((known.number for known, _ in self._policies.values()), default=0)
            added = replace(checked, number=number)
            return self._policies.setdefault(version.version, (added, bytes(content)))[0]

    async def policies(self) -> Sequence[PolicyVersion]:
        """All versions, in the order in which they were added."""
        with self._open():
            return [known for known, _ in self._policies.values()]

    async def policy(self, prefix: str) -> PolicyVersion:
        """The one version that begins with these six or more hex digits."""
        wanted = check_version_prefix(prefix)
        with self._open():
            known = [version for version, _ in self._policies.values()]
        return only_version(wanted, [version for version in known if version.version.startswith(wanted)])

    async def policy_content(self, version: str) -> bytes:
        """A version's file, verified against its digest."""
        with self._open():
            self._require(version)
            content = self._policies[version][1]
        return check_content(version, content)

    async def prune_policies(self, *, keep: int) -> int:
        """Forget all but the newest ``keep`` versions, and those that serve, served before or are tried."""
        newest = check_keep(keep)
        with self._open():
            dropped = [*self._policies][:-newest]
            dropped = [version for version in dropped if version not in in_use(self._rollout)]
            for version in dropped:
                del self._policies[version]
        return len(dropped)

    async def append(self, event: RolloutEvent, *, after: int) -> RolloutEvent:
        """Append an event, if ``after`` is still the last one's number."""
        checked = checked_event(event)
        with self._open():
            if names_a_policy(event):
                self._require(event.version)
            if after != self._rollout.number:
                raise RolloutMoved(after, self._rollout.number)
            appended = replace(checked, number=after + 1)
            self._events.append(appended)
            self._rollout = rollout_after(self._rollout, appended)
        self._bell.ring()
        return appended

    async def events(self, *, after: int = 0, limit: int | None = None) -> Sequence[RolloutEvent]:
        """Events with a greater number, oldest first."""
        most = check_limit(limit)
        with self._open():
            return self._events[max(after, 0) :][:most]

    async def rollout(self) -> Rollout:
        """Who serves now."""
        with self._open():
            return self._rollout

    async def lessons(
        self, *, now_s: float, patience_s: float, limit: int, keys: SolvedKeys = SOLVED_ONLY
    ) -> Sequence[Lesson]:
        """Lessons that are ``matured`` or ``unheard`` and not learned, in the order of their arrival."""
        check_limit(limit)
        with self._open():
            known = [
                self._lesson(own_id, run, now_s - patience_s, keys) for own_id, run in self._unlearned.items()
            ]
        ready = [lesson for lesson in known if lesson.state != "pending"]
        return nsmallest(limit, ready, key=lambda lesson: (lesson.arrived_at_s, lesson.trace_id))

    async def lesson_counts(
        self, *, now_s: float, patience_s: float, keys: SolvedKeys = SOLVED_ONLY
    ) -> Mapping[LessonState, int]:
        """Number of lessons in each state."""
        counts: Counter[LessonState] = Counter(dict.fromkeys(STATES, 0))
        with self._open():
            for own_id, run in self._runs.items():
                counts[self._lesson(own_id, run, now_s - patience_s, keys).state] += 1
        return dict(counts)

    async def progress(self, learner: str) -> Progress | None:
        """How far a learner has come, or None before its first commit."""
        with self._open():
            return self._progress.get(learner)

    async def commit(
        self, learner: str, *, after: int, state: bytes, learned: Sequence[str], holder: str, at_s: float
    ) -> Progress:
        """Keep a learner's state and mark its lessons learned: both or neither."""
        names = check_learned(learned)
        with self._open():
            before = self._progress.get(learner)
            require_last(learner, before.number if before else 0, after)
            require_unlearned(learner, len(names & self._unlearned.keys()), len(names))
            for trace_id in names:
                self._unlearned.pop(trace_id).learned_at_s = at_s
            learned_in_all = len(names) + (before.learned if before else 0)
            progress = Progress(
                number=after + 1, state=bytes(state), at_s=at_s, holder=holder, learned=learned_in_all
            )
            self._progress[learner] = progress
        return progress

    @asynccontextmanager
    async def lead(self, role: str, holder: str, *, now_s: float, ttl_s: float) -> AsyncIterator[bool]:
        """Whether this holder leads while the context lasts, or until its lease runs out."""
        with self._open():
            lease = self._leases.get(role)
            leads = lease is None or lease.until_s <= now_s
            if leads:
                self._leases[role] = _Lease(holder, now_s + ttl_s)
        try:
            yield leads
        finally:
            with self._lock:
                if leads and self._holds(role, holder):
                    del self._leases[role]

    async def renew(self, role: str, holder: str, *, now_s: float, ttl_s: float) -> bool:
        """Extend a lease; False when it was lost."""
        with self._open():
            holds = self._holds(role, holder)
            if holds:
                self._leases[role] = _Lease(holder, now_s + ttl_s)
            return holds

    async def report(self, replica: Replica) -> None:
        """Say what this process serves; replaces what it said before."""
        said = replace(replica, facts=plain(replica.facts, f"replica {replica.name}"))
        with self._open():
            kept = {name: r for name, r in self._replicas.items() if r.at_s > said.at_s - REPLICA_MEMORY_S}
            self._replicas = {**kept, said.name: said}

    async def replicas(self, *, since_s: float) -> Sequence[Replica]:
        """Who has reported since then, by name."""
        with self._open():
            known = sorted(self._replicas.values(), key=lambda replica: replica.name)
        return [replica for replica in known if replica.at_s >= since_s]

    async def wait(self, *, after: int, timeout_s: float) -> int:
        """Number of the last event: at once when it is greater than ``after``, else when one comes."""
        return await wait_for_number(
            self._bell, self._last_number, after=after, timeout_s=timeout_s, poll_s=timeout_s
        )

    async def _last_number(self) -> int:
        return (await self.rollout()).number

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise StoreClosed
            yield

    def _require(self, version: str) -> None:
        if version not in self._policies:
            raise UnknownPolicy(version)

    def _holds(self, role: str, holder: str) -> bool:
        lease = self._leases.get(role)
        return lease is not None and lease.holder == holder

    def _lesson(self, trace_id: str, run: _Run, unheard_by_s: float, keys: SolvedKeys) -> Lesson:
        heard = heard_at_s(self._said_of(trace_id), keys)
        state = lesson_state(
            arrived_at_s=run.arrived_at_s,
            heard_at_s=heard,
            learned_at_s=run.learned_at_s,
            unheard_by_s=unheard_by_s,
        )
        return Lesson(trace_id=trace_id, arrived_at_s=run.arrived_at_s, state=state, heard_at_s=heard)
