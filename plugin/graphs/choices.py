"""Decisions for whole executions of nodes: made before, kept for when the node is executed again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from inframind.fleet.endpoints import Capability, EndpointSpec
from inframind.fleet.snapshot import EndpointLoad, FleetSnapshot
from inframind.graphs.identity import current_execution
from inframind.plugin.calls.asked import PLAIN, AskedCall
from inframind.plugin.calls.router import SINGLE_CALL, CallRouter
from inframind.plugin.calls.scope import RunScope
from inframind.plugin.calls.site import OWN_METADATA
from inframind.plugin.graphs.asked_of_graph import question_of, size_of
from inframind.router.latency import estimate_tokens
from inframind.router.recorded_views import asked_apart
from inframind.router.views import Slot
from inframind.traces.records import Decision

KEPT = 10_000
"""Tasks that are remembered; what waits longer for a person decides anew."""
UNSEEN_S = 1.5
"""Seconds without a reading after which a server that failed is taken to be down still."""


@dataclass(slots=True, eq=False)
class NodeChoice:
    """The decision of one task: of one node, for one state.

    Attributes:
        node: name of the node, with those of the graphs around it.
        decision: what was decided.
        endpoint: replica that was chosen.
        prompt_tokens: estimate that it was decided with.
        executions: how often the node has been executed with it.
        step_ids: step of each call that the node makes, in order.
        calls_by_execution: calls that each execution has made so far.
        failed: models whose calls failed in this task.
        is_recorded: whether a call has followed it, so that the trace has it.
        is_followed: whether a call has begun that takes its model.
        called_instead: models that calls took against it.
        astray: LangChain ids of calls that took its model to another server.
    """

    node: str
    decision: Decision
    endpoint: EndpointSpec
    prompt_tokens: int
    executions: int = 1
    step_ids: list[int] = field(default_factory=list)
    calls_by_execution: dict[int, int] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()
    is_recorded: bool = False
    is_followed: bool = False
    called_instead: set[str] = field(default_factory=set)
    astray: set[UUID] = field(default_factory=set)

    @property
    def model(self) -> str:
        """Chosen model."""
        return str(self.decision.choice["model"])


class NodeChooser:
    """Decides for executions of nodes. A task that is resumed gets its decision again; one that failed, another.

    Args:
        calls: whose fleet and policy decide.
        kept: tasks that are remembered.
    """

    def __init__(self, calls: CallRouter, *, kept: int = KEPT) -> None:
        self._calls, self._kept = calls, kept
        self._lock = threading.Lock()
        self._by_task: OrderedDict[tuple[str, str], NodeChoice] = OrderedDict()
        self._by_id: dict[str, NodeChoice] = {}
        self._endpoints = {spec.name: spec for spec in calls.services.fleet.endpoints}
        self._learned: dict[str, frozenset[Capability]] = {}
        self._left: set[str] = set()

    def choose(
        self,
        scope: RunScope,
        node: str,
        state: object,
        metadata: Mapping[str, Any],
        needs: Collection[Capability],
    ) -> NodeChoice:
        """The decision of the task that is being executed.

        Args:
            scope: its run.
            node: its node, with the graphs around it.
            state: its input.
            metadata: the node's.
            needs: what a model must be able to do there.
        """
        execution = current_execution()
        task = (execution.thread_id or "", execution.task_id) if execution else ("", "")
        with self._lock:
            earlier = self._by_task.get(task) if execution else None
            if earlier is not None and not earlier.failed:
                earlier.executions += 1
                return earlier
            choice = self._decided(scope, node, state, metadata, needs, earlier)
            if execution:
                self._remember(task, choice)
        return choice

    def of(self, decision_id: str) -> NodeChoice | None:
        """The choice of that id, while its task is remembered."""
        return self._by_id.get(decision_id)

    def fail(self, choice: NodeChoice) -> None:
        """A call to its model failed: a retried execution of the task will choose another."""
        choice.failed |= {choice.model}

    def note_needs(self, node: str, needs: frozenset[Capability]) -> None:
        """A call of that node needed this: later decisions for the node know it."""
        self._learned[node] = self._learned.get(node, frozenset()) | needs

    def leave(self, node: str) -> None:
        """Decide no more for a node: its model cannot be sent to the chosen model's server."""
        self._left.add(node)

    def has_left(self, node: str) -> bool:
        """Whether nothing is decided for a node any more."""
        return node in self._left

    def endpoint_of(self, model: str) -> EndpointSpec | None:
        """The least loaded server of a model; None for a model that the fleet does not have."""
        fleet = self._calls.services.fleet
        return self._replica(model, fleet.snapshot()) if model in fleet.models else None

    def _replica(self, model: str, snapshot: FleetSnapshot, avoid: Collection[str] = ()) -> EndpointSpec:
        """The least loaded server of a model, one that is lost or to be avoided only where there is no other."""
        names = self._calls.services.fleet.models[model].endpoints
        loads = [load for name in names if (load := snapshot.loads[name]).is_available]
        best = min(
            loads,
            key=lambda load: (_is_lost(load), load.endpoint in avoid, load.occupancy),
            default=snapshot.loads[names[0]],
        )
        return self._endpoints[best.endpoint]

    def _decided(
        self,
        scope: RunScope,
        node: str,
        state: object,
        metadata: Mapping[str, Any],
        needs: Collection[Capability],
        earlier: NodeChoice | None,
    ) -> NodeChoice:
        services, recorder = self._calls.services, scope.recorder
        snapshot, share = services.fleet.snapshot(), scope.share(node, services.clock)
        own = _own(metadata)
        question = question_of(state) or recorder.query.text
        all_needs = frozenset({*needs, *own.get("needs", ()), *self._learned.get(node, ())})
        asked = AskedCall(messages=[], question=question, needs=all_needs)
        slot = Slot(
            topology=SINGLE_CALL,
            role=str(own.get("role") or ""),
            prompt_tokens=estimate_tokens(size_of(state)),
            models=self._models(own, earlier, snapshot),
            strategies=frozenset({PLAIN}),
        )
        query = self._calls.query(asked)
        chosen, decision = services.decider_of(recorder).step(
            query,
            slot,
            snapshot,
            scope.aim(node, share, services.clock),
            decision_id=recorder.new_decision_id(),
            context={**scope.seen(node, share, services.clock), **asked_apart(query, recorder.query)},
            whole_s=recorder.deadline.budget_s,
        )
        model = str(decision.choice["model"])
        endpoint = self._replica(model, snapshot, chosen.avoid)
        failed = earlier.failed if earlier else frozenset()
        return NodeChoice(node, decision, endpoint, slot.prompt_tokens, failed=failed - {model})

    def _models(
        self, own: Mapping[str, Any], earlier: NodeChoice | None, snapshot: FleetSnapshot
    ) -> frozenset[str] | None:
        """Models to choose from: the author's own, or those that have not failed in this task, or all again.

        A lost server is not tried with somebody's run while there is another: that it is back is seen without.
        """
        if own.get("model"):
            return frozenset({str(own["model"])})
        failed = earlier.failed if earlier else frozenset()
        available = [load for load in snapshot.loads.values() if load.is_available]
        lost = {load.model for load in available} - {load.model for load in available if not _is_lost(load)}
        every = self._calls.services.fleet.models.keys()
        left = every - failed - lost or every - failed
        return frozenset(left) if left and left != every else None

    def _remember(self, task: tuple[str, str], choice: NodeChoice) -> None:
        self._by_task[task] = self._by_id[choice.decision.decision_id] = choice
        self._by_task.move_to_end(task)
        if len(self._by_task) > self._kept:
            _, oldest = self._by_task.popitem(last=False)
            self._by_id.pop(oldest.decision.decision_id, None)


def _is_lost(load: EndpointLoad) -> bool:
    """Whether a server that failed, and whose load we used to read, does not show any more."""
    return load.breaker == "half_open" and load.age_s is not None and load.age_s > UNSEEN_S


def _own(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    own = metadata.get(OWN_METADATA)
    return own if isinstance(own, Mapping) else {}
