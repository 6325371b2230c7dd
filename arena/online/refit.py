"""Quality fitted anew to the latest labels: what a team would schedule as a nightly job, run after every chunk."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from inframind.arena.online.season import Start
from inframind.router.actions import ActionSpace
from inframind.router.offsets import Offsets
from inframind.router.online.evidence import EvidenceReader
from inframind.router.online.protocol import LabelledRun
from inframind.router.policy import Policy
from inframind.router.views import Array

WINDOW = 512
"""Labelled runs that are remembered."""
SPREAD = 0.7
"""Standard deviation, in logits, by which a model with a strategy is expected to depart from what was trained."""
_STEPS = 20
_LONGEST_STEP = 1.0
"""In logits: where the likelihood is flat, Newton's own step would leap."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """One labelled run: log odds that the trained policy gave it, how it went, and how much the label counts."""

    logit: float
    solved: float
    weight: float


class Refit:
    """The trained policy, and per model and strategy an offset that is fitted to a sliding window of labelled runs.

    Each offset is the mode of its posterior: normal around 0, with the logistic likelihood of the window's runs that
    this model and strategy finished. It explores by the temperature that training ended with.

    Args:
        start: as for every contender.
        window: labelled runs that are remembered.
    """

    name = "refit"

    def __init__(self, start: Start, window: int = WINDOW) -> None:
        self._stored, self._queries = start.stored, start.stored.reader()
        self._window: deque[tuple[str, _Seen]] = deque(maxlen=window)
        self._offsets: dict[str, float] = {}
        self.welcome(start.actions)

    def behaviour(self) -> Policy:
        """The trained policy with the offsets of now."""
        weights = replace(self._stored.weights, offsets=Offsets(logit=self._offsets))
        stored = replace(self._stored, weights=weights)
        return stored.bind_reader(self._actions, self._queries, explores=True)

    def learn(self, runs: Sequence[LabelledRun]) -> Mapping[str, float]:
        """Fit every offset to the window."""
        self._window.extend(seen for run in runs if (seen := self._seen(run)) is not None)
        by_label: defaultdict[str, list[_Seen]] = defaultdict(list)
        for label, one in self._window:
            by_label[label].append(one)
        self._offsets = {label: _fitted(group) for label, group in by_label.items()}
        return {"window": float(len(self._window)), "least": min(self._offsets.values(), default=0.0)}

    def welcome(self, actions: ActionSpace) -> None:
        """Value newcomers by their description until there are labels."""
        self._actions = actions
        self._reader = EvidenceReader(self._stored.bind_reader(actions, self._queries), actions, 1.0)

    def _seen(self, labelled: LabelledRun) -> tuple[str, _Seen] | None:
        evidence = self._reader.read(labelled.run)
        if labelled.label is None or evidence is None:
            return None
        action = max(evidence.shares, key=evidence.shares.__getitem__)
        return action.label, _Seen(evidence.logit, labelled.label.solved, labelled.label.weight)


def _fitted(group: Sequence[_Seen]) -> float:
    """Newton's method, held back, on a log posterior that is concave."""
    logit_N: Array = np.array([seen.logit for seen in group])
    solved_N: Array = np.array([seen.solved for seen in group])
    weight_N: Array = np.array([seen.weight for seen in group])
    offset, precision = 0.0, 1 / SPREAD**2
    for _ in range(_STEPS):
        share_N = 1 / (1 + np.exp(-np.clip(logit_N + offset, -30, 30)))
        slope = (weight_N * (solved_N - share_N)).sum() - precision * offset
        step = slope / ((weight_N * share_N * (1 - share_N)).sum() + precision)
        offset += max(-_LONGEST_STEP, min(_LONGEST_STEP, step))
    return float(offset)
