"""CoT: as IO, but the agents are told to reason step by step. Flash, which forbids that, is masked here.

Calls: 1, or N + 1. Serial depth: 1, or 2.
"""

from __future__ import annotations

from typing import Any

from langgraph.graph import StateGraph

from inframind.graphs.io import build_isolated, draw_isolated
from inframind.graphs.kit import TopologyKit
from inframind.router.topology import TopologySpec

COT = TopologySpec(
    name="CoT",
    description="as IO, reasoning step by step",
    draw=draw_isolated,
    excluded_strategies=frozenset({"Flash"}),
)


def build_cot(kit: TopologyKit) -> StateGraph[Any, Any, Any, Any]:
    """The graph, uncompiled."""
    return build_isolated(kit, task="step_by_step")
