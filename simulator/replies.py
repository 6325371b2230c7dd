"""Successful bodies and server-sent events, byte for byte in the shapes of vLLM 0.32.

Events are assembled from a prefix that is serialised once a request: a stream's cost is then mostly the one
string of text in each event.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from inframind.simulator.engine_records import RequestRecord
from inframind.simulator.speech import Delta, Part, Speech

FINGERPRINT = "vllm-0.32.0-simulated"
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyHead:
    """What all events and the body of one reply have in common."""

    reply_id: str
    created: int
    model: str
    prompt_tokens: int


def completion(head: ReplyHead, speeches: Sequence[Speech], records: Sequence[RequestRecord]) -> bytes:
    """The body of a reply that is not streamed."""
    return orjson.dumps(
        {
            "id": head.reply_id,
            "object": "chat.completion",
            "created": head.created,
            "model": head.model,
            "choices": [_choice(head, index, speech) for index, speech in enumerate(speeches)],
            "service_tier": None,
            "system_fingerprint": FINGERPRINT,
            "usage": _usage(head, records) | {"completion_tokens_details": None},
            "prompt_logprobs": None,
            "prompt_token_ids": None,
            "prompt_text": None,
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": _timings(records[0]) | {"speculative_decoding": None} if len(records) == 1 else None,
        }
    )


def usage_event(head: ReplyHead, records: Sequence[RequestRecord]) -> bytes:
    """The last event before ``[DONE]`` when usage was asked for."""
    usage = _usage(head, records)
    del usage["prompt_tokens_details"]["multimodal_tokens"]
    body: dict[str, Any] = {
        "id": head.reply_id,
        "object": "chat.completion.chunk",
        "created": head.created,
        "model": head.model,
        "choices": [],
        "usage": usage,
        "system_fingerprint": FINGERPRINT,
    }
    if len(records) == 1:
        body["metrics"] = _timings(records[0])
    return b"data: " + orjson.dumps(body) + b"\n\n"


class EventWriter:
    """Writes the events of one choice."""

    def __init__(
        self, head: ReplyHead, index: int, speech: Speech, *, has_usage: bool, has_fingerprint: bool
    ):
        prefix = {
            "id": head.reply_id,
            "object": "chat.completion.chunk",
            "created": head.created,
            "model": head.model,
        }
        self._before = b"data: " + orjson.dumps(prefix)[:-1] + b',"choices":[{"index":%d,"delta":' % index
        self._head, self._index, self._speech = head, index, speech
        self._has_usage = has_usage
        self._fingerprint = b',"system_fingerprint":"%s"' % FINGERPRINT.encode() if has_fingerprint else b""
        self._sent = 0

    def opening(self) -> bytes:
        """The event that names the role."""
        return b"".join(
            (
                self._before,
                b'{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]',
                self._usage(0),
                b',"prompt_token_ids":null,"prompt_text":null}\n\n',
            )
        )

    def up_to(self, generated: int, *, is_last: bool) -> Iterator[bytes]:
        """Events for the tokens since the last call."""
        deltas = [
            _delta(self._head, self._index, delta) for delta in self._speech.between(self._sent, generated)
        ]
        self._sent = generated
        bodies = [body for body in deltas if body]
        for body in bodies[:-1] if is_last else bodies:
            yield self._event(body, generated, b"null")
        if is_last:
            stop_reason = orjson.dumps(self._speech.stop_reason)
            ending = b'"%s","stop_reason":%s' % (self._speech.finish_reason.encode(), stop_reason)
            yield self._event(bodies[-1] if bodies else b"{}", generated, ending, self._fingerprint)

    def _event(self, delta: bytes, generated: int, finish: bytes, tail: bytes = b"") -> bytes:
        choice = b',"logprobs":null,"finish_reason":%s,"token_ids":null}]' % finish
        return b"".join((self._before, delta, choice, self._usage(generated), tail, b"}\n\n"))

    def _usage(self, generated: int) -> bytes:
        if not self._has_usage:
            return b""
        prompt = self._head.prompt_tokens
        return (
            b',"usage":{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d,'
            b'"completion_tokens_details":null}' % (prompt, prompt + generated, generated)
        )


def error_event(body: dict[str, Any]) -> bytes:
    """An error inside a stream whose headers are gone already."""
    return b"data: " + orjson.dumps(body) + b"\n\n"


def _delta(head: ReplyHead, index: int, delta: Delta) -> bytes:
    """The ``delta`` object of a stretch of tokens, or nothing when there is nothing to see."""
    text = delta.text
    if delta.part.kind == "tool":
        return _tool_delta(head, index, delta)
    if not text:
        return b""
    return b'{"%s":%s}' % (delta.part.kind.encode(), orjson.dumps(text))


def _tool_delta(head: ReplyHead, index: int, delta: Delta) -> bytes:
    call: dict[str, Any] = {"index": delta.index, "function": {"arguments": delta.text}}
    if delta.begin == 0:
        call = {
            "id": _tool_id(head, index, delta.index),
            "type": "function",
            "index": delta.index,
            "function": {"name": delta.part.tool_name, "arguments": delta.text},
        }
    return orjson.dumps({"content": None, "tool_calls": [call]})


def _tool_id(head: ReplyHead, choice: int, call: int) -> str:
    return f"chatcmpl-tool-{head.reply_id.removeprefix('chatcmpl-')}-{choice}-{call}"


def _choice(head: ReplyHead, index: int, speech: Speech) -> dict[str, Any]:
    return {
        "index": index,
        "message": _message(head, index, speech),
        "logprobs": None,
        "finish_reason": speech.finish_reason,
        "stop_reason": speech.stop_reason,
        "token_ids": None,
        "routed_experts": None,
    }


def _message(head: ReplyHead, index: int, speech: Speech) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": speech.text("content"),
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
    }
    calls = [part for part in speech.parts if part.kind == "tool"]
    if calls:
        message["tool_calls"] = [_tool_call(head, index, n, part) for n, part in enumerate(calls)]
    return message | {"reasoning": speech.text("reasoning") or None}


def _tool_call(head: ReplyHead, choice: int, call: int, part: Part) -> dict[str, Any]:
    return {
        "id": _tool_id(head, choice, call),
        "type": "function",
        "function": {"name": part.tool_name, "arguments": part.text},
    }


def _usage(head: ReplyHead, records: Sequence[RequestRecord]) -> dict[str, Any]:
    """Token counts of all choices together; the prompt is counted once."""
    generated = sum(record.output_tokens for record in records)
    return {
        "prompt_tokens": head.prompt_tokens,
        "total_tokens": head.prompt_tokens + generated,
        "completion_tokens": generated,
        "prompt_tokens_details": {
            "cached_tokens": records[0].cached_tokens,
            "created_cache_tokens": records[0].created_cache_tokens,
            "multimodal_tokens": None,
        },
    }


def _timings(record: RequestRecord) -> dict[str, Any]:
    """The block of ``--enable-per-request-metrics``; time to first token counts from scheduling, as there."""
    per_token_s = record.time_per_output_token_s
    return {
        "time_to_first_token_ms": record.prefill_s * 1e3,
        "generation_time_ms": record.decode_s * 1e3,
        "queue_time_ms": record.queue_s * 1e3,
        "mean_itl_ms": None if per_token_s is None else per_token_s * 1e3,
        "tokens_per_second": record.output_tokens / (record.prefill_s + record.decode_s),
    }
