"""A routed chat as a LangGraph server runs it: `langgraph.json` names `make_graph`.

Run in this folder, in two terminals (``pip install 'langgraph-cli[inmem]'`` brings the server):
    inframind simulate -m llama-3.2-3b -m qwen2.5-coder-14b --port-base 8000
    langgraph dev
Start a run with ``{"messages": [{"role": "user", "content": "What is 19 * 21?"}]}``. It stops for a person: resume
it with "" to let the answer pass, or with a remark to have another one. A run's context may say its budget.
"""

import os
from pathlib import Path

from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, interrupt

from inframind import InfraMind, RouteContext

CONFIG = os.environ.get("INFRAMIND_CONFIG", Path(__file__).with_name("inframind.toml"))

# Made when the module is imported, which LangGraph does in a thread: it reads files and opens the trace store, and
# that must not be done on the server's event loop. One for the whole process: it keeps connections and load figures.
mind = InfraMind.from_config(CONFIG)


def approve(state: MessagesState) -> Command:
    """Show the answer to a person; a remark asks for another one."""
    remark = interrupt({"answer": state["messages"][-1].text})
    return Command(goto="solve", update={"messages": [HumanMessage(remark)]}) if remark else Command(goto=END)


def make_graph() -> CompiledStateGraph:
    """The graph, without a checkpointer: the server brings its own."""
    builder = StateGraph(MessagesState, context_schema=RouteContext)
    builder.add_node("solve", mind.graph().compile())
    builder.add_node("approve", approve, destinations=("solve", END))
    builder.add_edge(START, "solve")
    builder.add_edge("solve", "approve")
    return builder.compile()
