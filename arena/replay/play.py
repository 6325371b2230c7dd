"""Plays contenders over a recorded table: the same splits, budgets and masks for all, learning on train alone.

S = seeds, Q = questions of the table, A = arms, K = knob settings of one contender.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inframind.arena.replay.columns import ColumnMap
from inframind.arena.replay.contenders import (
    ABSTAIN,
    LAMBDAS,
    Always,
    Answered,
    Asked,
    BestConstant,
    BestPerStratum,
    Cheapest,
    Mixture,
    ReplayContender,
    Uniform,
    best_arms,
    cost_unit,
    net_value,
)
from inframind.arena.replay.knn import JustEnough, Knn
from inframind.arena.replay.named import contenders_named
from inframind.arena.replay.results import ReplayResult
from inframind.arena.replay.scores import Play, World, standings
from inframind.arena.replay.table import ReplayTable
from inframind.arena.replay.text_features import context_vectors, text_vectors
from inframind.arena.workload import Budgets, LogUniform
from inframind.errors import ConfigError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

DEFAULT_BUDGETS = LogUniform(5, 300)
_SPLIT, _BUDGETS = 1, 2
"""Streams of chance of a seed; those of contenders are named by their checksums."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """How a table is replayed.

    Raises:
        ConfigError: an option is out of range.
    """

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """One split into training and test questions, and one draw of budgets, each."""
    train_share: float = 0.5
    """Share of the questions of each stratum to learn from."""
    cost: str | None = None
    """``cost``, ``seconds``, ``tokens`` or ``none``; None takes what most outcomes come with."""
    budgets: Budgets | None = DEFAULT_BUDGETS
    """Of the questions, where the table records seconds; None lets time not count."""
    targets: tuple[float, ...] = (0.02, 0.05)
    """How far below the best constant arm, in the goal, to ask for the least cost."""
    resamples: int = 400
    """Bootstrap resamples per interval."""

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ConfigError("seeds", self.seeds, "give one or more different whole numbers from 0 on")
        if not 0 < self.train_share < 1:
            raise ConfigError("train_share", self.train_share, "give a share between 0 and 1, such as 0.5")
        if not all(0 <= target < 1 for target in self.targets):
            raise ConfigError("targets", self.targets, "give shares from 0 up to 1, such as 0.02")
        if self.resamples < 1:
            raise ConfigError("resamples", self.resamples, "give at least 1; 400 are a good start")


def standard_contenders(table: ReplayTable, options: ReplayOptions) -> tuple[ReplayContender, ...]:
    """Everyone that the table allows: those that weigh cost need a cost, those that compare questions a vector.

    Every constant arm is one of them; the best constant arm and the oracle are always played and not listed here.

    Raises:
        ConfigError: the cost is not recorded, or the table leaves nothing to choose.
    """
    return _standard(_Environment.of(table, options))


def replay(
    table: ReplayTable,
    contenders: Sequence[ReplayContender] | None = None,
    options: ReplayOptions | None = None,
) -> ReplayResult:
    """Let contenders choose among recorded answers, and say what came of it.

    A pair of question and arm may be chosen when its outcome is recorded together with the kind of cost that is
    asked for and, with budgets, its seconds. The same seeds give the same result.

    Args:
        table: recorded answers.
        contenders: who takes part beside the best constant arm and the oracle; None takes `standard_contenders`.
        options: how; None takes the defaults.

    Raises:
        ConfigError: two contenders share a name, the cost is not recorded, or the table leaves nothing to choose.
    """
    options = options or ReplayOptions()
    environment = _Environment.of(table, options)
    chosen = _standard(environment) if contenders is None else contenders
    players: list[_Player] = [BestConstant(), *chosen, _Oracle()]
    _refuse_namesakes(players)
    rounds = [environment.draw(seed, options) for seed in options.seeds]
    plays = [_play(player, environment, rounds) for player in players]
    return ReplayResult(
        table=table.name,
        questions=len(environment.table.question_ids),
        arms=environment.table.arms,
        left_out=tuple(arm for arm in table.arms if arm not in environment.table.arms),
        recorded=float(environment.allowed.mean()),
        cost=environment.cost_kind,
        goal="quality" if environment.seconds is None else "on_time_success",
        seeds=options.seeds,
        train_share=options.train_share,
        standings=standings(_world(environment, rounds), plays, options.targets, options.resamples),
    )


def replay_file(
    path: Path,
    *,
    columns: ColumnMap | None = None,
    strata: Sequence[str] = (),
    price_per_token: Mapping[str, float] | None = None,
    contenders: Sequence[str] = (),
    options: ReplayOptions | None = None,
) -> ReplayResult:
    """Read a recorded table and replay it.

    Args:
        path: ``.parquet``, ``.csv`` or ``.csv.gz``, one row per question and arm.
        columns: what the columns mean; None goes by their names.
        strata: benchmarks to play; empty plays all that the table holds.
        price_per_token: by arm or model; makes ``cost`` of the tokens.
        contenders: as for `contenders_named`; empty takes `standard_contenders`.
        options: how to replay; None takes the defaults.

    Raises:
        ConfigError, InvalidItems: an option, or the file, is wrong.
    """
    table = ReplayTable.read(path, columns)
    if strata:
        table = table.select(strata)
    if price_per_token:
        table = table.priced(price_per_token)
    if not contenders:
        return replay(table, options=options)
    standard = standard_contenders(table, options or ReplayOptions())
    return replay(table, contenders_named(contenders, standard), options)


@dataclass(frozen=True, slots=True)
class _Round:
    """One seed: who is asked what.

    Attributes:
        seed: of the split and the budgets.
        train: the questions to learn from.
        test: the others.
        test_rows: their indices in the table.
        budgets_s: of all questions (Q); None when time does not count.
    """

    seed: int
    train: Answered
    test: Answered
    test_rows: Ints
    budgets_s: Floats | None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Environment:
    """The part of a table that can be played.

    Attributes:
        table: without the questions and arms that have nothing to choose.
        allowed: what may be chosen (Q, A).
        cost_kind: kind of cost.
        cost: (Q, A); None when nothing has a cost.
        seconds: (Q, A); None when time does not count.
    """

    table: ReplayTable
    allowed: Bools
    cost_kind: str
    cost: Floats | None
    seconds: Floats | None

    @classmethod
    def of(cls, table: ReplayTable, options: ReplayOptions) -> _Environment:
        """What may be chosen, by the options.

        Raises:
            ConfigError: the cost is not recorded, or there is nothing left to choose or to split.
        """
        kind = options.cost or table.best_cost()
        cost = table.costs(kind)
        seconds = table.seconds if options.budgets is not None else None
        allowed = table.recorded
        for needed in (cost, seconds):
            if needed is not None:
                allowed = allowed & ~np.isnan(needed)
        questions, arms = np.flatnonzero(allowed.any(axis=1)), np.flatnonzero(allowed.any(axis=0))
        if len(questions) < 2 or len(arms) < 2:
            raise ConfigError(
                "table",
                table.name,
                f"record at least 2 questions and 2 arms with their {kind}, or choose another cost",
            )
        cells = np.ix_(questions, arms)
        return cls(
            table=table.take(questions, arms),
            allowed=allowed[cells],
            cost_kind=kind,
            cost=None if cost is None else cost[cells],
            seconds=None if seconds is None else seconds[cells],
        )

    @cached_property
    def _text_vectors(self) -> NDArray[np.float32] | None:
        """The questions' texts as numbers (Q, D); None without texts."""
        return text_vectors(self.table)

    @property
    def has_vectors(self) -> bool:
        """Whether questions can be compared."""
        return bool(self.vectors(np.arange(len(self.table.question_ids))).shape[1] > 0)

    def vectors(self, train: Ints) -> NDArray[np.float32]:
        """The questions as numbers (Q, D), on scales that the training questions set."""
        return context_vectors(self.table, train) if self._text_vectors is None else self._text_vectors

    def draw(self, seed: int, options: ReplayOptions) -> _Round:
        """Split the questions, stratum by stratum, and draw their budgets."""
        n = len(self.table.question_ids)
        train = _stratified(self.table.strata, options.train_share, np.random.default_rng([seed, _SPLIT]))
        budgets_s = None
        if self.seconds is not None and options.budgets is not None:
            budgets_s = options.budgets.draw(n, np.random.default_rng([seed, _BUDGETS]))
        test = np.setdiff1d(np.arange(n), train)
        answered = self._answered(budgets_s, self.vectors(train))
        return _Round(seed, answered.take(train), answered.take(test), test, budgets_s)

    def _answered(self, budgets_s: Floats | None, vectors: NDArray[np.float32]) -> Answered:
        """All questions with what came of them; nothing shows where a choice is not allowed."""

        def shown(matrix: Floats) -> Floats:
            return np.where(self.allowed, matrix, np.nan)

        return Answered(
            asked=Asked(
                question_ids=self.table.question_ids,
                questions=self.table.questions,
                strata=self.table.strata,
                arms=self.table.arms,
                vectors=vectors,
                context=self.table.context,
                allowed=self.allowed,
                budgets_s=budgets_s,
            ),
            quality=shown(self.table.quality),
            cost=None if self.cost is None else shown(self.cost),
            seconds=None if self.seconds is None else shown(self.seconds),
        )


def _stratified(strata: Sequence[str], share: float, rng: np.random.Generator) -> Ints:
    """Indices of that share of each stratum, as near as whole questions come; neither none nor all of them."""
    labels = np.array(strata)
    parts = [rng.permutation(np.flatnonzero(labels == stratum)) for stratum in sorted(set(strata))]
    ends = np.rint(np.cumsum([len(part) for part in parts]) * share).astype(np.int64)
    ends[-1] = np.clip(ends[-1], 1, len(labels) - 1)
    sizes = np.diff(ends, prepend=0)
    return np.sort(np.concatenate([part[:size] for part, size in zip(parts, sizes, strict=True)]))


def _standard(environment: _Environment) -> tuple[ReplayContender, ...]:
    has_cost = environment.cost is not None
    thrifty: tuple[ReplayContender, ...] = (Cheapest(), Mixture()) if has_cost else ()
    readers: tuple[ReplayContender, ...] = ()
    if environment.has_vectors:
        readers = (Knn(), JustEnough()) if has_cost else (Knn(knobs=LAMBDAS[:1]),)
    sorters = (BestPerStratum(),) if len(set(environment.table.strata)) > 1 else ()
    return (Uniform(), *thrifty, *sorters, *readers, *map(Always, environment.table.arms))


@dataclass(frozen=True, slots=True)
class _Oracle:
    """Knows what will come of every arm: no contender, since it learns from what it is judged by."""

    name: str = "oracle"
    knobs: tuple[float, ...] = LAMBDAS

    def choose(self, test: Answered) -> Ints:
        unit = cost_unit(test)
        return np.stack(
            [
                best_arms(net_value(test.value, test.cost, price, unit), test.asked.allowed)
                for price in self.knobs
            ]
        )


_Player = ReplayContender | _Oracle


def _refuse_namesakes(players: Sequence[_Player]) -> None:
    for name, count in Counter(player.name for player in players).items():
        if count > 1:
            raise ConfigError("contenders", name, "give each contender a name of its own")


def _play(player: _Player, environment: _Environment, rounds: Sequence[_Round]) -> Play:
    chosen = np.full((len(player.knobs), len(rounds), len(environment.allowed)), ABSTAIN)
    for index, one in enumerate(rounds):
        chosen[:, index, one.test_rows] = _choices(player, one)
    return Play(name=player.name, knobs=player.knobs, chosen=chosen)


def _choices(player: _Player, one: _Round) -> Ints:
    if isinstance(player, _Oracle):
        return player.choose(one.test)
    rng = np.random.default_rng([one.seed, zlib.crc32(player.name.encode())])
    chosen = player.fit(one.train, rng)(one.test.asked, rng)
    _check(player, chosen, one.test.asked.allowed)
    return chosen


def _check(player: ReplayContender, chosen: Ints, allowed: Bools) -> None:
    wanted = len(player.knobs), len(allowed)
    if chosen.shape != wanted:
        raise ValueError(
            f"{player.name} chose arms of shape {chosen.shape}: give one per knob and question, {wanted}"
        )
    arms = allowed.shape[1]
    is_arm = (chosen >= 0) & (chosen < arms)
    legal = (chosen == ABSTAIN) | (is_arm & allowed[np.arange(len(allowed)), np.clip(chosen, 0, arms - 1)])
    if not legal.all():
        knob, question = np.argwhere(~legal)[0]
        raise ValueError(
            f"{player.name} chose arm {chosen[knob, question]} for question {question}, which is not recorded: "
            f"choose where asked.allowed is true, or {ABSTAIN}"
        )


def _world(environment: _Environment, rounds: Sequence[_Round]) -> World:
    asked = np.zeros((len(rounds), len(environment.allowed)), dtype=bool)
    for index, one in enumerate(rounds):
        asked[index, one.test_rows] = True
    budgets = [one.budgets_s for one in rounds if one.budgets_s is not None]
    return World(
        arms=environment.table.arms,
        strata=environment.table.strata,
        quality=environment.table.quality,
        allowed=environment.allowed,
        cost=environment.cost,
        seconds=environment.seconds,
        asked=asked,
        budgets_s=np.stack(budgets) if budgets else None,
    )
