"""LangChain's messages as an OpenAI-compatible server takes them, and its answers as LangChain's messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolCallChunk,
    ToolMessage,
    convert_to_openai_messages,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk

from inframind.fleet.messages import Completion, Delta, Json, Message
from inframind.graphs.model import response_metadata, usage_metadata
from inframind.plugin.calls.asked import text_of

_ROLES: Mapping[type[BaseMessage], str] = {HumanMessage: "user", SystemMessage: "system"}


def to_openai(messages: Sequence[BaseMessage]) -> list[Message]:
    """The messages as they go over the wire."""
    return [_one_to_openai(message) for message in messages]


def _one_to_openai(message: BaseMessage) -> Message:
    if isinstance(message, AIMessage):
        return _with_name(_from_assistant(message), message)
    role = _ROLES.get(type(message))
    if role is not None and isinstance(message.content, str):
        return _with_name({"role": role, "content": message.content}, message)
    if isinstance(message, ChatMessage):
        return _with_name({"role": message.role, "content": message.content}, message)
    # What is rarer (images, blocks of other providers, results of tools) is LangChain's own business.
    (converted,) = convert_to_openai_messages([message])
    if isinstance(message, ToolMessage):
        return {key: converted[key] for key in ("role", "content", "tool_call_id")}
    return cast(Message, converted)


def _with_name(converted: Json, message: BaseMessage) -> Message:
    if message.name:
        converted["name"] = message.name
    return converted


def _from_assistant(message: AIMessage) -> Json:
    """Its text and its tool calls: thinking, and blocks that repeat the calls, are not sent back."""
    calls = [_call_to_openai(call) for call in (*message.tool_calls, *message.invalid_tool_calls)]
    text = message.content if isinstance(message.content, str) else str(message.text)
    if not calls:
        return {"role": "assistant", "content": text}
    return {"role": "assistant", "content": text or None, "tool_calls": calls}


def _call_to_openai(call: Mapping[str, Any]) -> Json:
    arguments = call["args"]
    if not isinstance(arguments, str):
        arguments = orjson.dumps(arguments or {}).decode()
    return {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": arguments}}


def question_of(messages: Sequence[Message]) -> str:
    """Text of the last user message, or ""."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return text_of(message)
    return ""


def has_images(messages: Sequence[Message]) -> bool:
    """Whether any message carries an image."""
    contents = (message.get("content") for message in messages)
    blocks = (block for content in contents if isinstance(content, list) for block in content)
    return any(isinstance(block, dict) and block.get("type") == "image_url" for block in blocks)


# Answers.


def to_langchain(
    completion: Completion, account: Mapping[str, Any], message_id: str | None = None
) -> AIMessage:
    """A whole answer."""
    calls, invalid_calls = _parsed(completion.tool_calls)
    return AIMessage(
        content=completion.text,
        id=message_id,
        additional_kwargs=_reasoning(completion.reasoning),
        tool_calls=calls,
        invalid_tool_calls=invalid_calls,
        response_metadata=_metadata(completion, account),
        usage_metadata=usage_metadata(completion),
    )


def to_chunk(delta: Delta, message_id: str | None = None) -> ChatGenerationChunk:
    """One piece of a streamed answer."""
    if not delta.reasoning and not delta.tool_calls:
        message = AIMessageChunk(content=delta.text, id=message_id)
    else:
        message = AIMessageChunk(
            content=delta.text,
            id=message_id,
            additional_kwargs=_reasoning(delta.reasoning),
            tool_call_chunks=[_call_chunk(call, place) for place, call in enumerate(delta.tool_calls)],
        )
    return ChatGenerationChunk(message=message)


def to_last_chunk(
    completion: Completion, account: Mapping[str, Any], message_id: str | None = None
) -> ChatGenerationChunk:
    """What is known when an answer is complete: the only chunk with usage and metadata, so that they count once."""
    return ChatGenerationChunk(
        message=AIMessageChunk(
            content="",
            id=message_id,
            response_metadata=_metadata(completion, account),
            usage_metadata=usage_metadata(completion),
            chunk_position="last",
        )
    )


def _metadata(completion: Completion, account: Mapping[str, Any]) -> dict[str, Any]:
    return {**response_metadata(completion), "id": completion.request_id, "inframind": dict(account)}


def _reasoning(text: str) -> dict[str, Any]:
    return {"reasoning_content": text} if text else {}


def _parsed(calls: Sequence[Json]) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """Tool calls with their arguments read; those whose arguments are not a JSON object stay text."""
    valid: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for call in calls:
        name, text = call["function"]["name"], call["function"]["arguments"]
        try:
            arguments = orjson.loads(text or "{}")
        except orjson.JSONDecodeError as error:
            invalid.append(invalid_tool_call(name=name, args=text, id=call["id"], error=f"not JSON: {error}"))
            continue
        if isinstance(arguments, dict):
            valid.append(tool_call(name=name, args=arguments, id=call["id"]))
        else:
            invalid.append(invalid_tool_call(name=name, args=text, id=call["id"], error="not a JSON object"))
    return valid, invalid


def _call_chunk(call: Json, place: int) -> ToolCallChunk:
    function = call.get("function") or {}
    return tool_call_chunk(
        name=function.get("name"),
        args=function.get("arguments"),
        id=call.get("id"),
        index=call.get("index", place),
    )
