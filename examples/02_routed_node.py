"""Put the routed workflow into a LangGraph application of your own, as one node among others.

Run: python examples/02_routed_node.py
"""

from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

from inframind import InfraMind, RouteContext, settings_from
from inframind.arena.playground import simulated_endpoints
from inframind.simulator.items import generate_item


class State(MessagesState, total=False):
    inframind: dict[str, Any]  # the routed node's account of its run; leave the key out if you do not need it


def report(state: State) -> dict[str, Any]:
    account = state["inframind"]
    print(f"{account['topology']} with {', '.join(account['team'])}: {account['answer']}")
    return {}


def main() -> None:
    item = generate_item(seed=3, level=3)
    with simulated_endpoints([item]) as endpoints:
        settings = settings_from({"endpoints": endpoints, "traces": {"url": "memory:"}})
        with InfraMind(settings) as mind:
            builder = StateGraph(State, context_schema=RouteContext)
            builder.add_node("solve", mind.graph().compile())
            builder.add_node("report", report)
            builder.add_edge(START, "solve")
            builder.add_edge("solve", "report")
            builder.add_edge("report", END)
            app = builder.compile(checkpointer=InMemorySaver())
            answer = app.invoke(
                {"messages": [("user", item.question)]},
                {"configurable": {"thread_id": "1"}},
                context=RouteContext(budget_s=30, topology="Debate", team_size=3, question_id=item.item_id),
            )
            print(answer["messages"][-1].text)


if __name__ == "__main__":
    main()
