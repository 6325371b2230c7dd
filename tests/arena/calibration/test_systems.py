from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.arena.calibration.systems import (
    AGGREGATOR,
    POOL,
    SYSTEMS,
    Agent,
    Mix,
    PlannedWorkflow,
    System,
    draw_workflow,
    final_model,
    gptswarm_workflow,
    mas_workflow,
    moa_workflow,
)
from inframind.errors import ConfigError
from inframind.simulator.reference import RoleFacts, load_reference

TOPOLOGIES = ("IO", "CoT", "Chain", "FullConnected", "Debate", "Reflection")
ONCE, TWICE, CODER = (
    RoleFacts(name="once"),
    RoleFacts(name="twice", answers_twice=True),
    RoleFacts(name="coder", writes_code=True),
)
FACTS = load_reference().benchmarks
MIX = Mix(
    models={POOL[0]: 0.3, POOL[2]: 0.7},
    topologies={"Chain": 0.5, "Debate": 0.25, "IO": 0.25},
    team_size=3,
)


def team(size: int, role: RoleFacts = ONCE, *, passes: bool = False) -> list[Agent]:
    return [Agent(model=POOL[place % len(POOL)], role=role, passes=passes) for place in range(size)]


def seen(workflow: PlannedWorkflow) -> list[tuple[int, ...]]:
    return [call.sees for call in workflow.calls]


@pytest.mark.parametrize(
    ("topology", "expected"),
    [
        ("IO", [(), (), (), (0, 1, 2)]),
        ("CoT", [(), (), (), (0, 1, 2)]),
        ("Chain", [(), (0,), (1,), (0, 1, 2)]),
        ("FullConnected", [(), (0,), (0, 1), (0, 1, 2)]),
        ("Debate", [(), (), (), (1, 2), (0, 2), (0, 1), (3, 4, 5)]),
        ("Reflection", [(), (0,), (), (2,), (), (4,), (1, 3, 5)]),
    ],
)
def test_three_agents_see_each_other_as_their_topology_says(
    topology: str, expected: list[tuple[int, ...]]
) -> None:
    assert seen(mas_workflow(topology, team(3))) == expected


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_one_agent_still_pays_a_decision(topology: str) -> None:
    calls = mas_workflow(topology, team(1)).calls

    assert len(calls) == (3 if topology in ("Debate", "Reflection") else 2)
    assert calls[-1].node == "judge"
    assert not calls[-1].is_timed


def test_siblings_run_one_after_another() -> None:
    workflow = mas_workflow("IO", team(4))

    assert [call.after for call in workflow.calls] == [(), (0,), (1,), (2,), (3,)]


def test_roles_that_answer_twice_look_at_their_own_draft_and_are_seen_by_that() -> None:
    agents = [Agent(model=POOL[0], role=TWICE), Agent(model=POOL[1], role=ONCE)]
    workflow = mas_workflow("Chain", agents)

    assert seen(workflow) == [(), (0,), (1,), (1, 2)]
    assert [call.kind for call in workflow.calls] == ["agent", "review", "agent", "decision"]
    assert [call.model for call in workflow.calls] == [POOL[0], POOL[0], POOL[1], POOL[0]]


def test_agents_copy_a_visible_program_that_passes_and_make_no_call() -> None:
    agents = team(4, CODER, passes=True)

    assert seen(mas_workflow("Chain", agents, has_examples=True)) == [(), (0, 0, 0, 0)]
    assert seen(mas_workflow("FullConnected", agents, has_examples=True)) == [(), (0, 0, 0, 0)]
    assert seen(mas_workflow("Debate", agents, has_examples=True)) == [(), (), (), (), (1, 0, 0, 0)]
    assert len(mas_workflow("IO", agents, has_examples=True).calls) == 5


def test_of_two_answers_the_second_is_the_one_that_passes() -> None:
    coder = RoleFacts(name="coder", answers_twice=True, writes_code=True)
    calls = mas_workflow("IO", team(1, coder, passes=True), has_examples=True).calls

    assert [call.passes_examples for call in calls] == [False, True, False]


@pytest.mark.parametrize(
    ("agents", "has_examples"),
    [
        (team(3, CODER, passes=False), True),
        (team(3, ONCE, passes=True), True),
        (team(3, CODER, passes=True), False),
    ],
)
def test_nothing_is_copied_without_a_passing_program(agents: list[Agent], has_examples: bool) -> None:
    assert len(mas_workflow("FullConnected", agents, has_examples=has_examples).calls) == 4


def test_the_decision_is_made_by_the_model_of_most_agents_and_the_first_of_equals() -> None:
    def models(*places: int) -> str:
        return final_model([Agent(model=POOL[place], role=ONCE) for place in places])

    assert models(1, 2, 2) == POOL[2]
    assert models(3, 1, 1, 3) == POOL[3]


def test_moa_asks_all_at_once_and_then_the_aggregator() -> None:
    calls = moa_workflow().calls

    assert [call.model for call in calls] == [*POOL, AGGREGATOR]
    assert all(call.after == call.sees == () and call.kind == "question" for call in calls[:-1])
    assert calls[-1].after == calls[-1].sees == (0, 1, 2, 3, 4)
    assert calls[-1].kind == "aggregate"


def test_gptswarm_asks_one_after_another_along_its_edges() -> None:
    assert seen(gptswarm_workflow()) == [(), (0,), (0, 1), (0, 1, 2), (0, 1, 2, 3), (0, 1, 2, 3, 4)]

    sparse = gptswarm_workflow([(0, 3), (2, 3)])
    assert seen(sparse) == [(), (), (), (0, 2), (), (0, 1, 2, 3, 4)]
    assert [call.after for call in sparse.calls] == [(), (0,), (1,), (2,), (3,), (4,)]


@pytest.mark.parametrize("edge", [(1, 1), (3, 2), (0, 5), (-1, 2)])
def test_edges_that_do_not_point_forward_are_refused(edge: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="edges"):
        gptswarm_workflow([edge])


# Reported latency. Calls take 10, 20, 30 ... seconds, one after another.


def reported_s(workflow: PlannedWorkflow) -> float:
    starts_s, ends_s, now_s = [], [], 0.0
    for index in range(len(workflow.calls)):
        starts_s.append(now_s)
        now_s += 10.0 * (index + 1)
        ends_s.append(now_s)
    return workflow.reported_s(starts_s, ends_s)


@pytest.mark.parametrize(
    ("topology", "expected_s"),
    [
        ("IO", 30.0),  # the slowest of 10, 20, 30
        ("Chain", 60.0),  # 10 + 20 + 30
        ("FullConnected", 60.0),
        ("Debate", 30.0 + 60.0),  # the slowest of each round
        ("Reflection", 50.0 + 60.0),  # the last agent's draft and its second look
    ],
)
def test_masrouter_reports_its_longest_path_without_the_decision(topology: str, expected_s: float) -> None:
    assert reported_s(mas_workflow(topology, team(3))) == expected_s


def test_the_others_report_the_time_on_the_clock() -> None:
    assert reported_s(gptswarm_workflow()) == 210.0
    assert moa_workflow().reported_s([2.0] * 5 + [9.0], [3.0, 4.0, 9.0, 5.0, 5.0, 11.5]) == 9.5


# Chance.


def roles() -> st.SearchStrategy[RoleFacts]:
    return st.builds(RoleFacts, name=st.just("any"), answers_twice=st.booleans(), writes_code=st.booleans())


@given(
    topology=st.sampled_from(TOPOLOGIES),
    agents=st.lists(
        st.builds(Agent, model=st.sampled_from(POOL), role=roles(), passes=st.booleans()),
        min_size=1,
        max_size=6,
    ),
    has_examples=st.booleans(),
)
def test_calls_wait_for_and_see_earlier_calls_alone_and_all_reach_the_decision(
    topology: str, agents: list[Agent], has_examples: bool
) -> None:
    calls = mas_workflow(topology, agents, has_examples=has_examples).calls

    for index, call in enumerate(calls):
        assert all(other < index for other in (*call.after, *call.sees))
        assert index == 0 or call.after == (index - 1,)
    assert len(calls[-1].sees) == len(agents)
    assert [call.node for call in calls].count("judge") == 1


@given(
    topology=st.sampled_from(TOPOLOGIES),
    agents=st.lists(st.builds(Agent, model=st.sampled_from(POOL), role=roles()), min_size=1, max_size=6),
)
def test_without_examples_the_number_of_calls_follows_from_the_team(
    topology: str, agents: list[Agent]
) -> None:
    per_agent = [2 if a.role.answers_twice or topology == "Reflection" else 1 for a in agents]
    rounds = 2 if topology == "Debate" else 1

    assert len(mas_workflow(topology, agents).calls) == rounds * sum(per_agent) + 1


def test_draws_follow_the_mix() -> None:
    rng = np.random.default_rng(2)
    drawn = [draw_workflow("mas", FACTS["math"], MIX, rng) for _ in range(2000)]
    topologies = Counter(workflow.topology for workflow in drawn)
    models = Counter(call.model for w in drawn for call in w.calls if call.kind == "agent")

    assert topologies["Chain"] / 2000 == pytest.approx(0.5, abs=0.04)
    assert models[POOL[0]] / models.total() == pytest.approx(0.3, abs=0.03)
    assert models.total() / 2000 == pytest.approx(MIX.steps_per_question, rel=0.02)


@given(system=st.sampled_from(SYSTEMS), seed=st.integers(0, 2**32))
def test_the_same_generator_state_gives_the_same_workflow(system: System, seed: int) -> None:
    one, two = (draw_workflow(system, FACTS["humaneval"], MIX, np.random.default_rng(seed)) for _ in range(2))

    assert one == two


def test_steps_per_question_count_a_debate_twice() -> None:
    assert MIX.steps_per_question == pytest.approx(3 * 1.25)


@pytest.mark.parametrize(
    ("field", "value"),
    [("team_size", 0), ("topologies", {"Star": 1.0}), ("models", {"gpt-5": 1.0})],
)
def test_a_mix_that_cannot_be_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=field):
        replace(MIX, **{field: value})


def test_masrouter_without_a_mix_and_systems_that_nobody_published_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="mix"):
        draw_workflow("mas", FACTS["math"], None, rng)
    with pytest.raises(ConfigError, match="system"):
        draw_workflow("autogen", FACTS["math"], MIX, rng)  # type: ignore[arg-type]
