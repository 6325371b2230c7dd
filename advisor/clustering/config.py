"""What clustering of failures is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from inframind.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """How carefully failures are looked at.

    Raises:
        ConfigError: a value is out of its range.
    """

    false_alarms: float = 0.05
    """Chance that anything is claimed where nothing sets failures apart, over all that is looked at together."""
    least_size: int = 10
    """Fewest failures of a pattern."""
    least_share: float = 0.005
    """Least share of all failures of a pattern."""
    most_causes: int = 8
    """Most causes that are looked for in one way of failing."""
    clear_z: float = 3.0
    """Deviates by which a pair must say more than both its features, and each cause more than all others."""
    most_clustered: int = 2_000
    """Failures that are clustered; of more, a sample is, and the others join the nearest cluster."""
    exemplars: int = 5
    """Typical traces that are named of each pattern."""
    most_traits: int = 5
    """Most traits that are named of each pattern."""

    def __post_init__(self) -> None:
        for name in ("false_alarms", "least_share"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise ConfigError(f"clustering.{name}", value, "give a share between 0 and 1")
        for name in ("least_size", "most_causes", "exemplars", "most_traits"):
            value = getattr(self, name)
            if value < 1:
                raise ConfigError(f"clustering.{name}", value, "give at least 1")
        if self.clear_z < 0:
            raise ConfigError("clustering.clear_z", self.clear_z, "give 0 or more standard deviates")
        if self.most_clustered < 100:
            raise ConfigError("clustering.most_clustered", self.most_clustered, "give at least 100")

    def least_of(self, failures: int) -> int:
        """Fewest failures of a pattern, of so many in all."""
        return max(self.least_size, round(self.least_share * failures))
