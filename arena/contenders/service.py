"""What a call costs a simulated server: seconds on an idle one, and its share of a full one.

Both follow from the published step times (`inframind.simulator.profiles`): a step of b sequences takes
``base + per_decode * b`` seconds and gives b tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inframind.arena.contenders.contender import Setting
from inframind.errors import ConfigError
from inframind.simulator.engine_profile import EngineProfile
from inframind.simulator.profiles import ModelProfile

Array = NDArray[np.float64]


def idle_latency_s(profile: EngineProfile, output_tokens: ArrayLike, prompt_tokens: int = 0) -> Array:
    """Seconds of a call that has the server to itself; ``prompt_tokens=0`` is the least that any prompt takes."""
    tokens = np.asarray(output_tokens, dtype=np.float64)
    first_token_s = profile.queue_s(prompt_tokens) + profile.step_s(prompt_tokens, 0)
    latency_s: Array = first_token_s + np.maximum(tokens - 1, 0) * profile.step_s(0, 1)
    return latency_s


def server_seconds_per_token(profile: EngineProfile) -> float:
    """Least seconds of the whole server that a token takes: those of a step with every slot in use, shared.

    No batching makes it cheaper, so that tokens times this never exceed the seconds that the server has.
    """
    slots = profile.max_num_seqs
    return profile.step_s(0, slots) / slots


def engines_of(models: Iterable[str], profiles: Mapping[str, ModelProfile]) -> Mapping[str, EngineProfile]:
    """The engine profile of each model.

    Raises:
        ConfigError: a model without a profile.
    """
    engines = {}
    for model in models:
        if model not in profiles:
            raise ConfigError(
                "model", model, f"only profiled models have known speeds: {', '.join(profiles)}"
            )
        engines[model] = profiles[model].engine
    return engines


def idle_grid_s(setting: Setting) -> Array:
    """Idle latency of the training answers (Q, A).

    Raises:
        ConfigError: a model without a profile.
    """
    engines, tokens = engines_of(setting.actions.models, setting.profiles), setting.training.output_tokens
    columns = [
        idle_latency_s(engines[action.model], tokens[:, place])
        for place, action in enumerate(setting.actions.executor_actions)
    ]
    return np.stack(columns, axis=1)
