"""What no router and no scheduler can beat: an upper bound on the expected on-time success of a whole run.

The relaxed problem. Every question takes one option (or none); an option is worth its true expected success, times
the chance that it ends within the budget on a server that it has to itself. What binds is the servers' time alone: in
each phase of the run, a model's servers do at most one second of work a second. Relaxed are, each in favour of the
bound:

* queues, the order of service and the sharing of a batch: a call runs at the speed of an idle server, and costs
  the least server time that a full batch allows (`server_seconds_per_token`); prompts and first tokens cost nothing;
* when exactly work is done: a question may use any phase that its time window touches;
* integrality: capacity need hold only on average;
* foresight: budgets, arrivals and the latent odds of all questions are known from the start.

Bounded are *expectations*: a run's own on-time success scatters around its expectation, by about
``sqrt(p (1 - p) / n)``. Chance that no router can see (which answers come out right, how long they get) is averaged
over; token lengths are resampled from the training answers of the same level. Only the options of
`inframind.arena.contenders.teamwork` are enumerated: a workflow of another shape is not covered, and that module's
assumptions flatter the enumerated ones. Nor is a router covered that meets the same question twice and remembers who
solved it.

By Lagrangian duality, for any prices p >= 0 of server time,

    E[on-time successes] <= sum_q max(0, max_o value[q, o] - min-price cost[q, o]) + sum_mk p[m, k] capacity[m, k]

with the cheapest phase of a question's window taken for every model. The right side is convex in p, and minimised by
subgradient steps; stopping early gives a larger, still valid bound. Without a shortage it is exact for the relaxed
problem; under one the gap comes from integrality, and vanishes as questions grow in number.

Q = questions, O = options, M = models, K = phases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframind.arena.contenders.contender import Setting
from inframind.arena.option_worth import OptionWorths
from inframind.errors import ConfigError
from inframind.simulator.items import Item

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

STEPS = 400
"""Subgradient steps; the bound is valid after any number of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The relaxed problem, in numbers.

    Attributes:
        value: expected on-time success of each option (Q, O).
        seconds: expected server seconds of each option on each model (Q, O, M).
        reach: phases that each question's window touches (Q, K); at least one.
        capacity_s: server seconds of each model in each phase (M, K).

    Raises:
        ConfigError: shapes that do not agree, or a question without a phase.
    """

    value: Array
    seconds: Array
    reach: Mask
    capacity_s: Array

    def __post_init__(self) -> None:
        questions, options = self.value.shape
        models, phases = self.capacity_s.shape
        if self.seconds.shape != (questions, options, models) or self.reach.shape != (questions, phases):
            shapes = (self.value.shape, self.seconds.shape, self.reach.shape, self.capacity_s.shape)
            raise ConfigError("demand", shapes, "give (Q, O), (Q, O, M), (Q, K) and (M, K)")
        if not self.reach.any(axis=1).all():
            raise ConfigError("reach", "a question without a phase", "let every window touch a phase")


def on_time_success_bound(
    setting: Setting, items: Sequence[Item], arrivals_s: Array, budgets_s: Array, *, steps: int = STEPS
) -> float:
    """Upper bound on the expected share of offered questions that are solved in time.

    Args:
        setting: action space, training answers and truth, as an oracle gets them.
        items: questions, in order of arrival (Q).
        arrivals_s: arrival of each, ascending, in seconds (Q).
        budgets_s: budget of each in seconds (Q).
        steps: subgradient steps; more are tighter.

    Raises:
        ConfigError: no questions, or a model without a profile.
    """
    if not len(items) == len(arrivals_s) == len(budgets_s) > 0:
        sizes = (len(items), len(arrivals_s), len(budgets_s))
        raise ConfigError("items, arrivals_s, budgets_s", sizes, "give as many of each, and at least one")
    worths = OptionWorths(setting)
    value, seconds = worths.of(items, budgets_s)
    reach, lengths_s = phases(arrivals_s, budgets_s)
    demand = Demand(
        value=value,
        seconds=seconds,
        reach=reach,
        capacity_s=worths.servers[:, None] * lengths_s[None, :],
    )
    return dual_bound(demand, steps=steps) / len(items)


def phases(arrivals_s: Array, budgets_s: Array) -> tuple[Mask, Array]:
    """Two phases, while questions arrive and after: which of them each window touches (Q, 2), their lengths (2)."""
    start_s, end_s = arrivals_s, arrivals_s + budgets_s
    last_s, horizon_s = float(start_s.max()), float(end_s.max())
    reach = np.stack([start_s < last_s, end_s > last_s], axis=1)
    return reach, np.array([last_s - float(start_s.min()), horizon_s - last_s])


def dual_bound(demand: Demand, *, steps: int = STEPS) -> float:
    """Upper bound on the expected number of on-time successes of the relaxed problem.

    Prices are counted in what a model's whole phase costs, so that steps are alike in all of them; the stride falls
    with the number of steps, and the best bound met is kept.
    """
    has_room = demand.capacity_s > 0
    per_phase = np.divide(1.0, demand.capacity_s, out=np.zeros_like(demand.capacity_s), where=has_room)
    first_stride = max(1.0, len(demand.value) / demand.capacity_s.size)
    prices, best = np.zeros_like(demand.capacity_s), np.inf
    for step in range(1, steps + 1):
        bound, excess_s = _dual(demand, prices)
        best = min(best, bound)
        uphill = np.where((prices > 0) | (excess_s > 0), excess_s * per_phase, 0.0)
        length = float(np.linalg.norm(uphill))
        if length == 0:
            break
        prices = np.maximum(prices + first_stride / step * uphill / length * per_phase, 0.0)
    return best


def _dual(demand: Demand, prices: Array) -> tuple[float, Array]:
    """The dual function at these prices (M, K), and what its choices ask for beyond the capacity (M, K)."""
    everyone = np.arange(len(demand.value))
    reachable = np.where(demand.reach[:, None, :], prices[None, :, :], np.inf)
    cheapest = reachable.argmin(axis=2)
    least = reachable.min(axis=2)
    net = demand.value - np.einsum("qom,qm->qo", demand.seconds, least)
    chosen = net.argmax(axis=1)
    worth = net[everyone, chosen]
    used = demand.seconds[everyone, chosen] * (worth > 0)[:, None]
    asked = np.zeros_like(prices)
    for model in range(len(prices)):
        np.add.at(asked[model], cheapest[:, model], used[:, model])
    bound = float(np.maximum(worth, 0.0).sum() + (prices * demand.capacity_s).sum())
    return bound, asked - demand.capacity_s
