"""What an application asks of a model, in plain data: no LangChain here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inframind.fleet.endpoints import Capability
from inframind.fleet.messages import Json, Message

AUTO, PLAIN = "auto", "Plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedCall:
    """One call, before it is known who takes it. What is None or empty is the router's, or the server's, to choose.

    Attributes:
        messages: OpenAI-style messages.
        question: text of the last user message; what the router takes for the question.
        model: a model by name, or ``auto``.
        strategy: a prompt strategy by name, or ``auto`` where there is room for its instruction. ``Plain`` sends the
            messages as they are, which is what an application that brings its own prompts expects.
        tools: OpenAI-style tool definitions.
        tool_choice: OpenAI-style tool choice.
        response_format: OpenAI-style response format.
        stop: strings that end the answer.
        temperature: sampling temperature.
        max_tokens: longest answer in tokens.
        seed: sampling seed.
        extra: further body fields.
        headers: further headers.
        failed_tools: ids of the tool calls among the messages' results that failed.
        needs: capabilities that a model must have.
        budget_s: seconds that the call should take at most, where no run says so; None takes the configured default.
        timeout_s: seconds after which the call fails.
        stream: whether the answer is read as a stream.
    """

    messages: Sequence[Message]
    question: str
    model: str = AUTO
    strategy: str = PLAIN
    tools: Sequence[Json] = ()
    tool_choice: str | Json | None = None
    response_format: Json | None = None
    stop: tuple[str, ...] = ()
    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    failed_tools: frozenset[str] = frozenset()
    needs: frozenset[Capability] = frozenset()
    budget_s: float | None = None
    timeout_s: float | None = None
    stream: bool = True

    @property
    def tool_names(self) -> frozenset[str]:
        """Names of the tools that the model may call; of one that has none, such as a server's own, its type."""
        return frozenset(_name_of(tool) for tool in self.tools)

    @property
    def leaves_room(self) -> bool:
        """Whether an instruction can be added: to a user's plain text, and not beside tools or a fixed form."""
        last = self.messages[-1] if self.messages else {}
        is_text = last.get("role") == "user" and isinstance(last.get("content"), str)
        return is_text and not self.tools and self.response_format is None


def _name_of(tool: Json) -> str:
    function = tool.get("function")
    named = function if isinstance(function, dict) else tool
    return str(named.get("name") or tool.get("type") or "")


def text_of(message: Message) -> str:
    """A message's text, its blocks of text joined; an image is not text, however long its data."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(block["text"] for block in content or () if block.get("type") == "text")
