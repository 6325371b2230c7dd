"""The roll-out in sentences, the same in every command."""

from __future__ import annotations

from rich.text import Text

from inframind.plugin.terminal import one_line
from inframind.router.rollout import VERSION_DIGITS
from inframind.traces.shelf import PolicyVersion, Rollout, RolloutEvent

_UNITS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
_STYLES = {"full": "green", "rolled_back": "red"}
_STAGES = {
    "shadow": "watched in the shadow",
    "canary": "serves as a canary",
    "ramp": "serves on the ramp",
    "full": "serves all runs",
    "rolled_back": "rolled back",
}


def name_of(version: str) -> str:
    """``version 3f9a1c04b2d7``, or ``the configured policy``."""
    return f"version {version[:VERSION_DIGITS]}" if version else "the configured policy"


def advice_of(version: PolicyVersion) -> str:
    """The recommendation that a version was made for, or that it is without; "" for others."""
    if advice := version.facts.get("advice"):
        return f"recommendation {str(advice)[:VERSION_DIGITS]}: {version.facts.get('title', '')}"
    without = version.facts.get("without_advice")
    return f"without recommendation {without}" if without else ""


def ago(then_s: float, now_s: float) -> str:
    """How long ago, in one unit: ``5 min ago``."""
    passed_s = max(now_s - then_s, 0.0)
    unit_s, unit = next(((one, name) for one, name in _UNITS if passed_s >= one), _UNITS[-1])
    return f"{passed_s / unit_s:.0f} {unit} ago"


def standing_of(version: str, rollout: Rollout) -> str:
    """What part a version has now, or ""."""
    if version == rollout.serving:
        return "serves"
    if version == rollout.candidate:
        return str(rollout.stage)
    return "served before" if version and version == rollout.before else ""


def rollout_line(rollout: Rollout, now_s: float) -> Text:
    """Who serves now, as a sentence."""
    text = Text(f"{name_of(rollout.serving)} serves", "bold")
    if not rollout.candidate:
        text.append(" all runs; nothing is being tried")
    elif not rollout.share:
        text.append(f" all runs; {name_of(rollout.candidate)} is watched in the shadow")
    else:
        text.append(
            f" {1 - rollout.share:.0%} of runs, {name_of(rollout.candidate)} the other {rollout.share:.0%}"
            f" ({rollout.stage}, since {ago(rollout.since_s, now_s).removesuffix(' ago')})"
        )
    if rollout.frozen:
        text.append("; frozen", "bold cyan")
    return text


def event_line(event: RolloutEvent, now_s: float) -> Text:
    """What happened, as a line."""
    text = Text(f"{event.number:>4}  {ago(event.at_s, now_s):>10}  {event.by}: ")
    if event.stage is not None:
        what = _STAGES[event.stage]
        share = f" ({event.share:.0%})" if event.stage in ("canary", "ramp") else ""
        text.append(f"{name_of(event.version)} {what}{share}", _STYLES.get(event.stage, "yellow"))
    elif not event.version and event.by.startswith("user:"):
        text.append("frozen" if event.frozen else "thawed", "cyan")
    else:
        text.append(f"remark on {name_of(event.version)}" if event.version else "remark", "dim")
    return text.append(f"; {one_line(event.reason, 400)}") if event.reason else text
