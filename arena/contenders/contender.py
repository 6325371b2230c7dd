"""Who takes part: a name, a family, and how to make the policy that decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inframind.errors import ConfigError
from inframind.router.actions import ActionSpace
from inframind.router.decide import DecideConfig
from inframind.router.latency import LatencyModel
from inframind.router.policy import Policy
from inframind.simulator.items import Item
from inframind.simulator.outcome_parameters import OutcomeParameters
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.profiles import ModelProfile, load_profiles

Family = Literal["constant", "blind", "heuristic", "oracle", "learned"]
"""``constant`` and ``blind`` never look at load; ``oracle`` sees what no router can see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingGrid:
    """One answer of every single call on every training question: what a router may learn from.

    Q = training questions, A = executor actions, in the order of ``ActionSpace.executor_actions``.

    Attributes:
        items: the questions (Q).
        solved: whether the grader found the answer right (Q, A).
        output_tokens: length of the answer, thinking included (Q, A).
    """

    items: tuple[Item, ...]
    solved: NDArray[np.bool_]
    output_tokens: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What no router can know.

    Attributes:
        outcomes: who answers, with the latent odds of every question.
        parameters: what the outcomes are drawn with.
        items: the questions that will be asked, and their answers, by id.
    """

    outcomes: LatentDifficultyModel
    parameters: OutcomeParameters
    items: Mapping[str, Item]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a contender's policy is made from.

    Attributes:
        actions: what may be chosen.
        training: recorded answers to the training questions.
        budgets_s: budgets as the scenario draws them, for whoever wants to know their distribution.
        rng: chance of the contender itself.
        truth: for oracles and bounds; None for everybody else.
        profiles: the speeds of the servers, by model; what an idle fleet was measured to take.
        seed: of the workload, for whoever was trained once per seed.
    """

    actions: ActionSpace
    training: TrainingGrid
    budgets_s: NDArray[np.float64]
    rng: np.random.Generator
    truth: Truth | None = None
    profiles: Mapping[str, ModelProfile] = field(default_factory=load_profiles)
    seed: int = 0

    @property
    def known_truth(self) -> Truth:
        """The truth, for those who cannot do without.

        Raises:
            ConfigError: there is none in this setting.
        """
        if self.truth is None:
            raise ConfigError(
                "truth", None, 'only a contender of the family "oracle" is told it: declare yours as one'
            )
        return self.truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One row of the arena.

    Attributes:
        name: unique, lower case, as on the command line.
        family: what kind of thing it is.
        summary: one line for people.
        make: makes the policy, once per seed.
        latency: makes the latency model that predicts for it, where it brings one that has learned before; a fresh
            one otherwise.
        decide: how its proposals become choices.
    """

    name: str
    family: Family
    summary: str
    make: Callable[[Setting], Policy]
    latency: Callable[[Setting], LatencyModel] | None = None
    decide: DecideConfig = field(default_factory=DecideConfig)

    @property
    def sees_truth(self) -> bool:
        """Whether its setting holds the truth; results then say that it is nothing that a router could reach."""
        return self.family == "oracle"

    @property
    def takes_forecasts(self) -> bool:
        """Whether the decider should predict latencies for it, and mask what is predicted to be too slow.

        Not for constants and the blind, who never look, and not for oracles, who know better: give those
        `inframind.arena.contenders.blind.NoForecast`.
        """
        return self.family in ("heuristic", "learned")
