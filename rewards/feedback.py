"""Rewards from what people and tools did with an answer, where no grader can say whether it was right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inframind.errors import ConfigError
from inframind.rewards.arrays import Array, Flags, flags, floats, require_all_between, require_same_shape
from inframind.rewards.breakdown import RewardBreakdown


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecommendationOutcomes:
    """What became of B recommendations. One that was neither accepted nor rejected has no verdict yet.

    Attributes:
        accepted_B: whether somebody accepted it.
        rejected_B: whether somebody rejected it.
        reliability_improved_B: whether the thing it was about became measurably more reliable.
        well_formed_B: whether it could be read as a recommendation at all.

    Raises:
        ConfigError: lengths differ, an array is not of bool, or one was both accepted and rejected.
    """

    accepted_B: Flags
    rejected_B: Flags
    reliability_improved_B: Flags
    well_formed_B: Flags

    def __post_init__(self) -> None:
        names = ("accepted_B", "rejected_B", "reliability_improved_B", "well_formed_B")
        given = {name: flags(name, getattr(self, name)) for name in names}
        require_same_shape(given)
        for name, array in given.items():
            object.__setattr__(self, name, array)
        both = int(np.sum(self.accepted_B & self.rejected_B))
        if both:
            raise ConfigError("rejected_B", f"{both} also accepted", "give each sample one verdict at most")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProcessOutcomes:
    """What B agentic steps did on the way.

    Attributes:
        tool_timeouts_B: number of tool calls that timed out.
        tool_successes_B: number of tool calls that succeeded.
        config_applied_B: whether a proposed configuration was put in place.
        reliability_delta_B: measured change of reliability, -1 to 1, 0 where nothing was measured.

    Raises:
        ConfigError: lengths differ, a count is negative, or a delta is outside -1 to 1.
    """

    tool_timeouts_B: Array
    tool_successes_B: Array
    config_applied_B: Flags
    reliability_delta_B: Array

    def __post_init__(self) -> None:
        names = ("tool_timeouts_B", "tool_successes_B", "reliability_delta_B")
        numbers = {name: floats(name, getattr(self, name)) for name in names}
        applied_B = flags("config_applied_B", self.config_applied_B)
        require_same_shape({**numbers, "config_applied_B": applied_B})
        require_all_between("tool_timeouts_B", numbers["tool_timeouts_B"], 0)
        require_all_between("tool_successes_B", numbers["tool_successes_B"], 0)
        require_all_between("reliability_delta_B", numbers["reliability_delta_B"], -1, 1)
        for name, array in {**numbers, "config_applied_B": applied_B}.items():
            object.__setattr__(self, name, array)


def outcome(
    outcomes: RecommendationOutcomes,
    *,
    accepted: float = 1.0,
    rejected: float = -1.0,
    reliability_improved: float = 0.5,
    well_formed: float = 0.1,
) -> RewardBreakdown:
    """Recommendations: accepted +1, rejected -1, reliability improved +0.5, well-formed +0.1.

    Range: -1 to 1.6 with the defaults. No verdict is 0, which is not the same as rejected: leave such samples out
    until their verdict is due.

    Source: ours, for services that recommend configurations.

    Known failure: acceptance measures persuasion as much as merit. ``well_formed`` is paid even for a rejected
    answer; keep it small, or form is all that is learned.
    """
    return RewardBreakdown(
        {
            "accepted": np.where(outcomes.accepted_B, accepted, 0.0),
            "rejected": np.where(outcomes.rejected_B, rejected, 0.0),
            "reliability_improved": np.where(outcomes.reliability_improved_B, reliability_improved, 0.0),
            "well_formed": np.where(outcomes.well_formed_B, well_formed, 0.0),
        }
    )


def process(
    outcomes: ProcessOutcomes,
    *,
    tool_timeout: float = -0.1,
    tool_success: float = 0.05,
    config_applied: float = 1.0,
    reliability: float = 1.0,
) -> RewardBreakdown:
    """Steps on the way: -0.1 a tool timeout, +0.05 a tool success, +1 a configuration applied, + the reliability delta.

    Range: unbounded, as counts are; about -1 to 2 for steps of a few calls.

    Source: ours, for agents with tools.

    Known failure: tool calls that succeed are paid whether they were needed or not, so twenty idle calls are worth
    one applied configuration. Bound the number of calls, or set ``tool_success`` to 0.
    """
    return RewardBreakdown(
        {
            "tool_timeout": tool_timeout * outcomes.tool_timeouts_B,
            "tool_success": tool_success * outcomes.tool_successes_B,
            "config_applied": np.where(outcomes.config_applied_B, config_applied, 0.0),
            "reliability": reliability * outcomes.reliability_delta_B,
        }
    )
