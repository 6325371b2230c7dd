"""Per-node routing of a graph whose models have configurable fields, without editing its nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.runnables import Runnable, RunnableConfig

from inframind.errors import ConfigError
from inframind.fleet.endpoints import Capability
from inframind.graphs.domains import guess_domain
from inframind.plugin.calls.runs import RunScope
from inframind.plugin.graphs.choices import NodeChoice, NodeChooser
from inframind.plugin.graphs.habits import Habits
from inframind.plugin.graphs.heard import HeardCall, frontier
from inframind.plugin.graphs.listener import CallListener
from inframind.plugin.graphs.live_runs import LiveRuns, RunTerms
from inframind.plugin.graphs.nodes import WrappedNode, node_names, with_nodes
from inframind.plugin.graphs.tracker import Graph
from inframind.traces.aliases import run_alias

Field = Literal["model", "base_url", "api_key"]
ROUTE_METADATA = "inframind_route"
"""Key of the metadata by which a call says which decision it follows: ``{"decision_id", "execution"}``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteOptions:
    """How the models of a graph are reached, and which of its nodes are routed.

    Attributes:
        fields: what the models were made configurable in. ``base_url`` where each model has servers of its own;
            ``model`` alone behind a gateway. ``api_key`` only where the endpoints need different keys: it is then in
            the run's config, which other handlers see.
        prefixes: the ``config_prefix`` of the models; several where they differ.
        only: nodes to route; None means all.
        skip: nodes to leave alone.
        needs: what a model must be able to do in a node, such as ``{"agent": ("tools",)}``. A node's metadata may say
            the same: ``add_node(..., metadata={"inframind": {"needs": ["tools"], "role": "Programmer"}})``.

    Raises:
        ConfigError: ``model`` is not among the fields, or both ``only`` and ``skip`` are given.
    """

    fields: tuple[Field, ...] = ("model", "base_url")
    prefixes: tuple[str, ...] = ("",)
    only: frozenset[str] | None = None
    skip: frozenset[str] = frozenset()
    needs: Mapping[str, Sequence[Capability]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if "model" not in self.fields:
            raise ConfigError("fields", self.fields, "name at least 'model'")
        if self.only is not None and self.skip:
            raise ConfigError("skip", sorted(self.skip), "give either only or skip")

    def takes(self, node: str) -> bool:
        """Whether a node is routed."""
        return node not in self.skip and (self.only is None or node in self.only)

    def require_nodes(self, names: Iterable[str]) -> None:
        """Check that all nodes that are named exist.

        Raises:
            ConfigError: one does not.
        """
        known = frozenset(names)
        for what, named in (("only", self.only or ()), ("skip", self.skip), ("needs", self.needs)):
            for name in sorted(set(named) - known):
                raise ConfigError(what, name, f"the graph has the nodes {', '.join(sorted(known))}")


class RouteTracker(CallListener):
    """Gives the runs of a routed graph one deadline and one trace, and records the calls that follow a decision.

    A decision is recorded with the first call that took its model, see `Habits`. A node whose calls take another model,
    because its model's fields are not configurable, and a node that makes no call, leave no decision behind: they are
    as they were.

    Args:
        live: the runs in progress.
        chooser: made the decisions.
        terms: budget.
        has_endpoint: whether a call that took the model went to the chosen endpoint.
    """

    raise_error = True

    def __init__(self, live: LiveRuns, chooser: NodeChooser, terms: RunTerms, *, has_endpoint: bool) -> None:
        super().__init__(live, terms)
        self._chooser, self._has_endpoint, self._habits = chooser, has_endpoint, Habits()

    def scope_of(self, run_id: UUID | None, parent_run_id: UUID | None) -> RunScope | None:
        """The run that a call belongs to, or None where that is not known."""
        run = self._live.of(run_id, parent_run_id)
        return run.scope if run is not None else None

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """The call failed: a retried execution of its node, which may begin at once, chooses another model."""
        with self._mishaps:
            call = self._open.get(run_id)
            choice = self._followed(call) if call is not None else None
            if choice is not None and isinstance(error, Exception):
                self._chooser.fail(choice)
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
        if choice is not None and not step.error:
            call.run.scope.shares.note_node(call.run.scope.graph, call.node, step.latency_s)
            self._learn(call, choice, step.completion_tokens)

    def _followed(self, call: HeardCall) -> NodeChoice | None:
        """The decision that a call followed: one was made for its node, and it took that model."""
        about = call.metadata.get(ROUTE_METADATA)
        choice = self._chooser.of(about["decision_id"]) if isinstance(about, Mapping) else None
        if choice is None or not self._habits.follows(call.node, choice.model, call.asked_model):
            return None
        return choice

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
    """

    def __init__(
        self,
        inner: Runnable[Any, Any],
        name: str,
        metadata: Mapping[str, Any],
        live: LiveRuns,
        chooser: NodeChooser,
        options: RouteOptions,
    ) -> None:
        super().__init__(inner, name)
        self._node, self._metadata, self._live = name, metadata, live
        self._chooser, self._options = chooser, options

    def config_for(self, state: Any, config: RunnableConfig) -> RunnableConfig:
        """The config with the chosen model; as it is where the caller has chosen one, or nobody tracks the run."""
        configurable = config.get("configurable", {})
        scope = self._scope(config)
        if scope is None or any(f"{prefix}model" in configurable for prefix in self._options.prefixes):
            return config
        self._live.watch_load()
        needs = self._options.needs.get(self._node, ())
        choice = self._chooser.choose(scope, self._node, state, self._metadata, needs)
        about = {"decision_id": choice.decision.decision_id, "execution": choice.executions}
        return {
            **config,
            "configurable": {**configurable, **self._fields(choice)},
            "metadata": {**config.get("metadata", {}), ROUTE_METADATA: about},
        }

    def _scope(self, config: RunnableConfig) -> RunScope | None:
        callbacks = config.get("callbacks")
        parent = callbacks.parent_run_id if isinstance(callbacks, BaseCallbackManager) else None
        run = self._live.of(None, parent)
        return run.scope if run is not None else None

    def _fields(self, choice: NodeChoice) -> dict[str, str]:
        endpoint = choice.endpoint
        key = endpoint.api_key.get_secret_value() if endpoint.api_key else "none"
        values: dict[Field, str] = {"model": choice.model, "base_url": endpoint.base_url, "api_key": key}
        return {
            f"{prefix}{name}": values[name]
            for prefix in self._options.prefixes
            for name in self._options.fields
        }


def route(
    graph: Graph,
    live: LiveRuns,
    *,
    budget_s: float | None = None,
    fields: Sequence[Field] = ("model", "base_url"),
    prefix: str | Sequence[str] = "",
    only: Iterable[str] | None = None,
    skip: Iterable[str] = (),
    needs: Mapping[str, Sequence[Capability]] | None = None,
) -> Graph:
    """A copy of a graph in which every execution of a node runs with the model that is chosen for its state.

    For graphs whose models were made with ``init_chat_model(..., model_provider="openai", configurable_fields=("model",
    "base_url"))``. The application's own client makes the calls: what it does not route around (retries, failover) is
    LangGraph's retry policy, under which a node that failed chooses another model. Nodes whose model is `ChatInfraMind`
    need none of this, they route each call themselves.

    Args:
        graph: compiled; stays as it is.
        live: the runs in progress.
        budget_s: seconds for a run; None takes the configured default.
        fields: see `RouteOptions`.
        prefix: the models' ``config_prefix``, or several.
        only: see `RouteOptions`.
        skip: see `RouteOptions`.
        needs: see `RouteOptions`.

    Raises:
        ConfigError: options that contradict each other or name a node that there is not, or an unknown LangGraph.
    """
    options = RouteOptions(
        fields=tuple(fields),
        prefixes=tuple(_as_key(one) for one in ((prefix,) if isinstance(prefix, str) else prefix)),
        only=None if only is None else frozenset(only),
        skip=frozenset(skip),
        needs=dict(needs or {}),
    )
    options.require_nodes(node_names(graph))
    chooser = NodeChooser(live.calls)

    def wrap(name: str, inner: Runnable[Any, Any], metadata: Mapping[str, Any]) -> Runnable[Any, Any]:
        return RoutedNode(inner, name, metadata, live, chooser, options) if options.takes(name) else inner

    tracker = RouteTracker(
        live, chooser, RunTerms(budget_s=budget_s), has_endpoint="base_url" in options.fields
    )
    return with_nodes(graph, wrap).with_config(callbacks=[tracker])


def _as_key(prefix: str) -> str:
    """LangChain puts an underscore between prefix and field."""
    return f"{prefix}_" if prefix and not prefix.endswith("_") else prefix
