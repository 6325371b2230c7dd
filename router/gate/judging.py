"""What becomes of a candidate: shadow, canary, ramp, held back, full, and back from any of them. Pure.

::

    propose -> shadow -> canary -> ramp -> ramp, all but the holdback -> full -> watched
                 |         |         |                 |                           |
                 +---------+---------+-----------------+---------------------------+--> rolled back, for a reason

Up to the last rung a candidate climbs by having served enough runs without a sign of harm. Promotion takes proof: the
lower bound of its improvement must be above ``-epsilon``. Where runs that were recorded before have proven that
already (`Brief.is_vouched`), the trial is there to refute it: a candidate that has come to its end is promoted, unless
something looked like harm or the improvement is estimated below ``-epsilon``. One that loses more is then promoted only
if both were wrong. Nothing here reads a clock or a store: who calls appends the
event, and if somebody else was faster (`RolloutMoved`), reads again and asks anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from inframind.errors import ConfigError
from inframind.router.confidence import Interval
from inframind.router.gate.bounds import alarm_interval, information_needed, trial_chance, trial_low
from inframind.router.gate.brief import Brief
from inframind.router.gate.config import GateConfig, information
from inframind.router.gate.course import length, planned
from inframind.router.gate.evidence import Evidence, Scores
from inframind.router.gate.verdicts import BY, Act, Verdict
from inframind.router.gate.watching import broken_promise
from inframind.router.gate.wording import points, short, so_far
from inframind.traces.shelf import UNPROVEN, Rollout, RolloutEvent, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What the evidence says, as bounds of differences of the candidate from the version that serves.

    Harm is looked for among all runs and, where a candidate concerns some alone, among those too, each at half the
    delta: what it does to them shows there first, and what it does to others by way of the fleet or of a thread shows
    in all.

    Attributes:
        success: of being right and in time, each end at the alarms' delta.
        on_time: of being in time.
        failed: of failing.
        heard: of being graded.
        low: lower bound of the improvement in success, for promotion.
        chance: of proof by the trial's end, were the candidate as good as hoped.
    """

    success: Interval
    on_time: Interval
    failed: Interval
    heard: Interval
    low: float
    chance: float

    @classmethod
    def of(cls, evidence: Evidence, config: GateConfig) -> Bounds:
        """At this look."""
        to_come = planned(evidence, config)
        parts = [evidence.concerned] if evidence.concerned is not None else []
        known = [part for part in parts if part.graded >= config.fewest_labels]
        return cls(
            success=_joint(
                evidence.success, (part.success.among(evidence.success) for part in known), config
            ),
            on_time=_joint(
                evidence.on_time, (part.on_time.among(evidence.on_time) for part in parts), config
            ),
            failed=_joint(evidence.failed, (part.failed.among(evidence.failed) for part in parts), config),
            heard=_joint(evidence.heard, (part.heard for part in parts), config),
            low=trial_low(evidence.proof, delta=config.delta, planned=to_come),
            chance=trial_chance(
                evidence.proof,
                delta=config.delta,
                planned=to_come,
                worst=-config.epsilon,
                hoped=config.hoped,
            ),
        )


def _joint(everywhere: Scores, there: Iterable[Scores], config: GateConfig) -> Interval:
    """What all runs and those concerned say together, each end wrong with the alarms' delta."""
    scores = (everywhere, *there)
    said = [alarm_interval(one, delta=config.alarm_delta / len(scores)) for one in scores]
    return Interval(max(one.low for one in said), min(one.high for one in said))


def propose(rollout: Rollout, version: str, *, now_s: float, by: str = BY, reason: str = "") -> RolloutEvent:
    """The event that puts a version into the shadow.

    Raises:
        ConfigError: the roll-out is frozen, another version is being tried, or this one serves already.
    """
    if rollout.frozen:
        raise ConfigError("rollout.frozen", True, "thaw it before anything is tried")
    if rollout.candidate:
        raise ConfigError("rollout.candidate", rollout.candidate, "promote it or roll it back first")
    if version == rollout.serving:
        raise ConfigError("version", version, "it serves already")
    text = f"{short(version)} is tried beside {short(rollout.serving)}: in the shadow, no run is served by it"
    return RolloutEvent(at_s=now_s, version=version, stage="shadow", by=by, reason=reason or text)


def judge(
    rollout: Rollout,
    evidence: Evidence,
    config: GateConfig,
    *,
    now_s: float,
    foreseen: Interval | None = None,
    brief: Brief | None = None,
    by: str = BY,
) -> Verdict:
    """What to do with the candidate, as of now.

    Args:
        rollout: who serves.
        evidence: of this candidate, from all its runs so far.
        config: how careful to be.
        now_s: seconds since the Unix epoch.
        foreseen: difference that off-policy evaluation expects, valid whenever one looks; it can end a candidate in the
            shadow, and never promotes one.
        brief: what is known of the candidate besides.
        by: who put the candidate where it is. What the gate holds back was found good once, and settles by runs; where
            a person gave it that share, it settles when it is found good.

    Raises:
        ConfigError: nothing is being tried, or the evidence is about something else.
    """
    if not rollout.candidate or evidence.version != rollout.candidate:
        raise ConfigError("evidence.version", evidence.version, f"{rollout.candidate!r} is being tried")
    look = _Look(
        rollout=rollout,
        evidence=evidence,
        config=config,
        bounds=Bounds.of(evidence, config),
        brief=brief or Brief(),
        now_s=now_s,
    )
    return look.verdict(foreseen, by)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """All that a verdict is made of."""

    rollout: Rollout
    evidence: Evidence
    config: GateConfig
    bounds: Bounds
    brief: Brief
    now_s: float

    def verdict(self, foreseen: Interval | None, by: str) -> Verdict:
        rollout, evidence, config = self.rollout, self.evidence, self.config
        is_held_back = self._is_held_back() and (by == BY or self._is_good())
        if fault := self._fault(foreseen):
            return self._say("roll_back", "rolled_back", 0.0, fault)
        if want := self._too_long() or ("" if is_held_back else self._hopeless()):
            return self._say("roll_back", "rolled_back", 0.0, want, **{UNPROVEN: 1.0})
        if evidence.at(rollout.share) < config.least_runs:
            return self._wait(
                f"{evidence.at(rollout.share)} of {config.least_runs} runs at {rollout.share:.0%}"
            )
        if is_held_back:
            text = f"served {evidence.at(rollout.share)} runs at {rollout.share:.0%} without a sign of harm"
            return self._say("settle", "full", 1.0, text)
        return self._climb() if rollout.share < config.rungs[-1] else self._promote()

    # What ends it --------------------------------------------------------------------------------------

    def _is_held_back(self) -> bool:
        """Whether it has the share of what was promoted."""
        rollout = self.rollout
        return rollout.stage == "ramp" and math.isclose(rollout.share, 1 - self.config.holdback)

    def _fault(self, foreseen: Interval | None) -> str:
        """What is wrong with the candidate, or ""."""
        bounds, config, evidence = self.bounds, self.config, self.evidence
        if foreseen is not None and self.rollout.stage == "shadow" and foreseen.high < -config.epsilon:
            return f"recorded runs say that it would be worse: {points(foreseen)}"
        if bounds.failed.low > config.most_failing:
            return f"it fails more often: {points(bounds.failed)} of its runs"
        if bounds.on_time.high < -config.most_late:
            return f"it is late more often: {points(bounds.on_time)} in time"
        if bounds.success.high < 0 and evidence.graded >= config.fewest_labels:
            return f"it solves less in time: {points(bounds.success)}"
        return broken_promise(evidence.records["candidate"], evidence.records["serving"], config)

    def _too_long(self) -> str:
        waited_s = self.now_s - self.rollout.since_s
        if waited_s <= self.config.most_s:
            return ""
        return f"not enough evidence after {waited_s / 86_400:.1f} days as {self.rollout.stage}"

    def _hopeless(self) -> str:
        bounds, config, evidence = self.bounds, self.config, self.evidence
        if self._is_good():
            return ""
        if self._is_over():
            return f"not enough evidence after {evidence.runs} runs: {self._shortcoming()}"
        is_vouched = self.brief.is_vouched(config.epsilon)
        if is_vouched or bounds.chance >= config.least_chance or evidence.graded < config.fewest_labels:
            return ""
        return (
            f"not enough evidence to come: were it {config.hoped:.0%} better from now on, {config.most_runs} runs "
            f"would show it with probability {bounds.chance:.0%} ({evidence.heard_share:.0%} of runs in time are "
            f"graded; trials of {_runs_needed(evidence, config):,} runs show it in four cases of five)"
        )

    def _shortcoming(self) -> str:
        if self.brief.is_vouched(self.config.epsilon):
            return f"recorded runs vouch for it, but {self._missing()}"
        low, asked = self.bounds.low, -self.config.epsilon
        return (
            f"the improvement is {self.evidence.proof.gap:+.1%}, above {low:+.1%} for sure, "
            f"and {asked:+.1%} was asked for"
        )

    # What lets it serve --------------------------------------------------------------------------------

    def _climb(self) -> Verdict:
        rollout, config = self.rollout, self.config
        share = next(rung for rung in config.rungs if rung > rollout.share)
        stage: Stage = "canary" if share == config.canary_share else "ramp"
        seen = f"{self.evidence.at(rollout.share)} runs"
        what = f"{seen} in the shadow" if rollout.stage == "shadow" else f"{seen} without a sign of harm"
        return self._say(
            "advance", stage, share, f"{what} ({so_far(self.bounds.success)}); on to {share:.0%}"
        )

    def _promote(self) -> Verdict:
        evidence, config = self.evidence, self.config
        if not self._is_good():
            return self._wait(self._missing())
        if self._is_proven():
            told = f"above {self.bounds.low:+.1%} for sure ({1 - config.delta:.0%}, {evidence.runs} runs)"
        else:
            told = f"recorded runs vouch for it, and {evidence.runs} runs showed no sign of harm"
        text = f"the improvement is {evidence.proof.gap:+.1%}, and {told}"
        if not config.holdback:
            return self._say("promote", "full", 1.0, text)
        text += f"; {config.holdback:.0%} of runs stay with the version before, for a while"
        return self._say("promote", "ramp", 1 - config.holdback, text)

    def _is_good(self) -> bool:
        return self._is_proven() or self._is_unrefuted()

    def _is_proven(self) -> bool:
        """Whether the trial shows by itself that it does not lose more than may be."""
        return self._is_graded() and self.bounds.low > -self.config.epsilon

    def _is_unrefuted(self) -> bool:
        """Whether recorded runs have shown that, and the trial is over and does not speak against it."""
        epsilon = self.config.epsilon
        is_borne_out = self.evidence.proof.gap >= -epsilon
        return self.brief.is_vouched(epsilon) and self._is_over() and self._is_graded() and is_borne_out

    def _is_over(self) -> bool:
        return length(self.evidence, self.config) >= self.config.most_runs

    def _is_graded(self) -> bool:
        """Whether grades are enough, also among the runs that it concerns, and reach both versions alike."""
        part, config = self.evidence.concerned, self.config
        is_heard_of = part is None or part.graded >= config.fewest_labels
        return is_heard_of and self.evidence.graded >= config.least_labels and 0 in self.bounds.heard

    def _missing(self) -> str:
        part, config, bounds = self.evidence.concerned, self.config, self.bounds
        if self.evidence.graded < config.least_labels:
            return f"{self.evidence.graded} of {config.least_labels} graded runs"
        if part is not None and part.graded < config.fewest_labels:
            return f"{part.graded} of {config.fewest_labels} graded runs of those that it concerns"
        if 0 not in bounds.heard:
            return f"grades do not reach both alike: {points(bounds.heard)} of its runs in time"
        if self.brief.is_vouched(config.epsilon):
            gap = f"{self.evidence.proof.gap:+.1%}, where {-config.epsilon:+.1%} is borne"
            return (
                f"the improvement is {gap}" if self._is_over() else f"no harm yet: the improvement is {gap}"
            )
        return f"no proof yet: above {bounds.low:+.1%} for sure, and {-config.epsilon:+.1%} is asked for"

    # Saying it -----------------------------------------------------------------------------------------

    def _wait(self, text: str) -> Verdict:
        reason = f"{short(self.rollout.candidate)}: {text}"
        return Verdict(act="wait", reason=reason, figures=self._figures())

    def _say(self, act: Act, stage: Stage, share: float, text: str, **more: float) -> Verdict:
        reason = f"{short(self.rollout.candidate)}: {text}"
        figures = self._figures() | more
        if self.rollout.frozen:
            return Verdict(act=act, reason=f"frozen; else {act.replace('_', ' ')}: {reason}", figures=figures)
        event = RolloutEvent(
            at_s=self.now_s,
            version=self.rollout.candidate,
            stage=stage,
            share=share,
            by=BY,
            reason=reason,
            figures=figures,
        )
        return Verdict(act=act, reason=reason, figures=figures, event=event)

    def _figures(self) -> dict[str, float]:
        told = _figures(self.evidence, self.bounds)
        if self.brief.foretold is not None:
            told["foretold"], told["foretold_lower"] = self.brief.foretold.change, self.brief.foretold.low
        return told


def _runs_needed(evidence: Evidence, config: GateConfig) -> int:
    """Length of trials of such candidates that show an improvement as hoped in four cases of five."""
    needed = information_needed(evidence.proof, delta=config.delta, worst=-config.epsilon, hoped=config.hoped)
    missing = needed - config.planned_information
    runs = config.most_runs + missing / information(config.rungs[-1])
    return int(round(runs, -2))


def _figures(evidence: Evidence, bounds: Bounds) -> dict[str, float]:
    tried, other = evidence.records["candidate"], evidence.records["serving"]
    told = {
        "n": float(evidence.runs),
        "n_candidate": float(tried.runs),
        "graded": float(tried.labelled + other.labelled),
        "graded_candidate": float(tried.labelled),
        "success": tried.success_share,
        "success_before": other.success_share,
        "on_time": tried.on_time_share,
        "on_time_before": other.on_time_share,
        "failed": tried.failed_share,
        "failed_before": other.failed_share,
        "improvement": evidence.proof.gap,
        "chance": bounds.chance,
    }
    if evidence.concerned is not None:
        told["concerned"] = float(evidence.concerned.runs)
    ends = {
        "lower": bounds.low,
        "success_lower": bounds.success.low,
        "upper": bounds.success.high,
        "on_time_upper": bounds.on_time.high,
        "failed_lower": bounds.failed.low,
    }
    # Infinite ends say nothing, and JSON cannot say them.
    return told | {name: end for name, end in ends.items() if abs(end) <= 1e6}
