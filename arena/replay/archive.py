"""A replay as files: everything as JSON, and one row per contender and knob setting as Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from inframind.arena.extras import load_extra
from inframind.arena.replay.results import Estimate, ReplayResult, Score, Standing

REPLAY, STANDINGS = "replay.json", "standings.parquet"
SCHEMA_VERSION = 1
_ESTIMATES = ("quality", "on_time_success", "slo_attainment", "cost", "regret", "versus_best")
_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS


def replay_document(result: ReplayResult) -> bytes:
    """The content of ``replay.json``: the fields of `ReplayResult`, and the version of their form."""
    fields: dict[str, Any] = {name: getattr(result, name) for name in ReplayResult.__dataclass_fields__}
    return orjson.dumps({"schema_version": SCHEMA_VERSION, **fields}, option=_OPTIONS)


def write_replay(result: ReplayResult, folder: Path) -> None:
    """Write ``replay.json`` and ``standings.parquet``; those of an earlier replay are replaced.

    Args:
        result: the replay.
        folder: where to; made when it is not there.

    Raises:
        ConfigError: pyarrow is not installed.
    """
    arrow, parquet = load_extra("pyarrow"), load_extra("pyarrow.parquet")
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for standing in result.standings for row in _rows(standing)]
    parquet.write_table(arrow.table(_columns(arrow, rows)), folder / STANDINGS, compression="zstd")
    (folder / REPLAY).write_bytes(replay_document(result))


def _columns(arrow: Any, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A figure that no contender has is a column of nulls, but still one of numbers."""
    return {
        name: arrow.array(
            [row[name] for row in rows], arrow.string() if name == "contender" else arrow.float64()
        )
        for name in rows[0]
    }


def _rows(standing: Standing) -> Iterator[dict[str, Any]]:
    for score in standing.scores:
        yield {"contender": standing.name, "knob": score.knob, "coverage": score.coverage} | _figures(score)


def _figures(score: Score) -> dict[str, float | None]:
    figures: dict[str, float | None] = {}
    for name in _ESTIMATES:
        estimate: Estimate | None = getattr(score, name)
        for part in ("value", "low", "high"):
            column = name if part == "value" else f"{name}_{part}"
            figures[column] = None if estimate is None else getattr(estimate, part)
    return figures | {"latency_mean_s": score.latency_mean_s, "latency_p95_s": score.latency_p95_s}
