"""What ``inframind doctor`` says of the versions that are published in the trace store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from inframind.errors import CheckpointError, ConfigError, StoreError
from inframind.fleet.clock import Clock
from inframind.fleet.probe import Finding
from inframind.plugin.config import Settings
from inframind.plugin.online.learning import LEARNER
from inframind.plugin.rollout_words import ago, name_of, rollout_line
from inframind.router.policy_shelf import policy_of
from inframind.traces.shelf import PRESENT_S, Progress, Replica, Rollout, Shelf
from inframind.traces.shelves import shelf_of
from inframind.traces.store import open_store

ASLEEP_S = 3600.0
"""Age of the learner's latest commit from which on somebody should look."""


async def served_policy(settings: Settings, clock: Clock) -> list[Finding]:
    """Which version serves, whether this release can serve it, who does, and whether anybody learns."""
    try:
        async with open_store(settings.traces.url) as store:
            shelf, now_s = shelf_of(store), clock.wall_s()
            rollout = await shelf.rollout()
            findings = [await _serving(shelf, rollout, now_s)]
            replicas = await shelf.replicas(since_s=now_s - PRESENT_S)
            progress = await shelf.progress(LEARNER)
    except (ConfigError, StoreError) as error:
        fix = error.fix if isinstance(error, ConfigError) else "see what the check of the trace store says"
        return [Finding(check="versions", level="fail", found=str(error), fix=fix)]
    return [*findings, *_replicas(rollout, replicas), *_learner(settings, progress, now_s)]


async def _serving(shelf: Shelf, rollout: Rollout, now_s: float) -> Finding:
    said = rollout_line(rollout, now_s).plain
    for version in filter(None, (rollout.serving, rollout.candidate)):
        try:
            policy_of(await shelf.policy(version), await shelf.policy_content(version))
        except CheckpointError as error:
            return Finding(check="serves", level="fail", found=f"{said}; {error}", fix=error.fix)
    if rollout.frozen:
        fix = "inframind policies thaw, when things may change again"
        return Finding(check="serves", level="warn", found=said, fix=fix)
    return Finding(check="serves", level="ok", found=said)


def _replicas(rollout: Rollout, replicas: Sequence[Replica]) -> Iterator[Finding]:
    if not replicas:
        yield Finding(check="processes", level="ok", found="none has reported in the last minute")
        return
    behind = [one for one in replicas if one.serving != rollout.serving]
    told = f"{len(replicas)} report, {len(replicas) - len(behind)} of them serve it"
    if not behind:
        yield Finding(check="processes", level="ok", found=told)
        return
    first = behind[0]
    why = first.facts.get("refused", {}).get(rollout.serving, "it has not caught up")
    found = f"{told}; {first.name} serves {name_of(first.serving)}: {why}"
    yield Finding(
        check="processes", level="warn", found=found, fix="see its log, or `inframind policies list`"
    )


def _learner(settings: Settings, progress: Progress | None, now_s: float) -> Iterator[Finding]:
    if settings.online.learner == "off":
        return
    if progress is None:
        fix = "start `inframind learn` beside the servers" if settings.online.learner == "separate" else ""
        yield Finding(check="learner", level="warn", found="nothing has been learned yet", fix=fix)
        return
    found = f"{progress.learned:,} runs learned, the last {ago(progress.at_s, now_s)} by {progress.holder}"
    is_asleep = now_s - progress.at_s > ASLEEP_S
    fix = "is it running? `inframind learn --dry-run` says what waits" if is_asleep else ""
    yield Finding(check="learner", level="warn" if is_asleep else "ok", found=found, fix=fix)
