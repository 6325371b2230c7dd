"""Arrivals that are not Poisson: bursts, and the rhythm of a recorded trace."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inframind.errors import ConfigError, InvalidItems

Seconds = NDArray[np.float64]


def require_rate(rate_per_min: float) -> None:
    """Refuse a rate that is not a positive, finite number.

    Raises:
        ConfigError: it is not.
    """
    if not 0 < rate_per_min < math.inf:
        raise ConfigError("rate", rate_per_min, "give a positive number of questions a minute")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadState:
    """One mood of a `BurstyArrivals`.

    Raises:
        ConfigError: a negative or infinite rate, or a dwell time that is not positive and finite.
    """

    rate_per_min: float
    """Mean arrivals a minute while it lasts; 0 is a pause."""
    mean_dwell_s: float
    """How long it lasts on average, in seconds; exponentially distributed."""

    def __post_init__(self) -> None:
        if not 0 <= self.rate_per_min < math.inf:
            raise ConfigError("rate_per_min", self.rate_per_min, "give 0 or more questions a minute")
        if not 0 < self.mean_dwell_s < math.inf:
            raise ConfigError("mean_dwell_s", self.mean_dwell_s, "give a positive number of seconds")


@dataclass(frozen=True, slots=True)
class BurstyArrivals:
    """Poisson arrivals whose rate jumps between states at random: a Markov-modulated Poisson process.

    Each state lasts an exponential time, and all other states are equally likely to follow: in the long run a state
    takes the share of its mean dwell time in the sum of all. The first state is drawn by these shares, so that
    ``n`` seconds bring ``n * mean_rate_per_min / 60`` arrivals on average from the very start.

    Raises:
        ConfigError: fewer than two states, or none in which anything arrives.
    """

    states: tuple[LoadState, ...]

    def __post_init__(self) -> None:
        if len(self.states) < 2:
            raise ConfigError("states", self.states, "give at least two, or use PoissonArrivals")
        if not self.mean_rate_per_min > 0:
            raise ConfigError("states", self.states, "let something arrive in at least one of them")

    @classmethod
    def around(
        cls, rate_per_min: float, *, burst_ratio: float = 4.0, burst_share: float = 0.2, burst_s: float = 30.0
    ) -> BurstyArrivals:
        """Calm and burst in turn, with a given mean rate.

        Args:
            rate_per_min: arrivals a minute, in the long run.
            burst_ratio: rate within a burst over the rate between bursts, above 1.
            burst_share: share of the time that bursts take.
            burst_s: mean length of a burst in seconds.

        Raises:
            ConfigError: a value is out of range.
        """
        require_rate(rate_per_min)
        if not 1 < burst_ratio < math.inf:
            raise ConfigError(
                "ratio", burst_ratio, "give the rate of a burst over that between bursts, above 1"
            )
        if not 0 < burst_share < 1:
            raise ConfigError("share", burst_share, "give the share of the time in bursts, between 0 and 1")
        if not 0 < burst_s < math.inf:
            raise ConfigError(
                "dwell", burst_s, "give the mean length of a burst, a positive number of seconds"
            )
        calm_rate = rate_per_min / (1 - burst_share + burst_share * burst_ratio)
        calm_s = burst_s * (1 - burst_share) / burst_share
        return cls(
            (
                LoadState(rate_per_min=calm_rate, mean_dwell_s=calm_s),
                LoadState(rate_per_min=calm_rate * burst_ratio, mean_dwell_s=burst_s),
            )
        )

    @property
    def mean_rate_per_min(self) -> float:
        """Arrivals a minute in the long run: the states' rates, weighted by their dwell times."""
        total_s = sum(state.mean_dwell_s for state in self.states)
        return sum(state.rate_per_min * state.mean_dwell_s for state in self.states) / total_s

    def draw(self, n: int, rng: np.random.Generator) -> Seconds:
        """Offsets of ``n`` arrivals from the start, ascending, in seconds."""
        dwells_s = np.array([state.mean_dwell_s for state in self.states])
        current = int(rng.choice(len(self.states), p=dwells_s / dwells_s.sum()))
        start_s, drawn, pieces = 0.0, 0, [np.empty(0)]
        while drawn < n:
            length_s = rng.exponential(self.states[current].mean_dwell_s)
            count = int(rng.poisson(self.states[current].rate_per_min / 60.0 * length_s))
            pieces.append(start_s + np.sort(rng.uniform(0.0, length_s, size=count)))
            start_s, drawn = start_s + length_s, drawn + count
            current = (current + int(rng.integers(1, len(self.states)))) % len(self.states)
        return np.concatenate(pieces)[:n]


@dataclass(frozen=True, slots=True, eq=False)
class RecordedArrivals:
    """The rhythm of a recorded trace, played faster or slower to reach a rate.

    The trace is a ring: after its last arrival comes one mean gap, then its first again, so that one turn has
    exactly the wanted rate. A draw that is shorter than the trace has the rate of the stretch that it plays; one
    that is longer goes round again.

    Raises:
        ConfigError: the rate or the start is out of range, or there are fewer than two different arrivals.
    """

    recorded_s: Seconds
    """Recorded arrivals in any order, in seconds from any origin."""
    rate_per_min: float
    """Arrivals a minute over one turn."""
    start_s: float | None = None
    """Where in the recording to start, in recorded seconds after its first arrival; None draws it at random."""

    def __post_init__(self) -> None:
        require_rate(self.rate_per_min)
        if len(self.recorded_s) < 2 or not np.ptp(self.recorded_s) > 0:
            raise ConfigError(
                "recorded_s", len(self.recorded_s), "give at least two arrivals at different times"
            )
        if self.start_s is not None and not 0 <= self.start_s < self.period_s:
            raise ConfigError(
                "start_s", self.start_s, f"start within the recording of {self.period_s:g} seconds"
            )

    @classmethod
    def read(cls, path: Path, rate_per_min: float, start_s: float | None = None) -> RecordedArrivals:
        """Read a CSV file with a header and a column ``seconds``.

        Raises:
            ConfigError: the rate or the start is out of range.
            InvalidItems: the file cannot be read, has no such column, a cell is not a finite number, or there are
                fewer than two different arrivals.
        """
        recorded_s = _read_seconds(path)
        if len(recorded_s) < 2 or not np.ptp(recorded_s) > 0:
            raise InvalidItems(str(path), None, "holds no two different arrivals", "give a longer recording")
        return cls(recorded_s, rate_per_min, start_s)

    @property
    def period_s(self) -> float:
        """One turn, in recorded seconds: first to last arrival, and one mean gap."""
        gaps = len(self.recorded_s) - 1
        return float(np.ptp(self.recorded_s)) * (gaps + 1) / gaps

    def draw(self, n: int, rng: np.random.Generator) -> Seconds:
        """Offsets of ``n`` arrivals from the start, ascending, in seconds."""
        period_s = self.period_s
        start_s = rng.uniform(0.0, period_s) if self.start_s is None else self.start_s
        turn_s = np.sort((self.recorded_s - self.recorded_s.min() - start_s) % period_s)
        turns, places = np.divmod(np.arange(n), len(turn_s))
        wanted_period_s = 60.0 * len(turn_s) / self.rate_per_min
        offsets_s: Seconds = (turns * period_s + turn_s[places]) * (wanted_period_s / period_s)
        return offsets_s


def _read_seconds(path: Path) -> Seconds:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if "seconds" not in (reader.fieldnames or ()):
                raise InvalidItems(
                    str(path), 1, "has no column 'seconds'", "name the column of arrival times so"
                )
            return np.array([_finite(str(path), reader.line_num, row["seconds"]) for row in reader])
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidItems(
            str(path), None, f"cannot be read ({error})", "give a CSV file in UTF-8"
        ) from error


def _finite(path: str, line: int, cell: str | None) -> float:
    try:
        value = float(cell or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidItems(path, line, f"seconds = {cell!r} is not a finite number", "give seconds")
    return value
