"""What came of a replay, as plain data: one `Standing` per contender, one `Score` per setting of its knob."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Goal = Literal["quality", "on_time_success"]
"""What contenders are after: ``on_time_success`` where budgets apply, that is quality within the budget."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over test questions and seeds, with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A contender at one setting of its knob. Means are over the questions that it chose an arm for.

    Attributes:
        knob: the setting.
        coverage: share of the test questions that it chose an arm for; below 1 its means are over other questions
            than everyone's, and only the paired figures, ``regret`` and ``versus_best``, compare.
        quality: mean quality; accuracy where outcomes are 0 and 1. None without coverage, as are the others.
        on_time_success: mean quality, counting answers beyond the budget as 0; None without budgets.
        slo_attainment: share of answers within the budget; None without budgets.
        cost: mean cost; None when nothing has a cost.
        latency_mean_s: None when seconds do not count.
        latency_p95_s: 95 % quantile over questions and seeds.
        regret: how far below the oracle, in the goal, question by question.
        versus_best: how far above the best constant arm, in the goal, question by question.
        shares: of its choices, per arm, most frequent first.
        by_stratum: mean of the goal per benchmark.
    """

    knob: float
    coverage: float
    quality: Estimate | None
    on_time_success: Estimate | None
    slo_attainment: Estimate | None
    cost: Estimate | None
    latency_mean_s: float | None
    latency_p95_s: float | None
    regret: Estimate | None
    versus_best: Estimate | None
    shares: Mapping[str, float]
    by_stratum: Mapping[str, float]

    @property
    def goal(self) -> Estimate | None:
        """The figure that contenders are after."""
        return self.quality if self.on_time_success is None else self.on_time_success


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontFigures:
    """What the settings of a knob, and random mixtures of any two of them, reach together.

    Computed from the test means, so that it flatters every front a little, and all of them alike.

    Attributes:
        mean_value: mean of the goal over mean costs spread evenly from the cheapest arm's to the best constant
            arm's; 0 below the front's own least cost; None when the best arm costs less than 1.5 times the cheapest.
        cost_shares: by points of the goal given up against the best constant arm (0.02 is two points): the least
            mean cost, as a share of that arm's; None where the front does not reach.
    """

    mean_value: float | None
    cost_shares: Mapping[float, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One contender.

    Attributes:
        name: of the contender.
        scores: one per setting of its knob, the headline first.
        front: None without a knob, or when nothing has a cost.
    """

    name: str
    scores: tuple[Score, ...]
    front: FrontFigures | None

    @property
    def headline(self) -> Score:
        """The score at the first setting."""
        return self.scores[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """What came of a replay.

    Attributes:
        table: name of the table.
        questions: questions that took part.
        arms: arms that took part.
        left_out: arms that did not, because the cost, or the seconds, of their answers is not recorded.
        recorded: share of (question, arm) pairs that may be chosen.
        cost: kind of cost, or "none".
        goal: what contenders were after.
        seeds: one split into training and test questions each.
        train_share: share of the questions that were trained on.
        standings: ``best_constant`` first, ``oracle`` last, the others in the order given.
    """

    table: str
    questions: int
    arms: tuple[str, ...]
    left_out: tuple[str, ...]
    recorded: float
    cost: str
    goal: Goal
    seeds: tuple[int, ...]
    train_share: float
    standings: tuple[Standing, ...]

    def standing(self, name: str) -> Standing:
        """The contender of that name.

        Raises:
            KeyError: it did not take part.
        """
        for standing in self.standings:
            if standing.name == name:
                return standing
        raise KeyError(name)
