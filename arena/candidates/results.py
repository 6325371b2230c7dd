"""What came of each job, and how it is kept: one line of JSON each, exact to the last digit."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from inframind.traces.advice import Prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One thing to do for one candidate.

    Attributes:
        candidate: its name.
        seed: of the workload; None where it is recorded.
        rate_per_min: arrivals a minute; None likewise.
    """

    candidate: str
    seed: int | None = None
    rate_per_min: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedFigures:
    """What a workload came to under a candidate. Shares and means are over all questions that were offered.

    Attributes:
        offered: questions.
        success: right and in time.
        solved: right.
        on_time: in time.
        failed: without an answer for another reason than time.
        latency_s: mean seconds from the planned arrival to the answer or the error.
        latency_p95_s: their 95 % quantile.
        cost: mean cost of the runs of which it is known; None where it is of none.
        completion_tokens: mean number.
        applied: questions for which a rule of the candidate's masked something, or kept a server from being called
            first; None where it is another configuration.
    """

    offered: int
    success: float
    solved: float
    on_time: float
    failed: float
    latency_s: float
    latency_p95_s: float
    cost: float | None
    completion_tokens: float
    applied: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """What came of a job: figures of a workload, predictions from recorded runs, or an error.

    Attributes:
        job: which.
        figures: where it was simulated.
        predictions: where it was recorded, one per metric.
        error: class and message of what went wrong, or "".
    """

    job: Job
    figures: PlayedFigures | None = None
    predictions: tuple[Prediction, ...] = ()
    error: str = ""

    def to_line(self) -> bytes:
        """One line of JSON with its end."""
        return _ADAPTER.dump_json(self) + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> JobResult | None:
        """What `to_line` gave, or None where it is something else."""
        try:
            return _ADAPTER.validate_json(line)
        except ValidationError:
            return None


_ADAPTER: TypeAdapter[JobResult] = TypeAdapter(JobResult)
