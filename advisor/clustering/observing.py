"""What was seen of each run: facts, and pairs of facts, as columns of a table.

Which pairs are looked at is a list, not all that there are: each is one that a change of the configuration can
answer, and whatever else is looked at makes everything harder to prove.

Axis letters: N runs, M facts or pairs of facts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from inframind.advisor.cluster import OTHER_THAN, TraitName
from inframind.advisor.clustering.levels import Cuts, load_of, prompt_tokens_of
from inframind.advisor.failure import FailureKind, failure_of
from inframind.router.rules import SECONDS_PER_HOUR
from inframind.traces.records import SolvedKeys, Step, Trajectory, solved_of

Fact = tuple[TraitName, str]
Facts = tuple[Fact, ...]
"""One or more facts that hold together, in the order of `FEATURES`."""
Flags = NDArray[np.bool_]

FEATURES: tuple[TraitName, ...] = get_args(TraitName)
SYMPTOMS: tuple[TraitName, ...] = ("finish_reason", "error")
"""How something went wrong rather than why: never a cause."""
USUAL_ENDS = frozenset({"", "stop", "tool_calls"})
"""Reasons to finish that are no symptom."""
_OF_STEPS: tuple[TraitName, ...] = ("model", "endpoint", "strategy", "role", "finish_reason", "error")
_IN_ONE_STEP: tuple[tuple[TraitName, TraitName], ...] = (
    ("model", "strategy"),
    ("model", "role"),
    ("strategy", "role"),
    ("endpoint", "strategy"),
)
_IN_ONE_RUN: tuple[tuple[TraitName, TraitName], ...] = (
    ("model", "topology"),
    ("model", "domain"),
    ("model", "prompt_length"),
    ("model", "load"),
    ("model", "budget"),
    ("endpoint", "load"),
    ("strategy", "topology"),
    ("strategy", "domain"),
    ("strategy", "prompt_length"),
    ("strategy", "budget"),
    ("topology", "team_size"),
    ("topology", "domain"),
    ("topology", "prompt_length"),
    ("topology", "load"),
    ("topology", "budget"),
)
_EXCLUSIVE: tuple[TraitName, ...] = ("model", "strategy", "topology")
"""Of which one value may be the only good one: what a rule can keep to."""
_HOURS = 24
_LEAST_SEEN = 10
_Seen = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Facts, and which runs they hold for.

    Attributes:
        facts: of each column.
        holds_NM: whether they hold.
    """

    facts: tuple[Facts, ...]
    holds_NM: Flags = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Runs as a table, ordered by trace id, so that nothing depends on the order in which they come.

    Attributes:
        runs: the runs.
        kinds: how each failed, or None.
        judged_N: whether it is known that it was solved or not.
        hour_N: hour of arrival, UTC.
        singles: single facts, hours left out.
        pairs: pairs of facts, hours left out.
        others: that something in the run is of another model, strategy or topology than one.
        cuts: of what is told in levels.
    """

    runs: tuple[Trajectory, ...]
    kinds: tuple[FailureKind | None, ...]
    judged_N: Flags = field(repr=False)
    hour_N: NDArray[np.int64] = field(repr=False)
    singles: Columns
    pairs: Columns
    others: Columns
    cuts: dict[TraitName, Cuts]

    @property
    def ended_N(self) -> Flags:
        """Which ended, and were not cancelled before they could fail."""
        return np.array(
            [kind is not None or run.on_time for run, kind in zip(self.runs, self.kinds, strict=True)],
            dtype=np.bool_,
        )

    @property
    def fine_N(self) -> Flags:
        """Which ended in time, and were not judged wrong."""
        return np.array(
            [kind is None and run.on_time for run, kind in zip(self.runs, self.kinds, strict=True)],
            dtype=np.bool_,
        )

    def failed_as_N(self, kind: FailureKind) -> Flags:
        """Which failed so."""
        return np.array([each == kind for each in self.kinds], dtype=np.bool_)

    @property
    def failed(self) -> NDArray[np.int64]:
        """Indices of the runs that failed."""
        return np.array([n for n, kind in enumerate(self.kinds) if kind], dtype=np.int64)

    def holds_N(self, facts: Facts) -> Flags:
        """For which runs facts hold, each of the run as a whole where they are not observed together."""
        rest = tuple(fact for fact in facts if fact[0] != "hour_utc")
        hours = next((value for name, value in facts if name == "hour_utc"), None)
        holds_N = self._without_hours_N(rest)
        return holds_N & in_hours(self.hour_N, hours) if hours else holds_N

    def _without_hours_N(self, facts: Facts) -> Flags:
        for columns in (self.singles, self.others, self.pairs):
            if facts in columns.facts:
                return columns.holds_NM[:, columns.facts.index(facts)]
        holds_N = np.ones(len(self.runs), dtype=np.bool_)
        for fact in facts:
            holds_N &= self._single_N(fact)
        return holds_N

    def _single_N(self, fact: Fact) -> Flags:
        if (fact,) not in self.singles.facts:
            return np.zeros(len(self.runs), dtype=np.bool_)
        return self.singles.holds_NM[:, self.singles.facts.index((fact,))]


def observe(runs: Sequence[Trajectory], keys: SolvedKeys) -> Observed:
    """What was seen of each run; of a trace that comes twice, the last."""
    ordered = tuple(run for _, run in sorted({run.trace_id: run for run in runs}.items()))
    cuts = _cuts(ordered)
    of_runs, together = zip(*(_seen_of(run, cuts) for run in ordered), strict=True) if ordered else ((), ())
    singles = _columns(of_runs)
    return Observed(
        runs=ordered,
        kinds=tuple(failure_of(run, keys) for run in ordered),
        judged_N=np.array([solved_of(run.outcomes, keys) is not None for run in ordered], dtype=np.bool_),
        hour_N=np.array(
            [int(run.arrived_at_s // SECONDS_PER_HOUR) % _HOURS for run in ordered], dtype=np.int64
        ),
        singles=singles,
        pairs=joined(_columns(together), _crossed(singles)),
        others=_others(singles, of_runs),
        cuts=cuts,
    )


def hours_in(span: str) -> tuple[int, ...]:
    """The hours of a range as it is written: ``"22-6"`` are 22, 23, 0, 1, 2, 3, 4 and 5."""
    begin, end = (int(part) for part in span.split("-"))
    return tuple((begin + offset) % _HOURS for offset in range((end - begin - 1) % _HOURS + 1))


def in_hours(hour_N: NDArray[np.int64], span: str) -> Flags:
    """Which hours are in a range."""
    return np.isin(hour_N, hours_in(span))


def ordered_facts(facts: Iterator[Fact] | Sequence[Fact]) -> Facts:
    """Facts in the order of `FEATURES`."""
    return tuple(sorted(facts, key=lambda fact: (FEATURES.index(fact[0]), fact[1])))


# Reading runs ------------------------------------------------------------------------------------------


def _seen_of(run: Trajectory, cuts: dict[TraitName, Cuts]) -> tuple[set[Facts], set[Facts]]:
    """Single facts of a run, and pairs of facts that hold in one of its steps."""
    steps = {seen for step in run.steps for seen in _steps_seen(step)}
    singles: set[Facts] = {
        ((name, value),) for seen in steps for name, value in zip(_OF_STEPS, seen, strict=True) if value
    }
    singles |= {((name, value),) for name, value in _of_run(run, cuts) if value}
    return singles, set(chain.from_iterable(map(_pairs_of, steps)))


def _steps_seen(step: Step) -> Iterator[_Seen]:
    """The step as it ended, and each of its attempts that failed."""
    model = (step.served_model or step.model) if step.attempts else step.model
    yield (model, step.endpoint, step.strategy, step.role, step.finish_reason, step.error)
    for attempt in step.attempts:
        yield (attempt.model, attempt.endpoint, step.strategy, step.role, "", attempt.error)


def _pairs_of(seen: _Seen) -> list[Facts]:
    values = dict(zip(_OF_STEPS, seen, strict=True))
    return [
        ((left, values[left]), (right, values[right]))
        for left, right in _IN_ONE_STEP
        if values[left] and values[right]
    ]


def _of_run(run: Trajectory, cuts: dict[TraitName, Cuts]) -> Iterator[Fact]:
    yield "topology", run.topology
    yield "team_size", str(len(run.team)) if run.team else ""
    yield "domain", run.domain
    yield "error", run.error
    for name, number in _numbers(run):
        if number is not None and name in cuts:
            yield name, cuts[name].level(number)


def _numbers(run: Trajectory) -> tuple[tuple[TraitName, float | None], ...]:
    return ("prompt_length", prompt_tokens_of(run)), ("load", load_of(run)), ("budget", run.budget_s)


def _cuts(runs: Sequence[Trajectory]) -> dict[TraitName, Cuts]:
    numbers: dict[TraitName, list[float]] = {}
    for run in runs:
        for name, number in _numbers(run):
            if number is not None:
                numbers.setdefault(name, []).append(number)
    return {name: Cuts.of(values) for name, values in numbers.items()}


# Columns -----------------------------------------------------------------------------------------------


def _columns(seen: Sequence[set[Facts]]) -> Columns:
    """A column for each of the facts, in their own order; what hardly any run has is left out."""
    counts: dict[Facts, int] = {}
    for facts in chain.from_iterable(seen):
        counts[facts] = counts.get(facts, 0) + 1
    kept = sorted((facts for facts, count in counts.items() if count >= _LEAST_SEEN), key=_order)
    index = {facts: column for column, facts in enumerate(kept)}
    holds_NM = np.zeros((len(seen), len(kept)), dtype=np.bool_, order="F")
    for row, of_run in enumerate(seen):
        holds_NM[row, [index[facts] for facts in of_run if facts in index]] = True
    return Columns(facts=tuple(kept), holds_NM=holds_NM)


def _crossed(singles: Columns) -> Columns:
    """Pairs of which one fact is of the run as a whole."""
    by_name: dict[TraitName, list[int]] = {}
    for column, facts in enumerate(singles.facts):
        by_name.setdefault(facts[0][0], []).append(column)
    found = [
        (singles.facts[left] + singles.facts[right], singles.holds_NM[:, left] & singles.holds_NM[:, right])
        for a, b in _IN_ONE_RUN
        for left in by_name.get(a, ())
        for right in by_name.get(b, ())
    ]
    kept = [(facts, holds_N) for facts, holds_N in found if holds_N.sum() >= _LEAST_SEEN]
    runs = len(singles.holds_NM)
    return Columns(
        facts=tuple(facts for facts, _ in kept),
        holds_NM=np.array([holds_N for _, holds_N in kept], dtype=np.bool_).reshape(len(kept), runs).T,
    )


def _others(singles: Columns, of_runs: Sequence[set[Facts]]) -> Columns:
    """For each value that could be the only good one: the runs that have any other, whatever else they have."""
    values_of = {
        name: np.array([sum(facts[0][0] == name for facts in seen) for seen in of_runs])
        for name in _EXCLUSIVE
    }
    columns = [column for column, facts in enumerate(singles.facts) if facts[0][0] in _EXCLUSIVE]
    facts = [singles.facts[column][0] for column in columns]
    holds_NM = np.zeros((len(of_runs), len(columns)), dtype=np.bool_, order="F")
    for place, ((name, _), column) in enumerate(zip(facts, columns, strict=True)):
        holds_NM[:, place] = values_of[name] > singles.holds_NM[:, column]
    return Columns(facts=tuple(((name, OTHER_THAN + value),) for name, value in facts), holds_NM=holds_NM)


def joined(left: Columns, right: Columns) -> Columns:
    """Columns of the same runs, side by side."""
    return Columns(
        facts=left.facts + right.facts, holds_NM=np.concatenate([left.holds_NM, right.holds_NM], axis=1)
    )


def _order(facts: Facts) -> list[tuple[int, str]]:
    return [(FEATURES.index(name), value) for name, value in facts]
