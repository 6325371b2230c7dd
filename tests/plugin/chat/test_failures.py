"""What goes wrong with a call: what is tried again, what is raised, and what is let go of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypedDict

import pytest
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from langgraph.graph import END, START, StateGraph
from langgraph.types import RetryPolicy

from inframind.errors import (
    DeadlineExceeded,
    EndpointError,
    EndpointRejected,
    EndpointServerError,
    EndpointTimeout,
    EndpointUnauthorized,
    EndpointUnreachable,
    FleetExhausted,
    InfraMindError,
    UnknownModel,
)
from inframind.plugin.chat import ChatInfraMind
from inframind.plugin.retry import retry_on

Script = Callable[[Any], Awaitable[None]]
QUICK: dict[str, Any] = {"fleet": {"backoff_s": 0.001}}


def refusing(status: int, message: str = "scripted") -> Script:
    async def script(wire: Any) -> None:
        await wire.fail(status, message)

    return script


async def dropping(wire: Any) -> None:
    wire.drop()


async def breaking(wire: Any) -> None:
    """Two words, then the connection is gone."""
    await wire.begin()
    await wire.piece("half ")
    await wire.piece("an ")
    wire.drop()


async def dying(wire: Any) -> None:
    """A word, then an error inside the stream."""
    await wire.begin()
    await wire.piece("half ")
    await wire.event({"error": {"message": "the engine died", "code": 500}})
    await wire.end()


async def stillborn(wire: Any) -> None:
    """A stream that breaks before its first token."""
    await wire.begin()
    wire.drop()


def hanging(begun: asyncio.Event, gone: asyncio.Event) -> Script:
    async def script(wire: Any) -> None:
        if wire.asked.body.get("stream"):
            await wire.begin()
            await wire.piece("half ")
        begun.set()
        await wire.gone()
        gone.set()

    return script


async def answering(wire: Any) -> None:
    if wire.asked.body.get("stream"):
        await wire.answer("all ", "well")
    else:
        message = {"role": "assistant", "content": "all well"}
        await wire.reply(
            200, {"model": wire.model, "choices": [{"message": message, "finish_reason": "stop"}]}
        )


def asked(model: ChatInfraMind) -> list[int]:
    """Requests that each server has seen."""
    return [len(server.asked) for server in model.mind.servers]  # type: ignore[union-attr]


def in_flight(model: ChatInfraMind) -> int:
    assert model.mind is not None
    return sum(load.in_flight for load in model.mind.fleet.snapshot().loads.values())


async def streamed(model: ChatInfraMind, prompt: str = "hi") -> str:
    return "".join([str(chunk.content) async for chunk in model.astream(prompt)])


async def invoked(model: ChatInfraMind, prompt: str = "hi") -> str:
    return str((await model.ainvoke(prompt)).content)


async def invoked_in_a_thread(model: ChatInfraMind, prompt: str = "hi") -> str:
    return str((await asyncio.to_thread(model.invoke, prompt)).content)


async def streamed_in_a_thread(model: ChatInfraMind, prompt: str = "hi") -> str:
    return await asyncio.to_thread(lambda: "".join(str(chunk.content) for chunk in model.stream(prompt)))


EVERY_DOOR = pytest.mark.parametrize("door", [invoked, streamed, invoked_in_a_thread, streamed_in_a_thread])


@EVERY_DOOR
@pytest.mark.parametrize(
    ("status", "message", "theirs", "ours"),
    [
        (400, "bad request", ModelInvalidRequestError, EndpointRejected),
        (400, "This model's maximum context length is 9 tokens.", ContextOverflowError, EndpointRejected),
        (401, "wrong key", ModelAuthenticationError, EndpointUnauthorized),
        (403, "not yours", ModelPermissionDeniedError, EndpointUnauthorized),
        (404, "no such model", ModelNotFoundError, EndpointRejected),
    ],
)
async def test_a_refusal_is_final_and_seen_by_one_server_once(
    make_model: Any, door: Any, status: int, message: str, theirs: type[Exception], ours: type[Exception]
) -> None:
    model = await make_model(refusing(status, message), refusing(status, message), settings=QUICK)
    with pytest.raises(theirs) as caught:
        await door(model)
    error = caught.value
    assert isinstance(error, ours)
    assert isinstance(error, EndpointError)
    assert (error.status, error.detail) == (status, message)
    assert error.__cause__ is not None
    assert error.trace_id in "".join(error.__notes__)
    assert sum(asked(model)) == 1
    assert not retry_on(error)


@EVERY_DOOR
@pytest.mark.parametrize("failing", [refusing(429), refusing(503), dropping, stillborn])
async def test_another_candidate_answers_where_one_cannot(
    make_model: Any, door: Any, failing: Script
) -> None:
    model = await make_model(failing, answering, settings=QUICK | {"policy": {"seed": 1, "quality_floor": 0}})
    assert await door(model) == "all well"
    assert asked(model) == [1, 1]


@pytest.mark.parametrize(
    ("failing", "theirs"),
    [
        (refusing(429), ModelRateLimitError),
        (refusing(503), ModelAPIError),
        (refusing(500), ModelAPIError),
        (dropping, ModelConnectionError),
    ],
)
async def test_a_fleet_that_cannot_answer_says_so_in_both_languages(
    make_model: Any, failing: Script, theirs: type[Exception]
) -> None:
    model = await make_model(failing, settings=QUICK)
    with pytest.raises(theirs) as caught:
        await model.ainvoke("hi")
    assert isinstance(caught.value, FleetExhausted)
    assert caught.value.failures
    assert retry_on(caught.value)


@pytest.mark.parametrize("door", [streamed, streamed_in_a_thread])
@pytest.mark.parametrize(
    ("broken", "theirs", "ours", "partial_text"),
    [
        (breaking, ModelConnectionError, EndpointUnreachable, "half an "),
        (dying, ModelAPIError, EndpointServerError, "half "),
    ],
)
async def test_a_stream_that_breaks_in_the_middle_is_not_begun_again(
    make_model: Any,
    door: Any,
    broken: Script,
    theirs: type[Exception],
    ours: type[Exception],
    partial_text: str,
) -> None:
    model = await make_model(broken, broken, settings=QUICK)
    with pytest.raises(theirs) as caught:
        await door(model)
    assert isinstance(caught.value, ours)
    assert isinstance(caught.value, EndpointError)
    assert caught.value.partial_text == partial_text
    assert sum(asked(model)) == 1


@EVERY_DOOR
async def test_a_call_ends_when_its_timeout_does(make_model: Any, door: Any) -> None:
    model = await make_model(hanging(asyncio.Event(), asyncio.Event()), timeout=0.05)
    with pytest.raises(ModelTimeoutError) as caught:
        await door(model)
    assert isinstance(caught.value, EndpointTimeout)
    assert caught.value.deadline_s == 0.05
    assert in_flight(model) == 0


async def test_a_model_that_nobody_serves_is_not_found(make_model: Any) -> None:
    model = await make_model(answering, model="gpt-9")
    with pytest.raises(ModelNotFoundError) as caught:
        await model.ainvoke("hi")
    assert isinstance(caught.value, UnknownModel)
    assert asked(model) == [0]


async def test_a_run_whose_hard_budget_is_spent_times_out(make_model: Any) -> None:
    model = await make_model(answering)
    with model.mind.run(budget_s=1e-9, hard=True), pytest.raises(ModelTimeoutError) as caught:
        await model.ainvoke("hi")
    assert isinstance(caught.value, DeadlineExceeded)
    assert not retry_on(caught.value)


# Giving up.


@pytest.mark.parametrize("door", [invoked, streamed])
async def test_a_cancelled_call_gives_its_slot_back(make_model: Any, door: Any) -> None:
    begun, gone = asyncio.Event(), asyncio.Event()
    model = await make_model(hanging(begun, gone))
    call = asyncio.create_task(door(model))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert in_flight(model) == 0
    await gone.wait()


async def test_a_stream_that_is_closed_early_has_given_its_slot_back_when_that_returns(
    make_model: Any,
) -> None:
    gone = asyncio.Event()
    model = await make_model(hanging(asyncio.Event(), gone))
    stream = model.astream("hi")
    assert (await anext(stream)).content == "half "
    assert in_flight(model) == 1
    await stream.aclose()
    assert in_flight(model) == 0
    await gone.wait()


async def test_so_has_one_that_is_read_in_a_thread(make_model: Any) -> None:
    gone = asyncio.Event()
    model = await make_model(hanging(asyncio.Event(), gone))

    def look() -> int:
        for _ in model.stream("hi"):
            break
        return in_flight(model)

    assert await asyncio.to_thread(look) == 0
    await gone.wait()


# Retries of a graph.


class State(TypedDict, total=False):
    text: str


def graph_of(model: Any) -> Any:
    async def ask(state: State) -> State:
        return {"text": (await model.ainvoke("hi")).content}

    builder = StateGraph(State)
    policy = RetryPolicy(initial_interval=0.001, jitter=False, max_attempts=3, retry_on=retry_on)
    builder.add_node("ask", ask, retry_policy=policy)
    builder.add_edge(START, "ask").add_edge("ask", END)
    return builder.compile()


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_a_graph_does_not_retry_what_cannot_help(make_model: Any, status: int) -> None:
    model = await make_model(refusing(status), settings=QUICK)
    with pytest.raises(InfraMindError):
        await graph_of(model).ainvoke({})
    assert asked(model) == [1]


async def test_a_graph_retries_what_can(make_model: Any) -> None:
    refusals = iter([429] * 2)

    async def script(wire: Any) -> None:
        status = next(refusals, None)
        await (answering(wire) if status is None else wire.fail(status))

    model = await make_model(script, settings={"fleet": {"backoff_s": 0.001, "passes": 1}})
    assert await graph_of(model).ainvoke({}) == {"text": "all well"}
    assert asked(model) == [3]


class SdkError(Exception):
    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


@pytest.mark.parametrize(
    ("error", "may_help"),
    [
        (SdkError(400), False),
        (SdkError(401), False),
        (SdkError(408), True),
        (SdkError(429), True),
        (SdkError(500), True),
        (ModelRateLimitError("x"), True),
        (ModelInvalidRequestError("x"), False),
        (ValueError("x"), False),
        (ConnectionError("x"), True),
    ],
)
def test_errors_of_others_are_judged_by_what_they_say(error: Exception, may_help: bool) -> None:
    assert retry_on(error) is may_help
