"""What the published networks are fed, from a view: the same when serving as when learning from its record.

E = embedding, M = models, A = entries of the executor's joint head: models x its strategies, models outermost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inframind.errors import ConfigError
from inframind.router.actions import ActionSpace
from inframind.router.encoder import Encoder, Floats
from inframind.router.views import Mask, StepView

PUBLISHED_FEATURES_VERSION = "1"
LONGEST_S = 300.0
"""Seconds are read as a share of the logarithm of this."""
SHORTEST_BUDGET_S = 1.0
"""Less time left than this reads as this."""
SLOTS = 16.0
"""Requests are counted in batches of this size."""
NUMBERS_PER_MODEL = 3
_TEXTS_KEPT = 4096


class Reader:
    """Reads questions, names and loads.

    Args:
        actions: what may be chosen.
        strategies: those of the joint head; the others are never chosen.
        encoder: text to vector (E).

    Raises:
        ConfigError: no strategies, or one that the action space does not have.
    """

    def __init__(self, actions: ActionSpace, strategies: Sequence[str], encoder: Encoder) -> None:
        unknown = set(strategies) - set(actions.strategies)
        if unknown or not strategies:
            raise ConfigError(
                "strategies", tuple(strategies), f"use some of: {', '.join(actions.strategies)}"
            )
        self.actions, self.dimension = actions, encoder.dimension
        self.models = tuple(actions.models)
        self.strategies = tuple(name for name in actions.strategies if name in strategies)
        self.topologies = tuple(actions.topologies)
        self.roles = tuple(dict.fromkeys(role for names in actions.roles.values() for role in names))
        self.places_A = _places(actions, self.strategies)
        self._middle_M = self.places_A.reshape(len(self.models), -1)[:, len(self.strategies) // 2]
        self.text = lru_cache(maxsize=_TEXTS_KEPT)(encoder.encode)
        self._made_of = (actions, strategies, encoder)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels to other processes as what it is made of."""
        return Reader, self._made_of

    def topology(self, name: str) -> Floats:
        """Embedding (E) of what a topology is."""
        return self.text(f"{name}: {self.actions.topologies[name].description}")

    def context(self, question: str, topology: str, taken: Sequence[str]) -> Floats:
        """What a seat's role depends on: question, topology, mean of the roles taken (3 E)."""
        history = [self.text(role) for role in taken]
        mean = np.mean(history, axis=0) if history else np.zeros(self.dimension)
        context: Floats = np.concatenate([self.text(question), self.topology(topology), mean])
        return context.astype(np.float32, copy=False)

    def semantic(self, view: StepView) -> Floats:
        """Question and role (2 E)."""
        return np.concatenate([self.text(view.query.text), self.text(view.slot.role)])

    def resources(self, view: StepView) -> Floats:
        """Time left, then three numbers per model (1 + 3 M).

        ``log(left) / log 300``; (running + waiting) / 16, ``log1p(latency) / log 300`` and the share of the KV cache,
        as they were read, of the least loaded replica, zero where nothing was. Servers do not say how long requests
        took end to end, so latency is the predicted median of the model's middle strategy.
        """
        scale = math.log(LONGEST_S)
        numbers = [math.log(max(view.remaining_s, SHORTEST_BUDGET_S)) / scale]
        for model, place in zip(self.models, self._middle_M.tolist(), strict=True):
            load = view.snapshot.least_loaded(model)
            requests = ((load.running or 0.0) + (load.waiting or 0.0)) if load else 0.0
            kv_usage = (load.kv_cache_usage or 0.0) if load else 0.0
            numbers += [requests / SLOTS, math.log1p(view.q50_s[place]) / scale, kv_usage]
        return np.array(numbers, dtype=np.float32)

    def allowed(self, view: StepView) -> Mask:
        """What of the joint head may be chosen (A)."""
        return view.allowed[self.places_A]


def _places(actions: ActionSpace, strategies: Sequence[str]) -> NDArray[np.intp]:
    """Places of the joint head's entries among the executor's actions (A)."""
    return np.flatnonzero([action.strategy in strategies for action in actions.executor_actions])
