"""What the simulated models really know about one question, asked through their public door: for oracles alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframind.fleet.context import StepContext
from inframind.router.actions import ActionSpace, ExecutorAction
from inframind.router.topology import JUDGE, JUDGE_ROLE
from inframind.simulator.items import Item
from inframind.simulator.mistakes import typical_mistakes
from inframind.simulator.outcomes import LatentDifficultyModel

Array = NDArray[np.float64]
LINE = "Chain"


@dataclass(frozen=True, slots=True)
class JudgeTruth:
    """P(right) of judges, by what they are shown (T).

    Attributes:
        sure: the right answer alone.
        split: the right answer and a wrong one.
        lost: two wrong ones.
    """

    sure: Array
    split: Array
    lost: Array


def best_role(outcomes: LatentDifficultyModel, item: Item, actions: ActionSpace) -> str:
    """The role that fits the question best; the first of equals."""
    action = actions.executor_actions[0]
    return max(
        actions.roles_for(item.domain),
        key=lambda role: outcomes.solo_probability(item, action.model, action.strategy, role=role),
    )


class ItemTruth:
    """The truth about one question; agents have the role that fits it best.

    Args:
        outcomes: the truth about the simulated models.
        item: the question.
        actions: what may be chosen (A).
        team: the actions that teams are considered with (T).
    """

    def __init__(
        self,
        outcomes: LatentDifficultyModel,
        item: Item,
        actions: ActionSpace,
        team: Sequence[ExecutorAction],
    ) -> None:
        self._outcomes, self._item, self._actions, self._team = outcomes, item, actions, team
        self._role = best_role(outcomes, item, actions)
        self._wrong = typical_mistakes(item.question, item.answer)

    def solo(self, topology: str) -> Array:
        """P(right) of every action that sees nothing but the question (A)."""
        return np.array(
            [
                self._outcomes.solo_probability(
                    self._item, action.model, action.strategy, role=self._role, topology=topology
                )
                for action in self._actions.executor_actions
            ]
        )

    def line(self, seats: int) -> tuple[Array, Array]:
        """P(right) in each seat of a line after a right answer, and after a wrong one (T, seats) each.

        The first seat sees nothing: both are its P(right) alone.
        """
        right, wrong = [self._item.answer], [self._wrong[0]]
        keep = [[self._in_line(action, seat, right) for seat in range(seats)] for action in self._team]
        repair = [[self._in_line(action, seat, wrong) for seat in range(seats)] for action in self._team]
        return np.array(keep).reshape(-1, seats), np.array(repair).reshape(-1, seats)

    def judges(self, topology: str) -> JudgeTruth:
        """P(right) of every team action as the judge of this topology."""
        return JudgeTruth(
            sure=self.judged(topology, 1, ()),
            split=self.judged(topology, 1, (1,)),
            lost=self.judged(topology, 0, (1, 1)),
        )

    def judged(self, topology: str, right: int, wrong: Sequence[int]) -> Array:
        """P(right) of every team action as a judge who is shown so many right answers, and of each wrong one (T)."""
        shown = [self._item.answer] * right
        for answer, count in zip(self._wrong, wrong, strict=False):
            shown += [answer] * count
        contexts = [
            StepContext(topology=topology, node=JUDGE, role=JUDGE_ROLE, strategy=action.strategy)
            for action in self._team
        ]
        return np.array(
            [
                self._outcomes.probability(self._item, action.model, context, shown)
                for action, context in zip(self._team, contexts, strict=True)
            ]
        )

    def _in_line(self, action: ExecutorAction, seat: int, shown: Sequence[str]) -> float:
        context = StepContext(topology=LINE, position=seat, role=self._role, strategy=action.strategy)
        return self._outcomes.probability(self._item, action.model, context, shown if seat else ())
