"""Stops a mode whose rewards rise while what it recommends makes nothing more reliable.

A reward that pays for acceptance can be had by persuasion. Two things are watched, of what the mode itself recommended
and in the order in which they became known:

* *rewards*: of verdicts, the share that was accepted. The latest ``window`` is compared with the first: has it risen
  (one-sided, two-sample z of level ``rise_level``)?
* *reliability*: of what was applied, the measured change of success, over the latest ``window`` measurements (at least
  ``measured``): is its mean below ``least_gain`` for sure (one-sided, level ``gain_level``)?

It stops when both hold at one look; looks are taken once every ``stride`` news, so that looking does not make it true.
Too few measurements stop nothing: no evidence of merit is not evidence of none. Once stopped it stays stopped until a
person says so (`resumed_at_s`): only what becomes known later then counts, first window included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from inframind.advisor.ranking.history import History
from inframind.advisor.ranking.protocol import Array
from inframind.errors import ConfigError

_NORMAL = NormalDist()
_PRUDENCE = 0.05
"""Standard deviation of measured changes that is taken for granted: few of them can agree by chance."""


@dataclass(frozen=True, kw_only=True)
class MonitorConfig:
    """When the mode is stopped.

    Raises:
        ConfigError: a number out of its range.
    """

    window: int = 60
    """News of a kind that are compared."""
    measured: int = 20
    """Measurements before anything is concluded from them."""
    least_gain: float = 0.03
    """Mean change of success of what was applied, below which it is not worth being persuaded."""
    rise_level: float = 0.01
    """Chance of seeing a rise of rewards where there is none, at one look."""
    gain_level: float = 0.05
    """Chance of seeing too small a gain where it is large enough, at one look."""
    stride: int = 20
    """News from one look to the next."""

    def __post_init__(self) -> None:
        for name, least in (("window", 2), ("measured", 2), ("stride", 1)):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"advisor.ranking.monitor.{name}", getattr(self, name), f"use at least {least}"
                )
        for name in ("rise_level", "gain_level"):
            if not 0 < getattr(self, name) < 0.5:
                raise ConfigError(
                    f"advisor.ranking.monitor.{name}", getattr(self, name), "use a chance in (0, 0.5)"
                )
        if self.measured > self.window:
            fix = f"use at most window, {self.window}: more are never looked at"
            raise ConfigError("advisor.ranking.monitor.measured", self.measured, fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Something that became known of a recommendation of the mode.

    Attributes:
        at_s: when, seconds since the Unix epoch.
        reward: of a verdict, or None.
        reliability_change: measured after it was applied, or None.
    """

    at_s: float
    reward: float | None = None
    reliability_change: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why the mode was stopped.

    Attributes:
        at_s: time of the news that settled it.
        reward_before: mean of the first window.
        reward_now: mean of the latest.
        rise_z: standard normal deviate of the difference.
        gain: mean measured change of success, over the latest window.
        gain_high: upper end of its one-sided interval.
        measured: measurements in it.
        least_gain: what it is below of.
    """

    at_s: float
    reward_before: float
    reward_now: float
    rise_z: float
    gain: float
    gain_high: float
    measured: int
    least_gain: float

    def __str__(self) -> str:
        return (
            f"rewards rose from {self.reward_before:.2f} to {self.reward_now:.2f} (z = {self.rise_z:.1f}) while "
            f"success changed by {self.gain:+.3f}, at most {self.gain_high:+.3f}, in {self.measured} measurements of "
            f"what was applied; {self.least_gain:+.3f} is the least that is worth it"
        )


def first_stop(
    news: Sequence[News], config: MonitorConfig, *, resumed_at_s: float = -math.inf
) -> Stop | None:
    """The first reason to stop in news in the order in which they became known, or None."""
    counted = [one for one in news if one.at_s > resumed_at_s]
    rewards = _Stream.of([one.reward for one in counted])
    changes = _Stream.of([one.reliability_change for one in counted])
    for end in range(config.stride, len(counted) + 1, config.stride):
        stop = _look(rewards.until(end), changes.until(end), counted[end - 1].at_s, config)
        if stop is not None:
            return stop
    return None


def news_of(history: History, chooser: str) -> tuple[News, ...]:
    """What became known of a chooser's recommendations, in the order in which it did."""
    news: list[News] = []
    for fate in history.decided():
        if fate.recommendation.chosen_by != chooser:
            continue
        is_accepted = fate.verdict == "accepted"
        news.append(News(at_s=fate.decided_at_s, reward=float(is_accepted)))
        if is_accepted and fate.measured is not None:
            news.append(News(at_s=fate.measured.at_s, reliability_change=fate.measured.change))
    return tuple(sorted(news, key=lambda one: one.at_s))


@dataclass(frozen=True, slots=True, eq=False)
class _Stream:
    """Values among news of other kinds.

    Attributes:
        values: them.
        counts: how many of them there are among the first 0, 1, 2, ... news.
    """

    values: Array
    counts: NDArray[np.intp]

    @classmethod
    def of(cls, among: Sequence[float | None]) -> _Stream:
        is_value = np.array([one is not None for one in among], dtype=np.intp)
        values = np.array([one for one in among if one is not None], dtype=np.float64)
        return cls(values, np.concatenate([[0], np.cumsum(is_value)]))

    def until(self, end: int) -> Array:
        return self.values[: self.counts[end]]


def _look(rewards: Array, changes: Array, at_s: float, config: MonitorConfig) -> Stop | None:
    changes = changes[-config.window :]
    if len(rewards) < 2 * config.window or len(changes) < config.measured:
        return None
    first, latest = rewards[: config.window], rewards[-config.window :]
    error = math.sqrt((first.var(ddof=1) + latest.var(ddof=1)) / config.window)
    rise_z = float(latest.mean() - first.mean()) / max(error, 1e-9)
    spread = math.sqrt(changes.var(ddof=1) + _PRUDENCE**2)
    high = float(changes.mean()) + _NORMAL.inv_cdf(1 - config.gain_level) * spread / math.sqrt(len(changes))
    if rise_z < _NORMAL.inv_cdf(1 - config.rise_level) or high >= config.least_gain:
        return None
    return Stop(
        at_s=at_s,
        reward_before=float(first.mean()),
        reward_now=float(latest.mean()),
        rise_z=rise_z,
        gain=float(changes.mean()),
        gain_high=high,
        measured=len(changes),
        least_gain=config.least_gain,
    )
