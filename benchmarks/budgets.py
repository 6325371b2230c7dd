"""What it is worth to split a run's budget over its nodes: learned shares, equal parts, and all that is left to each.

Two applications run on the simulated fleet in virtual time: a report (plan, two workers beside each other, write) whose
nodes write about as much as each other, and a letter (classify, draft, check, sign), nearly all of which is its draft.
Runs arrive at random; every call takes the best model and strategy that are predicted to answer within what its node is
given, so whoever is given much takes much. Contenders meet the same arrivals, work and replies.

On time is the share of runs within their budget. Quality is the mean prior quality of what was called, so the two pull
apart; ``worth`` is the quality of runs that are on time, and 0 of others. The first third of the runs teaches, and does
not count.

    python benchmarks/budgets.py [--quick] [--json]
"""

from __future__ import annotations

import asyncio
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import numpy as np
from _common import Bench, arguments
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph

from inframind.arena.scenario import endpoint_tables, fleet_specs
from inframind.fleet.endpoints import EndpointSpec
from inframind.graphs.assembly import Parts, assemble
from inframind.graphs.services import Services
from inframind.plugin.calls.asked import AUTO, AskedCall
from inframind.plugin.calls.budget import NodeCosts
from inframind.plugin.calls.router import CallRouter
from inframind.plugin.calls.runs import Runs
from inframind.plugin.calls.scope import RunScope
from inframind.plugin.calls.shape import steps_left
from inframind.plugin.calls.shares import AllThatIsLeft, NodeShares
from inframind.plugin.calls.site import CallSite
from inframind.router.actions import DEFAULT_STRATEGIES
from inframind.router.policy import JustEnoughPolicy
from inframind.router.views import Query
from inframind.simulator.model import SimReply, SimRequest
from inframind.simulator.virtual import VirtualClock, run_in_virtual_time
from inframind.simulator.virtual_fleet import VirtualFleet
from inframind.traces.memory import MemoryStore
from inframind.traces.records import Trajectory
from inframind.traces.store import TraceStore


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An application.

    Attributes:
        name: of its graph.
        work: length of each node's answers, relative to what its strategy usually makes a model write.
        edges: of its graph.
    """

    name: str
    work: Mapping[str, float]
    edges: Sequence[tuple[str, str]]


REPORT = App(
    name="report",
    work={"plan": 0.5, "survey": 1.0, "analyse": 1.5, "write": 1.5},
    edges=(
        (START, "plan"),
        ("plan", "survey"),
        ("plan", "analyse"),
        ("survey", "write"),
        ("analyse", "write"),
        ("write", END),
    ),
)
"""Nodes of similar length, two of them beside each other."""
LETTER = App(
    name="letter",
    work={"classify": 0.1, "draft": 3.0, "check": 0.2, "sign": 0.1},
    edges=((START, "classify"), ("classify", "draft"), ("draft", "check"), ("check", "sign"), ("sign", END)),
)
"""A chain with one long node."""
BUDGETS_S = (4.0, 8.0, 16.0, 32.0)
RUNS_PER_MIN = 30.0
TAUGHT = 1 / 3
SPREAD = 0.35
"""Standard deviation of the logarithm of an answer's length."""
T_975 = {2: 4.303, 4: 2.776}
"""Student's t for 95 % intervals, by degrees of freedom."""
LEARNED, EQUAL, ALL = "learned", "equal", "all_left"


class EqualParts(AllThatIsLeft):
    """What is left, divided by the nodes on the longest path to the end."""

    def __init__(self, app: App) -> None:
        self._left = steps_left(app.edges)

    def share_s(self, graph: str, node: str, remaining_s: float, visit: int = 0) -> float:
        return remaining_s / self._left[node]

    def spare_s(self, graph: str, node: str, remaining_s: float, visit: int = 0) -> float:
        return 0.0


CONTENDERS: Mapping[str, Callable[[App], NodeShares]] = {
    LEARNED: lambda app: NodeCosts(),
    EQUAL: EqualParts,
    ALL: lambda app: AllThatIsLeft(),
}


def main() -> None:
    options = arguments((__doc__ or "").splitlines()[0], seed=1).parse_args()
    bench = Bench(
        title="What splitting a budget is worth", packages=("langgraph", "numpy"), seed=options.seed
    )
    seeds = range(options.seed, options.seed + (3 if options.quick else 5))
    budgets_s = BUDGETS_S[1:3] if options.quick else BUDGETS_S
    n_runs = 30 if options.quick else 45
    for app in (REPORT, LETTER):
        for budget_s in budgets_s:
            results = {
                name: [measure(app, make(app), budget_s, n_runs, seed) for seed in seeds]
                for name, make in CONTENDERS.items()
            }
            report(bench, f"{app.name}_{budget_s:g}s", results)
    bench.print(as_json=options.json)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One contender at one budget with one seed: shares of runs, and means over runs."""

    on_time: float
    quality: float
    worth: float
    degraded: float


def report(bench: Bench, setting: str, results: Mapping[str, Sequence[Result]]) -> None:
    """Means with 95 % intervals over seeds, and differences seed by seed."""
    for name, found in results.items():
        for figure in ("on_time", "quality", "worth", "degraded"):
            mean, half = interval([getattr(result, figure) for result in found])
            bench.add_figure(f"{figure}_{name}_{setting}", mean, note=f"+- {half:.3f}")
    for rival in (EQUAL, ALL):
        for figure in ("on_time", "worth"):
            pairs = zip(results[LEARNED], results[rival], strict=True)
            gains = [getattr(ours, figure) - getattr(theirs, figure) for ours, theirs in pairs]
            mean, half = interval(gains)
            bench.add_figure(f"{figure}_gain_over_{rival}_{setting}", mean, note=f"+- {half:.3f}, paired")


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half of its 95 % interval."""
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return float(np.mean(values)), T_975[len(values) - 1] * error


# One run of the experiment ------------------------------------------------------------------------------------


def measure(app: App, shares: NodeShares, budget_s: float, n_runs: int, seed: int) -> Result:
    return run_in_virtual_time(lambda clock: _World(app, shares, clock, seed).measure(budget_s, n_runs))


@dataclass(frozen=True, slots=True)
class Worker:
    """Writes as much as its node's work, its strategy and chance ask for."""

    work: Mapping[str, float]
    usual_tokens: Mapping[str, int]

    def reply(self, request: SimRequest) -> SimReply:
        context = request.context
        node = str(request.messages[0]["content"]).split()[0]
        usual = self.usual_tokens[context.strategy if context else "Plain"]
        chance = math.exp(SPREAD * float(np.random.default_rng(request.seed).normal()))
        return SimReply(text=" ".join(["so"] * max(1, round(self.work[node] * usual * chance))))


class State(TypedDict):
    """The application's state: what each node has written."""

    said: Annotated[list[str], operator.add]


class _World:
    def __init__(self, app: App, shares: NodeShares, clock: VirtualClock, seed: int) -> None:
        self._app, self._rng = app, np.random.default_rng(seed)
        specs = fleet_specs()
        usual = {strategy.name: strategy.expected_output_tokens for strategy in DEFAULT_STRATEGIES}
        self._servers = VirtualFleet(specs, Worker(app.work, usual), clock=clock, seed=seed)
        tables = endpoint_tables(specs, self._servers.base_urls)
        self._store: TraceStore = MemoryStore()
        self._services: Services = assemble(
            Parts(endpoints=[EndpointSpec.model_validate(table) for table in tables]),
            JustEnoughPolicy(quality_floor=0.99),
            self._store,
            clock=clock,
            rng=np.random.default_rng(seed),
            wire=self._servers,
        )
        self._runs = Runs(self._services, shares)
        self._calls = CallRouter(self._services, self._runs)
        self._graph = self._application()

    async def measure(self, budget_s: float, n_runs: int) -> Result:
        waits_s = self._rng.exponential(60.0 / RUNS_PER_MIN, n_runs)
        tasks = []
        for number, wait_s in enumerate(waits_s.tolist()):
            await asyncio.sleep(wait_s)
            tasks.append(asyncio.create_task(self._run(number, budget_s)))
        trace_ids = await asyncio.gather(*tasks)
        traces = [await self._store.get(trace_id) for trace_id in trace_ids[round(TAUGHT * n_runs) :]]
        await self._services.drain()
        await self._services.fleet.aclose()
        self._servers.close()
        return self._result(traces)

    def _application(self) -> Any:
        graph = StateGraph(State)
        for node in self._app.work:
            graph.add_node(node, self._node(node))
        for source, target in self._app.edges:
            graph.add_edge(source, target)
        return graph.compile(name=self._app.name)

    def _node(self, node: str) -> Callable[[State, Any], Any]:
        async def call(state: State, config: RunnableConfig) -> dict[str, list[str]]:
            scope: RunScope = config["configurable"]["scope"]
            text = f"{node} of run {scope.recorder.query.text}"
            asked = AskedCall(messages=[{"role": "user", "content": text}], question=text, strategy=AUTO)
            routed = await self._calls.call(asked, CallSite(node=node, scope=scope))
            return {"said": [routed.completion.text[:20]]}

        return call

    async def _run(self, number: int, budget_s: float) -> str:
        trace_id = self._services.new_trace_id()
        query = Query(text=str(number))
        scope = self._runs.open(trace_id, query, budget_s=budget_s, graph=self._app.name, is_tracked=True)
        await self._graph.ainvoke({"said": []}, {"configurable": {"scope": scope}})
        await self._runs.finish(scope)
        return trace_id

    def _result(self, traces: Sequence[Trajectory]) -> Result:
        qualities = [float(np.mean([self._quality(d.choice) for d in trace.decisions])) for trace in traces]
        on_time = [trace.on_time for trace in traces]
        degraded = ["degraded" in decision.seen for trace in traces for decision in trace.decisions]
        return Result(
            on_time=float(np.mean(on_time)),
            quality=float(np.mean(qualities)),
            worth=float(np.mean(np.array(qualities) * on_time)),
            degraded=float(np.mean(degraded)),
        )

    def _quality(self, choice: Mapping[str, Any]) -> float:
        actions = self._services.decider.actions
        factor = actions.strategies[choice["strategy"]].quality_factor
        return min(actions.models[choice["model"]].quality * factor, 0.99)


if __name__ == "__main__":
    main()
