"""Recorded runs as they were when an evaluation began, so that it goes on with the same ones, whatever came since.

Where they are kept no retention reaches, so of their texts only those that an evaluation reads are: questions, which
policies read. Answers, drafts, messages of errors, comments and the caller's metadata are left out.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from inframind.errors import ConfigError, StoreError
from inframind.traces.codec import decode, encode
from inframind.traces.records import Trajectory

RUNS = "runs.jsonl.gz"
_LEVEL = 1
_OWNER_ONLY = 0o600
"""Questions may be in it."""


def keep_runs(folder: Path, runs: Iterable[Trajectory]) -> None:
    """Write runs without what no evaluation reads, all of them or none.

    Raises:
        ConfigError: they cannot be written.
        StoreError: a run is not plain JSON data.
    """
    draft = folder / f".{RUNS}.{os.getpid()}.tmp"
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWNER_ONLY), "wb") as file:
            with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=_LEVEL, mtime=0) as packed:
                packed.writelines(encode(_bare(run)) + b"\n" for run in runs)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(folder / RUNS)
    except OSError as error:
        raise ConfigError("out", str(folder), f"cannot be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)


def _bare(run: Trajectory) -> Trajectory:
    return replace(
        run,
        answer="",
        text="",
        error_detail="",
        metadata={},
        steps=tuple(
            replace(
                step,
                text="",
                answer="",
                error_detail="",
                attempts=tuple(replace(attempt, detail="") for attempt in step.attempts),
            )
            for step in run.steps
        ),
        tools=tuple(replace(tool, error_detail="") for tool in run.tools),
        outcomes=tuple(
            replace(outcome, comment="", value=None if outcome.value is None else "")
            for outcome in run.outcomes
        ),
    )


def read_runs(folder: Path) -> tuple[Trajectory, ...] | None:
    """What `keep_runs` kept, or None where nothing is.

    Raises:
        ConfigError: it is damaged, or of another release.
    """
    try:
        with gzip.open(folder / RUNS) as lines:
            return tuple(decode(line) for line in lines)
    except FileNotFoundError:
        return None
    except (OSError, EOFError, StoreError) as error:
        raise ConfigError(
            "out", str(folder), f"its {RUNS} cannot be read ({error}): give another folder"
        ) from error
