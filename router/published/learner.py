"""The published training: REINFORCE for the planner, PPO for the executor, dual ascent for the price of latency.

With y = 1 where the run's answer is right, L and l the latency of the run and of the step, B the budget, and lambda
the one multiplier::

    planner   U = y - lambda L / B      less the batch's mean, over its standard deviation
    executor  r = y - lambda l / B      A = r - V(s), standardised over the batch; every step a bandit of its own
    lambda   <- clip(lambda + 0.001 (mean(L / B) - 1), 0, 1)      after each batch

Nothing here depends on how far the training is. The known failures are kept: see `inframind.router.published`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from inframind.errors import ConfigError
from inframind.rewards.advantage import standardised
from inframind.rewards.functions import lagrangian, lagrangian_step
from inframind.rewards.multiplier import DualAscent
from inframind.router.actions import ActionSpace
from inframind.router.encoder import Encoder, HashingEncoder
from inframind.router.latency_state import LatencyState
from inframind.router.learning.training_state import TrainingState
from inframind.router.losses import entropy, masked_log_softmax, ppo_clip_loss, reinforce_loss
from inframind.router.published.experience import Batch, BatchReader, Plans, Steps
from inframind.router.published.networks import ExecutorNetwork, PlannerNetwork, exported
from inframind.router.published.policy import SERVING_TEMPERATURE, PublishedPolicy
from inframind.router.published.policy_file import StoredPublished, save_published
from inframind.router.published.reading import Reader
from inframind.router.views import Array
from inframind.traces.records import Trajectory


@dataclass(frozen=True, kw_only=True)
class PublishedConfig:
    """How it learns; the defaults are the published numbers.

    Raises:
        ConfigError: no runs in a batch, no passes, or a clip outside (0, 1).
    """

    batch_runs: int = 64
    """Runs that are learned from together, about: what came in is split evenly into batches nearest to this size."""
    learning_rate: float = 3e-4
    """Of both Adams."""
    gradient_clip: float = 1.0
    """Largest norm of a gradient."""
    clip: float = 0.2
    """Largest relative change of a probability that is rewarded."""
    passes: int = 3
    """Passes of PPO over a batch."""
    entropy_weight: float = 0.10
    """Of the executor's entropy bonus."""
    value_weight: float = 0.5
    """Of the value's squared error."""
    dual_rate: float = 1e-3
    """Step of the multiplier."""
    dual_start: float = 0.2
    """The multiplier before the first batch."""
    serving_temperature: float = SERVING_TEMPERATURE
    """Of the executor's choice when it serves; 1 while it learns."""
    excluded_strategies: frozenset[str] = frozenset({"Plain"})
    """Strategies that the joint head does not have: the published ones are Flash, Concise and DeepThink."""

    def __post_init__(self) -> None:
        if self.batch_runs < 1 or self.passes < 1:
            raise ConfigError("batch_runs, passes", (self.batch_runs, self.passes), "use at least 1 of each")
        if not 0 < self.clip < 1:
            raise ConfigError("clip", self.clip, "use a number in (0, 1)")


class PublishedLearner:
    """Learns a `PublishedPolicy`. Deterministic: the same runs and seed give the same weights.

    Args:
        actions: what may be chosen.
        config: how it learns.
        encoder: reads questions, topologies and roles.
        seed: of the initial weights.

    Raises:
        ConfigError: every strategy is excluded.
    """

    name = "published"

    def __init__(
        self,
        actions: ActionSpace,
        config: PublishedConfig | None = None,
        *,
        encoder: Encoder | None = None,
        seed: int,
    ) -> None:
        self.config = config = config or PublishedConfig()
        strategies = [name for name in actions.strategies if name not in config.excluded_strategies]
        self._reader = reader = Reader(actions, strategies, encoder or HashingEncoder())
        self._batches = BatchReader(reader)
        rng = torch.Generator().manual_seed(seed)
        self._planner = PlannerNetwork(reader.dimension, rng)
        self._executor = ExecutorNetwork(reader.dimension, len(reader.models), len(reader.places_A), rng)
        self._planner_adam = torch.optim.Adam(self._planner.parameters(), lr=config.learning_rate)
        self._executor_adam = torch.optim.Adam(self._executor.parameters(), lr=config.learning_rate)
        self._multiplier = DualAscent(config.dual_rate, config.dual_start)
        self._topology_TE = torch.from_numpy(np.stack([reader.topology(name) for name in reader.topologies]))
        self._role_UE = torch.from_numpy(np.stack([reader.text(name) for name in reader.roles]))

    @property
    def multipliers(self) -> tuple[float, ...]:
        """The one multiplier."""
        return self._multiplier.values

    def behaviour(self, progress: float) -> PublishedPolicy:
        """The policy that explores: samples at temperature 1."""
        return self._policy(1.0)

    def serving(self) -> PublishedPolicy:
        """The policy that serves, as it is now: samples too, at a lower temperature."""
        return self._policy(self.config.serving_temperature)

    def learn(
        self,
        trajectories: Sequence[Trajectory],
        solved: Mapping[str, bool],
        progress: float,
        *,
        imputed: Mapping[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from runs in batches, in the order in which they came; see `RoutingLearner.learn`.

        The published design learns from rewards alone: runs with an imputed label are left out.
        """
        graded = [run for run in trajectories if run.trace_id in solved and run.status != "open"]
        figures = [
            self._learn_batch(self._batches.read(part, solved))
            for part in _parts(graded, self.config.batch_runs)
        ]
        names = dict.fromkeys(name for one in figures for name in one)
        return {name: float(np.mean([one[name] for one in figures if name in one])) for name in names}

    def end_epoch(self) -> None:
        """Nothing: the multiplier moves with every batch."""

    def save_policy(self, path: Path, *, latency: LatencyState | None, facts: Mapping[str, object]) -> Path:
        """Write the serving policy as one file.

        Raises:
            CheckpointError: a weight is not finite.
        """
        return save_published(
            path,
            StoredPublished(
                planner=exported(self._planner),
                executor=exported(self._executor),
                models=self._reader.models,
                strategies=self._reader.strategies,
                temperature=self.config.serving_temperature,
                latency=latency,
                facts=facts,
            ),
        )

    def state(self) -> TrainingState:
        """Everything that is needed to go on."""
        return TrainingState(
            modules={"planner": self._planner.state_dict(), "executor": self._executor.state_dict()},
            optimizers={
                "planner": self._planner_adam.state_dict(),
                "executor": self._executor_adam.state_dict(),
            },
            generators={},
            progress={"multiplier": self._multiplier.state()},
        )

    def restore(self, state: TrainingState) -> None:
        """Go on from a state of the same configuration."""
        self._planner.load_state_dict(state.modules["planner"])
        self._executor.load_state_dict(state.modules["executor"])
        self._planner_adam.load_state_dict(dict(state.optimizers["planner"]))
        self._executor_adam.load_state_dict(dict(state.optimizers["executor"]))
        self._multiplier = DualAscent.restored(state.progress["multiplier"], rate=self.config.dual_rate)

    def _policy(self, temperature: float) -> PublishedPolicy:
        return PublishedPolicy(
            exported(self._planner), exported(self._executor), self._reader, temperature=temperature
        )

    def _learn_batch(self, batch: Batch) -> dict[str, float]:
        figures = self._learn_planner(batch) | self._learn_executor(batch)
        self._multiplier.update(batch.outcomes)
        return figures

    # Planner -------------------------------------------------------------------------------------------

    def _learn_planner(self, batch: Batch) -> dict[str, float]:
        if not len(batch.plans):
            return {}
        utility_R = lagrangian(batch.outcomes, self._multiplier.of(batch.outcomes.budget_s_B)).total
        advantage_P = _tensor(standardised(utility_R[batch.plans.run], "batch"))
        loss = reinforce_loss(self._plan_log_prob(batch.plans), advantage_P)
        self._step(self._planner, self._planner_adam, loss)
        return {"planner_loss": float(loss.detach())}

    def _plan_log_prob(self, plans: Plans) -> Tensor:
        """Log-probability of topology and roles together (P)."""
        topology_PT = masked_log_softmax(
            self._planner.topology_logits(torch.from_numpy(plans.question), self._topology_TE),
            torch.from_numpy(plans.allowed),
        )
        role_NU = masked_log_softmax(
            self._planner.role_logits(torch.from_numpy(plans.seat_context), self._role_UE),
            torch.from_numpy(plans.seat_allowed),
        )
        return _chosen(topology_PT, plans.chosen).index_add(
            0, torch.from_numpy(plans.seat_plan), _chosen(role_NU, plans.seat_chosen)
        )

    # Executor ------------------------------------------------------------------------------------------

    def _learn_executor(self, batch: Batch) -> dict[str, float]:
        steps = batch.steps
        if not len(steps):
            return {}
        outcomes = batch.step_outcomes
        reward_S = lagrangian_step(outcomes, self._multiplier.of(outcomes.budget_s_B)).total
        with torch.no_grad():
            _, value_S = self._judged(steps)
        advantage_S = _tensor(standardised(reward_S - value_S.numpy().astype(np.float64), "batch"))
        figures = [self._ppo_pass(steps, advantage_S, _tensor(reward_S)) for _ in range(self.config.passes)]
        return {name: float(np.mean([one[name] for one in figures])) for name in figures[0]}

    def _ppo_pass(self, steps: Steps, advantage_S: Tensor, reward_S: Tensor) -> dict[str, float]:
        log_prob_SA, value_S = self._judged(steps)
        policy_loss = ppo_clip_loss(
            _chosen(log_prob_SA, steps.chosen),
            _tensor(np.log(steps.probability)),
            advantage_S,
            self.config.clip,
        )
        value_loss = functional.mse_loss(value_S, reward_S)
        spread = entropy(log_prob_SA, torch.from_numpy(steps.allowed)).mean()
        loss = policy_loss + self.config.value_weight * value_loss - self.config.entropy_weight * spread
        self._step(self._executor, self._executor_adam, loss)
        return {
            "executor_loss": float(policy_loss.detach()),
            "value_loss": float(value_loss.detach()),
            "executor_entropy": float(spread.detach()),
        }

    def _judged(self, steps: Steps) -> tuple[Tensor, Tensor]:
        """Log-probabilities (S, A) and values (S)."""
        logits_SA, value_S = self._executor(
            torch.from_numpy(steps.semantic), torch.from_numpy(steps.resources)
        )
        return masked_log_softmax(logits_SA, torch.from_numpy(steps.allowed)), value_S

    def _step(self, network: nn.Module, adam: torch.optim.Optimizer, loss: Tensor) -> None:
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), self.config.gradient_clip)
        adam.step()


def _parts(runs: Sequence[Trajectory], size: int) -> Iterator[Sequence[Trajectory]]:
    """Consecutive runs in parts of nearly one size, as near to the given one as may be."""
    n_parts = max(round(len(runs) / size), 1)
    edges = [round(part * len(runs) / n_parts) for part in range(n_parts + 1)]
    for start, end in itertools.pairwise(edges):
        if end > start:
            yield runs[start:end]


def _chosen(log_prob_BA: Tensor, chosen_B: np.ndarray) -> Tensor:
    return log_prob_BA.gather(1, torch.from_numpy(chosen_B)[:, None])[:, 0]


def _tensor(values: Array) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)
