"""What a trained pacer sees, as numbers: sole owner of the columns' order, versioned.

The same row comes out of the view that is served and of the decision that was stored, so that a pacer learns from
what it will be shown. F = columns.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np

from inframind.router.views import Array, PaceView
from inframind.traces.records import Decision, Trajectory

PACE_FEATURES_VERSION = "1"
TOPOLOGY_BUCKETS = 8
"""Columns that topologies are hashed into, so that one that nobody has seen has a column too."""

PACE_COLUMNS = (
    "agreement",
    "agreement_known",
    "all_agree",
    "stagnation",
    "stagnation_known",
    "round",
    "rounds_left",
    "log_remaining",
    "log_budget",
    "log_remaining_over_round",
    "team_size",
    "team_size_known",
    *(f"topology_{bucket}" for bucket in range(TOPOLOGY_BUCKETS)),
)
"""Columns of a pacer's row.

``agreement_known`` is 0 for a single agent, who has nobody to agree with; ``stagnation_known`` is 0 after the first
round, which nothing came before; ``team_size`` is 0 where the graph did not say. ``log_remaining_over_round`` is the
time left over the predicted cost of one more round, within `LONGEST_LOG_RATIO` either way.
"""

LONGEST_LOG_RATIO = 6.0
"""Logarithm at which time left over the cost of a round is cut: beyond a factor of 400 nothing is told apart."""
LEAST_S = 1e-3
"""Times below a millisecond count as one, since their logarithm has no end."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What both a view and a stored decision know."""

    topology: str
    team_size: int | None
    round: int
    rounds_left: int
    agreement: float
    stagnation: float
    budget_s: float
    remaining_s: float
    round_q90_s: float


def pace_features(view: PaceView) -> Array:
    """One row (F) from what the pacer is shown."""
    return _row(
        _Seen(
            view.topology.name,
            view.team_size,
            view.round,
            view.rounds_left,
            view.agreement,
            view.stagnation,
            view.budget_s,
            view.remaining_s,
            view.round_q90_s,
        )
    )


def recorded_pace_features(decision: Decision, trajectory: Trajectory) -> Array:
    """The same row (F) from a stored decision and the trajectory that it belongs to.

    Raises:
        ValueError: the decision is not about pacing, or was stored without what the columns need.
    """
    seen, round_number = decision.seen, decision.choice.get("round")
    if decision.kind != "pace" or round_number is None or "rounds_left" not in seen:
        raise ValueError(
            f"decision {decision.decision_id!r} ({decision.kind}) lacks a pacer's columns: "
            "learn from pace decisions that store round and rounds_left"
        )
    round_q90_s = seen["round_q90_s"]
    return _row(
        _Seen(
            trajectory.topology,
            seen.get("team_size"),
            round_number,
            seen["rounds_left"],
            seen["agreement"],
            seen["stagnation"],
            trajectory.budget_s,
            seen["remaining_s"],
            math.inf if round_q90_s is None else round_q90_s,
        )
    )


def topology_bucket(name: str) -> int:
    """Which of the `TOPOLOGY_BUCKETS` columns a topology falls into: its CRC-32, modulo their number."""
    return zlib.crc32(name.encode()) % TOPOLOGY_BUCKETS


def _row(seen: _Seen) -> Array:
    is_known = seen.team_size != 1
    remaining_s = max(seen.remaining_s, LEAST_S)
    ratio = (
        math.log(remaining_s / max(seen.round_q90_s, LEAST_S)) if seen.round_q90_s < math.inf else -math.inf
    )
    row = [
        seen.agreement if is_known else 0.0,
        float(is_known),
        float(is_known and seen.agreement == 1.0),
        seen.stagnation,
        float(seen.round > 1),
        float(seen.round),
        float(seen.rounds_left),
        math.log(remaining_s),
        math.log(max(seen.budget_s, LEAST_S)),
        min(max(ratio, -LONGEST_LOG_RATIO), LONGEST_LOG_RATIO),
        float(seen.team_size or 0),
        float(seen.team_size is not None),
        *_NO_TOPOLOGY,
    ]
    row[len(PACE_COLUMNS) - TOPOLOGY_BUCKETS + topology_bucket(seen.topology)] = 1.0
    return np.array(row)


_NO_TOPOLOGY = (0.0,) * TOPOLOGY_BUCKETS
