"""One run of an application: its trace while it grows, its deadline, and each node's share of what is left."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from inframind.fleet.clock import Clock, Deadline
from inframind.graphs.recorder import RunRecorder
from inframind.plugin.calls.shares import AllThatIsLeft, NodeShares
from inframind.plugin.calls.visits import Visit, needed_s, slowness
from inframind.traces.records import Decision, Step


@dataclass(slots=True, kw_only=True, weakref_slot=True, eq=False)
class RunScope:
    """One run of an application.

    Attributes:
        recorder: its trace while it grows.
        graph: name of the graph, or "".
        is_tracked: whether somebody says when it ends; its trace is ``open`` until then.
        is_hard: whether calls fail once the budget is spent; otherwise the budget is what decisions aim at.
        shares: splits the budget.
        opener: LangGraph's id of the task that opened it, where a part of a graph keeps track of it; or "".
        invocation: the invocation of a graph that it was last seen in, where a part of a graph keeps track of it.
        seen_s: when that was, on the clock's monotonic axis.
        has_ended: whether somebody said that it has ended, with an answer.
        parts: nodes with a trace of their own that have ended.
    """

    recorder: RunRecorder
    graph: str = ""
    is_tracked: bool = False
    is_hard: bool = False
    shares: NodeShares = field(default_factory=AllThatIsLeft)
    opener: str = ""
    invocation: object = None
    seen_s: float = 0.0
    has_ended: bool = False
    parts: list[Visit] = field(default_factory=list)

    @property
    def trace_id(self) -> str:
        """Id of the run and of its trace."""
        return self.recorder.trace_id

    def share(self, node: str, clock: Clock) -> Deadline:
        """What a node that begins now should keep to; the whole deadline where nothing is left to split.

        Only a run of which somebody says when it ends is split: of another, nobody knows whether more will come.
        """
        remaining_s = self.recorder.remaining_s()
        if remaining_s <= 0 or not self.is_tracked:
            return self.recorder.deadline
        share_s = min(remaining_s, self.shares.share_s(self.graph, node, remaining_s, self._visit(node)))
        if share_s >= remaining_s:
            return self.recorder.deadline
        return Deadline(clock.now_s() + share_s, self.recorder.since_arrival_s() + share_s)

    def aim(self, node: str, share: Deadline, clock: Clock) -> Deadline:
        """The deadline to decide by, so that the share is kept to by a node that is slower, or faster, than predicted.

        Candidates are compared with it by their predictions, which do not know the node. Where there is more than the
        rest of the run can need, nobody is hurried by the share.
        """
        share_s, remaining_s = share.remaining_s(clock), self.recorder.remaining_s()
        if share_s <= 0 or not self.is_tracked:
            return share
        may_s = max(share_s, self.shares.spare_s(self.graph, node, remaining_s, self._visit(node)))
        aim_s = min(may_s / self.shares.slowness(self.graph, node), remaining_s)
        return Deadline(clock.now_s() + aim_s, self.recorder.since_arrival_s() + aim_s)

    def seen(self, node: str, share: Deadline, clock: Clock) -> dict[str, Any]:
        """What a decision for a node goes by, as plain data for its record; ``share`` is the node's."""
        recorder = self.recorder
        seen = {**recorder.context, "node": node, "run_remaining_s": recorder.remaining_s()}
        if share is not recorder.deadline:
            seen["share_s"] = share.remaining_s(clock)
        slow = self.shares.slowness(self.graph, node) if self.is_tracked else 1.0
        if slow != 1.0:
            seen["slowness"] = slow
        return seen

    def _visit(self, node: str) -> int:
        """How often a node has answered in this run."""
        answered = sum(step.node == node and not step.error for step in self.recorder.steps)
        return answered + sum(part.node == node for part in self.parts)

    def note_step(self, step: Step, decision: Decision | None, *, is_careful: bool) -> None:
        """A call was answered: what its node needs is learned from it, see `needed_s` and `slowness`."""
        slow = slowness(step, decision, is_careful=is_careful)
        self.shares.note_node(self.graph, step.node, needed_s(step, decision), slow)

    def note_part(self, visit: Visit) -> None:
        """A node with a trace of its own has ended."""
        self.parts.append(visit)
        self.shares.note_node(self.graph, visit.node, visit.needed_s)


current_scope: ContextVar[RunScope | None] = ContextVar("inframind_run_scope", default=None)
"""The run that `InfraMind.run` opened around the code that is running."""
stored_later: ContextVar[RunScope | None] = ContextVar("inframind_stored_later", default=None)
"""The run of which the calls here need not store that it goes on: whoever set this stores it after them."""
