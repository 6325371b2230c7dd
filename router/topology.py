"""What a collaboration topology costs, exactly: the graph of its calls, before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from inframind.errors import ConfigError
from inframind.traces.records import Trajectory

MAX_TEAM_SIZE = 6
JUDGE = "judge"
JUDGE_ROLE = "Judge"
"""Role of a judge's call, whatever the team."""


def call_name(position: int, round_number: int) -> str:
    """Name of an agent's call: 0-based position, 1-based round."""
    return f"agent-{position}/r{round_number}"


@dataclass(frozen=True)
class CallGraph:
    """The calls of one run as a DAG.

    Attributes:
        nodes: call names, see `call_name`; the judge's is ``judge``.
        edges: (from, to) pairs: ``to`` is shown the output of ``from``.
    """

    nodes: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]

    @property
    def calls(self) -> int:
        """Number of calls."""
        return len(self.nodes)

    @cached_property
    def depth(self) -> int:
        """Calls on the longest path."""
        depth: dict[str, int] = {}
        for node in self.nodes:
            parents = [source for source, target in self.edges if target == node]
            depth[node] = 1 + max((depth[parent] for parent in parents), default=0)
        return max(depth.values(), default=0)

    def without(self, skipped: Iterable[str]) -> CallGraph:
        """The graph with some calls left out."""
        gone = frozenset(skipped)
        return CallGraph(
            nodes=tuple(node for node in self.nodes if node not in gone),
            edges=tuple(edge for edge in self.edges if not gone.intersection(edge)),
        )


@dataclass(frozen=True, kw_only=True)
class TopologySpec:
    """What the planner knows of a topology before it runs.

    Args:
        draw: the call graph for a team size and a number of rounds, nodes in an order in which every call
            comes after the calls that it is shown.
    """

    name: str
    """Unique name."""
    description: str
    """One sentence: who sees what."""
    draw: Callable[[int, int], CallGraph]
    """Team size and rounds to call graph."""
    rounds: int = 1
    """Rounds by default."""
    max_rounds: int = 1
    """Most rounds that a pacer may choose."""
    min_planned_team: int = 1
    """Smallest team that a planner considers; smaller ones run, but are another topology in disguise."""
    excluded_strategies: frozenset[str] = frozenset()
    """Strategies whose instruction contradicts this topology's own."""

    def __post_init__(self) -> None:
        if not 1 <= self.rounds <= self.max_rounds:
            raise ConfigError(f"topology {self.name}: rounds", self.rounds, "use 1 <= rounds <= max_rounds")
        if not 1 <= self.min_planned_team <= MAX_TEAM_SIZE:
            raise ConfigError(f"topology {self.name}: min_planned_team", self.min_planned_team, "use 1 to 6")

    def graph(self, team_size: int, rounds: int | None = None) -> CallGraph:
        """The call graph; ``rounds=None`` means the default number."""
        return _draw(self.draw, team_size, self.rounds if rounds is None else rounds)

    def calls(self, team_size: int, rounds: int | None = None) -> int:
        """Number of calls, the judge included, when nothing is skipped."""
        return self.graph(team_size, rounds).calls

    def depth(self, team_size: int, rounds: int | None = None) -> int:
        """Calls on the longest path, the judge included, when nothing is skipped."""
        return self.graph(team_size, rounds).depth


def expected_graph(spec: TopologySpec, trajectory: Trajectory) -> CallGraph:
    """The call graph that a finished run must have had: its team and rounds, less what it says it left out."""
    planned = spec.graph(len(trajectory.team), trajectory.rounds)
    return planned.without(skip.node for skip in trajectory.skips)


@lru_cache(maxsize=1024)
def _draw(draw: Callable[[int, int], CallGraph], team_size: int, rounds: int) -> CallGraph:
    if not 1 <= team_size <= MAX_TEAM_SIZE:
        raise ConfigError("team_size", team_size, f"use 1 to {MAX_TEAM_SIZE}")
    return draw(team_size, rounds)
