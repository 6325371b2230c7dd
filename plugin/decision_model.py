"""The router as a decision model for LangChain's own `ModelRouterMiddleware` (langchain-core 1.8, langchain 1.5).

For applications that have built on that middleware. Where the choice is free, `inframind.plugin.middleware` gives more:
this one is asked once per run of an agent and sees only the last human message. It learns nothing of what its choice
led to, holds no model to the run's deadline, picks no strategy, does not weigh a warm prefix cache, and cannot move on
when a server fails in the middle of a run. It does see the load of the fleet, at the moment in which it is asked.

It records no trace. A trace ties a decision to the calls that carried it out, with their times; the calls that follow
here are another's, of a number that nobody knows yet. A trace without them would read as a run that took no time, and
every policy that learned from it would take its model for the fastest. Choices whose models are `ChatInfraMind` leave
the traces of their calls as ever.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage
from pydantic import ConfigDict, Field, field_validator

from inframind.errors import ConfigError, UnknownModel
from inframind.fleet.clock import Deadline
from inframind.plugin.calls.asked import PLAIN, AskedCall
from inframind.plugin.calls.router import SINGLE_CALL
from inframind.plugin.calls.runs import query_of
from inframind.plugin.mind import InfraMind
from inframind.router.decide import StepChoice
from inframind.router.views import Slot
from inframind.traces.records import Decision

try:
    from langchain_core.decisions import (  # type: ignore[import-not-found, unused-ignore]
        BaseDecisionModel,
        Choice,
        ChoiceAnswer,
        ClassifierResponse,
    )
except ModuleNotFoundError as missing:
    raise ConfigError("install", "langchain-core", "run: pip install 'langchain-core>=1.8'") from missing

if TYPE_CHECKING:
    from langchain_core.decisions import Answer, Question, State

_FIX_QUESTION = "ask a Choice whose labels are models of the fleet, or map its labels to them in `models`"


class InfraMindDecision(BaseDecisionModel):  # type: ignore[misc, unused-ignore]
    """Answers which model of the fleet to take.

    ``ModelRouterMiddleware(choices=choices, instructions="...", classifier=InfraMindDecision(mind=mind,
    models=choices))``. The policy reads neither the instructions nor the criteria.

    Each answer has the probability with which the policy takes each label, that of its choice for its confidence, and
    the decision's id for ``request_id``.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    mind: InfraMind = Field(exclude=True, repr=False)
    """The router."""
    models: dict[str, str] = Field(default_factory=dict)
    """Model of the fleet by label: its name, a chat model that names it, or a `ModelChoice` of one of these. A label
    that is not listed is a model's name itself."""
    budget_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds that a call should take at most; None takes the configured budget."""
    model: str = "inframind"
    """What the decision model itself is called in LangChain's traces."""

    @field_validator("models", mode="before")
    @classmethod
    def _by_name(cls, models: Mapping[str, Any]) -> dict[str, str]:
        return {label: _name_of(label, choice) for label, choice in models.items()}

    @property
    def _provider(self) -> str:
        return "inframind"

    def _classify(self, state: State, questions: dict[str, Question]) -> ClassifierResponse:
        return self.mind.portal.run(self._aclassify(state, questions))

    async def _aclassify(self, state: State, questions: dict[str, Question]) -> ClassifierResponse:
        await self.mind.fleet.watch()
        services, text = self.mind.calls.services, _last_human_text(state)
        request_id = f"{services.new_trace_id()}-0"
        answers: dict[str, Answer] = {
            name: self._answer(text, question, request_id) for name, question in questions.items()
        }
        return ClassifierResponse(model=self.model, answers=answers, request_id=request_id)

    def _answer(self, text: str, question: Question, decision_id: str) -> ChoiceAnswer:
        """Decide on one question.

        Raises:
            ConfigError: it is no `Choice`, or two of its labels are the same model.
            UnknownModel: a label that the fleet does not serve.
        """
        if not isinstance(question, Choice):
            raise ConfigError("questions", question.type, _FIX_QUESTION)
        labels = self._labels_by_model(question)
        choice, decision = self._decide(text, frozenset(labels), decision_id)
        weights = dict.fromkeys(question.criteria, 0.0)
        actions = self.mind.calls.services.decider.actions.executor_actions
        for action, probability in zip(actions, decision.probabilities, strict=True):
            if action.model in labels:
                weights[labels[action.model]] += probability
        total, chosen = math.fsum(weights.values()), labels[choice.model]
        probabilities = {label: weight / total for label, weight in weights.items()}
        return ChoiceAnswer(
            type="choice", choice=chosen, probabilities=probabilities, confidence=probabilities[chosen]
        )

    def _labels_by_model(self, question: Choice) -> dict[str, str]:
        served = tuple(self.mind.fleet.models)
        labels: dict[str, str] = {}
        for label in question.criteria:
            named = self.models.get(label, label)
            model = (
                named if named in served else named.partition(":")[2]
            )  # "openai:qwen-7b" is served as qwen-7b
            if model not in served:
                raise UnknownModel(named, served)
            if model in labels:
                raise ConfigError(f"models.{label}", model, f"it is {labels[model]!r} already; name it once")
            labels[model] = label
        return labels

    def _decide(self, text: str, models: frozenset[str], decision_id: str) -> tuple[StepChoice, Decision]:
        services = self.mind.calls.services
        query = query_of(AskedCall(messages=(), question=text))
        slot = Slot(
            topology=SINGLE_CALL,
            prompt_tokens=query.prompt_tokens,
            models=models,
            strategies=frozenset({PLAIN}),
        )
        deadline = Deadline.after(self.budget_s or services.defaults.budget_s, services.clock)
        return services.versions.lineup.serving.decider.step(
            query, slot, services.fleet.snapshot(), deadline, decision_id=decision_id
        )


def _name_of(label: str, choice: Any) -> str:
    """The model that a label stands for, as the fleet calls it.

    Raises:
        ConfigError: it does not say.
    """
    model = choice if isinstance(choice, str | BaseChatModel) else getattr(choice, "model", None)
    if isinstance(model, BaseChatModel):
        model = getattr(model, "model_name", None) or getattr(model, "model", None)
    if not isinstance(model, str):
        raise ConfigError(f"models.{label}", type(choice).__name__, "write the name of a model of the fleet")
    return model


def _last_human_text(state: Any) -> str:
    """What is asked, from whatever a decision model may be given: the last human message, or the last text."""
    if isinstance(state, Mapping):
        state = state.get("messages", "")
    if isinstance(state, BaseMessage):
        return str(state.text)
    if isinstance(state, str):
        return state
    if isinstance(state, Sequence):
        said = [each for each in state if isinstance(each, HumanMessage)] or list(state)
        return _last_human_text(said[-1]) if said else ""
    raise ConfigError("state", type(state).__name__, "give text, a message, or messages")
