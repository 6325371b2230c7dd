"""The front door, over real sockets."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from inframind.errors import (
    ConfigError,
    InfraMindError,
    InvalidBudget,
    InvalidQuestion,
    StoreClosed,
    UnknownTopology,
    UnknownTrace,
)
from inframind.plugin.result import Result

ASK: dict[str, Any] = {"domain": "math", "topology": "IO", "team_size": 1}


@pytest.fixture
async def mind(make_mind: Any, say: Any) -> Any:
    return await make_mind(say(lambda asked: "so \\boxed{42}"))


def hanging(waiting: asyncio.Event) -> Any:
    async def script(wire: Any) -> None:
        await wire.begin()
        await wire.piece("half ")
        waiting.set()
        await wire.gone()

    return script


async def only_trace(mind: Any) -> Any:
    (summary,) = await mind.store.list()
    return await mind.store.get(summary.trace_id)


async def test_a_result_says_how_it_came_about(mind: Any) -> None:
    result = await mind.ainvoke("How many?", budget_s=20, question_id="q", metadata={"user": "u"}, **ASK)
    assert (result.answer, result.text, result.status) == ("42", "so \\boxed{42}", "ok")
    assert (result.topology, len(result.team), result.rounds, result.budget_s) == ("IO", 1, 1, 20.0)
    assert 0 < result.latency_s < 20 and result.on_time
    assert [decision["kind"] for decision in result.decisions] == ["plan", "step"]
    trace = await mind.atrace(result.trace_id[:8])
    assert (trace.trace_id, trace.question_id, trace.metadata) == (result.trace_id, "q", {"user": "u"})
    assert (trace.question, trace.domain, trace.budget_s) == ("How many?", "math", 20.0)


async def test_the_synchronous_doors_give_the_same(mind: Any) -> None:
    def all_of_them() -> list[Any]:
        one = mind.invoke("How many?", **ASK)
        two = mind.batch(["A?", "B?"], **ASK)
        events = list(mind.stream("How many?", **ASK))
        mind.feedback(one.trace_id, solved=True)
        return [one, *two, events, mind.trace(one.trace_id), mind.explain(one.trace_id)]

    one, two, three, events, trace, explained = await asyncio.to_thread(all_of_them)
    assert [r.answer for r in (one, two, three)] == ["42"] * 3
    assert [event.kind for event in events] == ["plan", "step_start", "token", "token", "step_end", "answer"]
    assert trace.solved is True and one.trace_id in explained


async def test_a_synchronous_call_inside_a_running_loop_works(mind: Any) -> None:
    async def careless() -> Any:
        return mind.invoke("How many?", **ASK)

    assert (await asyncio.to_thread(asyncio.run, careless())).answer == "42"


async def test_events_come_in_order_and_the_last_is_the_answer(make_mind: Any, say: Any) -> None:
    numbers = itertools.count(100)
    mind = await make_mind(say(lambda asked: f"\\boxed{{{next(numbers)}}}"))
    events = [e async for e in mind.astream("How many?", domain="math", topology="Debate", team_size=2)]
    kinds = [event.kind for event in events]
    assert kinds[0] == "plan" and kinds[-1] == "answer" and kinds.count("pace") == 2
    assert kinds.count("step_start") == kinds.count("step_end") == 5
    trace = await only_trace(mind)
    assert events[-1].data["answer"] == trace.answer and events[-1].data["trace_id"] == trace.trace_id
    starts = [event.data["step_id"] for event in events if event.kind == "step_start"]
    assert sorted(starts) == [0, 1, 2, 3, 4]


async def test_an_abandoned_stream_stops_its_calls_and_stores_its_trace(make_mind: Any) -> None:
    waiting = asyncio.Event()
    mind = await make_mind(hanging(waiting))
    events = mind.astream("How many?", **ASK)
    async for event in events:
        if event.kind == "token":
            break
    await events.aclose()
    trace = await only_trace(mind)
    assert (trace.status, [step.error for step in trace.steps]) == ("cancelled", ["CancelledError"])
    assert mind.fleet.snapshot().loads["e0"].in_flight == 0


async def test_an_abandoned_synchronous_stream_closes_too(make_mind: Any) -> None:
    mind = await make_mind(hanging(asyncio.Event()))

    def look_and_leave() -> None:
        events = mind.stream("How many?", **ASK)
        assert next(events).kind == "plan"
        events.close()

    await asyncio.to_thread(look_and_leave)
    assert (await only_trace(mind)).status == "cancelled"
    assert mind.fleet.snapshot().loads["e0"].in_flight == 0


async def test_a_batch_keeps_its_order_and_its_own_options(make_mind: Any, say: Any) -> None:
    mind = await make_mind(say(lambda asked: f"\\boxed{{{asked.prompt.split('#')[1].split()[0]}}}"))
    questions = [f"Item #{k} ?" for k in range(6)] + [
        {"question": "Item #6 ?", "budget_s": 9, "team_size": 2}
    ]
    results = await mind.abatch(questions, max_concurrency=3, **ASK)
    assert [result.answer for result in results] == [str(k) for k in range(7)]
    assert (results[6].budget_s, len(results[6].team)) == (9.0, 2)
    assert mind.servers[0].peak <= 4


async def test_a_batch_puts_errors_in_their_place_or_raises_the_first(mind: Any) -> None:
    questions = ["A?", "", {"question": "B?", "budget_s": -1}]
    found = await mind.abatch(questions, return_exceptions=True, **ASK)
    assert [type(each) for each in found] == [Result, InvalidQuestion, InvalidBudget]
    with pytest.raises(InfraMindError):
        await mind.abatch(questions, **ASK)


@pytest.mark.parametrize("max_concurrency", [0, -1])
async def test_a_batch_of_none_at_a_time_is_refused(mind: Any, max_concurrency: int) -> None:
    with pytest.raises(ConfigError, match="max_concurrency"):
        await mind.abatch(["A?"], max_concurrency=max_concurrency, **ASK)


@pytest.mark.parametrize("budget_s", [0, -1, float("nan"), float("inf"), "20", True])
async def test_an_impossible_budget_is_refused_before_anything_is_sent(mind: Any, budget_s: Any) -> None:
    with pytest.raises(InvalidBudget):
        await mind.ainvoke("How many?", budget_s=budget_s)
    assert mind.servers[0].asked == [] and await mind.store.count() == 0


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("", "is empty"),
        (" \n\t", "is empty"),
        ("x" * 2_000_000, "2,000,000 characters"),
        ("a\udcffb", "lone surrogates"),
        (None, "NoneType"),
        (b"bytes", "bytes"),
    ],
)
async def test_what_is_no_question_is_refused_before_anything_is_sent(
    mind: Any, question: Any, said: str
) -> None:
    with pytest.raises(InvalidQuestion, match=said) as caught:
        await mind.ainvoke(question)
    assert len(str(caught.value)) < 300
    with pytest.raises(InvalidQuestion):
        async for _ in mind.astream(question):
            pass
    assert mind.servers[0].asked == [] and await mind.store.count() == 0


async def test_a_question_longer_than_any_context_is_refused(mind: Any) -> None:
    with pytest.raises(InvalidQuestion, match="longest context"):
        await mind.ainvoke("x" * 100_000)
    assert mind.servers[0].asked == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"topology": "Ring"}, UnknownTopology),
        ({"team_size": 9}, ConfigError),
        ({"domain": "law"}, ConfigError),
        ({"question_id": "a\ud800"}, ConfigError),
        ({"metadata": {"user": object()}}, ConfigError),
        ({"metadata": {"share": float("nan")}}, ConfigError),
    ],
)
async def test_impossible_options_are_the_callers_mistake(
    mind: Any, options: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await mind.ainvoke("How many?", **options)
    assert mind.servers[0].asked == []


async def test_an_option_that_there_is_not_is_refused_with_what_was_meant(mind: Any) -> None:
    for ask in (mind.ainvoke("Why?", budget=3), mind.abatch([{"question": "Why?", "budget": 3}])):
        with pytest.raises(
            ConfigError, match=r"^budget = '...': unknown option; did you mean budget_s\? it takes"
        ):
            await ask
    with pytest.raises(ConfigError, match="did you mean topology"):
        await anext(mind.astream("Why?", topolgy="IO"))
    assert mind.servers[0].asked == []


@pytest.mark.parametrize("door", ["route", "observe", "budget"])
async def test_what_is_no_graph_is_refused_by_name(mind: Any, door: str) -> None:
    with pytest.raises(ConfigError, match=r"^graph = 'str': give a compiled LangGraph graph"):
        getattr(mind, door)("x")


async def test_auto_lets_the_planner_choose(mind: Any) -> None:
    result = await mind.ainvoke("How many primes are below 100?", topology="auto", domain="auto")
    trace = await mind.atrace(result.trace_id)
    assert trace.domain == "math" and len(trace.decisions[0].actions) > 6


async def test_feedback_may_come_twice_and_the_latest_counts(mind: Any) -> None:
    result = await mind.ainvoke("How many?", **ASK)
    for solved in (False, True):
        await mind.afeedback(result.trace_id, solved=solved)
    await mind.afeedback(result.trace_id, key="style", value="fine", source="user")
    trace = await mind.atrace(result.trace_id)
    assert trace.solved is True
    assert [(o.key, o.score, o.value) for o in trace.outcomes] == [
        ("solved", 1.0, None),
        ("style", None, "fine"),
    ]


@pytest.mark.parametrize(
    "what",
    [
        {},
        {"solved": True, "key": "x"},
        {"key": "x"},
        {"solved": True, "score": 0.3},
        {"key": "x", "score": float("nan")},
    ],
)
async def test_feedback_that_says_nothing_or_too_much_is_refused(mind: Any, what: Any) -> None:
    with pytest.raises((ValueError, InfraMindError)):
        await mind.afeedback("ab" * 16, **what)


async def test_an_unknown_trace_is_named(mind: Any) -> None:
    with pytest.raises(UnknownTrace, match="abababab"):
        await mind.atrace("abababab")


async def test_closing_twice_is_fine_and_asking_afterwards_is_not(make_mind: Any, say: Any) -> None:
    mind = await make_mind(say(lambda asked: "\\boxed{1}"))
    await mind.ainvoke("How many?", **ASK)
    await asyncio.to_thread(mind.invoke, "How many?", **ASK)
    await asyncio.to_thread(mind.close)
    await mind.aclose()
    with pytest.raises(StoreClosed):
        await mind.store.count()


async def test_a_store_that_is_given_stays_open(make_mind: Any, say: Any) -> None:
    from inframind.traces.memory import MemoryStore

    store = MemoryStore()
    async with await make_mind(say(lambda asked: "\\boxed{1}"), store=store) as mind:
        await mind.ainvoke("How many?", **ASK)
    assert await store.count() == 1


async def test_load_is_read_from_the_first_question_on(make_mind: Any) -> None:
    page = (
        b'# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine="0",model_name="m0"} 3.0\n'
    )

    async def script(wire: Any) -> None:
        if wire.asked.body is None:
            await wire.reply(200, page, "text/plain")
        else:
            await wire.answer("\\boxed{1}")

    first = await make_mind(script)
    url = first.servers[0].base_url
    endpoints = [{"name": "e0", "base_url": url, "model": "m0"}]
    for door in ("ainvoke", "graph", "invoke"):
        mind = await make_mind(
            script, settings={"endpoints": endpoints, "fleet": {"scrape_interval_s": 0.01}}
        )
        if door == "ainvoke":
            await mind.ainvoke("How many?", **ASK)
        elif door == "invoke":
            await asyncio.to_thread(mind.invoke, "How many?", **ASK)
        else:
            await mind.graph().compile().ainvoke({"messages": [("user", "How many?")]})
        while mind.fleet.snapshot().loads["e0"].running != 3.0:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_the_first_readings_may_be_waited_for(make_mind: Any) -> None:
    page = b'vllm:num_requests_running{engine="0",model_name="m0"} 2.0\n'

    async def script(wire: Any) -> None:
        await wire.reply(200, page, "text/plain")

    url = (await make_mind(script)).servers[0].base_url
    mind = await make_mind(script, settings={"endpoints": [{"name": "e0", "base_url": url, "model": "m0"}]})
    await mind.fleet.watch(first_readings_s=10.0)
    assert mind.fleet.snapshot().loads["e0"].running == 2.0


async def test_waiting_for_first_readings_ends_when_a_server_says_nothing(make_mind: Any) -> None:
    async def script(wire: Any) -> None:
        await wire.gone()

    url = (await make_mind(script)).servers[0].base_url
    mind = await make_mind(script, settings={"endpoints": [{"name": "e0", "base_url": url, "model": "m0"}]})
    await mind.fleet.watch(first_readings_s=0.1)
    assert mind.fleet.snapshot().loads["e0"].age_s is None
