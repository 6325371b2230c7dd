"""The front door on servers that misbehave: a clear error or a marked outcome, and always a stored trace."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from inframind.errors import (
    DeadlineExceeded,
    EndpointRejected,
    EndpointUnauthorized,
    FleetExhausted,
    InfraMindError,
)
from inframind.plugin.config import settings_from
from inframind.plugin.mind import InfraMind
from inframind.simulator.engine_profile import EngineProfile
from inframind.simulator.fleet import SimulatedFleet
from inframind.simulator.model import EchoModel
from inframind.simulator.server import ServerSpec

ASK: dict[str, Any] = {"domain": "math", "topology": "IO", "team_size": 1}
IMPATIENT: dict[str, Any] = {"fleet": {"backoff_s": 0.001}}
KEY, WRONG_KEY = "the-right-key", "a-wrong-key"

Misbehave = Callable[[Any], Awaitable[None]]


async def garbage(wire: Any) -> None:
    await wire.reply(200, b"<html>welcome to the proxy</html>", "text/html")


async def garbage_in_a_stream(wire: Any) -> None:
    await wire.begin()
    await wire.piece("half ")
    await wire.send(b'data: {"choices": [}\n\n')
    await wire.end()


async def close_at_once(wire: Any) -> None:
    wire.drop()


async def close_mid_stream(wire: Any) -> None:
    await wire.begin()
    await wire.piece("half \\boxed{3}")
    wire.drop()


async def end_without_an_end(wire: Any) -> None:
    await wire.begin()
    await wire.piece("half \\boxed{3}")
    await wire.raw(b"0\r\n\r\n")


async def stall_mid_stream(wire: Any) -> None:
    await wire.begin()
    await wire.piece("half ")
    await wire.gone()


BROKEN = {
    garbage: "EndpointProtocolError",
    garbage_in_a_stream: "EndpointProtocolError",
    close_at_once: "EndpointUnreachable",
    close_mid_stream: "EndpointUnreachable",
    end_without_an_end: "EndpointProtocolError",
}


async def only_trace(mind: InfraMind) -> Any:
    (summary,) = await mind.store.list()
    return await mind.store.get(summary.trace_id)


@pytest.mark.parametrize("script", BROKEN, ids=lambda script: script.__name__)
async def test_a_broken_server_alone_is_an_error_that_names_it_and_its_fault(
    make_mind: Any, script: Misbehave
) -> None:
    mind = await make_mind(script, settings=IMPATIENT)
    with pytest.raises(FleetExhausted) as caught:
        await mind.ainvoke("How many?", **ASK)
    assert {(failure.endpoint, type(failure).__name__) for failure in caught.value.failures} == {
        ("e0", BROKEN[script])
    }
    assert "e0" in str(caught.value)
    trace = await only_trace(mind)
    assert (trace.trace_id, trace.status, trace.error) == (caught.value.trace_id, "failed", "FleetExhausted")
    (step,) = trace.steps
    assert (step.error, {attempt.error for attempt in step.attempts}) == ("FleetExhausted", {BROKEN[script]})


@pytest.mark.parametrize("script", BROKEN, ids=lambda script: script.__name__)
async def test_beside_a_good_server_a_broken_one_costs_an_attempt_and_no_answer(
    make_mind: Any, say: Any, script: Misbehave
) -> None:
    mind = await make_mind(script, say(lambda asked: "\\boxed{42}"), settings=IMPATIENT)
    # Drafts have no reader, so that even a stream that breaks late moves on.
    result = await mind.ainvoke("How many?", **{**ASK, "team_size": 2})
    trace = await only_trace(mind)
    assert (result.answer, result.status) == ("42", "ok")
    assert [step.endpoint for step in trace.steps] == ["e1", "e1"]
    assert {attempt.error for step in trace.steps for attempt in step.attempts} == {BROKEN[script]}


async def test_a_stream_that_stalls_ends_at_the_deadline_as_a_late_answer(make_mind: Any) -> None:
    mind = await make_mind(stall_mid_stream)
    result = await mind.ainvoke("How many?", budget_s=0.5, **ASK)
    trace = await only_trace(mind)
    assert (result.status, result.on_time, result.text) == ("late", False, "half ")
    (step,) = trace.steps
    assert (trace.status, step.error, step.text) == ("late", "EndpointTimeout", "half ")


async def test_a_server_that_never_answers_is_a_deadline_exceeded(make_mind: Any) -> None:
    async def silent(wire: Any) -> None:
        await wire.gone()

    mind = await make_mind(silent)
    with pytest.raises(DeadlineExceeded, match=r"0\.3"):
        await mind.ainvoke("How many?", budget_s=0.3, **ASK)
    assert (await only_trace(mind)).error == "DeadlineExceeded"


async def test_a_server_that_is_down_is_an_error_that_names_it(serve: Any) -> None:
    endpoint = {"name": "gpu-7", "base_url": serve.refused(), "model": "m", "metrics": False}
    values = {"endpoints": [endpoint], "traces": {"url": "memory:"}, **IMPATIENT}
    async with InfraMind(settings_from(values)) as mind:
        with pytest.raises(FleetExhausted, match="gpu-7"):
            await mind.ainvoke("How many?", **ASK)
        assert (await only_trace(mind)).status == "failed"


# What only a server that checks can refuse -----------------------------------------------------------------


@pytest.fixture
async def base_url() -> AsyncIterator[str]:
    """A simulated server of the model ``tiny`` that asks for `KEY`."""
    profile = EngineProfile(
        step_base_s=0.001,
        per_prefill_token_s=0.0,
        per_decode_token_s=0.0,
        kv_blocks=8192,
        block_size=16,
        max_num_seqs=8,
        max_model_len=4096,
    )
    spec = ServerSpec(name="a", model="tiny", profile=profile, api_key=KEY)
    async with SimulatedFleet([spec], EchoModel(n_tokens=8), speed=20.0) as fleet:
        yield fleet.base_urls["a"]


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"model": "tiny", "api_key": WRONG_KEY}, EndpointUnauthorized, "e0"),
        ({"model": "tiny"}, EndpointUnauthorized, "e0"),
        ({"model": "huge", "api_key": KEY}, EndpointRejected, "huge"),
    ],
    ids=["wrong key", "no key", "unknown model"],
)
async def test_what_the_server_refuses_is_not_tried_again(
    base_url: str, given: dict[str, str], error: type[InfraMindError], said: str
) -> None:
    endpoint = {"name": "e0", "base_url": base_url, "context_length": 4096, "metrics": False, **given}
    values = {"endpoints": [endpoint], "traces": {"url": "memory:"}}
    async with InfraMind(settings_from(values)) as mind:
        with pytest.raises(error, match=said) as caught:
            await mind.ainvoke("How many?", **ASK)
        trace = await only_trace(mind)
    assert "-key" not in str(caught.value)
    assert (trace.status, trace.error, len(trace.steps)) == ("failed", error.__name__, 1)
    assert trace.steps[0].attempts == () and "-key" not in trace.steps[0].error_detail


async def test_with_the_right_key_and_model_the_same_server_answers(base_url: str) -> None:
    endpoint = {"name": "e0", "base_url": base_url, "context_length": 4096, "model": "tiny", "api_key": KEY}
    async with InfraMind(settings_from({"endpoints": [endpoint], "traces": {"url": "memory:"}})) as mind:
        assert (await mind.ainvoke("How many?", **ASK)).status == "ok"
