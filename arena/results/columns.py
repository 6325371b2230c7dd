"""The episodes of an evaluation as arrays, built once; every figure comes from them.

Axes: C = contenders, N = offered questions of all workloads, S = seeds, R = rates, T = budget tiers,
L = labels (models, strategies or topologies). All contenders met the same N questions, in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from inframind.arena.results.episodes import Call, Episode
from inframind.arena.results.statistics import idle_shares
from inframind.arena.results.tables import Evaluation, LoadSample, Run
from inframind.errors import ConfigError

TIER_EDGES_S = (10.0, 30.0, 80.0)
"""Budgets are reported in four tiers; an edge belongs to the tier above it."""
TIERS = ("under 10 s", "10 to 30 s", "30 to 80 s", "80 s or more")

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelCounts:
    """How often each label was chosen.

    Attributes:
        labels: the labels (L), in the order in which they were first met.
        counts_CRTL: how often.
    """

    labels: tuple[str, ...]
    counts_CRTL: Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """All episodes, by contender and question.

    Attributes:
        contenders: names, in the order of the runs.
        families: their families.
        seeds: ascending.
        rates_per_min: ascending.
        seed_N: index into ``seeds``.
        rate_N: index into ``rates_per_min``.
        tier_N: index into ``TIERS``.
        cell_N: number of the pair (seed, question): the unit that a bootstrap resamples.
        solved_CN: there was a right answer, in time or not.
        in_time_CN: there was an answer within the budget.
        answered_CN: there was an answer.
        latency_s_CN: seconds from the planned arrival to the answer or error.
        tokens_CN: output tokens of all calls.
        models: calls per model.
        strategies: calls per strategy.
        topologies: episodes per topology, of those that have one.
        idle_sum_CSR: sum of the shares of free slots, over the instants at which any endpoint had a queue.
        idle_instants_CSR: number of these instants.
    """

    contenders: tuple[str, ...]
    families: tuple[str, ...]
    seeds: tuple[int, ...]
    rates_per_min: tuple[float, ...]
    seed_N: Ints
    rate_N: Ints
    tier_N: Ints
    cell_N: Ints
    solved_CN: Bools
    in_time_CN: Bools
    answered_CN: Bools
    latency_s_CN: Floats
    tokens_CN: Ints
    models: LabelCounts
    strategies: LabelCounts
    topologies: LabelCounts
    idle_sum_CSR: Floats
    idle_instants_CSR: Ints


def build_columns(evaluation: Evaluation) -> Columns:
    """Turn episodes into arrays.

    Raises:
        ConfigError: two contenders were not asked the same questions with the same budgets in some workload.
    """
    rows = _ordered(evaluation.runs)
    _need_same_questions(rows)
    first = rows[0]
    seeds = tuple(sorted({run.seed for run in first}))
    rates = tuple(sorted({run.rate_per_min for run in first}))
    sizes = [len(run.episodes) for run in first]
    seed_N = np.repeat([seeds.index(run.seed) for run in first], sizes)
    rate_N = np.repeat([rates.index(run.rate_per_min) for run in first], sizes)
    budget_s_N = _row(first, attrgetter("budget_s"), np.float64)
    tier_N = np.searchsorted(TIER_EDGES_S, budget_s_N, side="right")
    group_N = rate_N * len(TIERS) + tier_N
    grid = (len(rates), len(TIERS))
    idle_sum, idle_instants = _idle(rows, seeds, rates)
    return Columns(
        contenders=tuple(row[0].contender for row in rows),
        families=tuple(row[0].family for row in rows),
        seeds=seeds,
        rates_per_min=rates,
        seed_N=seed_N,
        rate_N=rate_N,
        tier_N=tier_N,
        cell_N=_cells(first, seed_N),
        solved_CN=_matrix(rows, attrgetter("solved"), np.bool_),
        in_time_CN=_matrix(rows, attrgetter("is_on_time"), np.bool_),
        answered_CN=_matrix(rows, attrgetter("is_answered"), np.bool_),
        latency_s_CN=_matrix(rows, attrgetter("latency_s"), np.float64),
        tokens_CN=_matrix(rows, attrgetter("completion_tokens"), np.int64),
        models=_count_calls(rows, attrgetter("model"), group_N, grid),
        strategies=_count_calls(rows, attrgetter("strategy"), group_N, grid),
        topologies=_count_topologies(rows, group_N, grid),
        idle_sum_CSR=idle_sum,
        idle_instants_CSR=idle_instants,
    )


def _ordered(runs: Sequence[Run]) -> list[list[Run]]:
    """One row of runs per contender, each in the order of (rate, seed)."""
    rows: dict[str, list[Run]] = {}
    for run in runs:
        rows.setdefault(run.contender, []).append(run)
    return [sorted(row, key=lambda run: (run.rate_per_min, run.seed)) for row in rows.values()]


def _need_same_questions(rows: Sequence[Sequence[Run]]) -> None:
    asked = attrgetter("index", "item_id", "budget_s")
    reference = [list(map(asked, run.episodes)) for run in rows[0]]
    for run, expected in ((run, reference[i]) for row in rows[1:] for i, run in enumerate(row)):
        if list(map(asked, run.episodes)) != expected:
            raise ConfigError(
                "episodes",
                run.contender,
                f"offer it the same questions and budgets as {rows[0][0].contender!r}: they differ at seed "
                f"{run.seed}, {run.rate_per_min:g} per minute",
            )


def _episodes(row: Sequence[Run]) -> Iterator[Episode]:
    return chain.from_iterable(run.episodes for run in row)


def _row(row: Sequence[Run], read: Callable[[Episode], Any], dtype: type[Scalar]) -> NDArray[Scalar]:
    return np.fromiter(map(read, _episodes(row)), dtype, count=sum(len(run.episodes) for run in row))


def _matrix(
    rows: Sequence[Sequence[Run]], read: Callable[[Episode], Any], dtype: type[Scalar]
) -> NDArray[Scalar]:
    return np.stack([_row(row, read, dtype) for row in rows])


def _cells(row: Sequence[Run], seed_N: Ints) -> Ints:
    items: dict[str, int] = {}
    item_N = _codes((episode.item_id for episode in _episodes(row)), items)
    return np.asarray(np.unique(seed_N * len(items) + item_N, return_inverse=True)[1], np.int64)


def _codes(names: Iterable[str], known: dict[str, int]) -> Ints:
    """Number of each name; names that are new get the next one."""
    return np.fromiter((known.setdefault(name, len(known)) for name in names), np.int64)


def _count_calls(
    rows: Sequence[Sequence[Run]], read: Callable[[Call], str], group_N: Ints, grid: tuple[int, int]
) -> LabelCounts:
    known: dict[str, int] = {}
    codes, groups = [], []
    for row in rows:
        calls = chain.from_iterable(episode.calls for episode in _episodes(row))
        codes.append(_codes(map(read, calls), known))
        groups.append(np.repeat(group_N, _row(row, lambda episode: len(episode.calls), np.int64)))
    return _label_counts(known, codes, groups, grid)


def _count_topologies(rows: Sequence[Sequence[Run]], group_N: Ints, grid: tuple[int, int]) -> LabelCounts:
    known: dict[str, int] = {}
    codes, groups = [], []
    for row in rows:
        is_named = _row(row, lambda episode: bool(episode.topology), np.bool_)
        codes.append(_codes((name for e in _episodes(row) if (name := e.topology)), known))
        groups.append(group_N[is_named])
    return _label_counts(known, codes, groups, grid)


def _label_counts(
    known: dict[str, int], codes: Sequence[Ints], groups: Sequence[Ints], grid: tuple[int, int]
) -> LabelCounts:
    width = len(known)
    size = grid[0] * grid[1] * width
    counts = [
        np.bincount(group * width + code, minlength=size) for code, group in zip(codes, groups, strict=True)
    ]
    return LabelCounts(labels=tuple(known), counts_CRTL=np.stack(counts).reshape(len(codes), *grid, width))


def _idle(rows: Sequence[Sequence[Run]], seeds: Sequence[int], rates: Sequence[float]) -> tuple[Floats, Ints]:
    total = np.zeros((len(rows), len(seeds), len(rates)))
    instants = np.zeros(total.shape, np.int64)
    for c, row in enumerate(rows):
        for run in row:
            at = (c, seeds.index(run.seed), rates.index(run.rate_per_min))
            shares = idle_shares(*load_arrays(run.timeline))
            total[at], instants[at] = shares.sum(), len(shares)
    return total, instants


def load_arrays(timeline: Sequence[LoadSample]) -> tuple[Floats, Ints, Ints, Ints]:
    """Instants in seconds, running, waiting and slots of each sample."""
    count = len(timeline)
    t_s = np.fromiter((sample.t_s for sample in timeline), np.float64, count)
    running, waiting, slots = (
        np.fromiter(map(attrgetter(name), timeline), np.int64, count)
        for name in ("running", "waiting", "slots")
    )
    return t_s, running, waiting, slots
