"""Recorded runs as arrays: what was decided, with which probability, under what circumstances, and what came of it.

R = runs, N = decisions of one kind, C = its candidates, M = metrics in the order of `inframind.traces.advice.METRICS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from inframind.router.rulebook import RuleBook
from inframind.router.rules import HOURS, Circumstances

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """A column of names.

    Attributes:
        names: each once.
        code_N: place of each entry's name among them.
    """

    names: tuple[str, ...]
    code_N: Ints

    @classmethod
    def of(cls, values: Sequence[str]) -> Self:
        """Names in ascending order."""
        names = tuple(sorted(set(values)))
        place = {name: number for number, name in enumerate(names)}
        return cls(names, np.array([place[value] for value in values], dtype=np.int64))

    def is_in(self, wanted: frozenset[str]) -> Mask:
        """Which entries are of some names (N)."""
        among = np.array([name in wanted for name in self.names], dtype=np.bool_)
        return among[self.code_N] if len(among) else np.zeros(0, dtype=np.bool_)

    def at(self, places: Ints) -> Coded:
        """The entries at some places."""
        return Coded(self.names, self.code_N[places])


Narrow = Callable[[Ints, Mask], Array]
"""What a policy's probabilities become at some decisions (n) where only some candidates are left (n, C): (n, C)."""
AskUnder = Callable[[Ints, RuleBook], tuple[Mask, Array]]
"""What more rules leave of the candidates of some decisions (n, C), and what the policy would do (n, C)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choices:
    """Decisions of one kind: all plans, or all steps.

    Attributes:
        run_N: place of the run.
        chosen_N: place of the choice among the candidates.
        logged_NC: probability of each candidate when it was made.
        allowed_NC: candidates that could be chosen under the rules that are in force now.
        now_NC: probability of each under the policy that serves now.
        domain: of the question.
        role: of the step; "" for plans.
        topology: of the step's workflow; "" for plans.
        endpoint: server that was called first; "" for none.
        hour_N: in UTC.
        tokens_N: of the question.
        narrow: what the policy's probabilities become where less is left; quick.
        ask_again: the same by asking the policy.
        ask_under: the same under more rules, with all that they change of what is seen; None where they change no more
            than which candidates are left.
    """

    run_N: Ints
    chosen_N: Ints
    logged_NC: Array
    allowed_NC: Mask
    now_NC: Array
    domain: Coded
    role: Coded
    topology: Coded
    endpoint: Coded
    hour_N: Ints
    tokens_N: Ints
    narrow: Narrow = field(repr=False)
    ask_again: Narrow = field(repr=False)
    ask_under: AskUnder | None = field(repr=False, default=None)

    def __len__(self) -> int:
        return len(self.run_N)

    def are_at(self, when: Circumstances) -> Mask:
        """Which decisions were made under some circumstances (N)."""
        there_N = self.tokens_N >= when.min_prompt_tokens
        for column, wanted in (
            (self.domain, when.domains),
            (self.role, when.roles),
            (self.topology, when.topologies),
        ):
            if wanted:
                there_N = there_N & column.is_in(wanted)
        if when.hours_utc is not None:
            begin, end = when.hours_utc
            there_N = there_N & ((self.hour_N - begin) % HOURS < (end - begin) % HOURS)
        return there_N

    def share_of_runs(self, there_N: Mask, runs: int) -> Array:
        """Share of each run's decisions that are there (R); 0 for runs without any."""
        all_R = np.bincount(self.run_N, minlength=runs)
        return np.asarray(np.bincount(self.run_N[there_N], minlength=runs) / np.maximum(all_R, 1))

    @property
    def of_chosen(self) -> Array:
        """Probability of each choice when it was made (N)."""
        return np.asarray(self.logged_NC[np.arange(len(self)), self.chosen_N])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Logs:
    """Runs that were read.

    Attributes:
        trace_ids: of each run, by order of arrival.
        value_RM: what came of each; 0 where that is not known.
        weight_RM: how much each counts: one over the share of its like of which it is known; 0 where it is not.
        is_blind_RM: runs of which it is not known, nor of any of their like.
        planned_RM: what was to be expected of each, by its question and its plan.
        asked_RM: the same by its question alone.
        is_choosing_R: runs that changes are found on; predictions come from the others.
        failed_R: runs that failed.
        domain: of each question.
        plans: their plans.
        steps: their steps.
        judge: who gave each run's verdict, "" for none; None where nobody knows.
        is_late_R: the latest runs, a day's at least; None where there is no such part of them.
        notes: what a person should know of the reading.
    """

    trace_ids: tuple[str, ...]
    value_RM: Array
    weight_RM: Array
    is_blind_RM: Mask
    planned_RM: Array
    asked_RM: Array
    is_choosing_R: Mask
    failed_R: Mask
    domain: Coded
    plans: Choices
    steps: Choices
    judge: Coded | None = None
    is_late_R: Mask | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.trace_ids)


def renormalised(weights_NC: Array, exploration: float, ranks_NC: Array | None = None) -> Narrow:
    """How a policy's weights are shared out where less is left: as `inframind.router.choosing.behaviour` does.

    Args:
        weights_NC: what it proposed for each decision.
        exploration: share that is spread evenly.
        ranks_NC: of the candidates, the greater the better, for decisions in which it wants one alone: the next takes
            its place. A row of zeros where it says nothing of that.
    """

    def narrow(places: Ints, left_nC: Mask) -> Array:
        shares_nC = np.where(left_nC, weights_NC[places], 0.0)
        if ranks_NC is not None:
            lost_n = (weights_NC[places] > 0).sum(axis=1) == 1
            lost_n &= shares_nC.sum(axis=1) == 0
            best_n = np.where(left_nC, ranks_NC[places], -np.inf).argmax(axis=1)
            says_n = lost_n & (ranks_NC[places] != 0).any(axis=1)
            shares_nC[says_n, best_n[says_n]] = 1.0
        total_n = shares_nC.sum(axis=1, keepdims=True)
        even_nC = left_nC / np.maximum(left_nC.sum(axis=1, keepdims=True), 1)
        shares_nC = np.where(total_n > 0, shares_nC / np.where(total_n > 0, total_n, 1.0), even_nC)
        return np.asarray((1 - exploration) * shares_nC + exploration * even_nC)

    return narrow
