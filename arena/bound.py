"""An upper bound on the expected on-time success of a whole run, for routers that use the enumerated options.

Covered are the options of `inframind.arena.contenders.teamwork`: IO and CoT, of one agent or of several with a judge,
and Chain, with at most two models and its team strategies. No router and no scheduler that keeps to them exceeds the
bound. Debate, Reflection, FullConnected and teams of three or more models are not covered, nor is a router that meets
the same question twice and remembers who solved it.

The relaxed problem. Every question takes one option (or none), without knowing how long the answers will get. Then
every call's length is known at once, and a run that would not end within the budget, or would not be worth its server
time, costs nothing: no router that cuts calls, starts them late or drops them pays less. A success is charged the
server time of all its calls in full, since it cannot be had without them. What binds is the servers' time alone: in
each phase of the run, a model's servers do at most one second of work a second. Relaxed are, each in favour of the
bound:

* lengths: whether a run goes on is decided by someone who knows them, though the option was chosen by one who does not;
* queues, the order of service and the sharing of a batch: a call runs at the speed of an idle server, and costs
  the least server time that a full batch allows (`server_seconds_per_token`); prompts and first tokens cost nothing;
* when exactly work is done: a question may use any phase that its time window touches;
* integrality: capacity need hold only on average;
* foresight: budgets, arrivals and the latent odds of all questions are known from the start.

Taken as given: one call that the deadline cuts makes the whole answer late, as in the routed graphs; whether an answer
is right does not hang on its length; lengths follow those of the training answers of the same level, of which
`inframind.arena.option_worth.SAMPLES` quantiles are drawn for every call. Bounded are *expectations*: a run's own
on-time success scatters around its expectation, by about ``sqrt(p (1 - p) / n)``.

By Lagrangian duality, for any prices p >= 0 of server time,

    E[on-time successes] <= sum_q max(0, max_o mean_s gain[q, o, s]) + sum_mk p[m, k] capacity[m, k]
    gain = max(0, agents_success 1(agents_s <= budget) - p agents_server_s
                  + max(0, final_success 1(whole_s <= budget) - p final_calls final_server_s))

with the cheapest phase of a question's window taken for every model. The right side is convex in p, and minimised by
subgradient steps; stopping early gives a larger, still valid bound.

Q = questions, O = options, M = models, K = phases, S = sampled runs, N = pairs of question and option.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inframind.arena.contenders.contender import Setting
from inframind.arena.option_worth import OptionWorths, SampledRuns, Worths
from inframind.errors import ConfigError
from inframind.simulator.items import Item

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Places = NDArray[np.intp]

STEPS = 400
"""Subgradient steps; the bound is valid after any number of them."""
PAIRS_AT_ONCE = 8192
"""Pairs of question and option whose sampled runs are held in memory together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The relaxed problem, in numbers.

    Attributes:
        worths: what every option comes to for every question.
        runs: how long it takes, and what it costs.
        agent_model: model of each option's agents (O).
        final_model: model of each option's final call (O).
        budgets_s: budget of each question (Q).
        reach: phases that each question's window touches (Q, K); at least one.
        capacity_s: server seconds of each model in each phase (M, K).
        free_value: expected on-time success of each option if server time is free (Q, O).

    Raises:
        ConfigError: shapes that do not agree, or a question without a phase.
    """

    worths: Worths
    runs: SampledRuns
    agent_model: Places
    final_model: Places
    budgets_s: Array
    reach: Mask
    capacity_s: Array
    free_value: Array = field(init=False)

    def __post_init__(self) -> None:
        questions, options = self.worths.agents_success.shape
        shapes = (self.agent_model.shape, self.final_model.shape, self.budgets_s.shape, self.reach.shape)
        if shapes != ((options,), (options,), (questions,), (questions, self.capacity_s.shape[1])):
            raise ConfigError("demand", shapes, "give (O), (O), (Q) and (Q, K)")
        if not self.reach.any(axis=1).all():
            raise ConfigError("reach", "a question without a phase", "let every window touch a phase")
        object.__setattr__(self, "free_value", self._free_value())

    def _free_value(self) -> Array:
        value = np.empty_like(self.worths.agents_success)
        for row, (kind, budget_s) in enumerate(zip(self.worths.kind, self.budgets_s, strict=True)):
            agents_fit = (self.runs.agents_s[kind] <= budget_s).mean(axis=1)
            whole_fits = (self.runs.whole_s[kind] <= budget_s).mean(axis=1)
            value[row] = (
                self.worths.agents_success[row] * agents_fit + self.worths.final_success[row] * whole_fits
            )
        return value


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
        ConfigError: no questions, a model without a profile, or a setting without the truth.
    """
    if not len(items) == len(arrivals_s) == len(budgets_s) > 0:
        sizes = (len(items), len(arrivals_s), len(budgets_s))
        raise ConfigError("items, arrivals_s, budgets_s", sizes, "give as many of each, and at least one")
    options = OptionWorths(setting)
    reach, lengths_s = phases(arrivals_s, budgets_s)
    demand = Demand(
        worths=options.of(items),
        runs=options.runs,
        agent_model=options.agent_model,
        final_model=options.final_model,
        budgets_s=budgets_s,
        reach=reach,
        capacity_s=options.servers[:, None] * lengths_s[None, :],
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
    first_stride = max(1.0, len(demand.budgets_s) / demand.capacity_s.size)
    prices, best = np.zeros_like(demand.capacity_s), np.inf
    chosen = demand.free_value.argmax(axis=1)
    for step in range(1, steps + 1):
        bound, excess_s, chosen = _dual(demand, prices, chosen)
        best = min(best, bound)
        uphill = np.where((prices > 0) | (excess_s > 0), excess_s * per_phase, 0.0)
        length = float(np.linalg.norm(uphill))
        if length == 0:
            break
        prices = np.maximum(prices + first_stride / step * uphill / length * per_phase, 0.0)
    return best


def _dual(demand: Demand, prices: Array, before: Places) -> tuple[float, Array, Places]:
    """The dual function at these prices (M, K), what its choices ask for beyond the capacity (M, K), the choices (Q).

    Prices only ever take away from an option's free value, so that only those count that are worth more for free
    than what was chosen before (Q) is worth now.
    """
    questions = np.arange(len(before))
    reachable = np.where(demand.reach[:, None, :], prices[None, :, :], np.inf)
    cheapest, least = reachable.argmin(axis=2), reachable.min(axis=2)
    net = np.full_like(demand.free_value, -np.inf)
    net[questions, before] = _Gains.of(demand, questions, before, least).mean()
    rivals = np.nonzero(demand.free_value > net[questions, before][:, None])
    for rows, options in _chunks(*rivals):
        net[rows, options] = _Gains.of(demand, rows, options, least).mean()
    chosen = net.argmax(axis=1)
    agents_s, final_s = _Gains.of(demand, questions, chosen, least).server_s()
    asked_s = np.zeros_like(prices)
    for models, used_s in ((demand.agent_model[chosen], agents_s), (demand.final_model[chosen], final_s)):
        np.add.at(asked_s, (models, cheapest[questions, models]), used_s)
    bound = float(net[questions, chosen].sum() + (prices * demand.capacity_s).sum())
    return bound, asked_s - demand.capacity_s, chosen


def _chunks(rows: Places, options: Places) -> Iterator[tuple[Places, Places]]:
    for start in range(0, len(rows), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        yield rows[part], options[part]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gains:
    """What sampled runs of some pairs gain, less what they pay; below 0, a run or its final call does not happen.

    Attributes:
        whole: gain of the run (N, S).
        final: gain of its final call (N, S).
        agents_server_s: server seconds of the agents (N, S).
        final_server_s: expected server seconds of the final call (N, S).
    """

    whole: Array
    final: Array
    agents_server_s: Array
    final_server_s: Array

    @classmethod
    def of(cls, demand: Demand, rows: Places, options: Places, least: Array) -> _Gains:
        """The gains of these questions' options (N), at the least price of each question on each model (Q, M)."""
        worths, runs, runs_at = demand.worths, demand.runs, (demand.worths.kind[rows], options)
        budget_s, at = demand.budgets_s[rows][:, None], (rows, options)
        agents_price = least[rows, demand.agent_model[options]][:, None]
        final_price = least[rows, demand.final_model[options]][:, None]
        final_server_s = worths.final_calls[at][:, None] * runs.final_server_s[runs_at]
        final = worths.final_success[at][:, None] * (runs.whole_s[runs_at] <= budget_s)
        final = final - final_price * final_server_s
        agents = worths.agents_success[at][:, None] * (runs.agents_s[runs_at] <= budget_s)
        agents = agents - agents_price * runs.agents_server_s[runs_at]
        return cls(
            whole=agents + np.maximum(final, 0.0),
            final=final,
            agents_server_s=runs.agents_server_s[runs_at],
            final_server_s=final_server_s,
        )

    def mean(self) -> Array:
        """Expected gain (N)."""
        expected: Array = np.maximum(self.whole, 0.0).mean(axis=1)
        return expected

    def server_s(self) -> tuple[Array, Array]:
        """Expected server seconds of the agents and of the final call (N) each."""
        happens = self.whole > 0
        agents_s: Array = (happens * self.agents_server_s).mean(axis=1)
        final_s: Array = (happens * (self.final > 0) * self.final_server_s).mean(axis=1)
        return agents_s, final_s
