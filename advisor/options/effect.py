"""What recorded runs say that a rule would change: importance weights of what it concerns, and of nothing else.

R = runs, N = decisions, C = candidates, M = metrics.

For each decision that a rule narrows, ``w' = pi'(a) / mu(a)`` and ``w = pi(a) / mu(a)`` are the weights of what was
chosen under the serving policy with the rule and without it; mu is what it was logged with. All other decisions are
what they were. A run's contribution to the change of a metric y is ``v d (y - b)``, with v one over the chance that y
is known, b what was to be expected of the run before any of it was decided, and d by level:

``exact``
    ``prod w' - prod w`` over the run's narrowed decisions. Unbiased; its variance grows with every decision.
``first order``
    ``sum (w' - w)``: what each change adds alone. What two of them do to each other is left out, see
    `inframind.router.ope.runs`.

The exact one is taken wherever it has support, and where the other has even less of it. Runs that a rule
does not concern contribute 0, so that all variance comes from what changes. ``b`` is subtracted from either side alike:
weights have the same mean under both.

What could be chosen stays what it was at each decision, less what the rule takes away: candidates that a forecast or a
failing server ruled out then are not brought back, and load is what it was. So an effect is of these runs, and of
others as far as they are like them; see `inframind.advisor.options.notes.of_drift`.

Which server of a model is called is not the policy's choice but the fleet's, by load. A rule that avoids some of a
model's servers is weighed as if the fleet had drawn among them without regard to the question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from inframind.advisor.options.doubts import NO_DOUBTS, Doubts, doubts_of
from inframind.advisor.options.logs import Array, Choices, Ints, Logs, Mask
from inframind.router.actions import ActionSpace
from inframind.router.ope.estimate import SupportRule
from inframind.router.rulebook import RuleBook
from inframind.router.rules import Circumstances, RoutingRule
from inframind.traces.advice import METRICS

Level = Literal["exact", "first order"]
_IS_SHARE_M = np.array([metric in ("success", "solved", "on_time") for metric in METRICS])
_MORE_RUNS = 2.0
"""Runs that went against all expectation, which are taken to be there beside those that are: thirty successes in a row
had no variance otherwise."""
_SAME = 1e-12
"""Difference of probabilities that is rounding."""
_ALWAYS = Circumstances()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Effect:
    """What some runs say of a rule.

    Attributes:
        rule: which.
        level: how the decisions of one run were put together.
        runs: how many were read.
        affected: of those, the ones that it concerns.
        before_M: mean of what happened.
        change_M: estimated difference.
        covariance_MM: of the estimate.
        size_M: decisions in effect: of what it would do and of what it would no longer do, the fewer.
        unsupported: of the runs that it concerns, the share that would have done what was never done.
        blind_M: of the runs that it concerns, the share of whose like nothing is known.
        least_M: least change that there could be: if all that it concerns had been as bad as any run.
        most_M: greatest.
        doubts: why these runs cannot say, however many they are; looked for where predictions come from.
    """

    rule: RoutingRule
    level: Level
    runs: int
    affected: int
    before_M: Array
    change_M: Array
    covariance_MM: Array
    size_M: Array
    unsupported: float
    blind_M: Array
    least_M: Array
    most_M: Array
    doubts: Doubts = NO_DOUBTS

    @property
    def error_M(self) -> Array:
        """Standard error of the change."""
        return np.asarray(np.sqrt(np.diag(self.covariance_MM)))


class Effects:
    """Works out effects of rules.

    Args:
        logs: the runs.
        actions: what may be chosen.
        book: whatever rules of these choices; says what a rule leaves.
        servers: names of the servers of each model.
        support: when the exact level has support.
    """

    def __init__(
        self,
        logs: Logs,
        actions: ActionSpace,
        book: RuleBook,
        servers: Mapping[str, Sequence[str]],
        support: SupportRule,
    ) -> None:
        self._logs, self._actions, self._book, self._support = logs, actions, book, support
        self._servers = servers
        self._parts = {is_choosing: Part(logs, is_choosing) for is_choosing in (True, False)}
        self._left = lru_cache(maxsize=None)(self._work_out)
        steps = actions.executor_actions
        models = tuple(actions.models)
        self._model_C = np.array([models.index(step.model) for step in steps], dtype=np.int64)

    @property
    def basis(self) -> tuple[Logs, RuleBook, ActionSpace]:
        """The runs, whatever rules of their choices already, and what these may be."""
        return self._logs, self._book, self._actions

    def of(self, rule: RoutingRule, *, is_choosing: bool, asks_again: bool = False) -> Effect:
        """What one part of the runs says of a rule.

        Args:
            rule: any that speaks of what may be chosen.
            is_choosing: whether the part that changes are found on, or the other one.
            asks_again: whether the policy is asked what it would do, or its weights are shared out.
        """
        part = self._parts[is_choosing]
        touched = [
            self._touched(self._logs.steps, self.steps_left(rule), rule, part, asks_again),
            self._touched_plans(rule, part, asks_again),
        ]
        changes_plans = bool(len(touched[1].run_n))
        expected_RM = self._logs.asked_RM if changes_plans else self._logs.planned_RM
        return effect_of(self._logs, part, rule, touched, expected_RM, self._support)

    def concern(self, rule: RoutingRule) -> Array:
        """Share of each run's steps, or plan, that a rule masks (R)."""
        logs = self._logs
        share_R = np.zeros(len(logs))
        for choices, left_C in ((logs.steps, self.steps_left(rule)), (logs.plans, self.plans_left(rule))):
            out_N = ~left_C[choices.chosen_N]
            if rule.avoid_endpoints and choices is logs.steps:
                out_N = out_N | choices.endpoint.is_in(rule.avoid_endpoints)
            there_R = choices.share_of_runs(out_N & choices.are_at(rule.when), len(logs))
            share_R = np.maximum(share_R, there_R)
        return share_R

    def steps_left(self, rule: RoutingRule) -> Mask:
        """Executor actions that a rule leaves where it applies (A)."""
        return self._left(rule.model_copy(update={"when": _ALWAYS}))[0]

    def plans_left(self, rule: RoutingRule) -> Mask:
        """Planner actions that a rule leaves where it applies (P)."""
        return self._left(rule.model_copy(update={"when": _ALWAYS}))[1]

    def model_alone_on(self, endpoint: str) -> str:
        """The model that has this server and no other, or ""."""
        return next((model for model, names in self._servers.items() if tuple(names) == (endpoint,)), "")

    def _work_out(self, rule: RoutingRule) -> tuple[Mask, Mask]:
        book, plans = self._book.with_rules((rule,)), self._actions.planner_actions
        of_steps = book.step_reasons(domain="", role="", topology="", prompt_tokens=0, wall_s=0.0)
        of_plans = book.plan_reasons(plans, domain="", prompt_tokens=0, wall_s=0.0)
        return (
            _left(of_steps, len(self._actions.executor_actions)),
            _left(of_plans, len(plans)),
        )

    def _touched(
        self, choices: Choices, left_C: Mask, rule: RoutingRule, part: Part, asks_again: bool
    ) -> Touched:
        is_steps = choices is self._logs.steps
        avoided = rule.avoid_endpoints if is_steps else frozenset()
        if left_C.all() and not avoided:
            return Touched.nothing()
        there_N = choices.are_at(rule.when)
        chances_N, is_served_N = self._served(choices, avoided, there_N)
        places = np.flatnonzero(there_N & part.is_in_R[choices.run_N])
        left_nC = choices.allowed_NC[places] & left_C
        is_narrowed_n = left_nC.any(axis=1) & (left_nC.sum(axis=1) < choices.allowed_NC[places].sum(axis=1))
        is_touched_n = is_narrowed_n | is_served_N[places]
        places, left_nC = places[is_touched_n], left_nC[is_touched_n]
        if not len(places):
            return Touched.nothing()
        return _weighed(choices, places, left_nC, is_narrowed_n[is_touched_n], chances_N, asks_again)

    def _touched_plans(self, rule: RoutingRule, part: Part, asks_again: bool) -> Touched:
        """Plans that a rule forbids, and those that are made otherwise because it leaves other steps.

        A planner sees how good and how fast the steps are that are left. What that changes the policy alone can say: as
        long as it is not asked again, such plans are taken to stay.
        """
        plans, left_P = self._logs.plans, self.plans_left(rule)
        changes_steps = not (self.steps_left(rule).all() or rule.when.roles or rule.when.topologies)
        if not (asks_again and changes_steps and plans.ask_under):
            return self._touched(plans, left_P, rule, part, asks_again)
        places = np.flatnonzero(plans.are_at(rule.when) & part.is_in_R[plans.run_N])
        _, target_nC = plans.ask_under(places, self._book.with_rules((rule,)))
        is_other_n = ~np.isclose(target_nC, plans.now_NC[places], rtol=0, atol=_SAME).all(axis=1)
        return compared(plans, places[is_other_n], target_nC[is_other_n])

    def _served(self, choices: Choices, avoided: frozenset[str], there_N: Mask) -> tuple[Array, Mask]:
        """Weight of the server that was called, with some avoided (N), and where it is not 1 (N)."""
        weight_N, is_served_N = np.ones(len(choices)), np.zeros(len(choices), dtype=np.bool_)
        if not avoided:
            return weight_N, is_served_N
        is_out_N = choices.endpoint.is_in(avoided)
        for number, model in enumerate(self._actions.models):
            names = set(self._servers[model])
            if not names & avoided or names <= avoided:
                continue
            of_model_N = there_N & (self._model_C[choices.chosen_N] == number)
            kept = float(1 - is_out_N[of_model_N].mean()) if of_model_N.any() else 0.0
            is_served_N |= of_model_N
            weight_N[of_model_N] = np.where(is_out_N[of_model_N] | (kept == 0), 0.0, 1 / max(kept, 1e-12))
        return weight_N, is_served_N


class Part:
    """The runs that changes are found on, or the others: what came of them, at worst, at best and on average."""

    def __init__(self, logs: Logs, is_choosing: bool) -> None:
        self.is_choosing = is_choosing
        self.is_in_R = logs.is_choosing_R == is_choosing
        self.runs = int(self.is_in_R.sum())
        self.weight_RM = logs.weight_RM * self.is_in_R[:, None]
        self.before_M = _mean(logs.value_RM, self.weight_RM)
        known_RM = np.where(logs.weight_RM > 0, logs.value_RM, self.before_M)
        self._lowest_M = np.where(_IS_SHARE_M, 0.0, known_RM.min(axis=0, initial=np.inf))
        self._highest_M = np.where(_IS_SHARE_M, 1.0, known_RM.max(axis=0, initial=-np.inf))

    def reach(self, value_RM: Array, place_k: Ints) -> tuple[Array, Array]:
        """Least and greatest change of the mean that there could be if some runs alone were other (M)."""
        there_M = _mean(value_RM[place_k], self.weight_RM[place_k])
        share = len(place_k) / max(self.runs, 1)
        if not share:
            return np.zeros(len(METRICS)), np.zeros(len(METRICS))
        return share * (self._lowest_M - there_M), share * (self._highest_M - there_M)


@dataclass(frozen=True, slots=True, eq=False)
class Touched:
    """Decisions that a rule changes (n): their runs, weights with and without it, and what it wants that never was."""

    run_n: Ints
    with_n: Array
    without_n: Array
    unsupported_n: Array

    @classmethod
    def nothing(cls) -> Touched:
        """None at all."""
        none = np.zeros(0)
        return cls(np.zeros(0, dtype=np.int64), none, none, none)


def _weighed(
    choices: Choices, places: Ints, left_nC: Mask, is_narrowed_n: Mask, chances_N: Array, asks_again: bool
) -> Touched:
    target_nC = choices.now_NC[places].copy()
    narrow = choices.ask_again if asks_again else choices.narrow
    if is_narrowed_n.any():
        target_nC[is_narrowed_n] = narrow(places[is_narrowed_n], left_nC[is_narrowed_n])
    return compared(choices, places, target_nC, chances_N[places])


def compared(choices: Choices, places: Ints, target_nC: Array, chances_n: Array | float = 1.0) -> Touched:
    """Some decisions as they would be made otherwise.

    Args:
        choices: all decisions.
        places: of those that change (n).
        target_nC: probability of each candidate then.
        chances_n: weight of the server that was called.
    """
    chosen_n, logged_n = choices.chosen_N[places], choices.of_chosen[places]
    rows = np.arange(len(places))
    return Touched(
        choices.run_N[places],
        target_nC[rows, chosen_n] / logged_n * chances_n,
        choices.now_NC[places][rows, chosen_n] / logged_n,
        np.asarray(np.where(choices.logged_NC[places] <= 0, target_nC, 0.0).sum(axis=1)),
    )


def effect_of(
    logs: Logs,
    part: Part,
    rule: RoutingRule,
    touched: list[Touched],
    expected_RM: Array,
    support: SupportRule,
) -> Effect:
    """What one part of the runs says of decisions that are made otherwise.

    Args:
        logs: the runs.
        part: which of them.
        rule: what makes the difference.
        touched: the decisions.
        expected_RM: what was to be expected of each run before any of them (R, M).
        support: when the exact level has support.
    """
    run_n = np.concatenate([one.run_n for one in touched])
    with_n = np.concatenate([one.with_n for one in touched])
    without_n = np.concatenate([one.without_n for one in touched])
    place_k, inverse_n = np.unique(run_n, return_inverse=True)
    weight_kM = logs.weight_RM[place_k]
    level: Level = "exact"
    change_k = _product(inverse_n, with_n, len(place_k)) - _product(inverse_n, without_n, len(place_k))
    if len(place_k) < len(run_n) and _sizes(change_k, weight_kM)[0] < support.least_effective_size:
        first_k = np.bincount(inverse_n, with_n - without_n, minlength=len(place_k)).astype(np.float64)
        if _sizes(first_k, weight_kM)[0] >= _sizes(change_k, weight_kM)[0]:
            level, change_k = "first order", first_k
    weighted_kM = change_k[:, None] * weight_kM
    part_kM = weighted_kM * (logs.value_RM[place_k] - expected_RM[place_k])
    lost_n = np.concatenate([one.unsupported_n for one in touched])
    lost_k = np.minimum(np.bincount(inverse_n, lost_n, minlength=len(place_k)), 1.0)
    least_M, most_M = part.reach(logs.value_RM, place_k)
    return Effect(
        rule=rule,
        level=level,
        runs=part.runs,
        affected=len(place_k),
        before_M=part.before_M,
        change_M=part_kM.sum(axis=0) / max(part.runs, 1),
        covariance_MM=_covariance(part_kM, weighted_kM, part.runs),
        size_M=_sizes(change_k, weight_kM),
        unsupported=float(lost_k.mean()) if len(place_k) else 0.0,
        blind_M=logs.is_blind_RM[place_k].mean(axis=0) if len(place_k) else np.zeros(len(METRICS)),
        least_M=least_M,
        most_M=most_M,
        doubts=NO_DOUBTS if part.is_choosing else doubts_of(logs, place_k, change_k, part_kM),
    )


def _product(inverse_n: Ints, ratio_n: Array, runs: int) -> Array:
    product_k = np.ones(runs)
    np.multiply.at(product_k, inverse_n, ratio_n)
    return product_k


def _covariance(part_kM: Array, weighted_kM: Array, runs: int) -> Array:
    """Of the mean of contributions, 0 for runs that are not there."""
    if runs < 2:
        return np.diag(np.full(len(METRICS), np.inf))
    sums_M = part_kM.sum(axis=0)
    squares_MM = part_kM.T @ part_kM - np.outer(sums_M, sums_M) / runs
    more_M = _MORE_RUNS * (weighted_kM**2).mean(axis=0) if len(part_kM) else np.zeros(len(METRICS))
    return np.asarray((squares_MM + np.diag(more_M * _IS_SHARE_M)) / (runs - 1) / runs)


def _sizes(change_k: Array, weight_kM: Array) -> Array:
    """Effective sizes (M) of the runs that count more and of those that count less, the smaller."""
    more_M, less_M = (
        _effective_size(np.maximum(sign * change_k, 0.0)[:, None] * weight_kM) for sign in (1, -1)
    )
    return np.minimum(more_M, less_M)


def _effective_size(weight_kM: Array) -> Array:
    squares_M = (weight_kM**2).sum(axis=0)
    return np.asarray(weight_kM.sum(axis=0) ** 2 / np.where(squares_M > 0, squares_M, 1.0))


def _mean(value_RM: Array, weight_RM: Array) -> Array:
    total_M = weight_RM.sum(axis=0)
    return np.asarray((weight_RM * value_RM).sum(axis=0) / np.where(total_M > 0, total_M, 1.0))


def _left(reasons: tuple[str, ...] | None, length: int) -> Mask:
    return np.array([not reason for reason in reasons]) if reasons else np.ones(length, dtype=np.bool_)
