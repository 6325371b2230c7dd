"""What the roll-out's judge does: gathers evidence from traces, asks the gate, and appends what it says."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from inframind.errors import ConfigError, RolloutMoved
from inframind.plugin.online.foresight import LATEST
from inframind.plugin.online.learner_state import LearnerState
from inframind.plugin.online.lessons import Hearing
from inframind.plugin.online.past import RolloutPast
from inframind.plugin.online.school import School
from inframind.plugin.online.trial import Hear, Trial, Watched
from inframind.router.confidence import Interval
from inframind.router.gate.brief import Brief
from inframind.router.gate.config import GateConfig
from inframind.router.gate.judging import judge
from inframind.router.gate.verdicts import Verdict
from inframind.router.gate.watching import record_at, record_before, watch
from inframind.router.guards.quotas import Admission
from inframind.traces.query import TraceQuery
from inframind.traces.records import Trajectory
from inframind.traces.shelf import PRESENT_S, Rollout, RolloutEvent, Shelf
from inframind.traces.store import TraceStore

_log = logging.getLogger(__name__)
ALARM, PROOF, WATCH = "alarm", "proof", "watch"
_NEVER = 10**9
_Trials = dict[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """When runs count.

    Raises:
        ConfigError: an age that is not positive, or proof that counts sooner than alarms.
    """

    gate: GateConfig = field(default_factory=GateConfig)
    """What a candidate has to show."""
    settle_s: float = 3600.0
    """Age in seconds at which a run counts, with the feedback that it has by then."""
    alarm_s: float = 300.0
    """Age in seconds at which it is seen whether a run failed or was late. One that takes longer is not seen: let it
    be longer than any budget."""

    def __post_init__(self) -> None:
        if not 0 < self.alarm_s <= self.settle_s:
            raise ConfigError(
                "online.gate.settle_s", self.settle_s, f"use at least alarm_s, {self.alarm_s:g}"
            )

    @property
    def alarms(self) -> GateConfig:
        """The gate of what has no feedback yet: it can end a candidate, and does nothing else."""
        return replace(self.gate, least_runs=_NEVER, most_runs=100 * _NEVER)


class Judge:
    """Looks at the candidate, and at what serves since its promotion.

    Args:
        store: where traces are.
        shelf: where the roll-out is.
        config: when runs count, and for what.
        hearing: whose feedback is listened to.
        school: reads versions, and asks recorded runs about them.
    """

    def __init__(
        self, store: TraceStore, shelf: Shelf, config: JudgeConfig, hearing: Hearing, school: School
    ) -> None:
        self._store, self._shelf, self._config = store, shelf, config
        self._hearing, self._school = hearing, school
        self._past = RolloutPast()

    async def look(
        self, state: LearnerState, rollout: Rollout, *, now_s: float
    ) -> tuple[LearnerState, Verdict | None]:
        """The state with what traces have shown by now, and what the gate says of it; None where nothing is judged.

        What serves is watched while a candidate is tried, too, and comes first: where it is rolled back, the trial
        beside it ends with it.

        Raises:
            StoreError: traces or the shelf cannot be read.
        """
        await self._past.read(self._shelf)
        watching, alarm = await self._look_at_serving(state, rollout, now_s)
        if not rollout.candidate:
            return replace(state, trials=watching), alarm
        if alarm is not None and alarm.act == "roll_back" and alarm.event is not None:
            return replace(state, trials={**state.trials, **watching}), alarm
        tried, verdict = await self._look_at_candidate(state, rollout, now_s)
        return replace(state, trials={**tried, **watching}), verdict

    async def act(self, verdict: Verdict, rollout: Rollout) -> RolloutEvent | None:
        """Append what the gate says; None where there is nothing to do, or somebody was faster: look again.

        Raises:
            StoreError: the shelf cannot be written.
        """
        if verdict.event is None:
            return None
        try:
            event = await self._shelf.append(verdict.event, after=rollout.number)
        except RolloutMoved:
            return None
        _log.info("%s", event.reason)
        return event

    async def _look_at_candidate(
        self, state: LearnerState, rollout: Rollout, now_s: float
    ) -> tuple[_Trials, Verdict]:
        config, by, kept = self._config, self._past.placed_by, state.trials
        refused = await self._refusal(rollout, now_s)
        if refused is not None:
            return {name: kept[name] for name in (ALARM, PROOF) if name in kept}, refused
        brief = await self._brief(rollout)
        alarm = await _trial(kept.get(ALARM), rollout, brief).plus(
            self._store, until_s=now_s - config.alarm_s, hear=_nobody, brief=brief
        )
        proof = await _trial(kept.get(PROOF), rollout, brief).plus(
            self._store, until_s=now_s - config.settle_s, hear=self._proofs(state), brief=brief
        )
        proven = partial(judge, rollout, proof.evidence, config.gate, now_s=now_s, by=by, brief=brief)
        verdict = judge(rollout, alarm.evidence, config.alarms, now_s=now_s, by=by)
        if verdict.act != "roll_back":
            verdict = proven()
        if verdict.act == "advance" and rollout.stage == "shadow":  # before it serves any run
            verdict = proven(foreseen=await self._foreseen(rollout, state))
        return {ALARM: alarm.to_json(), PROOF: proof.to_json()}, verdict

    async def _brief(self, rollout: Rollout) -> Brief:
        """What is known of the candidate; nothing where it is held against another version than it was made from."""
        row = await self._shelf.policy(rollout.candidate)
        return Brief.of_facts(row.facts) if row.parent == rollout.serving else Brief()

    async def _foreseen(self, rollout: Rollout, state: LearnerState) -> Interval | None:
        """What the latest labelled runs say of the candidate beside what serves."""
        query = TraceQuery(labelled=True, solved_keys=self._hearing.keys, limit=LATEST)
        found = await self._store.list(query)
        runs = await self._store.get_many([one.trace_id for one in found])
        new, old = [
            await self._school.stored(self._shelf, version)
            for version in (rollout.candidate, rollout.serving)
        ]
        return self._school.foreseen(new, old, runs, self._proofs(state)(runs, ()).kept)

    async def _look_at_serving(
        self, state: LearnerState, rollout: Rollout, now_s: float
    ) -> tuple[_Trials, Verdict | None]:
        """Nothing where the configured policy serves, or what serves again after a rollback."""
        promotion = self._past.promotion
        if promotion is None or promotion.version != rollout.serving:
            return {}, None
        watched = await _watched(state.trials.get(WATCH), promotion).plus(
            self._store, until_s=now_s - self._config.alarm_s
        )
        verdict = watch(
            rollout,
            record_at(promotion),
            watched.record,
            self._config.gate,
            now_s=now_s,
            before=record_before(promotion),
        )
        return {WATCH: {**watched.to_json(), "promotion": promotion.number}}, verdict

    async def _refusal(self, rollout: Rollout, now_s: float) -> Verdict | None:
        """A candidate that a process cannot load is not tried any longer."""
        for replica in await self._shelf.replicas(since_s=now_s - PRESENT_S):
            reason = replica.facts.get("refused", {}).get(rollout.candidate)
            if reason is None or rollout.frozen:
                continue
            text = f"{replica.name} cannot serve it: {reason}"
            event = RolloutEvent(
                at_s=now_s, version=rollout.candidate, stage="rolled_back", by="gate", reason=text
            )
            return Verdict(act="roll_back", reason=text, figures={}, event=event)
        return None

    def _proofs(self, state: LearnerState) -> Hear:
        book = self._hearing.book(state)
        return lambda runs, recent: self._hearing.proofs(runs, book, recent)


def _trial(kept: Mapping[str, Any] | None, rollout: Rollout, brief: Brief) -> Trial:
    if kept is not None:
        trial = Trial.from_json(kept)
        if trial.evidence.version == rollout.candidate:
            return trial
    return Trial.begin(rollout.candidate, rollout.since_s, is_local=bool(brief.concerns))


def _watched(kept: Mapping[str, Any] | None, promotion: RolloutEvent) -> Watched:
    if kept is not None and kept["promotion"] == promotion.number:
        return Watched.from_json(kept)
    return Watched.begin(promotion.version, promotion.at_s)


def _nobody(runs: Sequence[Trajectory], recent: tuple[str, ...]) -> Admission:
    return Admission(kept={}, set_aside={}, recent=recent)
