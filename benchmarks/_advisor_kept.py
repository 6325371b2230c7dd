"""Jobs whose results are kept: what is in the folder is not done again, so that an interrupted run goes on.

Results change with the advisor: use another folder, or none, to see what a new one does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from inframind.arena.engines import EngineConfig
from inframind.arena.results.episodes import Rate

Figures = Mapping[str, Any]
"""Plain data."""


class Job(Protocol):
    """What is to be done; says all that its result hangs on in its name."""

    @property
    def name(self) -> str:
        """Unique, and fit for a file."""
        ...


J = TypeVar("J", bound=Job)


def all_kept(
    title: str, play: Callable[[J], Figures], jobs: Sequence[J], *, folder: Path, workers: int
) -> list[Figures]:
    """Do the jobs whose results are not there yet, and return all results in the order of the jobs.

    Args:
        title: of the bar.
        play: does one; a function of a module, so that it can be sent to a worker.
        jobs: what is to be done.
        folder: where results are.
        workers: processes; with one, jobs are done here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)
    there = sum(_file(folder, job).exists() for job in jobs)
    if there:
        console.print(f"{title}: {there} of {len(jobs)} were done before, see {folder}", style="dim")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    found: dict[int, Figures] = {}
    with (
        EngineConfig(workers=workers).open(len(jobs)) as engine,
        Progress(*columns, console=console) as bar,
    ):
        task = bar.add_task(title, total=len(jobs))
        for place, figures in engine.run(_keep, [(play, job, folder) for job in jobs]):
            found[place] = figures
            bar.advance(task)
    return [found[place] for place in range(len(jobs))]


def _keep(play: Callable[[J], Figures], job: J, folder: Path) -> Figures:
    file = _file(folder, job)
    if file.exists():
        kept: Figures = json.loads(file.read_text(encoding="utf-8"))
        return kept
    figures = play(job)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    partial.replace(file)
    return figures


def _file(folder: Path, job: Job) -> Path:
    return folder / f"{job.name}.json"


def said_of(rate: Rate) -> str:
    """A share in words, with its interval; as if trials were independent, which those of one world are not quite."""
    low, high = rate.interval
    return f"{rate.hits} of {rate.trials}, 95 % interval {low:.3f} to {high:.3f}"
