"""FullConnected: agent k sees the outputs of all earlier agents; a judge decides.

::

    question ─> agent 0 ─> agent 1 ─> agent 2 ─> judge
                   └──────────────────^ │
                   (every earlier output)

Calls: N, + 1 for the judge when N > 1. Serial depth: the same.
"""

from __future__ import annotations

from typing import Any

from langgraph.graph import StateGraph

from inframind.graphs.in_turn import build_in_turn
from inframind.graphs.kit import TopologyKit
from inframind.router.topology import JUDGE, CallGraph, TopologySpec, call_name


def draw_full(agents: int, rounds: int) -> CallGraph:
    """N calls in a row, each shown all before it, and the judge when N > 1."""
    calls = tuple(call_name(seat, 1) for seat in range(agents)) + ((JUDGE,) if agents > 1 else ())
    edges = tuple((calls[i], calls[j]) for j in range(len(calls)) for i in range(j))
    return CallGraph(calls, edges)


FULL_CONNECTED = TopologySpec(
    name="FullConnected",
    description="every agent sees all earlier answers; a judge decides",
    draw=draw_full,
    min_planned_team=2,
)


def build_full_connected(kit: TopologyKit) -> StateGraph[Any, Any, Any, Any]:
    """The graph, uncompiled."""
    return build_in_turn(kit, heard=lambda drafts: drafts, end=kit.judge)
