"""One run's trace while it grows. It lives beside the graph, not in its state, so that a run that fails or is
cancelled still leaves a complete trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inframind.errors import InfraMindError
from inframind.fleet.clock import Clock, Deadline
from inframind.router.views import Query
from inframind.traces.records import Decision, Skip, Status, Step, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalAnswer:
    """What the run ends with.

    Attributes:
        text: full text.
        answer: extracted answer.
        message_id: id under which it was streamed, or "".
        step_id: the step that wrote it.
    """

    text: str
    answer: str
    message_id: str
    step_id: int


@dataclass(slots=True, kw_only=True)
class RunRecorder:
    """Collects what happens, and freezes into a `Trajectory` at any moment.

    Attributes:
        trace_id: 32 hex digits.
        query: the question.
        deadline: arrival + budget.
        clock: time.
        arrived_at_s: seconds since the Unix epoch.
        metadata: the caller's own plain data.
        last_error: the latest error of a step, for when there is no answer at all.
    """

    trace_id: str
    query: Query
    deadline: Deadline
    clock: Clock
    arrived_at_s: float
    metadata: Mapping[str, Any] = field(default_factory=dict)
    topology: str = ""
    team: tuple[str, ...] = ()
    rounds: int = 0
    decisions: list[Decision] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)
    last_error: InfraMindError | None = None
    is_late: bool = False
    _next_step: int = 0
    _next_decision: int = 0

    @classmethod
    def resumed(cls, trajectory: Trajectory, clock: Clock) -> RunRecorder:
        """The recorder of a run that was begun elsewhere, or is long ago, with what is left of its budget."""
        gone_s = clock.wall_s() - trajectory.arrived_at_s
        return cls(
            trace_id=trajectory.trace_id,
            query=Query(
                text=trajectory.question, domain=trajectory.domain, question_id=trajectory.question_id
            ),
            deadline=Deadline(clock.now_s() + trajectory.budget_s - gone_s, trajectory.budget_s),
            clock=clock,
            arrived_at_s=trajectory.arrived_at_s,
            metadata=trajectory.metadata,
            topology=trajectory.topology,
            team=trajectory.team,
            rounds=trajectory.rounds,
            decisions=list(trajectory.decisions),
            steps=list(trajectory.steps),
            skips=list(trajectory.skips),
            _next_step=1 + max((step.step_id for step in trajectory.steps), default=-1),
            _next_decision=len(trajectory.decisions),
        )

    def since_arrival_s(self, at_s: float | None = None) -> float:
        """Seconds after arrival, of an instant on the clock's axis or of now."""
        at_s = self.clock.now_s() if at_s is None else at_s
        return at_s - (self.deadline.at_s - self.deadline.budget_s)

    def remaining_s(self) -> float:
        """Seconds left of the budget."""
        return self.deadline.remaining_s(self.clock)

    def new_step_id(self) -> int:
        """Id of a step that begins now."""
        self._next_step += 1
        return self._next_step - 1

    def new_decision_id(self) -> str:
        """Id of a decision that is being made."""
        self._next_decision += 1
        return f"{self.trace_id}-{self._next_decision - 1}"

    def put_step(self, step: Step) -> None:
        """Note a step that has ended; one that was made again replaces what it was before."""
        self.steps[:] = [known for known in self.steps if known.step_id != step.step_id]
        self.steps.append(step)

    def skip(self, node: str, reason: str) -> None:
        """Note a planned call that is left out."""
        self.skips.append(Skip(node=node, reason=reason, at_s=self.since_arrival_s()))

    def freeze(
        self, status: Status, *, final: FinalAnswer | None = None, error: BaseException | None = None
    ) -> Trajectory:
        """The trace as it stands."""
        return Trajectory(
            trace_id=self.trace_id,
            question=self.query.text,
            question_id=self.query.question_id,
            domain=self.query.domain,
            arrived_at_s=self.arrived_at_s,
            budget_s=self.deadline.budget_s,
            topology=self.topology,
            team=self.team,
            rounds=self.rounds,
            decisions=tuple(self.decisions),
            steps=tuple(self.steps),
            skips=tuple(self.skips),
            answer=final.answer if final else "",
            text=final.text if final else "",
            final_step_id=final.step_id if final else None,
            status=status,
            error=type(error).__name__ if error else "",
            error_detail=str(error) if error else "",
            latency_s=self.since_arrival_s(),
            metadata=self.metadata,
        )
