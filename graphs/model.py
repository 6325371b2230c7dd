"""One routed call as a LangChain model run, so that callbacks, tracers and message streams see it.

The decision is made before this model exists: it only carries one call to the fleet. It talks to the fleet
itself and never to another chat model, because a nested model run would be counted twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    BaseCallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from pydantic import PrivateAttr

from inframind.fleet.clock import Deadline
from inframind.fleet.messages import ChatRequest, Completion, Delta, Message, OnDelta
from inframind.fleet.pool import Fleet

NOSTREAM = "nostream"
"""LangGraph's tag for calls whose tokens a message stream must not show."""
MESSAGE_ID_PREFIX = "lc_run--"
"""What LangChain puts before a model run's id to name its message."""


@dataclass(frozen=True, slots=True)
class StepCall:
    """One decided call on its way to the fleet.

    Attributes:
        request: what to ask.
        models: candidates in order, the decided one first.
        fleet: who is asked.
        deadline: of the whole run.
        priority: lower is sooner.
        is_final: whether its text is the run's answer, and may be streamed to whoever listens.
        avoid: servers to try after all others.
    """

    request: ChatRequest
    models: tuple[str, ...]
    fleet: Fleet
    deadline: Deadline
    priority: int
    is_final: bool
    avoid: frozenset[str] = frozenset()

    async def run(self, config: RunnableConfig) -> tuple[Completion, str]:
        """Make the call within the graph's run.

        A LangChain model run is opened only where a callback would see it: it costs as much as a third of the
        call itself.

        Returns:
            The completion, and the id under which its message was streamed ("" when nobody listened).
        """
        if not _has_listeners(config):
            return await self.send(), ""
        tags = [*(config.get("tags") or ()), *(() if self.is_final else (NOSTREAM,))]
        prompt = [_to_langchain(message) for message in self.request.messages]
        model = StepModel.carrying(self)
        message = await model.ainvoke(prompt, {**config, "tags": tags, "run_name": self.models[0]})
        return model.completion, message.id or ""

    async def send(self, on_delta: OnDelta | None = None) -> Completion:
        """Make the call."""
        return await self.fleet.complete(
            self.request,
            self.models,
            self.deadline,
            priority=self.priority,
            on_delta=on_delta,
            avoid=self.avoid,
        )


class StepModel(BaseChatModel):
    """Carries one `StepCall`, and keeps its `Completion`."""

    model_name: str
    """Model that was decided on."""

    _call: StepCall = PrivateAttr()
    _completion: Completion | None = PrivateAttr(default=None)

    @classmethod
    def carrying(cls, call: StepCall) -> StepModel:
        """A model for one call."""
        model = cls(model_name=call.models[0], cache=False)
        model._call = call
        return model

    @property
    def completion(self) -> Completion:
        """What came of the call, once it has been made."""
        assert self._completion is not None
        return self._completion

    @property
    def _llm_type(self) -> str:
        return "inframind-step"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return LangSmithParams(ls_provider="inframind", ls_model_name=self.model_name, ls_model_type="chat")

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        message_id = f"{MESSAGE_ID_PREFIX}{run_manager.run_id}" if run_manager else None
        on_delta = _teller(run_manager, message_id) if run_manager and self._call.is_final else None
        self._completion = await self._call.send(on_delta)
        return ChatResult(generations=[ChatGeneration(message=to_message(self._completion, message_id))])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise NotImplementedError("a step is carried on the event loop; the graph's sync door brings one")


def _has_listeners(config: RunnableConfig) -> bool:
    """Whether any callback handler would see a model run under this config."""
    callbacks = config.get("callbacks")
    if isinstance(callbacks, BaseCallbackManager):
        return bool(callbacks.handlers or callbacks.inheritable_handlers)
    return bool(callbacks)


def to_message(completion: Completion, message_id: str | None = None) -> AIMessage:
    """A completion's text as LangChain's message: served model, usage, finish reason."""
    return AIMessage(
        content=completion.text,
        id=message_id,
        response_metadata=response_metadata(completion),
        usage_metadata=usage_metadata(completion),
    )


def response_metadata(completion: Completion) -> dict[str, Any]:
    """Who answered, and how the answer ended, under the names that LangChain's trackers look for."""
    return {
        "model_name": completion.model,
        "model_provider": "inframind",
        "finish_reason": completion.finish_reason,
    }


def usage_metadata(completion: Completion) -> UsageMetadata | None:
    """Tokens as the server counted them, or None when it did not say."""
    usage = completion.usage
    if usage is None:
        return None
    return UsageMetadata(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        input_token_details=InputTokenDetails(cache_read=usage.cached_tokens or 0),
    )


def _teller(run_manager: AsyncCallbackManagerForLLMRun, message_id: str | None) -> OnDelta | None:
    """Passes pieces on to the run's callbacks; None when nobody listens."""
    if not run_manager.handlers:
        return None

    async def tell(delta: Delta) -> None:
        if delta.text:
            chunk = AIMessageChunk(content=delta.text, id=message_id)
            await run_manager.on_llm_new_token(delta.text, chunk=ChatGenerationChunk(message=chunk))

    return tell


def _to_langchain(message: Message) -> BaseMessage:
    kinds: dict[str, type[BaseMessage]] = {"system": SystemMessage, "user": HumanMessage}
    return kinds.get(message["role"], AIMessage)(content=message["content"])
