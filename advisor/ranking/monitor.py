"""Stops a mode that does harm, or whose rewards rise while what it recommends makes nothing more reliable.

A reward that pays for acceptance can be had by persuasion. Two things are watched, of what the mode itself recommended
and in the order in which the store took their events:

* *rewards*: of verdicts, the share that was accepted; taking back what was accepted is a verdict against it. The latest
  ``window`` is compared with the first: has it risen (one-sided, two-sample z of level ``rise_level``)?
* *reliability*: of what was applied, the measured change of success; of what was measured again, the latest.

It stops for either of two reasons:

* **Harm**, however many accept it: the mean change is below 0 for sure, from ``least_measured`` measurements on. Each
  is weighed by its own interval and by how much such changes differ anyway: ``w = 1 / (error^2 + _PRUDENCE^2)``, more
  where they differ more than that. ``sum(w x)`` has variance ``sum(w)`` and, as more runs of the same change are
  counted, independent increments; so a boundary for Brownian motion holds at every measurement, repeated ones too, and
  what does no harm is ever stopped with a chance of ``harm_level``.
* **Persuasion**: rewards have risen, and the mean over the latest ``window`` measurements (at least ``measured``) is
  below ``least_gain`` for sure (one-sided, level ``gain_level``), both at one look; looks are taken once every
  ``stride`` news, so that looking does not make it true.

Too few measurements stop nothing: no evidence of merit is not evidence of none. What comes later takes no stop back,
for the same events come first again: every process says the same. Once stopped it stays stopped until a person says
so (`resumed_at_s`): only what becomes known later then counts, first window included, and nothing of what was measured
by then.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from statistics import NormalDist

import numpy as np

from inframind.advisor.ranking.history import History
from inframind.advisor.ranking.measured import UNTOLD_ERROR, measured_by
from inframind.advisor.ranking.protocol import Array
from inframind.errors import ConfigError
from inframind.router.confidence import mixture_half_width
from inframind.traces.student import student_quantile

_NORMAL = NormalDist()
_PRUDENCE = 0.05
"""Standard deviation of measured changes that is taken for granted: few of them can agree by chance."""
_TUNED_FOR = 800.0
"""``sum(w)`` at which the boundary is narrowest: that of ten measurements of forty labelled runs on either side."""


@dataclass(frozen=True, kw_only=True)
class MonitorConfig:
    """When the mode is stopped.

    Raises:
        ConfigError: a number out of its range.
    """

    least_measured: int = 5
    """Recommendations that were measured before anything is said to do harm."""
    harm_level: float = 0.05
    """Chance of ever seeing harm where there is none."""
    window: int = 60
    """News of a kind that are compared."""
    measured: int = 20
    """Measurements before they are said to gain too little."""
    least_gain: float = 0.03
    """Mean change of success of what was applied, below which it is not worth being persuaded."""
    rise_level: float = 0.01
    """Chance of seeing a rise of rewards where there is none, at one look."""
    gain_level: float = 0.05
    """Chance of seeing too small a gain where it is large enough, at one look."""
    stride: int = 20
    """News from one look to the next."""

    def __post_init__(self) -> None:
        for name, least in (("least_measured", 2), ("window", 2), ("measured", 2), ("stride", 1)):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"advisor.ranking.monitor.{name}", getattr(self, name), f"use at least {least}"
                )
        for name in ("harm_level", "rise_level", "gain_level"):
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
        of: id of the recommendation.
        at_s: when, seconds since the Unix epoch.
        reward: of a verdict, or None.
        reliability_change: measured after it was applied, or None.
        error: standard error of that.
    """

    of: str
    at_s: float
    reward: float | None = None
    reliability_change: float | None = None
    error: float = UNTOLD_ERROR


@dataclass(frozen=True, slots=True, kw_only=True)
class Rise:
    """How acceptance has risen.

    Attributes:
        before: mean reward of the first window.
        now: mean of the latest.
        z: standard normal deviate of the difference.
    """

    before: float
    now: float
    z: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why the mode was stopped.

    Attributes:
        at_s: time of the news that settled it.
        gain: mean measured change of success.
        gain_high: upper end of its one-sided interval.
        measured: measurements in it.
        too_little: what it is below of.
        rise: of rewards meanwhile; None where it does harm, whatever people think of it.
    """

    at_s: float
    gain: float
    gain_high: float
    measured: int
    too_little: float = 0.0
    rise: Rise | None = None

    def __str__(self) -> str:
        gain = (
            f"success changed by {self.gain:+.3f}, at most {self.gain_high:+.3f}, in {self.measured} measurements of "
            "what was applied"
        )
        if self.rise is None:
            return f"it does harm: {gain}"
        return (
            f"rewards rose from {self.rise.before:.2f} to {self.rise.now:.2f} (z = {self.rise.z:.1f}) while {gain}; "
            f"{self.too_little:+.3f} is the least that is worth it"
        )


def first_stop(
    news: Sequence[News], config: MonitorConfig, *, resumed_at_s: float = -math.inf
) -> Stop | None:
    """The first reason to stop in news in the order in which they became known, or None."""
    rewards: list[float] = []
    applied = _Applied()
    for number, one in enumerate(_counted(news, resumed_at_s), start=1):
        if one.reward is not None:
            rewards.append(one.reward)
        if one.reliability_change is not None:
            applied.add(one)
            if (stop := _harm(applied, one.at_s, config)) is not None:
                return stop
        if (
            number % config.stride == 0
            and (stop := _persuasion(rewards, applied, one.at_s, config)) is not None
        ):
            return stop
    return None


def news_of(history: History, chooser: str) -> tuple[News, ...]:
    """What became known of a chooser's recommendations, in the order in which the store took it."""
    news: list[News] = []
    said: dict[str, str] = {}
    set_aside: set[str] = set()
    for event in history.events(chooser):
        of, kind = event.recommendation_id, event.kind
        is_first = kind in ("accepted", "rejected") and of not in said
        is_taken_back = kind == "reverted" and not event.is_loss and of not in set_aside
        if is_first or (is_taken_back and said.get(of) == "accepted"):
            said[of] = kind
            news.append(News(of=of, at_s=event.at_s, reward=float(kind == "accepted")))
        elif event.is_unproven:
            set_aside.add(of)
        elif kind == "measured" and said.get(of) == "accepted" and (found := measured_by(event)) is not None:
            news.append(News(of=of, at_s=event.at_s, reliability_change=found.change, error=found.error))
    return tuple(news)


def _counted(news: Sequence[News], resumed_at_s: float) -> list[News]:
    """Those that became known later; of what was measured by then, no further measurements."""
    measured_by_then = {
        one.of for one in news if one.at_s <= resumed_at_s and one.reliability_change is not None
    }
    return [
        one
        for one in news
        if one.at_s > resumed_at_s and not (one.reliability_change is not None and one.of in measured_by_then)
    ]


@dataclass(slots=True)
class _Applied:
    """The latest measurement of each recommendation, those last measured last, and sums over them.

    Attributes:
        latest: change and weight, by recommendation.
        weight: sum of weights.
        weighted: sum of weighted changes.
        squares: sum of weighted squares of changes.
    """

    latest: dict[str, tuple[float, float]] = field(default_factory=dict)
    weight: float = 0.0
    weighted: float = 0.0
    squares: float = 0.0

    def add(self, one: News) -> None:
        if (old := self.latest.pop(one.of, None)) is not None:
            self._count(*old, sign=-1)
        self.latest[one.of] = new = one.reliability_change or 0.0, 1 / (one.error**2 + _PRUDENCE**2)
        self._count(*new, sign=1)

    def _count(self, change: float, weight: float, *, sign: int) -> None:
        self.weight += sign * weight
        self.weighted += sign * weight * change
        self.squares += sign * weight * change**2

    @property
    def mean(self) -> float:
        """Weighed mean change."""
        return self.weighted / self.weight

    @property
    def unlikeness(self) -> float:
        """How many times more changes differ than their weights expect (Birge 1932)."""
        return (self.squares - self.weighted * self.mean) / (len(self.latest) - 1)

    def most_recent(self, count: int) -> Array:
        """Changes that were last measured."""
        found = [change for change, _ in islice(reversed(self.latest.values()), count)]
        return np.array(found, dtype=np.float64)


def _harm(applied: _Applied, at_s: float, config: MonitorConfig) -> Stop | None:
    measured = len(applied.latest)
    if measured < config.least_measured or applied.mean >= 0:
        return None
    if _harm_high(applied, applied.unlikeness, config) >= 0:
        return None
    # How unlike each other they are, few of them tell badly: as much more as Student's quantile is beyond the normal.
    level = 1 - config.harm_level
    prudence = student_quantile(level, measured - 1) / _NORMAL.inv_cdf(level)
    high = _harm_high(applied, prudence**2 * applied.unlikeness, config)
    return Stop(at_s=at_s, gain=applied.mean, gain_high=high, measured=measured) if high < 0 else None


def _harm_high(applied: _Applied, unlikeness: float, config: MonitorConfig) -> float:
    half = mixture_half_width(
        applied.weight, max(unlikeness, 1.0), delta=config.harm_level, tuned_for=_TUNED_FOR, side="high"
    )
    return applied.mean + float(half)


def _persuasion(
    rewards: Sequence[float], applied: _Applied, at_s: float, config: MonitorConfig
) -> Stop | None:
    changes = applied.most_recent(config.window)
    if len(rewards) < 2 * config.window or len(changes) < config.measured:
        return None
    spread = math.sqrt(changes.var(ddof=1) + _PRUDENCE**2)
    high = float(changes.mean()) + _NORMAL.inv_cdf(1 - config.gain_level) * spread / math.sqrt(len(changes))
    rise = _rise_of(np.array(rewards[: config.window]), np.array(rewards[-config.window :]))
    if rise.z < _NORMAL.inv_cdf(1 - config.rise_level) or high >= config.least_gain:
        return None
    return Stop(
        at_s=at_s,
        gain=float(changes.mean()),
        gain_high=high,
        measured=len(changes),
        too_little=config.least_gain,
        rise=rise,
    )


def _rise_of(first: Array, latest: Array) -> Rise:
    error = math.sqrt((first.var(ddof=1) + latest.var(ddof=1)) / len(first))
    before, now = float(first.mean()), float(latest.mean())
    return Rise(before=before, now=now, z=(now - before) / max(error, 1e-9))
