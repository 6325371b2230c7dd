"""An evaluation on disk: what is evaluated, and every result as soon as there is one; goes on after any stop.

``plan.json`` says what is evaluated, and is written first; ``results.jsonl`` gets a line per job, written at once and
synced; ``summary.json`` is written last, and hangs on the plan and the results alone, not on their order. A kill can
tear no more than the last line, which is cut off when the folder is opened again. Two processes may do the same jobs
there at once: each line is written whole, and what comes of a job is the same.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from inframind.arena.candidates.results import Job, JobResult
from inframind.arena.training.run_folder import write_text
from inframind.errors import ConfigError

PLAN, RESULTS, SUMMARY = "plan.json", "results.jsonl", "summary.json"
_SHOWN = 3
"""Differences that an error names."""
_ANOTHER = "give another folder, or the same candidates and options as before"


@dataclass(frozen=True, slots=True)
class CandidateFolder:
    """The folder of one evaluation.

    Attributes:
        path: of the folder.
        done: what is there already, by job.
    """

    path: Path
    done: Mapping[Job, JobResult]

    @classmethod
    def opened(cls, path: Path, plan: Mapping[str, Any]) -> CandidateFolder:
        """A new folder, or the one where this very evaluation was interrupted or finished.

        Raises:
            ConfigError: another evaluation is in it, and what is otherwise there; it cannot be written; or its results
                are damaged.
        """
        plan = json.loads(json.dumps(plan))
        try:
            path.mkdir(parents=True, exist_ok=True)
            if (path / PLAN).exists():
                _require_same(path, _read_plan(path), plan)
            elif (path / RESULTS).exists():
                raise ConfigError(
                    "out", str(path), f"there are results without a {PLAN}: give another folder"
                )
            else:
                write_text(path / PLAN, json.dumps(plan, indent=2, sort_keys=True) + "\n")
            return cls(path, {result.job: result for result in _read_results(path / RESULTS)})
        except OSError as error:
            raise ConfigError("out", str(path), f"cannot be written: {error.strerror}") from error

    def keep(self, results: Sequence[JobResult]) -> None:
        """Add results; they are on disk when this returns."""
        with _alone(self.path / RESULTS, "ab") as file:
            file.write(b"".join(result.to_line() for result in results))
            file.flush()
            os.fsync(file.fileno())

    def finish(self, summary: str) -> None:
        """Write the summary."""
        write_text(self.path / SUMMARY, summary)


def _read_plan(path: Path) -> Mapping[str, Any]:
    try:
        plan: Mapping[str, Any] = json.loads((path / PLAN).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError("out", str(path), f"its {PLAN} cannot be read: {error}") from error
    return plan


def _read_results(path: Path) -> Iterator[JobResult]:
    if not path.exists():
        return
    for number, line in enumerate(_whole_lines(path), start=1):
        result = JobResult.from_line(line)
        if result is None:
            fix = f"line {number} is no result: restore it, or give another folder"
            raise ConfigError("out", str(path), fix)
        yield result


def _whole_lines(path: Path) -> list[bytes]:
    """What is there; what a kill left of the last line is cut off."""
    with _alone(path, "r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            file.truncate(whole)
    return content[:whole].splitlines()


@contextmanager
def _alone(path: Path, mode: Literal["ab", "r+b"]) -> Iterator[BinaryIO]:
    """The file, while nobody else writes half a line or takes one for torn."""
    with path.open(mode) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _require_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    differences = list(_differences(before, now))
    if not differences:
        return
    shown = "; ".join(differences[:_SHOWN])
    more = len(differences) - _SHOWN
    what = f"{shown}; and {more} more" if more > 0 else shown
    raise ConfigError("out", str(path), f"another evaluation is in it ({what}): {_ANOTHER}")


def _differences(before: Any, now: Any, where: str = "") -> Iterator[str]:
    """What is otherwise, by dotted path."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*before, *now)):
            place = f"{where}.{key}" if where else key
            if key not in now:
                yield f"{place} is gone"
            elif key not in before:
                yield f"{place} is new"
            else:
                yield from _differences(before[key], now[key], place)
    elif before != now:
        yield f"{where} was {_short(before)} and is {_short(now)}"


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
