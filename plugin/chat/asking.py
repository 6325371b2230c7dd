"""What a call asks: the call's own arguments first, then what the node's author says, then the model's fields."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_function

from inframind.errors import ConfigError
from inframind.fleet.endpoints import Capability
from inframind.fleet.messages import Json, Message
from inframind.graphs.routed import require_budget
from inframind.plugin.calls.asked import AskedCall
from inframind.plugin.chat.convert import has_images, question_of, to_openai

BODY_FIELDS = frozenset(
    {
        "bad_words",
        "cache_salt",
        "chat_template_kwargs",
        "frequency_penalty",
        "ignore_eos",
        "include_reasoning",
        "logit_bias",
        "max_completion_tokens",
        "metadata",
        "min_p",
        "min_tokens",
        "parallel_tool_calls",
        "presence_penalty",
        "priority",
        "reasoning_effort",
        "repetition_penalty",
        "service_tier",
        "session_id",
        "skip_special_tokens",
        "store",
        "structured_outputs",
        "thinking_token_budget",
        "top_k",
        "top_p",
        "truncate_prompt_tokens",
        "user",
        "verbosity",
    }
)
"""Arguments of a call that go into the request's body as they are."""

_NOT_READ = {
    "n": "one answer per call is read; call `batch` for several",
    "logprobs": "log probabilities are not read",
    "top_logprobs": "log probabilities are not read",
    "functions": "functions gave way to tools; use bind_tools",
    "function_call": "functions gave way to tools; use bind_tools",
    "modalities": "only text is read",
    "audio": "only text is read",
}
_ENDPOINT_FIELDS = (
    "base_url",
    "openai_api_base",
    "openai_api_key",
    "organization",
    "openai_organization",
    "http_client",
)
_OWN_ARGUMENTS = (
    "model",
    "model_name",
    "strategy",
    "temperature",
    "max_tokens",
    "timeout",
    "stop",
    "seed",
    "budget_s",
    "role",
    "tools",
    "tool_choice",
    "response_format",
    "extra_body",
    "default_headers",
    "extra_headers",
    "strict",
    "stream",
    "ls_structured_output_format",
)


def asked_call(
    defaults: Mapping[str, Any],
    own: Mapping[str, str],
    messages: Sequence[BaseMessage],
    stop: Sequence[str] | None,
    given: Mapping[str, Any],
    *,
    stream: bool,
) -> AskedCall:
    """The call as the router takes it.

    Args:
        defaults: the model's fields.
        own: what the node's author says.
        messages: the prompt.
        stop: strings that end the answer; the model's own where None.
        given: the call's arguments.
        stream: whether the answer is read as a stream.

    Raises:
        ConfigError: an argument that nobody reads, or a timeout that is no time.
        InvalidBudget: not a positive, finite number of seconds.
    """
    _require_known(given)
    _require_times(given)
    said = {**defaults, **own, **{name: value for name, value in given.items() if value is not None}}
    converted = to_openai(messages)
    response_format = as_response_format(given.get("response_format"))
    tools = given.get("tools") or ()
    return AskedCall(
        messages=converted,
        question=question_of(converted),
        model=given.get("model") or given.get("model_name") or own.get("model") or defaults["model_name"],
        strategy=said["strategy"],
        tools=tools,
        tool_choice=given.get("tool_choice") if tools else None,
        response_format=response_format,
        stop=_stop(stop if stop is not None else said["stop"]),
        temperature=said["temperature"],
        max_tokens=said["max_tokens"],
        seed=said["seed"],
        extra=_extra(defaults, given),
        headers=_headers(defaults, given),
        failed_tools=frozenset(
            message.tool_call_id
            for message in messages
            if isinstance(message, ToolMessage) and message.status == "error"
        ),
        needs=_needs(converted, tools, response_format),
        budget_s=said["budget_s"],
        timeout_s=said["timeout"],
        stream=stream,
    )


def _stop(stop: str | Sequence[str] | None) -> tuple[str, ...]:
    return (stop,) if isinstance(stop, str) else tuple(stop or ())


def _extra(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    named = {name: value for name, value in given.items() if name in BODY_FIELDS and value is not None}
    return {**(defaults["extra_body"] or {}), **named, **(given.get("extra_body") or {})}


def _headers(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, str]:
    own = given.get("default_headers") or {}
    return {**(defaults["default_headers"] or {}), **own, **(given.get("extra_headers") or {})}


def _needs(
    messages: Sequence[Message], tools: Sequence[Json], response_format: Json | None
) -> frozenset[Capability]:
    needs: list[Capability] = []
    if tools:
        needs.append("tools")
    if response_format and response_format.get("type") != "text":
        needs.append("json")
    if has_images(messages):
        needs.append("vision")
    return frozenset(needs)


def as_response_format(given: Any) -> Json | None:
    """An OpenAI-style response format from one, from a Pydantic class, a TypedDict or a JSON schema."""
    if given is None or (
        isinstance(given, dict) and given.get("type") in ("json_schema", "json_object", "text")
    ):
        return given
    function = convert_to_openai_function(given)
    schema: Json = {"name": function["name"], "schema": function["parameters"]}
    if function.get("description"):
        schema["description"] = function["description"]
    return {"type": "json_schema", "json_schema": schema}


def _require_known(given: Mapping[str, Any]) -> None:
    for name in given:
        if name not in _OWN_ARGUMENTS and name not in BODY_FIELDS:
            raise unknown_parameter(name, _OWN_ARGUMENTS)


def _require_times(given: Mapping[str, Any]) -> None:
    """The model's fields have been checked; what a call says has not."""
    budget_s, timeout_s = given.get("budget_s"), given.get("timeout")
    if budget_s is not None:
        require_budget(budget_s)
    if timeout_s is not None and not (isinstance(timeout_s, int | float) and timeout_s > 0):
        raise ConfigError("timeout", timeout_s, "give a positive number of seconds, or None")


def unknown_parameter(name: str, known: Sequence[str]) -> ConfigError:
    """An error that says what to write instead of a parameter that we do not have."""
    if name in _NOT_READ:
        return ConfigError(name, "...", _NOT_READ[name])
    if name in _ENDPOINT_FIELDS:
        return ConfigError(
            name, "...", 'name the servers in inframind.toml, or with endpoints={"model": "http://..."}'
        )
    if name in BODY_FIELDS:
        return ConfigError(name, "...", f'the server reads it: write extra_body={{"{name}": ...}}')
    close = difflib.get_close_matches(name, known, n=1)
    fix = f"did you mean {close[0]}?" if close else "write what the server is to read into extra_body={...}"
    return ConfigError(name, "...", f"unknown parameter; {fix}")
