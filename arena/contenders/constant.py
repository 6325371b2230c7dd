"""Contenders that ignore question, budget and load: fixed arms, the best of them, and mixtures of two.

Whatever they are chosen by comes from the training questions alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from inframind.arena.contenders.contender import Contender, Setting
from inframind.arena.contenders.service import idle_grid_s
from inframind.arena.replay.front import upper_front
from inframind.router.actions import ActionSpace, ExecutorAction, PlannerAction
from inframind.router.policy import Policy
from inframind.router.policy_fixed import Arm, FixedPolicy, parse_arm
from inframind.router.policy_mixture import MixturePolicy
from inframind.router.policy_parts import SINGLE_CALL

Array = NDArray[np.float64]

FIXED = "fixed:"
TEAM_ARMS = (
    PlannerAction("IO", 3),
    PlannerAction("CoT", 1),
    PlannerAction("Chain", 3),
    PlannerAction("FullConnected", 3),
    PlannerAction("Debate", 3),
    PlannerAction("Reflection", 1),
)
"""Workflows of several calls, one small team per topology, that the group ``fixed`` lists."""
TEAM_STRATEGY = "Plain"


def fixed(text: str) -> Contender:
    """Always the arm ``<topology>/<team>/<model>/<strategy>``; `parse_arm` reads it when the policy is made."""

    def make(setting: Setting) -> Policy:
        return FixedPolicy(parse_arm(text, setting.actions), name=FIXED + text)

    return Contender(name=FIXED + text, family="constant", summary=f"always {text}", make=make)


def fixed_arms(actions: ActionSpace) -> tuple[Contender, ...]:
    """Every single call, and one small team per topology of the median and of the largest model."""
    single = [Arm(SINGLE_CALL, action) for action in actions.executor_actions]
    by_size = sorted(actions.models, key=lambda model: actions.models[model].size_b)
    models = dict.fromkeys([by_size[len(by_size) // 2], by_size[-1]])
    teams = [
        Arm(plan, ExecutorAction(model, TEAM_STRATEGY))
        for plan in TEAM_ARMS
        if plan in actions.planner_actions and TEAM_STRATEGY in actions.strategies
        for model in models
    ]
    return tuple(fixed(arm.label) for arm in [*single, *teams])


def best_constant() -> Contender:
    """The single call that solves most training questions in time.

    Chosen by expected on-time success over the training questions and the scenario's budgets on an idle fleet:
    queues are ignored, since they depend on what everybody else chooses. Under load its favourite may therefore
    melt; the constants that survive are in the group ``fixed``.
    """

    def make(setting: Setting) -> Policy:
        best = int(np.argmax(expected_on_time(setting)))
        return FixedPolicy(Arm(SINGLE_CALL, setting.actions.executor_actions[best]), name="best-constant")

    return Contender(
        name="best-constant",
        family="constant",
        summary="the single call with the best on-time success on training questions, queues ignored",
        make=make,
    )


def expected_on_time(setting: Setting) -> Array:
    """Share of (training question, budget) pairs that each single call solves in time on an idle fleet (A)."""
    latency_s = idle_grid_s(setting)
    budgets_s = np.sort(setting.budgets_s)
    in_time = 1 - np.searchsorted(budgets_s, latency_s, side="left") / len(budgets_s)
    share: Array = (setting.training.solved * in_time).mean(axis=0)
    return share


def mixture(way: float, name: str) -> Contender:
    """Part of the way from the fastest single call to the best, along the upper hull of the training answers.

    Every point of the hull is a mixture of two neighbouring arms, and the most that a router can solve at that
    mean latency, on an idle fleet, without looking at anything.

    Args:
        way: 0 is the fastest arm, 1 the best; in between, that share of the difference in mean latency.
        name: name as on the command line.
    """

    def make(setting: Setting) -> Policy:
        latency_s = idle_grid_s(setting).mean(axis=0)
        shares = hull_mixture(latency_s, setting.training.solved.mean(axis=0), way)
        actions = setting.actions.executor_actions
        return MixturePolicy({actions[arm]: share for arm, share in shares.items()}, name=name)

    return Contender(
        name=name,
        family="blind",
        summary=f"two single calls by a coin, {way:.0%} of the way from the fastest to the best",
        make=make,
    )


def hull_mixture(latency_s: Array, quality: Array, way: float) -> Mapping[int, float]:
    """Shares of the one or two arms whose mixture lies on the upper hull at that point between its ends."""
    hull = upper_front(latency_s, quality)[::-1].tolist()
    target_s = (1 - way) * latency_s[hull[0]] + way * latency_s[hull[-1]]
    later = next((arm for arm in hull if latency_s[arm] >= target_s), hull[-1])
    earlier = hull[max(0, hull.index(later) - 1)]
    gap_s = latency_s[later] - latency_s[earlier]
    share = float((target_s - latency_s[earlier]) / gap_s) if gap_s > 0 else 1.0
    return {arm: part for arm, part in ((earlier, 1 - share), (later, share)) if part > 0}
