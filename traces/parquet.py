"""Rows as a Parquet file, written chunk by chunk; the library is loaded when a file is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from inframind.errors import ConfigError
from inframind.traces.training_rows import Kind, Row

WriteRows = Callable[[Sequence[Row]], None]


@contextmanager
def open_parquet(path: Path, columns: Mapping[str, Kind]) -> Iterator[WriteRows]:
    """A function that appends rows.

    Args:
        path: of the file.
        columns: what each column holds.

    Raises:
        ConfigError: pyarrow is not installed.
    """
    arrow, parquet = _libraries()
    schema = _schema(arrow, columns)
    with parquet.ParquetWriter(path, schema) as writer:
        yield lambda rows: writer.write_table(arrow.Table.from_pylist(list(rows), schema=schema))


def _schema(arrow: Any, columns: Mapping[str, Kind]) -> Any:
    message = arrow.struct([("role", arrow.string()), ("content", arrow.string())])
    types = {
        "text": arrow.string(),
        "number": arrow.float64(),
        "integer": arrow.int64(),
        "texts": arrow.list_(arrow.string()),
        "messages": arrow.list_(message),
    }
    return arrow.schema([(name, types[kind]) for name, kind in columns.items()])


def _libraries() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        raise ConfigError("install", "pyarrow", "run: pip install 'inframind[parquet]'") from error
