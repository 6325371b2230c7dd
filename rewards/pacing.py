"""STAY or ADVANCE: the reward of a search in phases, for any search with a fitness to minimise.

After each round of a phase one either stays for another round or advances to the next phase. The reward has two
terms, ``R = R_improvement + R_action``: what the round brought, and whether leaving was timely.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from inframind.errors import ConfigError
from inframind.rewards.arrays import require_between

PacingAction: TypeAlias = Literal["STAY", "ADVANCE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PacingRewardConfig:
    """Every constant of the pacing reward.

    Raises:
        ConfigError: a constant is outside its range.
    """

    stay_cost: float = 0.01
    """Price of one more round, at least 0."""
    advance_bonus: float = 0.5
    """For leaving a stagnated phase, at least 0."""
    advance_penalty: float = -0.5
    """For leaving a productive phase, at most 0."""
    stagnation_threshold: float = 0.8
    """Above this stagnation, a phase counts as stagnated; 0 to 1."""
    improvement_range: float = 1.0
    """Difference between the worst and the best fitness, above 0; 10 for a judge's scores."""

    def __post_init__(self) -> None:
        require_between("stay_cost", self.stay_cost, 0)
        require_between("advance_bonus", self.advance_bonus, 0)
        require_between("advance_penalty", self.advance_penalty, -math.inf, 0)
        require_between("stagnation_threshold", self.stagnation_threshold, 0, 1)
        _check_range("improvement_range", self.improvement_range)


@dataclass(frozen=True, slots=True, kw_only=True)
class PacingObservation:
    """What the reward looks at when a round is over and the action is chosen.

    Attributes:
        stagnation: how far the search stands still, 0 to 1: for a team, the share of agents whose answer did not
            change in the last round; for another search, the share of recent rounds without improvement.

    Raises:
        ConfigError: the stagnation is outside 0 to 1.
    """

    stagnation: float

    def __post_init__(self) -> None:
        require_between("stagnation", self.stagnation, 0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PacingReward:
    """Reward of one pacing decision, by term.

    Attributes:
        improvement: what the round brought, as a share of the fitness range.
        action: the price of staying, or the bonus or penalty of advancing.
    """

    improvement: float
    action: float

    @property
    def terms(self) -> Mapping[str, float]:
        """The terms by name."""
        return {"improvement": self.improvement, "action": self.action}

    @property
    def total(self) -> float:
        """Sum of the terms."""
        return self.improvement + self.action


def improvement(previous_best: float, current_best: float, range: float = 1.0) -> float:
    """``max(0, previous_best - current_best) / range`` of a fitness to minimise: getting worse is not punished.

    Raises:
        ConfigError: the range is not positive and finite.
    """
    _check_range("range", range)
    return max(0.0, previous_best - current_best) / range


@dataclass(frozen=True, slots=True)
class RewardComputer:
    """Rewards of pacing decisions.

    With the defaults, and an improvement of at most 1, a reward lies between -0.5 and 1.5.

    Known failure: the bonus is paid for advancing, not for the answer; where the improvement is judged by a
    predictor, a search can be left early as soon as the predictor saturates.

    Attributes:
        config: the constants.
    """

    config: PacingRewardConfig = field(default_factory=PacingRewardConfig)

    def improvement(self, previous_best: float, current_best: float) -> float:
        """What a round brought, as a share of the configured range of the fitness (to minimise)."""
        return improvement(previous_best, current_best, self.config.improvement_range)

    def compute(
        self, action: PacingAction, improvement: float, observation: PacingObservation
    ) -> PacingReward:
        """The reward of ``action``.

        Args:
            action: STAY for another round, ADVANCE to the next phase.
            improvement: what the last round brought, normalised: see the method of that name.
            observation: the state in which the action was chosen.

        Raises:
            ConfigError: the action is unknown, or the improvement is negative or not finite.
        """
        if action not in get_args(PacingAction):
            raise ConfigError("action", action, f"use one of: {', '.join(get_args(PacingAction))}")
        require_between("improvement", improvement, 0)
        return PacingReward(improvement=improvement, action=self._action_term(action, observation))

    def _action_term(self, action: PacingAction, observation: PacingObservation) -> float:
        if action == "STAY":
            return -self.config.stay_cost
        is_stagnated = observation.stagnation > self.config.stagnation_threshold
        return self.config.advance_bonus if is_stagnated else self.config.advance_penalty


def _check_range(field: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ConfigError(field, value, "give the positive distance from the worst to the best fitness")
