"""The critic of pacing: what STAY and ADVANCE lead to, in factors that each can be checked.

S = decisions, F = columns, A = 2 actions in the order STAY, ADVANCE.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from inframind.router.learning.pacing_samples import LAST, PacingSamples

STAY_PLACE, ADVANCE_PLACE = 0, 1
_CALLS_LOSS_WEIGHT = 0.1
"""Of the squared error in calls, which is above 1, against the two log losses, which are below."""


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How a network is fitted: full-batch Adam with decoupled weight decay."""

    hidden: int
    steps: int
    learning_rate: float
    weight_decay: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Consequences:
    """What follows a decision: as estimated for each action (S, A), or as it happened (S).

    Attributes:
        solved: P(solved).
        on_time: P(on time | solved).
        calls: calls up to the end of the run.
    """

    solved: Tensor
    on_time: Tensor
    calls: Tensor

    def value(self, call_price: float) -> Tensor:
        """``P(solved) P(on time | solved) - price x calls``, in solved questions."""
        return self.solved * self.on_time - call_price * self.calls


def realised(samples: PacingSamples) -> Consequences:
    """What happened (S)."""
    return Consequences(
        solved=floats(samples.solved_S),
        on_time=floats(samples.on_time_S),
        calls=floats(samples.sums_to_end(samples.calls_S)),
    )


class PacingCritic:
    """A network with one hidden layer, fitted to what followed the actions that were taken.

    Args:
        samples: the decisions.
        inputs_SF: their standardised features.
        config: of each fit.
        generator: of the initial weights.
    """

    def __init__(
        self, samples: PacingSamples, inputs_SF: Tensor, config: FitConfig, generator: torch.Generator
    ) -> None:
        self._samples, self._inputs_SF = samples, inputs_SF
        self._config, self._generator = config, generator
        self._action_S1 = torch.from_numpy((~samples.stays_S).astype("int64")).unsqueeze(1)

    def of_the_logs(self) -> Consequences:
        """Estimates (S, A) when everyone goes on as whoever wrote the logs did."""
        return self._fit(realised(self._samples))

    def of_the_best(self, call_price: float) -> Consequences:
        """Estimates (S, A) when every later decision is the better one by this very critic.

        Fitted backwards: in each pass a STAY that led to another decision is worth what the better action there
        was worth in the pass before, until the longest run is covered.
        """
        estimates = self.of_the_logs()
        for _ in range(self._samples.longest_run - 1):
            estimates = self._fit(self._with_best_followers(estimates, call_price))
        return estimates

    def log_loss(self, estimates: Consequences) -> float:
        """Mean log loss of P(solved) for the actions that were taken."""
        taken = estimates.solved.gather(1, self._action_S1).squeeze(1)
        return float(functional.binary_cross_entropy(taken, floats(self._samples.solved_S)))

    def _with_best_followers(self, estimates: Consequences, call_price: float) -> Consequences:
        """What happened; where another decision followed, the better of what that one leads to instead."""
        next_S = torch.from_numpy(self._samples.next_S)
        has_next_S = next_S != LAST
        value_SA = estimates.value(call_price)
        stays_S = (value_SA[:, STAY_PLACE] > value_SA[:, ADVANCE_PLACE]) & torch.from_numpy(
            self._samples.may_stay_S
        )
        best_S1 = (~stays_S).long().unsqueeze(1)

        def follow(happened_S: Tensor, estimated_SA: Tensor) -> Tensor:
            best_S = estimated_SA.gather(1, best_S1).squeeze(1)
            return torch.where(has_next_S, best_S[next_S], happened_S)

        happened = realised(self._samples)
        to_next_S = torch.where(has_next_S, floats(self._samples.calls_S), 0.0)
        return Consequences(
            solved=follow(happened.solved, estimates.solved),
            on_time=follow(happened.on_time, estimates.on_time),
            calls=to_next_S + follow(happened.calls, estimates.calls),
        )

    def _fit(self, target: Consequences) -> Consequences:
        """Estimates (S, A) of a network that was fitted to the targets (S)."""
        network = one_hidden_layer(self._inputs_SF.shape[1], self._config.hidden, 6, self._generator)

        def loss() -> Tensor:
            logits_SA3 = network(self._inputs_SF).unflatten(1, (2, 3))
            solved, on_time, calls = logits_SA3[
                torch.arange(len(self._samples)), self._action_S1[:, 0]
            ].unbind(1)
            late_loss = functional.binary_cross_entropy_with_logits(on_time, target.on_time, target.solved)
            return (
                functional.binary_cross_entropy_with_logits(solved, target.solved)
                + late_loss
                + _CALLS_LOSS_WEIGHT * functional.mse_loss(calls, target.calls)
            )

        minimise(network, loss, self._config)
        with torch.no_grad():
            solved, on_time, calls = network(self._inputs_SF).unflatten(1, (2, 3)).unbind(2)
        return Consequences(solved=solved.sigmoid(), on_time=on_time.sigmoid(), calls=calls)


class DoublyRobustReturns:
    """What each decision would have returned, had the later ones of its run been another pacer's.

    Backwards through a run, ``R = -price x calls + V(next) + ratio(next) (R(next) - Q(next, action taken))``, and
    what happened after the last decision: unbiased where either the critic or the propensities are right (Jiang and
    Li 2016, "Doubly Robust Off-policy Value Evaluation for Reinforcement Learning").

    Args:
        samples: the decisions.
        value_SA: the critic's value of each action.
        call_price: price of a call.
    """

    def __init__(self, samples: PacingSamples, value_SA: Tensor, call_price: float) -> None:
        self._next_S = torch.from_numpy(samples.next_S)
        self._has_next_S = self._next_S != LAST
        self._happened_S = realised(samples).value(call_price)
        self._price_to_next_S = call_price * floats(samples.calls_S)
        self._taken_S = torch.where(
            torch.from_numpy(samples.stays_S), value_SA[:, STAY_PLACE], value_SA[:, ADVANCE_PLACE]
        )
        self._passes = samples.longest_run - 1

    def under(self, expected_S: Tensor, ratio_S: Tensor) -> Tensor:
        """The returns (S) under a pacer.

        Args:
            expected_S: the critic's mean value over both actions under the pacer.
            ratio_S: the pacer's probability of the action taken over the logs'.
        """
        returned_S = self._happened_S
        for _ in range(self._passes):
            followed_S = expected_S + ratio_S * (returned_S - self._taken_S)
            returned_S = torch.where(
                self._has_next_S, followed_S[self._next_S] - self._price_to_next_S, self._happened_S
            )
        return returned_S


def one_hidden_layer(columns: int, hidden: int, outputs: int, generator: torch.Generator) -> nn.Sequential:
    """``Linear, tanh, Linear`` in float64, with Glorot's uniform weights and no biases to begin with."""
    network = nn.Sequential(
        nn.Linear(columns, hidden, dtype=torch.float64),
        nn.Tanh(),
        nn.Linear(hidden, outputs, dtype=torch.float64),
    )
    for name, parameter in network.named_parameters():
        if name.endswith("weight"):
            nn.init.xavier_uniform_(parameter, generator=generator)
        else:
            nn.init.zeros_(parameter)
    return network


def minimise(network: nn.Module, loss: Callable[[], Tensor], config: FitConfig) -> None:
    """Take the configured number of steps down the loss."""
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    for _ in range(config.steps):
        optimiser.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def floats(values: object) -> Tensor:
    """A numpy array as float64."""
    return torch.as_tensor(values, dtype=torch.float64)
