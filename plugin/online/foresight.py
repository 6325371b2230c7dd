"""What recorded runs say of a version before it serves any: off-policy evaluation of its steps beside another's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inframind.errors import ConfigError
from inframind.router.actions import ActionSpace
from inframind.router.online.protocol import Label
from inframind.router.ope.estimate import Estimate, NoSupport
from inframind.router.ope.evaluation import OpeConfig, compare
from inframind.router.policy_file import StoredPolicy
from inframind.traces.records import Trajectory

LATEST = 500
"""Labelled runs that are asked about, the latest ones."""


def foreseen(
    new: StoredPolicy,
    old: StoredPolicy,
    runs: Sequence[Trajectory],
    labels: Mapping[str, Label],
    *,
    actions: ActionSpace,
    exploration: float,
) -> Estimate | NoSupport | None:
    """By how much more of these runs would have been right and in time; None where none can be asked about.

    Args:
        new: a version.
        old: another.
        runs: finished runs of any policies.
        labels: by trace id; runs without one are left out.
        actions: what may be chosen.
        exploration: share of decisions that both draw evenly.
    """
    solved = {run.trace_id: labels[run.trace_id].solved for run in runs if run.trace_id in labels}
    if not solved:
        return None
    config = OpeConfig(level="step", methods=("dr",), exploration=exploration)
    try:
        found = compare(new.bind(actions), old.bind(actions), runs, solved, actions=actions, config=config)
    except ConfigError:  # of none of them everything can be rebuilt
        return None
    return found.best
