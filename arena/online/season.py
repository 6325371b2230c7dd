"""One season: a world, requests one after the other, and somebody who learns from them while they are served.

The run is continuous: one fleet, one clock, breakers and queues that know nothing of chunks. Whenever a chunk of
requests has arrived, the contender is handed the runs whose labels are due by then and gives the policy for what
comes next; learning takes no virtual time, and runs that are under way go on under the new policy, as they do in
production. A newcomer is deployed as a configuration is reloaded: clients and breakers are new, what the latency model
knows is carried over, and the runs under way end on the old ones.

Questions, arrivals, budgets, the servers' replies and which runs get labels come from world and seed alone, so that
contenders meet on common random numbers, and a season comes out the same every time::

    season = play_season(world_named("a"), lambda start: MyRouting(start.actions, start.stored), seed=100)
    season.on_time_success.mean()

To try a learner on short worlds, replace their lengths: ``replace(world_named("a"), before=64, after=256)``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from inframind.arena.contenders.trained import BOLD
from inframind.arena.grading import RememberingGrader
from inframind.arena.online.worlds import World
from inframind.arena.scenario import Scenario, fleet_specs
from inframind.errors import InfraMindError
from inframind.fleet.endpoints import group_by_model
from inframind.graphs.assembly import Parts, assemble
from inframind.graphs.registry import TopologyRegistry
from inframind.graphs.services import Services
from inframind.graphs.state import RouteContext
from inframind.graphs.workflow import RoutedWorkflow
from inframind.router.actions import ActionSpace
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.latency_state import LatencyState
from inframind.router.online.protocol import Label, LabelledRun, OnlineRouting
from inframind.router.policy import Policy, UniformPolicy
from inframind.router.policy_file import StoredPolicy
from inframind.router.policy_shipped import shipped_policy
from inframind.simulator.items import Item
from inframind.simulator.model import LanguageModel, SimReply, SimRequest
from inframind.simulator.server import ServerSpec
from inframind.simulator.virtual import VirtualClock, run_in_virtual_time
from inframind.simulator.virtual_fleet import VirtualFleet
from inframind.traces.memory import MemoryStore
from inframind.traces.records import Trajectory

CHUNK = 64
"""Requests between two lessons."""
_LABELS_STREAM = 88


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a contender begins with.

    Attributes:
        actions: what may be chosen before the change.
        stored: the policy that has been trained.
        seed: of the season.
    """

    actions: ActionSpace
    stored: StoredPolicy
    seed: int


Entry = Callable[[Start], OnlineRouting]
"""Makes a contender for one season."""


@runtime_checkable
class Foretold(Protocol):
    """A contender who is told when the world changes: a reference, nothing that could serve."""

    def world_changed(self) -> None:
        """The change is here; `behaviour` is asked for next."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Season:
    """What came of the requests, in order of arrival (N), and of the lessons.

    Attributes:
        solved: answered rightly.
        on_time: answered within the budget.
        models: which model answered, "" when none did.
        lessons: what each lesson said of itself, with ``at``, the number of requests that had arrived.
    """

    solved: NDArray[np.bool_]
    on_time: NDArray[np.bool_]
    models: tuple[str, ...]
    lessons: tuple[Mapping[str, float], ...]

    @property
    def on_time_success(self) -> NDArray[np.bool_]:
        """Right and in time (N)."""
        return self.solved & self.on_time


def play_season(
    world: World,
    entry: Entry,
    *,
    seed: int,
    chunk: int = CHUNK,
    grader: RememberingGrader | None = None,
    on_chunk: Callable[[int], None] = lambda requests: None,
) -> Season:
    """Play one season.

    Args:
        world: where.
        entry: makes who plays.
        seed: of questions, arrivals, budgets, replies, labels and draws of decisions.
        chunk: requests between two lessons; the first comes after ``chunk`` requests.
        grader: says what was right; hand one over to several seasons, and verdicts are remembered.
        on_chunk: told of the number of requests that have arrived, as it goes on.
    """
    return run_in_virtual_time(
        lambda clock: _Stage(world, entry, seed, chunk, grader or RememberingGrader(), clock).play(on_chunk)
    )


def label_places(world: World, seed: int) -> NDArray[np.bool_]:
    """Which requests of a season get a label (N)."""
    rng = np.random.default_rng((seed, _LABELS_STREAM))
    return rng.random(world.requests) < world.labels.share


class _Stage:
    """The fleet, who plays, and the record of what came of it."""

    def __init__(
        self,
        world: World,
        entry: Entry,
        seed: int,
        chunk: int,
        grader: RememberingGrader,
        clock: VirtualClock,
    ) -> None:
        self._world, self._seed, self._chunk, self._grader, self._clock = world, seed, chunk, grader, clock
        self._scenario = world.season_scenario()
        self._workload = self._scenario.workload(seed, world.rate_per_min)
        self._answers = ReplaceableModel(self._scenario.outcomes)
        self._fleet = VirtualFleet(_all_servers(world), self._answers, clock=clock, seed=seed)
        stored = shipped_policy()
        self._record = _Record(label_places(world, seed), world.labels.delay)
        self._now = _Deployment(self._fleet, self._scenario, stored.latency, self._record, clock, (seed, 0))
        self._all = [self._now]
        self._contender = entry(Start(actions=self._now.actions, stored=stored, seed=seed))
        self._now.serve(self._contender.behaviour())

    async def play(self, on_chunk: Callable[[int], None]) -> Season:
        offers = zip(self._workload.arrivals_s, self._workload.items, self._workload.budgets_s, strict=True)
        async with asyncio.TaskGroup() as group:
            for index, (arrives_s, item, budget_s) in enumerate(offers):
                await asyncio.sleep(max(0.0, float(arrives_s) - self._clock.now_s()))
                self._before(index, on_chunk)
                group.create_task(self._answer(index, item, float(budget_s), self._now))
        for deployment in self._all:
            await deployment.aclose()
        self._fleet.close()
        return self._record.season()

    def _before(self, index: int, on_chunk: Callable[[int], None]) -> None:
        """What happens as a request arrives, before it is answered."""
        if index and index % self._chunk == 0:
            self._record.lesson(index, self._contender.learn(self._record.matured(index)))
            self._now.serve(self._contender.behaviour())
            on_chunk(index)
        if index == self._world.before:
            self._change()

    def _change(self) -> None:
        change = self._world.change
        if change.models:
            self._answers.become(self._world.changed.outcomes)
        if change.outage is not None:
            self._fleet.servers[change.outage.endpoint].faults.inject(change.outage.fault)
        if change.newcomer is not None:
            self._redeploy(self._world.changed)
        if isinstance(self._contender, Foretold):
            self._contender.world_changed()
            self._now.serve(self._contender.behaviour())

    def _redeploy(self, scenario: Scenario) -> None:
        known = self._now.latency.state()
        self._now = _Deployment(self._fleet, scenario, known, self._record, self._clock, (self._seed, 1))
        self._all.append(self._now)
        self._contender.welcome(self._now.actions)
        self._now.serve(self._contender.behaviour())

    async def _answer(self, index: int, item: Item, budget_s: float, deployment: _Deployment) -> None:
        trace_id = deployment.services.new_trace_id()
        self._record.began(index, trace_id)
        context = RouteContext(
            budget_s=budget_s, domain=item.domain, question_id=item.item_id, trace_id=trace_id
        )
        try:
            account, text = await deployment.workflow.answer(item.question, context)
        except InfraMindError:
            self._record.ended(index, solved=False, on_time=False)
            return
        on_time = account["status"] == "ok" and account["latency_s"] <= budget_s
        self._record.ended(index, solved=self._grader.is_right(text, item), on_time=on_time)


class _Deployment:
    """Services over some of the fleet's servers, and the policy that serves there."""

    def __init__(
        self,
        fleet: VirtualFleet,
        scenario: Scenario,
        latency: LatencyState | None,
        record: _Record,
        clock: VirtualClock,
        seed: tuple[int, int],
    ) -> None:
        registry = TopologyRegistry()
        parts = Parts(endpoints=scenario.endpoints(fleet.base_urls), registry=registry, decide=BOLD)
        actions = parts.action_space(group_by_model(parts.endpoints))
        self.latency = LearnedLatencyModel(actions.models, actions.strategies, state=latency)
        self.services: Services = assemble(
            parts,
            UniformPolicy(),
            MemoryStore(max_traces=1, through_codec=False),
            clock=clock,
            rng=np.random.default_rng(seed),
            wire=fleet,
            latency=self.latency,
        )
        self.services.listeners = (record.traced,)
        self.workflow = RoutedWorkflow(self.services, registry)

    @property
    def actions(self) -> ActionSpace:
        return self.services.decider.actions

    def serve(self, policy: Policy) -> None:
        """Choose by this policy from the next decision on."""
        self.services.decider.policy = policy

    async def aclose(self) -> None:
        await self.services.drain()
        await self.services.fleet.aclose()
        await self.services.store.aclose()


class _Record:
    """Runs from their arrival until they are learned from, and what came of each."""

    def __init__(self, is_labelled: NDArray[np.bool_], delay: int) -> None:
        self._is_labelled, self._delay = is_labelled, delay
        self._solved: dict[int, bool] = {}
        self._on_time: dict[int, bool] = {}
        self._trace_ids: dict[int, str] = {}
        self._traces: dict[str, Trajectory] = {}
        self._models = [""] * len(is_labelled)
        self._lessons: list[Mapping[str, float]] = []

    def began(self, index: int, trace_id: str) -> None:
        self._trace_ids[index] = trace_id

    def traced(self, run: Trajectory) -> None:
        """A listener of the services: a trace was stored."""
        self._traces[run.trace_id] = run

    def ended(self, index: int, *, solved: bool, on_time: bool) -> None:
        self._solved[index], self._on_time[index] = solved, on_time
        run = self._traces.get(self._trace_ids[index])
        if run is not None:
            self._models[index] = next(
                (one.served_model for one in run.steps if one.step_id == run.final_step_id), ""
            )

    def matured(self, arrived: int) -> list[LabelledRun]:
        """Runs that are over and whose label, if there is to be one, has come; each is given once."""
        due = [
            index
            for index in sorted(self._trace_ids)
            if index + self._delay <= arrived and index in self._solved
        ]
        runs = [(index, self._traces.pop(self._trace_ids.pop(index), None)) for index in due]
        return [LabelledRun(run=run, label=self._label(index)) for index, run in runs if run is not None]

    def _label(self, index: int) -> Label | None:
        return Label(solved=float(self._solved[index])) if self._is_labelled[index] else None

    def lesson(self, at: int, figures: Mapping[str, float]) -> None:
        self._lessons.append({**figures, "at": float(at)})

    def season(self) -> Season:
        places = range(len(self._models))
        return Season(
            solved=np.array([self._solved[index] for index in places]),
            on_time=np.array([self._on_time[index] for index in places]),
            models=tuple(self._models),
            lessons=tuple(self._lessons),
        )


class ReplaceableModel:
    """Whoever answers now, behind one face: calls that are under way end as they began."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    def become(self, model: LanguageModel) -> None:
        """From the next call on, somebody else answers."""
        self._model = model

    def reply(self, request: SimRequest) -> SimReply:
        """The whole answer to one request."""
        return self._model.reply(request)


def _all_servers(world: World) -> tuple[ServerSpec, ...]:
    """Those that serve from the beginning, and one that is not known of before the change."""
    scenario, newcomer = world.scenario, world.change.newcomer
    if newcomer is None:
        return scenario.specs()
    return fleet_specs(
        profiles={**scenario.profiles_by_name, newcomer.name: newcomer},
        scheduling_policy=scenario.scheduling_policy,
    )
