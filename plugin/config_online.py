"""The section ``[online]``: serving what was learned, learning from production, and how careful to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from inframind.errors import ConfigError
from inframind.plugin.config_section import Section
from inframind.router.gate.config import GateConfig
from inframind.router.guards.labels import Trust
from inframind.router.guards.quotas import QuotaConfig
from inframind.router.guards.sources import SourceConfig


class GateSection(Section):
    """What a candidate has to show before it serves everybody, and what ends it; see `GateConfig`."""

    epsilon: float = GateConfig.epsilon
    """A candidate may be worse by so much of on-time success."""
    delta: float = GateConfig.delta
    """Chance that one that is worse by more is promoted."""
    hoped: float = GateConfig.hoped
    """Improvement for whose sake a roll-out goes on."""
    canary_share: float = GateConfig.canary_share
    """Share of runs of the first stage that serves."""
    ramp_shares: tuple[float, ...] = GateConfig.ramp_shares
    """Shares of the stages after it."""
    least_runs: int = GateConfig.least_runs
    """Runs before a stage is left."""
    least_labels: int = GateConfig.least_labels
    """Labelled runs of each version before anything is promoted."""
    most_runs: int = GateConfig.most_runs
    """Runs after which a candidate that has not been promoted ends."""
    most_late: float = GateConfig.most_late
    """Loss of the share of runs in time that is borne."""
    most_failing: float = GateConfig.most_failing
    """Growth of the share of failed runs that is borne."""
    least_on_time: float = GateConfig.least_on_time
    """Share of runs in time that has been promised."""
    most_failed: float = GateConfig.most_failed
    """Share of failed runs that has been promised."""
    settle_s: float = Field(default=3600.0, gt=0, allow_inf_nan=False)
    """Age in seconds at which a run counts, with the feedback that it has by then."""
    alarm_s: float = Field(default=300.0, gt=0, allow_inf_nan=False)
    """Age in seconds at which it is seen whether a run failed or was late. One that takes longer is not seen: use more
    than ``run.budget_s``, or slowness hides itself."""

    def to_config(self) -> GateConfig:
        """For the gate.

        Raises:
            ConfigError: numbers that contradict each other.
        """
        if self.alarm_s > self.settle_s:
            fix = f"use at least online.gate.alarm_s = {self.alarm_s:g}: lateness shows before feedback"
            raise ConfigError("online.gate.settle_s", self.settle_s, fix)
        return GateConfig(**self.model_dump(exclude={"settle_s", "alarm_s"}))


class GuardsSection(Section):
    """Whose feedback is learned from, and how much of it; see `Trust`, `QuotaConfig` and `SourceConfig`."""

    trust: Mapping[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    """Trust by source, 0 to 1, with ``*`` for any text: 0 is not heard, 1 is what others are held against. The first
    pattern that fits counts; those of `Trust` come after these."""
    unknown: float = Field(default=Trust.unknown, ge=0, le=1)
    """Trust in sources that no pattern fits."""
    most_share: float = Field(default=QuotaConfig.most_share, gt=0, le=1)
    """Share of labels that one source which is not trusted may give, while others are heard."""
    most_group_share: float = Field(default=QuotaConfig.most_group_share, gt=0, le=1)
    """Share that all of one kind, such as ``user:...``, may give together, while other kinds are heard."""
    window: int = Field(default=QuotaConfig.window, ge=1)
    """Latest labels of which these are shares; who was not heard in them is forgotten."""
    free: int = Field(default=QuotaConfig.free, ge=0)
    """Labels of a source in a window that are learned from whatever the others give."""
    suspect_delta: float = Field(default=SourceConfig.delta, gt=0, le=1)
    """Chance that an honest source is ever suspected because of one kind of answers."""
    suspect_margin: float = Field(default=SourceConfig.margin, gt=0, le=1)
    """Difference from trusted labels, as a share of labels, that is borne."""
    suspect_margin_alone: float = Field(default=SourceConfig.margin_alone, gt=0, le=1)
    """Difference from predictions and all others that is borne where nobody trusted is heard."""

    def to_trust(self) -> Trust:
        """How far each source is believed."""
        usual = {name: trust for name, trust in Trust().sources.items() if name not in self.trust}
        return Trust(sources={**self.trust, **usual}, unknown=self.unknown)

    def to_quotas(self) -> QuotaConfig:
        """How much one source may say.

        Raises:
            ConfigError: ``free`` leaves nothing of the window.
        """
        return QuotaConfig(
            most_share=self.most_share,
            most_group_share=self.most_group_share,
            window=self.window,
            free=self.free,
        )

    def to_suspicion(self) -> SourceConfig:
        """When a source is not heard."""
        return SourceConfig(
            delta=self.suspect_delta, margin=self.suspect_margin, margin_alone=self.suspect_margin_alone
        )


class OnlineSection(Section):
    """Learning from production, and serving what was learned."""

    enabled: bool = False
    """Whether this process serves the versions that are published in the trace store; needs policy ``learned``."""
    learner: Literal["off", "in-process", "separate"] = "off"
    """Who learns: nobody, a task in each process (one of them leads), or ``inframind learn``."""
    report_s: float = Field(default=5.0, gt=0, allow_inf_nan=False)
    """Seconds between two reports of what a process serves."""
    shadow_share: float = Field(default=0.1, ge=0, le=1)
    """Share of runs in which a candidate in the shadow is asked what it would have chosen."""
    patience_s: float = Field(default=86_400.0, gt=0, allow_inf_nan=False)
    """Age in seconds at which a run without a verdict is given up on; it is then learned from without one."""
    poll_s: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Seconds until the learner looks again, where less than a batch was to be learned."""
    batch: int = Field(default=256, ge=1)
    """Most runs that are learned from at once."""
    publish_every: int = Field(default=200, ge=1)
    """Labelled runs after which what was learned becomes a candidate, while there is none."""
    keep_versions: int = Field(default=50, ge=2)
    """Newest versions that are kept."""
    networks: bool = False
    """Whether the networks learn on, too, slowly, by replay with clipped importance weights; else offsets alone."""
    gate: GateSection = GateSection()
    """When a candidate goes on, and when it ends."""
    guards: GuardsSection = GuardsSection()
    """Whose feedback is learned from."""

    def require_fitting(self, policy: str, exploration: float, url: str) -> None:
        """Check it against the other sections.

        Args:
            policy: ``policy.name``.
            exploration: ``policy.exploration``.
            url: ``traces.url``.

        Raises:
            ConfigError: naming both options that contradict each other.
        """
        if not self.enabled:
            if self.learner != "off":
                raise ConfigError("online.learner", self.learner, "needs online.enabled = true, or use 'off'")
            return
        if policy != "learned":
            fix = f"policy.name = {policy!r} has no versions: use policy.name = 'learned'"
            raise ConfigError("online.enabled", self.enabled, fix)
        if self.learner != "off" and not exploration:
            fix = f"online.learner = {self.learner!r} learns from what is tried: use 0.01 or more, or learner 'off'"
            raise ConfigError("policy.exploration", exploration, fix)
        if self.learner == "separate" and url == "memory:":
            fix = "another process cannot read traces.url = 'memory:': use 'in-process', or a store on disk"
            raise ConfigError("online.learner", self.learner, fix)
        self.gate.to_config()
        self.guards.to_quotas()
