"""Shadow mode: watch any compiled graph with any chat models, and note what we would have chosen."""

from __future__ import annotations

from langchain_core.callbacks import BaseCallbackManager

from inframind.plugin.graphs.heard import HeardCall, frontier
from inframind.plugin.graphs.listener import CallListener
from inframind.plugin.graphs.live_runs import LiveRuns, RunTerms
from inframind.plugin.graphs.mishaps import Mishaps
from inframind.plugin.graphs.shadow import MODE, OBSERVE, ShadowDecider, keep_shadow
from inframind.plugin.graphs.tracker import Graph, followed, require_compiled
from inframind.router.decide import DecideConfig
from inframind.traces.aliases import run_alias


class Observer(CallListener):
    """Records one trace per run, with a step per model call, and a shadow decision per step.

    Changes nothing: it answers no question (it is no `KnowsRuns`), waits for nothing, and works on what the callbacks
    hand it after the application has gone on. Calls that we route ourselves have their own traces and are left out.

    Args:
        live: the runs in progress.
        decide: how the mind decides.
    """

    def __init__(self, live: LiveRuns, decide: DecideConfig) -> None:
        super().__init__(live, RunTerms(marks={MODE: OBSERVE}))
        self._mishaps = Mishaps("Observing a graph")
        self._decider = ShadowDecider(live.services, decide)

    @property
    def errors(self) -> int:
        """Errors of our own so far; the first is in the log."""
        return self._mishaps.count + self._at_begin.count + self._live.mishaps.count

    def observes(self, live: LiveRuns) -> bool:
        """Whether it is this mind's."""
        return self._live is live

    def interest(self, call: HeardCall) -> int:
        """More than a handler that did not choose the call's model, less than the one that did."""
        return 1

    def heard(self, call: HeardCall) -> None:
        """Record the call as a step, and what we would have chosen for it."""
        self._live.watch_load()
        recorder = call.run.scope.recorder
        asked = call.asked()
        query = self._live.calls.query(asked)
        step_id = recorder.new_step_id()
        decision = self._decider.decide(
            query,
            [*(str(message["content"]) for message in asked.messages), *map(str, asked.tools)],
            role=call.role,
            snapshot=call.snapshot,
            deadline=call.deadline,
            at_s=call.started_s,
            decision_id=f"{recorder.trace_id}-shadow-{step_id}",
            context={"node": call.node},
        )
        began_s = call.started_s - (call.deadline.at_s - call.deadline.budget_s)
        parents = frontier(recorder.steps, began_s)
        recorder.put_step(call.step(step_id, parents, decision_id="", domain=query.domain))
        keep_shadow(recorder, step_id, decision)
        call.run.aliases.append(run_alias(call.run_id))


def observe(graph: Graph, live: LiveRuns, decide: DecideConfig) -> Graph:
    """The same graph, watched: outputs, streams, checkpoints and requests stay as they are.

    Args:
        graph: compiled, with any chat models.
        live: the runs in progress.
        decide: how the mind decides.

    Raises:
        ConfigError: a graph that is not compiled.
    """
    require_compiled(graph)
    callbacks = (graph.config or {}).get("callbacks") or []
    handlers = callbacks.handlers if isinstance(callbacks, BaseCallbackManager) else callbacks
    if any(isinstance(handler, Observer) and handler.observes(live) for handler in handlers):
        return graph
    return followed(graph, Observer(live, decide))
