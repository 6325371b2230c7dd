"""The routed workflow as a node of a chat application with memory, and a person who approves each answer.

Run: python examples/09_chat_memory_interrupt.py
"""

from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from inframind import InfraMind, RouteContext, settings_from
from inframind.arena.playground import simulated_endpoints


def approve(state: MessagesState) -> Command:
    """Show the answer to a person; a remark asks for another one."""
    remark = interrupt({"answer": state["messages"][-1].text})
    return Command(goto="solve", update={"messages": [HumanMessage(remark)]}) if remark else Command(goto=END)


def main() -> None:
    with simulated_endpoints() as endpoints:
        settings = settings_from({"endpoints": endpoints, "traces": {"url": "memory:"}})
        with InfraMind(settings) as mind:
            builder = StateGraph(MessagesState, context_schema=RouteContext)
            builder.add_node("solve", mind.graph().compile())
            builder.add_node("approve", approve, destinations=("solve", END))
            builder.add_edge(START, "solve")
            builder.add_edge("solve", "approve")
            app = builder.compile(checkpointer=InMemorySaver())

            thread = {"configurable": {"thread_id": "customer-17"}}
            budget = RouteContext(budget_s=20)
            asked = {"messages": [("user", "What is 19 * 21?")]}
            app.invoke(asked, thread, context=budget)
            print("waits for a person:", app.get_state(thread).interrupts[0].value)
            app.invoke(Command(resume="Are you sure?"), thread, context=budget)
            print("waits for a person:", app.get_state(thread).interrupts[0].value)
            state = app.invoke(Command(resume=""), thread, context=budget)
            for message in state["messages"]:
                message.pretty_print()
            print(f"\n{len(mind.traces())} runs, each with its own trace")


if __name__ == "__main__":
    main()
