"""One run's trace while it grows. It lives beside the graph, not in its state, so that a run that fails or is
cancelled still leaves a complete trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from inframind.errors import CallerError, EndpointTimeout, InfraMindError
from inframind.fleet.clock import Clock, Deadline
from inframind.graphs.identity import current_execution, current_invocation
from inframind.graphs.ledger import Call, CallLedger
from inframind.router.cost import Prices
from inframind.router.decide import Decider
from inframind.router.latency import estimate_tokens
from inframind.router.recorded_views import WAITED
from inframind.router.shadow import KEY, WouldChoose
from inframind.router.views import Query
from inframind.traces.records import Decision, Skip, Status, Step, ToolCall, Trajectory

BOOK = "inframind"
"""Key of a trace's metadata under which a run keeps what it needs to be resumed. Plain data:

``run`` is its `run_identity`; ``calls`` names the decision of each call (see `Call.key`); ``waited_s`` are the
seconds that it lay still, waiting for a person or a process: they count neither in ``latency_s`` nor against the
budget. ``replaced`` lists the steps that were made again after an interrupt or a retry, with the tokens that they
cost: they are not among the trace's steps, where each decision is credited once. ``dealt`` says how the run came to
its policy while one was being tried, ``candidate`` what one that was only being watched would have chosen.
"""
DEALT = "dealt"


EARLY_S = 0.001
"""Seconds by which a timer may fire before its deadline. A call that timed out sooner had a timeout of its own, which
says nothing of the run's budget."""


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
        identity: `run_identity`; "" where the run cannot be resumed.
        waited_s: seconds that the run lay still.
        ledger: which call made which decision.
        replaced: steps that were made again, as plain data.
        last_error: the latest error of a step, for when there is no answer at all.
        decider: who decides for the run from its first decision to its last; None before that.
        configuration: id of what it decides with, or "".
        offered: names of the tools that its calls could use so far.
        prices: what its steps cost; None where nobody knows.
        dealt: how the run came to its policy where one is being tried, see `inframind.router.rollout.Assignment`.
        would_choose: what a policy that is only being watched would have chosen, by decision id; None where none is.
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
    tools: list[ToolCall] = field(default_factory=list)
    identity: str = ""
    waited_s: float = 0.0
    ledger: CallLedger = field(default_factory=CallLedger)
    replaced: list[Mapping[str, Any]] = field(default_factory=list)
    last_error: InfraMindError | None = None
    decider: Decider | None = None
    configuration: str = ""
    offered: frozenset[str] = frozenset()
    prices: Prices | None = None
    dealt: Mapping[str, Any] = field(default_factory=dict)
    would_choose: WouldChoose | None = None
    is_late: bool = False
    _next_step: int = 0
    _next_decision: int = 0
    _invocation: object = None
    _seen_s: float = 0.0

    @classmethod
    def resumed(cls, trajectory: Trajectory, clock: Clock, prices: Prices | None = None) -> RunRecorder:
        """The recorder of a run that was begun elsewhere, or lay still; it goes on with what was left of its budget."""
        metadata = dict(trajectory.metadata)
        book = metadata.pop(BOOK, {})
        left_s = trajectory.budget_s - trajectory.latency_s
        waited_s = clock.wall_s() - trajectory.arrived_at_s - trajectory.latency_s
        return cls(
            trace_id=trajectory.trace_id,
            query=Query(
                text=trajectory.question,
                domain=trajectory.domain,
                question_id=trajectory.question_id,
                prompt_tokens=estimate_tokens([trajectory.question]),
            ),
            deadline=Deadline(clock.now_s() + left_s, trajectory.budget_s),
            clock=clock,
            arrived_at_s=trajectory.arrived_at_s,
            metadata=metadata,
            topology=trajectory.topology,
            team=trajectory.team,
            rounds=trajectory.rounds,
            decisions=list(trajectory.decisions),
            steps=list(trajectory.steps),
            skips=list(trajectory.skips),
            tools=list(trajectory.tools),
            identity=book.get("run", ""),
            waited_s=max(waited_s, 0.0),
            ledger=CallLedger.of(book.get("calls", {}), trajectory.decisions),
            replaced=list(book.get("replaced", ())),
            dealt=book.get(DEALT, {}),
            would_choose=WouldChoose.of_plain(book.get(KEY)),
            configuration=trajectory.configuration,
            prices=prices,
            is_late=any(skip.reason == "deadline" for skip in trajectory.skips)
            or any(_was_cut(step, trajectory.budget_s) for step in trajectory.steps),
            _next_step=1 + max((step.step_id for step in trajectory.steps), default=-1),
            _next_decision=len(trajectory.decisions),
        )

    def restart(self) -> None:
        """The run starts anew from its first node: it will take over what it decided before, and skip again."""
        self.ledger.restart(self.decisions)
        self.skips.clear()

    def begin(self, name: str) -> Call:
        """A call begins that is to be decided on; ``name`` is what it is within the topology."""
        return self.ledger.begin(name, current_execution())

    def decide(self, call: Call, decision: Decision) -> None:
        """Note what a call decided or takes over; a decision that it cannot take over makes room for the new one."""
        if call.earlier is None:
            self.decisions.append(decision)
        else:
            self.decisions[:] = [decision if known is call.earlier else known for known in self.decisions]
        self.ledger.note(call, decision)

    def see(self) -> RunRecorder:
        """The run goes on; in another invocation of its graph after it lay still, such as at a breakpoint."""
        invocation, now_s = current_invocation() or self._invocation, self.clock.now_s()
        if self._invocation not in (None, invocation):
            self.lay_still(now_s - self._seen_s)
        self._invocation, self._seen_s = invocation, now_s
        return self

    def lay_still(self, waited_s: float) -> None:
        """The run waited for a person or a process: that counts neither as latency nor against the budget."""
        self.deadline = replace(self.deadline, at_s=self.deadline.at_s + waited_s)
        self.waited_s += waited_s

    @property
    def context(self) -> Mapping[str, Any]:
        """What the record of a step's decision says of the run: a rule may ask what the clock on the wall said."""
        return {WAITED: self.waited_s} if self.waited_s else {}

    def since_arrival_s(self, at_s: float | None = None) -> float:
        """Seconds after arrival, of an instant on the clock's axis or of now."""
        at_s = self.clock.now_s() if at_s is None else at_s
        return at_s - (self.deadline.at_s - self.deadline.budget_s)

    def remaining_s(self) -> float:
        """Seconds left of the budget."""
        return self.deadline.remaining_s(self.clock)

    def answered_status(self) -> Status:
        """Status of a run that ends now with an answer: ``late`` or ``ok``."""
        return "late" if self.is_late or self.remaining_s() < 0 else "ok"

    def latest_answer(self) -> FinalAnswer | None:
        """What the latest call that was answered has said; None before the first."""
        answered = [step for step in self.steps if not step.error]
        if not answered:
            return None
        last = max(answered, key=lambda step: step.finished_s)
        return FinalAnswer(text=last.text, answer=last.answer, message_id="", step_id=last.step_id)

    def new_step_id(self, call: Call | None = None) -> int:
        """Id of a step that begins now: of the step that it replaces, where the call has been made before."""
        if call is not None and call.earlier is not None:
            for step in self.steps:
                if step.decision_id == call.earlier.decision_id:
                    return step.step_id
        self._next_step += 1
        return self._next_step - 1

    def new_decision_id(self, call: Call | None = None) -> str:
        """Id of a decision that is being made: of the one that it replaces, where the call has been made before."""
        if call is not None and call.earlier is not None:
            return call.earlier.decision_id
        self._next_decision += 1
        return f"{self.trace_id}-{self._next_decision - 1}"

    def put_step(self, step: Step) -> None:
        """Note a step that has ended; one that was made again replaces what it was before."""
        self.replaced += [_replaced(known) for known in self.steps if known.step_id == step.step_id]
        self.steps[:] = [known for known in self.steps if known.step_id != step.step_id]
        self.steps.append(step)
        self._seen_s = self.clock.now_s()

    def skip(self, node: str, reason: str) -> None:
        """Note a planned call that is left out."""
        self.skips[:] = [known for known in self.skips if known.node != node]
        self.skips.append(Skip(node=node, reason=reason, at_s=self.since_arrival_s()))

    def put_tool(self, tool: ToolCall) -> None:
        """Note a tool that has ended. Who heard it run tells before whoever is given its result, and is believed."""
        if all(known.call_id != tool.call_id for known in self.tools):
            self.tools.append(tool)

    def never_began(self, error: BaseException | None) -> bool:
        """Whether a mistake of its caller ends the run before anything was decided: there is nothing to tell of it."""
        return isinstance(error, CallerError) and not (self.decisions or self.steps)

    def freeze(
        self, status: Status, *, final: FinalAnswer | None = None, error: BaseException | None = None
    ) -> Trajectory:
        """The trace as it stands. A mistake of the caller cancels a run: it is nobody else's failure."""
        if status == "failed" and isinstance(error, CallerError):
            status = "cancelled"
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
            tools=tuple(self.tools),
            answer=final.answer if final else "",
            text=final.text if final else "",
            final_step_id=final.step_id if final else None,
            status=status,
            error=type(error).__name__ if error else "",
            error_detail=str(error) if error else "",
            latency_s=self.since_arrival_s(),
            configuration=self.configuration,
            cost=self.prices.of_steps(self.steps) if self.prices else None,
            metadata={**self.metadata, **self._book()},
        )

    def _book(self) -> dict[str, Any]:
        watched = self.would_choose.to_plain() if self.would_choose else {}
        if not (self.identity or self.replaced or self.waited_s or self.dealt or watched):
            return {}
        return {
            BOOK: {
                "run": self.identity,
                "calls": self.ledger.keys(),
                "waited_s": self.waited_s,
                "replaced": self.replaced,
                **({DEALT: self.dealt} if self.dealt else {}),
                **watched,
            }
        }


def _was_cut(step: Step, budget_s: float) -> bool:
    return step.error == EndpointTimeout.__name__ and step.finished_s >= budget_s - EARLY_S


def _replaced(step: Step) -> dict[str, Any]:
    names = (
        "step_id",
        "decision_id",
        "started_s",
        "finished_s",
        "error",
        "prompt_tokens",
        "completion_tokens",
    )
    return {name: getattr(step, name) for name in names}
