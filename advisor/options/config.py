"""How an analysis looks for changes, and when it believes in one."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from inframind.errors import ConfigError
from inframind.router.ope.estimate import SupportRule


@dataclass(frozen=True, kw_only=True)
class AnalysisConfig:
    """Settings of `inframind.advisor.analysing.analyse`.

    Raises:
        ConfigError: a share outside its range, or a negative number.
    """

    choosing_share: float = 0.4
    """Share of the runs that changes are found and chosen on; what is said of them comes from the others."""
    support: SupportRule = field(default_factory=lambda: SupportRule(least_effective_size=50.0))
    """When the runs that predictions rest on say enough. Half the decisions that the gate asks for: over 120 worlds of
    1,200 runs, intervals of what is offered at 50 missed in 3 %, and whatever is accepted passes the gate anyway."""
    delta: float = 0.05
    """Share of what is offered that may be wrong, and of intervals that may miss."""
    margin: float = 0.01
    """Fall in success, in shares of runs, that something cheaper must surely not exceed."""
    cost_worth: float = 0.1
    """For ``balanced``: success that doubling the cost is worth."""
    on_time_worth: float = 0.25
    """For ``balanced``: success that a run in time is worth beyond that, right or not."""
    least_gain: float = 0.005
    """Smallest gain in success, in shares of runs, that is worth a person's time."""
    least_saving: float = 0.02
    """Smallest saving, in shares of the cost, that is."""
    most_clusters: int = 5
    """Failure patterns that get changes of their own, largest first."""
    tries: int = 2
    """Changes of each kind, for each pattern and for all, that are put to the test; at most one is offered."""
    finalists: int = 60
    """Changes that the policy is asked about again, of all that were looked at."""

    def __post_init__(self) -> None:
        for name in ("choosing_share", "delta"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(name, getattr(self, name), "use a share between 0 and 1")
        for one in fields(self):
            value = getattr(self, one.name)
            if not isinstance(value, SupportRule) and not value >= 0:
                raise ConfigError(one.name, value, "use at least 0")
