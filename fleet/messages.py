"""What goes to an endpoint and what comes back: the request, the pieces of a stream, and the completion."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inframind.fleet.context import StepContext

Message = Mapping[str, Any]
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One chat call, before it is known which endpoint takes it.

    Attributes:
        messages: OpenAI-style messages.
        max_tokens: longest answer in tokens, or None for the server's default.
        max_tokens_by_model: longest answer of a candidate of which another limit holds.
        temperature: sampling temperature, or None for the server's default.
        stop: strings that end the answer.
        seed: sampling seed, or None.
        tools: OpenAI-style tool definitions.
        tool_choice: OpenAI-style tool choice, or None.
        response_format: OpenAI-style response format, or None.
        extra: further body fields, such as vLLM's ``chat_template_kwargs``.
        headers: further headers, such as ``traceparent``.
        context: the step that asks; travels as W3C baggage.
        stream: read the answer as a stream, which is what makes time to first token measurable.
        expected_output_tokens: for the count of tokens in flight while the call runs.
    """

    messages: Sequence[Message]
    max_tokens: int | None = None
    max_tokens_by_model: Mapping[str, int] = field(default_factory=dict)
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    tools: Sequence[Json] = ()
    tool_choice: str | Json | None = None
    response_format: Json | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    context: StepContext | None = None
    stream: bool = True
    expected_output_tokens: int = 0

    def body(self, model: str, priority: int | None) -> Json:
        """The JSON body for one endpoint; only what was asked for is in it."""
        body: Json = {"model": model, "messages": self.messages}
        max_tokens = self.max_tokens_by_model.get(model, self.max_tokens)
        if max_tokens is not None:
            body["max_tokens"] = max_tokens
        for name in ("temperature", "seed", "tool_choice", "response_format"):
            value = getattr(self, name)
            if value is not None:
                body[name] = value
        if self.stop:
            body["stop"] = list(self.stop)
        if self.tools:
            body["tools"] = list(self.tools)
        if priority is not None:
            body["priority"] = priority
        if self.stream:
            body["stream"] = True
            body["stream_options"] = {"include_usage": True}
        body.update(self.extra)
        return body


@dataclass(frozen=True, slots=True)
class Delta:
    """One piece of a streamed answer; any field may be empty.

    Attributes:
        text: piece of the answer.
        reasoning: piece of a reasoning model's own thinking.
        tool_calls: pieces of tool calls, as the server sent them.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[Json, ...] = ()


OnDelta = Callable[[Delta], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens as the server counted them.

    Attributes:
        prompt_tokens: tokens of the prompt.
        completion_tokens: tokens of the answer, reasoning included.
        cached_tokens: prompt tokens served from the prefix cache, or None when it does not say.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTimings:
    """When things happened to one call, on the clock's monotonic axis.

    Attributes:
        sent_s: the request was handed to the transport.
        first_token_s: the first non-empty piece arrived; None for calls that were not streamed.
        finished_s: the last byte arrived.
        piece_s: arrival of every non-empty piece, the first included. A server may put several tokens into
            one piece, so the number of pieces is not the number of tokens.
        queue_s: seconds in the server's queue as the server itself reports it, or None.
        server_ttft_s: the server's own time to first token, counted from *scheduling*, or None.
    """

    sent_s: float
    first_token_s: float | None
    finished_s: float
    piece_s: tuple[float, ...] = ()
    queue_s: float | None = None
    server_ttft_s: float | None = None

    @property
    def ttft_s(self) -> float | None:
        """Time to first token: client send to first non-empty token, queueing included."""
        if self.first_token_s is not None:
            return self.first_token_s - self.sent_s
        if self.server_ttft_s is not None and self.queue_s is not None:
            return self.server_ttft_s + self.queue_s
        return None

    @property
    def total_s(self) -> float:
        """Client send to last byte."""
        return self.finished_s - self.sent_s

    def tpot_s(self, completion_tokens: int | None) -> float | None:
        """Mean seconds per output token after the first (request-weighted), or None where it is undefined."""
        if self.first_token_s is None or completion_tokens is None or completion_tokens < 2:
            return None
        return (self.finished_s - self.first_token_s) / (completion_tokens - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try that failed over to the next candidate.

    Attributes:
        endpoint: name of the endpoint.
        model: model that was asked for.
        error: class name of the error.
        detail: its message.
        elapsed_s: seconds that it cost.
    """

    endpoint: str
    model: str
    error: str
    detail: str
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A complete answer, and everything measured about the call.

    Attributes:
        text: the answer.
        reasoning: a reasoning model's own thinking, or "".
        tool_calls: complete OpenAI-style tool calls.
        finish_reason: ``stop``, ``length``, ``tool_calls`` or what else the server says.
        usage: token counts, or None when the server sent none.
        timings: when things happened.
        endpoint: name of the endpoint that answered.
        model: model that answered, as the server names it.
        request_id: the server's id of the call.
        priority: value that was sent, or None.
        attempts: earlier tries that failed over.
    """

    text: str
    reasoning: str = ""
    tool_calls: tuple[Json, ...] = ()
    finish_reason: str
    usage: Usage | None
    timings: CallTimings
    endpoint: str
    model: str
    request_id: str = ""
    priority: int | None = None
    attempts: tuple[Attempt, ...] = ()
