"""An application with one model that is bad at one thing, decided by the real decider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from inframind.advisor.analysing import analyse
from inframind.advisor.analysis import Analysis
from inframind.fleet.clock import Deadline
from inframind.fleet.endpoints import EndpointSpec, group_by_model
from inframind.fleet.snapshot import EndpointLoad, FleetSnapshot
from inframind.graphs.registry import TopologyRegistry
from inframind.router.actions import DEFAULT_STRATEGIES, ActionSpace, strategies_by_name
from inframind.router.decide import DecideConfig, Decider
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.policy import Policy
from inframind.router.views import Query, Slot
from inframind.traces.records import SOLVED_ONLY, Outcome, Step, Trajectory

ROLES = {"general": ("Solver", "Critic")}
BEGIN_S = 1_800_000_000.0
BUDGET_S = 60.0
EQUALLY_WELL: Mapping[str, float] = MappingProxyType({"Plain": 1.0, "Concise": 1.0})


class StillClock:
    def now_s(self) -> float:
        return 1000.0

    def wall_s(self) -> float:
        return BEGIN_S


class Application:
    """Chains of one or two calls; one model is wrong in one domain, whatever else it is good at.

    ``well`` says how often a call goes well by strategy, beside that.
    """

    def __init__(
        self,
        policy: Policy,
        runs: int,
        *,
        exploration: float = 0.0,
        bad: str = "m1",
        where: str = "math",
        well: Mapping[str, float] = EQUALLY_WELL,
    ) -> None:
        specs = [
            EndpointSpec(name=f"{model}-0", base_url="http://gpu/v1", model=model)
            for model in ("m0", "m1", "m2")
        ]
        models = group_by_model(specs)
        strategies = strategies_by_name([one for one in DEFAULT_STRATEGIES if one.name in well])
        topologies = {name: TopologyRegistry().specs[name] for name in ("IO", "Chain")}
        self.actions = ActionSpace(
            models=models, strategies=strategies, topologies=topologies, roles=ROLES, max_team=2
        )
        self.policy, self.exploration, self.bad, self.where = policy, exploration, bad, where
        self.well = well
        self.rng, clock = np.random.default_rng(0), StillClock()
        loads = {
            spec.name: EndpointLoad(
                endpoint=spec.name, model=spec.model, age_s=0.1, running=0.0, waiting=0.0, kv_cache_usage=0.0
            )
            for spec in specs
        }
        self.snapshot = FleetSnapshot(taken_s=1000.0, loads=loads)
        self.deadline = Deadline.after(BUDGET_S, clock)
        self.decider = Decider(
            self.actions,
            policy,
            LearnedLatencyModel(models, strategies),
            clock=clock,
            rng=np.random.default_rng(1),
            config=DecideConfig(exploration=exploration),
        )
        self.runs = [self._run(number) for number in range(runs)]

    def _run(self, number: int) -> Trajectory:
        domain = ("code", "math")[int(self.rng.integers(2))]
        query = Query(text="q" * 40, domain=domain, prompt_tokens=11)
        plan, decision = self.decider.plan(query, self.snapshot, self.deadline, decision_id=f"{number}-p")
        decisions, steps, chance = [decision], [], 0.95
        for place, role in enumerate(plan.team):
            slot = Slot(
                topology=plan.topology.name,
                role=role,
                position=place,
                team_size=len(plan.team),
                prompt_tokens=11,
            )
            name = f"{number}-{place}"
            choice, decided = self.decider.step(query, slot, self.snapshot, self.deadline, decision_id=name)
            is_bad = choice.model == self.bad and domain == self.where
            chance *= self.well[choice.strategy] * (0.4 if is_bad else 1.0)
            decisions.append(decided)
            steps.append(_step(place, role, name, choice.model, choice.strategy))
        arrived_at_s = BEGIN_S + 60.0 * number
        solved = Outcome(
            feedback_id="g",
            key="solved",
            score=float(self.rng.random() < chance),
            recorded_at_s=arrived_at_s + 9,
        )
        return Trajectory(
            trace_id=f"{number:032x}",
            question=query.text,
            domain=domain,
            arrived_at_s=arrived_at_s,
            budget_s=BUDGET_S,
            topology=plan.topology.name,
            team=plan.team,
            rounds=1,
            decisions=tuple(decisions),
            steps=tuple(steps),
            answer="4",
            text="4",
            latency_s=2.0 * len(steps),
            outcomes=(solved,),
            cost=0.01 * len(steps),
        )

    def analysed(self, runs: Sequence[Trajectory] | None = None, **more: Any) -> Analysis:
        return analyse(
            self.runs if runs is None else runs,
            **{
                "actions": self.actions,
                "policy": self.policy,
                "rules": (),
                "configuration_id": "c" * 64,
                "keys": SOLVED_ONLY,
                "exploration": self.exploration,
                "previous": None,
                "now_s": BEGIN_S + 1e6,
                "rng": np.random.default_rng(0),
                **more,
            },
        )


def _step(place: int, role: str, decision_id: str, model: str, strategy: str) -> Step:
    return Step(
        step_id=place,
        node=f"agent-{place}",
        kind="agent",
        position=place,
        round=1,
        role=role,
        parents=(),
        decision_id=decision_id,
        model=model,
        strategy=strategy,
        endpoint=f"{model}-0",
        served_model=model,
        started_s=2.0 * place,
        finished_s=2.0 * place + 2.0,
        finish_reason="stop",
        text="4",
        answer="4",
    )
