"""An evaluation as files: tidy Parquet tables for people who want to compute, and every figure as JSON.

``episodes.parquet`` has one row per contender, seed, rate and question; ``calls.parquet`` one per call of these;
``load.parquet`` one per sample of an endpoint; ``summary.json`` has the facts, the bounds and all figures. It is
written last: a folder without it was not finished.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import orjson

from inframind.arena.extras import load_extra
from inframind.arena.results.episodes import Call, Episode
from inframind.arena.results.figures import Judgement
from inframind.arena.results.judgement import judge
from inframind.arena.results.summary import SCHEMA_VERSION, summary_document
from inframind.arena.results.tables import Bound, Evaluation, LoadSample, Run
from inframind.errors import ConfigError

SUMMARY = "summary.json"
Key: TypeAlias = tuple[str, int, float]
"""Contender, seed and rate: what names a run."""
_T = TypeVar("_T")
_Table: TypeAlias = dict[str, list[Any]]
"""Values by column."""

_RUN = {"contender": "label", "seed": "int64", "rate_per_min": "float64"}
_EPISODES = {
    **_RUN,
    "family": "label",
    "index": "int32",
    "item_id": "label",
    "level": "int32",
    "arrived_s": "float64",
    "budget_s": "float64",
    "status": "label",
    "latency_s": "float64",
    "lag_s": "float64",
    "solved": "bool",
    "on_time": "bool",
    "on_time_success": "bool",
    "topology": "label",
    "model": "label",
    "strategy": "label",
    "n_calls": "int32",
    "completion_tokens": "int64",
    "trace_id": "string",
    "error": "label",
}
_CALLS = {
    **_RUN,
    "index": "int32",
    "call_index": "int32",
    "model": "label",
    "strategy": "label",
    "completion_tokens": "int64",
}
_LOAD = {
    **_RUN,
    "t_s": "float64",
    "endpoint": "label",
    "running": "int32",
    "waiting": "int32",
    "slots": "int32",
}
_DERIVED: Mapping[str, Callable[[Episode], object]] = {
    "on_time": lambda episode: episode.is_on_time,
    "on_time_success": lambda episode: episode.is_on_time and episode.solved,
    "n_calls": lambda episode: len(episode.calls),
}
_FIELDS = tuple(name for name in _EPISODES if name not in {*_RUN, *_DERIVED, "family", "completion_tokens"})
"""Columns that an `Episode` is made of; its calls are a table of their own."""


def write_evaluation(evaluation: Evaluation, folder: Path, *, judgement: Judgement | None = None) -> None:
    """Write all files; what an earlier evaluation left under the same names is replaced.

    Args:
        evaluation: the runs.
        folder: where to; made when it is not there.
        judgement: the figures, where they are at hand; they take seconds to work out.

    Raises:
        ConfigError: pyarrow is not installed.
    """
    load_extra("pyarrow.parquet")
    judgement = judgement or judge(evaluation)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SUMMARY).unlink(missing_ok=True)
    runs = evaluation.runs
    _write(folder / "episodes.parquet", _EPISODES, lambda name: _episode_values(runs, name))
    _write(folder / "calls.parquet", _CALLS, lambda name: _call_values(runs, name))
    _write(folder / "load.parquet", _LOAD, lambda name: _load_values(runs, name))
    (folder / SUMMARY).write_bytes(summary_json(evaluation, judgement))


def summary_json(evaluation: Evaluation, judgement: Judgement) -> bytes:
    """The content of ``summary.json``."""
    return orjson.dumps(
        summary_document(evaluation, judgement),
        option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE,
    )


def _write(path: Path, types: Mapping[str, str], values: Callable[[str], list[Any]]) -> None:
    """One column at a time, so that only one exists as Python objects."""
    arrow, parquet = load_extra("pyarrow"), load_extra("pyarrow.parquet")
    columns = {name: arrow.array(values(name), _arrow_type(arrow, kind)) for name, kind in types.items()}
    parquet.write_table(arrow.table(columns), path, compression="zstd")


def _arrow_type(arrow: Any, kind: str) -> Any:
    """``label`` is a text that repeats."""
    if kind == "label":
        return arrow.dictionary(arrow.int32(), arrow.string())
    return arrow.type_for_alias(kind)


def _episode_values(runs: Sequence[Run], name: str) -> list[Any]:
    if name in _RUN or name == "family":
        return [value for run in runs for value in [getattr(run, name)] * len(run.episodes)]
    derive = _DERIVED.get(name)
    if derive:
        return [derive(episode) for run in runs for episode in run.episodes]
    return [getattr(episode, name) for run in runs for episode in run.episodes]


def _call_values(runs: Sequence[Run], name: str) -> list[Any]:
    if name in _RUN:
        return [getattr(run, name) for run in runs for episode in run.episodes for _ in episode.calls]
    episodes = (episode for run in runs for episode in run.episodes)
    if name == "index":
        return [episode.index for episode in episodes for _ in episode.calls]
    if name == "call_index":
        return [index for episode in episodes for index in range(len(episode.calls))]
    return [getattr(call, name) for episode in episodes for call in episode.calls]


def _load_values(runs: Sequence[Run], name: str) -> list[Any]:
    if name in _RUN:
        return [value for run in runs for value in [getattr(run, name)] * len(run.timeline)]
    return [getattr(sample, name) for run in runs for sample in run.timeline]


def read_evaluation(folder: Path) -> Evaluation:
    """Read what `write_evaluation` wrote.

    Raises:
        ConfigError: pyarrow is not installed; a file is missing, damaged or of another version; or the files do
            not belong together.
    """
    load_extra("pyarrow.parquet")
    document = _read_summary(folder / SUMMARY)
    episodes = _read(folder / "episodes.parquet", _EPISODES)
    calls = _read(folder / "calls.parquet", _CALLS)
    load = _read(folder / "load.parquet", _LOAD)
    _need_same_calls(folder, episodes, calls)
    families = dict(zip(episodes["contender"], episodes["family"], strict=True))
    timelines = dict(_by_run(load, _samples(load)))
    return Evaluation(
        runs=tuple(
            Run(
                contender=key[0],
                family=families[key[0]],
                seed=key[1],
                rate_per_min=key[2],
                episodes=some,
                timeline=timelines.get(key, ()),
            )
            for key, some in _by_run(episodes, _read_episodes(episodes, _read_calls(calls)))
        ),
        facts=document["facts"],
        bounds=tuple(Bound(**bound) for bound in document["bounds"]),
    )


def _read_summary(path: Path) -> dict[str, Any]:
    try:
        document = orjson.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(
            "folder", str(path.parent), f"there is no finished evaluation: no {SUMMARY}"
        ) from error
    except orjson.JSONDecodeError as error:
        raise _damaged(path, str(error)) from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise ConfigError("schema_version", version, f"{path} is of another version: evaluate again")
    return dict(document)


def _read(path: Path, types: Mapping[str, str]) -> _Table:
    arrow, parquet = load_extra("pyarrow"), load_extra("pyarrow.parquet")
    try:
        table = parquet.read_table(path)
    except (OSError, arrow.ArrowException) as error:
        raise _damaged(path, str(error)) from error
    if missing := [name for name in types if name not in table.column_names]:
        raise _damaged(path, f"no column {missing[0]!r}")
    if holes := [name for name in types if table[name].null_count]:
        raise _damaged(path, f"nulls in column {holes[0]!r}")
    return {name: _values(table[name], kind) for name, kind in types.items()}


def _values(column: Any, kind: str) -> list[Any]:
    """A column as a list, in which equal labels are one object; by way of numpy, which is ten times as fast."""
    if kind != "label":
        return list(column.to_numpy().tolist())
    encoded = column.dictionary_encode().unify_dictionaries().combine_chunks()
    labels = encoded.dictionary.to_pylist()
    return [labels[code] for code in encoded.indices.to_numpy().tolist()]


def _damaged(path: Path, problem: str) -> ConfigError:
    return ConfigError("folder", str(path.parent), f"{path.name} cannot be read ({problem}): evaluate again")


def _need_same_calls(folder: Path, episodes: _Table, calls: _Table) -> None:
    expected = [
        index
        for index, count in zip(episodes["index"], episodes["n_calls"], strict=True)
        for _ in range(count)
    ]
    if expected != calls["index"]:
        raise _damaged(folder / "calls.parquet", "it does not belong to episodes.parquet")


def _by_run(table: _Table, rows: Iterator[_T]) -> Iterator[tuple[Key, tuple[_T, ...]]]:
    """Cut rows where the run changes."""
    keys = zip(*(table[name] for name in _RUN), strict=True)
    for key, group in groupby(keys):
        yield key, tuple(islice(rows, sum(1 for _ in group)))


def _read_calls(calls: _Table) -> Iterator[Call]:
    return (
        Call(model=model, strategy=strategy, completion_tokens=tokens)
        for model, strategy, tokens in zip(
            calls["model"], calls["strategy"], calls["completion_tokens"], strict=True
        )
    )


def _read_episodes(episodes: _Table, calls: Iterator[Call]) -> Iterator[Episode]:
    rows = zip(*(episodes[name] for name in _FIELDS), strict=True)
    for count, row in zip(episodes["n_calls"], rows, strict=True):
        yield Episode(**dict(zip(_FIELDS, row, strict=True)), calls=tuple(islice(calls, count)))


def _samples(load: _Table) -> Iterator[LoadSample]:
    names = [name for name in _LOAD if name not in _RUN]
    for row in zip(*(load[name] for name in names), strict=True):
        yield LoadSample(**dict(zip(names, row, strict=True)))
