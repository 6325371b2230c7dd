"""What a latency model has learned, as plain data that can be kept and given to the next one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from inframind.errors import ConfigError
from inframind.router.latency import Array
from inframind.router.latency_columns import LENGTH_COLUMNS, LOAD_COLUMNS

_COLUMNS = [*LOAD_COLUMNS, *LENGTH_COLUMNS]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LatencyState:
    """Sums of every learner, by model and strategy name.

    Attributes:
        models: names, in the order of the arrays' first axis.
        strategies: names; arrays over (model, strategy) have one row per pair, models outermost.
        sums: arrays by learner and name.
    """

    models: tuple[str, ...]
    strategies: tuple[str, ...]
    sums: Mapping[str, Mapping[str, Array]]

    def to_json(self) -> str:
        """One JSON object; floats survive exactly."""
        sums = {
            learner: {name: array.tolist() for name, array in arrays.items()}
            for learner, arrays in self.sums.items()
        }
        return json.dumps(
            {"columns": _COLUMNS, "models": self.models, "strategies": self.strategies, "sums": sums},
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, text: str) -> LatencyState:
        """The state that `to_json` wrote.

        Raises:
            ConfigError: it is no such state, or one over other columns.
        """
        try:
            data = json.loads(text)
            state = cls._of(data)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigError(
                "latency.state", type(error).__name__, "fit it again: it cannot be read"
            ) from error
        if data["columns"] != _COLUMNS:
            raise ConfigError(
                "latency.state", data["columns"], "fit it again: it was fitted over other columns"
            )
        return state

    @classmethod
    def _of(cls, data: Any) -> LatencyState:
        sums = {
            learner: {name: np.asarray(values, dtype=np.float64) for name, values in arrays.items()}
            for learner, arrays in data["sums"].items()
        }
        return cls(models=tuple(data["models"]), strategies=tuple(data["strategies"]), sums=sums)
