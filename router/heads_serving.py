"""The learned heads as they serve: `Head` over `FeatureBuilder`, every input multiplied no oftener than it changes.

What never changes about candidates (names, sizes, costs) and what changes with the question alone (difficulty, prior
odds) is kept as the sum that it sends to the hidden units. What changes with every decision (time, load, where the
workflow stands) is multiplied alone, and by model or by depth where candidates share it. Prior odds and slack, which
stand beside the network's outputs, reach them through hidden units of their own, so that one product gives all.

Up to rounding this is the general form, from which training reads its features; it takes a third of the time.

A = executor actions, M = models, P = plans, L = distinct depths of plans, R = roles, H = hidden units.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from inframind.fleet.snapshot import FleetSnapshot
from inframind.router.actions import PlannerAction
from inframind.router.features import (
    ACTION_COLUMNS,
    LARGEST_LOG_RATIO,
    LARGEST_LOGIT,
    LARGEST_SLACK,
    LEAST_SIGMA,
    LEAST_TIME_S,
    QUESTION_COLUMNS,
    SLACK_LOGIT,
    TIME_COLUMNS,
    WORKFLOW_COLUMNS,
    FeatureBuilder,
    Features,
    action_names,
    load_row,
    log_prompt,
    plan_names,
    role_names,
    slot_columns,
    time_columns,
)
from inframind.router.heads import Head, HeadWeights, Valuation, Worth, odds_against
from inframind.router.policy_parts import Z90
from inframind.router.scorer import Scorer, joined, passing_on
from inframind.router.views import Array, PlanView, RoleView, StepView

_QUESTIONS_KEPT = 256
"""Questions whose share of the sums is kept; a workflow asks about one question several times."""
_ZERO, _ONE, _MINUS_Z90, _LEAST_LOG_RATIO = (
    np.zeros(()),
    np.ones(()),
    np.array(-Z90),
    np.array(LEAST_SIGMA * Z90),
)
"""Arrays without axes: numpy takes half as long with them as with plain floats."""
_LARGEST_SLACK, _LARGEST_LOG_RATIO = np.array(LARGEST_SLACK), np.array(LARGEST_LOG_RATIO)
_MINUS_SLACK_LOGIT = np.array(-SLACK_LOGIT)


_Plans = tuple[PlannerAction, ...]
_Made = TypeVar("_Made")


class LastSeen(Generic[_Made]):
    """What was made of the plans on offer, which mostly are those of the last decision: told apart by identity.

    To hash thirty plans takes longer than to value them.
    """

    def __init__(self, make: Callable[[_Plans], _Made]) -> None:
        self._make = make
        self._last: tuple[_Plans, _Made] | None = None

    def __call__(self, plans: _Plans) -> _Made:
        """What is made of these plans."""
        last = self._last
        if last is None or last[0] is not plans:
            last = self._last = (plans, self._make(plans))
        return last[1]


class _Output:
    """From hidden units to worths: the end of `Head.worth`.

    Args:
        weights: what was learned.
        valuation: how probabilities become a worth.
        columns: names of the candidates' columns.
    """

    def __init__(self, weights: HeadWeights, valuation: Valuation, columns: tuple[str, ...]) -> None:
        shown = float(valuation.uses_prior)
        self.weights = passing_on(
            joined(weights.critic, weights.actor),
            {
                columns.index("prior_logit"): (-LARGEST_LOGIT, np.array([shown, 0.0, 0.0, 0.0])),
                columns.index("slack"): (
                    -LARGEST_SLACK,
                    shown * SLACK_LOGIT * np.array([0.0, 1.0, 1.0, 0.0]),
                ),
            },
        )
        self.scorer = Scorer(self.weights)
        # Odds against being right, against being in time when right, and for being in time when wrong.
        self._out = self.weights.out.T * np.array([[-1.0], [-1.0], [1.0], [1.0]])
        self._wrong_late = np.array(valuation.wrong_late)
        self._sharpness = np.array(1.0 / valuation.temperature if valuation.uses_critic else 0.0)

    def worth(self, hidden: Array, priced_work: Array, multiplier: float) -> Worth:
        """Values from hidden units (C, H) before they are rectified, which changes them, and from the work's price."""
        np.maximum(hidden, _ZERO, out=hidden)
        rows = self._out.dot(hidden.T)
        solved, share, late = odds_against(rows[:3])
        late *= self._wrong_late
        worth = share
        worth *= multiplier
        worth += 1.0 - multiplier
        worth += late
        worth *= solved
        worth -= late
        worth -= priced_work
        logits = rows[3]
        logits += worth * self._sharpness
        return Worth(solved, worth, logits)


class _Crowds:
    """The fleet's load as the heads read it, one row per model, and what a second on each of them is priced."""

    def __init__(self, builder: FeatureBuilder, valuation: Valuation) -> None:
        slots = builder.layout.slots
        self._sees_load = builder.sight.sees_load
        self._models = tuple(zip(builder.actions.models, slots, strict=True))
        self._prices = [valuation.price / each for each in slots]
        self.is_of_model = np.eye(len(slots))[:, builder.layout.model_of]
        """1 where an action's model is the row's (M, A)."""

    def read(self, snapshot: FleetSnapshot) -> list[tuple[float, float, float, float, float]]:
        if not self._sees_load:
            return [(0.0, 0.0, 0.0, 0.0, 0.0)] * len(self._models)
        return [load_row(snapshot.least_loaded(model), slots) for model, slots in self._models]

    def prices(self, rows: list[tuple[float, float, float, float, float]], length: float) -> list[float]:
        """Price of a predicted second on each model (M), for answers so many times longer than usual."""
        return [row[0] * price * length for row, price in zip(rows, self._prices, strict=True)]


def _mean_crowding(rows: list[tuple[float, float, float, float, float]]) -> float:
    return sum([row[0] for row in rows]) / len(rows)


# Steps ------------------------------------------------------------------------------------------------------


class _Asked(NamedTuple):
    """What a question adds to every step.

    Attributes:
        log_length: log of how many times longer its answers are.
        length: how many times longer.
        base: sum that reaches the hidden units from names, static columns, difficulty and prior odds (A, H).
    """

    log_length: float
    length: float
    base: Array


class StepHead:
    """Values executor actions.

    Args:
        weights: what was learned.
        builder: what a step's features are.
        valuation: how probabilities become a worth.
    """

    def __init__(self, weights: HeadWeights, builder: FeatureBuilder, valuation: Valuation) -> None:
        self._builder, self._crowds = builder, _Crowds(builder, valuation)
        self._output = _Output(weights, valuation, ACTION_COLUMNS)
        known = self._output.weights
        names = action_names(builder.actions.executor_actions)
        self._static = self._output.scorer.fixed_part(names) + builder.layout.template.dot(known.candidate)
        column = {name: known.candidate[place] for place, name in enumerate(ACTION_COLUMNS)}
        first_load, n_question = ACTION_COLUMNS.index("crowding"), len(QUESTION_COLUMNS)
        self._prior = column["prior_logit"]
        self._times = np.array([column["log_share_of_time"], column["slack"], column["log_q50"]])
        self._load = known.candidate[first_load : first_load + 5].copy()
        self._of_question, self._of_place = known.state[:n_question], known.state[n_question:].copy()
        n_actions = len(builder.actions.executor_actions)
        self._rows = np.concatenate([np.zeros((3, n_actions)), self._crowds.is_of_model])
        self._most = np.repeat([[LARGEST_LOG_RATIO], [LARGEST_SLACK]], n_actions, axis=1)
        self._least = -self._most
        self._asked = lru_cache(maxsize=_QUESTIONS_KEPT)(self._ask)

    def worth(self, view: StepView, multiplier: float) -> Worth:
        """Values of all executor actions."""
        slot, output = view.slot, self._output
        asked = self._asked(view.query.text)
        loads = self._crowds.read(view.snapshot)
        state = time_columns(view.remaining_s, view.budget_s, _mean_crowding(loads)) + slot_columns(slot)
        numbers = list(state)
        for row in loads:
            numbers += row
        n_state, n_models = len(state), len(loads)
        seen = np.array(numbers + self._crowds.prices(loads, asked.length))

        shared = seen[:n_state].dot(self._of_place)
        shared += output.scorer.state_part((slot.topology, slot.role, view.query.domain))
        weights = np.empty((3 + n_models, len(shared)))
        weights[:3] = self._times
        by_model = weights[3:]
        np.dot(seen[n_state:-n_models].reshape(n_models, 5), self._load, out=by_model)
        by_model += shared
        hidden = self._time_rows(view, asked.log_length).T.dot(weights)
        hidden += asked.base

        priced_work = seen[-n_models:].dot(self._crowds.is_of_model)
        priced_work *= view.q50_s
        return output.worth(hidden, priced_work, multiplier)

    def _time_rows(self, view: StepView, log_length: float) -> Array:
        """``log_share_of_time``, ``slack`` and ``log_q50``, and whose model is whose (3 + M, A)."""
        rows = self._rows.copy()
        bounded = rows[:2]
        log_share, slack, log_expected = rows[:3]
        spread = view.q90_s / view.q50_s
        np.log(spread, out=spread)
        np.maximum(spread, _LEAST_LOG_RATIO, out=spread)
        np.log(view.q50_s, out=log_expected)
        log_expected += log_length
        left_s = view.remaining_s if view.remaining_s > LEAST_TIME_S else LEAST_TIME_S
        np.add(log_expected, math.log((1 + view.slot.depth_left) / left_s), out=log_share)
        np.divide(log_share, spread, out=slack)
        slack *= _MINUS_Z90
        np.minimum(bounded, self._most, out=bounded)
        np.maximum(bounded, self._least, out=bounded)
        return rows

    def _ask(self, text: str) -> _Asked:
        question = self._builder.queries.read(text)
        base = self._static + np.outer(self._builder.prior_logit(question), self._prior)
        base += np.array(question.columns).dot(self._of_question)
        return _Asked(question.log_length, math.exp(question.log_length), base)


# Plans ------------------------------------------------------------------------------------------------------


class _Wanted(NamedTuple):
    """What a question adds to every plan.

    Attributes:
        length: how many times longer than usual its answers are.
        prior: prior odds of each executor action (A).
        chance: the same as probabilities (A).
        part: what its difficulty sends to the hidden units (H).
    """

    length: float
    prior: Array
    chance: Array
    part: Array


@dataclass(frozen=True, slots=True)
class _Offered:
    """Plans that are on offer together.

    Attributes:
        static: sum that reaches the hidden units from names and static columns (P, H).
        is_of_depth: 1 where a plan has the column's depth (P, L).
        calls: a plan's calls in the column of its depth, 0 elsewhere (P, L).
        log_depths: (L, 1).
        first: place of each depth's first cell in a flat table of depths and executor actions (L).
    """

    static: Array
    is_of_depth: Array
    calls: Array
    log_depths: Array
    first: NDArray[np.int64]


class PlanHead:
    """Values plans, each by the call that is best for its depth.

    Args:
        weights: what was learned.
        builder: what a plan's features are.
        valuation: how probabilities become a worth.
    """

    def __init__(self, weights: HeadWeights, builder: FeatureBuilder, valuation: Valuation) -> None:
        self._builder, self._crowds = builder, _Crowds(builder, valuation)
        self._output = _Output(weights, valuation, WORKFLOW_COLUMNS)
        known = self._output.weights
        column = {name: known.candidate[place] for place, name in enumerate(WORKFLOW_COLUMNS)}
        self._dynamic = np.array([column[name] for name in ("prior_logit", "slack", "log_share_of_time")])
        self._static = np.array([column[name] for name in ("log_calls", "depth", "team_size")])
        n_question = len(QUESTION_COLUMNS)
        self._of_question, self._of_time = known.state[:n_question], known.state[n_question:].copy()
        self._wanted = lru_cache(maxsize=_QUESTIONS_KEPT)(self._want)
        self._offered = LastSeen(self._offer)

    def worth(self, view: PlanView, multiplier: float) -> Worth:
        """Values of all plans."""
        offered, wanted = self._offered(view.actions), self._wanted(view.query.text)
        if self._builder.sight.planner_sees_load:
            state, columns, priced = self._seen(view, offered, wanted)
        else:
            state, columns, priced = self._guessed(view, len(offered.log_depths), wanted)
        by_depth = columns.T.dot(self._dynamic)
        shared = np.array(state).dot(self._of_time)
        shared += wanted.part
        shared += self._output.scorer.state_part((view.query.domain,))
        by_depth += shared
        hidden = offered.is_of_depth.dot(by_depth)
        hidden += offered.static
        return self._output.worth(hidden, offered.calls.dot(priced), multiplier)

    def _seen(
        self, view: PlanView, offered: _Offered, wanted: _Wanted
    ) -> tuple[tuple[float, ...], Array, Array]:
        """State, prior odds with slack and share of the time left (3, L), and price of each depth's best call (L)."""
        loads = self._crowds.read(view.snapshot)
        spread = view.step_q90_s / view.step_q50_s
        np.log(spread, out=spread)
        np.maximum(spread, _LEAST_LOG_RATIO, out=spread)
        log_left = np.log(view.step_q50_s)
        np.subtract(math.log(max(view.remaining_s, LEAST_TIME_S) / wanted.length), log_left, out=log_left)
        left = log_left - offered.log_depths
        slack = left / spread
        slack *= -_MINUS_Z90
        np.minimum(slack, _LARGEST_SLACK, out=slack)
        np.maximum(slack, -_LARGEST_SLACK, out=slack)
        odds_late = slack * _MINUS_SLACK_LOGIT
        np.exp(odds_late, out=odds_late)
        odds_late += _ONE
        best = ((wanted.chance * view.step_allowed) / odds_late).argmax(axis=1)
        cells = offered.first + best
        columns = np.empty((3, len(best)))
        columns[0] = wanted.prior[best]
        columns[1] = slack.ravel()[cells]
        share = np.negative(left.ravel()[cells], out=columns[2])
        np.minimum(share, _LARGEST_LOG_RATIO, out=share)
        np.maximum(share, -_LARGEST_LOG_RATIO, out=share)
        prices = np.array(self._crowds.prices(loads, wanted.length))
        priced = prices[self._builder.layout.model_of[best]] * view.step_q50_s[best]
        state = time_columns(view.remaining_s, view.budget_s, _mean_crowding(loads))
        return (*state, log_prompt(view.query.prompt_tokens)), columns, priced

    def _guessed(
        self, view: PlanView, n_depths: int, wanted: _Wanted
    ) -> tuple[tuple[float, ...], Array, Array]:
        """The same for a planner that sees the question alone: the best call is the best of all, fast or not."""
        columns = np.zeros((3, n_depths))
        columns[0] = wanted.prior.max()
        state = (*[0.0 for _ in TIME_COLUMNS], log_prompt(view.query.prompt_tokens))
        return state, columns, np.zeros(n_depths)

    def _want(self, text: str) -> _Wanted:
        question = self._builder.queries.read(text)
        prior = self._builder.prior_logit(question)
        return _Wanted(
            math.exp(question.log_length),
            prior,
            chance=1.0 / (1.0 + np.exp(-prior)),
            part=np.array(question.columns).dot(self._of_question),
        )

    def _offer(self, plans: tuple[PlannerAction, ...]) -> _Offered:
        table = self._builder.plan_table(plans)
        is_of_depth = np.eye(len(table.depths))[table.of_depth]
        n_actions = len(self._builder.actions.executor_actions)
        return _Offered(
            static=self._output.scorer.fixed_part(plan_names(plans)) + table.static.dot(self._static),
            is_of_depth=is_of_depth,
            calls=is_of_depth * table.calls[:, None],
            log_depths=np.log(table.depths)[:, None],
            first=n_actions * np.arange(len(table.depths)),
        )


# Roles ------------------------------------------------------------------------------------------------------


class _Seated(NamedTuple):
    """The question and the team whose seats are filled; nothing else decides what a role is worth."""

    text: str
    domain: str
    action: PlannerAction
    roles: tuple[str, ...]


class RoleHead:
    """Values roles: for all seats of a team at once, with and without each role taken, and then looks up.

    Args:
        weights: what was learned.
        builder: what a role's features are.
        valuation: how probabilities become a worth.
    """

    def __init__(self, weights: HeadWeights, builder: FeatureBuilder, valuation: Valuation) -> None:
        self._builder, self._head = builder, Head(weights, valuation)
        self._tables = lru_cache(maxsize=_QUESTIONS_KEPT)(self._table)
        self._fixed_parts = lru_cache(maxsize=64)(self._fixed_part)
        self._cells = lru_cache(maxsize=1024)(_seat_cells)
        self._seats = lru_cache(maxsize=64)(_seat_states)

    def worth(self, view: RoleView) -> Worth:
        """Values of all roles of the domain for one seat."""
        table = self._tables(_Seated(view.query.text, view.query.domain, view.action, view.roles))
        cells = self._cells(view.seat, view.taken, view.roles)
        return Worth(table.solved[cells], table.worth[cells], table.logits[cells])

    def _table(self, seated: _Seated) -> Worth:
        """For each seat, without and with anyone seated before, each role that is free and that is taken."""
        size = seated.action.team_size
        question = self._builder.queries.read(seated.text)
        seats, is_taken, always, never = self._seats(size, len(seated.roles))
        state = seats.copy()
        state[:, : len(QUESTION_COLUMNS)] = question.columns
        features = Features(
            state=state,
            state_names=(seated.action.topology, seated.domain),
            candidates=is_taken,
            prior_logit=always * (question.typical_logit / LARGEST_SLACK),
            slack=always,
            work=never,
        )
        return self._head.worth(features, self._fixed_parts(seated.roles, size), 0.0)

    def _fixed_part(self, roles: tuple[str, ...], size: int) -> Array:
        return np.tile(self._head.fixed_part(role_names(roles)).repeat(2, axis=0), (2 * size, 1))


def _seat_cells(seat: int, taken: tuple[str, ...], roles: tuple[str, ...]) -> NDArray[np.int64]:
    """Place of each role in a table of seats, for one of them (R)."""
    first = 2 * len(roles) * (2 * seat + bool(taken))
    return np.array([first + 2 * place + (role in taken) for place, role in enumerate(roles)])


def _seat_states(size: int, n_roles: int) -> tuple[Array, Array, Array, Array]:
    """States but for the question, whether the role is taken, and columns of the largest slack and of zeros."""
    places = np.indices((size, 2, n_roles, 2)).reshape(4, -1).astype(np.float64)
    seat, is_taken_by_someone, _, is_taken = places
    question = np.zeros((len(QUESTION_COLUMNS), len(seat)))
    states = np.vstack([question, seat / 3, np.full_like(seat, size / 3), is_taken_by_someone]).T.copy()
    return states, is_taken[:, None], np.full_like(seat, LARGEST_SLACK), np.zeros_like(seat)
