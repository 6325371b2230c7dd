"""What each topology costs before it runs: the table, as literal formulas."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from inframind.errors import ConfigError
from inframind.graphs.registry import TopologyRegistry
from inframind.router.topology import CallGraph, TopologySpec

SPECS = TopologyRegistry().specs
Formula = Callable[[int, int], int]

TABLE: dict[str, tuple[Formula, Formula]] = {
    "IO": (lambda n, r: 1 if n == 1 else n + 1, lambda n, r: 1 if n == 1 else 2),
    "CoT": (lambda n, r: 1 if n == 1 else n + 1, lambda n, r: 1 if n == 1 else 2),
    "Chain": (lambda n, r: n, lambda n, r: n),
    "FullConnected": (lambda n, r: 1 if n == 1 else n + 1, lambda n, r: 1 if n == 1 else n + 1),
    "Debate": (lambda n, r: r if n == 1 else r * n + 1, lambda n, r: r if n == 1 else r + 1),
    "Reflection": (lambda n, r: r if n == 1 else r * n + 1, lambda n, r: r if n == 1 else r + 1),
}


def test_the_table_covers_what_there_is() -> None:
    assert list(SPECS) == list(TABLE)
    assert {name: spec.rounds for name, spec in SPECS.items() if spec.rounds > 1} == {
        "Debate": 2,
        "Reflection": 2,
    }
    assert {name: spec.excluded_strategies for name, spec in SPECS.items() if spec.excluded_strategies} == {
        "CoT": {"Flash"}
    }


@pytest.mark.parametrize("rounds", [1, 2, 3])
@pytest.mark.parametrize("agents", range(1, 7))
@pytest.mark.parametrize("name", TABLE)
def test_calls_and_depth(name: str, agents: int, rounds: int) -> None:
    calls, depth = TABLE[name]
    assert SPECS[name].calls(agents, rounds) == calls(agents, rounds)
    assert SPECS[name].depth(agents, rounds) == depth(agents, rounds)


@pytest.mark.parametrize("name", TABLE)
def test_the_default_number_of_rounds_is_the_specs(name: str) -> None:
    assert SPECS[name].graph(3) == SPECS[name].graph(3, SPECS[name].rounds)


@pytest.mark.parametrize("name", TABLE)
def test_calls_come_after_what_they_are_shown(name: str) -> None:
    graph = SPECS[name].graph(4, 3)
    assert len(set(graph.nodes)) == len(graph.nodes) and len(set(graph.edges)) == len(graph.edges)
    assert all(graph.nodes.index(before) < graph.nodes.index(after) for before, after in graph.edges)


def test_without_a_skipped_judge_the_rest_stays() -> None:
    graph = SPECS["Debate"].graph(2).without(["judge"])
    assert (graph.calls, graph.depth, "judge" in graph.nodes) == (4, 2, False)
    assert graph.without(graph.nodes) == CallGraph((), ())
    assert CallGraph((), ()).depth == 0


@pytest.mark.parametrize("agents", [0, 7, -1])
def test_a_team_has_one_to_six(agents: int) -> None:
    with pytest.raises(ConfigError, match="team_size"):
        SPECS["IO"].calls(agents)


@pytest.mark.parametrize("values", [{"rounds": 0}, {"rounds": 3, "max_rounds": 2}, {"min_planned_team": 7}])
def test_an_impossible_spec_is_refused(values: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        TopologySpec(name="x", description="x", draw=SPECS["IO"].draw, **values)


@pytest.mark.parametrize("name", ["IO", "plan", "respond", "auto", "__end__"])
def test_a_taken_name_is_refused(name: str) -> None:
    registry = TopologyRegistry()
    spec = TopologySpec(name=name, description="x", draw=SPECS["IO"].draw)
    with pytest.raises(ConfigError, match="not taken"):
        registry.register(spec, registry.topologies["IO"].build)


def test_some_of_the_topologies() -> None:
    assert list(TopologyRegistry().only(("Debate", "IO")).specs) == ["Debate", "IO"]
    with pytest.raises(ConfigError, match="Ring"):
        TopologyRegistry().only(("Ring",))
