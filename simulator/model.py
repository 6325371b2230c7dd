"""The seam between the serving engine and whatever thinks of the words: a `LanguageModel`.

The server knows about batches, queues and bytes and nothing about answers; a language model knows what is
asked, and by whom, and nothing about time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from inframind.fleet.context import StepContext
from inframind.simulator.schema_fill import Facts, fill_schema


@dataclass(frozen=True, slots=True, kw_only=True)
class SimRequest:
    """What a simulated language model is asked.

    Attributes:
        model: served model name.
        messages: OpenAI-style messages, as they came over the wire.
        context: the workflow step that is asking, from the ``baggage`` header, or None.
        seed: drives all chance of this reply; the same question gets the same seed whatever the load.
        tools: OpenAI-style tools that may be called, in the notation that `SimReply` names.
    """

    model: str
    messages: tuple[Mapping[str, Any], ...]
    context: StepContext | None
    seed: int
    tools: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SimReply:
    """What a simulated language model says.

    Attributes:
        text: the answer's text; its length decides the number of output tokens. Where tools may be called, a
            ``<tool_call>{"name": ..., "arguments": {...}}</tool_call>`` in it is one.
        reasoning: a reasoning model's own thinking, sent before the text and apart from it.
    """

    text: str
    reasoning: str = ""


class LanguageModel(Protocol):
    """Anything that answers. It must be a pure function of the request: no clock, no chance of its own."""

    def reply(self, request: SimRequest) -> SimReply:
        """The whole answer to one request."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoModel:
    """Filler text of a fixed length, for tests and load measurements.

    Attributes:
        n_tokens: length of the answer in tokens of `inframind.simulator.tokens`.
        reasoning_tokens: length of the thinking before it.
    """

    n_tokens: int = 16
    reasoning_tokens: int = 0

    def reply(self, request: SimRequest) -> SimReply:
        """Words numbered from the request's seed, one token each."""
        return SimReply(
            text=_filler(request.seed, self.n_tokens),
            reasoning=_filler(request.seed + 1, self.reasoning_tokens),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCaller:
    """Calls the first tool whenever a user has spoken, with what the user said, and then repeats what the tool said.

    Without tools it speaks as another model.

    Attributes:
        speaker: the other model.
    """

    speaker: LanguageModel

    def reply(self, request: SimRequest) -> SimReply:
        """A tool call, a tool's words, or the speaker's reply."""
        last = request.messages[-1]
        if last.get("role") == "tool" and isinstance(last.get("content"), str) and last["content"]:
            return SimReply(text=f"The answer is {last['content']}.")
        if not request.tools or last.get("role") != "user":
            return self.speaker.reply(request)
        function = request.tools[0]["function"]
        facts = Facts.in_text(last_user_text(request.messages))
        call = {
            "name": function["name"],
            "arguments": fill_schema(function.get("parameters") or {"type": "object"}, facts),
        }
        return SimReply(text=f"<tool_call>{orjson.dumps(call).decode()}</tool_call>")


def last_user_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """What the user said last; "" where that is not text."""
    for message in reversed(messages):
        if message.get("role") == "user":
            content = message.get("content")
            return content if isinstance(content, str) else ""
    return ""


_WORDS = ("the", "sum", "of", "two", "odd", "sides", "is", "even", "so", "we", "get", "that", "half", "more")


def _filler(seed: int, n_tokens: int) -> str:
    """``n_tokens`` short words; every one is a single token, its leading space included."""
    return " ".join(_WORDS[(seed + index) % len(_WORDS)] for index in range(n_tokens))
