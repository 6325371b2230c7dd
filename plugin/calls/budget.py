"""One budget for a whole run: each node's share of what is left, by what the nodes were seen to take.

A node's share is the time in which it should answer. It follows from two things that finished runs tell: what the
node needs itself, and what comes after it on the path that decides when the run ends.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from statistics import fmean
from threading import Lock

from inframind.errors import ConfigError
from inframind.plugin.calls.forgetting import ForgettingMean
from inframind.plugin.calls.shape import steps_left
from inframind.plugin.calls.visits import (
    Timeline,
    Visit,
    needed_s,
    part_of,
    slowness,
    visit_of_part,
    visits_of,
)
from inframind.traces.query import TraceQuery
from inframind.traces.records import Trajectory
from inframind.traces.spans import GRAPH_KEY
from inframind.traces.store import TraceStore

LEAST_S = 0.001
"""What a node is taken to need at the very least; keeps every share above 0."""
LEAST_SLOWNESS = 0.1
"""No node is taken to be more than ten times as fast as predicted."""
AMPLE = 2.0
"""How many times its mean and spread the rest of a run is left before time counts as ample."""
_Time = tuple[float, float]
VISITS = 8
"""Visits of a node in one run that are told apart; later ones count as the last of these."""


@dataclass(frozen=True, kw_only=True)
class BudgetConfig:
    """How fast costs are learned, and how they are trusted."""

    half_life: float = 20.0
    """Observations after which one counts half."""
    least_spread: float = 0.25
    """Spread of a time as a share of its mean, at the least: few observations look more certain than they are."""
    kept: int = 4096
    """Nodes that are remembered, of all graphs together."""
    runs_read: int = 300
    """Latest runs that are read from a store."""

    def __post_init__(self) -> None:
        for name in ("half_life", "least_spread", "kept", "runs_read"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"budget.{name}", getattr(self, name), "use a positive number")


@dataclass(slots=True)
class _Cost:
    """What is known of a node: its own time, and by visit how long it lay idle, and what came after it."""

    own_s: ForgettingMean
    slowness: ForgettingMean
    idle_s: list[ForgettingMean] = field(default_factory=list)
    after_s: list[ForgettingMean] = field(default_factory=list)


class NodeCosts:
    """Learns what the nodes of each graph take, and splits budgets by it; may be used from several threads.

    Let R be what is left of the budget when a node begins, m the time until the next node can begin (the node's own
    calls, and the wait for a slower sibling that runs beside it), and a the time from there to the run's end, tools and
    all. Both are means over finished runs, the latest weighing most, s and t their spreads. Calls count with what they
    needed, not with what they took, see `needed_s`. Then the share is::

        R >= m + a:   m + (R - m - a) * s / (s + t)
        otherwise:    R * m / (m + a)

    With room, this is the split that makes the larger of two risks the smallest: that the node overruns its share, and
    that the rest overruns what it is left. By Cantelli's inequality either risk falls with its slack over its spread,
    so the larger is smallest where those are equal, which is slack in proportion to spread. Without room, everything is
    cut alike. The cases meet at R = m + a, and the share grows with R in both.

    So with room a node gets at least its mean (for latencies, which are skewed to the right, not below their median),
    and leaves the rest at least its own. The last node gets all that is left. A share is at most R, so whoever keeps to
    shares keeps to the budget. Where costs do not vary, both spreads are ``least_spread`` of their means, and the share
    is R * m / (m + a): in proportion.

    Parallel branches are not added up, because a is measured on the clock: a fast branch is allowed what the slowest
    beside it takes. A node that is visited again has an m and an a for each visit.

    Where more is left than the rest can need, decisions are not held to the share (`spare_s`): it would make a short
    node choose in haste where haste gains the run nothing.

    A share is time on the clock. Candidates are compared with it by predictions that do not know the node, so a node
    whose calls take three times what is predicted decides by a third of its share (`slowness`).

    A node of which no run has told what comes after it shares alike with the nodes on the longest path behind it,
    where the graph's shape was told (`know_shape`); else it may take all that is left.

    Args:
        config: how fast costs are learned.
        is_careful: whether decisions hold the 90 % quantile against a share, see `slowness`.
    """

    def __init__(self, config: BudgetConfig | None = None, *, is_careful: bool = False) -> None:
        self._config, self._is_careful = config or BudgetConfig(), is_careful
        self._costs: OrderedDict[tuple[str, str], _Cost] = OrderedDict()
        self._steps_left: OrderedDict[str, Mapping[str, int]] = OrderedDict()
        self._lock = Lock()

    # Sharing --------------------------------------------------------------------------------------------

    def share_s(self, graph: str, node: str, remaining_s: float, visit: int = 0) -> float:
        """Seconds that a node should keep to: above 0, and at most ``remaining_s``.

        Args:
            graph: name of the graph.
            node: the node that begins.
            remaining_s: what is left of the run's budget; positive.
            visit: how often the node has been visited in this run before.
        """
        known = self._known(graph, node, visit)
        if known is None:
            return remaining_s / self._steps_left.get(graph, {}).get(node, 1)
        return split(remaining_s, *known)

    def spare_s(self, graph: str, node: str, remaining_s: float, visit: int = 0) -> float:
        """Seconds beyond twice what the rest of the run needs; 0 where nothing is known.

        A share balances two risks. Where time is ample there is none to balance, and a node may decide by this instead.
        """
        known = self._known(graph, node, visit)
        if known is None:
            return 0.0
        _, (rest_s, rest_spread_s) = known
        return remaining_s - AMPLE * (rest_s + rest_spread_s)

    def _known(self, graph: str, node: str, visit: int) -> tuple[_Time, _Time] | None:
        """Mean and spread of a node's own time, and of what comes after it."""
        with self._lock:
            cost = self._costs.get((graph, node))
            if cost is None or not cost.after_s:
                return None
            place, least = _nearest(visit, cost.after_s), self._config.least_spread
            own_s, idle_s, after_s = cost.own_s, cost.idle_s[place], cost.after_s[place]
            mean_s, rest_s = max(own_s.mean + idle_s.mean, LEAST_S), after_s.mean
            return (
                (mean_s, max(own_s.spread, least * mean_s)),
                (rest_s, max(after_s.spread, least * rest_s)),
            )

    def known_s(self, graph: str, node: str) -> float | None:
        """Mean seconds that a node's calls need, or None before the first."""
        with self._lock:
            cost = self._costs.get((graph, node))
            return cost.own_s.mean if cost is not None and cost.own_s.weight else None

    def slowness(self, graph: str, node: str) -> float:
        """What a node's calls take over what is predicted for them, mean and spread; at least 0.1, 1 where unknown."""
        with self._lock:
            cost = self._costs.get((graph, node))
            if cost is None or not cost.slowness.weight:
                return 1.0
            return max(cost.slowness.mean + cost.slowness.spread, LEAST_SLOWNESS)

    @property
    def known_nodes(self) -> int:
        """Number of nodes that are remembered, of all graphs."""
        return len(self._costs)

    # Learning -------------------------------------------------------------------------------------------

    def know_shape(self, graph: str, edges: Iterable[tuple[str, str]]) -> None:
        """Be told a graph's edges; they count until a run has shown what its nodes take."""
        left = steps_left(edges)
        with self._lock:
            self._steps_left[graph] = left
            self._steps_left.move_to_end(graph)
            if len(self._steps_left) > self._config.kept:
                self._steps_left.popitem(last=False)

    def note_node(self, graph: str, node: str, needed_s: float, slowness: float | None = None) -> None:
        """Learn what a call of a node needed, and how much slower than predicted it was."""
        with self._lock:
            cost = self._cost(graph, node)
            cost.own_s.note(max(needed_s, 0.0))
            if slowness is not None:
                cost.slowness.note(slowness)

    def note_run(self, graph: str, visits: Sequence[Visit]) -> None:
        """Learn from a finished run what came after each visit; the order of ``visits`` does not matter."""
        run = Timeline.of(visits)
        with self._lock:
            for node, calls in groupby(sorted(run.visits), key=lambda visit: visit.node):
                self._note_visits(self._cost(graph, node), list(calls), run)

    async def learn_from(self, store: TraceStore) -> None:
        """Learn from the latest runs in a store what a process before this one knew.

        Raises:
            StoreError: the store fails.
        """
        latest = [trajectory async for trajectory in store.iter(TraceQuery(limit=self._config.runs_read))]
        parts: dict[str, list[tuple[str, Trajectory]]] = {}
        for trajectory in latest:
            if part := part_of(trajectory):
                parts.setdefault(part[0], []).append((part[1], trajectory))
        for trajectory in reversed(latest):
            self._learn_run(trajectory, parts.get(trajectory.trace_id, ()))

    def _learn_run(self, trajectory: Trajectory, parts: Sequence[tuple[str, Trajectory]]) -> None:
        graph = trajectory.metadata.get(GRAPH_KEY)
        if not isinstance(graph, str) or trajectory.topology:
            return
        visits = visits_of(trajectory.steps, trajectory.decisions)
        visits += [visit_of_part(part, node, trajectory.arrived_at_s) for node, part in parts]
        by_id = {decision.decision_id: decision for decision in trajectory.decisions}
        for step in (step for step in trajectory.steps if not step.error):
            decision = by_id.get(step.decision_id)
            slow = slowness(step, decision, is_careful=self._is_careful)
            self.note_node(graph, step.node, needed_s(step, decision), slow)
        for visit in visits[len(visits) - len(parts) :]:
            self.note_node(graph, visit.node, visit.needed_s)
        if trajectory.status in ("ok", "late"):
            self.note_run(graph, visits)

    def _note_visits(self, cost: _Cost, calls: Sequence[Visit], run: Timeline) -> None:
        """Learn of one node's calls: those of one visit, side by side, count as one observation."""
        ended_s = sorted(call.finished_s for call in calls)
        by_visit: dict[int, list[tuple[float, float]]] = {}
        for call in calls:
            visit = min(bisect_right(ended_s, call.started_s), VISITS - 1)
            by_visit.setdefault(visit, []).append(run.behind(call))
        for number, seen in sorted(by_visit.items()):
            while len(cost.after_s) <= number:
                cost.idle_s.append(ForgettingMean(self._config.half_life))
                cost.after_s.append(ForgettingMean(self._config.half_life))
            cost.idle_s[number].note(fmean(idle_s for idle_s, _ in seen))
            cost.after_s[number].note(fmean(after_s for _, after_s in seen))

    def _cost(self, graph: str, node: str) -> _Cost:
        key = (graph, node)
        cost = self._costs.get(key)
        if cost is None:
            cost = self._costs[key] = _Cost(
                own_s=ForgettingMean(self._config.half_life), slowness=ForgettingMean(self._config.half_life)
            )
            if len(self._costs) > self._config.kept:
                self._costs.popitem(last=False)
        self._costs.move_to_end(key)
        return cost


def _nearest(visit: int, after_s: Sequence[ForgettingMean]) -> int:
    """The latest visit up to this one that runs have told of, else the first that they have.

    Visits are counted in calls that ended, so after calls side by side the next visit has a number some steps ahead.
    """
    told = [place for place, known in enumerate(after_s) if known.weight]
    return max((place for place in told if place <= visit), default=told[0])


def split(remaining_s: float, node: tuple[float, float], rest: tuple[float, float]) -> float:
    """A node's part of what is left, see `NodeCosts`.

    Args:
        remaining_s: what is left.
        node: mean and spread of the node's time in seconds; positive.
        rest: mean and spread of what comes after it; 0 for the last node.
    """
    (mean_s, spread_s), (rest_s, rest_spread_s) = node, rest
    if not rest_s and not rest_spread_s:
        return remaining_s
    slack_s = remaining_s - mean_s - rest_s
    if slack_s < 0:
        return remaining_s * (mean_s / (mean_s + rest_s))
    # Rounding must not give out more than there is.
    return min(remaining_s, mean_s + slack_s * spread_s / (spread_s + rest_spread_s))
