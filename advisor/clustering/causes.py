"""What sets failures apart, one cause beside the other: forward selection by score tests, then a second look at all.

Failures are contrasted with runs that did not fail, whatever cluster they are in: a cluster was formed by what its
runs have in common, so its own runs can prove nothing about it. A cause that is there only because of a stronger one
(a model that is mostly chosen at night, when an endpoint is slow) has nothing left to say once the stronger one is
fitted, and is never selected, or goes in the second look.

That one model, strategy or topology alone is good is a cause, too: whatever has any other fails. No other one by itself
need be beyond doubt for that. It is claimed only where each of the others fails more than the good one, so that two bad
ones of four are not taken for two good ones.

How many things are looked at is paid for (Bonferroni), a third of the level for each of three classes: single
features and their opposites, pairs, and ranges of hours alone or with a feature. So a plain cause need not be as plain
as one in thousands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from inframind.advisor.cluster import OTHER_THAN, TraitName
from inframind.advisor.clustering.config import ClusterConfig
from inframind.advisor.clustering.hours import HOURS, LONGEST, SHORTEST, range_sums, span
from inframind.advisor.clustering.logistic import Array, Fit, fit
from inframind.advisor.clustering.observing import (
    SYMPTOMS,
    Columns,
    Facts,
    Flags,
    Observed,
    joined,
    ordered_facts,
)

_WITH_HOURS: tuple[TraitName, ...] = ("model", "endpoint", "strategy", "topology", "domain")
_LEVELS: tuple[TraitName, ...] = ("prompt_length", "load", "budget")
_LEAST_SEEN = 10
_LEAST_FAILURES = 5
_MOST_ALIKE = 0.98
_EACH_WORSE_Z = 2.0
"""Deviates by which each other value must fail more than one that is said to be the only good one. All of them must,
beside what all together must, so that it need not be much: of two that are equally good, one in forty is taken for the
only one."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Facts with which runs fail more often, given all other causes.

    Attributes:
        facts: that hold together.
        z: standard normal deviate of more failures with them, given the other causes.
    """

    facts: Facts
    z: float


def causes_of(
    observed: Observed, failing_N: Flags, known_N: Flags, *, config: ClusterConfig, ways: int
) -> tuple[Cause, ...]:
    """What sets one way of failing apart, strongest first; nothing where nothing does.

    Args:
        observed: all runs.
        failing_N: which of them fail in this way.
        known_N: which are looked at: those, and runs that did not fail.
        config: how carefully.
        ways: ways of failing that are looked at in all, which share the level.
    """
    if not failing_N[known_N].any() or failing_N[known_N].all():
        return ()
    return _Search(observed, failing_N, known_N, config, config.false_alarms / ways).causes()


class _Search:
    """The columns that are looked at, and how far each class must deviate."""

    def __init__(
        self, observed: Observed, failing_N: Flags, known_N: Flags, config: ClusterConfig, level: float
    ) -> None:
        self._config = config
        self._observed = observed
        self._rows_N = known_N
        self._hour_N = observed.hour_N[known_N]
        self._outcome_N = failing_N[known_N].astype(np.float64)
        self._singles = _distinct(
            joined(*(_causal(one, known_N) for one in (observed.singles, observed.others)))
        )
        self._pairs = _saying_more_than_singles(_causal(observed.pairs, known_N), self._singles)
        self._with_hours = _all_and(self._singles, len(self._outcome_N))
        ranges = HOURS * (LONGEST - SHORTEST + 1)
        looks = len(self._singles.facts), len(self._pairs.facts), ranges * len(self._with_hours.facts)
        self._least_z = [_critical(level / len(looks), count) for count in looks]

    def causes(self) -> tuple[Cause, ...]:
        selected: list[Facts] = []
        while len(selected) < self._config.most_causes:
            found = next(self._proven(self._fit(selected), selected), None)
            if found is None:
                break
            selected.append(found)
        return self._looked_at_again(selected)

    def _fit(self, selected: Sequence[Facts]) -> Fit:
        return fit([self._holds_N(facts) for facts in selected], self._outcome_N)

    def _holds_N(self, facts: Facts) -> Array:
        return self._observed.holds_N(facts)[self._rows_N].astype(np.float64)

    def _looked_at_again(self, selected: list[Facts]) -> tuple[Cause, ...]:
        """Those that still tell something given all others; the weakest goes first.

        They must tell something by themselves too: that runs with it fail less than others, but more than they should,
        is nothing that anybody could see. A known cause under a level is fitted beside it, but no cause of its own.
        """
        selected = [facts for facts in selected if self._z_given([], facts) >= self._config.clear_z]
        while selected:
            causes = [Cause(facts, self._z_given(selected, facts)) for facts in selected]
            weakest = min(causes, key=lambda cause: cause.z)
            if weakest.z >= self._config.clear_z:
                own = [cause for cause in causes if not _only_aggravates(cause.facts, selected)]
                return tuple(sorted(own, key=lambda cause: -cause.z))
            selected.remove(weakest.facts)
        return ()

    def _z_given(self, selected: list[Facts], facts: Facts) -> float:
        """Of one given the others; by test rather than by coefficient, which is infinite where all failures have it."""
        fitted = self._fit([other for other in selected if other != facts])
        return float(fitted.z_of(self._holds_N(facts) @ fitted.parts_NK))

    # Candidates ----------------------------------------------------------------------------------------

    def _proven(self, fitted: Fit, selected: list[Facts]) -> Iterator[Facts]:
        """Candidates beyond doubt, most telling first.

        A pair stands back where one of its features is beyond doubt too, unless it clearly says more than each alone.
        """
        found = sorted(self._beyond_doubt(fitted), key=lambda cause: (-cause.z, cause.facts))
        known = {*selected, *(cause.facts for cause in found)}
        for cause in found:
            alone: list[Facts] = [(fact,) for fact in cause.facts] if len(cause.facts) > 1 else []
            stands_back = any(facts in known for facts in alone)
            if cause.facts in selected or not self._is_only_good_one(cause.facts, selected):
                continue
            if not stands_back or self._says_more(cause.facts, alone, selected):
                yield cause.facts

    def _is_only_good_one(self, facts: Facts, selected: list[Facts]) -> bool:
        """Whether every other value fails more than the one that is left out; of other facts nothing is asked."""
        if not is_opposite(facts):
            return True
        ((name, said),) = facts
        good: Facts = ((name, said.removeprefix(OTHER_THAN)),)
        of_name = [one for one in self._observed.singles.facts if one[0][0] == name]
        rivals = [one for one in of_name if one != good and self._holds_N(one).any()]
        given = [one for one in selected if len(one) > 1 or one[0][0] != name]
        return all(self._z_beside(rival, rivals, given) >= _EACH_WORSE_Z for rival in rivals)

    def _z_beside(self, rival: Facts, rivals: list[Facts], given: list[Facts]) -> float:
        """Of a value, among runs that have none of its rivals: those with it, and those with the good one alone."""
        others = [self._holds_N(one) > 0 for one in rivals if one != rival]
        rows_n = ~np.any(others, axis=0) if others else np.ones(len(self._outcome_N), dtype=np.bool_)
        outcome_n = self._outcome_N[rows_n]
        if not outcome_n.any() or outcome_n.all():
            return 0.0
        fitted = fit([self._holds_N(one)[rows_n] for one in given], outcome_n)
        return float(fitted.z_of(self._holds_N(rival)[rows_n] @ fitted.parts_NK))

    def _says_more(self, pair: Facts, alone: list[Facts], selected: list[Facts]) -> bool:
        given = [*selected, *(facts for facts in alone if facts not in selected), pair]
        return self._z_given(given, pair) >= self._config.clear_z

    def _beyond_doubt(self, fitted: Fit) -> Iterator[Cause]:
        for columns, least_z in zip((self._singles, self._pairs), self._least_z, strict=False):
            sums = columns.holds_NM.astype(np.float64).T @ fitted.parts_NK
            z_M = self._z_of(fitted, sums)
            for column in np.flatnonzero(z_M >= least_z):
                yield Cause(columns.facts[column], float(z_M[column]))
        yield from self._ranges_beyond_doubt(fitted)

    def _ranges_beyond_doubt(self, fitted: Fit) -> Iterator[Cause]:
        """The best range of hours alone, and with each fact."""
        sums = range_sums(fitted.parts_NK, self._with_hours.holds_NM, self._hour_N)
        z_MHL = self._z_of(fitted, sums)
        for facts, z_HL in zip(self._with_hours.facts, z_MHL, strict=True):
            start, length = np.unravel_index(int(z_HL.argmax()), z_HL.shape)
            if z_HL[start, length] >= self._least_z[-1]:
                hours = span(int(start), int(length))
                yield Cause(ordered_facts((*facts, ("hour_utc", hours))), float(z_HL[start, length]))

    def _z_of(self, fitted: Fit, sums: Array) -> Array:
        """Deviates; none where too few failures would speak for it."""
        enough = sums[..., 0] >= max(_LEAST_FAILURES, self._config.least_size // 2)
        deviates: Array = np.where(enough, fitted.z_of(sums), 0.0)
        return deviates


def _only_aggravates(facts: Facts, selected: Sequence[Facts]) -> bool:
    """Whether it is another cause under a level: short budgets and high load make whatever is slow worse."""
    return len(facts) > 1 and any(
        name in _LEVELS and tuple(fact for fact in facts if fact[0] != name) in selected for name, _ in facts
    )


def is_opposite(facts: Facts) -> bool:
    """Whether facts say that something is any other than one, instead of what it is."""
    return any(value.startswith(OTHER_THAN) for _, value in facts)


def _critical(level: float, looks: int) -> float:
    return NormalDist().inv_cdf(1 - level / max(1, looks))


# Columns -----------------------------------------------------------------------------------------------


def _causal(columns: Columns, rows_N: Flags) -> Columns:
    """Columns that can be causes, of the runs that are looked at, if enough of them have it, and lack it."""
    holds_NM = columns.holds_NM[rows_N]
    count_M = holds_NM.sum(axis=0)
    keep = [
        column
        for column, facts in enumerate(columns.facts)
        if facts[0][0] not in SYMPTOMS and _LEAST_SEEN <= count_M[column] <= len(holds_NM) - _LEAST_SEEN
    ]
    return _kept(Columns(facts=columns.facts, holds_NM=holds_NM), keep)


def _distinct(singles: Columns) -> Columns:
    """Each set of runs once, by the name that comes first: the only server of a model says what the model says."""
    first: dict[bytes, int] = {}
    for column in range(len(singles.facts)):
        first.setdefault(np.packbits(singles.holds_NM[:, column]).tobytes(), column)
    return _kept(singles, sorted(first.values()))


def _saying_more_than_singles(pairs: Columns, singles: Columns) -> Columns:
    """Pairs that are not all but the same as one of their own features; the others could only be named in its place."""
    count = dict(zip(singles.facts, singles.holds_NM.sum(axis=0).tolist(), strict=True))
    both_M = pairs.holds_NM.sum(axis=0)
    keep = [
        column
        for column, pair in enumerate(pairs.facts)
        if all(both_M[column] < _MOST_ALIKE * count.get((fact,), np.inf) for fact in pair)
    ]
    return _kept(pairs, keep)


def _all_and(singles: Columns, runs: int) -> Columns:
    """All runs, and those of each feature that is looked at together with hours."""
    keep = [
        column
        for column, facts in enumerate(singles.facts)
        if facts[0][0] in _WITH_HOURS and not is_opposite(facts)
    ]
    everything = np.ones((runs, 1), dtype=np.bool_)
    chosen = _kept(singles, keep)
    return Columns(facts=((), *chosen.facts), holds_NM=np.concatenate([everything, chosen.holds_NM], axis=1))


def _kept(columns: Columns, keep: list[int]) -> Columns:
    return Columns(facts=tuple(columns.facts[column] for column in keep), holds_NM=columns.holds_NM[:, keep])
