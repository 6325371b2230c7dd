"""How a learner learns: every constant of it, and which go together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from inframind.errors import ConfigError
from inframind.rewards.advantage import AdvantageConfig
from inframind.rewards.multiplier import DEFAULT_EDGES_S, PidConfig
from inframind.rewards.registry import RewardConfig
from inframind.router.features import Sight
from inframind.router.losses import EntropySchedule
from inframind.router.policy_learned import KINDS, Valuation


@dataclass(frozen=True, kw_only=True)
class TemperatureSchedule:
    """Temperature of the choice over the training: geometric from ``start`` to ``end``."""

    start: float = 0.03
    end: float = 0.008

    def at(self, progress: float) -> float:
        """After that share of the training."""
        return self.start * math.pow(self.end / self.start, min(max(progress, 0.0), 1.0))


@dataclass(frozen=True, kw_only=True)
class LearnerConfig:
    """How it learns."""

    reward: RewardConfig = field(default_factory=RewardConfig)
    """What a run is worth."""
    pid: PidConfig = field(default_factory=lambda: PidConfig(target=0.03, start=0.9, lowest=0.8))
    """The controller of each budget tier's multiplier."""
    edges_s: tuple[float, ...] = DEFAULT_EDGES_S
    """Budgets that part the tiers."""
    advantage: AdvantageConfig = field(default_factory=lambda: AdvantageConfig(standardisation="scale"))
    """Baseline and standardisation."""
    credit: str = "run"
    """``run``: every step earns the whole return of its run. ``potential``: a step is paid the change in what the
    critic expects of the run, the last one the return less that (`inframind.rewards.credit.shaped_rewards`)."""
    valuation: Valuation = field(default_factory=Valuation)
    """Price, prior and what a worth is."""
    temperature: TemperatureSchedule = field(default_factory=TemperatureSchedule)
    """Of the choice, while it learns; it serves the best candidate."""
    entropy: EntropySchedule = field(default_factory=EntropySchedule)
    """Weight of the entropy bonus."""
    sight: Sight = field(default_factory=Sight)
    """What may be looked at."""
    reads_candidates: bool = True
    """Whether the networks read what describes candidates; otherwise they know them by name alone, as a head with one
    output per action does. To measure what the description is worth."""
    loss: str = "reinforce"
    """``reinforce`` or ``ppo``."""
    largest_weight: float | None = None
    """Runs of another policy, such as production's, weigh by how likely this one would have chosen the same, up to
    this (1 is usual). None takes runs for this policy's own, as in training."""
    ppo_passes: int = 3
    """Passes over a batch with ``ppo``."""
    hidden: int = 24
    """Hidden units of every network."""
    critic_rate: float = 1e-3
    """Learning rate of the critics' Adam."""
    actor_rate: float = 3e-4
    """Learning rate of the actors' Adam."""
    distrust: Mapping[str, float] = field(default_factory=lambda: {"plan": 0.3, "role": 0.02, "step": 0.3})
    """Penalty on the squared log odds by which each critic departs from what single calls say of being right."""
    distrust_of_time: float = 0.1
    """The same, of being in time as predicted."""
    actor_decay: float = 0.02
    """Penalty on the squared logits that the actors add: what the critics say stands until there is evidence."""
    critic_batches: int = 6
    """Minibatches per batch of runs."""
    critic_batch_size: int = 256
    """Decisions per minibatch."""
    actor_batch_size: int = 256
    """Decisions per step of an actor."""
    gradient_clip: float = 1.0
    """Largest norm of a gradient."""
    runs_kept: int = 8000
    """Runs that the critics learn from, the latest."""
    excluded_strategies: frozenset[str] = frozenset()
    """Strategies that are never chosen."""

    def __post_init__(self) -> None:
        if self.loss not in ("reinforce", "ppo"):
            raise ConfigError("loss", self.loss, "use 'reinforce' or 'ppo'")
        if self.credit not in ("run", "potential"):
            raise ConfigError("credit", self.credit, "use 'run' or 'potential'")
        if self.credit == "potential" and self.advantage.baseline != "counterfactual":
            fix = "the potential is the critic's: use the baseline 'counterfactual'"
            raise ConfigError("credit", self.credit, fix)
        if set(self.distrust) != set(KINDS):
            raise ConfigError(
                "distrust", sorted(self.distrust), f"give a number for each of {', '.join(KINDS)}"
            )
        if self.reward.name != "on_time" and self.valuation.uses_critic:
            fix = "the critic's worth is that of on_time: use LearnerConfig.for_reward, which lets the actor decide"
            raise ConfigError("reward.name", self.reward.name, fix)

        given = self.reward.parameters.get("w", self.valuation.wrong_late)
        if self.reward.name == "on_time" and given != self.valuation.wrong_late:
            raise ConfigError(
                "reward.w", given, f"the critic takes {self.valuation.wrong_late}: give both alike"
            )

    @classmethod
    def for_reward(cls, reward: RewardConfig) -> LearnerConfig:
        """The defaults with another reward.

        The critic's worth is the expected `on_time` reward; with any other reward the actor decides alone, against a
        baseline that is fitted to that reward.
        """
        if reward.name == "on_time":
            w = reward.parameters.get("w", Valuation.wrong_late)
            return cls(reward=reward, valuation=Valuation(wrong_late=w))
        return cls(
            reward=reward,
            valuation=Valuation(uses_critic=False),
            advantage=AdvantageConfig(baseline="value", standardisation="batch"),
            actor_rate=1e-3,
            actor_decay=0.0,
        )
