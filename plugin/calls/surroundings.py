"""Routed graphs inside applications: they keep to their node's share of the run, and the run knows what they took."""

from __future__ import annotations

from collections.abc import Mapping

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.runnables import RunnableConfig

from inframind.errors import DeadlineExceeded
from inframind.fleet.clock import Clock
from inframind.graphs.budget_share import BudgetShare
from inframind.plugin.calls.runs import Runs
from inframind.plugin.calls.scope import RunScope
from inframind.plugin.calls.site import way_to
from inframind.plugin.calls.visits import part_of, visit_of_part
from inframind.traces.records import Trajectory

ALONE = "routed"
"""What a routed graph is called that is no node of another graph."""
SOFT_PART = 0.1
"""Part of a soft budget that a routed graph may take, though less or nothing is left.

A single call goes on after a soft budget is spent. A routed graph ends at its deadline, so it needs one to come.
"""


class Surroundings:
    """Tells routed graphs what their node's share is, and runs what their routed graphs took.

    Args:
        runs: the runs in progress.
        clock: time.
    """

    def __init__(self, runs: Runs, clock: Clock) -> None:
        self._runs, self._clock = runs, clock

    def share_of(self, config: RunnableConfig) -> BudgetShare | None:
        """The share of the node that a routed graph is, see `inframind.graphs.budget_share.ShareOf`."""
        scope = self._around(config)
        if scope is None or not scope.is_tracked:
            return None
        node = node_around(config.get("metadata") or {})
        share_s, run_s = (
            scope.share(node, self._clock).remaining_s(self._clock),
            scope.recorder.deadline.budget_s,
        )
        if scope.is_hard and share_s <= 0:
            scope.recorder.is_late = True
            raise DeadlineExceeded(scope.trace_id, run_s, scope.recorder.since_arrival_s())
        if not scope.is_hard:
            share_s = max(share_s, SOFT_PART * run_s)
        return BudgetShare(share_s=share_s, run_s=run_s, run_id=scope.trace_id, node=node)

    def _around(self, config: RunnableConfig) -> RunScope | None:
        manager = config.get("callbacks")
        if not isinstance(manager, BaseCallbackManager):
            return self._runs.around()
        return self._runs.around(manager.handlers, parent_run_id=manager.parent_run_id)

    def note_part(self, trajectory: Trajectory) -> None:
        """A trace was stored; where it is a part of a run in progress, the run learns how long it took."""
        part = part_of(trajectory)
        scope = self._runs.known(part[0]) if part else None
        if part is not None and scope is not None:
            scope.note_part(visit_of_part(trajectory, part[1], scope.recorder.arrived_at_s))


def node_around(metadata: Mapping[str, object]) -> str:
    """The node of the application's graph that a routed graph is, from the metadata of one of its own nodes."""
    names = way_to(metadata)
    return names[-2] if len(names) > 1 else ALONE
