"""What steps cost: dollars at the configured prices, or size times tokens where models have none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Self

from inframind.fleet.endpoints import ModelFacts
from inframind.traces.records import Step

_PER_MILLION = 1e-6
CostUnit = Literal["usd", "size"]


@dataclass(frozen=True, slots=True)
class Prices:
    """What a token costs.

    Attributes:
        by_model: price of a prompt token and of a completion token.
        unit: ``usd``, or ``size``: billions of parameters per million output tokens.
    """

    by_model: Mapping[str, tuple[float, float]]
    unit: CostUnit

    @classmethod
    def of(cls, models: Mapping[str, ModelFacts]) -> Self:
        """Dollars where every model has a price for its output, as in `static_columns`; else billions of parameters
        per million output tokens, for all of them."""
        if all(facts.price_output_usd_per_mtok > 0 for facts in models.values()):
            return cls({name: _dollars(facts) for name, facts in models.items()}, "usd")
        return cls({name: (0.0, facts.size_b * _PER_MILLION) for name, facts in models.items()}, "size")

    def of_steps(self, steps: Iterable[Step]) -> float | None:
        """Cost of all steps whose tokens were counted.

        A step of which no tokens were reported, as one that failed, costs nothing. None where none were of any, or some
        of a model that has no price here.
        """
        cost: float | None = None
        for step in steps:
            if step.prompt_tokens is None and step.completion_tokens is None:
                continue
            price = self.by_model.get(step.served_model or step.model)
            if price is None:
                return None
            cost = (
                (cost or 0.0)
                + (step.prompt_tokens or 0) * price[0]
                + (step.completion_tokens or 0) * price[1]
            )
        return cost


def _dollars(facts: ModelFacts) -> tuple[float, float]:
    return facts.price_input_usd_per_mtok * _PER_MILLION, facts.price_output_usd_per_mtok * _PER_MILLION
