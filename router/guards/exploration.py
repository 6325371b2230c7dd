"""What exploring may cost: a share of the runs, and of what they would have solved."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from inframind.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplorationBudget:
    """Two purses that every run fills a little, and exploring empties. Immutable: each act gives the budget after it.

    Attributes:
        share: of runs that may explore.
        loss: on-time success that exploring may cost per run, as predicted; 0.002 is one question in 500.
        saved_runs: runs whose allowance can be saved up, for a new model that has to be tried.
        most_per_hour: explorations an hour, whatever the traffic; infinite by default.
        runs: explorations that are paid for.
        credit: loss that is paid for.
        hourly: explorations that the hour still allows.
        at_s: when that was reckoned, seconds since the Unix epoch.

    Raises:
        ConfigError: a number out of its range.
    """

    share: float = 0.05
    loss: float = 0.002
    saved_runs: int = 1000
    most_per_hour: float = math.inf
    runs: float = 0.0
    credit: float = 0.0
    hourly: float = 1.0
    at_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("share", "loss"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"exploration.{name}", getattr(self, name), "use a share in [0, 1]")
        if self.saved_runs < 1 or self.most_per_hour <= 0:
            raise ConfigError("exploration.saved_runs", self.saved_runs, "use positive numbers")

    def after_runs(self, runs: int, *, now_s: float = 0.0) -> ExplorationBudget:
        """With the allowance of so many more runs, and of the time since it was last reckoned."""
        hours = max(now_s - self.at_s, 0.0) / 3600
        return replace(
            self,
            runs=min(self.runs + runs * self.share, max(self.saved_runs * self.share, 1.0)),
            credit=min(self.credit + runs * self.loss, self.saved_runs * self.loss),
            hourly=self._hourly_after(hours),
            at_s=max(now_s, self.at_s),
        )

    def allows(self, predicted_loss: float) -> bool:
        """Whether a run may explore at this predicted loss of on-time success; a gain costs nothing."""
        return self.runs >= 1 and self._hour_allows and self.credit >= max(predicted_loss, 0.0)

    def spent(self, predicted_loss: float) -> ExplorationBudget:
        """After one exploration.

        Raises:
            ConfigError: it was not allowed.
        """
        if not self.allows(predicted_loss):
            raise ConfigError("exploration.predicted_loss", predicted_loss, "ask `allows` first")
        return replace(
            self,
            runs=self.runs - 1,
            credit=self.credit - max(predicted_loss, 0.0),
            hourly=self.hourly - 1,
        )

    @property
    def _hour_allows(self) -> bool:
        return math.isinf(self.most_per_hour) or self.hourly >= 1

    def _hourly_after(self, hours: float) -> float:
        if math.isinf(self.most_per_hour):
            return 1.0
        return min(self.hourly + hours * self.most_per_hour, max(self.most_per_hour, 1.0))
