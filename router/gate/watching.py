"""After the promotion: a version is held against what it was on trial, and against what was promised."""

from __future__ import annotations

from inframind.router.confidence import Interval, Side, difference_interval, mean_interval
from inframind.router.gate.config import GateConfig
from inframind.router.gate.evidence import Record
from inframind.router.gate.verdicts import BY, Verdict
from inframind.router.gate.wording import short
from inframind.traces.shelf import Rollout, RolloutEvent


def record_at(event: RolloutEvent) -> Record:
    """How a version did on trial, from the event that made it serve all runs; empty where a person made it."""
    figures = event.figures
    runs, graded = int(figures.get("n_candidate", 0)), int(figures.get("graded_candidate", 0))
    on_time = figures.get("on_time", 0.0)
    return Record(
        runs=runs,
        on_time=on_time * runs,
        failed=figures.get("failed", 0.0) * runs,
        labelled=graded,
        solved=figures.get("success", 0.0) / on_time * graded if on_time else 0.0,
    )


def record_before(event: RolloutEvent) -> Record:
    """How the version before did beside it, from the same event; empty where a person made it."""
    figures = event.figures
    runs = int(figures.get("n", 0) - figures.get("n_candidate", 0))
    graded = int(figures.get("graded", 0) - figures.get("graded_candidate", 0))
    on_time = figures.get("on_time_before", 0.0)
    return Record(
        runs=runs,
        on_time=on_time * runs,
        failed=figures.get("failed_before", 0.0) * runs,
        labelled=graded,
        solved=figures.get("success_before", 0.0) / on_time * graded if on_time else 0.0,
    )


def watch(
    rollout: Rollout,
    trial: Record,
    since: Record,
    config: GateConfig,
    *,
    now_s: float,
    before: Record | None = None,
) -> Verdict:
    """What to do with the version that serves all runs, as of now.

    Being late or failing more than on trial rolls it back, within ``watched_runs``: what shows only under the whole
    traffic shows there. Later, and for what is solved, the cause is as likely the world, which a rollback would not
    mend: the drift detector says so, and the learner sees to it.

    Args:
        rollout: who serves.
        trial: how it did before, from `record_at`.
        since: how it did since.
        config: how careful to be.
        now_s: seconds since the Unix epoch.
        before: how the version before it did beside it, from `record_before`; a promise that both break rolls nothing
            back.
    """
    figures = _figures(trial, since)
    text = f"{short(rollout.serving)}: {since.runs} runs since, {since.on_time_share:.1%} in time"
    if rollout.before == rollout.serving or since.runs > config.watched_runs:
        return Verdict(act="wait", reason=text, figures=figures)
    fault = _worse(trial, since, config) or broken_promise(since, before, config)
    if not fault:
        return Verdict(act="wait", reason=text, figures=figures)
    reason = f"{short(rollout.serving)}: {fault}; {short(rollout.before)} serves again"
    if rollout.frozen:
        return Verdict(act="roll_back", reason=f"frozen; else roll back: {reason}", figures=figures)
    event = RolloutEvent(
        at_s=now_s, version=rollout.serving, stage="rolled_back", by=BY, reason=reason, figures=figures
    )
    return Verdict(act="roll_back", reason=reason, figures=figures, event=event)


def broken_promise(tried: Record, other: Record | None, config: GateConfig) -> str:
    """What a version breaks and the other keeps, or ""; what both break is the fleet's doing."""
    on_time = _share(tried, tried.on_time_share, config, "high")
    keeps = other is None or not other.runs or other.on_time_share >= config.least_on_time
    if on_time.high < config.least_on_time and keeps:
        return f"{tried.on_time_share:.1%} in time, where {config.least_on_time:.1%} is promised"
    failed = _share(tried, tried.failed_share, config, "low")
    keeps = other is None or not other.runs or other.failed_share <= config.most_failed
    if failed.low > config.most_failed and keeps:
        return f"{tried.failed_share:.1%} failed, where at most {config.most_failed:.1%} is promised"
    return ""


def _worse(trial: Record, since: Record, config: GateConfig) -> str:
    failed = _gap(since, trial, since.failed_share, trial.failed_share, config, "low")
    if failed.low > config.most_failing:
        return f"it fails more often than on trial ({since.failed_share:.1%}, {trial.failed_share:.1%} then)"
    on_time = _gap(since, trial, since.on_time_share, trial.on_time_share, config, "high")
    if on_time.high < -config.most_late:
        shares = f"{since.on_time_share:.1%} in time, {trial.on_time_share:.1%} then"
        return f"it is late more often than on trial ({shares})"
    return ""


def _gap(
    since: Record, trial: Record, share: float, trial_share: float, config: GateConfig, side: Side
) -> Interval:
    pair = (since.moments(share), trial.moments(trial_share))
    return difference_interval(pair, delta=config.alarm_delta, range_width=1.0, side=side)


def _share(record: Record, share: float, config: GateConfig, side: Side) -> Interval:
    return mean_interval(record.moments(share), delta=config.alarm_delta, range_width=1.0, side=side)


def _figures(trial: Record, since: Record) -> dict[str, float]:
    return {
        "n": float(since.runs),
        "on_time": since.on_time_share,
        "on_time_on_trial": trial.on_time_share,
        "failed": since.failed_share,
        "failed_on_trial": trial.failed_share,
        "success": since.success_share,
        "success_on_trial": trial.success_share,
    }
