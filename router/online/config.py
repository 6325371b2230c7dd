"""Every constant of learning while serving."""

from __future__ import annotations

from dataclasses import dataclass, field

from inframind.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class BeliefConfig:
    """What is believed of offsets before traffic speaks, and how fast that is forgotten. Spreads are log odds.

    Raises:
        ConfigError: a spread or a bound that is not positive, a share outside [0, 1), or trust in what is known that
            is less than in newcomers.
    """

    shared_spread: float = 0.5
    """Of what moves all actions alike: harder questions, stricter graders."""
    model_spread: float = 0.15
    """Of a model that the policy was trained with, at first."""
    action_spread: float = 0.08
    """Of one strategy of such a model, beside the model's."""
    model_drift: float = 0.5
    """What a model's spread grows to when nothing is heard of it for long."""
    action_drift: float = 0.25
    """The same, of one strategy of a model."""
    newcomer_spread: float = 1.2
    """Of a model that the policy was not trained with, at first."""
    newcomer_action_spread: float = 0.5
    """Of one strategy of such a model."""
    shared_forgetting: float = 0.02
    """Share of what is known of all actions alike that one labelled run makes forget."""
    forgetting: float = 0.0002
    """Share of what is known of models and strategies that one labelled run makes forget."""
    caution: float = 0.7
    """Spreads by which an offset of a model that the policy was trained with is served smaller than it is believed."""
    most_doubted: float = 0.3
    """Spreads beyond this are taken for it there: a model that has changed is not trusted because little is known."""
    largest_step: float = 0.5
    """Most that one run moves the log odds of the actions that it took."""
    largest: float = 4.0
    """No offset is larger."""

    def __post_init__(self) -> None:
        for name in (
            "shared_spread",
            "model_spread",
            "action_spread",
            "model_drift",
            "action_drift",
            "newcomer_spread",
            "newcomer_action_spread",
            "most_doubted",
            "largest_step",
            "largest",
        ):
            if not getattr(self, name) > 0:
                raise ConfigError(f"belief.{name}", getattr(self, name), "use a positive number of log odds")
        for name in ("shared_forgetting", "forgetting"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(
                    f"belief.{name}", getattr(self, name), "use a share of at least 0 and below 1"
                )
        if self.caution < 0:
            raise ConfigError("belief.caution", self.caution, "use a number of at least 0")
        for known, new in (("model_spread", "newcomer_spread"), ("action_spread", "newcomer_action_spread")):
            if getattr(self, known) > getattr(self, new):
                fix = f"use at most belief.{new}, {getattr(self, new):g}: less is known of newcomers"
                raise ConfigError(f"belief.{known}", getattr(self, known), fix)
        if self.largest_step > self.largest:
            fix = f"use at most belief.largest, {self.largest:g}"
            raise ConfigError("belief.largest_step", self.largest_step, fix)


@dataclass(frozen=True, kw_only=True)
class ChangeConfig:
    """When a model counts as changed: a two-sided CUSUM of standardised surprises (Page 1954).

    Raises:
        ConfigError: a threshold or a widening that is not positive, or a negative allowance.
    """

    allowance: float = 0.5
    """Standard deviations of surprise a run that are nothing unusual."""
    threshold: float = 7.0
    """What surprises beyond the allowance add up to when something has changed, where every run has a label."""
    least_threshold: float = 4.0
    """The same where hardly any has one: false alarms are as rare among runs, so that fewer labels need a lower one."""
    widening: float = 1.0
    """Spread that is added to what is believed of the changed model."""
    agreement: float = 2.0
    """Standard errors by which other models must surprise likewise for a change of all: of questions, not of one."""

    def __post_init__(self) -> None:
        for name in ("threshold", "least_threshold", "widening", "agreement"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"change.{name}", getattr(self, name), "use a positive number")
        if self.least_threshold > self.threshold:
            fix = f"use at most change.threshold, {self.threshold:g}"
            raise ConfigError("change.least_threshold", self.least_threshold, fix)
        if self.allowance < 0:
            raise ConfigError("change.allowance", self.allowance, "use a number of at least 0")


@dataclass(frozen=True, kw_only=True)
class ExplorationConfig:
    """How much is tried that does not look best.

    Raises:
        ConfigError: a share outside [0, 1], a negative loss or count, or a floor above the share.
    """

    floor: float = 0.004
    """Share of decisions that is spread over all that is allowed, so that every propensity is positive; of n candidates
    each has at least half of its n-th part."""
    share: float = 0.05
    """Largest share of a decision for what may, by what is known, be better than what looks best."""
    loss: float = 0.0008
    """Largest expected loss of one decision for that, in solved questions."""
    fresh_share: float = 0.2
    """Largest share of a decision for models of which little is known; their loss is not bounded."""
    fresh_spread: float = 0.5
    """Spread of a model's best-known strategy from which on little is known of it."""
    fresh_runs: int = 150
    """A model that has answered in so many runs is not fresh any more, labelled or not."""

    def __post_init__(self) -> None:
        for name in ("floor", "share", "fresh_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"exploration.{name}", getattr(self, name), "use a share in [0, 1]")
        if self.loss < 0 or self.fresh_spread < 0 or self.fresh_runs < 0:
            given = (self.loss, self.fresh_spread, self.fresh_runs)
            raise ConfigError(
                "exploration.loss, fresh_spread, fresh_runs", given, "use numbers of at least 0"
            )
        if self.floor > self.share:
            fix = f"use at most exploration.share, {self.share:g}"
            raise ConfigError("exploration.floor", self.floor, fix)


@dataclass(frozen=True, kw_only=True)
class SlowConfig:
    """How the networks go on learning; every call of ``learn`` is a round.

    Raises:
        ConfigError: a share outside (0, 1], a number that is not positive, or fewer runs kept than are needed.
    """

    share: float = 0.25
    """Share of the runs that it reads, by their ids: reading for the networks takes most of the time."""
    fewest: int = 512
    """Runs that must be kept before anything is learned."""
    kept: int = 2048
    """Runs that the critics learn from, the latest."""
    critic_rate: float = 1e-4
    """Learning rate of the critics' Adam."""
    actor_rate: float = 3e-5
    """Learning rate of the actors' Adam."""
    critic_batches: int = 2
    """Minibatches of each critic in a round."""
    entropy: float = 0.004
    """Weight of the entropy bonus."""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ConfigError("slow.share", self.share, "use a share above 0 and at most 1")
        for name in ("fewest", "kept", "critic_rate", "actor_rate", "critic_batches", "entropy"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"slow.{name}", getattr(self, name), "use a positive number")
        if self.kept < self.fewest:
            raise ConfigError("slow.kept", self.kept, f"use at least slow.fewest, {self.fewest}")


@dataclass(frozen=True, kw_only=True)
class OnlineConfig:
    """How it learns while it serves."""

    belief: BeliefConfig = field(default_factory=BeliefConfig)
    """Offsets of models and strategies."""
    change: ChangeConfig = field(default_factory=ChangeConfig)
    """When something has changed."""
    exploration: ExplorationConfig = field(default_factory=ExplorationConfig)
    """What is tried."""
    slow: SlowConfig | None = None
    """The networks; None leaves them as they were trained."""
    final_share: float = 0.5
    """Share of the credit for a run that the call which wrote its answer has; the other calls share the rest."""

    def __post_init__(self) -> None:
        if not 0 < self.final_share <= 1:
            raise ConfigError("final_share", self.final_share, "use a share above 0 and at most 1")
