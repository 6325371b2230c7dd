"""LangGraph: the state, the agent step, the judge, one file per topology, and the routed graph."""
