"""Chain: agent k sees the output of agent k - 1 (of the last one that did not fail); the last one answers.

::

    question ─> agent 0 ─> agent 1 ─> agent 2 ─> answer

Calls: N. Serial depth: N.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from langgraph.graph import StateGraph

from inframind.graphs.in_turn import build_in_turn
from inframind.graphs.kit import TopologyKit
from inframind.graphs.state import Draft
from inframind.router.topology import CallGraph, TopologySpec, call_name


def draw_chain(agents: int, rounds: int) -> CallGraph:
    """N calls, one after the other."""
    calls = tuple(call_name(seat, 1) for seat in range(agents))
    return CallGraph(calls, tuple(pairwise(calls)))


CHAIN = TopologySpec(
    name="Chain",
    description="every agent improves on the one before; the last answers",
    draw=draw_chain,
    min_planned_team=2,
)


def build_chain(kit: TopologyKit) -> StateGraph[Any, Any, Any, Any]:
    """The graph, uncompiled."""
    return build_in_turn(kit, heard=_since_the_last_text, end=kit.close)


def _since_the_last_text(drafts: list[Draft]) -> list[Draft]:
    """The latest draft that has text, and those after it, which were waited for and have none."""
    return drafts[max((place for place, draft in enumerate(drafts) if draft["text"]), default=0) :]
