"""A call that somebody else's chat model made, as its callbacks tell it, and as the `Step` of a trace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from inframind.fleet.clock import Deadline
from inframind.fleet.endpoints import Capability
from inframind.fleet.snapshot import FleetSnapshot
from inframind.graphs.domains import find_answer
from inframind.plugin.calls.asked import PLAIN, AskedCall
from inframind.plugin.calls.site import OWN_METADATA, node_name
from inframind.plugin.graphs.asked_of_graph import question_of, text_of
from inframind.plugin.graphs.live_runs import LiveRun
from inframind.traces.records import Step

_MODEL_KEYS = ("model", "model_name", "model_id", "deployment_name")
_NAME_KEYS = ("model_name", "model", "model_id")


@dataclass(slots=True, kw_only=True)
class HeardCall:
    """One call from its begin to its end. Instants are on the clock's monotonic axis.

    Attributes:
        run_id: LangChain's id of the call.
        run: the run that it belongs to.
        parent_run_id: LangChain's id of what made it.
        messages: what was asked; for a completion model its prompts.
        parameters: what the model was called with.
        metadata: of the call: node, thread, what the node's author says.
        deadline: the run's, when the call began.
        snapshot: the fleet's load when the call began.
        started_s: when it began.
        first_token_s: when its first token came; None where it was not streamed.
        ended_s: when it ended.
        answer: what came back; None where it failed.
        error: why it failed; None where it did not.
    """

    run_id: UUID
    run: LiveRun
    parent_run_id: UUID | None
    messages: Sequence[BaseMessage] | Sequence[str]
    parameters: Mapping[str, Any]
    metadata: Mapping[str, Any]
    deadline: Deadline
    snapshot: FleetSnapshot
    started_s: float
    first_token_s: float | None = None
    ended_s: float = 0.0
    answer: LLMResult | None = None
    error: BaseException | None = None
    _own: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        own = self.metadata.get(OWN_METADATA)
        self._own = own if isinstance(own, Mapping) else {}

    @property
    def node(self) -> str:
        """Name of the node that made it, with those of the graphs around it; ``call`` outside a graph."""
        return node_name(self.metadata) or "call"

    @property
    def role(self) -> str:
        """What the node's author says that it is."""
        return str(self._own.get("role") or "")

    @property
    def asked_model(self) -> str:
        """Model that was asked for; "" where the integration does not say."""
        return _first(self.parameters, _MODEL_KEYS) or str(self.metadata.get("ls_model_name") or "")

    @property
    def message(self) -> AIMessage | None:
        """The answer's message; None for a failure, and for models that answer in plain text."""
        generation = self._generation
        message = generation.message if isinstance(generation, ChatGeneration) else None
        return message if isinstance(message, AIMessage) else None

    @property
    def _generation(self) -> Any:
        generations = self.answer.generations if self.answer else []
        return generations[0][0] if generations and generations[0] else None

    @property
    def is_routed(self) -> bool:
        """Whether we made it ourselves: then it has a trace already."""
        return self.metadata.get("ls_provider") == "inframind" or bool(
            self.message and OWN_METADATA in self.message.response_metadata
        )

    @property
    def needs(self) -> frozenset[Capability]:
        """What a model must be able to do to take it."""
        needs: set[Capability] = set()
        if self.parameters.get("tools"):
            needs.add("tools")
        if self.parameters.get("response_format"):
            needs.add("json")
        if any(_has_image(message) for message in self.messages):
            needs.add("vision")
        return frozenset(needs)

    def asked(self) -> AskedCall:
        """The call in plain data, as the router takes it."""
        texts = [message if isinstance(message, str) else text_of(message) for message in self.messages]
        return AskedCall(
            messages=[{"role": "user", "content": text} for text in texts],
            question=question_of(self.messages) or (texts[-1] if texts else ""),
            tools=tuple(self.parameters.get("tools") or ()),
            needs=self.needs,
        )

    def step(
        self, step_id: int, parents: tuple[int, ...], *, decision_id: str, domain: str, endpoint: str = ""
    ) -> Step:
        """The call as a step of its run's trace; its client is not ours, and does not say which endpoint it asked."""
        message, usage = self.message, self.message.usage_metadata if self.message else None
        about = message.response_metadata if message else {}
        text = text_of(message) if message else str(getattr(self._generation, "text", ""))
        served = _first(about, _NAME_KEYS)
        return Step(
            step_id=step_id,
            node=self.node,
            kind="agent",
            position=0,
            round=1,
            role=self.role,
            parents=parents,
            decision_id=decision_id,
            model=self.asked_model or served,
            strategy=PLAIN,
            endpoint=endpoint,
            served_model=served,
            started_s=self._after_arrival_s(self.started_s),
            sent_s=self._after_arrival_s(self.started_s),
            first_token_s=None if self.first_token_s is None else self._after_arrival_s(self.first_token_s),
            finished_s=self._after_arrival_s(self.ended_s),
            prompt_tokens=usage["input_tokens"] if usage else None,
            completion_tokens=usage["output_tokens"] if usage else None,
            cached_tokens=usage.get("input_token_details", {}).get("cache_read") if usage else None,
            finish_reason=str(about.get("finish_reason") or ""),
            text=text,
            answer=find_answer(text, domain),
            error=type(self.error).__name__ if self.error else "",
            error_detail=str(self.error) if self.error else "",
        )

    def _after_arrival_s(self, at_s: float) -> float:
        return at_s - (self.deadline.at_s - self.deadline.budget_s)


def frontier(steps: Iterable[Step], started_s: float) -> tuple[int, ...]:
    """Steps that had ended by then, and that no other of them waited for."""
    ended = [step for step in steps if step.finished_s <= started_s]
    waited_for = {parent for step in ended for parent in step.parents}
    return tuple(sorted(step.step_id for step in ended if step.step_id not in waited_for))


def _first(values: Mapping[str, Any], keys: Iterable[str]) -> str:
    return next((str(values[key]) for key in keys if values.get(key)), "")


def _has_image(message: BaseMessage | str) -> bool:
    content = "" if isinstance(message, str) else message.content
    return not isinstance(content, str) and any(
        isinstance(part, Mapping) and str(part.get("type", "")).startswith(("image", "input_image"))
        for part in content
    )
