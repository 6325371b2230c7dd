"""Plays contenders over a recorded table: the same splits, budgets and masks for all, learning on train alone.

S = seeds, Q = questions of the table, A = arms, K = knob settings of one contender.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inframind.arena.replay.columns import ColumnMap
from inframind.arena.replay.contenders import (
    ABSTAIN,
    LAMBDAS,
    Always,
    Answered,
    AnyContender,
    BestConstant,
    BestPerStratum,
    Cheapest,
    Mixture,
    ReplayContender,
    SequentialContender,
    Uniform,
    best_arms,
    cost_unit,
    net_value,
)
from inframind.arena.replay.desk import Desk
from inframind.arena.replay.environment import Environment, ReplayOptions, Round
from inframind.arena.replay.knn import JustEnough, Knn
from inframind.arena.replay.learned import Learned
from inframind.arena.replay.named import contenders_named
from inframind.arena.replay.results import ReplayResult
from inframind.arena.replay.scores import Play, World, standings
from inframind.arena.replay.table import ReplayTable
from inframind.errors import ConfigError

__all__ = ["ReplayOptions", "known_contenders", "replay", "replay_file", "standard_contenders"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def standard_contenders(table: ReplayTable, options: ReplayOptions) -> tuple[AnyContender, ...]:
    """Everyone that the table allows: those that weigh cost need a cost, those that compare questions a vector.

    Every constant arm is one of them; the best constant arm and the oracle are always played and not listed here.

    Raises:
        ConfigError: the cost is not recorded, or the table leaves nothing to choose.
    """
    return _standard(Environment.of(table, options))


def known_contenders(table: ReplayTable, options: ReplayOptions) -> tuple[AnyContender, ...]:
    """`standard_contenders`, and those that take their time and so are played by name only.

    Raises:
        ConfigError: the cost is not recorded, or the table leaves nothing to choose.
    """
    environment = Environment.of(table, options)
    learners = () if environment.cost is None else (Learned(),)
    return (*_standard(environment), *learners)


def replay(
    table: ReplayTable,
    contenders: Sequence[AnyContender] | None = None,
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
    environment = Environment.of(table, options)
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
    known = known_contenders(table, options or ReplayOptions())
    return replay(table, contenders_named(contenders, known), options)


def _standard(environment: Environment) -> tuple[AnyContender, ...]:
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


_Player = AnyContender | _Oracle


def _refuse_namesakes(players: Sequence[_Player]) -> None:
    for name, count in Counter(player.name for player in players).items():
        if count > 1:
            raise ConfigError("contenders", name, "give each contender a name of its own")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a contender chose in one round, and what it came to.

    Attributes:
        chosen: arms whose answers count (K, Q), `ABSTAIN` for none.
        cost: of all that was asked (K, Q), 0 when nothing has a cost.
        seconds: of all that was asked, one after the other (K, Q), 0 when time does not count.
    """

    chosen: Ints
    cost: Floats
    seconds: Floats


def play_round(player: AnyContender, one: Round) -> Choices:
    """Let a contender learn from the training questions of a round, and choose on the others.

    Raises:
        ValueError: it chose what is not recorded, or what it did not pay for.
    """
    rng = np.random.default_rng([one.seed, zlib.crc32(player.name.encode())])
    desk = Desk(len(player.knobs), one.test.replies, one.test.asked.allowed)
    if isinstance(player, SequentialContender):
        chosen = player.learn(one.train, rng)(one.test.asked, desk, rng)
        _check(player, chosen, one.test.asked.allowed)
        _check_paid(player, chosen, desk)
    else:
        chosen = player.fit(one.train, rng)(one.test.asked, rng)
        _check(player, chosen, one.test.asked.allowed)
        desk.buy_chosen(chosen)
    return _choices(one, chosen, desk)


def _choices(one: Round, chosen: Ints, desk: Desk) -> Choices:
    return Choices(chosen=chosen, cost=desk.total(one.test.cost), seconds=desk.total(one.test.seconds))


def _play(player: _Player, environment: Environment, rounds: Sequence[Round]) -> Play:
    shape = len(player.knobs), len(rounds), len(environment.allowed)
    chosen, cost, seconds = np.full(shape, ABSTAIN), np.zeros(shape), np.zeros(shape)
    for index, one in enumerate(rounds):
        choices = _oracle_round(player, one) if isinstance(player, _Oracle) else play_round(player, one)
        chosen[:, index, one.test_rows] = choices.chosen
        cost[:, index, one.test_rows] = choices.cost
        seconds[:, index, one.test_rows] = choices.seconds
    return Play(
        name=player.name,
        knobs=player.knobs,
        chosen=chosen,
        cost=None if environment.cost is None else cost,
        seconds=None if environment.seconds is None else seconds,
    )


def _oracle_round(oracle: _Oracle, one: Round) -> Choices:
    chosen = oracle.choose(one.test)
    desk = Desk(len(oracle.knobs), one.test.replies, one.test.asked.allowed)
    desk.buy_chosen(chosen)
    return _choices(one, chosen, desk)


def _check_paid(player: SequentialContender, chosen: Ints, desk: Desk) -> None:
    knobs, questions = np.nonzero(chosen != ABSTAIN)
    if not desk.bought[knobs, questions, chosen[knobs, questions]].all():
        raise ValueError(f"{player.name} answered with a reply that it did not buy: buy it at the desk")


def _check(player: AnyContender, chosen: Ints, allowed: Bools) -> None:
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


def _world(environment: Environment, rounds: Sequence[Round]) -> World:
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
