"""The value of whole runs, whose decisions follow one another: a plan first, then steps.

R = runs. What a run of several decisions would have been worth under another policy can be asked in four ways:

``plan``
    Had the target planned, and whoever served carried it out. Exact: one decision per run.
``step``
    Had whoever served planned, and the target decided the steps: ``r + sum_k gain_k``, with gain_k what the target
    would have added at step k alone (`inframind.router.ope.methods.gains`). Exact to first order in how often both
    differ: what two changed steps do to each other is left out. Exact for runs of one step.
``workflow``
    Both: the plan's contribution, and its importance weight times the steps' gains. To first order as well.
``sequence``
    Both, exactly: the doubly robust recursion ``G_k = q(s_k, pi) + w_k (G_(k+1) - q(s_k, a_k))`` with G after the last
    step the reward (Jiang and Li 2016); without a model the product of all weights times the reward. Its variance grows
    with the product: a team of six has next to no support.

The first-order forms are the performance difference of Kakade and Langford 2002, with states as the logging policy
visits them. All of them ask of one run in a world where everybody else is served as before: a policy that loads the
fleet differently changes latency for all, which the simulator can say and these cannot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from inframind.errors import ConfigError
from inframind.router.ope.batch import Array, Ints, LoggedDecisions
from inframind.router.ope.estimate import Estimate, NoSupport, SupportRule, by_run
from inframind.router.ope.estimators import effective_sample_size
from inframind.router.ope.methods import Method, contributions, gains, kept_ratio, uses_model

Level = Literal["plan", "step", "workflow", "sequence"]
LEVELS: tuple[Level, ...] = ("plan", "step", "workflow", "sequence")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoggedRuns:
    """Runs and their decisions.

    Attributes:
        reward_R: what came of each run.
        weight_R: how much each counts.
        plans: at most one per run, its ``run_N`` a place in ``reward_R``.
        steps: any number per run, in the order in which they were made.

    Raises:
        ConfigError: a run has two plans, or a decision belongs to no run.
    """

    reward_R: Array
    weight_R: Array
    plans: LoggedDecisions
    steps: LoggedDecisions

    def __post_init__(self) -> None:
        if len(np.unique(self.plans.run_N)) < len(self.plans):
            raise ConfigError("plans", "two of one run", "give at most one plan per run")
        for name in ("plans", "steps"):
            run_N = getattr(self, name).run_N
            if len(run_N) and not 0 <= run_N.min() <= run_N.max() < len(self.reward_R):
                raise ConfigError(f"{name}.run_N", int(run_N.max()), f"number runs from 0 to {len(self) - 1}")

    def __len__(self) -> int:
        return len(self.reward_R)

    def on_policy(self) -> LoggedRuns:
        """The same with the logging policies as the target."""
        return replace(self, plans=self.plans.on_policy(), steps=self.steps.on_policy())


def value(
    runs: LoggedRuns, level: Level, method: Method, *, rule: SupportRule | None = None
) -> Estimate | NoSupport:
    """Mean reward of runs under the target.

    Args:
        runs: the runs.
        level: which decisions the target makes.
        method: the estimator.
        rule: when the runs say enough.

    Raises:
        ConfigError: there is no run, or the method needs a model that the decisions do not have.
    """
    return (rule or SupportRule()).judge(raw_value(runs, level, method))


def raw_value(runs: LoggedRuns, level: Level, method: Method) -> Estimate:
    """`value`, with support or without.

    Raises:
        ConfigError: as `value`.
    """
    if not len(runs):
        raise ConfigError("runs", 0, "give at least one labelled run whose decisions can be rebuilt")
    if level == "plan":
        return _estimate(runs, method, _planned(runs, method), *_plan_support(runs))
    if level == "step":
        return _estimate(runs, method, runs.reward_R + _step_gains(runs, method), *_step_support(runs, None))
    if level == "workflow":
        ratio_R = _per_run(runs, kept_ratio(runs.plans, method), otherwise=1.0)
        whole_R = _planned(runs, method) + ratio_R * _step_gains(runs, method)
        return _estimate(runs, method, whole_R, *_workflow_support(runs))
    product_R = _product(runs)
    size = effective_sample_size(product_R, runs.weight_R)
    return _estimate(runs, method, _sequence(runs, method, product_R), size, _unsupported_R(runs))


def _estimate(runs: LoggedRuns, method: Method, whole_R: Array, size: float, lost_R: Array) -> Estimate:
    contribution_R, run_R = by_run(whole_R, np.arange(len(runs)), runs.weight_R)
    unsupported = float(np.average(np.minimum(lost_R, 1.0), weights=runs.weight_R))
    return Estimate(
        method=method,
        contribution_R=contribution_R,
        run_R=run_R,
        effective_size=size,
        unsupported=unsupported,
    )


# Contributions ---------------------------------------------------------------------------------------


def _planned(runs: LoggedRuns, method: Method) -> Array:
    """What each run would have been under the target's plan; one without a plan is what it was (R)."""
    whole_R = runs.reward_R.copy()
    if len(runs.plans):
        whole_R[runs.plans.run_N] = contributions(runs.plans, method)
    return whole_R


def _step_gains(runs: LoggedRuns, method: Method) -> Array:
    if not len(runs.steps):
        return np.zeros(len(runs))
    return _summed(runs, gains(runs.steps, method))


def _sequence(runs: LoggedRuns, method: Method, product_R: Array) -> Array:
    if method == "snips":
        total = float(runs.weight_R @ product_R)
        value = float(runs.weight_R @ (product_R * runs.reward_R)) / total if total else 0.0
        return value + product_R * (runs.reward_R - value) * (runs.weight_R.sum() / total if total else 0.0)
    whole_R = runs.reward_R.copy()
    for places in reversed(_by_position(runs.steps.run_N)):
        _step_back(whole_R, runs.steps, places, method)
    _step_back(whole_R, runs.plans, np.arange(len(runs.plans)), method)
    return whole_R


def _step_back(whole_R: Array, batch: LoggedDecisions, places: Ints, method: Method) -> None:
    """One decision of each of some runs: from what follows it to what it is worth, in place."""
    if not len(places):
        return
    run_N, ratio_N = batch.run_N[places], kept_ratio(batch, method)[places]
    if uses_model(method):
        taken_N = (batch.reward_N - batch.residual_N)[places]
        whole_R[run_N] = batch.expected_q_N[places] + ratio_N * (whole_R[run_N] - taken_N)
    else:
        whole_R[run_N] *= ratio_N


def _by_position(run_N: Ints) -> list[Ints]:
    """Places of every run's first decision, then of every run's second, ..."""
    order = np.argsort(run_N, kind="stable")
    _, first, count = np.unique(run_N[order], return_index=True, return_counts=True)
    position = np.empty(len(run_N), dtype=np.int64)
    position[order] = np.arange(len(run_N)) - np.repeat(first, count)
    return [np.flatnonzero(position == step) for step in range(int(count.max(initial=0)))]


# Support -----------------------------------------------------------------------------------------------


def _plan_support(runs: LoggedRuns) -> tuple[float, Array]:
    ratio_R = _per_run(runs, runs.plans.ratio_N, otherwise=1.0)
    lost_R = _per_run(runs, runs.plans.unsupported_N, otherwise=0.0)
    return effective_sample_size(ratio_R, runs.weight_R), lost_R


def _step_support(runs: LoggedRuns, plan_ratio_R: Array | None) -> tuple[float, Array]:
    """Steps of one run share one reward, so that an effective number of steps is scaled down to one of runs."""
    steps = runs.steps
    lost_R = _summed(runs, steps.unsupported_N)
    if not len(steps):
        return float(len(runs)), lost_R
    ratio_N = steps.ratio_N if plan_ratio_R is None else steps.ratio_N * plan_ratio_R[steps.run_N]
    size = effective_sample_size(ratio_N, runs.weight_R[steps.run_N])
    return size * len(np.unique(steps.run_N)) / len(steps), lost_R


def _workflow_support(runs: LoggedRuns) -> tuple[float, Array]:
    plan_size, _ = _plan_support(runs)
    step_size, _ = _step_support(runs, _per_run(runs, runs.plans.ratio_N, otherwise=1.0))
    return min(plan_size, step_size), _unsupported_R(runs)


def _unsupported_R(runs: LoggedRuns) -> Array:
    return _plan_support(runs)[1] + _step_support(runs, None)[1]


def _product(runs: LoggedRuns) -> Array:
    """Importance weight of each whole run (R)."""
    product_R = _per_run(runs, runs.plans.ratio_N, otherwise=1.0)
    np.multiply.at(product_R, runs.steps.run_N, runs.steps.ratio_N)
    return product_R


def _summed(runs: LoggedRuns, value_N: Array) -> Array:
    """Over each run's steps (R)."""
    return np.bincount(runs.steps.run_N, value_N, minlength=len(runs)).astype(np.float64)


def _per_run(runs: LoggedRuns, value_N: Array, *, otherwise: float) -> Array:
    """Of each run's plan, or something else where there is none (R)."""
    whole_R = np.full(len(runs), otherwise)
    whole_R[runs.plans.run_N] = value_N
    return whole_R
