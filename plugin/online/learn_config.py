"""How the learner works: how much at once, how patiently, how often."""

from __future__ import annotations

from dataclasses import dataclass

from inframind.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class LearnConfig:
    """How the service works.

    Raises:
        ConfigError: a number that is not positive.
    """

    batch: int = 256
    """Most runs between two commits."""
    patience_s: float = 86_400.0
    """Age in seconds at which a run without a verdict is learned from without one."""
    publish_every: int = 200
    """Labelled runs after which what was learned becomes a candidate, while there is none."""
    least_views: int = 5
    """Recorded decisions without which nothing is published: nobody could say how much it would change."""
    keep_versions: int = 50
    """Newest versions that are kept."""
    poll_s: float = 1.0
    """Seconds until it looks again, where less than a batch was to be learned."""
    lease_s: float = 30.0
    """Seconds after which another may lead, where leading is a lease."""
    slice: int = 64
    """Runs that are learned from without a pause."""
    breath_s: float = 0.0
    """That pause in seconds, where requests are served by the same process."""
    max_backoff_s: float = 15.0
    """Longest wait after failures of the store."""

    @property
    def standby_s(self) -> float:
        """Seconds between two tries to lead while another does: a try may take a connection of its own."""
        return max(self.poll_s, self.lease_s / 3)

    def __post_init__(self) -> None:
        for name in (
            "batch",
            "patience_s",
            "publish_every",
            "least_views",
            "poll_s",
            "lease_s",
            "slice",
            "max_backoff_s",
        ):
            if getattr(self, name) <= 0:
                raise ConfigError(f"online.{name}", getattr(self, name), "use a positive number")
