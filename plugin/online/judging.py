"""What the roll-out's judge does: gathers evidence from traces, asks the gate, and appends what it says."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from inframind.errors import ConfigError, RolloutMoved
from inframind.plugin.online.foresight import LATEST
from inframind.plugin.online.learner_state import LearnerState
from inframind.plugin.online.lessons import Hearing
from inframind.plugin.online.school import School
from inframind.plugin.online.trial import Trial, Watched
from inframind.router.confidence import Interval
from inframind.router.gate.config import GateConfig
from inframind.router.gate.judging import judge
from inframind.router.gate.verdicts import Verdict
from inframind.router.gate.watching import record_at, watch
from inframind.router.online.protocol import Label
from inframind.traces.query import TraceQuery
from inframind.traces.records import Trajectory
from inframind.traces.shelf import Rollout, RolloutEvent, Shelf
from inframind.traces.store import TraceStore

_log = logging.getLogger(__name__)
ALARM, PROOF, WATCH = "alarm", "proof", "watch"
_NEVER = 10**9


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
    """Age in seconds at which it is seen whether a run failed or was late; one that takes longer is not seen."""

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
    """Looks at the candidate, or at what serves since its promotion.

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

    async def look(
        self, state: LearnerState, rollout: Rollout, *, now_s: float
    ) -> tuple[LearnerState, Verdict | None]:
        """The state with what traces have shown by now, and what the gate says of it; None where nothing is judged.

        Raises:
            StoreError: traces or the shelf cannot be read.
        """
        if rollout.candidate:
            return await self._look_at_candidate(state, rollout, now_s)
        if rollout.serving:
            return await self._look_at_serving(state, rollout, now_s)
        return replace(state, trials={}), None

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
    ) -> tuple[LearnerState, Verdict | None]:
        refused = await self._refusal(rollout, now_s)
        if refused is not None:
            return state, refused
        config = self._config
        alarm = await _trial(state.trials.get(ALARM), rollout).plus(
            self._store, until_s=now_s - config.alarm_s, labels_of=_nobody
        )
        proof = await _trial(state.trials.get(PROOF), rollout).plus(
            self._store, until_s=now_s - config.settle_s, labels_of=self._labels_of(state)
        )
        verdict = judge(rollout, alarm.evidence, config.alarms, now_s=now_s)
        if verdict.act != "roll_back":
            verdict = judge(rollout, proof.evidence, config.gate, now_s=now_s)
        if verdict.act == "advance" and rollout.stage == "shadow":  # before it serves any run
            foreseen = await self._foreseen(rollout, state)
            verdict = judge(rollout, proof.evidence, config.gate, now_s=now_s, foreseen=foreseen)
        return replace(state, trials={ALARM: alarm.to_json(), PROOF: proof.to_json()}), verdict

    async def _foreseen(self, rollout: Rollout, state: LearnerState) -> Interval | None:
        """What the latest labelled runs say of the candidate beside what serves."""
        query = TraceQuery(labelled=True, solved_keys=self._hearing.keys, limit=LATEST)
        runs = [run async for run in self._store.iter(query)]
        new, old = [
            await self._school.stored(self._shelf, version)
            for version in (rollout.candidate, rollout.serving)
        ]
        return self._school.foreseen(new, old, runs, self._labels_of(state)(runs))

    async def _look_at_serving(
        self, state: LearnerState, rollout: Rollout, now_s: float
    ) -> tuple[LearnerState, Verdict | None]:
        kept = state.trials.get(WATCH)
        if kept is None or kept["version"] != rollout.serving:
            kept = await self._begin_watch(rollout)
        if not kept["promotion"]:
            return replace(state, trials={WATCH: kept}), None
        watched = await Watched.from_json(kept).plus(
            self._store, until_s=now_s - self._config.alarm_s, labels_of=_nobody
        )
        promotion = (await self._shelf.events(after=int(kept["promotion"]) - 1, limit=1))[0]
        verdict = watch(rollout, record_at(promotion), watched.record, self._config.gate, now_s=now_s)
        trials = {WATCH: {**watched.to_json(), "promotion": promotion.number}}
        return replace(state, trials=trials), verdict

    async def _begin_watch(self, rollout: Rollout) -> dict[str, Any]:
        """Of what has just been promoted; what serves again after a rollback is not watched (promotion 0)."""
        stages = [event for event in await self._shelf.events() if event.stage is not None]
        made = stages[-1]
        is_promotion = (made.version, made.stage) == (rollout.serving, "full")
        watched = Watched.begin(rollout.serving, made.at_s).to_json()
        return {**watched, "promotion": made.number if is_promotion else 0}

    async def _refusal(self, rollout: Rollout, now_s: float) -> Verdict | None:
        """A candidate that a process cannot load is not tried any longer."""
        for replica in await self._shelf.replicas(since_s=now_s - 60.0):
            reason = replica.facts.get("refused", {}).get(rollout.candidate)
            if reason is None or rollout.frozen:
                continue
            text = f"{replica.name} cannot serve it: {reason}"
            event = RolloutEvent(
                at_s=now_s, version=rollout.candidate, stage="rolled_back", by="gate", reason=text
            )
            return Verdict(act="roll_back", reason=text, figures={}, event=event)
        return None

    def _labels_of(self, state: LearnerState) -> Any:
        book = self._hearing.book(state)
        return lambda runs: self._hearing.proofs(runs, book, state)


def _trial(kept: Mapping[str, Any] | None, rollout: Rollout) -> Trial:
    if kept is not None:
        trial = Trial.from_json(kept)
        if trial.evidence.version == rollout.candidate:
            return trial
    return Trial.begin(rollout.candidate, rollout.since_s)


def _nobody(runs: Sequence[Trajectory]) -> Mapping[str, Label]:
    return {}
