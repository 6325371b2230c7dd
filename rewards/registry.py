"""Rewards by name: choose one in config, or name a function of your own."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from inframind.errors import ConfigError
from inframind.rewards import functions
from inframind.rewards.arrays import Array
from inframind.rewards.breakdown import RewardBreakdown
from inframind.rewards.outcomes import RunOutcomes

RewardFunction: TypeAlias = Callable[..., RewardBreakdown]
"""``(outcomes, multiplier_B, *, named numbers)`` to a breakdown."""
Reward: TypeAlias = Callable[[RunOutcomes, Array], RewardBreakdown]
"""A reward function whose parameters are set."""

_BUILT_IN: Mapping[str, RewardFunction] = MappingProxyType(
    {
        "on_time": functions.on_time,
        "additive": functions.additive,
        "signed": functions.signed,
        "effort": functions.effort,
        "effort_step": functions.effort_step,
        "lagrangian": functions.lagrangian,
        "lagrangian_step": functions.lagrangian_step,
    }
)
_NOTHING_MORE: Mapping[str, RewardFunction] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardConfig:
    """Which reward, and its parameters."""

    name: str = "on_time"
    """A name that `describe_rewards` lists, or ``module:function`` for your own."""
    parameters: Mapping[str, float] = field(default_factory=dict)
    """Numbers by parameter name; the others keep their defaults."""


@dataclass(frozen=True, slots=True)
class NamedReward:
    """A reward function with its parameters, as `reward_named` makes it. Picklable where the function is.

    Attributes:
        config: what it was made from.
        function: the function itself.
    """

    config: RewardConfig
    function: RewardFunction

    def __call__(self, outcomes: RunOutcomes, multiplier_B: Array) -> RewardBreakdown:
        """The rewards of ``outcomes``.

        Raises:
            ConfigError: outcomes lack what the function needs, or it returned something else than one finite
                number per sample and term.
        """
        breakdown = self.function(outcomes, multiplier_B, **self.config.parameters)
        if not isinstance(breakdown, RewardBreakdown):
            raise ConfigError(
                "reward.name",
                self.config.name,
                f"it must return a RewardBreakdown, not a {type(breakdown).__name__}",
            )
        if len(breakdown.total) != len(outcomes):
            raise ConfigError(
                "reward.name",
                self.config.name,
                f"it must return {len(outcomes)} numbers per term, not {len(breakdown.total)}",
            )
        return breakdown


def reward_named(config: RewardConfig, extra: Mapping[str, RewardFunction] = _NOTHING_MORE) -> Reward:
    """The reward that ``config`` names, checked and tried on a few made-up samples.

    Args:
        config: the name and the parameters.
        extra: the caller's own functions by name, beside the built-in ones.

    Raises:
        ConfigError: the name is unknown or taken twice, the function cannot be imported, a parameter is unknown,
            missing or not a finite number, or the function fails its trial.
    """
    reward = NamedReward(config, _function_named(config.name, extra))
    _check_parameters(config, reward.function)
    reward(*_trial())
    return reward


def describe_rewards() -> Mapping[str, str]:
    """One line per reward, by name."""
    lines = {name: _first_line(function) for name, function in _BUILT_IN.items()}
    lines["<module>:<function>"] = "your own: (outcomes, multiplier_B, *, named numbers) to a RewardBreakdown"
    return lines


def _function_named(name: str, extra: Mapping[str, RewardFunction]) -> RewardFunction:
    twice = sorted(set(extra) & set(_BUILT_IN))
    if twice:
        raise ConfigError("extra", twice, "choose names that no built-in reward has")
    known = {**_BUILT_IN, **extra}
    if name in known:
        return known[name]
    module_name, _, attribute = name.partition(":")
    if attribute:
        return _imported(name, module_name, attribute)
    raise ConfigError("reward.name", name, f"use one of: {', '.join((*known, 'module:function'))}")


def _imported(name: str, module_name: str, attribute: str) -> RewardFunction:
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError("reward.name", name, f"make the module importable ({error})") from error
    function: Any = getattr(module, attribute, None)
    if not callable(function):
        raise ConfigError(
            "reward.name", name, f"{module_name} has no function {attribute!r}: name one that it has"
        )
    return function  # type: ignore[no-any-return]


def _check_parameters(config: RewardConfig, function: RewardFunction) -> None:
    named = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    known = {parameter.name for parameter in named}
    for name, value in config.parameters.items():
        if name not in known:
            fix = f"{config.name} takes: {', '.join(sorted(known)) or 'no parameters'}"
            raise ConfigError(f"reward.parameters.{name}", value, fix)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ConfigError(f"reward.parameters.{name}", value, "give a finite number")
    for parameter in named:
        if parameter.default is inspect.Parameter.empty and parameter.name not in config.parameters:
            raise ConfigError(f"reward.parameters.{parameter.name}", None, f"{config.name} needs this number")


def _trial() -> tuple[RunOutcomes, Array]:
    """Right and wrong, in time and late, so that a bad parameter is found before the first epoch."""
    outcomes = RunOutcomes(
        solved_B=np.array([True, True, False, False]),
        latency_s_B=np.array([5.0, 40.0, 5.0, 40.0]),
        budget_s_B=np.full(4, 10.0),
        step_latency_s_B=np.full(4, 2.0),
        remaining_s_B=np.array([8.0, -1.0, 8.0, -1.0]),
        judge_score_B=np.array([9.0, 7.0, 3.0, 1.0]),
        cost_usd_B=np.full(4, 0.01),
    )
    return outcomes, np.full(4, 0.5)


def _first_line(function: RewardFunction) -> str:
    return (function.__doc__ or "").strip().partition("\n")[0].replace("`", "")
