"""Serving in a defective world: short visits at every hour of a day, in virtual time, traced and labelled.

A day of production is thousands of runs; what matters here is which hour it is and what went before. So every hour is
visited once, for a few minutes, on a fresh fleet under one clock; what the latency model learned is carried from visit
to visit. Questions, arrivals, budgets, replies and labels come from world and seed alone, so that a season with a rule
and its twin without it meet the same requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from inframind.arena.advice.defects import DefectWorld
from inframind.arena.contenders.blind import NoForecast
from inframind.arena.grading import RememberingGrader
from inframind.arena.scenario import Workload
from inframind.errors import InfraMindError
from inframind.fleet.endpoints import group_by_model
from inframind.graphs.assembly import assemble
from inframind.graphs.services import Services
from inframind.graphs.state import RouteContext
from inframind.graphs.workflow import RoutedWorkflow
from inframind.router.actions import ActionSpace
from inframind.router.latency import LatencyModel
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.latency_state import LatencyState
from inframind.router.policy_shipped import shipped_policy
from inframind.router.rules import HOURS, RoutingRule
from inframind.simulator.items import Item
from inframind.simulator.virtual import VirtualClock, run_in_virtual_time
from inframind.simulator.virtual_fleet import VirtualFleet
from inframind.traces.records import Outcome
from inframind.traces.store import TraceStore

MIDNIGHT_S = 1_699_920_000.0
"""A midnight in UTC, seconds since the Unix epoch: when seasons begin."""
DAY_S = 86_400.0
LABELLED = 0.6
"""Share of runs of which somebody says whether they were right."""
_HOUR_S = 3600.0
_LABELS_STREAM = 89


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ServedSeason:
    """What came of the requests, in the order in which they were offered (N).

    Attributes:
        solved: answered rightly, whether anybody says so or not.
        on_time: answered within the budget.
        hours: hour of arrival in UTC.
        latency: what the latency model knows at the end; None where nothing forecasts.
    """

    solved: NDArray[np.bool_]
    on_time: NDArray[np.bool_]
    hours: NDArray[np.int64]
    latency: LatencyState | None = None

    @property
    def success(self) -> NDArray[np.bool_]:
        """Right and in time (N)."""
        return self.solved & self.on_time


def serve_season(
    world: DefectWorld,
    store: TraceStore,
    *,
    seed: int,
    runs: int,
    rules: Sequence[RoutingRule] = (),
    day: int = 0,
    labelled: float = LABELLED,
    grader: RememberingGrader | None = None,
    known: LatencyState | None = None,
) -> ServedSeason:
    """Serve some runs over one day, and keep their traces with the labels that come.

    Args:
        world: where.
        store: keeps traces and labels; stays open.
        seed: of questions, arrivals, budgets, replies, draws of decisions and labels.
        runs: at most; as many at every hour.
        rules: what is added to the configuration.
        day: which day, 0 the first.
        labelled: share of runs that get a label, whatever came of them.
        grader: says what was right; hand one over to several seasons, and verdicts are remembered.
        known: what the latency model knows at the start; what is shipped unless given. Services do not forget over
            night: with a forecast of its own each day masks other candidates, and what a change does depends on that.
    """
    grader = grader or RememberingGrader()
    per_hour = max(1, runs // HOURS)
    whole = replace(world.scenario, questions=HOURS * per_hour).workload(seed, world.rate_per_min)
    is_labelled = np.random.default_rng((seed, _LABELS_STREAM)).random(HOURS * per_hour) < labelled
    known = known or shipped_policy().latency
    came: list[_Came] = []
    for hour in range(HOURS):
        part = slice(hour * per_hour, (hour + 1) * per_hour)
        visit = _Visit(world, store, tuple(rules), grader, (seed, hour), known)
        began_s = MIDNIGHT_S + day * DAY_S + hour * _HOUR_S
        offered = _part_of(whole, part)
        serve = partial(visit.serve, workload=offered, is_labelled=is_labelled[part].tolist())
        came += run_in_virtual_time(serve, epoch_s=began_s)
        known = visit.latency
    return ServedSeason(
        solved=np.array([one.solved for one in came]),
        on_time=np.array([one.on_time for one in came]),
        hours=np.repeat(np.arange(HOURS), per_hour),
        latency=known if world.forecasts else None,
    )


def _part_of(workload: Workload, part: slice) -> Workload:
    """Some of the requests, the first of them at once."""
    arrivals_s = workload.arrivals_s[part]
    return Workload(
        items=workload.items[part], arrivals_s=arrivals_s - arrivals_s[0], budgets_s=workload.budgets_s[part]
    )


@dataclass(frozen=True, slots=True)
class _Came:
    """What came of one request."""

    solved: bool
    on_time: bool


class _Visit:
    """Some minutes of one hour, on a fresh fleet."""

    def __init__(
        self,
        world: DefectWorld,
        store: TraceStore,
        rules: tuple[RoutingRule, ...],
        grader: RememberingGrader,
        seed: tuple[int, int],
        known: LatencyState | None,
    ) -> None:
        self._world, self._store, self._rules, self._grader = world, store, rules, grader
        self._seed, self._known = seed, known

    @property
    def latency(self) -> LatencyState | None:
        """What the latency model knows."""
        return self._known

    async def serve(
        self, clock: VirtualClock, *, workload: Workload, is_labelled: Sequence[bool]
    ) -> list[_Came]:
        """Offer the requests; what came of each, in order."""
        fleet = VirtualFleet(
            self._world.specs(), self._world.scenario.outcomes, clock=clock, seed=self._seed[0]
        )
        self._slow_down(fleet, clock)
        services, latency = self._services(fleet, clock)
        workflow = RoutedWorkflow(services, self._world.parts.registry)
        offers = zip(workload.arrivals_s, workload.items, workload.budgets_s, is_labelled, strict=True)
        tasks = []
        async with asyncio.TaskGroup() as group:
            for arrives_s, item, budget_s, labelled in offers:
                await asyncio.sleep(max(0.0, float(arrives_s) - clock.now_s()))
                answer = self._answer(services, workflow, item, float(budget_s), labelled=labelled)
                tasks.append(group.create_task(answer))
        await services.drain()
        await services.fleet.aclose()
        fleet.close()
        if isinstance(latency, LearnedLatencyModel):
            self._known = latency.state()
        return [task.result() for task in tasks]

    def _slow_down(self, fleet: VirtualFleet, clock: VirtualClock) -> None:
        slow = self._world.slow
        if slow is not None:
            driver = fleet.servers[slow.endpoint].driver
            driver.engine.slow_down(slow.factor_at(clock.wall_s()), driver.now_s)

    def _services(self, fleet: VirtualFleet, clock: VirtualClock) -> tuple[Services, LatencyModel]:
        world = self._world
        parts = world.parts_at(fleet.base_urls, self._rules)
        latency = self._latency(parts.action_space(group_by_model(parts.endpoints)))
        services = assemble(
            parts,
            world.policy(),
            self._store,
            clock=clock,
            rng=np.random.default_rng(self._seed),
            wire=fleet,
            latency=latency,
        )
        return services, latency

    def _latency(self, actions: ActionSpace) -> LatencyModel:
        if not self._world.forecasts:
            return NoForecast(len(actions.models), len(actions.strategies))
        return LearnedLatencyModel(actions.models, actions.strategies, state=self._known)

    async def _answer(
        self, services: Services, workflow: RoutedWorkflow, item: Item, budget_s: float, *, labelled: bool
    ) -> _Came:
        trace_id = services.new_trace_id()
        context = RouteContext(
            budget_s=budget_s, domain=item.domain, question_id=item.item_id, trace_id=trace_id
        )
        try:
            account, text = await workflow.answer(item.question, context)
        except InfraMindError:
            return _Came(solved=False, on_time=False)
        solved = self._grader.is_right(text, item)
        if labelled:
            await self._store.add_outcome(trace_id, _label(trace_id, services, solved=solved))
        return _Came(solved=solved, on_time=account["status"] == "ok" and account["latency_s"] <= budget_s)


def _label(trace_id: str, services: Services, *, solved: bool) -> Outcome:
    return Outcome(
        feedback_id=trace_id,
        key="solved",
        score=float(solved),
        source="grader:arena",
        recorded_at_s=services.clock.wall_s(),
    )
