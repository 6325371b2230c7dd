"""From settings to whose feedback is listened to."""

from __future__ import annotations

from inframind.plugin.config import Settings
from inframind.plugin.online.lessons import Hearing
from inframind.traces.records import SolvedKeys


def hearing_of(settings: Settings) -> Hearing:
    """Whose feedback is learned from, as ``[feedback]`` and ``[online.guards]`` say.

    Raises:
        ConfigError: settings that contradict each other.
    """
    guards = settings.online.guards
    return Hearing(
        keys=SolvedKeys(settings.feedback.solved_keys),
        trust=guards.to_trust(),
        quotas=guards.to_quotas(),
        suspicion=guards.to_suspicion(),
    )
