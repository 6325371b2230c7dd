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
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inframind.rewards.advantage import AdvantageInputs
from inframind.rewards.credit import shaped_rewards
from inframind.rewards.multiplier import Multiplier, TieredMultiplier
from inframind.rewards.registry import reward_named
from inframind.router.actions import ActionSpace
from inframind.router.columns import TABLES
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
from inframind.router.learning.head_learner import ActorBatch, HeadLearner
from inframind.router.learning.imputation import IMPUTED_WEIGHT
from inframind.router.learning.training_state import TrainingState
from inframind.router.losses import clipped_importance_weights
from inframind.router.offsets import Offsets
from inframind.router.policy_file import StoredPolicy, save_policy
from inframind.router.policy_learned import KINDS, LearnedPolicy, PolicyWeights, Valuation
from inframind.router.query_model import QueryModel
from inframind.router.topology import JUDGE_ROLE
from inframind.router.views import Array
from inframind.traces.records import Trajectory


class Learner:
    """Learns a `LearnedPolicy` from finished runs. Deterministic: the same runs and seed give the same weights.

    Args:
        actions: what may be chosen.
        queries: reads questions; fitted on single calls beforehand, or untrained.
        config: how it learns.
        seed: of initial weights and minibatches.
        served: weights to begin with, rather than by chance; of the hidden size that ``config`` says.
    """

    name = "learned"

    def __init__(
        self,
        actions: ActionSpace,
        queries: QueryModel,
        config: LearnerConfig | None = None,
        *,
        seed: int,
        served: PolicyWeights | None = None,
    ) -> None:
        self.config = config = config or LearnerConfig()
        self.actions, self.queries = actions, queries
        self._reward = reward_named(config.reward)
        self._multiplier: Multiplier = TieredMultiplier(config.edges_s, config.pid)
        self._rng = np.random.default_rng(seed)
        state_names, candidate_names = known_names(actions)
        if served is not None:
            state_names, candidate_names = names_with(served, state_names, candidate_names)
        self._names = state_names, candidate_names
        self.read_with(Offsets())
        torch_rng = torch.Generator().manual_seed(seed)
        self._heads = {
            kind: HeadLearner(kind, state_names, candidate_names, config, torch_rng) for kind in KINDS
        }
        for kind, head in (served.heads if served else {}).items():
            self._heads[kind].load(head)
        self._kept: deque[Experience] = deque()
        self._epoch: list[Experience] = []
        self._plan_runs: Counter[str] = Counter()

    def read_with(self, offsets: Offsets) -> None:
        """Take models and strategies to be better or worse by these when runs are read from now on."""
        self._reader = ExperienceReader(
            self.actions,
            FeatureBuilder(self.actions, self.queries, self.config.sight, offsets),
            *self._names,
            excluded_strategies=self.config.excluded_strategies,
        )

    @property
    def runs_kept(self) -> int:
        """Runs that the critics learn from now."""
        return sum(len(one.on_time) for one in self._kept)

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
        fewest: int = 1,
    ) -> dict[str, float]:
        """Learn from runs that have just ended; see `RoutingLearner.learn`. Runs that are still open are left out.

        Imputed runs teach the critics alone: actors, multipliers and the counts of plans go by labels. While fewer
        than ``fewest`` runs are kept, these are kept and nothing is learned yet.
        """
        trajectories = [run for run in trajectories if run.status != "open"]
        new = self._reader.read(trajectories, solved)
        ungraded = [run for run in trajectories if run.trace_id not in solved]
        guessed = self._reader.read(ungraded, imputed or {}, weight=IMPUTED_WEIGHT)
        if not len(new.on_time) + len(guessed.on_time):
            return {}
        self._keep(joined([new.taken(), guessed.taken()]))
        self._epoch.append(new.without_decisions())
        self._plan_runs.update(_plans_of(trajectories, solved))
        if self.runs_kept < fewest:
            return {}
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
        for head in self._heads.values():
            modules |= head.modules()
            optimizers |= head.optimizers()
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
        for head in self._heads.values():
            head.restore(state.modules, state.optimizers)
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
        return replace(self.config.valuation, temperature=self.config.temperature.at(progress))

    def _keep(self, taken: Experience) -> None:
        self._kept.append(taken)
        n_kept = self.runs_kept
        while len(self._kept) > 1 and n_kept - len(self._kept[0].on_time) >= self.config.runs_kept:
            n_kept -= len(self._kept.popleft().on_time)

    # Critics -------------------------------------------------------------------------------------------

    def _learn_critics(self, kept: Experience) -> dict[str, float]:
        figures = {}
        for kind in KINDS:
            taken = kept.decisions[kind]
            if not len(taken):
                continue
            figures[f"{kind}_critic_loss"] = float(
                np.mean([self._critic_step(kind, taken, kept) for _ in range(self.config.critic_batches)])
            )
        return figures

    def _critic_step(self, kind: str, taken: Decisions, kept: Experience) -> float:
        places = self._rng.integers(0, len(taken), size=min(self.config.critic_batch_size, len(taken)))
        return self._heads[kind].critic_step(taken.at(places), kept)

    # Actors --------------------------------------------------------------------------------------------

    def _learn_actor(self, kind: str, new: Experience, progress: float) -> dict[str, float]:
        decisions = new.decisions[kind]
        if not len(decisions):
            return {}
        head, batch = self._heads[kind], self._actor_batch(kind, new, progress)
        passes = self.config.ppo_passes if self.config.loss == "ppo" else 1
        entropies = [
            head.actor_step(batch.at(places), progress)
            for _ in range(passes)
            for places in self._minibatches(len(decisions))
        ]
        return {f"{kind}_entropy": float(np.mean(entropies))}

    def _actor_batch(self, kind: str, new: Experience, progress: float) -> ActorBatch:
        head, decisions = self._heads[kind], new.decisions[kind]
        with torch.no_grad():
            worth = head.worth(decisions, self._multipliers_of(kind, new))
            base = torch.zeros_like(worth)
            if self.config.valuation.uses_critic:
                base = worth / self.config.temperature.at(progress)
            before = head.log_probabilities(decisions, base)
        advantage_N = self._advantages(kind, new, worth.numpy(), before.exp().numpy())
        advantage = torch.tensor(advantage_N, dtype=torch.float32)
        most = self.config.largest_weight
        if most is not None and kind != "role":  # traces keep the probability of whole teams
            advantage = advantage * _weights(decisions, before, most)
        return ActorBatch(decisions=decisions, base=base, before=before, advantage=advantage)

    def _multipliers_of(self, kind: str, new: Experience) -> Array:
        """Lambda of each decision (N); who sits in a team hardly changes when it ends, so that roles have none."""
        run = new.decisions[kind].run
        return np.zeros(len(run)) if kind == "role" else self._multiplier.of(new.outcomes.budget_s_B)[run]

    def _minibatches(self, n: int) -> list[Ints]:
        order = self._rng.permutation(n)
        n_batches = max(1, round(n / self.config.actor_batch_size))
        return [part for part in np.array_split(order, n_batches) if len(part)]

    def _advantages(self, kind: str, new: Experience, worth: Array, probabilities: Array) -> Array:
        decisions, advantage = new.decisions[kind], self.config.advantage
        reward_R = self._reward(new.outcomes, self._multiplier.of(new.outcomes.budget_s_B)).total
        if advantage.compares_runs:  # the decisions of one run share its return
            run_value = np.full(len(reward_R), float(reward_R.mean()))
            inputs = AdvantageInputs(return_B=reward_R, value_B=run_value, group_B=new.question)
            return advantage.advantages(inputs)[decisions.run]
        earned_R = new.outcomes.solved_B.astype(np.float64) if kind == "role" else reward_R
        reward_N = earned_R[decisions.run]
        if kind == "step" and self.config.credit == "potential":
            reward_N = _shaped(reward_N, (probabilities * worth).sum(axis=1), decisions.run)
        work_N = decisions.work[np.arange(len(decisions)), decisions.chosen]
        return advantage.advantages(
            AdvantageInputs(
                return_B=reward_N - self.config.valuation.price * work_N,
                probabilities_BA=probabilities.astype(np.float64),
                q_BA=worth.astype(np.float64),
                value_B=_linear_value(decisions.state, reward_N),
            )
        )


def _shaped(reward_N: Array, potential_N: Array, run_N: Ints) -> Array:
    """What each step is paid, and the potential before it, which the counterfactual baseline takes off again (N)."""
    shaped_N = potential_N.astype(np.float64)
    for run in np.unique(run_N):
        steps = np.flatnonzero(run_N == run)
        shaped_N[steps] += shaped_rewards(potential_N[steps], float(reward_N[steps[-1]]))
    return shaped_N


def _weights(decisions: Decisions, before: Tensor, most: float) -> Tensor:
    """How likely this policy would have chosen what another one chose, up to ``most`` (N)."""
    chosen = torch.tensor(decisions.chosen)[:, None]
    behaviour = torch.tensor(decisions.probability, dtype=torch.float32).log()
    return clipped_importance_weights(before.gather(1, chosen)[:, 0], behaviour, most)


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


def names_with(
    served: PolicyWeights, state: Mapping[str, tuple[str, ...]], candidate: Mapping[str, tuple[str, ...]]
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Names that weights have rows for, and then those that they do not know: by state table, by candidate table."""
    known_state: dict[str, tuple[str, ...]] = {}
    known_candidate: dict[str, tuple[str, ...]] = {}
    for kind, head in served.heads.items():
        known_state |= dict(zip(TABLES[kind], head.critic.state_names, strict=True))
        known_candidate |= head.critic.candidate_names
    return _both(known_state, state), _both(known_candidate, candidate)


def _both(
    first: Mapping[str, tuple[str, ...]], then: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    return {table: tuple(dict.fromkeys((*first.get(table, ()), *names))) for table, names in then.items()}


def _linear_value(state: Array, return_N: Array, ridge: float = 1.0) -> Array:
    """Ridge regression of the return on the state: a baseline that does not see the candidates."""
    rows = np.column_stack([np.ones(len(state)), state])
    penalty = ridge * np.eye(rows.shape[1])
    value: Array = rows @ np.linalg.solve(rows.T @ rows + penalty, rows.T @ return_N)
    return value
