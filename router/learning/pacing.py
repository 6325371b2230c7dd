"""Training of `LearnedPacer`: what another round is worth, learned from stored decisions.

S = decisions, F = columns, A = 2 actions in the order STAY, ADVANCE.

The value of an action is P(solved) P(on time | solved) minus a price per call that follows. Three ways to learn:

* ``direct``, the default: a factored critic of both actions, fitted backwards through the rounds (a STAY is worth what
  the better action of the next decision is worth), and the pacer that is best by that critic. The least noisy: on
  simulated teams it found from 1,600 runs what the next one missed with 4,000. Its weakness: the better of two
  uncertain estimates is too good on average, so that it stays too often where rounds differ by little.
* ``policy_gradient``: importance-weighted returns minus the critic's counterfactual baseline, the mean over both
  actions under the pacer. What followed a STAY was paced by whoever wrote the logs; doubly robust returns stand in
  for what would have followed under the pacer. Believes what happened rather than the critic, at the price of noise.
* ``phase``: REINFORCE on the rewards of `inframind.rewards.pacing`, which know nothing of right answers. They punish
  every ADVANCE from a state that has not stagnated, and nothing can have stagnated after round 1: on short searches
  such as ours the pacer learns never to stop there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from inframind.errors import ConfigError
from inframind.rewards.pacing import PacingObservation, PacingRewardConfig, RewardComputer
from inframind.router.learning.pacing_critic import (
    ADVANCE_PLACE,
    STAY_PLACE,
    DoublyRobustReturns,
    FitConfig,
    PacingCritic,
    floats,
    minimise,
    one_hidden_layer,
)
from inframind.router.learning.pacing_samples import PacingSamples
from inframind.router.pacer import LearnedPacer
from inframind.router.views import Array

PacingMethod = Literal["direct", "policy_gradient", "phase"]
Objective = Callable[[Tensor], Tensor]
"""P(STAY) of each decision (S) to what is to be maximised, a scalar."""


@dataclass(frozen=True, kw_only=True)
class PacerConfig:
    """How a pacer is trained.

    Raises:
        ConfigError: a value is out of range.
    """

    method: PacingMethod = "direct"
    """What is maximised."""
    call_price: float = 0.01
    """Share of a solved question that one more call must bring; raise it for a fleet that is congested."""
    max_rounds: int | None = None
    """Most rounds that the pacer may choose, such as the default number of a topology that allows more; None leaves
    that to the topologies."""
    temperature: float = 0.01
    """Weight of the pacer's entropy: where actions differ by less than this it tosses a coin."""
    hidden: int = 16
    """Units of the pacer's hidden layer."""
    critic_hidden: int = 32
    """Units of the critic's hidden layer."""
    steps: int = 400
    """Full-batch Adam steps of each fit."""
    learning_rate: float = 0.02
    """Of Adam."""
    weight_decay: float = 0.1
    """Of Adam, decoupled."""
    max_importance: float = 10.0
    """Cut of the importance weights of the two gradient methods."""
    reward: PacingRewardConfig = field(default_factory=PacingRewardConfig)
    """Constants of ``phase``; its fitness is the share of the team outside the largest agreement."""
    seed: int = 0
    """Of the initial weights, the only chance in here."""

    def __post_init__(self) -> None:
        if self.method not in get_args(PacingMethod):
            raise ConfigError("pacer.method", self.method, f"use one of: {', '.join(get_args(PacingMethod))}")
        for name in ("temperature", "learning_rate", "max_importance", "hidden", "critic_hidden", "steps"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"pacer.{name}", getattr(self, name), "give a positive number")
        if self.max_rounds is not None and self.max_rounds < 1:
            raise ConfigError("pacer.max_rounds", self.max_rounds, "give at least 1, or None")
        for name in ("call_price", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"pacer.{name}", getattr(self, name), "give 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedPacer:
    """A pacer, and how its training went.

    Attributes:
        pacer: ready to serve.
        stay_share: mean P(STAY) over the decisions where it was allowed.
        critic_log_loss: of P(solved) for the actions that were taken; None for ``phase``, which has no critic.
    """

    pacer: LearnedPacer
    stay_share: float
    critic_log_loss: float | None


def train_pacer(samples: PacingSamples, config: PacerConfig | None = None) -> TrainedPacer:
    """Train a pacer on stored decisions; the same samples and config give the same weights.

    Args:
        samples: decisions with both actions among them; collect with exploration, such as ``UniformPolicy``'s.
        config: how.

    Raises:
        ConfigError: STAY was never allowed, or one of the two actions was never tried.
    """
    config = config or PacerConfig()
    if config.max_rounds is not None:
        samples = samples.up_to(config.max_rounds)
    _check_support(samples)
    return _Training(samples, config).run()


def _check_support(samples: PacingSamples) -> None:
    tried = samples.stays_S[samples.may_stay_S]
    if not tried.any() or tried.all():
        raise ConfigError(
            "samples",
            f"{int(tried.sum())} STAY among {len(tried)}",
            "give decisions in which both actions were tried: collect them with exploration",
        )


class _Training:
    """One training: the samples as tensors, and what is maximised."""

    def __init__(self, samples: PacingSamples, config: PacerConfig) -> None:
        self._samples, self._config = samples, config
        self._mean_F, self._scale_F = _standardisation(samples.features_SF)
        self._inputs_SF = floats((samples.features_SF - self._mean_F) * self._scale_F)
        self._stays_S = torch.from_numpy(samples.stays_S)
        self._may_stay_S = torch.from_numpy(samples.may_stay_S)
        self._generator = torch.Generator().manual_seed(config.seed)

    def run(self) -> TrainedPacer:
        objective, log_loss = self._objective()
        network = one_hidden_layer(len(self._mean_F), self._config.hidden, 1, self._generator)

        def loss() -> Tensor:
            logit_S = network(self._inputs_SF).squeeze(1)
            stay_S = logit_S.sigmoid()
            entropy_S = nn.functional.softplus(logit_S) - stay_S * logit_S
            return -objective(stay_S) - self._config.temperature * self._mean_of_choices(entropy_S)

        minimise(network, loss, self._fit_config(self._config.hidden))
        with torch.no_grad():
            stay_share = float(self._mean_of_choices(network(self._inputs_SF).squeeze(1).sigmoid()))
        pacer = _exported(network, self._mean_F, self._scale_F, self._config.max_rounds)
        return TrainedPacer(pacer=pacer, stay_share=stay_share, critic_log_loss=log_loss)

    def _objective(self) -> tuple[Objective, float | None]:
        """What is maximised, and how well the critic predicts."""
        if self._config.method == "phase":
            return self._phase(), None
        critic = PacingCritic(
            self._samples, self._inputs_SF, self._fit_config(self._config.critic_hidden), self._generator
        )
        estimates = critic.of_the_best(self._config.call_price)
        value_SA = estimates.value(self._config.call_price)
        objective = self._direct(value_SA) if self._config.method == "direct" else self._gradient(value_SA)
        return objective, critic.log_loss(estimates)

    def _direct(self, value_SA: Tensor) -> Objective:
        """The expected value by the critic."""
        return lambda stay_S: self._mean_of_choices(_expected(value_SA, stay_S))

    def _gradient(self, value_SA: Tensor) -> Objective:
        """What came of a decision, over what the critic expects of the pacer in that state."""
        returns = DoublyRobustReturns(self._samples, value_SA, self._config.call_price)

        def objective(stay_S: Tensor) -> Tensor:
            fixed_S = torch.where(self._may_stay_S, stay_S.detach(), 0.0)
            expected_S = _expected(value_SA, fixed_S)
            ratio_S = self._ratio(fixed_S)
            return self._weighted(stay_S, returns.under(expected_S, ratio_S) - expected_S)

        return objective

    def _phase(self) -> Objective:
        """The rewards to the end of the run, over their mean after the same round."""
        returned_S = self._samples.sums_to_end(
            _phase_rewards(self._samples, RewardComputer(self._config.reward))
        )
        advantage_S = floats(returned_S - _means_by(self._samples.round_S, returned_S))
        return lambda stay_S: self._weighted(stay_S, advantage_S)

    def _weighted(self, stay_S: Tensor, advantage_S: Tensor) -> Tensor:
        """Advantages weighted by how much likelier the pacer makes the action than the logs did."""
        return self._mean_of_choices(self._ratio(stay_S) * advantage_S)

    def _ratio(self, stay_S: Tensor) -> Tensor:
        chosen_S = torch.where(self._stays_S, stay_S, 1 - stay_S)
        return (chosen_S / floats(self._samples.propensity_S)).clamp(max=self._config.max_importance)

    def _mean_of_choices(self, values_S: Tensor) -> Tensor:
        """Mean over the decisions in which there was something to choose."""
        return values_S[self._may_stay_S].mean()

    def _fit_config(self, hidden: int) -> FitConfig:
        config = self._config
        return FitConfig(
            hidden=hidden,
            steps=config.steps,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
        )


def _expected(value_SA: Tensor, stay_S: Tensor) -> Tensor:
    """Mean value over both actions under the pacer (S)."""
    return stay_S * value_SA[:, STAY_PLACE] + (1 - stay_S) * value_SA[:, ADVANCE_PLACE]


def _standardisation(features_SF: Array) -> tuple[Array, Array]:
    """Mean, and one over the standard deviation or 0 for a column that never varies (F), (F)."""
    spread_F = features_SF.std(axis=0)
    varies_F = spread_F > 1e-9
    return features_SF.mean(axis=0), np.where(varies_F, 1 / np.where(varies_F, spread_F, 1.0), 0.0)


def _phase_rewards(samples: PacingSamples, computer: RewardComputer) -> Array:
    """Reward of each decision (S); a round's improvement is credited to the STAY that bought it."""
    return np.array(
        [
            computer.compute(
                "STAY" if stays else "ADVANCE",
                computer.improvement(1.0, 1.0 - gain) if stays else 0.0,
                PacingObservation(stagnation=stagnation),
            ).total
            for stays, gain, stagnation in zip(
                samples.stays_S.tolist(),
                samples.improvement_S.tolist(),
                samples.stagnation_S.tolist(),
                strict=True,
            )
        ]
    )


def _means_by(group_S: Array, values_S: Array) -> Array:
    """Each decision's mean over its group (S)."""
    _, place_S = np.unique(group_S, return_inverse=True)
    means: Array = np.bincount(place_S, values_S) / np.bincount(place_S)
    return means[place_S]


def _exported(network: nn.Sequential, mean_F: Array, scale_F: Array, max_rounds: int | None) -> LearnedPacer:
    w1, b1, w2, b2 = (parameter.detach().numpy().copy() for parameter in network.parameters())
    return LearnedPacer(
        mean_F=mean_F,
        scale_F=scale_F,
        w1_HF=w1,
        b1_H=b1,
        w2_H=w2.reshape(-1),
        b2=float(b2.item()),
        max_rounds=max_rounds,
    )
