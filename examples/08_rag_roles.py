"""A graph in the shape of retrieval-augmented generation: each node says its role, and is routed by it.

Run: python examples/08_rag_roles.py
"""

from itertools import pairwise
from typing import TypedDict

from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel

from inframind import InfraMind, settings_from
from inframind.arena.playground import simulated_endpoints

NOTES = ("vLLM batches requests continuously.", "A prefix cache keeps prompts.", "Primes have two divisors.")


class State(TypedDict, total=False):
    question: str
    query: str
    notes: list[str]
    answer: str
    is_grounded: bool


class Verdict(BaseModel):
    """Whether the notes support the answer."""

    is_grounded: bool


def build(mind: InfraMind) -> StateGraph[State]:
    llm = mind.chat_model()

    def rewrite(state: State) -> State:
        return {"query": llm.invoke(f"Rewrite as a search query: {state['question']}").text}

    def retrieve(state: State) -> State:
        words = set(f"{state['query']} {state['question']}".lower().split())
        ranked = sorted(NOTES, key=lambda note: -len(words & set(note.lower().split())))
        return {"notes": list(ranked[:2])}

    def answer(state: State) -> State:
        notes = "\n".join(state["notes"])
        return {"answer": llm.invoke(f"Notes:\n{notes}\n\nQuestion: {state['question']}").text}

    def check(state: State) -> State:
        checker = llm.with_structured_output(Verdict)
        verdict = checker.invoke(f"Do the notes {state['notes']} support '{state['answer']}'?")
        return {"is_grounded": verdict.is_grounded}

    graph = StateGraph(State)
    graph.add_node("rewrite", rewrite, metadata={"inframind": {"role": "Rewriter", "strategy": "Flash"}})
    graph.add_node("retrieve", retrieve)
    graph.add_node("answer", answer, metadata={"inframind": {"role": "Writer", "strategy": "auto"}})
    graph.add_node("check", check, metadata={"inframind": {"role": "Critic"}})
    path = (START, "rewrite", "retrieve", "answer", "check", END)
    for before, after in pairwise(path):
        graph.add_edge(before, after)
    return graph


def main() -> None:
    with simulated_endpoints() as endpoints:
        settings = settings_from({"endpoints": endpoints, "traces": {"url": "memory:"}})
        with InfraMind(settings) as mind:
            app = mind.budget(build(mind).compile(name="rag"), budget_s=30)
            for question in ("How does vLLM batch requests?", "What is a prefix cache?"):
                state = app.invoke({"question": question})
                print(f"{question}\n  ...{state['answer'][-80:]} (grounded: {state['is_grounded']})")
            for step in mind.trace(mind.traces()[0].trace_id).steps:
                print(f"{step.node:<8} as {step.role:<8} {step.model:<18} {step.strategy}")


if __name__ == "__main__":
    main()
