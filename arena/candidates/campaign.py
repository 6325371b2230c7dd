"""Every candidate on the same traffic: here, in worker processes or on a cluster, some at a time, and resumable.

A job is one candidate on one workload, or on all recorded runs. Jobs share nothing but the traffic, which is plain
data and a seed; so what comes of them does not depend on where, in which order, or after how many interruptions they
are done.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from inframind import __version__
from inframind.arena.candidates.candidate import AS_IT_IS, Candidate, Refused, Setup, checked
from inframind.arena.candidates.folder import CandidateFolder
from inframind.arena.candidates.results import Job, JobResult
from inframind.arena.engines import LOCAL, EngineConfig
from inframind.errors import ConfigError, InfraMindError

LAYOUT = 1
"""Of the folder's files."""
BATCH = 50
"""Candidates that are tried at a time."""


class Traffic(Protocol):
    """What candidates are tried on; picklable."""

    @property
    def baseline(self) -> Setup:
        """The configuration that candidates are compared with."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """What it is, as plain data: results of other facts are other results."""
        ...

    def jobs(self, candidate: Candidate) -> Sequence[Job]:
        """What there is to do for a candidate; the more telling first."""
        ...

    def jobs_apiece(self, jobs: int, workers: int) -> int:
        """How many of so many jobs a worker is handed at once."""
        ...

    def play(self, candidate: Candidate, job: Job) -> JobResult:
        """Do one job.

        Raises:
            InfraMindError: the candidate cannot be tried.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is evaluated.

    Attributes:
        traffic: what candidates are tried on.
        candidates: those that can be tried.
        refused: those that cannot.
        batch: how many are tried at a time.
    """

    traffic: Traffic
    candidates: tuple[Candidate, ...]
    refused: tuple[Refused, ...] = ()
    batch: int = BATCH

    @classmethod
    def of(
        cls,
        candidates: Sequence[Candidate],
        traffic: Traffic,
        *,
        refused: Sequence[Refused] = (),
        batch: int = BATCH,
    ) -> Plan:
        """With every candidate looked at first.

        Args:
            candidates: in the order in which they are tried.
            traffic: what they are tried on.
            refused: those that were found impossible before.
            batch: how many are tried at a time.

        Raises:
            ConfigError: no candidate at all, or fewer than one at a time.
        """
        if batch < 1:
            raise ConfigError("batch", batch, "try at least one candidate at a time")
        if not candidates and not refused:
            raise ConfigError(
                "candidates", 0, "give at least one: a recommendation, a file of rules, or a grid"
            )
        fine, wrong = checked(candidates, traffic.baseline)
        return cls(traffic=traffic, candidates=fine, refused=(*refused, *wrong), batch=batch)

    def document(self) -> dict[str, Any]:
        """What an evaluation that goes on must have in common with the one that was interrupted."""
        return {
            "layout": LAYOUT,
            "version": __version__,
            "traffic": self.traffic.facts(),
            "candidates": {one.name: one.digest for one in self.candidates},
            "refused": {one.name: one.reason for one in self.refused},
        }

    def batches(self) -> Iterator[list[tuple[Candidate, Job]]]:
        """Jobs of some candidates at a time, the baseline's with the first; every workload by all before the next."""
        everyone = (Candidate(name=AS_IT_IS), *self.candidates)
        for begin in range(0, max(len(everyone) - 1, 1), self.batch):
            first = begin + 1 if begin else 0
            some = everyone[first : begin + 1 + self.batch]
            by_place = zip(*(self.traffic.jobs(one) for one in some), strict=True)
            yield [pair for jobs in by_place for pair in zip(some, jobs, strict=True)]

    @property
    def total(self) -> int:
        """Number of jobs."""
        return sum(map(len, self.batches()))


OnResult = Callable[[JobResult], None]


def evaluate_candidates(
    plan: Plan,
    folder: CandidateFolder,
    *,
    engine: EngineConfig = LOCAL,
    on_result: OnResult = lambda result: None,
) -> Mapping[Job, JobResult]:
    """Do what is not done yet; every result is on disk before anybody is told.

    An error that is the candidate's own becomes its result. Whatever else ends the evaluation (a kill, Ctrl-C, a
    worker that dies) leaves a folder that goes on from there.

    Args:
        plan: what is evaluated.
        folder: where results are kept; `CandidateFolder.opened` with the plan's document.
        engine: where jobs run. The results are the same.
        on_result: told of each result, those that were there first.

    Returns:
        All results, by job.
    """
    done = dict(folder.done)
    for result in done.values():
        on_result(result)
    batches = [[pair for pair in batch if pair[1] not in done] for batch in plan.batches()]
    left = sum(map(len, batches))
    if not left:
        return done
    with engine.open(left) as opened:
        for batch in filter(None, batches):
            pieces = _pieces(plan.traffic, batch, _workers(engine))
            for _, results in opened.run(play_piece, [(plan.traffic, piece) for piece in pieces]):
                folder.keep(results)
                done.update({result.job: result for result in results})
                for result in results:
                    on_result(result)
    return done


def _workers(engine: EngineConfig) -> int:
    """How many there are, as far as that is known here."""
    return engine.workers or (1 if engine.name == "local" else _OF_A_CLUSTER)


_OF_A_CLUSTER = 8
Piece = Sequence[tuple[Candidate, Job]]


def _pieces(traffic: Traffic, batch: Piece, workers: int) -> list[Piece]:
    size = traffic.jobs_apiece(len(batch), workers)
    return [batch[begin : begin + size] for begin in range(0, len(batch), size)]


def play_piece(traffic: Traffic, piece: Piece) -> list[JobResult]:
    """Some jobs, one after the other."""
    return [_played(traffic, candidate, job) for candidate, job in piece]


def _played(traffic: Traffic, candidate: Candidate, job: Job) -> JobResult:
    try:
        return traffic.play(candidate, job)
    except InfraMindError as error:
        return JobResult(job=job, error=_said(error))
    except Exception as error:  # noqa: BLE001 - a fault of ours ends this candidate alone, and says where it is
        place = traceback.extract_tb(error.__traceback__)[-1]
        return JobResult(job=job, error=f"{_said(error)} ({Path(place.filename).name}:{place.lineno})")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
