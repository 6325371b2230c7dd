"""The numbers behind simulated answers: frozen, checked, and read from ``outcomes.toml`` unless given."""

from __future__ import annotations

import functools
import itertools
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inframind.errors import ConfigError
from inframind.simulator.benchmarks import Population, shipped_populations

_DATA = Path(__file__).with_name("outcomes.toml")
_SIZE_IN_NAME = re.compile(r"(\d+(?:\.\d+)?)b(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTraits:
    """How good and how wordy one model is.

    Attributes:
        size_b: parameters, in billions.
        skill: logit on a question of mean difficulty with the Flash strategy.
        verbosity: multiplies the length of its answers.
        is_reasoning: whether it thinks before it answers.
        thinking_tokens: mean length of that thinking, for a question of level 3.
    """

    size_b: float
    skill: float
    verbosity: float = 1.0
    is_reasoning: bool = False
    thinking_tokens: float = 450.0

    def __post_init__(self) -> None:
        if not self.size_b > 0 or not self.verbosity > 0:
            raise ConfigError(
                "size_b, verbosity", (self.size_b, self.verbosity), "give positive numbers for both"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyTraits:
    """What one prompt strategy does.

    Attributes:
        effect: logit added to the skill.
        effect_per_skill: how much that grows with each logit of skill.
        thinking_effect: logit added for a model that thinks before it answers.
        mean_tokens: mean length of an answer to a question of level 3.
        sigma: standard deviation of the length's logarithm.
        runaway_share: share of answers that run to five times their length.
    """

    effect: float
    mean_tokens: float
    effect_per_skill: float = 0.0
    thinking_effect: float = 0.0
    sigma: float = 0.35
    runaway_share: float = 0.0

    def __post_init__(self) -> None:
        if not self.mean_tokens > 0 or self.sigma < 0:
            raise ConfigError("mean_tokens, sigma", (self.mean_tokens, self.sigma), "give a positive length")
        if not 0 <= self.runaway_share <= 1:
            raise ConfigError("runaway_share", self.runaway_share, "give a share from 0 to 1")


@dataclass(frozen=True, slots=True)
class _Shipped:
    """What ``outcomes.toml`` holds."""

    models: Mapping[str, ModelTraits]
    strategies: Mapping[str, StrategyTraits]
    roles: Mapping[str, Mapping[str, float]]
    subjects: Mapping[str, float]


@functools.cache
def _shipped() -> _Shipped:
    data: dict[str, Any] = tomllib.loads(_DATA.read_text(encoding="utf-8"))
    return _Shipped(
        models={name: ModelTraits(**traits) for name, traits in data["models"].items()},
        strategies={name: StrategyTraits(**traits) for name, traits in data["strategies"].items()},
        roles=data["roles"],
        subjects=data["subjects"],
    )


_SHARES = ("rescue", "repair", "self_review", "judging", "anchoring", "follow", "respelled_share")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeParameters:
    """Everything that the latent-difficulty model assumes; logits unless said otherwise.

    Attributes:
        models: by served model name.
        strategies: by name.
        roles: by domain, then by role name; the fit of the role to such questions.
        clashes: by role name, then by strategy; logit added where the role's prompt and the strategy's instruction
            contradict each other, such as a role that is told to show its working and a strategy that forbids it.
        subjects: how much harder questions of a MATH subject are than others of their level, in units of difficulty.
        populations: by benchmark; how hard its questions are, MATH's where it is not listed.
        default_strategy: stands in for a strategy that is absent or unknown: no instruction, no degradation.
        slope: how strongly difficulty counts.
        level_step: difficulty between neighbouring levels.
        mean_level: level of mean difficulty; 3.4 is the mean of the MATH test split.
        item_spread: standard deviation of an item's own difficulty around its level's and subject's.
        quirk_spread: standard deviation of what one model finds easy or hard about one item.
        step_by_step_effect: effect of the CoT topology.
        keep, keep_per_skill: logit of keeping a right answer that nobody contradicts, and how it grows with skill
            (and, in a reasoning model, with thinking).
        majority_pull: an answer that several give weighs their number to this power: with 1 a vote drawn at random
            decides, with a large one the plurality.
        rescue: share of its own solving power with which a reviewer prefers a right answer that was not kept.
        repair: share of its own solving power with which a reviewer mends an answer when all it sees are wrong; one
            that thinks mends with its rescue.
        self_review, judging: shares of a reviewer's rescue and repair that are left when the answer is one's own,
            and in a judge, who is asked to choose.
        anchoring: the same for each agent further down a line, who sees answers that others have seen.
        follow: probability that a wrong reviewer repeats a wrong answer that it sees, not a new one.
        mistake_weights: probabilities of an item's typical wrong answers, most tempting first.
        respelled_share: share of right answers in another spelling than the key's, where there is one.
    """

    models: Mapping[str, ModelTraits] = field(default_factory=lambda: _shipped().models)
    strategies: Mapping[str, StrategyTraits] = field(default_factory=lambda: _shipped().strategies)
    roles: Mapping[str, Mapping[str, float]] = field(default_factory=lambda: _shipped().roles)
    clashes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    subjects: Mapping[str, float] = field(default_factory=lambda: _shipped().subjects)
    populations: Mapping[str, Population] = field(default_factory=shipped_populations)
    default_strategy: str = "Plain"
    slope: float = 2.3
    level_step: float = 0.55
    mean_level: float = 3.4
    item_spread: float = 0.55
    quirk_spread: float = 0.6
    step_by_step_effect: float = 0.12
    keep: float = 2.4
    keep_per_skill: float = 0.6
    majority_pull: float = 1.8
    rescue: float = 0.75
    repair: float = 0.25
    self_review: float = 0.4
    judging: float = 0.9
    anchoring: float = 0.9
    follow: float = 0.85
    mistake_weights: tuple[float, ...] = (0.5, 0.25, 0.15, 0.1)
    respelled_share: float = 0.10

    def __post_init__(self) -> None:
        if self.default_strategy not in self.strategies:
            raise ConfigError(
                "default_strategy", self.default_strategy, f"choose one of: {', '.join(self.strategies)}"
            )
        if self.majority_pull < 0:
            raise ConfigError("majority_pull", self.majority_pull, "give 0 or more")
        if not self.models:
            raise ConfigError("models", dict(self.models), "describe at least one model")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(name, getattr(self, name), "give a share from 0 to 1")

    def model_traits(self, name: str) -> ModelTraits:
        """The traits of a model; for an unknown one a guess from the size in its name, such as ``-7b``.

        The guess interpolates skill over the logarithm of the size, flat beyond the known models. Without a
        size, the model of median size stands in.
        """
        if name in self.models:
            return self.models[name]
        by_size = sorted(self.models.values(), key=lambda traits: traits.size_b)
        size = _SIZE_IN_NAME.search(name)
        if size is None or not float(size.group(1)) > 0:
            return by_size[len(by_size) // 2]
        return _interpolated(by_size, float(size.group(1)))

    def strategy_traits(self, name: str) -> StrategyTraits:
        """The traits of a strategy; the default's for an unknown one."""
        return self.strategies.get(name, self.strategies[self.default_strategy])


def _interpolated(by_size: list[ModelTraits], size_b: float) -> ModelTraits:
    clamped = min(max(size_b, by_size[0].size_b), by_size[-1].size_b)
    for low, high in itertools.pairwise(by_size):
        if clamped <= high.size_b:
            share = math.log(clamped / low.size_b) / math.log(high.size_b / low.size_b)
            return ModelTraits(size_b=size_b, skill=(1 - share) * low.skill + share * high.skill)
    return ModelTraits(size_b=size_b, skill=by_size[-1].skill)
