"""The router as the decision model of LangChain's own `ModelRouterMiddleware`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("langchain_core.decisions", reason="needs langchain-core>=1.8 and langchain>=1.5")

from langchain.agents import create_agent
from langchain.agents.middleware import ModelChoice, ModelRouterMiddleware
from langchain_core.decisions import Choice, Noul
from langchain_core.messages import AIMessage, HumanMessage
from tests.plugin.middleware.agents import ASK, Unrouted, only_trace, react, weather

from inframind.errors import ConfigError, UnknownModel
from inframind.plugin.chat import ChatInfraMind
from inframind.plugin.decision_model import InfraMindDecision

pytestmark = pytest.mark.filterwarnings("ignore:.*is in beta")


@pytest.fixture
async def mind(make_mind: Any) -> Any:
    return await make_mind(react, react, react)


def which(*labels: str) -> dict[str, Any]:
    return {"which": Choice(instructions="Which?", criteria=dict.fromkeys(labels))}


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Any:
    async def sync(model: Any, state: Any, questions: Any) -> Any:
        return await asyncio.to_thread(model.invoke, {"state": state, "questions": questions})

    async def asynchronous(model: Any, state: Any, questions: Any) -> Any:
        return await model.ainvoke({"state": state, "questions": questions})

    return sync if request.param == "sync" else asynchronous


async def test_an_answer_is_a_distribution_over_the_labels(mind: Any, ask: Any) -> None:
    response = await ask(InfraMindDecision(mind=mind), "How many?", which("m0", "m2"))
    answer = response.choices["which"]
    assert set(answer.probabilities) == {"m0", "m2"}
    assert sum(answer.probabilities.values()) == pytest.approx(1.0)
    assert answer.confidence == answer.probabilities[answer.choice] > 0
    assert response.request_id and response.usage is None


async def test_a_label_may_stand_for_a_model_in_any_of_the_middlewares_ways(mind: Any, ask: Any) -> None:
    choices = {
        "small": ModelChoice(model=ChatInfraMind(mind=mind, model="m0"), criteria="easy"),
        "middle": ModelChoice(model="openai:m1", criteria="so so"),
        "large": "m2",
    }
    decision = InfraMindDecision(mind=mind, models=choices)
    response = await ask(decision, "How many?", which(*choices))
    assert set(response.choices["which"].probabilities) == {"small", "middle", "large"}


@pytest.mark.parametrize(
    "state",
    [
        "How many?",
        HumanMessage("How many?"),
        [HumanMessage("Hello"), AIMessage("Hi"), HumanMessage("How many?"), AIMessage("Let me see")],
        {"messages": [HumanMessage("How many?")]},
        {},
    ],
)
async def test_whatever_a_decision_model_may_be_given_is_understood(mind: Any, ask: Any, state: Any) -> None:
    response = await ask(InfraMindDecision(mind=mind), state, which("m0"))
    assert response.choices["which"].confidence == 1.0


async def test_what_cannot_be_answered_is_refused_with_a_word_on_what_can(mind: Any, ask: Any) -> None:
    decision = InfraMindDecision(mind=mind, models={"a": "m0", "b": "m0"})
    with pytest.raises(UnknownModel, match="nobody"):
        await ask(decision, "How many?", which("m0", "nobody"))
    with pytest.raises(ConfigError, match="'a' already"):
        await ask(decision, "How many?", which("a", "b"))
    with pytest.raises(ConfigError, match="Choice"):
        await ask(decision, "How many?", {"urgent": Noul(instructions="Is it?")})
    with pytest.raises(ConfigError, match=r"models\.a"):
        InfraMindDecision(mind=mind, models={"a": 7})


async def test_langchains_router_takes_the_models_that_are_chosen(mind: Any) -> None:
    names = {"small": "m0", "large": "m2"}
    choices = {
        label: ModelChoice(model=ChatInfraMind(mind=mind, model=name), criteria=label)
        for label, name in names.items()
    }
    router = ModelRouterMiddleware(
        choices=choices, instructions="Which?", classifier=InfraMindDecision(mind=mind, models=choices)
    )
    with mind.run("routed once"):
        state = await create_agent(Unrouted(), [weather], middleware=[router]).ainvoke(ASK)
    await mind.calls.services.drain()
    assert state["messages"][-1].content == "It is said to be: rain in Oslo"
    chosen = names[state["model_route"].choice]
    assert [step.model for step in (await only_trace(mind)).steps] == [chosen, chosen]


async def test_asking_leaves_no_trace_that_a_policy_could_mistake_for_a_fast_run(mind: Any, ask: Any) -> None:
    await ask(InfraMindDecision(mind=mind), "How many?", which("m0", "m1"))
    assert await mind.store.count() == 0
