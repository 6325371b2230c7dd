"""One routed call as a LangChain model run, so that callbacks, tracers and message streams see it.

The decision is made before this model exists: it only carries one call to the fleet. It talks to the fleet
itself and never to another chat model, because a nested model run would be counted twice.
"""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
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


class StepModel(BaseChatModel):
    """Carries one decided call to the fleet, and keeps its `Completion`."""

    model_name: str
    """Model that was decided on."""

    _fleet: Fleet = PrivateAttr()
    _request: ChatRequest = PrivateAttr()
    _models: tuple[str, ...] = PrivateAttr()
    _deadline: Deadline = PrivateAttr()
    _priority: int = PrivateAttr()
    _is_final: bool = PrivateAttr()
    _completion: Completion | None = PrivateAttr(default=None)

    @classmethod
    def carrying(
        cls,
        request: ChatRequest,
        models: tuple[str, ...],
        *,
        fleet: Fleet,
        deadline: Deadline,
        priority: int,
        is_final: bool,
    ) -> StepModel:
        """A model for one call; ``models`` are the candidates in order, the decided one first."""
        model = cls(model_name=models[0], cache=False)
        model._fleet, model._request, model._models = fleet, request, models
        model._deadline, model._priority, model._is_final = deadline, priority, is_final
        return model

    async def run(self, config: RunnableConfig) -> tuple[Completion, str]:
        """Make the call within the graph's run; returns the completion and the id of its message."""
        tags = list(config.get("tags") or ())
        if not self._is_final:
            tags.append(NOSTREAM)
        prompt = [_to_langchain(message) for message in self._request.messages]
        message = await self.ainvoke(prompt, {**config, "tags": tags, "run_name": self.model_name})
        assert self._completion is not None
        return self._completion, message.id or ""

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
        message_id = f"lc_run--{run_manager.run_id}" if run_manager else None
        self._completion = await self._fleet.complete(
            self._request,
            self._models,
            self._deadline,
            priority=self._priority,
            on_delta=_teller(run_manager, message_id) if self._is_final and run_manager else None,
        )
        return ChatResult(generations=[ChatGeneration(message=to_message(self._completion, message_id))])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise NotImplementedError("a step is carried on the event loop; the graph's sync door brings one")


def to_message(completion: Completion, message_id: str | None = None) -> AIMessage:
    """A completion as LangChain's message: served model, usage, finish reason."""
    usage = completion.usage
    return AIMessage(
        content=completion.text,
        id=message_id,
        response_metadata={
            "model_name": completion.model,
            "model_provider": "inframind",
            "finish_reason": completion.finish_reason,
        },
        usage_metadata=UsageMetadata(
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            total_tokens=usage.prompt_tokens + usage.completion_tokens,
            input_token_details=InputTokenDetails(cache_read=usage.cached_tokens or 0),
        )
        if usage
        else None,
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
