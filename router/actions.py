"""The action space: strategies, what an executor and a planner may choose, and the labels in a trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from inframind.errors import ConfigError, UnknownTopology
from inframind.fleet.endpoints import ModelFacts
from inframind.router.topology import MAX_TEAM_SIZE, TopologySpec

STAY, ADVANCE = "STAY", "ADVANCE"


class StrategySpec(BaseModel):
    """A prompt strategy: an instruction and the sampling that goes with it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    """Unique name."""
    instruction: str = ""
    """Stands near the end of the prompt, after the task; empty leaves the prompt undegraded."""
    max_tokens: int = Field(gt=0)
    """Longest answer in tokens; a model that reasons gets room to think beside it."""
    temperature: float = Field(default=0.7, ge=0, le=2)
    """Sampling temperature."""
    expected_output_tokens: int = Field(gt=0)
    """Prior mean length of an answer; the latency model learns the rest."""
    quality_factor: float = Field(default=1.0, gt=0)
    """Prior effect on the share of questions solved, relative to the plain prompt."""
    extra: Mapping[str, Any] = Field(default_factory=dict)
    """Further body fields, such as ``chat_template_kwargs`` or ``reasoning_effort``."""


DEFAULT_STRATEGIES: tuple[StrategySpec, ...] = (
    StrategySpec(
        name="Flash",
        instruction="Give the final answer at once, without showing any working.",
        max_tokens=256,
        temperature=0.2,
        expected_output_tokens=40,
        quality_factor=0.7,
    ),
    StrategySpec(
        name="Concise",
        instruction="Show only the two or three points that matter, then give the final answer.",
        max_tokens=768,
        temperature=0.5,
        expected_output_tokens=140,
        quality_factor=0.9,
    ),
    StrategySpec(name="Plain", max_tokens=2048, expected_output_tokens=320),
    StrategySpec(
        name="DeepThink",
        instruction="Work through the problem in full: state your assumptions, derive every step, and verify "
        "the result before you give the final answer.",
        max_tokens=4096,
        expected_output_tokens=560,
        quality_factor=1.05,
    ),
)
"""Flash, Concise, Plain (the undegraded prompt) and DeepThink."""


@dataclass(frozen=True, slots=True)
class ExecutorAction:
    """A model and a strategy."""

    model: str
    strategy: str

    @property
    def label(self) -> str:
        """As it stands in a trace."""
        return f"{self.model}/{self.strategy}"


@dataclass(frozen=True, slots=True)
class PlannerAction:
    """A topology and a team size; the roles are chosen seat by seat afterwards."""

    topology: str
    team_size: int

    @property
    def label(self) -> str:
        """As it stands in a trace."""
        return f"{self.topology}/{self.team_size}"


@dataclass(frozen=True, kw_only=True)
class ActionSpace:
    """Everything that can be chosen.

    Raises:
        ConfigError: nothing to choose from, or a name used twice.
    """

    models: Mapping[str, ModelFacts]
    """By model name."""
    strategies: Mapping[str, StrategySpec]
    """By strategy name."""
    topologies: Mapping[str, TopologySpec]
    """By topology name."""
    roles: Mapping[str, tuple[str, ...]]
    """Role names by domain."""
    role_texts: Mapping[str, str] = field(default_factory=dict)
    """A digest of what each role is told, by name, as far as it is known: who is told otherwise is another role."""
    max_team: int = MAX_TEAM_SIZE
    """Largest team that is planned."""
    executor_actions: tuple[ExecutorAction, ...] = field(init=False)
    """Models x strategies, models outermost: reshaping to (models, strategies) gives the map."""
    executor_labels: tuple[str, ...] = field(init=False)
    """Label of each executor action."""
    planner_actions: tuple[PlannerAction, ...] = field(init=False)
    """Topologies x team sizes."""

    def __post_init__(self) -> None:
        for name in ("models", "strategies", "topologies", "roles"):
            if not getattr(self, name):
                raise ConfigError(name, {}, "leave at least one to choose from")
        if "general" not in self.roles:
            raise ConfigError(
                "roles", sorted(self.roles), "give the domain 'general' a role: others fall back on it"
            )
        if not 1 <= self.max_team <= MAX_TEAM_SIZE:
            raise ConfigError("max_team", self.max_team, f"use 1 to {MAX_TEAM_SIZE}")
        steps = tuple(ExecutorAction(model, name) for model in self.models for name in self.strategies)
        plans = tuple(
            PlannerAction(spec.name, size)
            for spec in self.topologies.values()
            for size in range(min(spec.min_planned_team, self.max_team), self.max_team + 1)
        )
        object.__setattr__(self, "executor_actions", steps)
        object.__setattr__(self, "executor_labels", tuple(action.label for action in steps))
        object.__setattr__(self, "planner_actions", plans)

    def topology(self, name: str) -> TopologySpec:
        """The topology of that name.

        Raises:
            UnknownTopology: there is none.
        """
        try:
            return self.topologies[name]
        except KeyError:
            raise UnknownTopology(name, tuple(self.topologies)) from None

    def roles_for(self, domain: str) -> tuple[str, ...]:
        """Role names of a domain; a domain without any uses those of ``general``."""
        return self.roles.get(domain) or self.roles["general"]


def strategies_by_name(strategies: Sequence[StrategySpec]) -> Mapping[str, StrategySpec]:
    """Index strategies by name.

    Raises:
        ConfigError: a name is used twice.
    """
    index: dict[str, StrategySpec] = {}
    for strategy in strategies:
        if strategy.name in index:
            raise ConfigError("strategies.name", strategy.name, "give every strategy its own name")
        index[strategy.name] = strategy
    return index
