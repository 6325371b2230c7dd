"""How what is left of a run's budget is split over the nodes that are still to come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from inframind.plugin.calls.visits import Visit
from inframind.traces.store import TraceStore


class NodeShares(Protocol):
    """Splits what is left of a run's budget over the nodes that are still to come."""

    def share_s(self, graph: str, node: str, remaining_s: float, visit: int = 0) -> float:
        """Seconds that this node should keep to, at most ``remaining_s``; ``visit`` counts its earlier visits."""
        ...

    def spare_s(self, graph: str, node: str, remaining_s: float, visit: int = 0) -> float:
        """Seconds beyond all that the rest of the run can need; 0 or less where there are none."""
        ...

    def slowness(self, graph: str, node: str) -> float:
        """What a node's calls take over what is predicted for them; positive."""
        ...

    def note_node(self, graph: str, node: str, needed_s: float, slowness: float | None = None) -> None:
        """Learn of a call of a node, see `needed_s` and `slowness` in `inframind.plugin.calls.visits`."""
        ...

    def note_run(self, graph: str, visits: Sequence[Visit]) -> None:
        """Learn from a finished run: its calls, in any order."""
        ...

    def know_shape(self, graph: str, edges: Iterable[tuple[str, str]]) -> None:
        """Be told a graph's edges, before any of its runs has ended."""
        ...

    async def learn_from(self, store: TraceStore) -> None:
        """Learn from the runs that a store holds."""
        ...


class AllThatIsLeft:
    """Every node may take all that is left: what holds where nothing is known of the graph."""

    def share_s(self, graph: str, node: str, remaining_s: float, visit: int = 0) -> float:
        """What is left."""
        return remaining_s

    def spare_s(self, graph: str, node: str, remaining_s: float, visit: int = 0) -> float:
        """What is left."""
        return remaining_s

    def slowness(self, graph: str, node: str) -> float:
        """As predicted."""
        return 1.0

    def note_node(self, graph: str, node: str, needed_s: float, slowness: float | None = None) -> None:
        """Nothing is learned."""

    def note_run(self, graph: str, visits: Sequence[Visit]) -> None:
        """Nothing is learned."""

    def know_shape(self, graph: str, edges: Iterable[tuple[str, str]]) -> None:
        """Nothing is learned."""

    async def learn_from(self, store: TraceStore) -> None:
        """Nothing is learned."""
