"""What becomes of a candidate: shadow, canary, ramp, held back, full, and back from any of them. Pure.

::

    propose -> shadow -> canary -> ramp -> ramp, all but the holdback -> full -> watched
                 |         |         |                 |                           |
                 +---------+---------+-----------------+---------------------------+--> rolled back, for a reason

Up to the last rung a candidate climbs by having served enough runs without a sign of harm. Promotion takes proof: the
lower bound of its improvement must be above ``-epsilon``. Nothing here reads a clock or a store: who calls appends the
event, and if somebody else was faster (`RolloutMoved`), reads again and asks anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from inframind.errors import ConfigError
from inframind.router.confidence import Interval
from inframind.router.gate.bounds import alarm_interval, information_needed, trial_chance, trial_low
from inframind.router.gate.config import GateConfig, information
from inframind.router.gate.evidence import Evidence
from inframind.router.gate.verdicts import BY, Act, Verdict
from inframind.router.gate.watching import broken_promise
from inframind.router.gate.wording import points, short, so_far
from inframind.traces.shelf import Rollout, RolloutEvent, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What the evidence says, as bounds of differences of the candidate from the version that serves.

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
        delta = config.alarm_delta
        return cls(
            success=alarm_interval(evidence.success, delta=delta),
            on_time=alarm_interval(evidence.on_time, delta=delta),
            failed=alarm_interval(evidence.failed, delta=delta),
            heard=alarm_interval(evidence.heard, delta=delta),
            low=trial_low(evidence.success, delta=config.delta, planned=config.planned_information),
            chance=trial_chance(
                evidence.success,
                delta=config.delta,
                planned=config.planned_information,
                worst=-config.epsilon,
                hoped=config.hoped,
            ),
        )


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
        by: who put the candidate where it is. What the gate holds back was proven once, and settles by runs; where a
            person gave it that share, it settles when there is proof.

    Raises:
        ConfigError: nothing is being tried, or the evidence is about something else.
    """
    if not rollout.candidate or evidence.version != rollout.candidate:
        raise ConfigError("evidence.version", evidence.version, f"{rollout.candidate!r} is being tried")
    bounds = Bounds.of(evidence, config)
    figures = _figures(evidence, bounds)
    is_held_back = _is_held_back(rollout, config) and (by == BY or _is_proven(evidence, config, bounds))
    fault = _fault(rollout, evidence, config, bounds, foreseen)
    fault = fault or _too_long(rollout, config, now_s)
    if not is_held_back:
        fault = fault or _hopeless(evidence, config, bounds)
    if fault:
        return _verdict(rollout, "roll_back", "rolled_back", 0.0, fault, figures, now_s)
    if evidence.at(rollout.share) < config.least_runs:
        text = f"{evidence.at(rollout.share)} of {config.least_runs} runs at {rollout.share:.0%}"
        return _wait(rollout, text, figures)
    if is_held_back:
        text = f"served {evidence.at(rollout.share)} runs at {rollout.share:.0%} without a sign of harm"
        return _verdict(rollout, "settle", "full", 1.0, text, figures, now_s)
    if rollout.share < config.rungs[-1]:
        return _climb(rollout, evidence, config, bounds, figures, now_s)
    return _promote(rollout, evidence, config, bounds, figures, now_s)


def _is_held_back(rollout: Rollout, config: GateConfig) -> bool:
    """Whether it has the share of what was promoted."""
    return rollout.stage == "ramp" and math.isclose(rollout.share, 1 - config.holdback)


def _fault(
    rollout: Rollout, evidence: Evidence, config: GateConfig, bounds: Bounds, foreseen: Interval | None
) -> str:
    """What is wrong with the candidate, or ""."""
    if foreseen is not None and rollout.stage == "shadow" and foreseen.high < -config.epsilon:
        return f"recorded runs say that it would be worse: {points(foreseen)}"
    if bounds.failed.low > config.most_failing:
        return f"it fails more often: {points(bounds.failed)} of its runs"
    if bounds.on_time.high < -config.most_late:
        return f"it is late more often: {points(bounds.on_time)} in time"
    if bounds.success.high < 0 and _graded(evidence) >= config.fewest_labels:
        return f"it solves less in time: {points(bounds.success)}"
    return broken_promise(evidence.records["candidate"], evidence.records["serving"], config)


def _too_long(rollout: Rollout, config: GateConfig, now_s: float) -> str:
    waited_s = now_s - rollout.since_s
    if waited_s <= config.most_s:
        return ""
    return f"not enough evidence after {waited_s / 86_400:.1f} days as {rollout.stage}"


def _hopeless(evidence: Evidence, config: GateConfig, bounds: Bounds) -> str:
    if _is_proven(evidence, config, bounds):
        return ""
    if evidence.runs >= config.most_runs:
        return (
            f"not enough evidence after {evidence.runs} runs: the improvement is {evidence.success.gap:+.1%}, "
            f"above {bounds.low:+.1%} for sure, and {-config.epsilon:+.1%} was asked for"
        )
    if bounds.chance < config.least_chance and _graded(evidence) >= config.fewest_labels:
        return (
            f"not enough evidence to come: were it {config.hoped:.0%} better from now on, {config.most_runs} runs "
            f"would show it with probability {bounds.chance:.0%} ({evidence.heard_share:.0%} of runs in time are "
            f"graded; trials of {_runs_needed(evidence, config):,} runs show it in four cases of five)"
        )
    return ""


def _runs_needed(evidence: Evidence, config: GateConfig) -> int:
    """Length of trials of such candidates that show an improvement as hoped in four cases of five."""
    needed = information_needed(
        evidence.success, delta=config.delta, worst=-config.epsilon, hoped=config.hoped
    )
    missing = needed - config.planned_information
    runs = config.most_runs + missing / information(config.rungs[-1])
    return int(round(runs, -2))


def _climb(
    rollout: Rollout,
    evidence: Evidence,
    config: GateConfig,
    bounds: Bounds,
    figures: Mapping[str, float],
    now_s: float,
) -> Verdict:
    share = next(rung for rung in config.rungs if rung > rollout.share)
    stage: Stage = "canary" if share == config.canary_share else "ramp"
    seen = f"{evidence.at(rollout.share)} runs"
    what = f"{seen} in the shadow" if rollout.stage == "shadow" else f"{seen} without a sign of harm"
    text = f"{what} ({so_far(bounds.success)}); on to {share:.0%}"
    return _verdict(rollout, "advance", stage, share, text, figures, now_s)


def _promote(
    rollout: Rollout,
    evidence: Evidence,
    config: GateConfig,
    bounds: Bounds,
    figures: Mapping[str, float],
    now_s: float,
) -> Verdict:
    if not _is_proven(evidence, config, bounds):
        return _wait(rollout, _missing(evidence, config, bounds), figures)
    text = (
        f"the improvement is {evidence.success.gap:+.1%}, and above {bounds.low:+.1%} for sure "
        f"({1 - config.delta:.0%}, {evidence.runs} runs)"
    )
    if not config.holdback:
        return _verdict(rollout, "promote", "full", 1.0, text, figures, now_s)
    text += f"; {config.holdback:.0%} of runs stay with the version before, for a while"
    return _verdict(rollout, "promote", "ramp", 1 - config.holdback, text, figures, now_s)


def _is_proven(evidence: Evidence, config: GateConfig, bounds: Bounds) -> bool:
    return _graded(evidence) >= config.least_labels and bounds.low > -config.epsilon and 0 in bounds.heard


def _graded(evidence: Evidence) -> int:
    """Graded runs of the version that has fewer of them."""
    return min(record.labelled for record in evidence.records.values())


def _missing(evidence: Evidence, config: GateConfig, bounds: Bounds) -> str:
    graded = _graded(evidence)
    if graded < config.least_labels:
        return f"{graded} of {config.least_labels} graded runs"
    if 0 not in bounds.heard:
        return f"grades do not reach both alike: {points(bounds.heard)} of its runs in time"
    return f"no proof yet: above {bounds.low:+.1%} for sure, and {-config.epsilon:+.1%} is asked for"


def _wait(rollout: Rollout, text: str, figures: Mapping[str, float]) -> Verdict:
    return Verdict(act="wait", reason=f"{short(rollout.candidate)}: {text}", figures=figures)


def _verdict(
    rollout: Rollout,
    act: Act,
    stage: Stage,
    share: float,
    text: str,
    figures: Mapping[str, float],
    now_s: float,
) -> Verdict:
    reason = f"{short(rollout.candidate)}: {text}"
    if rollout.frozen:
        return Verdict(act=act, reason=f"frozen; else {act.replace('_', ' ')}: {reason}", figures=figures)
    event = RolloutEvent(
        at_s=now_s,
        version=rollout.candidate,
        stage=stage,
        share=share,
        by=BY,
        reason=reason,
        figures=figures,
    )
    return Verdict(act=act, reason=reason, figures=figures, event=event)


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
        "improvement": evidence.success.gap,
        "chance": bounds.chance,
    }
    ends = {
        "lower": bounds.low,
        "success_lower": bounds.success.low,
        "upper": bounds.success.high,
        "on_time_upper": bounds.on_time.high,
        "failed_lower": bounds.failed.low,
    }
    # Infinite ends say nothing, and JSON cannot say them.
    return told | {name: end for name, end in ends.items() if abs(end) <= 1e6}
