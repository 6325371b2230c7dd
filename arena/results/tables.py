"""What an evaluation consists of: runs of contenders on the same workloads, and the facts of the scenario."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from inframind.arena.results.episodes import Episode
from inframind.errors import ConfigError

Fact = str | float | int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSample:
    """What one endpoint did at one instant.

    Attributes:
        t_s: seconds after the start of the run; all endpoints are sampled at the same instants.
        endpoint: its name.
        running: requests that hold a slot.
        waiting: requests in its queue.
        slots: requests that it can run at once.
    """

    t_s: float
    endpoint: str
    running: int
    waiting: int
    slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One contender on one workload.

    Attributes:
        contender: its name.
        family: what kind of thing it is; ``constant`` and ``oracle`` are marked as such in a report.
        seed: of the workload.
        rate_per_min: arrivals per minute.
        episodes: one per offered question, in order of arrival.
        timeline: samples of the load, ascending in time; may be empty.
    """

    contender: str
    family: str
    seed: int
    rate_per_min: float
    episodes: tuple[Episode, ...]
    timeline: tuple[LoadSample, ...] = ()

    def __post_init__(self) -> None:
        if not self.contender:
            raise ConfigError("contender", self.contender, "give every contender a name")
        if not self.rate_per_min > 0:
            raise ConfigError(
                "rate_per_min", self.rate_per_min, "give a positive number of arrivals per minute"
            )
        if not self.episodes:
            raise ConfigError(
                "episodes", (), f"the run of {self.contender!r} offered no question; offer some"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The best that anything could reach at a rate, from an argument rather than a run.

    Attributes:
        name: what it is called.
        rate_per_min: arrivals per minute.
        on_time_success: share of the offered questions, 0 to 1.
    """

    name: str
    rate_per_min: float
    on_time_success: float

    def __post_init__(self) -> None:
        if not 0 <= self.on_time_success <= 1:
            raise ConfigError("on_time_success", self.on_time_success, "give a share from 0 to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All runs of one scenario.

    Attributes:
        runs: every contender on every workload; a workload is a pair of seed and rate.
        facts: of the scenario, in the order in which they are shown: fleet, items, versions, command, machine ...
        bounds: what no contender can exceed.

    Raises:
        ConfigError: there are no runs, a run is there twice, a contender has two families, or two contenders did
            not run on the same workloads: their figures could not be compared.
    """

    runs: tuple[Run, ...]
    facts: Mapping[str, Fact] = field(default_factory=dict)
    bounds: tuple[Bound, ...] = ()

    def __post_init__(self) -> None:
        if not self.runs:
            raise ConfigError("runs", (), "an evaluation needs at least one run")
        families: dict[str, str] = {}
        workloads: dict[str, set[tuple[int, float]]] = {}
        for run in self.runs:
            if families.setdefault(run.contender, run.family) != run.family:
                raise ConfigError(
                    "family", run.family, f"{run.contender!r} has another family in another run"
                )
            done, workload = workloads.setdefault(run.contender, set()), (run.seed, run.rate_per_min)
            if workload in done:
                raise ConfigError(
                    "runs", (run.contender, *workload), "keep one run of a contender, seed and rate"
                )
            done.add(workload)
        _need_same_workloads(workloads)


def _need_same_workloads(workloads: Mapping[str, set[tuple[int, float]]]) -> None:
    first = next(iter(workloads))
    for contender, done in workloads.items():
        if odd := sorted(done ^ workloads[first]):
            seed, rate_per_min = odd[0]
            raise ConfigError(
                "runs",
                contender,
                f"run it on the same workloads as {first!r}: they differ at seed {seed}, {rate_per_min:g} per minute",
            )


def finished_runs(runs: Sequence[Run], contenders: int) -> tuple[Run, ...]:
    """Of an evaluation that was cut short: the runs of the workloads that all contenders have been through.

    Args:
        runs: those that are done.
        contenders: how many take part.
    """
    done: dict[tuple[int, float], set[str]] = {}
    for run in runs:
        done.setdefault((run.seed, run.rate_per_min), set()).add(run.contender)
    return tuple(run for run in runs if len(done[run.seed, run.rate_per_min]) == contenders)
