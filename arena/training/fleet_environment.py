"""A real fleet to train on: every sweep is played over the network, in the time that it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inframind.arena.arrivals import Seconds
from inframind.arena.grading import RememberingGrader
from inframind.arena.query_mix import AS_IT_COMES, offered_items
from inframind.arena.results.episodes import Answer
from inframind.arena.runner import run_workload
from inframind.arena.training.curriculum import Sweep
from inframind.arena.training.environment import PlayedSweep
from inframind.arena.workload import arrivals_from, budgets_from
from inframind.errors import ConfigError
from inframind.fleet.clock import SystemClock
from inframind.fleet.endpoints import group_by_model
from inframind.graphs.assembly import Parts, assemble
from inframind.graphs.services import Services
from inframind.graphs.state import RouteContext
from inframind.graphs.workflow import RoutedWorkflow
from inframind.router.actions import ActionSpace
from inframind.router.latency import LatencyModel
from inframind.router.policy import Policy
from inframind.simulator.items import Item
from inframind.traces.memory import MemoryStore
from inframind.traces.query import TraceQuery
from inframind.traces.records import Trajectory

FIRST_READINGS_S = 5.0
"""How long a sweep waits for the first look at every server's load."""


@dataclass(frozen=True, kw_only=True)
class FleetTraffic:
    """What is asked of the fleet.

    Raises:
        ConfigError: nothing to ask, or arrivals or budgets that do not exist.
    """

    items: tuple[Item, ...]
    """Questions with known answers."""
    arrivals: str = "poisson"
    """As for `arrivals_from`."""
    budgets: str = "loguniform:5,300"
    """As for `budgets_from`."""

    def __post_init__(self) -> None:
        if not self.items:
            raise ConfigError("items", 0, "give questions to learn from")
        arrivals_from(self.arrivals, 1.0)
        budgets_from(self.budgets)


class FleetEnvironment:
    """The servers of a configuration, asked real questions in real time.

    Their answers are theirs: the same seed gives the same questions, but not the same training.

    Args:
        parts: the fleet, and how it is called.
        traffic: what is asked of it.
    """

    def __init__(self, parts: Parts, traffic: FleetTraffic) -> None:
        self._parts, self._traffic = parts, traffic
        self._grader = RememberingGrader()

    @property
    def actions(self) -> ActionSpace:
        """What may be chosen there."""
        return self._parts.action_space(group_by_model(self._parts.endpoints))

    def play(self, policy: Policy, sweep: Sweep, latency: LatencyModel) -> PlayedSweep:
        """Let a policy answer a sweep; returns when the last question has ended."""
        return asyncio.run(self._play(policy, sweep, latency))

    async def _play(self, policy: Policy, sweep: Sweep, latency: LatencyModel) -> PlayedSweep:
        items, arrivals_s, budgets_s = self._workload(sweep)
        clock = SystemClock()
        store = MemoryStore(max_traces=sweep.questions, through_codec=False)
        services = assemble(
            self._parts,
            policy,
            store,
            clock=clock,
            rng=np.random.default_rng(sweep.seed),
            latency=latency,
        )
        await services.fleet.watch(first_readings_s=FIRST_READINGS_S)
        solver = _Solver(services, self._parts, self._grader)
        try:
            episodes = await run_workload(
                solver.solve, items, arrivals_s.tolist(), budgets_s.tolist(), clock, lambda event: None
            )
            await services.drain()
            trajectories = await _stored(store, sweep.questions)
        finally:
            await services.fleet.aclose()
            await store.aclose()
        return PlayedSweep(
            episodes=tuple(episodes),
            trajectories=trajectories,
            solved={episode.trace_id: episode.solved for episode in episodes if episode.trace_id},
        )

    def _workload(self, sweep: Sweep) -> tuple[Sequence[Item], Seconds, Seconds]:
        budgets_rng, gaps_rng, items_rng = np.random.default_rng(sweep.seed).spawn(3)
        traffic = self._traffic
        arrivals_s = arrivals_from(traffic.arrivals, sweep.rate_per_min).draw(sweep.questions, gaps_rng)
        items = offered_items(traffic.items, arrivals_s.tolist(), items_rng, AS_IT_COMES)
        return items, arrivals_s, budgets_from(traffic.budgets).draw(sweep.questions, budgets_rng)


class _Solver:
    """Asks, and grades off the loop."""

    def __init__(self, services: Services, parts: Parts, grader: RememberingGrader) -> None:
        self._services, self._grader = services, grader
        self._workflow = RoutedWorkflow(services, parts.registry)

    async def solve(self, item: Item, budget_s: float) -> Answer:
        context = RouteContext(
            budget_s=budget_s,
            domain=item.domain,
            question_id=item.item_id,
            trace_id=self._services.new_trace_id(),
        )
        account, text = await self._workflow.answer(item.question, context)
        return Answer(
            is_late=account["status"] != "ok",
            solved=await asyncio.to_thread(self._grader.is_right, text, item),
            latency_s=account["latency_s"],
            topology=account["topology"],
            trace_id=account["trace_id"],
        )


async def _stored(store: MemoryStore, most: int) -> tuple[Trajectory, ...]:
    query = TraceQuery(limit=most, oldest_first=True)
    return tuple([trajectory async for trajectory in store.iter(query)])
