"""How careful a roll-out is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inframind.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """What a candidate has to show, how far it may go meanwhile, and what ends it.

    Improvements are differences of on-time success (right, and within the budget), as shares of all runs.

    Raises:
        ConfigError: a number out of its range, or shares that do not grow.
    """

    epsilon: float = 0.01
    """A candidate may be worse by so much: promotion needs a lower bound of its improvement above ``-epsilon``. Where
    recorded runs gave that bound already, its trial must not speak against it, to its end."""
    delta: float = 0.05
    """Chance that a candidate which is worse by more than ``epsilon`` is promoted, however often one looks. For one
    that recorded runs vouch for it is what their interval leaves to chance, 2.5 % at most, times what its trial misses.
    """
    alarm_delta: float = 0.02
    """Chance of each alarm (worse, later, failing more) to end a candidate that is none of these, however often one
    looks."""
    hoped: float = 0.03
    """Improvement for whose sake a roll-out goes on; where even it could hardly be shown any more, it ends."""
    least_chance: float = 0.05
    """Chance of showing it below which that is so."""
    canary_share: float = 0.1
    """Share of runs of the first stage that serves."""
    ramp_shares: tuple[float, ...] = (0.25, 0.5)
    """Shares of the stages after it. The last one is where the evidence comes from, and 0.5 gives the most."""
    holdback: float = 0.05
    """Share of runs that a promoted candidate leaves to the version before it, until it has served ``least_runs``;
    0 promotes at one stroke."""
    least_runs: int = 200
    """Runs of both versions before a stage is left."""
    least_labels: int = 100
    """Labelled runs of each version before anything is promoted."""
    fewest_labels: int = 30
    """Labelled runs of each version before what is solved, or the lack of proof, can end a trial early: without grades
    success says no more than lateness does, which has its own alarm."""
    most_runs: int = 5000
    """Runs of both versions after which a candidate that has not been promoted ends; of the shadow and of each stage
    before the last at most ``least_runs``, for busy applications serve more of them before they count."""
    most_s: float = 14 * 86_400.0
    """Seconds in one stage after which a candidate ends."""
    most_late: float = 0.02
    """Loss of the share of runs that are answered in time, labelled or not, that is borne."""
    most_failing: float = 0.01
    """Growth of the share of runs that fail that is borne."""
    least_on_time: float = 0.0
    """Share of runs answered in time that has been promised; a version that breaks it while the other keeps it ends."""
    most_failed: float = 1.0
    """Share of failed runs that has been promised; as above."""
    watched_runs: int = 5000
    """Runs after the promotion during which a version that gets worse than it was on trial is rolled back."""

    def __post_init__(self) -> None:
        for name in ("epsilon", "delta", "alarm_delta", "hoped", "least_chance", "canary_share"):
            self._require(name, 0 < getattr(self, name) < 1, "use a share in (0, 1)")
        for name in ("most_late", "most_failing", "least_on_time", "most_failed"):
            self._require(name, 0 <= getattr(self, name) <= 1, "use a share in [0, 1]")
        for name in ("least_runs", "least_labels", "fewest_labels", "most_runs", "watched_runs", "most_s"):
            self._require(name, getattr(self, name) > 0, "use a positive number")
        self._require("holdback", 0 <= self.holdback < 0.5, "use a share in [0, 0.5)")
        shares = (self.canary_share, *self.ramp_shares)
        growing = all(low < high for low, high in zip(shares, (*shares[1:], 1 - self.holdback), strict=True))
        self._require(
            "ramp_shares", bool(self.ramp_shares) and growing, "let shares grow, from the canary's on"
        )
        fewest = self.least_runs * (len(shares) + 1)
        self._require("most_runs", self.most_runs > fewest, f"its stages alone take {fewest} runs")

    @property
    def rungs(self) -> Sequence[float]:
        """Shares of the stages before promotion, the shadow's first."""
        return (0.0, self.canary_share, *self.ramp_shares)

    @property
    def planned_information(self) -> float:
        """Sum of ``share (1 - share)`` over all runs of a candidate that takes the fewest runs for each early stage."""
        *early, last = self.rungs
        runs = [self.least_runs] * len(early)
        rest = self.most_runs - sum(runs)
        return sum(n * information(share) for n, share in zip([*runs, rest], [*early, last], strict=True))

    def _require(self, name: str, holds: bool, fix: str) -> None:
        if not holds:
            raise ConfigError(f"gate.{name}", getattr(self, name), fix)


def information(share: float) -> float:
    """What a run tells about a difference between arms, at this share of the candidate's: variance of the arm."""
    return share * (1 - share)
