"""Whole workflows over real sockets: what runs, in which order, and what the trace says of it."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from inframind.errors import DeadlineExceeded, EndpointRejected, FleetExhausted, InfraMindError
from inframind.fleet.context import StepContext
from inframind.graphs.kit import AGENT, TopologyKit
from inframind.graphs.registry import TopologyRegistry
from inframind.router.topology import CallGraph, TopologySpec, call_name

NAMES = ("IO", "CoT", "Chain", "FullConnected", "Debate", "Reflection")
ASK: dict[str, Any] = {"domain": "math", "budget_s": 60.0}


def differing() -> Any:
    """Every call answers something else, so that nobody ever agrees."""
    numbers = itertools.count(100)
    return lambda asked: f"I say \\boxed{{{next(numbers)}}}"


def same(asked: Any) -> str:
    return "I say \\boxed{42}"


async def traced(mind: Any, question: str = "How many?", **options: Any) -> tuple[Any, Any]:
    result = await mind.ainvoke(question, **{**ASK, **options})
    return result, await mind.atrace(result.trace_id)


@pytest.mark.parametrize("agents", [1, 2, 3, 4])
@pytest.mark.parametrize("name", NAMES)
async def test_what_runs_is_what_the_spec_says(make_mind: Any, say: Any, name: str, agents: int) -> None:
    mind = await make_mind(say(differing()))
    result, trace = await traced(mind, topology=name, team_size=agents)
    spec = TopologyRegistry().specs[name]
    assert (trace.status, trace.topology, len(trace.team), trace.skips) == ("ok", name, agents, ())
    assert len(trace.steps) == spec.calls(agents, trace.rounds) == len(mind.servers[0].asked)
    assert trace.serial_depth == spec.depth(agents, trace.rounds)
    assert trace.rounds == spec.rounds
    names = {s.step_id: "judge" if s.kind == "judge" else call_name(s.position, s.round) for s in trace.steps}
    ran = {(names[parent], names[step.step_id]) for step in trace.steps for parent in step.parents}
    assert ran == set(spec.graph(agents, trace.rounds).edges)
    last = max(trace.steps, key=lambda step: step.step_id)
    assert (result.answer, result.text) == (last.answer, last.text) == (trace.answer, trace.text)
    assert result.answer.isdigit() and result.status == "ok" and result.on_time


@pytest.mark.parametrize("name", ["IO", "CoT", "FullConnected", "Debate", "Reflection"])
async def test_a_team_that_agrees_needs_no_judge(make_mind: Any, say: Any, name: str) -> None:
    mind = await make_mind(say(same))
    result, trace = await traced(mind, topology=name, team_size=3)
    spec = TopologyRegistry().specs[name]
    assert [(skip.node, skip.reason) for skip in trace.skips] == [("judge", "agreement")]
    assert all(step.kind == "agent" for step in trace.steps)
    expected = spec.graph(3, trace.rounds).without(["judge"])
    assert (len(trace.steps), trace.serial_depth) == (expected.calls, expected.depth)
    assert result.answer == "42"
    if spec.max_rounds > 1:
        assert trace.rounds == 1, "the pacer stops when all agree"


async def test_answers_that_mean_the_same_agree(make_mind: Any, say: Any) -> None:
    ways = itertools.cycle(["\\boxed{0.5}", "\\boxed{\\frac{1}{2}}", "\\boxed{ 1/2 }"])
    mind = await make_mind(say(lambda asked: next(ways)))
    _, trace = await traced(mind, topology="IO", team_size=3)
    assert [skip.reason for skip in trace.skips] == ["agreement"]


async def test_drafts_without_an_answer_agree_with_nobody(make_mind: Any, say: Any) -> None:
    mind = await make_mind(say(lambda asked: "no idea"))
    _, trace = await traced(mind, topology="IO", team_size=2)
    assert [step.kind for step in trace.steps] == ["agent", "agent", "judge"]


async def test_a_round_runs_side_by_side(make_mind: Any) -> None:
    everyone = asyncio.Barrier(3)

    async def script(wire: Any) -> None:
        if wire.asked.step["node"] == "agent":
            await everyone.wait()
        await wire.answer(f"\\boxed{{{wire.asked.step['position']}}}")

    mind = await make_mind(script)
    _, trace = await traced(mind, topology="Debate", team_size=3)
    assert mind.servers[0].peak == 3
    for number in (1, 2):
        of_round = [step for step in trace.steps if step.kind == "agent" and step.round == number]
        assert max(step.started_s for step in of_round) < min(step.finished_s for step in of_round)
    first, second = ([s for s in trace.steps if s.round == r and s.kind == "agent"] for r in (1, 2))
    assert max(step.finished_s for step in first) <= min(step.started_s for step in second)


async def test_every_call_says_which_step_it_is(make_mind: Any, say: Any) -> None:
    mind = await make_mind(say(differing()))
    _, trace = await traced(mind, topology="Debate", team_size=2, question_id="q-1")
    contexts = [StepContext.from_baggage(asked.headers["baggage"]) for asked in mind.servers[0].asked]
    assert all(context is not None for context in contexts)
    assert {(c.trace_id, c.question_id, c.topology, c.team_size) for c in contexts if c} == {
        (trace.trace_id, "q-1", "Debate", 2)
    }
    assert sorted((c.node, c.position, c.round) for c in contexts if c) == [
        *(("agent", 0, 1), ("agent", 0, 2), ("agent", 1, 1), ("agent", 1, 2), ("judge", 0, 2)),
    ]
    roles = {(c.node, c.position): c.role for c in contexts if c}
    assert roles == {("agent", 0): trace.team[0], ("agent", 1): trace.team[1], ("judge", 0): "Judge"}


async def test_two_agents_of_one_round_share_their_prompts_beginning(make_mind: Any, say: Any) -> None:
    mind = await make_mind(say(lambda asked: f"It is \\boxed{{{asked.step['position']}}}"))
    await traced(mind, "How many stars?", topology="Debate", team_size=2)
    prompts = [asked.prompt for asked in mind.servers[0].asked if asked.step["round"] == "2"]
    shared = prompts[0][: next(i for i, (a, b) in enumerate(zip(*prompts[:2], strict=False)) if a != b)]
    assert "How many stars?" in shared and "\\boxed{0}" in shared and "\\boxed{1}" in shared


async def test_each_topology_shows_what_it_should(make_mind: Any, say: Any) -> None:
    mind = await make_mind(
        say(lambda asked: f"draft {asked.step['position']} \\boxed{{{asked.step['position']}}}")
    )
    for name, shown in [("Chain", [set(), {0}, {1}]), ("FullConnected", [set(), {0}, {0, 1}])]:
        mind.servers[0].asked.clear()
        await traced(mind, topology=name, team_size=3)
        agents = [asked for asked in mind.servers[0].asked if asked.step["node"] == "agent"]
        assert [{k for k in range(3) if f"draft {k}" in asked.prompt} for asked in agents] == shown


async def test_cot_never_runs_with_flash(make_mind: Any, say: Any) -> None:
    settings = {"policy": {"name": "uniform", "seed": 2}}
    mind = await make_mind(say(differing()), settings=settings)
    _, trace = await traced(mind, topology="CoT", team_size=4)
    for decision in (d for d in trace.decisions if d.kind == "step"):
        place = decision.actions.index("m0/Flash")
        assert (
            decision.masked[place] == "strategy contradicts topology" and decision.probabilities[place] == 0
        )
    agents = [asked for asked in mind.servers[0].asked if asked.step["node"] == "agent"]
    assert all("step by step" in asked.prompt for asked in agents)
    assert all("without showing any working" not in asked.prompt for asked in agents)


async def test_every_step_names_its_decision_and_every_decision_is_stored(make_mind: Any, say: Any) -> None:
    mind = await make_mind(say(differing()))
    _, trace = await traced(mind, topology="Debate", team_size=2)
    kinds = [decision.kind for decision in trace.decisions]
    assert kinds.count("plan") == 1 and kinds.count("step") == 5 and kinds.count("pace") == 2
    by_id = {decision.decision_id: decision for decision in trace.decisions}
    assert len(by_id) == len(trace.decisions)
    for step in trace.steps:
        assert by_id[step.decision_id].choice == {"model": step.model, "strategy": step.strategy}
        assert step.started_s <= step.sent_s <= step.first_token_s <= step.finished_s
        assert step.completion_tokens and step.endpoint == "e0" and step.finish_reason == "stop"


async def test_the_same_seed_and_server_give_the_same_decisions(make_mind: Any, say: Any) -> None:
    def choices(trace: Any) -> list[Any]:
        return [(d.kind, d.action, d.choice) for d in trace.decisions if d.kind != "step"] + sorted(
            (s.round, s.kind, s.position, s.role) for s in trace.steps
        )

    lives = []
    for seed in (3, 3, 4):
        settings = {"policy": {"name": "uniform", "seed": seed}}
        mind = await make_mind(say(differing()), say(differing()), settings=settings)
        runs = [await traced(mind, f"How many {k}?") for k in range(4)]
        lives.append([(result.trace_id, choices(trace)) for result, trace in runs])
    assert lives[0] == lives[1] != lives[2]


# When things go wrong ----------------------------------------------------------------------------------


def failing_at(*places: tuple[str, str, str], status: int = 400) -> Any:
    """Fails at (node, position, round), answers elsewhere."""
    numbers = itertools.count(100)

    async def script(wire: Any) -> None:
        step = wire.asked.step
        if (step["node"], step["position"], step["round"]) in places:
            await wire.fail(status)
        else:
            await wire.answer(f"\\boxed{{{next(numbers)}}}")

    return script


@pytest.mark.parametrize("name", ["IO", "Chain", "FullConnected", "Debate", "Reflection"])
async def test_a_call_that_fails_midway_leaves_a_complete_trace_and_an_answer(
    make_mind: Any, name: str
) -> None:
    mind = await make_mind(failing_at(("agent", "1", "1")))
    result, trace = await traced(mind, topology=name, team_size=3)
    failed = [step for step in trace.steps if step.error]
    assert [(step.position, step.round, step.error) for step in failed] == [(1, 1, "EndpointRejected")]
    assert "scripted" in failed[0].error_detail and failed[0].endpoint == "e0" and failed[0].text == ""
    assert trace.status == "ok" and result.answer
    assert len(trace.steps) == TopologyRegistry().specs[name].calls(3, trace.rounds)


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("Chain", [("agent", "0", "1")]),
        ("FullConnected", [("agent", "0", "1")]),
        ("Debate", [("agent", "0", "1"), ("agent", "1", "1")]),
        ("Reflection", [("agent", "0", "1"), ("agent", "1", "1")]),
    ],
)
async def test_nobody_is_asked_about_answers_that_do_not_exist(
    make_mind: Any, name: str, places: Any
) -> None:
    mind = await make_mind(failing_at(*places))
    await traced(mind, topology=name, team_size=2)
    for asked in mind.servers[0].asked:
        speaks_of_others = any(
            words in asked.prompt for words in ("answers so far", "others'", "answer so far")
        )
        assert speaks_of_others <= ("Answers so far:" in asked.prompt)


async def test_a_debater_whose_own_draft_failed_is_not_asked_to_defend_it(make_mind: Any) -> None:
    mind = await make_mind(failing_at(("agent", "0", "1")))
    await traced(mind, topology="Debate", team_size=3)
    second = {a.step["position"]: a.prompt for a in mind.servers[0].asked if a.step["round"] == "2"}
    assert "own earlier answer" not in second["0"] and "Answers so far:" in second["0"]


async def test_a_judge_that_fails_leaves_the_best_draft(make_mind: Any) -> None:
    mind = await make_mind(failing_at(("judge", "0", "1")))
    result, trace = await traced(mind, topology="IO", team_size=2)
    assert [step.kind for step in trace.steps if step.error] == ["judge"]
    assert result.answer in {"100", "101"} and trace.status == "ok"


@pytest.mark.parametrize(
    ("status", "error"), [(400, EndpointRejected), (503, FleetExhausted), (500, FleetExhausted)]
)
async def test_without_any_answer_the_error_is_raised_and_the_trace_stored(
    make_mind: Any, status: int, error: type[InfraMindError]
) -> None:
    async def script(wire: Any) -> None:
        await wire.fail(status)

    settings = {"fleet": {"backoff_s": 0.001, "breaker": {"failure_threshold": 100}}}
    mind = await make_mind(script, settings=settings)
    with pytest.raises(error):
        await mind.ainvoke("How many?", topology="IO", team_size=2, **ASK)
    (summary,) = await mind.store.list()
    trace = await mind.store.get(summary.trace_id)
    assert (trace.status, trace.error, trace.answer) == ("failed", error.__name__, "")
    assert len(trace.steps) == 2 and all(step.error == error.__name__ for step in trace.steps)
    assert [(skip.node, skip.reason) for skip in trace.skips] == [("judge", "no drafts")]


async def test_a_failover_is_recorded_in_the_step(make_mind: Any, say: Any) -> None:
    async def busy(wire: Any) -> None:
        await wire.fail(503)

    mind = await make_mind(busy, say(same))
    result, trace = await traced(mind, topology="IO", team_size=1)
    (step,) = trace.steps
    assert (step.model, step.served_model, step.endpoint) == ("m0", "m1", "e1")
    assert [(a.endpoint, a.model, a.error) for a in step.attempts] == [("e0", "m0", "EndpointOverloaded")]
    assert result.answer == "42" and trace.status == "ok"


async def test_when_the_deadline_comes_the_best_answer_so_far_is_returned_late(make_mind: Any) -> None:
    async def script(wire: Any) -> None:
        if wire.asked.step["node"] == "judge":
            await wire.gone()
        else:
            await wire.answer(f"\\boxed{{{wire.asked.step['position']}}}")

    mind = await make_mind(script)
    result, trace = await traced(mind, topology="IO", team_size=2, budget_s=1.0)
    assert (result.status, trace.status, result.on_time) == ("late", "late", False)
    assert result.answer in {"0", "1"}
    assert [step.error for step in trace.steps] == ["", "", "EndpointTimeout"]
    assert trace.latency_s >= 1.0


async def test_an_endpoint_that_hangs_is_learned_to_be_slow(make_mind: Any) -> None:
    async def hang(wire: Any) -> None:
        await wire.gone()

    mind = await make_mind(hang)
    predicted_s = []
    for _ in range(2):
        with pytest.raises(DeadlineExceeded) as caught:
            await mind.ainvoke("How many?", topology="IO", team_size=1, budget_s=0.5, domain="math")
        step = (await mind.atrace(caught.value.trace_id)).decisions[-1]
        predicted_s.append(step.latency_q50_s[step.actions.index("m0/Flash")])
    assert predicted_s[1] > predicted_s[0]


async def test_an_error_that_ends_a_run_names_its_trace(make_mind: Any) -> None:
    async def refuse(wire: Any) -> None:
        await wire.fail(400, "no")

    mind = await make_mind(refuse)
    with pytest.raises(EndpointRejected) as caught:
        await mind.ainvoke("How many?", topology="IO", team_size=1, **ASK)
    assert (await mind.atrace(caught.value.trace_id)).error == "EndpointRejected"
    assert caught.value.trace_id in caught.value.__notes__[0]


async def test_what_is_left_when_the_deadline_has_passed_is_skipped(make_mind: Any) -> None:
    async def script(wire: Any) -> None:
        if wire.asked.step["position"] == "1":
            await wire.begin()
            await wire.piece("half of it \\boxed{5}")
            await wire.gone()
        else:
            await wire.answer("\\boxed{4}")

    mind = await make_mind(script)
    result, trace = await traced(mind, topology="Chain", team_size=4, budget_s=0.6)
    assert [(skip.node, skip.reason) for skip in trace.skips] == [
        ("agent-2/r1", "deadline"),
        ("agent-3/r1", "deadline"),
    ]
    assert [step.text for step in trace.steps] == ["\\boxed{4}", "half of it \\boxed{5}"]
    assert (result.status, result.answer) == ("late", "4"), "a whole answer counts more than a part of one"


async def test_no_answer_at_all_before_the_deadline_is_an_error_with_a_stored_trace(make_mind: Any) -> None:
    async def script(wire: Any) -> None:
        await wire.gone()

    mind = await make_mind(script)
    with pytest.raises(DeadlineExceeded) as caught:
        await mind.ainvoke("How many?", topology="Debate", team_size=2, domain="math", budget_s=0.3)
    trace = await mind.atrace(caught.value.trace_id)
    assert (trace.status, trace.error, len(trace.steps)) == ("failed", "DeadlineExceeded", 2)
    assert {skip.reason for skip in trace.skips} <= {"deadline", "no drafts"} and trace.skips
    assert not mind.fleet.snapshot().loads["e0"].in_flight


async def test_cancellation_stores_every_step_so_far_and_gives_the_slots_back(make_mind: Any) -> None:
    waiting = asyncio.Event()

    async def script(wire: Any) -> None:
        if wire.asked.step["round"] == "1":
            return await wire.answer(f"\\boxed{{{wire.asked.step['position']}}}")
        if len(mind.servers[0].asked) == 6:
            waiting.set()
        return await wire.gone()

    mind = await make_mind(script)
    run = asyncio.create_task(mind.ainvoke("How many?", topology="Debate", team_size=3, **ASK))
    await waiting.wait()
    assert mind.fleet.snapshot().loads["e0"].in_flight == 3
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    (summary,) = await mind.store.list()
    trace = await mind.store.get(summary.trace_id)
    assert (trace.status, trace.answer) == ("cancelled", "")
    assert [(s.round, s.error) for s in trace.steps] == [(1, "")] * 3 + [(2, "CancelledError")] * 3
    assert mind.fleet.snapshot().loads["e0"].in_flight == 0


# A topology of one's own -------------------------------------------------------------------------------


def build_pair(kit: TopologyKit) -> Any:
    """Two agents; the second is shown the first's draft and answers."""
    from langgraph.graph import END, START

    def first(state: Any) -> Any:
        return [kit.task(state, 0, task="alone", calls_after=1)]

    def second(state: Any) -> Any:
        if len(state["drafts"]) == 2:
            return "close"
        return [kit.task(state, 1, task="build_on", peers=state["drafts"], is_last=True)]

    graph = kit.new_graph()
    graph.add_node(AGENT, kit.agent)
    graph.add_node("close", kit.close)
    graph.add_conditional_edges(START, first, [AGENT])
    graph.add_conditional_edges(AGENT, second, [AGENT, "close"])
    graph.add_edge("close", END)
    return graph


async def test_a_topology_of_ones_own_runs_like_the_others(make_mind: Any, say: Any) -> None:
    calls = (call_name(0, 1), call_name(1, 1))
    spec = TopologySpec(
        name="Pair",
        description="one drafts, one answers",
        draw=lambda agents, rounds: CallGraph(calls, (calls,)),
        excluded_strategies=frozenset({"Flash", "Concise"}),
    )
    mind = await make_mind(
        say(lambda asked: f"\\boxed{{{asked.step['position']}}}"),
        topologies=TopologyRegistry().register(spec, build_pair),
    )
    result, trace = await traced(mind, topology="Pair", team_size=2)
    assert (result.topology, result.answer, len(trace.steps), trace.serial_depth) == ("Pair", "1", 2, 2)
    assert all(step.strategy not in ("Flash", "Concise") for step in trace.steps)
    auto = next(d for d in (await traced(mind))[1].decisions if d.kind == "plan")
    assert any(action.startswith("Pair/") for action in auto.actions)
