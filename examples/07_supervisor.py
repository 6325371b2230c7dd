"""A supervisor hands work to two specialists; every call is routed, and the whole run keeps to one budget.

Run: python examples/07_supervisor.py
"""

from typing import Literal

from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command

from inframind import InfraMind, settings_from
from inframind.arena.playground import simulated_endpoints

SPECIALISTS = {"researcher": "You look facts up.", "calculator": "You work sums out."}


def build(mind: InfraMind) -> StateGraph[MessagesState]:
    llm = mind.chat_model()

    def supervisor(state: MessagesState) -> Command[Literal["researcher", "calculator", "__end__"]]:
        asked = [name for name in SPECIALISTS if not any(m.name == name for m in state["messages"])]
        if not asked:
            return Command(goto=END)
        reply = llm.invoke([SystemMessage(f"Who is next, of {asked}? One word."), *state["messages"]])
        return Command(goto=next((name for name in asked if name in reply.text), asked[0]))

    def specialist(name: str, prompt: str):
        def work(state: MessagesState) -> Command[Literal["supervisor"]]:
            reply = llm.invoke([SystemMessage(prompt), *state["messages"]])
            note = HumanMessage(reply.text, name=name)
            return Command(goto="supervisor", update={"messages": [note]})

        return work

    graph = StateGraph(MessagesState)
    graph.add_node("supervisor", supervisor)
    for name, prompt in SPECIALISTS.items():
        graph.add_node(name, specialist(name, prompt), metadata={"inframind": {"role": name}})
    graph.add_edge(START, "supervisor")
    return graph


def main() -> None:
    with simulated_endpoints() as endpoints:
        settings = settings_from({"endpoints": endpoints, "traces": {"url": "memory:"}})
        with InfraMind(settings) as mind:
            team = mind.budget(build(mind).compile(name="team"), budget_s=30)
            state = team.invoke({"messages": [("user", "What is 12 * 34, and who liked primes?")]})
            print(f"...{state['messages'][-1].text[-80:]}")
            (run,) = [summary.trace_id for summary in mind.traces()]
            for step in mind.trace(run).steps:
                print(f"{step.node:<12} {step.model:<18} {step.latency_s:5.2f} s")


if __name__ == "__main__":
    main()
