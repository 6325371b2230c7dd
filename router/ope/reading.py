"""Traces as logged decisions: each decision's view rebuilt, and the policy in question asked what it would have done.

R = runs, N = decisions, A = most candidates of any of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from inframind.errors import ConfigError
from inframind.router.actions import ActionSpace
from inframind.router.choosing import behaviour
from inframind.router.features import FeatureBuilder, Features
from inframind.router.ope.batch import Array, LoggedDecisions
from inframind.router.ope.estimate import Estimate, by_run
from inframind.router.ope.estimators import effective_sample_size
from inframind.router.ope.guess import Guess, both
from inframind.router.ope.reward_model import RewardSamples, fitted_forwards
from inframind.router.ope.runs import LoggedRuns
from inframind.router.policy import Policy, Proposal
from inframind.router.recorded_views import RecordedPlan, RecordedStep, RecordedViews
from inframind.router.rulebook import RuleBook
from inframind.router.ruled_views import RuledViews
from inframind.router.views import PlanView, RoleView, StepView
from inframind.traces.records import Trajectory

Reward = Literal["on_time", "solved"]
"""``on_time``: right and within the budget. ``solved``: right, whenever."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A run whose decisions could all be rebuilt."""

    plan: RecordedPlan | None
    team_probability: float
    steps: tuple[RecordedStep, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTraces:
    """Runs, ready to be asked about any policy.

    Attributes:
        reward_R: what came of each run, by order of arrival.
        weight_R: how much each counts.
        left_out: runs that are not here, by why.
    """

    reward_R: Array
    weight_R: Array
    left_out: Mapping[str, int]
    _runs: tuple[_Read, ...] = field(repr=False)
    _plan_q: Array | None = field(repr=False)
    _step_q: Array | None = field(repr=False)

    def __len__(self) -> int:
        return len(self.reward_R)

    def as_it_was(self) -> Estimate:
        """Mean reward under the policies that served."""
        contribution_R, run_R = by_run(self.reward_R, np.arange(len(self)), self.weight_R)
        return Estimate(
            method="logged",
            contribution_R=contribution_R,
            run_R=run_R,
            effective_size=effective_sample_size(self.weight_R),
            unsupported=0.0,
        )

    def under(
        self,
        policy: Policy,
        *,
        exploration: float = 0.0,
        weighs_roles: bool = False,
        rules: RuleBook | None = None,
    ) -> LoggedRuns:
        """The runs with a policy's probabilities, over the very candidates that were on offer.

        Rules only narrow those: what was masked when the runs were made stays masked, even where another rule did it,
        since nothing is known of it.

        Args:
            policy: who is asked; rules and greedy policies put all on one candidate.
            exploration: share of its decisions that it would draw uniformly, as `DecideConfig.exploration`.
            weighs_roles: whether who sits where is its choice too; otherwise that stays as it was, which spares an
                importance weight per seat.
            rules: under which it would have decided, at the times and in the circumstances of the runs.
        """
        asked = _Asked(policy, exploration, rules)
        plans = [(run.plan, run) for run in self._runs if run.plan is not None]
        steps = [step for run in self._runs for step in run.steps]
        roles = [asked.roles(plan) / run.team_probability if weighs_roles else 1.0 for plan, run in plans]
        plan_run_N = [place for place, run in enumerate(self._runs) if run.plan is not None]
        step_run_N = [place for place, run in enumerate(self._runs) for _ in run.steps]
        return LoggedRuns(
            reward_R=self.reward_R,
            weight_R=self.weight_R,
            plans=self._batch(
                [plan for plan, _ in plans],
                [asked.plan(plan) for plan, _ in plans],
                plan_run_N,
                self._plan_q,
                np.array(roles),
            ),
            steps=self._batch(
                steps,
                [asked.step(step) for step in steps],
                step_run_N,
                self._step_q,
                np.ones(len(steps)),
            ),
        )

    def _batch(
        self,
        recorded: Sequence[RecordedPlan | RecordedStep],
        target: Sequence[Sequence[float]],
        run_N: Sequence[int],
        q_NA: Array | None,
        roles_N: Array,
    ) -> LoggedDecisions:
        places = np.array(run_N, dtype=np.int64)
        return LoggedDecisions(
            reward_N=self.reward_R[places],
            chosen_N=np.array([one.chosen for one in recorded], dtype=np.int64),
            logging_NA=_padded([one.probabilities for one in recorded]),
            target_NA=_padded(target),
            run_N=places,
            q_NA=q_NA,
            weight_N=self.weight_R[places],
            more_ratio_N=roles_N,
        )


class TraceReader:
    """Reads traces for off-policy evaluation.

    Args:
        actions: what may be chosen now; runs with decisions over anything else are left out.
        features: describes candidates to the model of the reward; None reads without one, which is enough for the
            estimators that need none.
        guess: what the model starts from; needed with ``features``.
    """

    def __init__(
        self, actions: ActionSpace, features: FeatureBuilder | None = None, guess: Guess | None = None
    ) -> None:
        if (features is None) != (guess is None):
            raise ConfigError("guess", guess, "give features and a guess together, or neither")
        self._views, self._actions = RecordedViews(actions), actions
        self._features, self._guess = features, guess

    def read(
        self,
        trajectories: Iterable[Trajectory],
        labels: Mapping[str, float],
        *,
        reward: Reward = "on_time",
        labelled_probability: Mapping[str, float] | None = None,
    ) -> ReadTraces:
        """The runs that have a label and whose decisions can all be rebuilt.

        A run without a label is left out, not counted as wrong; where some kinds of runs are labelled seldom,
        ``labelled_probability`` makes up for it. For ``on_time`` a late run is 0 whoever says what: give it the label
        0 and the probability 1.

        Args:
            trajectories: finished runs, in any order.
            labels: whether each answer was right, or how probably, by trace id.
            reward: what is asked about.
            labelled_probability: how probable it was that a run got its label, by trace id; each then counts one over
                it (inverse probability weighting). None counts all alike.

        Raises:
            ConfigError: a label is outside [0, 1], or a probability outside (0, 1].
        """
        runs: list[tuple[Trajectory, _Read]] = []
        left_out = {"without a label": 0, "decisions that cannot be rebuilt": 0}
        for trajectory in sorted(trajectories, key=lambda one: one.arrived_at_s):
            if trajectory.trace_id not in labels:
                left_out["without a label"] += 1
            elif (read := self._read(trajectory)) is None:
                left_out["decisions that cannot be rebuilt"] += 1
            else:
                runs.append((trajectory, read))
        kept = [trajectory for trajectory, _ in runs]
        reward_R = _rewards(kept, labels, reward)
        reads = tuple(read for _, read in runs)
        plan_q, step_q = self._model(reads, reward_R, reward)
        return ReadTraces(
            reward_R=reward_R,
            weight_R=_weights(kept, labelled_probability),
            left_out=left_out,
            _runs=reads,
            _plan_q=plan_q,
            _step_q=step_q,
        )

    def _read(self, trajectory: Trajectory) -> _Read | None:
        steps = tuple(self._views.steps(trajectory))
        plans = [one for one in trajectory.decisions if one.kind == "plan"]
        plan = self._views.plan(trajectory)
        n_steps = sum(decision.kind == "step" for decision in trajectory.decisions)
        if len(steps) < n_steps or (plans and plan is None) or not (steps or plan):
            return None
        chosen: list[RecordedPlan | RecordedStep] = [*steps, *([plan] if plan else [])]
        if not all(one.probabilities[one.chosen] > 0 for one in chosen):
            return None
        return _Read(plan, plans[0].seen["team_probability"] if plans else 1.0, steps)

    # Model of the reward -----------------------------------------------------------------------------

    def _model(
        self, runs: Sequence[_Read], reward_R: Array, reward: Reward
    ) -> tuple[Array | None, Array | None]:
        if self._features is None or self._guess is None:
            return None, None
        plans, steps = _Drafts(reward), _Drafts(reward)
        for place, run in enumerate(runs):
            if run.plan is not None:
                view = run.plan.view
                features = self._features.plan(view)
                labels = [action.label for action in view.actions]
                plans.add(place, run.plan.chosen, features, self._guess.plan(view, features), labels)
            for step in run.steps:
                features = self._features.step(step.view)
                guess = self._guess.step(step.view, features)
                steps.add(place, step.chosen, features, guess, self._actions.executor_labels)
        return plans.fitted(reward_R), steps.fitted(reward_R)


class _Drafts:
    """Decisions of one kind on their way to a model of the reward."""

    def __init__(self, reward: Reward) -> None:
        self._reward = reward
        self._rows: list[tuple[int, int, Array, Array, Array]] = []
        self._names: dict[str, int] = {}
        self._groups: dict[tuple[str, ...], int] = {}
        self._name_rows: list[list[int]] = []
        self._group_N: list[int] = []

    def add(
        self, run: int, chosen: int, features: Features, guess: tuple[Array, Array], labels: Sequence[str]
    ) -> None:
        """A decision; groups are topology and domain, as far as they are in its state."""
        solved, in_time = guess
        logit = both(solved, in_time) if self._reward == "on_time" else np.clip(solved, -_SURE, _SURE)
        self._rows.append((run, chosen, logit, features.candidates, features.state))
        self._name_rows.append([self._names.setdefault(label, len(self._names)) for label in labels])
        group = (features.state_names[0], features.state_names[-1])
        self._group_N.append(self._groups.setdefault(group, len(self._groups)))

    def fitted(self, reward_R: Array) -> Array | None:
        """Expected reward of each candidate (N, A); None without decisions."""
        if not self._rows:
            return None
        run_N, chosen_N, guesses, candidates, states = zip(*self._rows, strict=True)
        places = np.array(run_N, dtype=np.int64)
        return fitted_forwards(
            RewardSamples(
                guess_NA=_padded(guesses),
                candidates_NAK=_padded_rows(candidates),
                state_ND=np.array(states),
                name_NA=_padded(self._name_rows).astype(np.int64),
                group_N=np.array(self._group_N, dtype=np.int64),
                chosen_N=np.array(chosen_N, dtype=np.int64),
                reward_N=reward_R[places],
                run_N=places,
            )
        )


_SURE = 6.0
"""Log odds of a guess are cut here."""


class _Asked:
    """A policy that is asked what it would have done, in the probabilities that a decider would draw from.

    Args:
        policy: who is asked.
        exploration: share that is spread evenly over what is allowed.
        rules: what narrows that.
    """

    def __init__(self, policy: Policy, exploration: float, rules: RuleBook | None) -> None:
        if not 0 <= exploration <= 1:
            raise ConfigError("exploration", exploration, "use a share in [0, 1]")
        self._policy, self._exploration = policy, exploration
        self._ruled = RuledViews(rules) if rules and rules.rules else None

    def plan(self, plan: RecordedPlan) -> list[float]:
        view = self._ruled.plan(plan.view, plan.wall_s) if self._ruled else plan.view
        return self._behaviour(self._policy.plan(view), view)

    def step(self, step: RecordedStep) -> list[float]:
        view = self._ruled.step(step.view, step.wall_s) if self._ruled else step.view
        return self._behaviour(self._policy.step(view), view)

    def roles(self, plan: RecordedPlan) -> float:
        """Probability of the whole team."""
        chances = [self._behaviour(self._policy.role(view), view)[place] for view, place in plan.seats]
        return float(np.prod(chances))

    def _behaviour(self, proposal: Proposal, view: PlanView | StepView | RoleView) -> list[float]:
        return behaviour(
            proposal.weights.tolist(),
            view.allowed,
            exploration=self._exploration,
            greedy=False,
            policy=self._policy.name,
        )


def _rewards(trajectories: Sequence[Trajectory], labels: Mapping[str, float], reward: Reward) -> Array:
    share_R = np.array([labels[one.trace_id] for one in trajectories], dtype=np.float64)
    if not ((share_R >= 0) & (share_R <= 1)).all():
        raise ConfigError("labels", float(share_R.max()), "give labels, or probabilities in [0, 1]")
    if reward == "solved":
        return share_R
    return share_R * np.array([one.on_time for one in trajectories], dtype=np.float64)


def _weights(trajectories: Sequence[Trajectory], probability: Mapping[str, float] | None) -> Array:
    if probability is None:
        return np.ones(len(trajectories))
    chance_R = np.array([probability[one.trace_id] for one in trajectories], dtype=np.float64)
    if not ((chance_R > 0) & (chance_R <= 1)).all():
        worst = float(chance_R.min())
        raise ConfigError("labelled_probability", worst, "give probabilities above 0, and at most 1")
    return np.asarray(1 / chance_R)


def _padded(rows: Sequence[Sequence[float] | Array]) -> Array:
    """Rows of different lengths as one array, 0 after the end (N, A)."""
    padded = np.zeros((len(rows), max(map(len, rows), default=0)))
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return padded


def _padded_rows(tables: Sequence[Array]) -> Array:
    """Tables of different lengths as one array, 0 after the end (N, A, K)."""
    padded = np.zeros((len(tables), max(map(len, tables)), tables[0].shape[1]))
    for place, table in enumerate(tables):
        padded[place, : len(table)] = table
    return padded
