"""Debate: round 1 alone; in round r everyone sees all answers of round r - 1, their own included; then a judge.

::

    question ─┬─> agent 0 ─┐     ┌─> agent 0 ─┐
              ├─> agent 1 ─┼─> pace ─> agent 1 ─┼─> ... ─> judge
              └─> agent 2 ─┘     └─> agent 2 ─┘

Calls: R N + 1. Serial depth: R + 1. Two rounds by default, three at most; a pacer may stop earlier.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from langgraph.graph import StateGraph

from inframind.graphs.kit import TopologyKit
from inframind.graphs.rounds import build_rounds
from inframind.router.topology import JUDGE, CallGraph, TopologySpec, call_name


def draw_debate(agents: int, rounds: int) -> CallGraph:
    """R rounds of N calls; everyone sees the whole round before; a judge when N > 1."""
    layers = [tuple(call_name(seat, r) for seat in range(agents)) for r in range(1, rounds + 1)]
    if agents > 1:
        layers.append((JUDGE,))
    edges = tuple(
        (before, after) for earlier, later in pairwise(layers) for before in earlier for after in later
    )
    return CallGraph(tuple(call for layer in layers for call in layer), edges)


DEBATE = TopologySpec(
    name="Debate",
    description="all answer, see each other's answers, answer again; a judge decides",
    draw=draw_debate,
    rounds=2,
    max_rounds=3,
    min_planned_team=2,
)


def build_debate(kit: TopologyKit) -> StateGraph[Any, Any, Any, Any]:
    """The graph, uncompiled."""
    return build_rounds(kit, task="debate", visible=lambda seat, drafts: drafts)
