"""Abilities fitted anew to the latest labels: what a team would schedule as a nightly job, run after every chunk."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from inframind.arena.online.season import Start
from inframind.router.actions import ActionSpace
from inframind.router.online.protocol import LabelledRun
from inframind.router.policy import Policy
from inframind.router.query_model import QueryModel
from inframind.router.views import Array

WINDOW = 512
"""Labelled runs that are remembered."""
SPREAD = 1.0
"""Standard deviation, in logits, by which an ability is expected to depart from the trained one."""
_STEPS = 20
_LONGEST_STEP = 1.0
"""In logits: where the likelihood is flat, Newton's own step would leap."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """One labelled run: what answered, how hard the question was read to be, and how it went."""

    label: str
    difficulty: float
    solved: float
    weight: float


class Refit:
    """The trained policy over abilities per model and strategy that are fitted to a sliding window of labelled runs.

    An ability is the mode of its posterior: normal around the trained one, logistic likelihood of the window's runs
    that this model and strategy finished. Critics, actors and everything else stay as trained; it explores by the
    temperature that training ended with.

    Args:
        start: as for every contender.
        window: labelled runs that are remembered.
    """

    name = "refit"

    def __init__(self, start: Start, window: int = WINDOW) -> None:
        self._stored, self._actions = start.stored, start.actions
        self._queries = QueryModel(start.stored.queries)
        self._window: deque[_Seen] = deque(maxlen=window)
        self._abilities: dict[str, float] = {}

    def behaviour(self) -> Policy:
        """The trained policy over the abilities of now."""
        queries = self._stored.queries
        if queries is None or not self._abilities:
            return self._stored.bind(self._actions, explores=True)
        changed = replace(queries, abilities={**queries.abilities, **self._abilities})
        return replace(self._stored, queries=changed).bind(self._actions, explores=True)

    def learn(self, runs: Sequence[LabelledRun]) -> Mapping[str, float]:
        """Fit every ability to the window."""
        self._window.extend(seen for run in runs if (seen := self._seen(run)) is not None)
        by_label: defaultdict[str, list[_Seen]] = defaultdict(list)
        for seen in self._window:
            by_label[seen.label].append(seen)
        trained, steep = self._queries.terms(self._actions)
        places = {label: place for place, label in enumerate(self._actions.executor_labels)}
        self._abilities = {
            label: _fitted(group, float(trained[places[label]]), float(steep[places[label]]))
            for label, group in by_label.items()
        }
        moved = [self._abilities[label] - trained[places[label]] for label in by_label]
        return {"window": float(len(self._window)), "moved": float(np.abs(moved).max(initial=0.0))}

    def welcome(self, actions: ActionSpace) -> None:
        """Value newcomers by their description until there are labels."""
        self._actions = actions

    def _seen(self, labelled: LabelledRun) -> _Seen | None:
        run, label = labelled.run, labelled.label
        last = next((step for step in run.steps if step.step_id == run.final_step_id), None)
        if label is None or last is None:
            return None
        action = f"{last.served_model or last.model}/{last.strategy}"
        difficulty = self._queries.read(run.question).difficulty
        return _Seen(action, difficulty, label.solved, label.weight)


def _fitted(group: Sequence[_Seen], trained: float, steep: float) -> float:
    """Newton's method, held back, on a log posterior that is concave."""
    difficulty_N: Array = np.array([seen.difficulty for seen in group])
    solved_N: Array = np.array([seen.solved for seen in group])
    weight_N: Array = np.array([seen.weight for seen in group])
    ability, precision = trained, 1 / SPREAD**2
    for _ in range(_STEPS):
        share_N = 1 / (1 + np.exp(-np.clip(ability - steep * difficulty_N, -30, 30)))
        slope = (weight_N * (solved_N - share_N)).sum() - precision * (ability - trained)
        step = slope / ((weight_N * share_N * (1 - share_N)).sum() + precision)
        ability += max(-_LONGEST_STEP, min(_LONGEST_STEP, step))
    return float(ability)
