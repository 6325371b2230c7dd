"""What a learner and its replicas share: policy versions, how far each is rolled out, lessons, and who is there.

A `Shelf` stands on a store (`inframind.traces.shelves.shelf_of`) and keeps its tables beside the traces, so that
learning from traces and remembering that one did is a single transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from inframind.traces.records import SOLVED_ONLY, SolvedKeys

PRESENT_S = 60.0
"""A process that has reported within these seconds counts as present."""
UNPROVEN = "unproven"
"""Figure of an event that rolls a candidate back for want of evidence: nothing was seen that speaks against it."""
Stage = Literal["shadow", "canary", "ramp", "full", "rolled_back"]
LessonState = Literal["pending", "matured", "unheard", "learned", "late"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """A policy on the shelf; never changed once it is there.

    Attributes:
        version: hex digest of the file's content, its identity.
        number: 1-based order in which versions were added; 0 before it is.
        parent: version that it was learned from, or "".
        created_at_s: seconds since the Unix epoch.
        created_by: who made it, such as ``learner`` or ``user:ann``.
        features_version: version of the feature columns that it was trained on.
        facts: whence it came, as plain data.
    """

    version: str
    number: int = 0
    parent: str = ""
    created_at_s: float
    created_by: str
    features_version: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutEvent:
    """One thing that happened to the roll-out; events are only ever appended.

    Attributes:
        number: 1-based and without gaps; 0 before it is stored.
        at_s: seconds since the Unix epoch.
        version: policy that it is about; "" for freezing and thawing.
        stage: what became of it; None where the stage does not change (freezing, thawing, a remark).
        share: share of runs that the version serves from now on.
        frozen: whether nothing is to change until somebody thaws it.
        by: ``gate``, ``learner`` or ``user:<name>``.
        reason: a sentence for people.
        figures: what it was decided on, such as ``lower`` and ``upper`` bound and ``n``.
    """

    number: int = 0
    at_s: float
    version: str
    stage: Stage | None
    share: float = 0.0
    frozen: bool = False
    by: str
    reason: str
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """Who serves, as of an event: what `rollout_after` makes of all events up to it.

    Attributes:
        number: of the last event; 0 before the first.
        serving: version that serves all runs but the candidate's; "" for the configured policy.
        before: version that served before it, for a rollback; "" for the configured policy.
        candidate: version that is being tried, or "".
        stage: the candidate's stage, or None.
        share: share of runs that the candidate serves; 0 in the shadow.
        since_s: when the candidate's stage began, seconds since the Unix epoch; 0 without a candidate.
        frozen: whether nothing is to change until somebody thaws it.
    """

    number: int = 0
    serving: str = ""
    before: str = ""
    candidate: str = ""
    stage: Stage | None = None
    share: float = 0.0
    since_s: float = 0.0
    frozen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A trace that may be learned from.

    Attributes:
        trace_id: of the trace.
        arrived_at_s: seconds since the Unix epoch.
        state: ``pending`` (no verdict, and too young to give up on one), ``matured`` (a verdict is there),
            ``unheard`` (old enough that none is expected), ``learned``, or ``late`` (learned unheard, and a verdict
            came afterwards).
        heard_at_s: when the first verdict was recorded, or None.
    """

    trace_id: str
    arrived_at_s: float
    state: LessonState
    heard_at_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a learner has come.

    Attributes:
        number: commits so far; the next one must name it.
        state: the learner's own bytes.
        at_s: when it was committed, seconds since the Unix epoch.
        holder: who committed it.
        learned: lessons learned in all.
    """

    number: int
    state: bytes
    at_s: float
    holder: str
    learned: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """What a serving process says of itself.

    Attributes:
        name: of the process, unique.
        at_s: when it said so, seconds since the Unix epoch.
        serving: version that serves there.
        candidate: version that it tries, or "".
        facts: plain data about it and what it sees of the fleet: in flight, open endpoints, errors.
    """

    name: str
    at_s: float
    serving: str
    candidate: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


class Shelf(Protocol):
    """Policy versions, roll-out, lessons and replicas. May be awaited from several threads, loops and processes.

    Every method raises StoreClosed after the store was closed, and StoreError when the storage fails. Where the
    connection breaks while `append` or `commit` ends, nobody knows whether it was kept: read again before going on.
    """

    async def add_policy(self, version: PolicyVersion, content: bytes) -> PolicyVersion:
        """Keep a version for good; adding the same again changes nothing. Returns it with its number.

        Raises:
            ConfigError: the digest is not that of the content.
        """
        ...

    async def policies(self) -> Sequence[PolicyVersion]:
        """All versions, in the order in which they were added."""
        ...

    async def policy(self, prefix: str) -> PolicyVersion:
        """The one version that begins with these six or more hex digits.

        Raises:
            UnknownPolicy: there is none.
            ConfigError: the prefix is too short, is not hex, or begins several.
        """
        ...

    async def policy_content(self, version: str) -> bytes:
        """A version's file, verified against its digest.

        Raises:
            UnknownPolicy: there is none.
            CheckpointError: the content is not what was added.
        """
        ...

    async def prune_policies(self, *, keep: int) -> int:
        """Forget all but the newest ``keep`` versions, and those that serve, served before or are tried; how many."""
        ...

    async def append(self, event: RolloutEvent, *, after: int) -> RolloutEvent:
        """Append an event, if ``after`` is still the last one's number; woken are all who `wait`.

        Raises:
            RolloutMoved: somebody else appended meanwhile; read again and decide anew.
            UnknownPolicy: the event's version is not on the shelf.
        """
        ...

    async def events(self, *, after: int = 0, limit: int | None = None) -> Sequence[RolloutEvent]:
        """Events with a greater number, oldest first."""
        ...

    async def rollout(self) -> Rollout:
        """Who serves now."""
        ...

    async def lessons(
        self, *, now_s: float, patience_s: float, limit: int, keys: SolvedKeys = SOLVED_ONLY
    ) -> Sequence[Lesson]:
        """Lessons that are ``matured`` or ``unheard`` and not learned, those that waited longest first.

        Args:
            now_s: seconds since the Unix epoch.
            patience_s: a trace without a verdict is ``unheard`` when it is so old.
            limit: at most so many.
            keys: which feedback is a verdict.
        """
        ...

    async def lesson_counts(
        self, *, now_s: float, patience_s: float, keys: SolvedKeys = SOLVED_ONLY
    ) -> Mapping[LessonState, int]:
        """Number of lessons in each state."""
        ...

    async def progress(self, learner: str) -> Progress | None:
        """How far a learner has come, or None before its first commit."""
        ...

    async def commit(
        self, learner: str, *, after: int, state: bytes, learned: Sequence[str], holder: str, at_s: float
    ) -> Progress:
        """Keep a learner's state and mark its lessons learned, in one transaction: both or neither.

        Args:
            learner: name.
            after: number of its last commit, 0 before the first.
            state: the learner's own bytes.
            learned: trace ids.
            holder: who commits.
            at_s: seconds since the Unix epoch.

        Raises:
            LearnerMoved: another process committed meanwhile, or a lesson was learned already; nothing is kept.
        """
        ...

    def lead(
        self, role: str, holder: str, *, now_s: float, ttl_s: float
    ) -> AbstractAsyncContextManager[bool]:
        """Whether this process holds a role while the context lasts; at most one does.

        On PostgreSQL an advisory lock of a session: gone with its connection, ``ttl_s`` plays no part. Elsewhere a
        lease that `renew` must extend before ``ttl_s`` pass.
        """
        ...

    async def renew(self, role: str, holder: str, *, now_s: float, ttl_s: float) -> bool:
        """Extend a lease; False when it was lost."""
        ...

    async def report(self, replica: Replica) -> None:
        """Say what this process serves; replaces what it said before."""
        ...

    async def replicas(self, *, since_s: float) -> Sequence[Replica]:
        """Who has reported since then, by name."""
        ...

    async def wait(self, *, after: int, timeout_s: float) -> int:
        """Number of the last event: at once when it is greater than ``after``, else when one comes or time is up.

        LISTEN/NOTIFY on PostgreSQL, polling on SQLite; a missed notification costs a poll, never a version.
        """
        ...


def rollout_after(before: Rollout, event: RolloutEvent) -> Rollout:
    """Who serves after an event.

    ``full`` makes the version serve; ``shadow``, ``canary`` and ``ramp`` make it the candidate; ``rolled_back`` ends a
    candidate, and of the version that serves makes the one before it serve again. Of a version that is neither, it
    changes nothing. ``full`` of the version that serves already ends what is tried, and keeps the one before.
    """
    frozen = event.frozen
    if event.stage is None:
        return replace(before, number=event.number, frozen=frozen)
    if event.stage == "full":
        earlier = before.before if event.version == before.serving else before.serving
        return Rollout(number=event.number, serving=event.version, before=earlier, frozen=frozen)
    if event.stage == "rolled_back":
        if event.version == before.candidate:
            return replace(
                before,
                number=event.number,
                frozen=frozen,
                candidate="",
                stage=None,
                share=0.0,
                since_s=0.0,
            )
        if event.version == before.serving:
            return Rollout(number=event.number, serving=before.before, frozen=frozen)
        return replace(before, number=event.number, frozen=frozen)
    since_s = before.since_s
    if (event.version, event.stage) != (before.candidate, before.stage):
        since_s = event.at_s
    return replace(
        before,
        number=event.number,
        frozen=frozen,
        candidate=event.version,
        stage=event.stage,
        share=event.share,
        since_s=since_s,
    )
