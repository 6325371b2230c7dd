"""Tools and tool choices, from what LangChain takes to what a server takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.utils.function_calling import convert_to_openai_tool

from inframind.errors import ConfigError
from inframind.fleet.messages import Json

_WORDS: dict[Any, str | None] = {
    None: None,
    False: None,
    True: "required",
    "any": "required",
    "required": "required",
    "auto": "auto",
    "none": "none",
}


def as_tools(tools: Sequence[Any], strict: bool | None = None) -> list[Json]:
    """OpenAI-style definitions."""
    return [convert_to_openai_tool(tool, strict=strict) for tool in tools]


def as_tool_choice(choice: str | bool | Json | None, tools: Sequence[Json]) -> str | Json | None:
    """An OpenAI-style choice.

    Raises:
        ConfigError: a name that no tool has.
    """
    if isinstance(choice, dict):
        return choice
    if choice in _WORDS:
        return _WORDS[choice]
    names = [tool.get("function", {}).get("name") for tool in tools]
    if choice not in names:
        raise ConfigError(
            "tool_choice", choice, f"write any, auto, none, or one of: {', '.join(map(str, names))}"
        )
    return {"type": "function", "function": {"name": choice}}
