"""Chat requests as vLLM 0.32 accepts and refuses them. Unknown fields are ignored, as there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from inframind.simulator.openai_errors import ApiError, bad_request, invalid_field, unknown_model

ToolMode = Literal["none", "auto", "required", "named"]

# A longer prompt is refused before it is even tokenised.
CHARACTERS_PER_TOKEN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCall:
    """One well-formed request to ``/v1/chat/completions``.

    Attributes:
        messages: as they came.
        tools: as they came; empty when ``tool_mode`` is ``none``.
        tool_mode: whether a tool may or must be called.
        tool_name: the tool to call in mode ``named``, else "".
        schema: JSON schema that the answer must fit, or None; the empty one allows any object.
        max_tokens: most output tokens, or None for what the context leaves.
        min_tokens: least output tokens.
        ignore_eos: whether to write on until ``max_tokens``.
        stop: strings that end the answer and are not part of it.
        n: number of answers.
        stream: whether to send server-sent events.
        include_usage: whether a last event carries the usage.
        continuous_usage: whether every event does.
        seed: the caller's, or None.
        priority: lower runs earlier.
        request_id: the caller's id, or "".
    """

    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...]
    tool_mode: ToolMode
    tool_name: str
    schema: Mapping[str, Any] | None
    max_tokens: int | None
    min_tokens: int
    ignore_eos: bool
    stop: tuple[str, ...]
    n: int
    stream: bool
    include_usage: bool
    continuous_usage: bool
    seed: int | None
    priority: int
    request_id: str


def parse_json(body: bytes) -> dict[str, Any]:
    """The body as an object.

    Raises:
        ApiError: 400, it is not JSON or not an object.
    """
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _invalid_json(body) from None
    if not isinstance(data, dict):
        raise invalid_field(
            "model_attributes_type", "body", "Input should be a valid dictionary", f"<{type(data).__name__}>"
        )
    return data


def parse_chat(data: dict[str, Any], *, served_model: str, max_model_len: int) -> ChatCall:
    """Check a request, in the order in which vLLM does.

    Raises:
        ApiError: 400 or 404, as vLLM words it.
    """
    messages = _messages(data)
    tools, tool_mode, tool_name = _tools(data)
    if data.get("model") not in (None, "", served_model):
        raise unknown_model(data["model"], served_model)
    options = _mapping(data, "stream_options")
    stream = _flag(data, "stream")
    if options and not stream:
        raise bad_request("Stream options can only be defined when `stream=True`.", "stream_options")
    _check_sampling(data)
    _check_characters(messages, max_model_len)
    return ChatCall(
        messages=messages,
        tools=tools,
        tool_mode=tool_mode,
        tool_name=tool_name,
        schema=_schema(data),
        max_tokens=_max_tokens(data, max_model_len),
        min_tokens=_integer(data, "min_tokens", least=0) or 0,
        ignore_eos=_flag(data, "ignore_eos"),
        stop=_stop(data),
        n=_integer(data, "n", least=1) or 1,
        stream=stream,
        include_usage=bool(options.get("include_usage")),
        continuous_usage=bool(options.get("include_usage") and options.get("continuous_usage_stats")),
        seed=_integer(data, "seed"),
        priority=_integer(data, "priority") or 0,
        request_id=str(data.get("request_id") or ""),
    )


def _invalid_json(body: bytes) -> ApiError:
    try:
        json.loads(body)
    except json.JSONDecodeError as error:
        position, problem = error.pos, error.msg
    except (UnicodeDecodeError, RecursionError) as error:
        position, problem = 0, type(error).__name__
    else:
        # The standard parser is laxer: NaN, lone surrogates, numbers beyond 64 bits.
        position, problem = 0, "Expecting value"
    return invalid_field(
        "json_invalid", f"body.{position}", "JSON decode error", "<dict of 0 items>", error=problem
    )


def _messages(data: dict[str, Any]) -> tuple[Mapping[str, Any], ...]:
    if "messages" not in data:
        raise invalid_field("missing", "body.messages", "Field required", f"<dict of {len(data)} items>")
    messages = data["messages"]
    if not isinstance(messages, list):
        raise invalid_field(
            "list_type", "body.messages", "Input should be a valid list", f"<{type(messages).__name__}>"
        )
    if not messages:
        raise bad_request("messages must not be empty.", "messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise invalid_field("missing", f"body.messages.{index}.role", "Field required", "<message>")
    return tuple(messages)


def _tools(data: dict[str, Any]) -> tuple[tuple[Mapping[str, Any], ...], ToolMode, str]:
    tools = data.get("tools") or []
    if not isinstance(tools, list) or not all(_tool_name(tool) for tool in tools):
        raise invalid_field("list_type", "body.tools", "Input should be a list of functions", "<tools>")
    choice = data.get("tool_choice")
    if choice is None:
        choice = "auto" if tools else "none"
    if choice == "none":
        return (), "none", ""
    if not tools:
        raise bad_request("When using `tool_choice`, `tools` must be set.", "tool_choice")
    if choice == "auto":
        return tuple(tools), "auto", ""
    if choice == "required":
        return tuple(tools), "required", ""
    name = _tool_name(choice)
    if name not in [_tool_name(tool) for tool in tools]:
        raise bad_request(
            "The tool specified in `tool_choice` does not match any of the specified `tools`", "tool_choice"
        )
    return tuple(tools), "named", name


def _tool_name(tool: object) -> str:
    function = tool.get("function") if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else ""


def _schema(data: dict[str, Any]) -> Mapping[str, Any] | None:
    """The schema of ``response_format`` or of vLLM's own ``structured_outputs``."""
    wanted = _mapping(data, "structured_outputs").get("json")
    if isinstance(wanted, dict):
        return wanted
    response_format = _mapping(data, "response_format")
    kind = response_format.get("type", "text")
    if kind == "text":
        return None
    if kind == "json_object":
        return {}
    schema = _mapping(response_format, "json_schema").get("schema")
    if kind == "json_schema" and isinstance(schema, dict):
        return schema
    raise bad_request("response_format must be text, json_object or json_schema with one.", "response_format")


def _check_sampling(data: dict[str, Any]) -> None:
    temperature = _number(data, "temperature")
    if temperature is not None and temperature < 0:
        raise bad_request(f"temperature must be non-negative, got {temperature}.", "temperature", temperature)
    top_p = _number(data, "top_p")
    if top_p is not None and not 0 < top_p <= 1:
        raise bad_request(f"top_p must be in (0, 1], got {top_p}.", "top_p", top_p)


def _check_characters(messages: tuple[Mapping[str, Any], ...], max_model_len: int) -> None:
    characters = sum(len(str(message.get("content") or "")) for message in messages)
    limit = CHARACTERS_PER_TOKEN * max_model_len
    if characters > limit:
        raise bad_request(
            f"This model's maximum context length is {max_model_len} tokens. However, your prompt contains "
            f"{characters} characters (more than {limit} characters, which is the upper bound for "
            f"{max_model_len} input tokens). Please reduce the length of the input prompt.",
            "input_text",
            characters,
        )


def _max_tokens(data: dict[str, Any], max_model_len: int) -> int | None:
    name = "max_completion_tokens" if data.get("max_completion_tokens") is not None else "max_tokens"
    value = _integer(data, name)
    if value is None:
        return None
    if value < 1:
        raise bad_request(f"max_tokens must be at least 1, got {value}.", "max_tokens", value)
    if value > max_model_len:
        raise bad_request(
            f"max_tokens={value} cannot be greater than max_model_len={max_model_len}. "
            "Please request fewer output tokens.",
            "max_tokens",
            value,
        )
    return value


def room_for_answer(call: ChatCall, prompt_tokens: int, max_model_len: int) -> int:
    """Most tokens of the answer: what was asked for, or less where the prompt leaves less.

    Raises:
        ApiError: 400, it leaves none.
    """
    if prompt_tokens > max_model_len:
        # vLLM stops to tokenise there, so it does not know the true length either.
        least = max_model_len + 1
        raise bad_request(
            f"This model's maximum context length is {max_model_len} tokens. However, your prompt contains at "
            f"least {least} input tokens, which exceeds this limit even without any output tokens. Please "
            "reduce the length of the input prompt.",
            "input_tokens",
            least,
        )
    room = max_model_len - prompt_tokens
    if room == 0:
        raise bad_request("max_tokens must be at least 1, got 0.", "max_tokens", 0)
    return room if call.max_tokens is None else min(call.max_tokens, room)


def _stop(data: dict[str, Any]) -> tuple[str, ...]:
    stop = data.get("stop") or []
    if isinstance(stop, str):
        return (stop,)
    if not isinstance(stop, list) or not all(isinstance(text, str) for text in stop):
        raise invalid_field("list_type", "body.stop", "Input should be a list of strings", "<stop>")
    return tuple(text for text in stop if text)


def _mapping(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid_field(
            "dict_type", f"body.{name}", "Input should be a valid dictionary", f"<{type(value).__name__}>"
        )
    return value


def _flag(data: dict[str, Any], name: str) -> bool:
    value = data.get(name, False)
    if value is not None and not isinstance(value, bool):
        raise invalid_field("bool_type", f"body.{name}", "Input should be a valid boolean", repr(value)[:80])
    return bool(value)


def _integer(data: dict[str, Any], name: str, *, least: int | None = None) -> int | None:
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid_field("int_type", f"body.{name}", "Input should be a valid integer", repr(value)[:80])
    if least is not None and value < least:
        raise bad_request(f"{name} must be at least {least}, got {value}.", name, value)
    return value


def _number(data: dict[str, Any], name: str) -> float | None:
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid_field("float_type", f"body.{name}", "Input should be a valid number", repr(value)[:80])
    return float(value)
