"""Reading answers from bytes: any cutting, real captures, and what is not an answer."""

from __future__ import annotations

import contextlib
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.fleet.messages import Delta, Usage
from inframind.fleet.sse import AnswerAssembler, ErrorInStream, MalformedReply

CAPTURES = Path(__file__).resolve().parents[2].parent / "shared" / "fixtures"
VLLM = CAPTURES / "vllm" / "0.32.0" / "responses"
STREAMS = [
    "chat_stream_usage",
    "chat_stream_no_usage",
    "chat_stream_continuous_usage",
    "chat_tools_required_stream",
]


def capture(path: Path) -> dict[str, Any]:
    if not path.exists():
        pytest.skip("needs ../shared/fixtures")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def event(delta: dict[str, Any] | None = None, **top: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta}]
    return b"data: " + json.dumps({"id": "x", "model": "m", "choices": choices, **top}).encode() + b"\n\n"


STREAM = b"".join(
    [
        b": a comment\r\n\r\n",
        event({"role": "assistant", "content": ""}),
        event({"reasoning": "hm"}),
        event({"content": "Grüße, "}).replace(b"\n\n", b"\r\n\r\n"),
        event({"content": "世界"}),
        event({"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}]}),
        event({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x"'}}]}),
        event({"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}),
        b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}\n\n',
        event(usage={"prompt_tokens": 3, "completion_tokens": 5}, metrics={"queue_time_ms": 2.0}),
        b"data: [DONE]\n\n",
    ]
)


def read(*pieces: bytes) -> tuple[AnswerAssembler, list[Delta]]:
    answer = AnswerAssembler()
    return answer, [delta for piece in pieces for delta in answer.feed(piece)]


@given(st.lists(st.integers(0, len(STREAM)), max_size=40))
def test_where_the_stream_is_cut_makes_no_difference(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    answer, deltas = read(*(STREAM[a:b] for a, b in itertools.pairwise(edges)))
    assert answer.text == "".join(delta.text for delta in deltas) == "Grüße, 世界"
    assert (answer.reasoning, answer.finish_reason, answer.is_done) == ("hm", "tool_calls", True)
    assert [(call["id"], call["function"]) for call in answer.tool_calls] == [
        ("a", {"name": "f", "arguments": '{"x": 1}'}),
        ("b", {"name": "g", "arguments": "{}"}),
    ]
    assert answer.usage == Usage(prompt_tokens=3, completion_tokens=5)
    assert (answer.model, answer.request_id, answer.metrics) == ("m", "x", {"queue_time_ms": 2.0})
    assert len(deltas) == 6 and all(d.text or d.reasoning or d.tool_calls for d in deltas)


@pytest.mark.parametrize("name", STREAMS)
def test_a_captured_vllm_stream_reads_as_its_own_events_say(name: str) -> None:
    recorded = capture(VLLM / f"{name}.json")
    lines = recorded["sse"]
    answer, _ = read("".join(f"{line}\n\n" for line in lines).encode())
    chunks = [json.loads(line[6:]) for line in lines if line != "data: [DONE]"]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert answer.text == "".join(delta.get("content") or "" for delta in deltas)
    usages = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    counted = answer.usage and (answer.usage.prompt_tokens, answer.usage.completion_tokens)
    expected = usages and (usages[-1]["prompt_tokens"], usages[-1]["completion_tokens"])
    assert (counted or None) == (expected or None)
    arguments = "".join(
        piece["function"].get("arguments", "") for delta in deltas for piece in delta.get("tool_calls") or ()
    )
    assert "".join(call["function"]["arguments"] for call in answer.tool_calls) == arguments
    metrics = [chunk["metrics"] for chunk in chunks if chunk.get("metrics")]
    assert answer.metrics == (metrics[-1] if metrics else {})
    assert answer.is_done and answer.finish_reason in ("length", "stop", "tool_calls")


def test_a_captured_tool_call_is_put_together_from_its_pieces() -> None:
    recorded = capture(VLLM / "chat_tools_required_stream.json")
    answer, _ = read("".join(f"{line}\n\n" for line in recorded["sse"]).encode())
    assert [call["function"]["name"] for call in answer.tool_calls] == ["lookup_trace"] * 3
    assert len({call["id"] for call in answer.tool_calls}) == 3
    assert all(json.loads(call["function"]["arguments"]) is not None for call in answer.tool_calls[:-1])


def test_every_captured_whole_answer_is_read() -> None:
    paths = sorted(VLLM.glob("chat_*.json"))
    if not paths:
        pytest.skip("needs ../shared/fixtures")
    read_any = 0
    for path in paths:
        recorded = capture(path)
        body = recorded.get("json")
        if recorded.get("status") != 200 or not body:
            continue
        answer = AnswerAssembler()
        answer.take_whole(json.dumps(body).encode())
        choice = body["choices"][0]
        assert answer.text == (choice["message"]["content"] or ""), path.name
        assert answer.finish_reason == choice["finish_reason"], path.name
        assert answer.usage and answer.usage.completion_tokens == body["usage"]["completion_tokens"], (
            path.name
        )
        assert len(answer.tool_calls) == len(choice["message"].get("tool_calls") or ()), path.name
        assert (answer.metrics or None) == body.get("metrics"), path.name
        read_any += 1
    assert read_any > 5


def test_a_cached_prefix_is_counted() -> None:
    body = capture(VLLM / "chat_repeat_prefix_cached.json")["json"]
    answer = AnswerAssembler()
    answer.take_whole(json.dumps(body).encode())
    assert (
        answer.usage and answer.usage.cached_tokens == body["usage"]["prompt_tokens_details"]["cached_tokens"]
    )


@pytest.mark.parametrize("server", ["llama-cpp-python-0.3.36", "transformers-serve-5.23.0"])
def test_other_servers_streams_are_read_too(server: str) -> None:
    lines = capture(CAPTURES / "openai_compat" / server / "chat_stream.json")["sse"]
    answer, _ = read("".join(f"{line}\n\n" for line in lines).encode())
    assert answer.text and answer.finish_reason in ("length", "stop")


def test_only_the_first_choice_is_read() -> None:
    chunks = [
        {"index": 1, "delta": {"content": "no"}, "finish_reason": "stop"},
        {"index": 0, "delta": {"content": "yes"}},
    ]
    answer, deltas = read(*(b"data: " + json.dumps({"choices": [c]}).encode() + b"\n\n" for c in chunks))
    assert (answer.text, answer.finish_reason, len(deltas)) == ("yes", "", 1)


@pytest.mark.parametrize(
    "garbage",
    [
        b"data: not json\n\n",
        b"data: [1, 2]\n\n",
        b'data: "text"\n\n',
        b"data: {\n\n",
        b"data: \xff\xfe\n\n",
        b'data: {"choices": [5]}\n\n',
        b'data: {"choices": {"0": 1}}\n\n',
        b'data: {"choices": [{"delta": "text"}]}\n\n',
        event({"content": ["parts"]}),
        event({"content": 5}),
        event({"reasoning": {"no": "text"}}),
        event({"tool_calls": ["no object"]}),
        event({"tool_calls": [{"index": "first"}]}),
        event({"tool_calls": [{"index": 0, "function": {"arguments": {"an": "object"}}}]}),
        event(usage=["no", "object"]),
        event(usage="many"),
        event(usage={"completion_tokens": 3}),
        event(usage={"prompt_tokens": "few"}),
        event(usage={"prompt_tokens": 3, "prompt_tokens_details": ["no", "object"]}),
    ],
)
def test_what_is_not_a_chunk_is_refused_as_malformed(garbage: bytes) -> None:
    with pytest.raises(MalformedReply):
        read(event({"content": "before"}), garbage)


@given(st.binary(max_size=200))
def test_no_bytes_at_all_raise_anything_else(data: bytes) -> None:
    for body in (data, b"data: " + data + b"\n\n"):
        with contextlib.suppress(MalformedReply, ErrorInStream):
            read(body)
        with contextlib.suppress(MalformedReply):
            AnswerAssembler().take_whole(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "choices",
    "delta",
    "message",
    "content",
    "tool_calls",
    "index",
    "function",
    "usage",
    "metrics",
    "model",
]


@given(
    st.recursive(
        JSON, lambda inner: st.dictionaries(st.sampled_from(FIELDS), inner | st.lists(inner, max_size=2))
    )
)
def test_json_of_any_other_shape_is_malformed_or_read_but_never_a_crash(value: Any) -> None:
    body = json.dumps(value).encode()
    for take in (lambda: read(b"data: " + body + b"\n\n"), lambda: AnswerAssembler().take_whole(body)):
        with contextlib.suppress(MalformedReply, ErrorInStream):
            take()


@pytest.mark.parametrize("metrics", ["fast", [1], 5, None])
def test_metrics_of_an_unknown_shape_are_left_out(metrics: Any) -> None:
    answer, _ = read(event({"content": "x"}, metrics=metrics))
    assert (answer.text, answer.metrics) == ("x", {})


@pytest.mark.parametrize(
    ("error", "detail", "status"),
    [
        ({"message": "engine died", "code": 500}, "engine died", 500),
        ({"message": "no", "code": "bad_request"}, "no", None),
        ("plain words", "plain words", None),
        ({"odd": 1}, "{'odd': 1}", None),
    ],
)
def test_an_error_inside_the_stream_is_told_apart(error: Any, detail: str, status: int | None) -> None:
    with pytest.raises(ErrorInStream) as caught:
        read(event({"content": "half"}), event(error=error))
    assert (str(caught.value), caught.value.status) == (detail, status)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{}]}', b"null"]
)
def test_a_whole_body_that_is_no_completion_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedReply):
        AnswerAssembler().take_whole(body)


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory() -> None:
    assembler = AnswerAssembler()
    with pytest.raises(MalformedReply, match="a line of more than"):
        for _ in range(6):
            assembler.feed(b"x" * 1024 * 1024)
