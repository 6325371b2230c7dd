"""Critic and actor of one kind of decision: their networks, their optimisers and one step of each.

N = decisions, C = candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from inframind.router.columns import CANDIDATE_TABLES, SLACK_LOGIT, TABLES, column_counts
from inframind.router.learning.config import LearnerConfig
from inframind.router.learning.experience import Decisions, Experience, Ints, Names
from inframind.router.learning.networks import NetworkInput, NetworkShape, ScorerNetwork
from inframind.router.losses import (
    entropy,
    factored_critic_loss,
    masked_log_softmax,
    ppo_clip_loss,
    reinforce_loss,
)
from inframind.router.policy_learned import LARGEST_LOGIT, HeadWeights
from inframind.router.views import Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ActorBatch:
    """What an actor learns from.

    Attributes:
        decisions: what was seen and chosen (N).
        base: logits that the critic gives the choice (N, C).
        before: log-probabilities before the actor learns from these (N, C).
        advantage: how much better than expected each choice turned out (N).
    """

    decisions: Decisions
    base: Tensor
    before: Tensor
    advantage: Tensor

    def at(self, places: Ints) -> ActorBatch:
        """Some of them."""
        return ActorBatch(
            decisions=self.decisions.at(places),
            base=self.base[places],
            before=self.before[places],
            advantage=self.advantage[places],
        )


class HeadLearner:
    """Critic and actor of one kind of decision.

    Args:
        kind: of the decisions.
        state_names: names that have rows of their own, by state table.
        candidate_names: the same, by candidate table.
        config: how it learns.
        rng: draws the initial weights.
    """

    def __init__(
        self,
        kind: str,
        state_names: Names,
        candidate_names: Names,
        config: LearnerConfig,
        rng: torch.Generator,
    ) -> None:
        self._config, self._kind = config, kind
        shape = _critic_shape(kind, state_names, candidate_names, config)
        self._critic = ScorerNetwork(shape, rng)
        self._actor = ScorerNetwork(replace(shape, n_outputs=1), rng)
        self._critic_adam = torch.optim.Adam(self._critic.parameters(), lr=config.critic_rate)
        self._actor_adam = torch.optim.Adam(self._actor.parameters(), lr=config.actor_rate)
        self._distrust = torch.tensor(
            [config.distrust[kind], config.distrust_of_time, config.distrust_of_time]
        )

    def weights(self) -> HeadWeights:
        """As they are now."""
        return HeadWeights(critic=self._critic.weights(), actor=self._actor.weights())

    def load(self, weights: HeadWeights) -> None:
        """Go on from weights that were served, with optimisers that know of nothing."""
        self._critic.load(weights.critic)
        self._actor.load(weights.actor)

    def modules(self) -> dict[str, Mapping[str, Any]]:
        """State of both networks, by name."""
        return {
            f"{self._kind}.critic": self._critic.state_dict(),
            f"{self._kind}.actor": self._actor.state_dict(),
        }

    def optimizers(self) -> dict[str, Mapping[str, Any]]:
        """State of both optimisers, by the same names."""
        return {
            f"{self._kind}.critic": self._critic_adam.state_dict(),
            f"{self._kind}.actor": self._actor_adam.state_dict(),
        }

    def restore(
        self, modules: Mapping[str, Mapping[str, Any]], optimizers: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Go on from what `modules` and `optimizers` gave."""
        self._critic.load_state_dict(modules[f"{self._kind}.critic"])
        self._actor.load_state_dict(modules[f"{self._kind}.actor"])
        self._critic_adam.load_state_dict(dict(optimizers[f"{self._kind}.critic"]))
        self._actor_adam.load_state_dict(dict(optimizers[f"{self._kind}.actor"]))

    def worth(self, batch: Decisions, multiplier_N: Array) -> Tensor:
        """``Q - price work`` of every candidate (N, C), as the serving policy has it."""
        valuation = self._config.valuation
        shares = torch.sigmoid(self._with_prior(self._critic(_input(batch)), batch))
        solved, on_time = shares[..., 0], shares[..., 0] * shares[..., 1]
        wrong_late = (1 - shares[..., 0]) * (1 - shares[..., 2])
        multiplier = torch.tensor(multiplier_N, dtype=torch.float32)[:, None]
        worth = (1 - multiplier) * solved + multiplier * on_time - valuation.wrong_late * wrong_late
        return worth - valuation.price * torch.tensor(batch.work, dtype=torch.float32)

    def log_probabilities(self, batch: Decisions, base: Tensor) -> Tensor:
        """Of every candidate (N, C), given the logits that the critic gives the choice (N, C)."""
        logits = self._actor(_input(batch))[:, :, 0] + base
        return masked_log_softmax(logits, torch.tensor(batch.allowed))

    def critic_step(self, batch: Decisions, kept: Experience) -> float:
        """One step on decisions of runs that are kept, with the choice as their only candidate; its loss."""
        learned = self._critic(_input(batch))
        loss = factored_critic_loss(
            self._with_prior(learned, batch)[:, 0, :],
            torch.tensor(kept.solved_share[batch.run], dtype=torch.float32),
            torch.tensor(kept.on_time[batch.run], dtype=torch.float32),
            torch.tensor(kept.weight[batch.run], dtype=torch.float32),
        )
        departure = (self._distrust * learned**2).sum(dim=-1).mean()
        self._step(self._critic, self._critic_adam, loss + departure)
        return float(loss.detach())

    def actor_step(self, batch: ActorBatch, progress: float) -> float:
        """One step on new decisions; the entropy that they had."""
        config, decisions = self._config, batch.decisions
        learned = self._actor(_input(decisions))[:, :, 0]
        allowed, chosen = torch.tensor(decisions.allowed), torch.tensor(decisions.chosen)[:, None]
        log_prob = masked_log_softmax(learned + batch.base, allowed)
        log_prob_chosen = log_prob.gather(1, chosen)[:, 0]
        if config.loss == "ppo":
            loss = ppo_clip_loss(log_prob_chosen, batch.before.gather(1, chosen)[:, 0], batch.advantage)
        else:
            loss = reinforce_loss(log_prob_chosen, batch.advantage)
        spread = entropy(log_prob, allowed).mean()
        loss = loss - config.entropy.at(progress) * spread + config.actor_decay * (learned**2).mean()
        self._step(self._actor, self._actor_adam, loss)
        return float(spread.detach())

    def _with_prior(self, logits: Tensor, batch: Decisions) -> Tensor:
        if self._config.valuation.uses_prior:
            slack = torch.tensor(SLACK_LOGIT * batch.slack, dtype=torch.float32)
            prior = torch.stack([torch.tensor(batch.prior_logit, dtype=torch.float32), slack, slack], dim=-1)
            logits = logits + prior
        return logits.clamp(-LARGEST_LOGIT, LARGEST_LOGIT)

    def _step(self, network: torch.nn.Module, adam: torch.optim.Optimizer, loss: Tensor) -> None:
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), self._config.gradient_clip)
        adam.step()


def _critic_shape(
    kind: str, state_names: Names, candidate_names: Names, config: LearnerConfig
) -> NetworkShape:
    n_state, n_candidate = column_counts(kind)
    return NetworkShape(
        n_state=n_state,
        n_candidate=n_candidate,
        state_names=tuple(state_names[table] for table in TABLES[kind]),
        candidate_names={table: candidate_names[table] for table in CANDIDATE_TABLES[kind]},
        n_outputs=3,
        hidden=config.hidden,
        reads_candidates=config.reads_candidates,
    )


def _input(batch: Decisions) -> NetworkInput:
    return NetworkInput(
        state=torch.tensor(batch.state, dtype=torch.float32),
        state_rows=torch.tensor(batch.state_rows),
        candidates=torch.tensor(batch.candidates, dtype=torch.float32),
        candidate_rows=torch.tensor(batch.candidate_rows),
    )
