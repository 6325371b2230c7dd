"""What the gate reads of finished runs: one by one, or as columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from inframind.router.gate.arms import Arm
from inframind.router.online.protocol import Label
from inframind.traces.records import Trajectory

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRun:
    """What the gate reads of a finished run.

    Attributes:
        arm: which version served it.
        share: probability with which the candidate would have; the roll-out's share when the run began.
        on_time: whether there was an answer within the budget.
        solved: whether it was right, 0 to 1; None where nobody said so.
        failed: whether it ended with an error.
        latency_s: seconds from arrival to answer.
        expected: P(right and in time) as the serving version's critic saw it when the run was planned, or None.
        is_concerned: whether the two versions could decide it otherwise, as far as that is known before anything is
            decided.
    """

    arm: Arm
    share: float
    on_time: bool
    solved: float | None = None
    failed: bool = False
    latency_s: float = 0.0
    expected: float | None = None
    is_concerned: bool = True


def gate_run(
    run: Trajectory,
    label: Label | None,
    *,
    arm: Arm,
    share: float,
    expected: float | None = None,
    least_weight: float = 0.5,
    is_concerned: bool = True,
) -> GateRun:
    """A finished run for the gate; labels that weigh less than ``least_weight`` are not listened to."""
    heard = label is not None and label.weight >= least_weight
    return GateRun(
        arm=arm,
        share=share,
        on_time=run.on_time,
        solved=label.solved if label is not None and heard else None,
        failed=run.status == "failed",
        latency_s=run.latency_s,
        expected=expected,
        is_concerned=is_concerned,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunColumns:
    """Runs in the order in which they began, as columns (N).

    Attributes:
        is_candidate: 1 where the candidate served, else 0.
        share: probability with which it would.
        on_time: 1 or 0.
        solved: 0 to 1; NaN where nobody said so.
        failed: 1 or 0.
        latency_s: seconds.
        expected: P(right and in time); NaN where nothing was predicted.
        concerned: 1 where the versions could decide otherwise, else 0; None where they always could.
    """

    is_candidate: Array
    share: Array
    on_time: Array
    solved: Array
    failed: Array
    latency_s: Array
    expected: Array
    concerned: Array | None = None

    @classmethod
    def of(cls, runs: Iterable[GateRun]) -> Self:
        """From single runs."""
        rows = [
            (
                run.arm == "candidate",
                run.share,
                run.on_time,
                np.nan if run.solved is None else run.solved,
                run.failed,
                run.latency_s,
                np.nan if run.expected is None else run.expected,
                run.is_concerned,
            )
            for run in runs
        ]
        columns = np.array(rows, dtype=np.float64).reshape(len(rows), len(_COLUMNS)).T
        return cls(**dict(zip(_COLUMNS, columns, strict=True)))

    def only(self, where: NDArray[np.bool_]) -> RunColumns:
        """Those where it says so (N)."""
        given = ((name, getattr(self, name)) for name in _COLUMNS)
        return RunColumns(**{name: column[where] for name, column in given if column is not None})

    def concerned_ones(self) -> RunColumns:
        """Those that the versions could decide otherwise."""
        return self if self.concerned is None else self.only(self.concerned > 0)


_COLUMNS = tuple(field.name for field in fields(RunColumns))
