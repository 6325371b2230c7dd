"""What it costs to leave the model whose prefix cache holds a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from inframind.errors import ConfigError
from inframind.fleet.endpoints import ModelFacts
from inframind.router.latency import Array
from inframind.router.views import Slot


@dataclass(frozen=True, kw_only=True)
class SwitchingConfig:
    """Worth of a warm prefix cache.

    The warm model does not read again what is cached: that much sooner comes its first token, and that much less does
    its prompt cost. Every other model pays in full. ``weight`` is what that is worth to you: 1 is what one call saves
    by itself; more also counts what reading the prompt again would cost those who share the batch; 0 is no loyalty.
    """

    weight: float = 1.0
    """Multiplies what is saved."""
    prefill_per_b_s: float = 3e-6
    """Seconds per prompt token and billion parameters, as in `PhysicalPrior`."""

    def __post_init__(self) -> None:
        for name in ("weight", "prefill_per_b_s"):
            if getattr(self, name) < 0:
                raise ConfigError(f"switching.{name}", getattr(self, name), "use 0 or more")


def saved_s(slot: Slot, models: Mapping[str, ModelFacts], config: SwitchingConfig) -> Array:
    """Seconds that each model saves on its prompt because it has read it before (M)."""
    facts = models.get(slot.warm_model)
    tokens = min(slot.warm_tokens, slot.prompt_tokens)
    seconds = config.weight * config.prefill_per_b_s * tokens * (facts.size_b if facts else 0.0)
    return np.array([seconds if model == slot.warm_model else 0.0 for model in models])


def saved_cost(slot: Slot, models: Mapping[str, ModelFacts], config: SwitchingConfig) -> Array:
    """Dollars that each model saves on its prompt (M); 0 where prompts have no price."""
    tokens = min(slot.warm_tokens, slot.prompt_tokens)
    return np.array(
        [
            config.weight * facts.price_input_usd_per_mtok * tokens if model == slot.warm_model else 0.0
            for model, facts in models.items()
        ]
    )
