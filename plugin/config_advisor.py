"""The section ``[advisor]``: what is read for advice, how much of it is shown, and from whom is learned."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from inframind.errors import ConfigError
from inframind.plugin.config_section import Section

SECONDS_PER_DAY = 86_400.0


class AdvisorSection(Section):
    """Recommendations: `inframind advise`, `mind.advice`."""

    last: int = Field(default=5000, ge=50)
    """Latest runs that an analysis reads."""
    days: float = Field(default=30.0, gt=0, allow_inf_nan=False)
    """Age of the oldest of them; also how far back runs count when an accepted recommendation is measured."""
    most: int = Field(default=5, ge=1, le=16)
    """Recommendations that are shown at once."""
    segments: Literal["separate", "shared"] = "separate"
    """Whether what one group of people likes is learned apart from the others, as far as there is enough of it."""
    mode: Literal["auto", "process"] = "auto"
    """What ranks: ``auto`` begins with a ranker and goes over to Thompson sampling by evidence; ``process`` learns from
    each stage of a recommendation's life and stops itself where reward rises and reliability does not."""
    resumed_at: AwareDatetime | None = None
    """When a person last let the mode ``process`` go on after it was stopped."""
    margin: float = Field(default=0.01, ge=0, lt=0.5)
    """Loss of success, as a share of runs, at which reliability still counts as the same."""
    patience_s: float = Field(default=7 * SECONDS_PER_DAY, gt=0, allow_inf_nan=False)
    """Age in seconds at which a recommendation that nobody decided on counts as ignored, which is no rejection."""
    analyse_every_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Seconds after which whoever learns (``[online]``) looks again at what fails; 0 leaves it to the command."""

    @property
    def window_s(self) -> float:
        """``days`` in seconds."""
        return self.days * SECONDS_PER_DAY

    def require_fitting(self, learner: str) -> None:
        """Check it against the other sections.

        Args:
            learner: ``online.learner``.

        Raises:
            ConfigError: naming both options that contradict each other.
        """
        if self.analyse_every_s and learner == "off":
            fix = "nobody learns who could analyse: set online.learner, or use 0 and `inframind advise`"
            raise ConfigError("advisor.analyse_every_s", self.analyse_every_s, fix)
        if self.resumed_at is not None and self.mode != "process":
            fix = f"means nothing with advisor.mode = {self.mode!r}: leave one out"
            raise ConfigError("advisor.resumed_at", self.resumed_at.isoformat(), fix)
