"""The learner as a service: takes lessons, learns, publishes candidates, and has the gate judge them.

What it knows lives on the shelf, committed together with the lessons that it came from. So it can be killed at any
moment and started again, here or elsewhere; and of two that run by mistake one leads and the other waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace

from inframind.errors import (
    CheckpointError,
    ConfigError,
    LearnerMoved,
    RolloutMoved,
    StoreClosed,
    StoreError,
    UnknownPolicy,
)
from inframind.fleet.clock import Clock
from inframind.plugin.advice.tender import AdviceTender
from inframind.plugin.online.judging import Judge
from inframind.plugin.online.learn_config import LearnConfig
from inframind.plugin.online.learner_state import LearnerState
from inframind.plugin.online.lessons import Hearing
from inframind.plugin.online.publishing import (
    LEARNER,
    facts_of,
    is_tried,
    reason_of,
    remark,
    with_own,
    with_recent,
)
from inframind.plugin.online.rounds import Round, Taught
from inframind.plugin.online.school import School, Student, Withheld
from inframind.router.gate.judging import propose
from inframind.router.gate.verdicts import Verdict
from inframind.router.guards.drift import Drift, DriftWatch
from inframind.router.guards.streams import streams_of
from inframind.router.online.evidence import EvidenceReader
from inframind.router.online.protocol import LabelledRun
from inframind.router.policy_file import StoredPolicy
from inframind.router.policy_shelf import content_of, version_of
from inframind.router.rollout import VERSION_DIGITS
from inframind.traces.records import Trajectory
from inframind.traces.shelf import Rollout, RolloutEvent, Shelf
from inframind.traces.store import TraceStore

_log = logging.getLogger(__name__)
READ_AT_ONCE = 64
ADOPT_EVERY_S = 3600.0
"""Seconds between two looks for what older versions wrote."""
REMEMBERED = 64
"""Latest runs by which it is seen how much a publication would change."""
__all__ = ["LEARNER", "LearnerService", "Round"]
_CANNOT_GO_ON = (CheckpointError, ConfigError, UnknownPolicy)
_BROKEN = (StoreError, ArithmeticError, LookupError, TypeError, ValueError)
"""What may keep a batch from being learned, and must not keep a candidate from being judged."""


@dataclass(slots=True)
class _Desk:
    """What lies open in memory; thrown away whenever it may not be what the shelf has."""

    number: int
    state: LearnerState
    student: Student
    reader: EvidenceReader
    drift: DriftWatch = field(default_factory=DriftWatch)
    latest: deque[Trajectory] = field(default_factory=lambda: deque(maxlen=REMEMBERED))


class LearnerService:
    """Learns from a store's traces for as long as it leads.

    Args:
        store: where traces are.
        shelf: of that store.
        school: makes learners.
        hearing: whose feedback is listened to.
        judge: looks at candidates.
        config: how it works.
        clock: time.
        holder: name of this process.
        tell: is shown every round; must be quick and must not raise.
        stands: is told whether it leads, whenever it has tried to; the same.
        advice: is seen to between rounds, by whoever leads.
    """

    def __init__(
        self,
        store: TraceStore,
        shelf: Shelf,
        school: School,
        *,
        hearing: Hearing,
        judge: Judge,
        config: LearnConfig,
        clock: Clock,
        holder: str,
        tell: Callable[[Round], None] = lambda round: None,
        stands: Callable[[bool], None] = lambda leads: None,
        advice: AdviceTender | None = None,
    ) -> None:
        self._store, self._shelf, self._school = store, shelf, school
        self._hearing, self._judge, self._config = hearing, judge, config
        self._clock, self._holder, self._advice = clock, holder, advice
        self._tell, self._stands = tell, stands
        self._desk: _Desk | None = None
        self._adopted_s = float("-inf")

    async def follow(self) -> None:
        """Learn whenever it leads, until cancelled or the store is closed.

        Failures of the store are waited out. So is a learner's state, or a version that serves, which this release
        cannot read: a newer release may have written it, and may be about to go on with it.
        """
        self._desk = None  # a call that failed may have left half of a batch learned
        failures = 0
        while True:
            try:
                led = await self._lead()
                failures = 0
                await asyncio.sleep(self._config.poll_s if led else self._config.standby_s)
            except StoreClosed:
                return
            except (StoreError, *_CANNOT_GO_ON) as error:
                self._desk = None  # what was committed last is not known for sure: read it again
                _say_why_it_waits(error, is_first=not failures)
                wait_s = min(self._config.poll_s * 2.0 ** min(failures, 30), self._config.max_backoff_s)
                failures += 1
                await asyncio.sleep(wait_s)

    async def once(self) -> bool:
        """Learn what there is to be learned now, and judge; False where another process leads.

        Raises:
            StoreError: the store cannot be read or written.
            CheckpointError: the learner's state on the shelf cannot be read by this release.
        """
        async with self._leading() as leads:
            if not leads:
                return False
            while (await self._told_round()).taken:
                await self._renew()
            if self._advice is not None:
                await self._advice.finish()
        return True

    async def round(self) -> Round:
        """Learn one batch, publish when it is time, and have the gate judge.

        Raises:
            LearnerMoved: another process learned meanwhile; nothing of this round was kept.
            StoreError: the store cannot be read or written.
        """
        rollout = await self._shelf.rollout()
        desk = await self._opened(rollout)
        await self._adopt()
        try:
            taught = await self._learn(desk)
        except _BROKEN:
            self._desk = None  # half of a batch may have been learned
            await self._judged(await self._opened(rollout), await self._shelf.rollout())
            raise
        events = [await self._remark_on(drift) for drift in taught.drifts]
        published, event = await self._publish(desk, await self._shelf.rollout())
        events.append(event)
        verdict, event = await self._judged(desk, await self._shelf.rollout())
        events.append(event)
        return Round(
            learned=len(taught.lessons),
            labelled=sum(lesson.label is not None for lesson in taught.lessons),
            unreadable=taught.unreadable,
            state=desk.state,
            published=published,
            verdict=verdict,
            events=tuple(event for event in events if event is not None),
            drifts=tuple(taught.drifts),
        )

    # Leading -------------------------------------------------------------------------------------------

    def _leading(self) -> AbstractAsyncContextManager[bool]:
        return self._shelf.lead(LEARNER, self._holder, now_s=self._clock.wall_s(), ttl_s=self._config.lease_s)

    async def _lead(self) -> bool:
        """Teach until somebody else leads; at once where somebody does, and then False."""
        led = False
        async with self._leading() as leads:
            self._stands(leads)
            while leads:
                led = True
                try:
                    done = await self._told_round()
                except LearnerMoved as moved:
                    _log.warning("%s", moved)
                    self._desk = None
                    return led
                if done.taken < self._config.batch:  # a trickle is kept at most once in so many seconds
                    await asyncio.sleep(self._config.poll_s)
                leads = await self._renew()
        return led

    async def _renew(self) -> bool:
        return await self._shelf.renew(
            LEARNER, self._holder, now_s=self._clock.wall_s(), ttl_s=self._config.lease_s
        )

    async def _told_round(self) -> Round:
        done = await self.round()
        self._tell(done)
        if self._advice is not None:
            self._advice.tend()
        return done

    # What is known -------------------------------------------------------------------------------------

    async def _opened(self, rollout: Rollout) -> _Desk:
        """The learner as the shelf has it; a new one where there is none, or where another lineage serves by now."""
        progress = await self._shelf.progress(LEARNER)
        number = progress.number if progress else 0
        if self._desk is None or self._desk.number != number:
            state = LearnerState.from_bytes(progress.state) if progress else None
            self._desk = await self._desk_of(number, state)
        self._desk.state = await with_own(self._shelf, self._desk.state, rollout)
        if rollout.serving not in self._desk.state.lineage:
            self._desk = await self._new_lineage(self._desk, rollout.serving)
        return self._desk

    async def _desk_of(self, number: int, state: LearnerState | None) -> _Desk:
        if state is None:
            return self._new_desk(number, self._school.configured, None, "")
        student = self._school.restored(state.learner)
        return _Desk(number, state, student, self._school.reader(student.candidate()))

    async def _new_lineage(self, desk: _Desk, serving: str) -> _Desk:
        """What serves was made by somebody else: begin with it."""
        _log.info("learning begins anew, from version %s", serving[:VERSION_DIGITS] or "of the configuration")
        return self._new_desk(
            desk.number, await self._school.stored(self._shelf, serving), desk.state, serving
        )

    def _new_desk(self, number: int, stored: StoredPolicy, before: LearnerState | None, base: str) -> _Desk:
        student = self._school.begin(stored)
        state = before or LearnerState(learner=b"")
        state = replace(state, learner=student.state(), base=base, published=(), fresh=0, trials={})
        return _Desk(number, state, student, self._school.reader(stored))

    # Lessons -------------------------------------------------------------------------------------------

    async def _adopt(self) -> None:
        """Traces that a process of an older version wrote are lessons, too."""
        now_s = self._clock.wall_s()
        if now_s - self._adopted_s >= ADOPT_EVERY_S:
            await self._store.adopt_lessons(since_s=now_s - 2 * self._config.patience_s)
            self._adopted_s = now_s

    async def _learn(self, desk: _Desk) -> Taught:
        ready = await self._shelf.lessons(
            now_s=self._clock.wall_s(),
            patience_s=self._config.patience_s,
            limit=self._config.batch,
            keys=self._hearing.keys,
        )
        trace_ids = [lesson.trace_id for lesson in ready]
        runs = await self._read(trace_ids)
        unreadable = await self._unreadable(trace_ids, runs)
        if not runs and not unreadable:
            return Taught()
        lessons, state = self._hearing.lessons(runs, desk.state, desk.reader)
        for first in range(0, len(lessons), self._config.slice):
            desk.student.learn(lessons[first : first + self._config.slice])
            await asyncio.sleep(self._config.breath_s)
        learned = [run.trace_id for run in runs]
        await self._commit(desk, replace(state, learner=desk.student.state()), [*learned, *unreadable])
        desk.latest.extend(runs)
        return Taught(lessons, len(unreadable), self._drifts(desk, lessons))

    async def _read(self, trace_ids: Sequence[str]) -> list[Trajectory]:
        """Those of the traces that are still there and can be read, in the same order."""
        runs: list[Trajectory] = []
        for first in range(0, len(trace_ids), READ_AT_ONCE):
            runs += await self._store.get_many(trace_ids[first : first + READ_AT_ONCE])
        return runs

    async def _unreadable(self, trace_ids: Sequence[str], runs: Sequence[Trajectory]) -> list[str]:
        """Traces that are there, and that this release cannot read: they must not come again and again."""
        read = {run.trace_id for run in runs}
        left = [one for one in trace_ids if one not in read]
        unreadable = [one for one in left if await self._store.trace_of(one) == one]
        if unreadable:
            _log.warning("%d traces cannot be read, and are passed over for good", len(unreadable))
        return unreadable

    async def _commit(self, desk: _Desk, state: LearnerState, learned: Sequence[str] = ()) -> None:
        """Keep the state, and mark lessons learned: both or neither."""
        try:
            progress = await self._shelf.commit(
                LEARNER,
                after=desk.number,
                state=state.to_bytes(),
                learned=learned,
                holder=self._holder,
                at_s=self._clock.wall_s(),
            )
        except (LearnerMoved, StoreError):
            self._desk = None  # the learner in memory knows more than was kept
            raise
        desk.number, desk.state = progress.number, state

    def _drifts(self, desk: _Desk, lessons: Sequence[LabelledRun]) -> list[Drift]:
        return [
            drift
            for lesson in lessons
            for drift in desk.drift.add(streams_of(lesson.run, lesson.label), at_s=lesson.run.arrived_at_s)
        ]

    async def _remark_on(self, drift: Drift) -> RolloutEvent | None:
        _log.warning("drift: %s", drift)
        return await self._remark(f"drift of {drift}", {"usual": drift.usual, "now": drift.now})

    # Versions ------------------------------------------------------------------------------------------

    async def _publish(self, desk: _Desk, rollout: Rollout) -> tuple[str, RolloutEvent | None]:
        """What was learned becomes a candidate, if there is enough of it and no other is being tried."""
        is_due = desk.state.fresh >= self._config.publish_every
        if not is_due or rollout.candidate or rollout.frozen or rollout.serving not in desk.state.lineage:
            return "", None
        if self._advice is not None and self._advice.waits:  # what a person accepted comes first
            return "", None
        serving = await self._school.stored(self._shelf, rollout.serving)
        runs = await with_recent(self._store, desk.latest, self._hearing.keys, REMEMBERED)
        published = self._school.to_publish(desk.student, serving, runs, least_views=self._config.least_views)
        if isinstance(published, Withheld):
            return "", await self._withhold(desk, published)
        content = content_of(published.stored)
        row = version_of(
            content,
            parent=rollout.serving,
            created_at_s=self._clock.wall_s(),
            created_by=LEARNER,
            facts=facts_of(desk.state, published),
        )
        state = replace(desk.state, fresh=0)
        if await is_tried(self._shelf, row.version):  # nothing new was learned
            await self._commit(desk, state)
            return "", None
        await self._shelf.add_policy(row, content)
        reason = reason_of(desk.state, published)
        proposal = propose(rollout, row.version, now_s=self._clock.wall_s(), by=LEARNER, reason=reason)
        try:
            event = await self._shelf.append(proposal, after=rollout.number)
        except RolloutMoved:
            return "", None
        await self._shelf.prune_policies(keep=self._config.keep_versions)
        kept = {version.version for version in await self._shelf.policies()}
        before = [version for version in state.published if version in kept]
        await self._commit(desk, replace(state, published=(*before, row.version)))
        return row.version, event

    async def _withhold(self, desk: _Desk, withheld: Withheld) -> RolloutEvent | None:
        """Say once why nothing is published, and wait for as many labels again."""
        reason = f"what {desk.state.fresh} more labelled runs taught is not published: {withheld.reason}"
        _log.warning("%s", reason)
        await self._commit(desk, replace(desk.state, fresh=0))
        return await self._remark(reason, {})

    async def _remark(self, reason: str, figures: Mapping[str, float]) -> RolloutEvent | None:
        return await remark(self._shelf, reason=reason, figures=figures, now_s=self._clock.wall_s())

    async def _judged(self, desk: _Desk, rollout: Rollout) -> tuple[Verdict | None, RolloutEvent | None]:
        state, verdict = await self._judge.look(desk.state, rollout, now_s=self._clock.wall_s())
        if state != desk.state:
            await self._commit(desk, state)
        if verdict is None:
            return None, None
        return verdict, await self._judge.act(verdict, rollout)


def _say_why_it_waits(error: Exception, *, is_first: bool) -> None:
    """Once aloud: what is waited out comes again with every try."""
    if isinstance(error, StoreError):
        _log.log(logging.WARNING if is_first else logging.DEBUG, "learning waits for the store: %s", error)
        return
    level = logging.ERROR if is_first else logging.DEBUG
    _log.log(
        level,
        "learning cannot go on, and is tried again; serving goes on as it is: %s",
        error,
        exc_info=error,
    )
