"""What a graph's edges say before anything has run: how many nodes may still follow one another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ENDS = frozenset({"__start__", "__end__"})
"""LangGraph's own names for where a graph begins and ends; nothing runs there."""


def steps_left(edges: Iterable[tuple[str, str]]) -> Mapping[str, int]:
    """Nodes on the longest path from each node to the graph's end, itself included; a loop is run once.

    Args:
        edges: (from, to) pairs.
    """
    follows: dict[str, list[str]] = {}
    for source, target in sorted(set(edges)):
        follows.setdefault(source, []).append(target)
        follows.setdefault(target, [])
    ordered = _order(follows)
    place = {node: number for number, node in enumerate(ordered)}
    left: dict[str, int] = {}
    for node in reversed(ordered):
        # What leads back in the order closes a loop.
        onward = [left[target] for target in follows[node] if place[target] > place[node]]
        left[node] = (node not in ENDS) + max(onward, default=0)
    return {node: steps for node, steps in left.items() if node not in ENDS}


def _order(follows: Mapping[str, list[str]]) -> list[str]:
    """Nodes in reverse postorder of a depth-first walk from the sources: a topological order but for loops."""
    targets = {target for onward in follows.values() for target in onward}
    seen: set[str] = set()
    postorder: list[str] = []
    for root in sorted(follows, key=lambda node: (node in targets, node)):
        _walk(root, follows, seen, postorder)
    return postorder[::-1]


def _walk(root: str, follows: Mapping[str, list[str]], seen: set[str], postorder: list[str]) -> None:
    """Depth first without recursion: a graph may be deeper than Python's stack."""
    stack = [(root, False)]
    while stack:
        node, is_done = stack.pop()
        if is_done:
            postorder.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(target, False) for target in follows[node] if target not in seen]
