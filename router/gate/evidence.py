"""What a trial has shown so far: running sums, from which nothing has to be looked up again.

The difference between two versions is estimated by the score

    s_i = (Z_i - e_i) (y_i - m_i),        E[s_i | all before] = e_i (1 - e_i) * improvement,

where Z_i says whether the candidate served run i, e_i is the probability with which it did, y_i is the outcome and m_i
any guess of it made beforehand. Shares may change and the world may drift: every run is compared with its own time
(Robinson's residuals, "Root-N-consistent semiparametric regression", 1988, with a known propensity). A good guess makes
intervals narrower (CUPED: Deng et al., WSDM 2013) and a bad one cannot bias them.

The outcome of a run is whether it was right *and* in time. A late or failed run is a zero, whoever graded it. Of the
runs in time only a share q is graded; with r_i a guess of being right, made beforehand, their outcome is

    y_i = r_i + heard_i / q (right_i - r_i),

which is right_i where all are graded. What votes more often on bad answers than on good ones, but on both arms alike,
changes the size of an estimate and not its sign.

Where a change concerns some runs alone, and that is known of a run before anything is decided, all others are decided
alike by both versions: their true score is zero, and is taken for that. The sum of s over the runs concerned, divided
by the sum of w over all, estimates the same difference over all runs, with the variance of the runs concerned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from inframind.router.confidence import Moments
from inframind.router.gate.arms import Arm
from inframind.router.gate.runs import Array, GateRun, RunColumns

_ARMS: tuple[Arm, Arm] = ("serving", "candidate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How a version did.

    Attributes:
        runs: it served.
        on_time: of them, answered in time.
        failed: of them, ended with an error.
        labelled: of them, in time and graded.
        solved: sum of those grades.
        latency_s: sum of latencies.
    """

    runs: int = 0
    on_time: float = 0.0
    failed: float = 0.0
    labelled: int = 0
    solved: float = 0.0
    latency_s: float = 0.0

    def plus(self, runs: RunColumns) -> Record:
        """With these runs, whoever served them."""
        in_time = runs.on_time > 0
        heard = in_time & ~np.isnan(runs.solved)
        return Record(
            runs=self.runs + len(runs.share),
            on_time=self.on_time + float(in_time.sum()),
            failed=self.failed + float(runs.failed.sum()),
            labelled=self.labelled + int(heard.sum()),
            solved=self.solved + float(runs.solved[heard].sum()),
            latency_s=self.latency_s + float(runs.latency_s.sum()),
        )

    @property
    def on_time_share(self) -> float:
        """Of its runs; 0 without any."""
        return self.on_time / self.runs if self.runs else 0.0

    @property
    def failed_share(self) -> float:
        """Of its runs; 0 without any."""
        return self.failed / self.runs if self.runs else 0.0

    @property
    def success_share(self) -> float:
        """Right and in time, of its runs: in time, times right among those graded; 0 without any."""
        return self.on_time_share * self.solved / self.labelled if self.labelled else 0.0

    def moments(self, share: float) -> Moments:
        """Of an outcome of 1 or 0 that this share of its runs had."""
        return Moments(self.runs, share, self.runs * share * (1 - share))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Sums of the scores s_i and of what a run tells, ``w_i = e_i (1 - e_i)``.

    Attributes:
        total: sum of s.
        information: sum of w.
        squares: sum of s^2.
        cross: sum of s w.
        weights: sum of w^2.
    """

    total: float = 0.0
    information: float = 0.0
    squares: float = 0.0
    cross: float = 0.0
    weights: float = 0.0

    def plus(self, surprise: Array, runs: RunColumns, where: NDArray[np.bool_] | None = None) -> Scores:
        """With these runs, of outcomes that differ so much from their guesses (N); only those where it says so."""
        s = (runs.is_candidate - runs.share) * surprise
        w = runs.share * (1 - runs.share)
        if where is not None:
            s, w = s[where], w[where]
        return Scores(
            total=self.total + float(s.sum()),
            information=self.information + float(w.sum()),
            squares=self.squares + float(s @ s),
            cross=self.cross + float(s @ w),
            weights=self.weights + float(w @ w),
        )

    def among(self, everything: Scores) -> Scores:
        """The same as scores of all runs, of which those that are not here are zero."""
        return replace(self, information=everything.information)

    @property
    def gap(self) -> float:
        """Estimated difference, the candidate's less the other's; 0 while nothing is known."""
        return self.total / self.information if self.information else 0.0

    @property
    def variance(self) -> float:
        """Of the sum: squared deviations of the scores from what the estimate makes of them."""
        gap = self.gap
        return max(self.squares - 2 * gap * self.cross + gap * gap * self.weights, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A running straight line through outcomes, to guess the next ones by; begins at one half.

    Attributes:
        n: number of outcomes.
        y: their sum.
        n_x: how many of them came with a prediction.
        x: sum of the predictions.
        xx: of their squares.
        x_y: of those outcomes.
        xy: of the products.
    """

    n: float = 0.0
    y: float = 0.0
    n_x: float = 0.0
    x: float = 0.0
    xx: float = 0.0
    x_y: float = 0.0
    xy: float = 0.0

    def plus(self, x: Array, y: Array) -> Line:
        """With these outcomes; a NaN prediction is none."""
        known = ~np.isnan(x)
        seen, with_x = x[known], y[known]
        return Line(
            n=self.n + len(y),
            y=self.y + float(y.sum()),
            n_x=self.n_x + len(seen),
            x=self.x + float(seen.sum()),
            xx=self.xx + float(seen @ seen),
            x_y=self.x_y + float(with_x.sum()),
            xy=self.xy + float(seen @ with_x),
        )

    def guess(self, x: Array) -> Array:
        """The line at these predictions, the mean where there is none (N)."""
        mean = (self.y + 0.5) / (self.n + 1)
        if not self.n_x:
            return np.full(len(x), mean)
        middle = self.x / self.n_x
        spread = self.xx - self.n_x * middle**2
        slope = (self.xy - middle * self.x_y) / (spread + 1)
        return mean + slope * np.nan_to_num(x - middle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that is known of a candidate, and of the version that serves beside it.

    Attributes:
        version: the candidate.
        records: how both did.
        runs_at: runs by the candidate's share, as text with three digits.
        success: scores of being right and in time.
        on_time: scores of being in time, labelled or not.
        failed: scores of failing.
        heard: scores of being graded, among runs in time.
        guesses: lines through success, being right, and being in time.
        concerned: the same of the runs alone that the versions could decide otherwise; None where that is all runs, or
            was not told apart when the evidence began.
    """

    version: str
    records: Mapping[Arm, Record] = field(default_factory=lambda: {arm: Record() for arm in _ARMS})
    runs_at: Mapping[str, int] = field(default_factory=dict)
    success: Scores = field(default_factory=Scores)
    on_time: Scores = field(default_factory=Scores)
    failed: Scores = field(default_factory=Scores)
    heard: Scores = field(default_factory=Scores)
    guesses: tuple[Line, Line, Line] = (Line(), Line(), Line())
    concerned: Evidence | None = None

    @classmethod
    def begin(cls, version: str, *, is_local: bool = False) -> Self:
        """None yet of a candidate, which differs everywhere or, ``is_local``, for some runs alone."""
        return cls(version=version, concerned=Evidence(version=version) if is_local else None)

    @property
    def proof(self) -> Scores:
        """Scores of being right and in time from the runs that the versions could decide otherwise, as of all runs."""
        return self.success if self.concerned is None else self.concerned.success.among(self.success)

    @property
    def graded(self) -> int:
        """Graded runs of the version that has fewer of them."""
        return min(record.labelled for record in self.records.values())

    @property
    def runs(self) -> int:
        """Of both, those in the shadow included."""
        return sum(record.runs for record in self.records.values())

    @property
    def heard_share(self) -> float:
        """Share of the runs in time that are graded; 0 while there are none."""
        in_time = sum(record.on_time for record in self.records.values())
        return sum(record.labelled for record in self.records.values()) / in_time if in_time else 0.0

    def at(self, share: float) -> int:
        """Runs while the candidate had this share."""
        return self.runs_at.get(_share_key(share), 0)

    def plus(self, runs: Sequence[GateRun] | RunColumns) -> Evidence:
        """With more runs, in the order in which they began, each given once and only when it is settled.

        Settled is a run that was late or failed, or is graded, or is so old that no grade is expected. Giving graded
        runs before older ones that may still be graded would count the former twice over.
        """
        batch = runs if isinstance(runs, RunColumns) else RunColumns.of(runs)
        if not len(batch.share):
            return self
        of_success, of_right, of_on_time = self.guesses
        heard = (batch.on_time > 0) & ~np.isnan(batch.solved)
        outcome = self._outcome(batch, heard, of_right.guess(batch.expected))
        return replace(
            self,
            records={arm: record.plus(_of_arm(batch, arm)) for arm, record in self.records.items()},
            runs_at=_counted(self.runs_at, batch.share),
            success=self.success.plus(outcome - of_success.guess(batch.expected), batch),
            on_time=self.on_time.plus(batch.on_time - of_on_time.guess(batch.expected), batch),
            failed=self.failed.plus(batch.failed - self._failed_share(), batch),
            heard=self.heard.plus(heard.astype(np.float64) - self._likely_heard(), batch, batch.on_time > 0),
            guesses=(
                of_success.plus(batch.expected, outcome),
                of_right.plus(batch.expected[heard], batch.solved[heard]),
                of_on_time.plus(batch.expected, batch.on_time),
            ),
            concerned=self.concerned.plus(batch.concerned_ones()) if self.concerned else None,
        )

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        scores = {name: Scores(**data[name]) for name in ("success", "on_time", "failed", "heard")}
        success, right, on_time = (Line(**line) for line in data["guesses"])
        return cls(
            version=data["version"],
            records={arm: Record(**data["records"][arm]) for arm in _ARMS},
            runs_at=dict(data["runs_at"]),
            guesses=(success, right, on_time),
            concerned=cls.from_json(data["concerned"]) if data.get("concerned") else None,
            **scores,
        )

    def _outcome(self, batch: RunColumns, heard: NDArray[np.bool_], right: Array) -> Array:
        said = np.where(heard, (np.nan_to_num(batch.solved) - right) / self._likely_heard(), 0.0)
        return np.where(batch.on_time > 0, right + said, 0.0)

    def _likely_heard(self) -> float:
        in_time = sum(record.on_time for record in self.records.values())
        return (sum(record.labelled for record in self.records.values()) + 1) / (in_time + 1)

    def _failed_share(self) -> float:
        return sum(record.failed for record in self.records.values()) / max(self.runs, 1)


def _of_arm(runs: RunColumns, arm: Arm) -> RunColumns:
    return runs.only(runs.is_candidate == (arm == "candidate"))


def _counted(before: Mapping[str, int], shares: Array) -> dict[str, int]:
    after = dict(before)
    for share, n in zip(*np.unique(shares, return_counts=True), strict=True):
        after[_share_key(share)] = after.get(_share_key(share), 0) + int(n)
    return after


def _share_key(share: float) -> str:
    return f"{share:.3f}"
