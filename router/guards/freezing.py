"""The switch that stops all change: whatever serves goes on serving, nothing is promoted and nothing rolled back."""

from __future__ import annotations

from inframind.errors import ConfigError
from inframind.traces.shelf import Rollout, RolloutEvent


def freeze(rollout: Rollout, *, at_s: float, by: str, reason: str) -> RolloutEvent:
    """The event that freezes the roll-out, for `Shelf.append`.

    Raises:
        ConfigError: it is frozen, or no reason is given.
    """
    return _switch(rollout, True, at_s, by, reason)


def thaw(rollout: Rollout, *, at_s: float, by: str, reason: str = "") -> RolloutEvent:
    """The event that ends a freeze, which was the exception that needed a reason; a candidate goes on where it was.

    Raises:
        ConfigError: it is not frozen.
    """
    return _switch(rollout, False, at_s, by, reason)


def _switch(rollout: Rollout, frozen: bool, at_s: float, by: str, reason: str) -> RolloutEvent:
    if rollout.frozen is frozen:
        raise ConfigError("rollout.frozen", frozen, "it is so already")
    if frozen and not reason:
        raise ConfigError("reason", reason, "say why, for whoever reads the roll-out's events")
    return RolloutEvent(at_s=at_s, version="", stage=None, frozen=frozen, by=by, reason=reason)
