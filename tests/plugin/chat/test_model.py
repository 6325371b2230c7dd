"""The chat model over real sockets: what is sent, and what becomes of the answer."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables import ConfigurableField
from pydantic import BaseModel, SecretStr

from inframind.errors import ConfigError, InvalidBudget, UnknownModel
from inframind.plugin.chat import ChatInfraMind

TOOL_CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
CONFIG = (
    '[[endpoints]]\nname = "e"\nmodel = "m"\nbase_url = "http://127.0.0.1:9/v1"\n[traces]\nurl = "memory:"\n'
)


def add(a: int) -> int:
    """Adds."""
    return a


class Verdict(BaseModel):
    """A verdict."""

    ok: bool


async def whole(wire: Any, message: dict[str, Any], finish: str = "stop") -> None:
    """Answer as asked: in one piece, or as a stream of one event per field."""
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    head = {"id": "r7", "model": "served", "usage": usage}
    if not wire.asked.body.get("stream"):
        choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
        await wire.reply(200, {**head, "choices": [choice]})
        return
    await wire.begin()
    for name, value in message.items():
        await wire.event({**head, "usage": None, "choices": [{"index": 0, "delta": {name: value}}]})
    await wire.event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    await wire.end()


def saying(**message: Any) -> Callable[[Any], Any]:
    async def script(wire: Any) -> None:
        await whole(wire, message)

    return script


def sent(model: ChatInfraMind) -> dict[str, Any]:
    (server,) = model.mind.servers  # type: ignore[union-attr]
    return dict(server.asked[-1].body)


async def test_an_answer_says_who_gave_it_and_why(make_model: Any) -> None:
    model = await make_model(saying(content="four"))
    answer = await model.ainvoke("two plus two?")
    told = answer.response_metadata
    assert (answer.content, told["model_name"], told["model_provider"]) == ("four", "served", "inframind")
    assert (told["finish_reason"], told["id"]) == ("stop", "r7")
    assert answer.usage_metadata == {
        "input_tokens": 5,
        "output_tokens": 2,
        "total_tokens": 7,
        "input_token_details": {"cache_read": 4},
    }
    account = told["inframind"]
    assert (account["model"], account["strategy"], account["endpoint"], account["probability"]) == (
        "m0",
        "Plain",
        "e0",
        1.0,
    )
    trace = await model.mind.atrace(account["trace_id"])
    assert (trace.question, trace.decisions[0].decision_id) == ("two plus two?", account["decision_id"])
    assert answer.id.removeprefix("lc_run--").replace("-", "") == account["trace_id"]


async def test_a_stream_says_the_same_and_the_last_piece_alone_counts(make_model: Any) -> None:
    model = await make_model(saying(reasoning="hm", content="four"))
    chunks = [chunk async for chunk in model.astream("two plus two?")]
    assert [chunk.content for chunk in chunks] == ["", "four", ""]
    assert [bool(chunk.usage_metadata) for chunk in chunks] == [False, False, True]
    assert [chunk.chunk_position for chunk in chunks] == [None, None, "last"]
    full = chunks[0] + chunks[1] + chunks[2]
    assert full.additional_kwargs == {"reasoning_content": "hm"}
    assert full.response_metadata["model_name"] == "served"
    trace_id = full.response_metadata["inframind"]["trace_id"]
    assert full.id.removeprefix("lc_run--").replace("-", "") == trace_id


async def test_the_synchronous_doors_give_the_same(make_model: Any) -> None:
    model = await make_model(saying(content="four"))

    def both() -> tuple[Any, Any]:
        return model.invoke("two?"), list(model.stream("two?"))

    answer, chunks = await asyncio.to_thread(both)
    assert answer.content == "four"
    assert [chunk.content for chunk in chunks] == ["four", ""]
    assert chunks[-1].usage_metadata == answer.usage_metadata


async def test_tool_calls_come_whole_and_in_pieces(make_model: Any) -> None:
    model = (await make_model(saying(content=None, tool_calls=[TOOL_CALL]))).bind_tools([add])
    answer = await model.ainvoke("add one")
    wanted = [{"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}]
    assert answer.tool_calls == wanted
    chunks = [chunk async for chunk in model.astream("add one")]
    assert (chunks[0] + chunks[1]).tool_calls == wanted


@pytest.mark.parametrize("arguments", ["{a", "[1]", '"a"', "7", "null"])
async def test_arguments_that_are_no_object_are_kept_as_they_came(make_model: Any, arguments: str) -> None:
    broken = {**TOOL_CALL, "function": {"name": "add", "arguments": arguments}}
    model = await make_model(saying(content=None, tool_calls=[broken]))
    answer = await model.bind_tools([add]).ainvoke("add one")
    assert answer.tool_calls == []
    assert [(call["name"], call["args"]) for call in answer.invalid_tool_calls] == [("add", arguments)]


async def test_a_conversation_goes_over_the_wire_as_the_server_takes_it(make_model: Any) -> None:
    model = await make_model(saying(content="fine"))
    call = {"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}
    await model.ainvoke(
        [
            SystemMessage("be brief"),
            HumanMessage([{"type": "text", "text": "one"}], name="ann"),
            AIMessage(
                [
                    {"type": "text", "text": "well"},
                    {"type": "tool_use", "id": "c1", "name": "add", "input": {}},
                ],
                tool_calls=[call],
            ),
            ToolMessage("2", tool_call_id="c1", name="add"),
            HumanMessage([{"type": "text", "text": "see"}, {"type": "image", "url": "http://x/y.png"}]),
        ]
    )
    system, user, assistant, tool, picture = sent(model)["messages"]
    assert system == {"role": "system", "content": "be brief"}
    assert user == {"role": "user", "content": "one", "name": "ann"}
    assert assistant["content"] == "well"
    assert assistant["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
    ]
    assert tool == {"role": "tool", "content": "2", "tool_call_id": "c1"}
    assert picture["content"][1] == {"type": "image_url", "image_url": {"url": "http://x/y.png"}}


async def test_a_long_picture_is_no_long_prompt(make_model: Any) -> None:
    model = await make_model(saying(content="a cat"), saying(content="a cat"))
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}
    answer = await model.ainvoke([HumanMessage([{"type": "text", "text": "what is it?"}, picture])])
    trace = await model.mind.atrace(answer.response_metadata["inframind"]["trace_id"])
    assert trace.question == "what is it?"
    assert "context too long" not in trace.decisions[0].masked


async def test_a_calls_own_arguments_come_before_the_models_fields(make_model: Any) -> None:
    model = await make_model(
        saying(content="x"),
        temperature=0.5,
        max_tokens=9,
        stop=["a"],
        seed=3,
        extra_body={"top_p": 0.5, "top_k": 4},
    )
    await model.ainvoke("hi")
    fields = {"temperature": 0.5, "max_tokens": 9, "stop": ["a"], "seed": 3, "top_p": 0.5, "top_k": 4}
    assert {name: sent(model)[name] for name in fields} == fields
    await model.ainvoke("hi", temperature=0, max_tokens=1, stop=["b"], top_p=0.9, extra_body={"top_k": 1})
    fields = {"temperature": 0, "max_tokens": 1, "stop": ["b"], "seed": 3, "top_p": 0.9, "top_k": 1}
    assert {name: sent(model)[name] for name in fields} == fields


async def test_a_plain_call_gets_neither_an_instruction_nor_a_token_limit(make_model: Any) -> None:
    model = await make_model(saying(content="x"))
    await model.ainvoke("hi")
    body = sent(model)
    assert body["messages"] == [{"role": "user", "content": "hi"}]
    assert "max_tokens" not in body
    assert "temperature" not in body


async def test_a_named_strategy_adds_its_instruction_only_where_there_is_room(make_model: Any) -> None:
    strategies = [{"name": "Brief", "instruction": "Be brief.", "max_tokens": 5, "expected_output_tokens": 5}]
    model = await make_model(saying(content="x"), settings={"strategies": strategies}, strategy="Brief")
    await model.ainvoke("hi")
    assert sent(model)["messages"][-1]["content"] == "hi\n\nBe brief."
    assert "max_tokens" not in sent(model)
    await model.bind_tools([add]).ainvoke("hi")
    assert sent(model)["messages"][-1]["content"] == "hi"


@pytest.mark.parametrize(
    ("choice", "on_the_wire"),
    [
        ("any", "required"),
        (True, "required"),
        ("required", "required"),
        ("auto", "auto"),
        ("add", {"type": "function", "function": {"name": "add"}}),
        (None, None),
    ],
)
async def test_tool_choices_are_sent_as_a_server_reads_them(
    make_model: Any, choice: Any, on_the_wire: Any
) -> None:
    model = await make_model(saying(content="x"))
    await model.bind_tools([add], tool_choice=choice, parallel_tool_calls=False).ainvoke("hi")
    assert sent(model).get("tool_choice") == on_the_wire
    assert sent(model)["parallel_tool_calls"] is False
    assert sent(model)["tools"][0]["function"]["name"] == "add"


async def test_no_tools_are_not_sent_as_an_empty_list(make_model: Any) -> None:
    model = await make_model(saying(content="x"))
    await model.bind_tools([], tool_choice="any").ainvoke("hi")
    assert not {"tools", "tool_choice"} & sent(model).keys()


async def test_a_choice_of_a_tool_that_is_not_there_is_refused(make_model: Any) -> None:
    model = await make_model(saying(content="x"))
    with pytest.raises(ConfigError, match="one of: add"):
        model.bind_tools([add], tool_choice="sub")


async def test_a_schema_is_held_to_by_the_server_and_read_back(make_model: Any) -> None:
    model = await make_model(saying(content='{"ok": true}'))
    assert await model.with_structured_output(Verdict).ainvoke("well?") == Verdict(ok=True)
    form = sent(model)["response_format"]
    assert (form["type"], form["json_schema"]["name"]) == ("json_schema", "Verdict")
    assert form["json_schema"]["schema"]["required"] == ["ok"]
    assert await model.with_structured_output(Verdict.model_json_schema()).ainvoke("well?") == {"ok": True}


async def test_an_answer_out_of_form_is_handed_over_with_its_error_where_that_is_wanted(
    make_model: Any,
) -> None:
    model = await make_model(saying(content="well, yes"))
    told = await model.with_structured_output(Verdict, include_raw=True).ainvoke("well?")
    assert told["raw"].content == "well, yes"
    assert told["parsed"] is None
    assert "well, yes" in str(told["parsing_error"])


async def test_a_form_without_a_schema_is_refused(make_model: Any) -> None:
    model = await make_model(saying(content="{}"))
    with pytest.raises(ConfigError, match="needs a Pydantic class"):
        model.with_structured_output(None)
    assert await model.with_structured_output(None, method="json_mode").ainvoke("{}?") == {}


async def test_a_model_can_be_chosen_per_run_by_configurable_fields(make_model: Any) -> None:
    model = await make_model(saying(content="zero"), saying(content="one"))
    routed = model.configurable_fields(model_name=ConfigurableField(id="model"))
    for name, endpoint in (("m0", "e0"), ("m1", "e1")):
        config = {"configurable": {"model": name}}
        answer = await routed.ainvoke("hi", config)
        assert answer.response_metadata["inframind"]["endpoint"] == endpoint
        chunks = [chunk async for chunk in routed.astream("hi", config)]
        assert len(chunks) == 2
        assert chunks[-1].response_metadata["inframind"]["endpoint"] == endpoint


async def test_what_the_fleet_declares_is_the_models_profile(make_model: Any, make_mind: Any) -> None:
    assert (await make_model(saying(content="x"))).profile == {
        "max_input_tokens": 8192,
        "text_inputs": True,
        "text_outputs": True,
    }
    common = {"base_url": "http://127.0.0.1:9/v1", "metrics": False}
    endpoints = {
        "small": {**common, "context_length": 4096},
        "large": {**common, "context_length": 16384, "capabilities": ["tools", "json", "vision"]},
    }
    every = ChatInfraMind(endpoints=endpoints)
    assert every.profile is not None
    assert (every.profile["max_input_tokens"], every.profile["tool_calling"]) == (16384, True)
    assert (every.profile["structured_output"], every.profile["image_inputs"]) == (True, True)
    assert ChatInfraMind(endpoints=endpoints, model="small").profile == {
        "max_input_tokens": 4096,
        "text_inputs": True,
        "text_outputs": True,
    }


async def test_a_model_that_nobody_serves_is_named_with_those_that_are(make_model: Any) -> None:
    model = await make_model(saying(content="x"))
    with pytest.raises(UnknownModel, match=r"'gpt-9'; this fleet serves m0"):
        await model.ainvoke("hi", model="gpt-9")


@pytest.mark.parametrize(
    ("parameter", "lesson"),
    [
        ({"top_p": 0.5}, r"extra_body=\{\"top_p\": ...\}"),
        ({"base_url": "http://x"}, "inframind.toml"),
        ({"temprature": 1}, "did you mean temperature"),
        ({"n": 2}, "batch"),
        ({"something": 2}, "extra_body"),
    ],
)
def test_an_unknown_parameter_is_refused_with_what_to_write_instead(
    parameter: dict[str, Any], lesson: str
) -> None:
    with pytest.raises(ConfigError, match=lesson):
        ChatInfraMind(endpoints={"m": "http://127.0.0.1:9/v1"}, **parameter)


async def test_an_unknown_argument_of_a_call_is_refused(make_model: Any) -> None:
    model = await make_model(saying(content="x"))
    with pytest.raises(ConfigError, match="batch"):
        await model.ainvoke("hi", n=2)


@pytest.mark.parametrize("impossible", [0, -1, float("nan"), float("inf"), "soon"])
async def test_an_impossible_budget_of_a_call_is_refused_before_anything_is_sent(
    make_model: Any, impossible: Any
) -> None:
    model = await make_model(saying(content="x"))
    with pytest.raises(InvalidBudget):
        await model.ainvoke("hi", budget_s=impossible)
    assert model.mind.servers[0].asked == []


@pytest.mark.parametrize("impossible", [0, -1, float("nan"), (1, 2)])
async def test_an_impossible_timeout_of_a_call_is_refused_before_anything_is_sent(
    make_model: Any, impossible: Any
) -> None:
    model = await make_model(saying(content="x"))
    with pytest.raises(ConfigError, match="timeout"):
        await model.ainvoke("hi", timeout=impossible)
    assert model.mind.servers[0].asked == []


@pytest.mark.parametrize("name", ["model", "model_name"])
async def test_a_calls_own_model_comes_before_its_nodes(make_model: Any, name: str) -> None:
    model = await make_model(saying(content="x"), saying(content="y"))
    node = {"metadata": {"inframind": {"model": "m0"}}}
    assert (await model.ainvoke("hi", node)).content == "x"
    assert (await model.ainvoke("hi", node, **{name: "m1"})).content == "y"


async def test_a_mind_and_endpoints_contradict_each_other(make_mind: Any) -> None:
    mind = await make_mind(saying(content="x"))
    with pytest.raises(ConfigError, match="give no config, endpoints or api_key"):
        ChatInfraMind(mind=mind, endpoints={"m": "http://127.0.0.1:9/v1"})


# Configuration and copies.


def test_a_file_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        ChatInfraMind(config=tmp_path / "inframind.toml")


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "other.toml"
    path.write_text(CONFIG)
    monkeypatch.setenv("INFRAMIND_CONFIG", str(path))
    assert ChatInfraMind().profile == {"max_input_tokens": 8192, "text_inputs": True, "text_outputs": True}


async def test_models_of_one_configuration_share_a_fleet_until_one_closes_it(
    serve: Any, tmp_path: Path
) -> None:
    server = await serve(saying(content="x"))
    path = tmp_path / "inframind.toml"
    path.write_text(CONFIG.replace("http://127.0.0.1:9/v1", server.base_url))
    one, two = ChatInfraMind(config=path), ChatInfraMind(config=path, model="m")
    trace_id = (await one.ainvoke("hi")).response_metadata["inframind"]["trace_id"]
    mind = await two._behind.amind()
    assert (await mind.atrace(trace_id)).question == "hi"
    await two.aclose()
    assert (await one.ainvoke("hi")).content == "x"
    await one.aclose()


async def test_a_key_reaches_the_endpoints_and_nothing_else(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFRAMIND_TRACES__URL", "memory:")
    server = await serve(saying(content="x"))
    model = ChatInfraMind(endpoints={"m": {"base_url": server.base_url, "metrics": False}}, api_key="sesame")
    try:
        await model.ainvoke("hi")
    finally:
        await model.aclose()
    assert server.asked[-1].headers["authorization"] == "Bearer sesame"
    for shown in (
        repr(model),
        str(model),
        str(dumpd(model)),
        str(model._identifying_params),
        str(model.model_dump()),
    ):
        assert "sesame" not in shown


@pytest.mark.parametrize("key", ["sesame", SecretStr("sesame")])
def test_a_key_among_the_endpoints_fields_is_refused_for_those_are_shown(key: Any) -> None:
    with pytest.raises(ConfigError, match=r"endpoints\.m\.api_key = .*api_key_env") as caught:
        ChatInfraMind(endpoints={"m": {"base_url": "http://127.0.0.1:9/v1", "api_key": key}})
    assert "sesame" not in str(caught.value)


def test_headers_are_not_shown() -> None:
    headers = {"Authorization": "Bearer sesame"}
    model = ChatInfraMind(endpoints={"m": "http://127.0.0.1:9/v1"}, default_headers=headers)
    assert "sesame" not in repr(model)


def test_copies_and_pickles_find_the_same_fleet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFRAMIND_TRACES__URL", "memory:")
    model = ChatInfraMind(endpoints={"m": "http://127.0.0.1:9/v1"}, api_key="sesame", temperature=0.5)
    for again in (
        copy.copy(model),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        model.model_copy(),
    ):
        assert again == model
        assert again.temperature == 0.5
        assert again._behind is model._behind
    other = model.model_copy(update={"endpoints": {"n": "http://127.0.0.1:9/v1"}})
    assert list(other._behind.models) == ["n"]


async def test_a_model_with_a_mind_can_be_copied_but_not_pickled(make_model: Any) -> None:
    model = await make_model(saying(content="x"))
    assert copy.deepcopy(model).mind is model.mind
    with pytest.raises(TypeError, match="config= or endpoints="):
        pickle.dumps(model)


@pytest.mark.filterwarnings("ignore:The function .load. is in beta")
def test_a_model_is_written_out_and_read_again_without_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFRAMIND_API_KEY", "another")
    model = ChatInfraMind(endpoints={"m": "http://127.0.0.1:9/v1"}, api_key="sesame", model="m")
    written = dumpd(model)
    again = load(
        written, allowed_objects=[ChatInfraMind], valid_namespaces=["inframind"], secrets_from_env=True
    )
    assert (again.model_name, again.endpoints) == ("m", model.endpoints)
    assert again.api_key == SecretStr("another")
