"""One contender on one workload: the routed graphs, run against the simulated fleet in virtual time.

All that a contender may not influence comes from the scenario and the seed: questions, arrivals, budgets and what the
servers would reply. So contenders meet on common random numbers, and a run leaves the same traces every time.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace

import numpy as np

from inframind.arena.grading import RememberingGrader
from inframind.arena.results.episodes import Answer, Call, Episode
from inframind.arena.results.tables import LoadSample
from inframind.arena.runner import run_workload
from inframind.arena.scenario import Scenario, Workload
from inframind.graphs.assembly import Parts, PolicyToBind, assemble
from inframind.graphs.services import Services
from inframind.graphs.state import RouteContext
from inframind.graphs.workflow import RoutedWorkflow
from inframind.router.decide import DecideConfig
from inframind.router.latency import LatencyModel
from inframind.router.policy import Policy
from inframind.simulator.items import Item
from inframind.simulator.virtual import VirtualClock, run_in_virtual_time
from inframind.simulator.virtual_fleet import VirtualFleet
from inframind.traces.memory import MemoryStore
from inframind.traces.query import TraceQuery
from inframind.traces.records import Trajectory

_FEWER_COLLECTIONS = (100_000, 50, 50)
SAMPLES_PER_RUN = 240
"""Load samples between the first arrival and the last; at the same intervals afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualRun:
    """What a run leaves.

    Attributes:
        episodes: one per offered question, in order of arrival.
        trajectories: the trace of each that has one, by trace id.
        timeline: samples of the load.
        virtual_s: virtual seconds from the first arrival's origin to the last answer.
    """

    episodes: tuple[Episode, ...]
    trajectories: dict[str, Trajectory]
    timeline: tuple[LoadSample, ...]
    virtual_s: float


def run_virtually(
    scenario: Scenario,
    policy: Policy | PolicyToBind,
    *,
    seed: int,
    rate_per_min: float,
    grader: RememberingGrader,
    latency: LatencyModel | None = None,
    decide: DecideConfig | None = None,
    parts: Parts | None = None,
) -> VirtualRun:
    """Let a policy answer one workload.

    Args:
        scenario: what it meets.
        policy: who decides.
        seed: of the workload, the servers and the draws of decisions.
        rate_per_min: of arrivals.
        grader: says what was right; grading takes no virtual time.
        latency: predicts steps; a fresh model that learns from this run alone unless given.
        decide: how proposals become choices; draws from them, and masks carefully, unless given.
        parts: what services are made of, but for the servers, which are the scenario's, and ``decide`` where that is
            given; the default topologies, strategies and roles, and no rules, unless given.
    """
    workload = scenario.workload(seed, rate_per_min)
    with _fewer_collections():
        return run_in_virtual_time(
            lambda clock: _Session(scenario, policy, seed, grader, latency, decide, parts, clock).run(
                workload
            )
        )


@contextmanager
def _fewer_collections() -> Iterator[None]:
    """Collect garbage less often, and what the run leaves at its end.

    A run makes millions of short-lived objects, hardly any of them in cycles; the cycles (graph, services, store) are
    large, and live as long as the run.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*_FEWER_COLLECTIONS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.collect()
        gc.unfreeze()


class _Session:
    """The fleet and the router of one run."""

    def __init__(
        self,
        scenario: Scenario,
        policy: Policy | PolicyToBind,
        seed: int,
        grader: RememberingGrader,
        latency: LatencyModel | None,
        decide: DecideConfig | None,
        parts: Parts | None,
        clock: VirtualClock,
    ) -> None:
        self._grader, self._clock = grader, clock
        self._fleet = VirtualFleet(scenario.specs(), scenario.outcomes, clock=clock, seed=seed)
        self._store = MemoryStore(max_traces=scenario.questions, through_codec=False)
        given = parts or Parts(endpoints=())
        parts = replace(
            given,
            endpoints=scenario.endpoints(self._fleet.base_urls),
            decide=decide or given.decide,
        )
        self._services: Services = assemble(
            parts,
            policy,
            self._store,
            clock=clock,
            rng=np.random.default_rng(seed),
            wire=self._fleet,
            latency=latency,
        )
        self._workflow = RoutedWorkflow(self._services, parts.registry)
        self._timeline: list[LoadSample] = []

    async def run(self, workload: Workload) -> VirtualRun:
        async with self._sampling(float(workload.arrivals_s[-1])):
            episodes = await run_workload(
                self._solve,
                workload.items,
                workload.arrivals_s.tolist(),
                workload.budgets_s.tolist(),
                self._clock,
                lambda event: None,
            )
        virtual_s = self._clock.now_s()
        await self._services.fleet.aclose()
        trajectories = await self._trajectories(len(episodes))
        await self._store.aclose()
        self._fleet.close()
        return VirtualRun(
            episodes=tuple(_with_calls(episode, trajectories.get(episode.trace_id)) for episode in episodes),
            trajectories=trajectories,
            timeline=tuple(self._timeline),
            virtual_s=virtual_s,
        )

    async def _solve(self, item: Item, budget_s: float) -> Answer:
        context = RouteContext(
            budget_s=budget_s,
            domain=item.domain,
            question_id=item.item_id,
            trace_id=self._services.new_trace_id(),
        )
        account, text = await self._workflow.answer(item.question, context)
        return Answer(
            is_late=account["status"] != "ok",
            solved=self._grader.is_right(text, item),
            latency_s=account["latency_s"],
            topology=account["topology"],
            trace_id=account["trace_id"],
        )

    async def _trajectories(self, most: int) -> dict[str, Trajectory]:
        query = TraceQuery(limit=most, oldest_first=True)
        return {trajectory.trace_id: trajectory async for trajectory in self._store.iter(query)}

    @asynccontextmanager
    async def _sampling(self, last_arrival_s: float) -> AsyncIterator[None]:
        """Note every server's load at equal intervals while the block runs."""
        task = asyncio.create_task(self._sample_forever(max(last_arrival_s / SAMPLES_PER_RUN, 0.1)))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _sample_forever(self, interval_s: float) -> None:
        while True:
            self._timeline.extend(self._sample())
            await asyncio.sleep(interval_s)

    def _sample(self) -> Sequence[LoadSample]:
        now_s = self._clock.now_s()
        samples = []
        for name, server in self._fleet.servers.items():
            server.driver.sync()
            engine = server.driver.engine
            samples.append(
                LoadSample(
                    t_s=now_s,
                    endpoint=name,
                    running=engine.num_running,
                    waiting=engine.num_waiting,
                    slots=engine.profile.max_num_seqs,
                )
            )
        return samples


def _with_calls(episode: Episode, trajectory: Trajectory | None) -> Episode:
    """The episode with what its trace knows: every call, also of a run that found no answer in time."""
    if trajectory is None:
        return episode
    calls = tuple(
        Call(model=step.model, strategy=step.strategy, completion_tokens=step.completion_tokens or 0)
        for step in trajectory.steps
    )
    last = next((step for step in trajectory.steps if step.step_id == trajectory.final_step_id), None)
    return replace(
        episode,
        topology=trajectory.topology,
        model=last.served_model if last else "",
        strategy=last.strategy if last else "",
        calls=calls,
    )
