"""What to expect of a model that the policy was not trained with: what its like turned out to be.

A configured quality is a rule of thumb, and an instruction costs one model about what it costs others. So abilities of
known models are fitted to what their configuration said of them: one level per strategy, one slope for all.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inframind.router.actions import ActionSpace, ExecutorAction
from inframind.router.query_model import configured_logit

FEWEST = 3
"""Known models that are needed to say anything of a stranger."""
_LEAST_SPREAD = 1e-6


def expected_offsets(actions: ActionSpace, abilities: Mapping[str, float]) -> dict[ExecutorAction, float]:
    """What to add to the configured log odds of each action of a stranger; nothing where too few models are known.

    Args:
        actions: what may be chosen, strangers among it.
        abilities: learned from single calls, by label.
    """
    known = [model for model in actions.models if _all_labels(actions, model) <= abilities.keys()]
    strangers = [model for model in actions.models if not _all_labels(actions, model) & abilities.keys()]
    if len(known) < FEWEST or not strangers:
        return {}
    described_K = np.array([_described(actions, model) for model in known])
    ability_KS = np.array(
        [[abilities[ExecutorAction(model, name).label] for name in actions.strategies] for model in known]
    )
    level_S = ability_KS.mean(axis=0)
    centred_K = described_K - described_K.mean()
    slope = float(centred_K @ (ability_KS - level_S).mean(axis=1) / max(centred_K @ centred_K, _LEAST_SPREAD))
    return {
        action: float(level + slope * (_described(actions, model) - described_K.mean()))
        - configured_logit(actions, action)
        for model in strangers
        for action, level in zip(_actions_of(actions, model), level_S, strict=True)
    }


def _actions_of(actions: ActionSpace, model: str) -> list[ExecutorAction]:
    return [ExecutorAction(model, name) for name in actions.strategies]


def _all_labels(actions: ActionSpace, model: str) -> set[str]:
    return {action.label for action in _actions_of(actions, model)}


def _described(actions: ActionSpace, model: str) -> float:
    """Log odds that the configuration gives a model, whatever the strategy."""
    quality = min(max(actions.models[model].quality, 0.01), 0.99)
    return float(np.log(quality / (1 - quality)))
