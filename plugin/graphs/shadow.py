"""Shadow decisions: what we would have chosen for a call that somebody else chose the model of.

They are no part of `Trajectory.decisions`, which hold what was acted on, with the probability that it had: nothing was
acted on here, and no learner may take them for a behaviour policy's. They are plain data in the trajectory's metadata,
under ``shadow``, each with the ``step_id`` of the call that was really made; their policy is called ``shadow:...``, and
the steps that they shadow have no ``decision_id``. A run that was only watched has ``metadata["mode"] = "observe"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from inframind.fleet.clock import Clock, Deadline
from inframind.fleet.snapshot import FleetSnapshot
from inframind.graphs.recorder import RunRecorder
from inframind.graphs.services import Services
from inframind.plugin.calls.asked import PLAIN
from inframind.plugin.calls.router import SINGLE_CALL
from inframind.router.decide import DecideConfig, Decider
from inframind.router.latency import estimate_tokens
from inframind.router.views import Query, Slot
from inframind.traces.records import Decision, Trajectory

MODE, OBSERVE = "mode", "observe"
SHADOW = "shadow"
"""Key of a trajectory's metadata under which its shadow decisions are."""
PREFIX = "shadow:"
"""What the policy's name of a shadow decision begins with."""

_FIELDS = tuple(field.name for field in fields(Decision))


@dataclass(frozen=True, slots=True)
class ShadowDecision:
    """What would have been chosen for a step.

    Attributes:
        step_id: the call that was really made.
        decision: never acted on; its policy is called ``shadow:...``.
    """

    step_id: int
    decision: Decision

    @property
    def model(self) -> str:
        """Model that would have been chosen."""
        return str(self.decision.choice["model"])

    def q50_s(self, model: str) -> float | None:
        """Predicted median seconds of this call at a model, with the strategy that would have been chosen."""
        label = f"{model}/{self.decision.choice['strategy']}"
        places = {action: place for place, action in enumerate(self.decision.actions)}
        return self.decision.latency_q50_s[places[label]] if label in places else None


def shadows_of(trajectory: Trajectory) -> dict[int, ShadowDecision]:
    """The shadow decisions of a trace, by the step that they shadow; empty for a trace without any."""
    return {entry["step_id"]: _shadow(entry) for entry in trajectory.metadata.get(SHADOW, ())}


def keep_shadow(recorder: RunRecorder, step_id: int, decision: Decision) -> None:
    """Add a shadow decision to a run's metadata. The list is a new one: traces that were stored keep theirs."""
    entry = {"step_id": step_id, **{name: getattr(decision, name) for name in _FIELDS}}
    recorder.metadata = {**recorder.metadata, SHADOW: [*recorder.metadata.get(SHADOW, ()), entry]}


def _shadow(entry: Mapping[str, Any]) -> ShadowDecision:
    """From plain data, in which some stores turn tuples into lists."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()
    }
    return ShadowDecision(step_id=values.pop("step_id"), decision=Decision(**values))


class _Instant:
    """The clock of a decision that is made later than it is about."""

    def __init__(self, clock: Clock) -> None:
        self.at_s, self._clock = 0.0, clock

    def now_s(self) -> float:
        return self.at_s

    def wall_s(self) -> float:
        return self._clock.wall_s() - (self._clock.now_s() - self.at_s)


class ShadowDecider:
    """Decides as the mind would have at an earlier instant, always for the policy's best: chance has no part in it.

    Not thread-safe: used on the background loop alone.

    Args:
        services: whose policy, latency model and candidates are asked.
        config: how the mind decides; exploration is left out.
    """

    def __init__(self, services: Services, config: DecideConfig) -> None:
        self._services, self._clock = services, _Instant(services.clock)
        self._config = DecideConfig(
            greedy=True, switching=config.switching, deadline_quantile=config.deadline_quantile
        )
        self._serving = services.versions.lineup.serving.decider
        self._decider = self._beside(self._serving)

    def _beside(self, serving: Decider) -> Decider:
        """Decides by the same policy and rules."""
        return Decider(
            serving.actions,
            serving.policy,
            serving.latency,
            clock=self._clock,
            rng=np.random.default_rng(0),
            config=self._config,
            book=serving.book,
        )

    def decide(
        self,
        query: Query,
        texts: list[str],
        *,
        role: str,
        snapshot: FleetSnapshot,
        deadline: Deadline,
        at_s: float,
        decision_id: str,
        context: Mapping[str, Any],
    ) -> Decision:
        """What would have been chosen at that instant, with the prompt as the application wrote it."""
        serving = self._services.versions.lineup.serving.decider
        if serving is not self._serving:
            self._serving, self._decider = serving, self._beside(serving)
        self._clock.at_s, self._decider.policy = at_s, serving.policy
        slot = Slot(
            topology=SINGLE_CALL,
            role=role,
            prompt_tokens=estimate_tokens(texts),
            strategies=frozenset({PLAIN}),
        )
        _, decision = self._decider.step(
            query, slot, snapshot, deadline, decision_id=decision_id, context={MODE: OBSERVE, **context}
        )
        decision.policy = PREFIX + decision.policy  # type: ignore[misc]  # final for readers, not for its maker
        return decision
