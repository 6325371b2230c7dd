"""From choices to figures: means, paired differences and their intervals, by resampling questions and seeds.

K = knob settings of one contender, S = seeds, Q = questions of the table, A = arms, B = resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframind.arena.replay.contenders import mean_costs
from inframind.arena.replay.front import Front
from inframind.arena.replay.results import Estimate, FrontFigures, Score, Standing
from inframind.arena.results.episodes import shares

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

ROOM = 1.5
"""The best constant arm must cost this many times the cheapest for an area between the two to say anything."""
_BOOTSTRAP_SEED = 20_241
"""Intervals are figures, not chance of the replay: one stream for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is true of the questions and arms that took part.

    Attributes:
        arms: names (A).
        strata: (Q).
        quality: (Q, A).
        allowed: (Q, A).
        cost: (Q, A), or None.
        seconds: (Q, A), or None.
        asked: whether a question was a test question of a seed (S, Q).
        budgets_s: (S, Q), or None.
    """

    arms: tuple[str, ...]
    strata: tuple[str, ...]
    quality: Floats
    allowed: Bools
    cost: Floats | None
    seconds: Floats | None
    asked: Bools
    budgets_s: Floats | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What a contender chose.

    Attributes:
        name: whose.
        knobs: settings (K).
        chosen: arms whose answers count (K, S, Q), -1 where it did not choose or was not asked.
        cost: of all that was asked (K, S, Q); None when nothing has a cost.
        seconds: of all that was asked, one after the other (K, S, Q); None when time does not count.
    """

    name: str
    knobs: tuple[float, ...]
    chosen: Ints
    cost: Floats | None
    seconds: Floats | None


def standings(
    world: World, plays: Sequence[Play], targets: Sequence[float], resamples: int
) -> tuple[Standing, ...]:
    """Score every contender; the first is the best constant arm, which the others are compared with."""
    judge = _Judge(
        world=world,
        resampler=_Resampler.draw(world.asked.shape, resamples),
        best=_Outcome.of(world, plays[0]),
        most=_best_possible(world),
    )
    scores = [judge.scores(play) for play in plays]
    yardstick = _Yardstick.of(world, scores[0][0], targets)
    return tuple(
        Standing(
            name=play.name,
            scores=of_play,
            front=yardstick.figures(of_play) if yardstick and len(of_play) > 1 else None,
        )
        for play, of_play in zip(plays, scores, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of choices (K, S, Q); 0 where nothing was chosen."""

    chose: Bools
    quality: Floats
    on_time: Bools
    goal: Floats

    @classmethod
    def of(cls, world: World, play: Play) -> _Outcome:
        chosen = play.chosen
        chose = chosen >= 0
        quality = np.where(chose, _pick(world.quality, chosen), 0.0)
        on_time = chose.copy()
        if play.seconds is not None and world.budgets_s is not None:
            on_time &= play.seconds <= world.budgets_s
        return cls(chose, quality, on_time, np.where(on_time, quality, 0.0))


def _pick(matrix: Floats, chosen: Ints) -> Floats:
    """The chosen cells of (Q, A) as (K, S, Q); anything where nothing was chosen."""
    return matrix[np.arange(len(matrix)), chosen]


def _best_possible(world: World) -> Floats:
    """The most that any choice would have brought (S, Q)."""
    value = np.where(world.allowed, world.quality, -np.inf)
    if world.seconds is None or world.budgets_s is None:
        return np.broadcast_to(value.max(axis=1), world.asked.shape)
    late = world.allowed & (world.seconds > world.budgets_s[:, :, None])
    most: Floats = np.where(late, 0.0, value).max(axis=2)
    return most


@dataclass(frozen=True, slots=True)
class _Judge:
    world: World
    resampler: _Resampler
    best: _Outcome
    most: Floats

    def scores(self, play: Play) -> tuple[Score, ...]:
        outcome = _Outcome.of(self.world, play)
        took = play.seconds
        chose, timed = outcome.chose, self.world.budgets_s is not None
        mean = self.resampler.means
        none: list[Estimate | None] = [None] * len(play.knobs)
        quality = mean(outcome.quality, chose)
        on_time_success = mean(outcome.goal, chose) if timed else none
        slo_attainment = mean(outcome.on_time, chose) if timed else none
        cost = none if play.cost is None else mean(play.cost, chose)
        regret = mean(self.most - outcome.goal, chose)
        versus_best = mean(outcome.goal - self.best.goal, chose & self.best.chose)
        seconds = [np.empty(0) if took is None else took[index][chose[index]] for index in range(len(chose))]
        return tuple(
            Score(
                knob=knob,
                coverage=float(chose[index].sum() / self.world.asked.sum()),
                quality=quality[index],
                on_time_success=on_time_success[index],
                slo_attainment=slo_attainment[index],
                cost=cost[index],
                latency_mean_s=float(seconds[index].mean()) if seconds[index].size else None,
                latency_p95_s=float(np.quantile(seconds[index], 0.95)) if seconds[index].size else None,
                regret=regret[index],
                versus_best=versus_best[index],
                shares=shares([self.world.arms[arm] for arm in play.chosen[index][chose[index]]]),
                by_stratum=self._by_stratum(outcome.goal[index], chose[index]),
            )
            for index, knob in enumerate(play.knobs)
        )

    def _by_stratum(self, goal: Floats, chose: Bools) -> Mapping[str, float]:
        strata = np.array(self.world.strata)
        inside = {stratum: chose & (strata == stratum) for stratum in sorted(set(self.world.strata))}
        return {stratum: float(goal[cells].mean()) for stratum, cells in inside.items() if cells.any()}


@dataclass(frozen=True, slots=True)
class _Resampler:
    """How often each question (B, Q) and each seed (B, S) is drawn in each resample.

    Questions are drawn as wholes, with all the seeds that tested them, since answers to one question are not
    independent.
    """

    questions: Floats
    seeds: Floats

    @classmethod
    def draw(cls, shape: tuple[int, ...], resamples: int) -> _Resampler:
        rng = np.random.default_rng(_BOOTSTRAP_SEED)
        n_seeds, n_questions = shape
        return cls(_counts(n_questions, resamples, rng), _counts(n_seeds, resamples, rng))

    def means(self, values: Floats | Bools, counted: Bools) -> list[Estimate | None]:
        """Mean of the counted values of each knob, (K, S, Q) to K; None where nothing is counted."""
        total = self._totals(np.where(counted, values, 0.0))
        size = self._totals(counted.astype(float))
        exact = np.where(counted, values, 0.0).sum(axis=(1, 2)), counted.sum(axis=(1, 2))
        return [_estimate(*pair) if pair[1] else None for pair in zip(*exact, total, size, strict=True)]

    def _totals(self, values: Floats) -> Floats:
        """(K, S, Q) to (K, B)."""
        n_knobs, n_seeds, n_questions = values.shape
        by_seed = values.reshape(-1, n_questions) @ self.questions.T
        totals: Floats = np.einsum("ksb,bs->kb", by_seed.reshape(n_knobs, n_seeds, -1), self.seeds)
        return totals


def _counts(n: int, resamples: int, rng: np.random.Generator) -> Floats:
    return rng.multinomial(n, np.full(n, 1.0 / n), size=resamples).astype(float)


def _estimate(total: float, size: int, totals: Floats, sizes: Floats) -> Estimate:
    drawn = sizes > 0
    value = float(total / size)
    if not drawn.any():
        return Estimate(value, value, value)
    low, high = np.quantile(totals[drawn] / sizes[drawn], (0.025, 0.975))
    return Estimate(value, float(low), float(high))


@dataclass(frozen=True, slots=True)
class _Yardstick:
    """What fronts are measured by: the best constant arm's goal and cost, and the mean cost of the cheapest arm."""

    goal: float
    cost: float
    least_cost: float
    targets: tuple[float, ...]

    @classmethod
    def of(cls, world: World, best: Score, targets: Sequence[float]) -> _Yardstick | None:
        """None when nothing has a cost."""
        if world.cost is None or best.cost is None or best.goal is None:
            return None
        least_cost = float(mean_costs(world.cost, world.allowed).min())
        return cls(best.goal.value, best.cost.value, least_cost, tuple(targets))

    @property
    def _has_room(self) -> bool:
        return self.cost >= ROOM * self.least_cost

    def figures(self, scores: Sequence[Score]) -> FrontFigures:
        points = [(score.cost.value, score.goal.value) for score in scores if score.cost and score.goal]
        front = Front.over([cost for cost, _ in points], [goal for _, goal in points])
        costs = {target: front.cost_at(self.goal - target) for target in self.targets}
        return FrontFigures(
            mean_value=front.mean_value(self.least_cost, self.cost) if self._has_room else None,
            cost_shares={
                target: None if cost is None else cost / self.cost if self.cost else 1.0
                for target, cost in costs.items()
            },
        )
