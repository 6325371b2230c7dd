"""What several policies share: one-hot proposals, catalogue roles, default rounds, chances of being on time."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from inframind.router.actions import PlannerAction
from inframind.router.policy import Proposal
from inframind.router.views import Array, Mask, PaceView, PlanView, RoleView

SINGLE_CALL = PlannerAction("IO", 1)
"""One agent that answers from the question alone."""
Z90 = NormalDist().inv_cdf(0.9)
"""Standard normal quantile of 0.9."""
MIN_SPREAD = 1e-6
"""Quantiles that coincide are read as a latency that is all but certain."""


def one_hot(place: int, length: int) -> Array:
    """Weight 1 on one candidate, 0 on the others."""
    weights = np.zeros(length)
    weights[place] = 1.0
    return weights


def best_allowed(scores: Array, allowed: Mask) -> int:
    """Place of the highest score among the allowed ones, the first of equals; minus infinity is a score too."""
    return int(best_of_rows(scores, allowed))


def best_of_rows(scores: Array, allowed: Mask) -> NDArray[np.intp]:
    """`best_allowed` along the last axis: (..., A) to (...); 0 where nothing is allowed."""
    places: NDArray[np.intp] = np.where(
        allowed, np.maximum(scores, np.finfo(np.float64).min), -np.inf
    ).argmax(axis=-1)
    return places


def propose_plan(view: PlanView, wanted: PlannerAction) -> Proposal:
    """The wanted topology and team; where it is masked or not on offer, the allowed one with the fewest calls."""
    if wanted in view.actions:
        place = view.actions.index(wanted)
        if view.allowed[place]:
            return Proposal(one_hot(place, len(view.actions)), wanted.label)
    place = best_allowed(-view.calls, view.allowed)
    return Proposal(
        one_hot(place, len(view.actions)), f"{wanted.label} cannot be chosen: the fewest calls instead"
    )


def propose_role(view: RoleView) -> Proposal:
    """Roles in the catalogue's order, which lists the most useful first; repeats only when all are taken."""
    fresh = view.allowed & np.array([role not in view.taken for role in view.roles])
    pool = fresh if fresh.any() else view.allowed
    return Proposal(one_hot(int(np.argmax(pool)), len(view.roles)), "catalogue order")


def propose_pace(view: PaceView) -> Proposal:
    """The topology's default number of rounds, whatever the answers are."""
    stays = view.round < view.topology.rounds and bool(view.allowed[0])
    return Proposal(one_hot(0 if stays else 1, 2), f"{view.topology.rounds} rounds by default")


def on_time_probability(q50_s: Array, q90_s: Array, remaining_s: float) -> Array:
    """P(latency <= time left), latency being log-normal with these quantiles (A).

    ``Phi(log(remaining / q50) / sigma)`` with ``sigma = log(q90 / q50) / z90``.
    """
    return log_normal_cdf(remaining_s, q50_s, np.log(q90_s / q50_s) / Z90)


def log_normal_cdf(limit_s: float, median_s: Array, sigma: Array) -> Array:
    """P(latency <= limit), latencies being log-normal with these medians and spreads of the logarithm (A)."""
    if limit_s <= 0:
        return np.zeros(len(median_s))
    return normal_cdf(np.log(limit_s / median_s) / np.maximum(sigma, MIN_SPREAD))


def normal_cdf(z: Array) -> Array:
    """Standard normal distribution function, elementwise."""
    return np.array([0.5 * math.erfc(-value * math.sqrt(0.5)) for value in z.tolist()])
