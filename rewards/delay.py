"""Feedback comes late: what may be said of a share while some of it is still on its way. Missing is not zero.

B = runs, D = distinct delays. A run that has not been heard of yet says that its delay is longer than its age, or that
no feedback ever comes; no more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inframind.errors import ConfigError
from inframind.rewards.arrays import Array, Flags, flags, floats, require_all_between, require_same_shape

LEAST_SHARE = 0.05
"""Weights are cut at one over this: a run that is heard of against all odds does not speak for more than twenty."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Feedback:
    """What has been heard so far of B runs.

    Attributes:
        heard_B: whether feedback has come.
        delay_s_B: seconds from the run's end until it came; anything where it has not.
        age_s_B: seconds since the run's end.

    Raises:
        ConfigError: lengths differ, or feedback came later than now.
    """

    heard_B: Flags
    delay_s_B: Array
    age_s_B: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "heard_B", flags("heard_B", self.heard_B))
        for name in ("delay_s_B", "age_s_B"):
            object.__setattr__(self, name, floats(name, getattr(self, name)))
        require_same_shape({name: getattr(self, name) for name in ("heard_B", "delay_s_B", "age_s_B")})
        if (self.delay_s_B > self.age_s_B)[self.heard_B].any():
            raise ConfigError(
                "delay_s_B", "longer than age_s_B", "give ages as of when feedback was last read"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Delays:
    """How long feedback takes, where there is any in the end.

    Attributes:
        at_s_D: delays at which some came, ascending.
        share_D: share of the feedback that has come by then; the last is 1.
    """

    at_s_D: Array
    share_D: Array

    @classmethod
    def of(cls, feedback: Feedback, kind_B: Flags | None = None) -> Delays:
        """From runs that were heard of, and runs that may yet be.

        The cumulative incidence of Aalen and Johansen (1978), divided by its last value, so that runs that never get
        feedback do not count; with one kind of feedback that is the estimate of Kaplan and Meier (1958). Where nothing
        of the kind was heard, all of it is taken to come at once.

        Args:
            feedback: what was heard.
            kind_B: feedback of the kind whose delay is asked for, such as praise; all of it unless given.
        """
        waited_s_B = np.where(feedback.heard_B, feedback.delay_s_B, feedback.age_s_B)
        wanted_B = feedback.heard_B if kind_B is None else feedback.heard_B & kind_B
        if not wanted_B.any():
            return cls(at_s_D=np.zeros(1), share_D=np.ones(1))
        at_s_D = np.unique(feedback.delay_s_B[feedback.heard_B])
        n_waiting_D = _at_least(waited_s_B, at_s_D)
        n_come_D = _at_least(feedback.delay_s_B[feedback.heard_B], at_s_D, exactly=True)
        silent_before_D = np.concatenate([[1.0], np.cumprod(1.0 - n_come_D / n_waiting_D)[:-1]])
        n_wanted_D = _at_least(feedback.delay_s_B[wanted_B], at_s_D, exactly=True)
        incidence_D = np.cumsum(silent_before_D * n_wanted_D / n_waiting_D)
        return cls(at_s_D=at_s_D, share_D=incidence_D / incidence_D[-1])

    def heard_by(self, age_s_B: Array) -> Array:
        """Share of the feedback that has come at these ages (B)."""
        places = np.searchsorted(self.at_s_D, floats("age_s_B", age_s_B), side="right")
        shares: Array = np.concatenate([[0.0], self.share_D])[places]
        return shares


def delay_weights(feedback: Feedback, score_B: Array) -> Array:
    """Weights (B) that make up for good and bad news that travel at different speeds; 0 where nothing was heard.

    ``w = 1 / P(delay <= age | kind)``, inverse probability weighting (Horvitz and Thompson 1952; for delayed feedback
    Vernade, Cappé and Perchet 2017), scores from 0.5 on being one kind and those below the other. Where complaints come
    at once and praise comes late, the mean of what was heard so far is too low; weighted, it is not. Known failure: of
    delays longer than the oldest run nothing can be known.

    Args:
        feedback: what was heard.
        score_B: what was said, 0 to 1; anything where nothing was.

    Raises:
        ConfigError: lengths differ, or a score is outside 0 to 1.
    """
    score_B = floats("score_B", score_B)
    require_same_shape({"heard_B": feedback.heard_B, "score_B": score_B})
    require_all_between("score_B", score_B[feedback.heard_B], 0.0, 1.0)
    weights_B = np.zeros(len(score_B))
    for kind_B in (score_B >= 0.5, score_B < 0.5):
        heard_B = feedback.heard_B & kind_B
        share_B = Delays.of(feedback, kind_B).heard_by(feedback.age_s_B[heard_B])
        weights_B[heard_B] = 1.0 / np.maximum(share_B, LEAST_SHARE)
    return weights_B


def _at_least(values: Array, at_D: Array, *, exactly: bool = False) -> Array:
    """How many values are at least, or exactly, each of these (D)."""
    ordered = np.sort(values)
    below = np.searchsorted(ordered, at_D, side="left")
    upto = np.searchsorted(ordered, at_D, side="right") if exactly else len(ordered)
    counts: Array = np.asarray(upto - below, dtype=np.float64)
    return counts
