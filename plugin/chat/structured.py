"""Answers in a form: what is bound to the model, and who reads what it says."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Any, Literal, cast

from langchain_core.language_models import LanguageModelInput
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.base import BaseGenerationOutputParser, BaseOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.runnables import Runnable, RunnableLambda, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from inframind.errors import ConfigError
from inframind.fleet.messages import Json
from inframind.plugin.chat.asking import as_response_format

Schema = Mapping[str, Any] | type
Method = Literal["json_schema", "function_calling", "json_mode"]
Parser = BaseOutputParser[Any] | BaseGenerationOutputParser[Any]


def bound_form(schema: Schema | None, method: Method, strict: bool | None) -> Json:
    """Arguments of the call that make a server answer in a form, without tools.

    Raises:
        ConfigError: no schema, where the method needs one.
    """
    if method == "json_mode":
        return {"response_format": {"type": "json_object"}, **_told(schema, method, None)}
    response_format = as_response_format(_required(schema, method))
    if response_format and strict is not None:
        response_format["json_schema"]["strict"] = strict
    return {"response_format": response_format, **_told(schema, method, strict)}


def tool_form(schema: Schema | None, strict: bool | None) -> Json:
    """Arguments of `bind_tools` that make a server call the one tool that takes the schema.

    Raises:
        ConfigError: no schema.
    """
    name = tool_name(_required(schema, "function_calling"))
    return {
        "tool_choice": name,
        "parallel_tool_calls": False,
        "strict": strict,
        **_told(schema, "function_calling", strict),
    }


def _told(schema: Schema | None, method: Method, strict: bool | None) -> Json:
    """What trackers are told of it."""
    how = {"method": method} if strict is None else {"method": method, "strict": strict}
    return {"ls_structured_output_format": {"kwargs": how, "schema": schema}} if schema is not None else {}


def _required(schema: Schema | None, method: Method) -> Schema:
    if schema is None:
        raise ConfigError(
            "schema", None, f"method {method!r} needs a Pydantic class, a TypedDict or a JSON schema"
        )
    return schema


def tool_name(schema: Any) -> str:
    """Name of the tool that a schema becomes."""
    return str(convert_to_openai_tool(schema)["function"]["name"])


def parser_of(schema: Schema | None, method: Method) -> Parser:
    """What reads an answer in the form."""
    is_class = isinstance(schema, type) and is_basemodel_subclass(schema)
    if method == "function_calling":
        if is_class:
            return PydanticToolsParser(tools=[cast(Any, schema)], first_tool_only=True)
        return JsonOutputKeyToolsParser(key_name=tool_name(schema), first_tool_only=True)
    return PydanticOutputParser(pydantic_object=cast(Any, schema)) if is_class else JsonOutputParser()


def in_form(
    model: Runnable[LanguageModelInput, Any], parser: Parser, *, include_raw: bool
) -> Runnable[LanguageModelInput, Any]:
    """The model, then the parser; with the message itself and what went wrong, where that is wanted."""
    if not include_raw:
        return model | parser
    parsed = RunnablePassthrough.assign(
        parsed=RunnableLambda(itemgetter("raw")) | parser, parsing_error=lambda _: None
    )
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=model) | parsed.with_fallbacks([failed], exception_key="parsing_error")
