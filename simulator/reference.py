"""The fleet of published runs, calibrated: speeds, who shares a card, answer lengths (``reference.toml``).

Speeds are those of an undisturbed server. Servers on one card slow each other down while both have work; whoever
replays the published runs tells the engines so (`inframind.simulator.engine.Engine.slow_down`), and whoever does not
takes `ReferenceFleet.crowded_profiles`, in which that is part of every step. docs/calibration.md has the errors.
"""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from inframind.errors import ConfigError
from inframind.simulator.benchmarks import MATH
from inframind.simulator.engine_profile import EngineProfile
from inframind.simulator.outcome_parameters import OutcomeParameters
from inframind.simulator.profiles import FitRow, ModelProfile, load_profiles
from inframind.simulator.writing import AFTER_REASONING_FACTOR, mean_level_factor

PromptKind = Literal["question", "node", "agent", "review", "decision", "aggregate"]
"""What a prompt is: the question alone, the same under a system prompt, an agent's prompt, its own draft to look at
again, or others' answers to decide from (after a team, or after proposers)."""

PLAIN = "Plain"
"""The strategy whose prompt is the published agents'."""

_DATA = Path(__file__).with_name("reference.toml")
_KV_BLOCKS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleFacts:
    """What matters about an agent's role.

    Attributes:
        name: of the role.
        weight: how often it is drawn, relative to the others.
        answers_twice: whether it looks at its own draft in a second call.
        writes_code: whether its answer is a program that examples can be run on.
    """

    name: str
    weight: float = 1.0
    answers_twice: bool = False
    writes_code: bool = False

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise ConfigError("weight", self.weight, "give 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkFacts:
    """What the published runs of one question set had in common.

    Attributes:
        question_tokens: mean length of a question.
        factor: answer length against MATH, of the ``reasoning`` model and the ``other`` ones.
        bare_question: the same for the reasoning model when it sees the question and nothing else.
        request_timeout_s: what the client of each system allows one attempt of a call.
        examples: share of questions with examples that the client can run.
        passes: share of programs that pass them.
        roles: whom agents are drawn from.
    """

    question_tokens: int
    factor: Mapping[str, float]
    bare_question: float
    request_timeout_s: Mapping[str, float]
    examples: float
    passes: float
    roles: tuple[RoleFacts, ...]

    def __post_init__(self) -> None:
        for name in ("examples", "passes"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(name, getattr(self, name), "give a share from 0 to 1")
        if not sum(role.weight for role in self.roles) > 0:
            raise ConfigError("roles", self.roles, "give at least one role a positive weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLengths:
    """Answer lengths on MATH: log-normal, cut off at the servers' limit.

    Attributes:
        sigma: standard deviation of the logarithm.
        question_share: share of the logarithm's variance that all answers to one question have in common.
        max_tokens: where answers are cut off.
        median_tokens: by ``reasoning`` or ``other``, then by kind of prompt.
    """

    sigma: float
    question_share: float
    max_tokens: int
    median_tokens: Mapping[str, Mapping[PromptKind, float]]

    def __post_init__(self) -> None:
        if self.sigma < 0:
            raise ConfigError("sigma", self.sigma, "give 0 or more")
        if not 0 <= self.question_share <= 1:
            raise ConfigError("question_share", self.question_share, "give a share from 0 to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceFleet:
    """Everything that is known or assumed about the fleet of the published runs.

    Attributes:
        profiles: its models by served name, smallest first, each undisturbed.
        cards: the card that each model's server runs on.
        slowdown_per_busy_neighbour: what each server with work on the same card adds to a step, as a share of it.
        lengths: of answers.
        prompt_tokens: length of each kind of prompt, beside the question and others' answers.
        quoted_tokens: most that a kind of prompt quotes of one answer; kinds that are not there quote all of it.
        benchmarks: facts about question sets, by name.
    """

    profiles: Mapping[str, ModelProfile]
    cards: Mapping[str, int]
    slowdown_per_busy_neighbour: float
    lengths: AnswerLengths
    prompt_tokens: Mapping[PromptKind, int]
    quoted_tokens: Mapping[PromptKind, int]
    benchmarks: Mapping[str, BenchmarkFacts]

    def neighbours(self, model: str) -> tuple[str, ...]:
        """The models whose servers share ``model``'s card."""
        return tuple(name for name, card in self.cards.items() if card == self.cards[model] and name != model)

    def slowdown(self, busy_neighbours: int) -> float:
        """By what a step is longer beside so many servers with work."""
        return 1.0 + self.slowdown_per_busy_neighbour * busy_neighbours

    def crowded_profiles(self, busy_neighbours: int = 1) -> Mapping[str, ModelProfile]:
        """The models' profiles beside so many servers with work, as many as there are at most."""
        return MappingProxyType(
            {
                name: replace(
                    profile,
                    engine=_slower(
                        profile.engine, self.slowdown(min(busy_neighbours, len(self.neighbours(name))))
                    ),
                )
                for name, profile in self.profiles.items()
            }
        )

    def wordy(self, parameters: OutcomeParameters) -> OutcomeParameters:
        """The same models, but as wordy as the published runs' agents were on MATH.

        Their mean answer to a plain prompt becomes the calibrated one; other strategies keep their ratio to it. What
        a reasoning model writes after it has thought stays as it is: the thinking takes the rest.
        """
        plain, mean_factor = parameters.strategies[PLAIN].mean_tokens, mean_level_factor()
        models = dict(parameters.models)
        for name in self.profiles:
            traits, mean = parameters.model_traits(name), self._mean_agent_tokens(name)
            if traits.is_reasoning:
                written = AFTER_REASONING_FACTOR * plain * traits.verbosity * mean_factor
                models[name] = replace(traits, thinking_tokens=(mean - written) / mean_factor)
            else:
                models[name] = replace(traits, verbosity=mean / (plain * mean_factor))
        return replace(parameters, models=models)

    def _mean_agent_tokens(self, model: str) -> float:
        """Mean uncut answer of an agent to a question of MATH: of a log-normal, ``median * exp(sigma^2 / 2)``."""
        return self.median_tokens(model, "agent", MATH) * math.exp(self.lengths.sigma**2 / 2)

    def median_tokens(self, model: str, kind: PromptKind, benchmark: str) -> float:
        """Median length of an uncut answer."""
        facts, family = self.benchmarks[benchmark], self._family(model)
        is_bare = family == "reasoning" and kind == "question"
        factor = facts.bare_question if is_bare else facts.factor[family]
        return factor * self.lengths.median_tokens[family][kind]

    def draw_tokens(
        self, model: str, kind: PromptKind, benchmark: str, wordiness: float, rng: np.random.Generator
    ) -> int:
        """The length of one answer, in tokens.

        Args:
            model: served name.
            kind: of its prompt.
            benchmark: that the question is from.
            wordiness: the question's own deviate, drawn once per question from the standard normal.
            rng: chance of this answer.
        """
        lengths = self.lengths
        own = math.sqrt(1 - lengths.question_share) * rng.standard_normal()
        deviate = math.sqrt(lengths.question_share) * wordiness + own
        tokens = self.median_tokens(model, kind, benchmark) * math.exp(lengths.sigma * deviate)
        return int(min(lengths.max_tokens, max(1.0, tokens)))

    def _family(self, model: str) -> str:
        return "reasoning" if self.profiles[model].is_reasoning else "other"


@functools.cache
def load_reference() -> ReferenceFleet:
    """What ``reference.toml`` says."""
    data: dict[str, Any] = tomllib.loads(_DATA.read_text(encoding="utf-8"))
    known = load_profiles()
    models: dict[str, dict[str, Any]] = data["models"]
    return ReferenceFleet(
        profiles=MappingProxyType(
            {name: _profile(known[name], table, data["servers"]) for name, table in models.items()}
        ),
        cards=MappingProxyType({name: table["card"] for name, table in models.items()}),
        slowdown_per_busy_neighbour=data["servers"]["slowdown_per_busy_neighbour"],
        lengths=_lengths(data["lengths"], data["servers"]["max_output_tokens"]),
        prompt_tokens=MappingProxyType(data["prompts"]),
        quoted_tokens=MappingProxyType(data["quoted_tokens"]),
        benchmarks=MappingProxyType({name: _facts(table) for name, table in data["benchmarks"].items()}),
    )


def _profile(known: ModelProfile, table: dict[str, Any], servers: dict[str, Any]) -> ModelProfile:
    engine = EngineProfile(
        step_base_s=table["step_us_base"] / 1e6,
        per_prefill_token_s=table["step_us_per_prefill_token"] / 1e6,
        per_decode_token_s=table["step_us_per_decode_token"] / 1e6,
        kv_blocks=_KV_BLOCKS,
        max_num_seqs=servers["max_num_seqs"],
        max_num_batched_tokens=servers["max_num_batched_tokens"],
        max_model_len=servers["max_model_len"],
        scheduling_policy="priority",
        prefix_cache=False,
    )
    row = FitRow(model=table["weights"], gpu="B200", tp=1, vllm="not recorded")
    return replace(known, row=row, engine=engine)


def _lengths(table: dict[str, Any], max_tokens: int) -> AnswerLengths:
    return AnswerLengths(
        sigma=table["sigma"],
        question_share=table["question_share"],
        max_tokens=max_tokens,
        median_tokens=MappingProxyType({family: table[family] for family in ("reasoning", "other")}),
    )


def _facts(table: dict[str, Any]) -> BenchmarkFacts:
    return BenchmarkFacts(**{**table, "roles": tuple(RoleFacts(**role) for role in table["roles"])})


def _slower(engine: EngineProfile, factor: float) -> EngineProfile:
    return replace(
        engine,
        step_base_s=factor * engine.step_base_s,
        per_prefill_token_s=factor * engine.per_prefill_token_s,
        per_decode_token_s=factor * engine.per_decode_token_s,
    )
