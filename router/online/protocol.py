"""What learns while it serves: ours, and whatever it is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from inframind.router.actions import ActionSpace
from inframind.router.policy import Policy
from inframind.traces.records import Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What feedback says of a run, after the guards have looked at it.

    Attributes:
        solved: 1 or 0, or a calibrated probability.
        weight: how much it counts, above 0 and at most 1: less for sources that are not trusted much.
        source: who says so.
    """

    solved: float
    weight: float = 1.0
    source: str = "api"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledRun:
    """A finished run, learned from once.

    Attributes:
        run: the trace.
        label: what feedback says; None when it has none and is too old to get any: that is not a zero.
    """

    run: Trajectory
    label: Label | None


class OnlineRouting(Protocol):
    """Learns from finished runs, and gives the policy that it would serve; deterministic by its seed."""

    @property
    def name(self) -> str:
        """Name in tables and traces."""
        ...

    def behaviour(self) -> Policy:
        """The policy as it is now, exploring as it would in production."""
        ...

    def learn(self, runs: Sequence[LabelledRun]) -> Mapping[str, float]:
        """Learn from runs of whatever policies served, in the order in which they matured; figures for a curve."""
        ...

    def welcome(self, actions: ActionSpace) -> None:
        """Models or strategies came or went: go on over these."""
        ...
