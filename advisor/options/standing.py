"""What a rule says beside those that are in force."""

from __future__ import annotations

import orjson

from inframind.advisor.options.effect import Effects
from inframind.router.rules import HOURS, SECONDS_PER_HOUR, Circumstances, RoutingRule


def content_of(rule: RoutingRule) -> str:
    """What a rule says, whatever it is called and wherever it came from."""
    said = rule.model_dump(mode="json", exclude={"name", "advice"}, exclude_defaults=True)
    return orjson.dumps(_sorted(said), option=orjson.OPT_SORT_KEYS).decode()


def clashes(rule: RoutingRule, old: RoutingRule, effects: Effects) -> bool:
    """Whether a rule says what another says already, or leaves nothing of what that leaves where both apply."""
    if content_of(rule) == content_of(old):
        return True
    if not _may_meet(rule.when, old.when):
        return False
    return any(not (left(rule) & left(old)).any() for left in (effects.steps_left, effects.plans_left))


def _sorted(value: object) -> object:
    """Names in ascending order; hours as they are."""
    if isinstance(value, dict):
        return {key: inner if key == "hours_utc" else _sorted(inner) for key, inner in value.items()}
    return sorted(value) if isinstance(value, list) else value


def _may_meet(one: Circumstances, other: Circumstances) -> bool:
    """Whether both can hold at once."""
    for name in ("domains", "roles", "topologies"):
        mine, theirs = getattr(one, name), getattr(other, name)
        if mine and theirs and not mine & theirs:
            return False
    hours = (hour * SECONDS_PER_HOUR for hour in range(HOURS))
    return any(one.is_at(wall_s) and other.is_at(wall_s) for wall_s in hours)
