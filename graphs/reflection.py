"""Reflection: every agent drafts, then looks for errors in its own draft and answers again; a judge when N > 1.

::

    question ─┬─> agent 0 ─> agent 0 again ─┐
              └─> agent 1 ─> agent 1 again ─┴─> judge

Calls: R N (+ 1), so 2 N (+ 1) by default. Serial depth: R (+ 1). Three rounds at most.
"""

from __future__ import annotations

from typing import Any

from langgraph.graph import StateGraph

from inframind.graphs.kit import TopologyKit
from inframind.graphs.rounds import build_rounds
from inframind.router.topology import JUDGE, CallGraph, TopologySpec, call_name


def draw_reflection(agents: int, rounds: int) -> CallGraph:
    """N strands of R calls; a judge who sees the last of each when N > 1."""
    calls = tuple(call_name(seat, r) for r in range(1, rounds + 1) for seat in range(agents))
    edges = [(call_name(seat, r), call_name(seat, r + 1)) for seat in range(agents) for r in range(1, rounds)]
    if agents == 1:
        return CallGraph(calls, tuple(edges))
    edges += [(call_name(seat, rounds), JUDGE) for seat in range(agents)]
    return CallGraph((*calls, JUDGE), tuple(edges))


REFLECTION = TopologySpec(
    name="Reflection",
    description="every agent criticises its own draft and answers again; a judge decides between several",
    draw=draw_reflection,
    rounds=2,
    max_rounds=3,
)


def build_reflection(kit: TopologyKit) -> StateGraph[Any, Any, Any, Any]:
    """The graph, uncompiled."""
    return build_rounds(
        kit, task="reflect", visible=lambda seat, drafts: [d for d in drafts if d["seat"] == seat]
    )
