"""What a graph or a node is asked, as far as its input shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage

QUESTION_KEYS = ("question", "query", "input", "task", "topic", "prompt")
"""Keys under which states usually hold what was asked, where they have no messages."""
MOST_CHARS = 20_000
"""Longer questions are cut: they stand for the run in a listing, nothing is computed from their end."""


def question_of(asked: object) -> str:
    """The last human message, or the text under a usual key, or the first text; "" where there is none.

    Args:
        asked: input of a graph or a node, or messages.
    """
    return _question(asked)[:MOST_CHARS]


def _question(asked: object) -> str:
    if isinstance(asked, str):
        return asked
    if isinstance(asked, Mapping):
        return _of_state(asked)
    if isinstance(asked, Sequence):
        return _of_messages(asked)
    return _of_state(vars(asked)) if hasattr(asked, "__dict__") else ""


def _of_state(state: Mapping[str, Any]) -> str:
    messages = state.get("messages")
    if isinstance(messages, Sequence) and not isinstance(messages, str) and (said := _of_messages(messages)):
        return said
    texts = {
        key: value
        for key, value in state.items()
        if isinstance(key, str) and isinstance(value, str) and value
    }
    named = [texts[key] for key in QUESTION_KEYS if key in texts]
    return next(iter(named or texts.values()), "")


def _of_messages(messages: Sequence[Any]) -> str:
    """Messages may be LangChain's, (role, text) pairs, OpenAI's mappings or plain text."""
    said = [text for message in messages if (text := _human_text(message))]
    return said[-1] if said else ""


def _human_text(message: Any) -> str:
    match message:
        case HumanMessage():
            return text_of(message)
        case str():
            return message
        case ("user" | "human", str(text)):
            return str(text)
        case {"role": "user" | "human", "content": str(text)}:
            return str(text)
        case _:
            return ""


def text_of(message: BaseMessage) -> str:
    """A message's text, whatever its content is made of."""
    return str(message.text)


def size_of(asked: object) -> list[str]:
    """The texts of a state, for an estimate of the prompt that a node will make of it."""
    if isinstance(asked, str):
        return [asked]
    if isinstance(asked, BaseMessage):
        return [text_of(asked)]
    if isinstance(asked, Mapping):
        return [text for value in asked.values() for text in size_of(value)]
    if isinstance(asked, list | tuple):
        return [text for value in asked for text in size_of(value)]
    return []
