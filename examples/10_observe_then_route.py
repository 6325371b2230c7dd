"""A graph with ChatOpenAI in its nodes: watch it first, see what would change, then let the router choose.

Run: python examples/10_observe_then_route.py
"""

from typing import TypedDict

from langchain.chat_models import init_chat_model
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from rich.console import Console

from inframind import InfraMind, settings_from
from inframind.arena.playground import simulated_endpoints

QUESTIONS = ("What is 12 * 12?", "What is 7^4 - 1?", "What is 1 + 2 + 3 + 4?")


class State(TypedDict, total=False):
    question: str
    draft: str
    answer: str


def existing_application(model: str, base_url: str) -> CompiledStateGraph[State]:
    """What was there before: nothing in here knows of InfraMind."""
    llm = init_chat_model(
        model,
        model_provider="openai",
        base_url=base_url,
        api_key="none",
        configurable_fields=("model", "base_url"),
    )

    def draft(state: State) -> State:
        return {"draft": llm.invoke(f"Draft an answer: {state['question']}").text}

    def polish(state: State) -> State:
        return {"answer": llm.invoke(f"Improve: {state['draft']}\nQuestion: {state['question']}").text}

    graph = StateGraph(State)
    graph.add_node("draft", draft)
    graph.add_node("polish", polish)
    graph.add_edge(START, "draft")
    graph.add_edge("draft", "polish")
    graph.add_edge("polish", END)
    return graph.compile(name="writer")


def main() -> None:
    console = Console(width=120)
    with simulated_endpoints() as endpoints:
        settings = settings_from({"endpoints": endpoints, "traces": {"url": "memory:"}})
        largest = max(endpoints, key=lambda endpoint: endpoint["size_b"])
        app = existing_application(largest["model"], largest["base_url"])
        with InfraMind(settings) as mind:
            watched = mind.observe(app)
            for question in QUESTIONS:
                watched.invoke({"question": question})
            console.print(mind.observed().table())

            routed = mind.route(app, budget_s=20)
            for question in QUESTIONS:
                routed.invoke({"question": question})
            for summary in mind.traces()[: len(QUESTIONS)]:
                steps = mind.trace(summary.trace_id).steps
                console.print(summary.latency_s, *(f"{step.node}: {step.model}" for step in steps))


if __name__ == "__main__":
    main()
