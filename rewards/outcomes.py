"""What came of a batch of runs, as far as a reward may look at it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from inframind.errors import ConfigError
from inframind.rewards.arrays import Array, Flags, flags, floats, require_all_between, require_same_shape

_FLOATS = ("latency_s_B", "budget_s_B", "step_latency_s_B", "remaining_s_B", "judge_score_B", "cost_usd_B")
MAX_JUDGE_SCORE = 10.0
_HIGHEST = {
    "latency_s_B": math.inf,
    "step_latency_s_B": math.inf,
    "judge_score_B": MAX_JUDGE_SCORE,
    "cost_usd_B": math.inf,
}
"""The upper bound of each number that must not be negative."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunOutcomes:
    """Outcomes of B samples: runs for a planner; for an executor steps, each with the outcome of its run.

    Sequences are turned into arrays; arrays are kept as they are, so do not write to them afterwards.

    Attributes:
        solved_B: whether the run's answer is right.
        latency_s_B: seconds from the run's arrival to its final answer.
        budget_s_B: the run's whole latency budget in seconds.
        step_latency_s_B: seconds of the step itself, or None for runs.
        remaining_s_B: what was left of the budget when the step began, negative when it had passed.
        judge_score_B: predicted or judged quality, 0 to 10.
        cost_usd_B: price of the sample in US dollars.

    Raises:
        ConfigError: lengths differ, a budget is not positive, a latency or a cost is negative, a score is
            outside 0 to 10, a number is not finite, or ``solved_B`` is not of bool.
    """

    solved_B: Flags
    latency_s_B: Array
    budget_s_B: Array
    step_latency_s_B: Array | None = None
    remaining_s_B: Array | None = None
    judge_score_B: Array | None = None
    cost_usd_B: Array | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "solved_B", flags("solved_B", self.solved_B))
        given = {
            name: floats(name, getattr(self, name)) for name in _FLOATS if getattr(self, name) is not None
        }
        for name, array in given.items():
            object.__setattr__(self, name, array)
        require_same_shape({"solved_B": self.solved_B, **given})
        self._check_ranges()

    def _check_ranges(self) -> None:
        if (self.budget_s_B <= 0).any():
            raise ConfigError("budget_s_B", float(self.budget_s_B.min()), "give positive budgets in seconds")
        for name, highest in _HIGHEST.items():
            array: Array | None = getattr(self, name)
            if array is not None:
                require_all_between(name, array, 0, highest)

    def __len__(self) -> int:
        return len(self.solved_B)

    @property
    def is_late_B(self) -> Flags:
        """Whether the budget was exceeded; a run that takes exactly its budget is in time."""
        return np.greater(self.latency_s_B, self.budget_s_B)
