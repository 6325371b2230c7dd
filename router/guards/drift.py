"""Has the world changed? A test that is looked at after every value, and seldom cries wolf.

The first values of a stream are its reference. Every later one is replaced by its rank among them, so that neither
outliers nor scales matter, and standardised: z, of mean 0 while nothing changes. A bet of stake b on a rise multiplies
its capital by ``1 + b (z - tolerance)``, one on a fall by ``1 - b (z + tolerance)``; on average it wins nothing unless
the mean has moved by more than the tolerance. Each of K bets starts anew, with 1, whenever it has less, and the alarm
is given when one has K times `DriftConfig.patience`.

Each is an e-process started anew at every moment, so that the expected number of values before a false alarm is at
least ``patience``, and the chance of one among the next n at most ``n / patience`` (Shin, Ramdas and Rinaldo,
"E-detectors", New England Journal of Statistics in Data Science 2023), up to what a reference of finite size errs;
the tolerance has to be some three times that, ``3 / sqrt(reference)``.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from inframind.errors import ConfigError

_STAKES = (0.8, 0.4, 0.2, 0.1, 0.05)
_MOST_LOST = 0.9
"""Share of its capital that a bet may lose by one value."""


@dataclass(frozen=True, kw_only=True)
class DriftConfig:
    """How soon a change is reported, and how seldom one that was none.

    Raises:
        ConfigError: a number out of its range.
    """

    reference: int = 1000
    """Values that say what is usual."""
    tolerance: float = 0.1
    """Shift that is borne, in standard deviations of the values' ranks."""
    patience: float = 1e6
    """Values before a false alarm, at least and on average."""

    def __post_init__(self) -> None:
        if self.reference < 100:
            raise ConfigError("guards.drift.reference", self.reference, "use at least 100 values")
        if not 0 <= self.tolerance < 1:
            raise ConfigError("guards.drift.tolerance", self.tolerance, "use deviations in [0, 1)")
        if not 1 < self.patience < math.inf:
            raise ConfigError("guards.drift.patience", self.patience, "use a number of values above 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A stream is no longer what it was.

    Attributes:
        name: of the stream.
        since: number of the first value that is counted to the change, from 0.
        since_s: when it came, seconds since the Unix epoch.
        seen: number of values so far.
        usual: mean of the reference.
        now: mean since the change.
        shift: how far the mean rank moved, in standard deviations.
    """

    name: str
    since: int
    since_s: float
    seen: int
    usual: float
    now: float
    shift: float

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.now:.4g} over the last {self.seen - self.since} values, usually {self.usual:.4g} "
            f"({self.shift:+.2f} deviations)"
        )


@dataclass(slots=True, kw_only=True)
class _Bet:
    """One stake on one direction, and what happened since it last began.

    Attributes:
        stake: signed: positive on a rise.
        log_capital: natural logarithm of what it has.
        since: number of the first value since it began.
        since_s: when that came.
        total: sum of the values since.
        ranks: sum of their standardised ranks.
    """

    stake: float
    log_capital: float = 0.0
    since: int = 0
    since_s: float = 0.0
    total: float = 0.0
    ranks: float = 0.0

    def play(self, value: float, z: float, tolerance: float, seen: int, at_s: float) -> None:
        if self.log_capital <= 0.0:
            self.log_capital, self.since, self.since_s = 0.0, seen, at_s
            self.total = self.ranks = 0.0
        self.total += value
        self.ranks += z
        gain = self.stake * z - abs(self.stake) * tolerance
        # Only a value outside all that the reference has seen could win less.
        self.log_capital += math.log1p(max(gain, -_MOST_LOST))


class DriftDetector:
    """Watches one stream of numbers; after an alarm, `restart` takes what comes next for usual.

    Args:
        name: of the stream, for reports.
        config: how soon and how seldom.
    """

    def __init__(self, name: str, config: DriftConfig | None = None) -> None:
        self.name, self.config = name, config or DriftConfig()
        self.restart()

    def restart(self) -> None:
        """Begin anew, with a new reference."""
        self._reference: list[float] = []
        self._spread = 0.0
        self._bets: list[_Bet] = []
        self._seen = 0

    @property
    def is_ready(self) -> bool:
        """Whether it knows what is usual."""
        return len(self._reference) >= self.config.reference

    def add(self, value: float, *, at_s: float = 0.0) -> Drift | None:
        """What has drifted, as of this value, or None.

        Raises:
            ConfigError: the value is not a finite number.
        """
        if not math.isfinite(value):
            raise ConfigError(f"drift.{self.name}", value, "give finite numbers only")
        if not self.is_ready:
            self._learn(value)
            return None
        z = (self._rank(value) - 0.5) / self._spread
        for bet in self._bets:
            bet.play(value, z, self.config.tolerance, self._seen, at_s)
        self._seen += 1
        richest = max(self._bets, key=lambda bet: bet.log_capital)
        if richest.log_capital < math.log(self.config.patience * len(self._bets)):
            return None
        n = self._seen - richest.since
        return Drift(
            name=self.name,
            since=richest.since,
            since_s=richest.since_s,
            seen=self._seen,
            usual=math.fsum(self._reference) / len(self._reference),
            now=richest.total / n,
            shift=richest.ranks / n,
        )

    def to_json(self) -> dict[str, Any]:
        """What it knows, as plain data."""
        return {"reference": self._reference, "seen": self._seen, "bets": [asdict(bet) for bet in self._bets]}

    @classmethod
    def from_json(cls, name: str, data: Mapping[str, Any], config: DriftConfig | None = None) -> Self:
        """What `to_json` gave, under the same configuration."""
        one = cls(name, config)
        one._reference = list(data["reference"])
        if one.is_ready:
            one._settle()
        one._seen = data["seen"]
        one._bets = [_Bet(**bet) for bet in data["bets"]]
        return one

    def _learn(self, value: float) -> None:
        self._reference.append(value)
        if self.is_ready:
            self._settle()

    def _settle(self) -> None:
        """Sort the reference, and fix the bets so that none of its values can ruin one."""
        self._reference.sort()
        ranks = np.array([self._rank(value) for value in self._reference])
        # A reference without variety is taken to have had one odd value in its number.
        self._spread = max(float(ranks.std()), 0.5 / math.sqrt(len(ranks)))
        falls = (0.5 - float(ranks.min())) / self._spread + self.config.tolerance
        rises = (float(ranks.max()) - 0.5) / self._spread + self.config.tolerance
        worst = {1: max(falls, _MOST_LOST), -1: max(rises, _MOST_LOST)}
        self._bets = [
            _Bet(stake=sign * stake * min(1.0, _MOST_LOST / (_STAKES[0] * worst[sign])))
            for sign in (1, -1)
            for stake in _STAKES
        ]

    def _rank(self, value: float) -> float:
        """Share of the reference below the value, that which equals it counted half."""
        low, high = bisect_left(self._reference, value), bisect_right(self._reference, value)
        return (low + high) / (2 * len(self._reference))


class DriftWatch:
    """A detector for each of several streams, such as ``solved/policy-1`` or ``prompt_tokens``.

    Args:
        config: of all of them.
        most: streams that are kept; beyond, the one that was fed longest ago is forgotten, as versions go out of use.
    """

    def __init__(self, config: DriftConfig | None = None, *, most: int = 256) -> None:
        self._config, self._most = config or DriftConfig(), most
        self._detectors: dict[str, DriftDetector] = {}
        self.drifted: dict[str, Drift] = {}

    def add(self, values: Mapping[str, float], *, at_s: float = 0.0) -> list[Drift]:
        """What has drifted by these values and had not before."""
        found = []
        for name, value in values.items():
            drift = self._detector(name).add(value, at_s=at_s)
            if drift is not None and name not in self.drifted:
                found.append(drift)
                self.drifted[name] = drift
        return found

    def accept(self, name: str) -> None:
        """Take what comes next of a stream for usual."""
        self.drifted.pop(name, None)
        self._detectors.pop(name, None)

    def _detector(self, name: str) -> DriftDetector:
        """That of a stream, now the last in order; with one too many, the first goes."""
        detector = self._detectors.pop(name, None) or DriftDetector(name, self._config)
        self._detectors[name] = detector
        if len(self._detectors) > self._most:
            oldest = next(iter(self._detectors))
            self.accept(oldest)
        return detector
