"""The learner: critics by regression on what came of the choices taken, actors by policy gradient, multipliers by PID.

One round of learning follows each batch of finished runs:

1. the critics learn from all runs kept: right, and in time, for the choice that was taken; runs that nobody graded
   may come with a probability of being right, and weigh half;
2. the actors learn from the new graded runs: ``A = R - price work - sum_a pi(a) Q(a)``, the Monte-Carlo return less a
   counterfactual baseline over all candidates;
3. at the end of an epoch the multipliers move by the share of late runs in each budget tier.

Actors, planner critics and executor critics have optimisers of their own.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inframind.rewards.advantage import AdvantageInputs
from inframind.rewards.multiplier import Multiplier, TieredMultiplier
from inframind.rewards.registry import reward_named
from inframind.router.actions import ActionSpace
from inframind.router.columns import CANDIDATE_TABLES, SLACK_LOGIT, TABLES, column_counts
from inframind.router.features import FeatureBuilder
from inframind.router.latency_state import LatencyState
from inframind.router.learning.config import LearnerConfig
from inframind.router.learning.experience import (
    Decisions,
    Experience,
    ExperienceReader,
    Ints,
    experience_arrays,
    experience_of,
    joined,
)
from inframind.router.learning.imputation import IMPUTED_WEIGHT
from inframind.router.learning.networks import NetworkInput, NetworkShape, ScorerNetwork
from inframind.router.learning.training_state import TrainingState
from inframind.router.losses import (
    clipped_importance_weights,
    entropy,
    factored_critic_loss,
    masked_log_softmax,
    ppo_clip_loss,
    reinforce_loss,
)
from inframind.router.policy_file import StoredPolicy, save_policy
from inframind.router.policy_learned import (
    KINDS,
    LARGEST_LOGIT,
    HeadWeights,
    LearnedPolicy,
    PolicyWeights,
    Valuation,
)
from inframind.router.query_model import QueryModel
from inframind.router.topology import JUDGE_ROLE
from inframind.router.views import Array
from inframind.traces.records import Trajectory


class _HeadLearner:
    """Critic and actor of one kind of decision."""

    def __init__(self, shape: NetworkShape, config: LearnerConfig, rng: torch.Generator) -> None:
        self.critic = ScorerNetwork(shape, rng)
        actor_shape = NetworkShape(**{**shape.__dict__, "n_outputs": 1})
        self.actor = ScorerNetwork(actor_shape, rng)
        self.critic_adam = torch.optim.Adam(self.critic.parameters(), lr=config.critic_rate)
        self.actor_adam = torch.optim.Adam(self.actor.parameters(), lr=config.actor_rate)

    def weights(self) -> HeadWeights:
        return HeadWeights(critic=self.critic.weights(), actor=self.actor.weights())


class Learner:
    """Learns a `LearnedPolicy` from finished runs. Deterministic: the same runs and seed give the same weights.

    Args:
        actions: what may be chosen.
        queries: reads questions; fitted on single calls beforehand, or untrained.
        config: how it learns.
        seed: of initial weights and minibatches.
    """

    name = "learned"

    def __init__(
        self, actions: ActionSpace, queries: QueryModel, config: LearnerConfig | None = None, *, seed: int
    ) -> None:
        self.config = config = config or LearnerConfig()
        self.actions, self.queries = actions, queries
        self._reward = reward_named(config.reward)
        self._multiplier: Multiplier = TieredMultiplier(config.edges_s, config.pid)
        self._rng = np.random.default_rng(seed)
        state_names, candidate_names = known_names(actions)
        self._reader = ExperienceReader(
            actions,
            FeatureBuilder(actions, queries, config.sight),
            state_names,
            candidate_names,
            excluded_strategies=config.excluded_strategies,
        )
        torch_rng = torch.Generator().manual_seed(seed)
        self._heads = {
            kind: _HeadLearner(_shape(kind, actions, state_names, candidate_names, config), config, torch_rng)
            for kind in KINDS
        }
        self._distrust = {
            kind: torch.tensor([config.distrust[kind], config.distrust_of_time, config.distrust_of_time])
            for kind in KINDS
        }
        self._kept: deque[Experience] = deque()
        self._epoch: list[Experience] = []
        self._plan_runs: Counter[str] = Counter()

    @property
    def multipliers(self) -> tuple[float, ...]:
        """What being late costs now, by budget tier, shortest budgets first."""
        return self._multiplier.values

    def learn(
        self,
        trajectories: Sequence[Trajectory],
        solved: Mapping[str, bool],
        progress: float,
        *,
        imputed: Mapping[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from runs that have just ended; see `RoutingLearner.learn`.

        Imputed runs teach the critics alone: actors, multipliers and the counts of plans go by labels.
        """
        new = self._reader.read(trajectories, solved)
        ungraded = [run for run in trajectories if run.trace_id not in solved]
        guessed = self._reader.read(ungraded, imputed or {}, weight=IMPUTED_WEIGHT)
        if not len(new.on_time) + len(guessed.on_time):
            return {}
        self._keep(joined([new.taken(), guessed.taken()]))
        self._epoch.append(new.without_decisions())
        self._plan_runs.update(_plans_of(trajectories, solved))
        figures = self._learn_critics(joined(list(self._kept)))
        for kind in KINDS:
            figures |= self._learn_actor(kind, new, progress)
        return figures

    def end_epoch(self) -> None:
        """Move the multipliers by the runs since the last call."""
        if self._epoch:
            self._multiplier.update(joined(self._epoch).outcomes)
            self._epoch = []

    def behaviour(self, progress: float) -> LearnedPolicy:
        """The policy that explores, after that share of the training."""
        return self._stored(progress, None, {}).bind_reader(self.actions, self.queries, explores=True)

    def serving(self) -> LearnedPolicy:
        """The policy that serves, as it is now."""
        return self._stored(1.0, None, {}).bind_reader(self.actions, self.queries)

    def save_policy(self, path: Path, *, latency: LatencyState | None, facts: Mapping[str, object]) -> Path:
        """Write the serving policy as one file.

        Raises:
            CheckpointError: a weight is not finite.
        """
        return save_policy(path, self._stored(1.0, latency, facts))

    def state(self) -> TrainingState:
        """Everything that is needed to go on."""
        modules: dict[str, Mapping[str, Any]] = {}
        optimizers: dict[str, Mapping[str, Any]] = {}
        for kind, head in self._heads.items():
            modules |= {f"{kind}.critic": head.critic.state_dict(), f"{kind}.actor": head.actor.state_dict()}
            optimizers |= {
                f"{kind}.critic": head.critic_adam.state_dict(),
                f"{kind}.actor": head.actor_adam.state_dict(),
            }
        return TrainingState(
            modules=modules,
            optimizers=optimizers,
            generators={"batches": self._rng.bit_generator.state},
            progress={
                "multiplier": self._multiplier.state(),
                "plan_runs": dict(self._plan_runs),
                "kept": [experience_arrays(one) for one in self._kept],
                "epoch": [experience_arrays(one) for one in self._epoch],
            },
        )

    def restore(self, state: TrainingState) -> None:
        """Go on from a state of the same configuration."""
        for kind, head in self._heads.items():
            head.critic.load_state_dict(state.modules[f"{kind}.critic"])
            head.actor.load_state_dict(state.modules[f"{kind}.actor"])
            head.critic_adam.load_state_dict(dict(state.optimizers[f"{kind}.critic"]))
            head.actor_adam.load_state_dict(dict(state.optimizers[f"{kind}.actor"]))
        self._rng.bit_generator.state = state.generators["batches"]
        self._multiplier = TieredMultiplier.restored(
            self.config.pid, self.config.edges_s, state.progress["multiplier"]
        )
        self._plan_runs = Counter(state.progress["plan_runs"])
        self._kept = deque(experience_of(arrays) for arrays in state.progress["kept"])
        self._epoch = [experience_of(arrays) for arrays in state.progress["epoch"]]

    def _stored(
        self, progress: float, latency: LatencyState | None, facts: Mapping[str, object]
    ) -> StoredPolicy:
        return StoredPolicy(
            weights=PolicyWeights(
                heads={kind: head.weights() for kind, head in self._heads.items()},
                multipliers=self.multipliers,
                edges_s=self.config.edges_s,
                latency=latency,
                excluded_strategies=self.config.excluded_strategies,
                plan_runs=dict(self._plan_runs),
            ),
            queries=self.queries.weights,
            valuation=self._valuation(progress),
            sight=self.config.sight,
            facts=facts,
        )

    def _valuation(self, progress: float) -> Valuation:
        given = {**self.config.valuation.__dict__, "temperature": self.config.temperature.at(progress)}
        return Valuation(**given)

    def _keep(self, taken: Experience) -> None:
        self._kept.append(taken)
        n_kept = sum(len(one.on_time) for one in self._kept)
        while len(self._kept) > 1 and n_kept - len(self._kept[0].on_time) >= self.config.runs_kept:
            n_kept -= len(self._kept.popleft().on_time)

    # Critics -------------------------------------------------------------------------------------------

    def _learn_critics(self, kept: Experience) -> dict[str, float]:
        figures = {}
        for kind in KINDS:
            taken = kept.decisions[kind]
            if not len(taken):
                continue
            losses = [self._critic_step(kind, taken, kept) for _ in range(self.config.critic_batches)]
            figures[f"{kind}_critic_loss"] = float(np.mean(losses))
        return figures

    def _critic_step(self, kind: str, taken: Decisions, kept: Experience) -> float:
        places = self._rng.integers(0, len(taken), size=min(self.config.critic_batch_size, len(taken)))
        batch = taken.at(places)
        head = self._heads[kind]
        learned = head.critic(_input(batch))
        loss = factored_critic_loss(
            self._with_prior(learned, batch)[:, 0, :],
            torch.tensor(kept.solved_share[batch.run], dtype=torch.float32),
            torch.tensor(kept.on_time[batch.run], dtype=torch.float32),
            torch.tensor(kept.weight[batch.run], dtype=torch.float32),
        )
        self._step(
            head.critic, head.critic_adam, loss + (self._distrust[kind] * learned**2).sum(dim=-1).mean()
        )
        return float(loss.detach())

    def _with_prior(self, logits: Tensor, batch: Decisions) -> Tensor:
        if self.config.valuation.uses_prior:
            slack = torch.tensor(SLACK_LOGIT * batch.slack, dtype=torch.float32)
            prior = torch.stack([torch.tensor(batch.prior_logit, dtype=torch.float32), slack, slack], dim=-1)
            logits = logits + prior
        return logits.clamp(-LARGEST_LOGIT, LARGEST_LOGIT)

    # Actors --------------------------------------------------------------------------------------------

    def _learn_actor(self, kind: str, new: Experience, progress: float) -> dict[str, float]:
        decisions = new.decisions[kind]
        if not len(decisions):
            return {}
        head = self._heads[kind]
        multiplier_N = self._multiplier.of(new.outcomes.budget_s_B)[decisions.run]
        with torch.no_grad():
            worth = self._worth(
                head, decisions, np.zeros_like(multiplier_N) if kind == "role" else multiplier_N
            )
            base = (
                worth / self.config.temperature.at(progress)
                if self.config.valuation.uses_critic
                else worth * 0
            )
            before = self._log_probabilities(head, decisions, base)
        advantage = torch.tensor(
            self._advantages(kind, new, decisions, worth.numpy(), before.exp().numpy()), dtype=torch.float32
        )
        if (
            self.config.largest_weight is not None and kind != "role"
        ):  # traces keep whole teams' probabilities
            chosen = torch.tensor(decisions.chosen)[:, None]
            behaviour = torch.tensor(decisions.probability, dtype=torch.float32).log()
            advantage = advantage * clipped_importance_weights(
                before.gather(1, chosen)[:, 0], behaviour, self.config.largest_weight
            )
        passes = self.config.ppo_passes if self.config.loss == "ppo" else 1
        figures: dict[str, list[float]] = {"entropy": []}
        for _ in range(passes):
            for places in self._minibatches(len(decisions)):
                figures["entropy"].append(
                    self._actor_step(head, decisions, places, base, before, advantage, progress)
                )
        return {f"{kind}_entropy": float(np.mean(figures["entropy"]))}

    def _minibatches(self, n: int) -> list[Ints]:
        order = self._rng.permutation(n)
        n_batches = max(1, round(n / self.config.actor_batch_size))
        return [part for part in np.array_split(order, n_batches) if len(part)]

    def _actor_step(
        self,
        head: _HeadLearner,
        decisions: Decisions,
        places: Ints,
        base: Tensor,
        before: Tensor,
        advantage: Tensor,
        progress: float,
    ) -> float:
        batch = decisions.at(places)
        learned = head.actor(_input(batch))[:, :, 0]
        log_prob = masked_log_softmax(learned + base[places], torch.tensor(batch.allowed))
        allowed = torch.tensor(batch.allowed)
        chosen = torch.tensor(batch.chosen)[:, None]
        log_prob_chosen = log_prob.gather(1, chosen)[:, 0]
        if self.config.loss == "ppo":
            loss = ppo_clip_loss(log_prob_chosen, before[places].gather(1, chosen)[:, 0], advantage[places])
        else:
            loss = reinforce_loss(log_prob_chosen, advantage[places])
        spread = entropy(log_prob, allowed).mean()
        loss = (
            loss - self.config.entropy.at(progress) * spread + self.config.actor_decay * (learned**2).mean()
        )
        self._step(head.actor, head.actor_adam, loss)
        return float(spread.detach())

    def _log_probabilities(self, head: _HeadLearner, batch: Decisions, base: Tensor) -> Tensor:
        logits = head.actor(_input(batch))[:, :, 0] + base
        return masked_log_softmax(logits, torch.tensor(batch.allowed))

    def _worth(self, head: _HeadLearner, batch: Decisions, multiplier_N: Array) -> Tensor:
        """``Q - price work`` of every candidate (N, C), as the serving policy has it."""
        valuation = self.config.valuation
        shares = torch.sigmoid(self._with_prior(head.critic(_input(batch)), batch))
        solved, on_time = shares[..., 0], shares[..., 0] * shares[..., 1]
        wrong_late = (1 - shares[..., 0]) * (1 - shares[..., 2])
        multiplier = torch.tensor(multiplier_N, dtype=torch.float32)[:, None]
        worth = (1 - multiplier) * solved + multiplier * on_time - valuation.wrong_late * wrong_late
        return worth - valuation.price * torch.tensor(batch.work, dtype=torch.float32)

    def _advantages(
        self, kind: str, new: Experience, decisions: Decisions, worth: Array, probabilities: Array
    ) -> Array:
        reward_R = self._reward(new.outcomes, self._multiplier.of(new.outcomes.budget_s_B)).total
        reward_N: Array = (
            new.outcomes.solved_B[decisions.run].astype(np.float64)
            if kind == "role"
            else reward_R[decisions.run]
        )
        work_N = decisions.work[np.arange(len(decisions)), decisions.chosen]
        advantage = self.config.advantage
        if advantage.baseline in (
            "leave_one_out",
            "shrinkage",
        ):  # of runs: the steps of one run share its return
            run_value = np.full(len(reward_R), float(reward_R.mean()))
            inputs = AdvantageInputs(return_B=reward_R, value_B=run_value, group_B=new.question)
            return advantage.advantages(inputs)[decisions.run]
        return advantage.advantages(
            AdvantageInputs(
                return_B=reward_N - self.config.valuation.price * work_N,
                probabilities_BA=probabilities.astype(np.float64),
                q_BA=worth.astype(np.float64),
                value_B=_linear_value(decisions.state, reward_N),
            )
        )

    def _step(self, network: torch.nn.Module, adam: torch.optim.Optimizer, loss: Tensor) -> None:
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), self.config.gradient_clip)
        adam.step()


def _plans_of(trajectories: Sequence[Trajectory], solved: Mapping[str, bool]) -> Iterator[str]:
    """Label of the plan of each graded run; the candidates may have been narrowed, so that places say nothing."""
    for run in trajectories:
        if run.trace_id in solved:
            yield from (decision.action for decision in run.decisions if decision.kind == "plan")


def known_names(actions: ActionSpace) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Names that get rows of their own: by state table, by candidate table."""
    roles = tuple(dict.fromkeys(role for names in actions.roles.values() for role in names))
    state = {
        "topology": tuple(actions.topologies),
        "role": (*roles, JUDGE_ROLE),
        "domain": tuple(actions.roles),
    }
    candidate = {
        "model": tuple(actions.models),
        "strategy": tuple(actions.strategies),
        "topology": tuple(actions.topologies),
        "role": roles,
    }
    return state, candidate


def _shape(
    kind: str,
    actions: ActionSpace,
    state_names: Mapping[str, tuple[str, ...]],
    candidate_names: Mapping[str, tuple[str, ...]],
    config: LearnerConfig,
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


def _linear_value(state: Array, return_N: Array, ridge: float = 1.0) -> Array:
    """Ridge regression of the return on the state: a baseline that does not see the candidates."""
    rows = np.column_stack([np.ones(len(state)), state])
    penalty = ridge * np.eye(rows.shape[1])
    value: Array = rows @ np.linalg.solve(rows.T @ rows + penalty, rows.T @ return_N)
    return value
