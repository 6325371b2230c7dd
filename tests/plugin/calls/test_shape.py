"""How many nodes may still follow one another, from a graph's edges."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.plugin.calls.shape import steps_left

EDGES = st.lists(st.tuples(st.integers(0, 7).map(str), st.integers(0, 7).map(str)), max_size=20)


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ([("__start__", "a"), ("a", "b"), ("b", "__end__")], {"a": 2, "b": 1}),
        ([("a", "b"), ("a", "c"), ("c", "d")], {"a": 3, "b": 1, "c": 2, "d": 1}),
        ([("a", "b"), ("b", "c"), ("a", "c")], {"a": 3, "b": 2, "c": 1}),
        (
            [("__start__", "agent"), ("agent", "tools"), ("tools", "agent"), ("agent", "__end__")],
            {"agent": 2, "tools": 1},
        ),
        ([("a", "a")], {"a": 1}),
        ([], {}),
    ],
)
def test_the_longest_way_to_the_end(edges: Sequence[tuple[str, str]], expected: dict[str, int]) -> None:
    assert steps_left(edges) == expected


def test_a_graph_may_be_deeper_than_the_stack() -> None:
    left = steps_left([(f"{n:05}", f"{n + 1:05}") for n in range(5000)])
    assert left["00000"] == 5001


@given(edges=EDGES)
def test_every_node_counts_at_least_itself_and_at_most_all(edges: list[tuple[str, str]]) -> None:
    left = steps_left(edges)
    assert left.keys() == {node for edge in edges for node in edge}
    assert all(1 <= steps <= len(left) for steps in left.values())


@given(edges=EDGES)
def test_without_loops_a_node_has_one_more_to_go_than_the_farthest_that_follows(
    edges: list[tuple[str, str]],
) -> None:
    forward = [(source, target) for source, target in edges if source < target]
    left = steps_left(forward)
    for node, steps in left.items():
        assert steps == 1 + max((left[target] for source, target in forward if source == node), default=0)
