"""`ChatInfraMind`: a LangChain chat model of which every call is routed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import Any, Self, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool
from langchain_core.utils.uuid import uuid7
from pydantic import PrivateAttr

from inframind.errors import InfraMindError
from inframind.fleet.messages import Delta, OnDelta
from inframind.plugin.calls.asked import AskedCall
from inframind.plugin.calls.router import RoutedCall
from inframind.plugin.calls.site import CallSite
from inframind.plugin.chat.asking import asked_call
from inframind.plugin.chat.convert import to_chunk, to_langchain, to_last_chunk
from inframind.plugin.chat.errors import as_langchain
from inframind.plugin.chat.fields import ChatFields
from inframind.plugin.chat.site import Caller, site_of
from inframind.plugin.chat.streams import AnswerStream, ThreadedStream
from inframind.plugin.chat.structured import Method, Schema, bound_form, in_form, parser_of, tool_form
from inframind.plugin.chat.tools import as_tool_choice, as_tools
from inframind.plugin.mind import InfraMind


class ChatInfraMind(ChatFields):
    """Every call goes to the model and the endpoint that the router takes for the best.

    Use it where ``ChatOpenAI`` stood: tools, structured output, streams, callbacks and configurable fields work the
    same. What was decided is in ``message.response_metadata["inframind"]``; the model that answered is its
    ``model_name``.

    A call's own arguments (``model.invoke(..., model="qwen-32b")``, ``bind``) come first, then what the LangGraph node
    says of itself (``add_node(..., metadata={"inframind": {"role": ..., "model": ..., "strategy": ...}})``), then these
    fields. Errors are LangChain's ``Model*Error`` and ours at once.

    The fleet is opened by the first call, and shared by all models with the same ``config`` or ``endpoints``; `close`
    or `aclose` closes it for all of them. A ``mind`` that is given stays its maker's to close.

    Raises:
        ConfigError: an unknown parameter, or a configuration that is wrong.
    """

    _caller: Caller | None = PrivateAttr(default=None)
    _open: AnswerStream | None = PrivateAttr(default=None)

    # Tools and forms ---------------------------------------------------------------------------------------

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Let the model call tools.

        Args:
            tools: what LangChain takes for a tool; none binds nothing.
            tool_choice: a tool by name; ``any``, ``required`` or True for one of them; ``auto``, ``none`` or None.
            strict: hold the arguments to the tool's schema.
            kwargs: further arguments of the call, such as ``parallel_tool_calls``.

        Raises:
            ConfigError: a choice that is not among the tools.
        """
        formatted = as_tools(tools, strict)
        if formatted:
            kwargs["tools"] = formatted
            if (choice := as_tool_choice(tool_choice, formatted)) is not None:
                kwargs["tool_choice"] = choice
        return super().bind(**kwargs)

    def with_structured_output(
        self,
        schema: Schema | None = None,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        tools: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Answers that fit a schema.

        Args:
            schema: a Pydantic class, a TypedDict, or a JSON schema with a title; None only for ``json_mode``.
            method: ``json_schema`` holds the server to it, ``function_calling`` makes it a tool's arguments,
                ``json_mode`` asks for some JSON object, of which the prompt says what is in it.
            include_raw: give ``{"raw": message, "parsed": ..., "parsing_error": ...}`` instead of raising.
            strict: passed to the server.
            tools: tools that it may call instead.
            kwargs: further arguments of the call.

        Raises:
            ConfigError: no schema, or a method that there is not.
        """
        parser = parser_of(schema, method)
        if method == "function_calling":
            form = tool_form(schema, strict)
            model = self.bind_tools([cast(Any, schema), *(tools or ())], **{**form, **kwargs})
        else:
            model = self.bind_tools(tools or (), **{**bound_form(schema, method, strict), **kwargs})
        return in_form(model, parser, include_raw=include_raw)

    # Calls -------------------------------------------------------------------------------------------------

    def _should_stream(self, *, async_api: bool, run_manager: Any = None, **kwargs: Any) -> bool:
        """Whether LangChain should stream for a caller who wants a whole message: `_generate` does that itself.

        LangChain would not tell the stream whose run it is.
        """
        if run_manager is not None:
            return False
        return super()._should_stream(async_api=async_api, **kwargs)

    def _is_heard(self, manager: Any, kwargs: Mapping[str, Any], *, async_api: bool) -> bool:
        """Whether somebody listens to the tokens of a call for a whole message."""
        if manager is None or not manager.handlers:
            return False
        return super()._should_stream(async_api=async_api, run_manager=manager, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        caller = self._whose(run_manager)
        if run_manager is None or not self._is_heard(run_manager, kwargs, async_api=False):
            mind = self._behind.mind()
            call = self._prepared(mind, caller, messages, stop, kwargs, stream=False)
            return _as_result(mind.portal.run(_routed(mind, *call)), caller)
        with closing(self._parts(caller, messages, stop, kwargs)) as parts:
            for part in parts:
                if isinstance(part, RoutedCall):
                    run_manager.on_llm_new_token("", chunk=self._chunk(part, caller.message_id))
                    return _as_result(part, caller)
                run_manager.on_llm_new_token(part.text, chunk=self._chunk(part, caller.message_id))
        raise AssertionError("a stream ends with what came of its call, or raises")

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        caller, mind = self._whose(run_manager), await self._behind.amind()
        if run_manager is None or not self._is_heard(run_manager, kwargs, async_api=True):
            call = self._prepared(mind, caller, messages, stop, kwargs, stream=False)
            return _as_result(await _routed(mind, *call), caller)
        manager = run_manager

        async def tell(delta: Delta) -> None:
            await manager.on_llm_new_token(delta.text, chunk=self._chunk(delta, caller.message_id))

        call = self._prepared(mind, caller, messages, stop, kwargs, stream=True)
        routed = await _routed(mind, *call, tell)
        await manager.on_llm_new_token("", chunk=self._chunk(routed, caller.message_id))
        return _as_result(routed, caller)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with closing(self._parts(self._whose(run_manager), messages, stop, kwargs)) as parts:
            for part in parts:
                chunk = (
                    to_chunk(part)
                    if isinstance(part, Delta)
                    else to_last_chunk(part.completion, part.account)
                )
                if run_manager:
                    run_manager.on_llm_new_token(cast(str, chunk.message.content), chunk=chunk)
                yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        mind = await self._behind.amind()
        call = self._prepared(mind, self._whose(run_manager), messages, stop, kwargs, stream=True)
        stream = self._open = AnswerStream(lambda tell: _routed(mind, *call, tell))
        async with aclosing(stream.read()) as parts:
            async for part in parts:
                chunk = (
                    to_chunk(part)
                    if isinstance(part, Delta)
                    else to_last_chunk(part.completion, part.account)
                )
                if run_manager:
                    await run_manager.on_llm_new_token(cast(str, chunk.message.content), chunk=chunk)
                yield chunk

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """The answer piece by piece; closing the iterator ends the call."""
        model, config = self._for_run(config)
        return super(ChatInfraMind, model).stream(input, config, stop=stop, **kwargs)

    async def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """The answer piece by piece; closing the iterator ends the call, and returns when it has ended."""
        model, config = self._for_run(config)
        chunks = super(ChatInfraMind, model).astream(input, config, stop=stop, **kwargs)
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            await cast(Any, chunks).aclose()
            if model._open is not None:
                await model._open.aclose()

    def _for_run(self, config: RunnableConfig | None) -> tuple[Self, RunnableConfig]:
        """A copy of the model that knows for whom it streams: LangChain does not tell `_stream`."""
        config = ensure_config(config)
        config["run_id"] = config.get("run_id") or uuid7()
        model = self.model_copy()
        model._caller = Caller.of_config(config)
        return model, config

    def _whose(self, manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None) -> Caller:
        if manager is not None:
            return Caller.of_run(manager)
        return self._caller or Caller.of_config()

    def _prepared(
        self,
        mind: InfraMind,
        caller: Caller,
        messages: list[BaseMessage],
        stop: list[str] | None,
        kwargs: Mapping[str, Any],
        *,
        stream: bool,
    ) -> tuple[AskedCall, CallSite]:
        """What is asked, and where; read before the call hops to another thread."""
        own = caller.own
        asked = asked_call(self.__dict__, own, messages, stop, kwargs, stream=stream)
        role = kwargs.get("role") or own.get("role") or self.role
        return asked, site_of(caller, mind.calls.runs, role)

    def _parts(
        self, caller: Caller, messages: list[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any]
    ) -> Any:
        mind = self._behind.mind()
        call = self._prepared(mind, caller, messages, stop, kwargs, stream=True)
        return ThreadedStream(mind.portal, lambda tell: _routed(mind, *call, tell)).read()

    def _chunk(self, part: Delta | RoutedCall, message_id: str | None) -> ChatGenerationChunk:
        """A piece for those who listen, in the form of content that the model's ``output_version`` says."""
        if isinstance(part, Delta):
            chunk = to_chunk(part, message_id)
        else:
            chunk = to_last_chunk(part.completion, part.account, message_id)
        if self.output_version == "v1":
            chunk.message = chunk.message.model_copy(update={"content": chunk.message.content_blocks})
        return chunk


async def _routed(
    mind: InfraMind, asked: AskedCall, site: CallSite, on_delta: OnDelta | None = None
) -> RoutedCall:
    try:
        return await mind.calls.call(asked, site, on_delta)
    except InfraMindError as error:
        raise as_langchain(error) from error.__cause__


def _as_result(routed: RoutedCall, caller: Caller) -> ChatResult:
    message = to_langchain(routed.completion, routed.account, caller.message_id)
    return ChatResult(generations=[ChatGeneration(message=message)])
