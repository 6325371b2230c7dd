"""Per-node routing of a graph whose models have configurable fields, without editing its nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Never
from uuid import UUID

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import Runnable, RunnableConfig

from inframind.fleet.endpoints import Capability, EndpointSpec
from inframind.graphs.domains import guess_domain
from inframind.plugin.calls.scope import RunScope
from inframind.plugin.calls.site import node_name
from inframind.plugin.graphs.choices import NodeChoice, NodeChooser
from inframind.plugin.graphs.habits import Habits
from inframind.plugin.graphs.heard import HeardCall, frontier
from inframind.plugin.graphs.listener import CallListener
from inframind.plugin.graphs.live_runs import LiveRuns, RunTerms
from inframind.plugin.graphs.nodes import WrappedNode, node_names, with_nodes
from inframind.plugin.graphs.remarks import Remarks
from inframind.plugin.graphs.route_options import KNOWN, Field, Needs, RouteOptions
from inframind.plugin.graphs.tracker import Graph, followed, require_compiled
from inframind.plugin.unknown_options import refuse_unknown
from inframind.traces.aliases import run_alias

ROUTE_METADATA = "inframind_route"
"""Key of the metadata by which a call says which decision it follows: ``{"decision_id", "execution"}``."""
LEARNED: frozenset[Capability] = frozenset({"tools", "json"})
"""Needs that a node has in all of its calls, where it has them in one; whether it shows a picture depends on its state.
"""


class RouteTracker(CallListener):
    """Gives the runs of a routed graph one deadline and one trace, and records the calls that follow a decision.

    A decision is recorded with the first call that took its model, see `Habits`. A node whose calls take another model,
    because its model's fields are not configurable, and a node that makes no call, leave no decision behind: they are
    as they were.

    Args:
        live: the runs in progress.
        chooser: made the decisions.
        terms: budget.
        remarks: tells the author of the graph what cannot be routed.
        has_endpoint: whether a call that took the model went to the chosen endpoint.
    """

    raise_error = True

    def __init__(
        self, live: LiveRuns, chooser: NodeChooser, terms: RunTerms, remarks: Remarks, *, has_endpoint: bool
    ) -> None:
        super().__init__(live, terms)
        self._chooser, self._has_endpoint, self._habits = chooser, has_endpoint, Habits()
        self._remarks = remarks

    def scope_of(self, run_id: UUID | None, parent_run_id: UUID | None) -> RunScope | None:
        """The run that a call belongs to, or None where that is not known."""
        run = self._live.of(run_id, parent_run_id)
        return run.scope if run is not None else None

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        **kwargs: Any,
    ) -> None:
        """A chat model is called: as was chosen, or not?"""
        super().on_chat_model_start(serialized, messages, run_id=run_id, **kwargs)
        with self._mishaps:
            call = self._open.get(run_id)
            choice = self._choice(call) if call is not None else None
            if call is not None and choice is not None and not call.is_routed:
                self._compare(call, choice, _place_of(serialized))

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """The call was answered: so the endpoint is up."""
        with self._mishaps:
            self._tell_fleet(run_id, None)
        super().on_llm_end(response, run_id=run_id, **kwargs)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """The call failed: a retried execution of its node, which may begin at once, chooses another model."""
        with self._mishaps:
            call = self._open.get(run_id)
            choice = self._followed(call) if call is not None else None
            if choice is not None and isinstance(error, Exception):
                self._chooser.fail(choice)
            if call is not None and self._choice(call) and getattr(error, "status_code", None) == 404:
                self._remarks.not_found(call.node, call.asked_model)
            self._tell_fleet(run_id, error)
        super().on_llm_error(error, run_id=run_id, **kwargs)

    def interest(self, call: HeardCall) -> int:
        """The most where a decision was made for the call's node; an observer has more to say of any other."""
        return 2 if ROUTE_METADATA in call.metadata else 0

    def heard(self, call: HeardCall) -> None:
        """Record the call, and the decision that it followed."""
        recorder = call.run.scope.recorder
        choice = self._followed(call)
        if choice is not None and not choice.is_recorded:
            choice.is_recorded = True
            recorder.decisions.append(choice.decision)
        step = call.step(
            recorder.new_step_id() if choice is None else self._step_id(call, choice),
            frontier(recorder.steps, call.started_s - (call.deadline.at_s - call.deadline.budget_s)),
            decision_id=choice.decision.decision_id if choice else "",
            endpoint=choice.endpoint.name if choice and self._has_endpoint else "",
            domain=guess_domain(call.asked().question),
        )
        recorder.put_step(step)
        call.run.aliases.append(run_alias(call.run_id))
        if not step.error:
            is_careful = self._live.services.decider.is_careful
            call.run.scope.note_step(step, choice.decision if choice else None, is_careful=is_careful)
        if choice is not None and not step.error:
            self._learn(call, choice, step.completion_tokens)

    def _choice(self, call: HeardCall) -> NodeChoice | None:
        """The decision that was made for the call's node."""
        about = call.metadata.get(ROUTE_METADATA)
        return self._chooser.of(about["decision_id"]) if isinstance(about, Mapping) else None

    def _followed(self, call: HeardCall) -> NodeChoice | None:
        """The decision that a call followed: one was made for its node, and it took that model, from its server."""
        choice = self._choice(call)
        if choice is None or call.run_id in choice.astray:
            return None
        return choice if self._habits.follows(call.node, choice.model, call.asked_model) else None

    def _compare(self, call: HeardCall, choice: NodeChoice, place: str) -> None:
        """Note whether a call that begins does as was chosen, and what it needs; ``place`` is its server, or ""."""
        if call.asked_model != choice.model:
            choice.called_instead.add(call.asked_model)
            return
        choice.is_followed = True
        if self._has_endpoint and place and place.rstrip("/") != choice.endpoint.base_url.rstrip("/"):
            choice.astray.add(call.run_id)
            self._chooser.leave(choice.node)
            self._remarks.elsewhere(choice.node, choice.model, place)
            return
        needs = call.needs & LEARNED
        self._chooser.note_needs(choice.node, needs)
        if missing := needs - frozenset(choice.endpoint.capabilities):
            self._remarks.lacks(choice.node, choice.model, " and ".join(sorted(missing)))

    def _tell_fleet(self, run_id: UUID, error: BaseException | None) -> None:
        """The endpoint's breaker learns how a call ended that went there; at once, for the next decision."""
        call = self._open.get(run_id)
        choice = self._choice(call) if call is not None and self._has_endpoint else None
        if call is None or choice is None or call.is_routed or call.asked_model != choice.model:
            return
        if run_id not in choice.astray:
            self._live.services.fleet.note_outcome(choice.endpoint.name, error, sent_s=call.started_s)

    def _step_id(self, call: HeardCall, choice: NodeChoice) -> int:
        """Of the step that this call replaces, where its node is executed again; else a new one."""
        execution = call.metadata[ROUTE_METADATA]["execution"]
        place = choice.calls_by_execution.get(execution, 0)
        choice.calls_by_execution[execution] = place + 1
        if place == len(choice.step_ids):
            choice.step_ids.append(call.run.scope.recorder.new_step_id())
        return choice.step_ids[place]

    def _learn(self, call: HeardCall, choice: NodeChoice, output_tokens: int | None) -> None:
        """Tell the latency model what the call took; its answer's first token only where it was streamed."""
        before_s = call.started_s - call.snapshot.taken_s
        first_s = None if call.first_token_s is None else call.first_token_s - call.started_s
        self._live.services.decider.latency.observe(
            choice.model,
            str(choice.decision.choice["strategy"]),
            call.snapshot,
            choice.prompt_tokens,
            before_s + call.ended_s - call.started_s,
            ttft_s=None if first_s is None else before_s + first_s,
            output_tokens=output_tokens,
        )


class RoutedNode(WrappedNode):
    """A node that runs with the model that was chosen for its state.

    Args:
        inner: what it runs.
        name: of the node.
        metadata: of the node.
        live: the runs in progress.
        chooser: decides.
        options: how models are reached.
        remarks: tells the author of the graph what cannot be routed.
    """

    def __init__(
        self,
        inner: Runnable[Any, Any],
        name: str,
        metadata: Mapping[str, Any],
        live: LiveRuns,
        chooser: NodeChooser,
        options: RouteOptions,
        remarks: Remarks,
    ) -> None:
        super().__init__(inner, name)
        self._node, self._metadata, self._live = name, metadata, live
        self._chooser, self._options, self._remarks = chooser, options, remarks

    def config_for(self, state: Any, config: RunnableConfig) -> RunnableConfig:
        """The config with the chosen model; as it is where the caller has chosen one, or nobody tracks the run."""
        configurable, node = config.get("configurable", {}), node_name(config.get("metadata") or {})
        scope = self._scope(config)
        if scope is None or self._chooser.has_left(node):
            return config
        if any(f"{prefix}model" in configurable for prefix in self._options.prefixes):
            return {**config, "configurable": {**self._places(configurable), **configurable}}
        self._live.watch_load()
        needs = self._options.needs_of(self._node)
        choice = self._chooser.choose(scope, node, state, self._metadata, needs)
        about = {"decision_id": choice.decision.decision_id, "execution": choice.executions}
        fields = (self._fields(prefix, choice.endpoint) for prefix in self._options.prefixes)
        return {
            **config,
            "configurable": {**configurable, **{key: value for one in fields for key, value in one.items()}},
            "metadata": {**config.get("metadata", {}), ROUTE_METADATA: about},
        }

    def has_run(self, config: RunnableConfig) -> None:
        """Say so where the node's calls never took the model that was chosen for it."""
        about = config.get("metadata", {}).get(ROUTE_METADATA)
        choice = self._chooser.of(about["decision_id"]) if about else None
        if choice is not None and not choice.is_followed:
            for called in sorted(filter(None, choice.called_instead)):
                self._remarks.not_followed(choice.node, called)

    def _scope(self, config: RunnableConfig) -> RunScope | None:
        callbacks = config.get("callbacks")
        parent = callbacks.parent_run_id if isinstance(callbacks, BaseCallbackManager) else None
        run = self._live.of(None, parent)
        return run.scope if run is not None else None

    def _places(self, configurable: Mapping[str, Any]) -> dict[str, str]:
        """Where the models are that the caller has chosen, as far as the fleet has them."""
        chosen = {prefix: configurable.get(f"{prefix}model") for prefix in self._options.prefixes}
        found = {prefix: self._chooser.endpoint_of(str(model)) for prefix, model in chosen.items() if model}
        return {
            key: value
            for prefix, endpoint in found.items()
            if endpoint is not None and f"{prefix}base_url" not in configurable
            for key, value in self._fields(prefix, endpoint).items()
        }

    def _fields(self, prefix: str, endpoint: EndpointSpec) -> dict[str, str]:
        key = endpoint.api_key.get_secret_value() if endpoint.api_key else "none"
        values: dict[Field, str] = {"model": endpoint.model, "base_url": endpoint.base_url, "api_key": key}
        return {f"{prefix}{name}": values[name] for name in self._options.fields}


def route(
    graph: Graph,
    live: LiveRuns,
    *,
    budget_s: float | None = None,
    hard: bool = False,
    fields: Sequence[Field] = ("model", "base_url"),
    prefix: str | Sequence[str] = "",
    only: str | Iterable[str] | None = None,
    skip: str | Iterable[str] = (),
    needs: Needs | None = None,
    **unknown: Never,
) -> Graph:
    """A copy of a graph in which every execution of a node runs with the model that is chosen for its state.

    For graphs whose models were made with ``init_chat_model(..., model_provider="openai", configurable_fields=("model",
    "base_url"))``. The application's own client makes the calls: later decisions avoid a server that fails, and what
    mends the run itself is LangGraph's ``RetryPolicy(retry_on=inframind.retry_on)``, under which a node that failed
    chooses another model. Nodes whose model is `ChatInfraMind` need none of this, they route each call themselves.

    What cannot be routed is said in the log ``inframind.graphs``, once per node.

    Args:
        graph: compiled; stays as it is.
        live: the runs in progress.
        budget_s: seconds for a run; None takes the configured default.
        hard: as in `budgeted`, for the calls that we make; those of the application's client are not cut short.
        fields: see `RouteOptions`.
        prefix: the models' ``config_prefix``, or several.
        only: the nodes to route, or one; see `RouteOptions`.
        skip: the nodes to leave alone, or one; see `RouteOptions`.
        needs: what a model must be able to do, by node or for all nodes; see `RouteOptions`. Tools and JSON schemas
            that a node's calls were heard with are needed from then on without being named.
        unknown: none; refused with the names that there are.

    Raises:
        ConfigError: options that contradict each other or name a node that there is not, a graph that is not compiled,
            or an unknown LangGraph.
        InvalidBudget: not a positive, finite number of seconds.
    """
    refuse_unknown(unknown.keys(), KNOWN)
    require_compiled(graph)
    options = RouteOptions.of(fields=fields, prefix=prefix, only=only, skip=skip, needs=needs)
    options.require_nodes(node_names(graph))
    chooser, remarks = NodeChooser(live.calls), Remarks()

    def wrap(name: str, inner: Runnable[Any, Any], metadata: Mapping[str, Any]) -> Runnable[Any, Any]:
        if not options.takes(name):
            return inner
        return RoutedNode(inner, name, metadata, live, chooser, options, remarks)

    terms = RunTerms(budget_s=budget_s, is_hard=hard)
    tracker = RouteTracker(live, chooser, terms, remarks, has_endpoint="base_url" in options.fields)
    return followed(with_nodes(graph, wrap), tracker)


def _place_of(serialized: Mapping[str, Any]) -> str:
    """The server that a chat model calls, where its description says so; "" where it does not."""
    about = (serialized or {}).get("kwargs") or {}
    return str(about.get("openai_api_base") or about.get("base_url") or "")
