"""What one answer consists of, token by token, before any of it is sent.

A `Speech` is known in full when its request is accepted; the engine only decides when each token comes. Parts
follow one another: the thinking, the text, the tool calls.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from inframind.simulator.model import SimReply, last_user_text
from inframind.simulator.openai_api import ChatCall
from inframind.simulator.openai_errors import ApiError, bad_request
from inframind.simulator.schema_fill import Facts, fill_schema
from inframind.simulator.tokens import split_tokens

FinishReason = Literal["stop", "length", "tool_calls"]
PartKind = Literal["reasoning", "content", "tool"]

_TOOL_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_PADDING = (" and", " so", " on")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A run of tokens of one kind.

    Attributes:
        kind: where the tokens go.
        tokens: their texts; a token that must not be seen (the end of a stop string) is "".
        tool_name: the function that is called, for kind ``tool``.
    """

    kind: PartKind
    tokens: tuple[str, ...]
    tool_name: str = ""

    @property
    def text(self) -> str:
        """All that can be seen of it."""
        return "".join(self.tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """Tokens ``begin`` to ``end`` of one part, with the part's index in the speech."""

    part: Part
    index: int
    begin: int
    end: int

    @property
    def text(self) -> str:
        """What can be seen of these tokens."""
        return "".join(self.part.tokens[self.begin : self.end])


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """One answer.

    Attributes:
        parts: in order; at least one token in all.
        finish_reason: why it ends.
        stop_reason: the stop string that ended it, or None.
    """

    parts: tuple[Part, ...]
    finish_reason: FinishReason
    stop_reason: str | None = None

    @property
    def n_tokens(self) -> int:
        """Its length in tokens."""
        return sum(len(part.tokens) for part in self.parts)

    def text(self, kind: PartKind) -> str:
        """All text of one kind."""
        return "".join(part.text for part in self.parts if part.kind == kind)

    def between(self, begin: int, end: int) -> Iterator[Delta]:
        """The stretch from token ``begin`` to token ``end``, cut at the parts' borders."""
        first = 0
        for index, part in enumerate(self.parts):
            lower, upper = max(begin - first, 0), min(end - first, len(part.tokens))
            if lower < upper:
                yield Delta(part=part, index=index, begin=lower, end=upper)
            first += len(part.tokens)


def is_model_asked(call: ChatCall) -> bool:
    """Whether the language model decides what is said; otherwise a schema does."""
    return call.tool_mode not in ("required", "named") and call.schema is None


def compose(call: ChatCall, reply: SimReply, *, is_reasoning: bool, max_tokens: int) -> Speech:
    """Turn a model's reply into an answer that obeys the request.

    Args:
        call: what was asked.
        reply: what the model says; its text is not used where a schema decides.
        is_reasoning: whether thinking goes into its own field; else it is written into the text, as by a server
            without a reasoning parser.
        max_tokens: most tokens.

    Raises:
        ApiError: 400, a schema of the request cannot be filled.
    """
    parts = [*_thinking(reply, is_reasoning), *_substance(call, reply, is_reasoning)]
    has_tool_calls = any(part.kind == "tool" for part in parts)
    ends_as: FinishReason = "tool_calls" if has_tool_calls and call.tool_mode != "named" else "stop"
    stop_reason = None
    if call.stop and parts[-1].kind == "content":
        parts[-1], stop_reason = _stopped(parts[-1], call.stop)
    speech = Speech(parts=tuple(parts), finish_reason=ends_as, stop_reason=stop_reason)
    least = max_tokens if call.ignore_eos and stop_reason is None else min(call.min_tokens, max_tokens)
    return _cut(_padded(speech, max(1, least)), max_tokens, at_limit=call.ignore_eos and stop_reason is None)


def _thinking(reply: SimReply, is_reasoning: bool) -> list[Part]:
    if not (reply.reasoning and is_reasoning):
        return []
    return [Part(kind="reasoning", tokens=tuple(split_tokens(reply.reasoning)))]


def _substance(call: ChatCall, reply: SimReply, is_reasoning: bool) -> list[Part]:
    """The answer proper: at least one part, possibly empty."""
    if call.tool_mode in ("required", "named"):
        return [_filled_tool(call)]
    if call.schema is not None:
        text = orjson.dumps(
            _filled(call.schema, "response_format", call) if call.schema else _json_object(call, reply)
        )
        return [Part(kind="content", tokens=tuple(split_tokens(text.decode())))]
    tools = list(_spoken_tools(reply.text)) if call.tool_mode == "auto" else []
    if tools:
        return tools
    thought = f"<think>\n{reply.reasoning}\n</think>\n\n" if reply.reasoning and not is_reasoning else ""
    return [Part(kind="content", tokens=tuple(split_tokens(thought + reply.text)))]


def _filled_tool(call: ChatCall) -> Part:
    functions = [tool["function"] for tool in call.tools]
    function = next((f for f in functions if f["name"] == call.tool_name), functions[0])
    arguments = orjson.dumps(_filled(function.get("parameters") or {"type": "object"}, "tools", call))
    return Part(kind="tool", tokens=tuple(split_tokens(arguments.decode())), tool_name=function["name"])


def _spoken_tools(text: str) -> Iterator[Part]:
    """Calls that the model wrote itself, in the notation that vLLM's hermes parser reads."""
    for written in _TOOL_CALL.findall(text):
        try:
            call = orjson.loads(written)
        except orjson.JSONDecodeError:
            continue
        if isinstance(call, dict) and isinstance(call.get("name"), str):
            arguments = orjson.dumps(call.get("arguments", {})).decode()
            yield Part(kind="tool", tokens=tuple(split_tokens(arguments)), tool_name=call["name"])


def _json_object(call: ChatCall, reply: SimReply) -> dict[str, str]:
    """Some object: with the keys that the prompt names between quotation marks, or with one for the answer."""
    keys = Facts.in_text(last_user_text(call.messages)).quoted
    return dict.fromkeys(keys or ("answer",), reply.text)


def _filled(schema: Any, param: str, call: ChatCall) -> Any:
    try:
        return fill_schema(schema, Facts.in_text(last_user_text(call.messages)))
    except (ValueError, TypeError) as error:
        raise _unfillable(error, param) from None


def _unfillable(error: Exception, param: str) -> ApiError:
    return bad_request(f"The schema cannot be used: {error}.", param)


def _stopped(part: Part, stop: tuple[str, ...]) -> tuple[Part, str | None]:
    """Cut a part before the earliest stop string; the token that completes it is generated but not seen."""
    text = part.text
    found = [(text.find(word), word) for word in stop if word in text]
    if not found:
        return part, None
    visible, word = min(found, key=lambda pair: (pair[0] + len(pair[1]), pair[0]))
    tokens, seen = [], 0
    for token in part.tokens:
        tokens.append(token[: max(0, visible - seen)])
        seen += len(token)
        if seen >= visible + len(word):
            break
    return Part(kind=part.kind, tokens=tuple(tokens)), word


def _padded(speech: Speech, least: int) -> Speech:
    """Lengthen the last part; an answer of no tokens gets the end token alone, which cannot be seen."""
    missing = least - speech.n_tokens
    if missing <= 0:
        return speech
    last = speech.parts[-1]
    is_text = last.kind == "content" and speech.stop_reason is None and least > 1
    filler = tuple(_PADDING[index % len(_PADDING)] if is_text else "" for index in range(missing))
    longer = Part(kind=last.kind, tokens=last.tokens + filler, tool_name=last.tool_name)
    return Speech(
        parts=(*speech.parts[:-1], longer),
        finish_reason=speech.finish_reason,
        stop_reason=speech.stop_reason,
    )


def _cut(speech: Speech, most: int, *, at_limit: bool) -> Speech:
    """Drop what exceeds ``most`` tokens; ``at_limit`` says that it would have gone on."""
    if speech.n_tokens <= most and not at_limit:
        return speech
    kept, left = [], most
    for part in speech.parts:
        if left > 0:
            kept.append(Part(kind=part.kind, tokens=part.tokens[:left], tool_name=part.tool_name))
        left -= len(part.tokens)
    return Speech(parts=tuple(kept), finish_reason="length")
