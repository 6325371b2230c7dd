"""What recorded runs say of a version: under the very rules that it would serve under."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inframind.fleet.clock import Deadline
from inframind.fleet.endpoints import EndpointSpec, group_by_model
from inframind.fleet.snapshot import EndpointLoad, FleetSnapshot
from inframind.graphs.registry import TopologyRegistry
from inframind.plugin.online.school import School
from inframind.router.actions import DEFAULT_STRATEGIES, ActionSpace, strategies_by_name
from inframind.router.decide import DecideConfig, Decider
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.online.protocol import Label
from inframind.router.policy import UniformPolicy
from inframind.router.policy_file import StoredPolicy
from inframind.router.policy_shipped import shipped_policy
from inframind.router.rules import Circumstances, RoutingRule
from inframind.router.views import Query, Slot
from inframind.traces.records import Trajectory

NO_A = RoutingRule(name="no-a", avoid_models=frozenset({"a"}))
EXPLORATION = 0.5


class StillClock:
    def now_s(self) -> float:
        return 1000.0

    def wall_s(self) -> float:
        return 1_700_000_000.0


@pytest.fixture(scope="module")
def actions() -> ActionSpace:
    models = group_by_model(
        EndpointSpec(name=f"{name}-0", base_url="http://gpu/v1", model=name, size_b=size_b)
        for name, size_b in (("a", 3.0), ("b", 32.0))
    )
    return ActionSpace(
        models=models,
        strategies=strategies_by_name(DEFAULT_STRATEGIES),
        topologies=TopologyRegistry().specs,
        roles={"general": ("Solver",)},
    )


@pytest.fixture(scope="module")
def runs(actions: ActionSpace) -> list[Trajectory]:
    """One call each, drawn evenly."""
    clock = StillClock()
    decider = Decider(
        actions,
        UniformPolicy(),
        LearnedLatencyModel(actions.models, actions.strategies),
        clock=clock,
        rng=np.random.default_rng(0),
        config=DecideConfig(exploration=1.0),
    )
    loads = {
        f"{model}-0": EndpointLoad(endpoint=f"{model}-0", model=model, running=0.0, waiting=0.0, age_s=0.1)
        for model in actions.models
    }
    snapshot = FleetSnapshot(taken_s=clock.now_s(), loads=loads)
    return [one_run(number, decider, snapshot, clock) for number in range(600)]


def one_run(number: int, decider: Decider, snapshot: FleetSnapshot, clock: StillClock) -> Trajectory:
    text = f"What is {number} + 1?"
    slot = Slot(topology="IO", role="Solver", prompt_tokens=10)
    _, decision = decider.step(
        Query(text=text, domain="math", prompt_tokens=10),
        slot,
        snapshot,
        Deadline.after(60.0, clock),
        decision_id="d",
    )
    return Trajectory(
        trace_id=f"{number:032x}",
        question=text,
        domain="math",
        arrived_at_s=clock.wall_s(),
        budget_s=60.0,
        latency_s=1.0,
        decisions=(decision,),
    )


def gain(actions: ActionSpace, runs: list[Trajectory], new: StoredPolicy, *own: RoutingRule) -> Any:
    """Of a version over the shipped policy, where only model b is right."""
    labels = {run.trace_id: Label(solved=float(run.decisions[0].choice["model"] == "b")) for run in runs}
    school = School(configured=shipped_policy(), actions=actions, exploration=EXPLORATION, rules=own)
    return school.foreseen(new, shipped_policy(), runs, labels)


def test_a_version_is_asked_about_under_its_rules(actions: ActionSpace, runs: list[Trajectory]) -> None:
    found = gain(actions, runs, replace(shipped_policy(), rules=(NO_A,)))
    assert found is not None and found.low > 0.0


def test_a_rule_of_a_name_that_the_configuration_has_is_the_configurations(
    actions: ActionSpace, runs: list[Trajectory]
) -> None:
    found = gain(actions, runs, replace(shipped_policy(), rules=(NO_A,)), NO_A)
    assert found is not None and found.low <= 0.0 <= found.high


def test_rules_for_roles_that_no_domain_seats_are_asked_about(
    actions: ActionSpace, runs: list[Trajectory]
) -> None:
    of_a_role = RoutingRule(
        name="translators",
        when=Circumstances(roles=frozenset({"Translator"})),
        avoid_models=frozenset({"b"}),
    )
    assert gain(actions, runs, replace(shipped_policy(), rules=(NO_A,)), of_a_role) is not None
