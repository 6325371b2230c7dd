"""Swap the model of a ReAct agent: ChatInfraMind where ChatOpenAI stood, nothing else changes.

Run: python examples/06_react_agent.py
"""

from langchain.agents import create_agent
from langchain_core.tools import tool

from inframind import InfraMind, settings_from
from inframind.arena.playground import simulated_endpoints


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


def main() -> None:
    with simulated_endpoints() as endpoints:
        settings = settings_from({"endpoints": endpoints, "traces": {"url": "memory:"}})
        with InfraMind(settings) as mind:
            llm = mind.chat_model()  # was: ChatOpenAI(model="gpt-4.1-mini")
            agent = create_agent(llm, [multiply], system_prompt="You are good at sums.")
            state = agent.invoke({"messages": [("user", "What is 17 times 23?")]})
            for message in state["messages"]:
                message.pretty_print()
            account = state["messages"][-1].response_metadata["inframind"]
            print(f"\nanswered by {account['model']} with probability {account['probability']:.2f}")
            mind.feedback(state["messages"][-1], key="thumbs", score=1)

            # Or keep the agent's own model, and let the middleware route every call of a run under one budget.
            agent = create_agent(llm, [multiply], middleware=[mind.middleware(budget_s=20)])
            state = agent.invoke({"messages": [("user", "What is 6 times 7?")]})
            print(mind.explain(state["inframind"]["trace_id"]))


if __name__ == "__main__":
    main()
