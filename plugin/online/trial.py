"""What traces say of a candidate and of what serves, read a little at a time: every run once, and only when it is old
enough to count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from inframind.graphs.recorder import BOOK, DEALT
from inframind.router.gate.brief import Brief
from inframind.router.gate.evidence import Evidence, Record
from inframind.router.gate.runs import GateRun, RunColumns, gate_run
from inframind.router.guards.quotas import Admission
from inframind.router.online.protocol import Label
from inframind.router.rollout import VERSION_DIGITS
from inframind.traces.query import TraceQuery
from inframind.traces.records import Trajectory
from inframind.traces.store import TraceStore

PAGE = 512
"""Most traces that are read at once."""
_ENDED = ("ok", "late", "failed")
_NOTHING_KNOWN = Brief()

Hear = Callable[[Sequence[Trajectory], tuple[str, ...]], Admission]
"""Which labels of runs are let in, after those of a window (`Admission.recent`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far traces have been read.

    Attributes:
        since_s: only arrivals from then on, seconds since the Unix epoch.
        cursor: after this trace; "" for all since then.
    """

    since_s: float
    cursor: str = ""

    async def read(self, store: TraceStore, *, until_s: float) -> tuple[list[Trajectory], Place]:
        """The next traces that arrived before ``until_s``, oldest first, and the place after them."""
        if until_s <= self.since_s:
            return [], self
        query = TraceQuery(
            since_s=self.since_s,
            until_s=until_s,
            cursor=self.cursor or None,
            limit=PAGE,
            oldest_first=True,
        )
        found = await store.list(query)
        if not found:
            return [], self
        # Not `iter`: one trace that cannot be read must not keep the gate from all that come after it.
        runs = await store.get_many([one.trace_id for one in found])
        return list(runs), replace(self, cursor=found[-1].cursor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Evidence about a candidate.

    Attributes:
        place: how far traces have been read.
        evidence: what they say.
        recent: latest labels, see `inframind.router.guards.quotas.Admission`. The learner has a window of its own: a
            label that it let in must not take up its own room here.
    """

    place: Place
    evidence: Evidence
    recent: tuple[str, ...] = ()

    @classmethod
    def begin(cls, version: str, since_s: float, *, is_local: bool = False) -> Self:
        """Of a candidate that has just been put on trial; ``is_local`` where it concerns some runs alone."""
        return cls(place=Place(since_s=since_s), evidence=Evidence.begin(version, is_local=is_local))

    async def plus(
        self, store: TraceStore, *, until_s: float, hear: Hear, brief: Brief = _NOTHING_KNOWN
    ) -> Self:
        """With the runs that arrived before ``until_s`` and were dealt out while the candidate was on trial.

        Args:
            store: where they are.
            until_s: seconds since the Unix epoch.
            hear: which of their labels count.
            brief: says which of them the candidate concerns.
        """
        read, place = await self.place.read(store, until_s=until_s)
        runs = [run for run in read if _is_of_trial(run, self.evidence.version)]
        heard = hear(runs, self.recent)
        counted = [_as_dealt(run, heard.kept.get(run.trace_id), brief) for run in runs]
        return replace(self, place=place, evidence=self.evidence.plus(counted), recent=heard.recent)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "place": asdict(self.place),
            "evidence": self.evidence.to_json(),
            "recent": list(self.recent),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        return cls(
            place=Place(**data["place"]),
            evidence=Evidence.from_json(data["evidence"]),
            recent=tuple(data.get("recent", ())),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """How the version that serves all runs has done since it does.

    Attributes:
        version: it.
        place: how far traces have been read.
        record: what they say.
    """

    version: str
    place: Place
    record: Record = field(default_factory=Record)

    @classmethod
    def begin(cls, version: str, since_s: float) -> Self:
        """Of a version that serves all runs from now on."""
        return cls(version=version, place=Place(since_s=since_s))

    async def plus(self, store: TraceStore, *, until_s: float) -> Self:
        """With its runs that arrived before ``until_s``; who graded them is not asked."""
        runs, place = await self.place.read(store, until_s=until_s)
        mine = [
            gate_run(run, None, arm="serving", share=0.0)
            for run in runs
            if _counts(run) and _signed_by(run, self.version)
        ]
        return replace(
            self, place=place, record=self.record.plus(RunColumns.of(mine)) if mine else self.record
        )

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"version": self.version, "place": asdict(self.place), "record": asdict(self.record)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` gave; further keys are left alone."""
        return cls(version=data["version"], place=Place(**data["place"]), record=Record(**data["record"]))


def _is_of_trial(run: Trajectory, version: str) -> bool:
    return _counts(run) and _dealt(run).get("candidate") == version


def _as_dealt(run: Trajectory, label: Label | None, brief: Brief) -> GateRun:
    dealt = _dealt(run)
    return gate_run(
        run,
        label,
        arm=dealt["arm"],
        share=float(dealt["share"]),
        is_concerned=brief.is_concerned(run),
    )


def _dealt(run: Trajectory) -> Mapping[str, Any]:
    dealt: Mapping[str, Any] = run.metadata.get(BOOK, {}).get(DEALT, {})
    return dealt


def _counts(run: Trajectory) -> bool:
    """Whether it says how its version did: it came to an end, or whoever waited gave up when it was late already."""
    return run.status in _ENDED or (run.status == "cancelled" and run.latency_s >= run.budget_s)


def _signed_by(run: Trajectory, version: str) -> bool:
    return bool(run.decisions) and run.decisions[0].policy_version == version[:VERSION_DIGITS]
