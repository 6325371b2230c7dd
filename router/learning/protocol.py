"""What a trainer asks of whatever learns to route: ours, the published design's, or a user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from inframind.router.latency_state import LatencyState
from inframind.router.learning.training_state import TrainingState
from inframind.router.policy import Policy
from inframind.traces.records import Trajectory


class RoutingLearner(Protocol):
    """Learns from finished runs; deterministic by its seed."""

    @property
    def name(self) -> str:
        """Name in tables and traces."""
        ...

    @property
    def multipliers(self) -> tuple[float, ...]:
        """What being late costs now, by budget tier, shortest budgets first; one for all where there is one."""
        ...

    def behaviour(self, progress: float) -> Policy:
        """The policy that explores, after that share of the training (0 to 1)."""
        ...

    def serving(self) -> Policy:
        """The policy that serves, as it is now."""
        ...

    def learn(
        self,
        trajectories: Sequence[Trajectory],
        solved: Mapping[str, bool],
        progress: float,
        *,
        imputed: Mapping[str, float] | None = None,
    ) -> Mapping[str, float]:
        """Learn from one batch of runs, in the order in which they came.

        Args:
            trajectories: finished runs.
            solved: whether each run's answer is right, by trace id.
            progress: share of the training that is done.
            imputed: calibrated probability that a run's answer is right, by trace id, for runs without a label
                (`imputing`); runs that are in neither are left out. A soft label of half weight for a critic of
                what solves; never part of a reward, so a learner that goes by rewards alone leaves these runs out.

        Raises:
            ValueError: a probability is not in [0, 1].

        Returns:
            Losses, entropies and whatever else belongs on a curve.
        """
        ...

    def end_epoch(self) -> None:
        """Called after the last batch of each epoch."""
        ...

    def save_policy(self, path: Path, *, latency: LatencyState | None, facts: Mapping[str, object]) -> Path:
        """Write the serving policy as one file."""
        ...

    def state(self) -> TrainingState:
        """Everything that is needed to go on."""
        ...

    def restore(self, state: TrainingState) -> None:
        """Go on from a state of the same configuration."""
        ...
