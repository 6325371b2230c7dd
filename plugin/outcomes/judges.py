"""What judges finished runs: graders look at a run, signals at what its thread's next run says of it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from inframind.errors import ConfigError
from inframind.traces.records import Outcome, Trajectory

Score = bool | float | None
"""True or False, a number, or None for no opinion: that is not a zero."""
Grade = Callable[[Trajectory], Score | Awaitable[Score]]
Signal = Callable[[Trajectory, Trajectory], Score | Awaitable[Score]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Somebody who judges runs without being asked each time.

    Attributes:
        name: unique; part of the outcome's source.
        key: what is judged; ``solved`` is the one that rewards read.
        kind: ``grader`` or ``signal``.
        share: share of the runs that are judged, the same ones every time.

    Raises:
        ConfigError: an empty name or key, or a share outside (0, 1].
    """

    name: str
    key: str
    kind: Literal["grader", "signal"]
    share: float = 1.0

    def __post_init__(self) -> None:
        if not self.name or not self.key:
            raise ConfigError(f"{self.kind}.name", self.name, "give the judge a name, and its feedback a key")
        if not 0 < self.share <= 1:
            raise ConfigError(f"{self.kind}.share", self.share, "use a share above 0 and up to 1")

    @property
    def source(self) -> str:
        """Who says so, in the outcome; its id too, so that judging a run again replaces the first verdict."""
        return f"{self.kind}:{self.name}"

    def takes(self, trajectory: Trajectory) -> bool:
        """Whether a run is among those that are judged: it has an answer, and falls into the share."""
        return bool(trajectory.text) and int(trajectory.trace_id[-8:], 16) < self.share * 2**32

    def outcome(self, score: Score, *, at_s: float) -> Outcome | None:
        """What is recorded; None where there is no opinion.

        Raises:
            ConfigError: the score is not a finite number.
        """
        if score is None:
            return None
        if not isinstance(score, bool | int | float) or not math.isfinite(score):
            raise ConfigError(self.source, score, "give True, False, a finite number, or None for no opinion")
        return Outcome(
            feedback_id=f"{self.source}/{self.key}",
            key=self.key,
            score=float(score),
            source=self.source,
            recorded_at_s=at_s,
        )


async def settled(score: Score | Awaitable[Score]) -> Score:
    """What a judge says, once it has said it."""
    return await score if inspect.isawaitable(score) else score


def asked_again(before: Trajectory, now: Trajectory) -> Score:
    """A signal: 0 when a thread's next question is all but the one before, within its first two minutes, else None.

    Whoever asks the same again was not helped. Asking something else says nothing.
    """
    gone_s = now.arrived_at_s - before.arrived_at_s - before.latency_s
    one, other = set(before.question.lower().split()), set(now.question.lower().split())
    alike = len(one & other) / len(one | other) if one | other else 0.0
    return 0.0 if gone_s <= _SOON_S and alike >= _ALIKE else None


_SOON_S = 120.0
_ALIKE = 0.8
"""Share of the words of both questions that they have in common (Jaccard)."""
