"""Recorded answers as rows: which column of a Parquet or CSV file means what, read and checked.

N = rows of the file. A row is one question answered once by one arm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inframind.arena.extras import load_extra
from inframind.errors import ConfigError, InvalidItems

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

KNOWN_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "question_id": ("question_id", "prompt_id", "item_id", "id"),
        "question": ("question", "prompt", "problem", "text"),
        "stratum": ("benchmark", "stratum", "dataset"),
        "quality": ("is_solved", "solved", "quality", "score", "correct"),
        "prompt_tokens": ("prompt_tokens", "input_tokens"),
        "completion_tokens": ("completion_tokens", "output_tokens"),
        "seconds": ("latency_s", "seconds", "e2e_s"),
        "cost": ("cost_usd", "cost", "price"),
        "answer": ("extracted_answer", "predicted_answer", "prediction"),
    }
)
"""Names that are recognised without options, most telling first."""
KNOWN_ARM_PARTS = ("model", "strategy", "config")
KNOWN_CONTEXT = ("running", "waiting", "kv_cache_usage")
AMOUNTS = ("prompt_tokens", "completion_tokens", "seconds", "cost")
_REQUIRED = ("question_id", "quality")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMap:
    """Which column means what; None, or an empty tuple, goes by the known names (`KNOWN_NAMES`)."""

    question_id: str | None = None
    """Identifies a question; required."""
    question: str | None = None
    """The question's text."""
    stratum: str | None = None
    """Benchmark that the question belongs to."""
    arm: tuple[str, ...] = ()
    """Columns that together name the arm, such as model and strategy; required."""
    quality: str | None = None
    """How good the answer was, from 0 to 1, or whether it was right; required. Empty: not recorded."""
    prompt_tokens: str | None = None
    """Tokens of the prompt."""
    completion_tokens: str | None = None
    """Tokens of the answer."""
    seconds: str | None = None
    """Seconds from the request to the answer."""
    cost: str | None = None
    """What the answer cost, in any unit."""
    answer: str | None = None
    """The answer that was read from the reply; the same text counts as the same answer. Empty: unreadable."""
    context: tuple[str, ...] = ()
    """Numbers that were known when the request was sent, such as the load of the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """A column of text: a code for each row (N), -1 where empty, and the texts that the codes stand for."""

    codes: Ints
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The file, column by column. Optional columns that are absent, or empty throughout, are None.

    Attributes:
        path: where they come from.
        question_ids: per row.
        arm_parts: the columns that name the arm.
        quality: 0 to 1 (N), NaN where not recorded.
        questions: text, per row.
        strata: per row.
        answers: read from the replies, per row.
        amounts: by meaning (`AMOUNTS`), each (N), not negative, NaN where not recorded.
        context: by column name, each (N).
    """

    path: str
    question_ids: Labels
    arm_parts: tuple[Labels, ...]
    quality: Floats
    questions: Labels | None
    strata: Labels | None
    answers: Labels | None
    amounts: Mapping[str, Floats]
    context: Mapping[str, Floats]


def columns_from(texts: Sequence[str]) -> ColumnMap:
    """A map as written on the command line: ``seconds=took``, ``arm=model,prompt``; ``solved`` is a quality of 0 or 1.

    Raises:
        ConfigError: not of that form, or no such meaning.
    """
    meanings = [field.name for field in fields(ColumnMap)]
    chosen: dict[str, Any] = {}
    for text in texts:
        meaning, equals, names = text.partition("=")
        meaning = "quality" if meaning == "solved" else meaning
        if not equals or not names or meaning not in meanings:
            raise ConfigError("column", text, f"give MEANING=COLUMN; meanings: {', '.join(meanings)}")
        chosen[meaning] = tuple(names.split(",")) if meaning in ("arm", "context") else names
    return ColumnMap(**chosen)


def prices_from(texts: Sequence[str]) -> Mapping[str, float]:
    """Prices per token as written on the command line: ``gpt-4=20``, by arm or model.

    Raises:
        ConfigError: not of that form, or not a number.
    """
    prices: dict[str, float] = {}
    for text in texts:
        name, _, price = text.rpartition("=")
        try:
            prices[name] = float(price)
        except ValueError:
            raise ConfigError("price", text, "give ARM=PRICE or MODEL=PRICE, such as gpt-4=20") from None
    return prices


def read_rows(path: Path, columns: ColumnMap) -> Rows:
    """Read a Parquet file, or a CSV file with a header (``.csv``, ``.csv.gz``).

    Raises:
        ConfigError: ``columns`` names a column that the file does not have, or pyarrow is not installed.
        InvalidItems: the file cannot be read, is empty, lacks a required column, or holds a value that is out
            of range.
    """
    source = _Source(str(path), _read_arrow(path))
    if not source.table.num_rows:
        raise InvalidItems(source.path, None, "holds no rows", "give one row per question and arm")
    named = {meaning: source.resolve(meaning, columns) for meaning in KNOWN_NAMES}
    amounts = {meaning: source.amount(name) for meaning in AMOUNTS if (name := named[meaning])}
    return Rows(
        path=source.path,
        question_ids=source.complete_labels(str(named["question_id"])),
        arm_parts=tuple(map(source.complete_labels, source.arm_columns(columns))),
        quality=source.quality(str(named["quality"])),
        questions=source.labels(named["question"]) if named["question"] else None,
        strata=source.complete_labels(named["stratum"]) if named["stratum"] else None,
        answers=source.labels(named["answer"]) if named["answer"] else None,
        amounts={meaning: values for meaning, values in amounts.items() if not np.isnan(values).all()},
        context={name: source.numbers(name) for name in source.context_columns(columns)},
    )


@dataclass(frozen=True, slots=True)
class _Source:
    path: str
    table: Any

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.table.column_names)

    def resolve(self, meaning: str, columns: ColumnMap) -> str | None:
        """The column of that meaning; None for an optional one that is not there."""
        wanted: str | None = getattr(columns, meaning)
        if wanted is not None:
            self._require(f"columns.{meaning}", wanted)
            return wanted
        known = KNOWN_NAMES[meaning]
        found = next((name for name in known if name in self.names), None)
        if found is None and meaning in _REQUIRED:
            raise self._missing(meaning, known)
        return found

    def arm_columns(self, columns: ColumnMap) -> tuple[str, ...]:
        for name in columns.arm:
            self._require("columns.arm", name)
        if columns.arm or "arm" in self.names:
            return columns.arm or ("arm",)
        parts = tuple(name for name in KNOWN_ARM_PARTS if name in self.names)
        if not parts:
            raise self._missing("arm", ("arm", *KNOWN_ARM_PARTS))
        return parts

    def context_columns(self, columns: ColumnMap) -> tuple[str, ...]:
        for name in columns.context:
            self._require("columns.context", name)
        return columns.context or tuple(name for name in KNOWN_CONTEXT if name in self.names)

    def labels(self, name: str) -> Labels:
        pa, pc = load_extra("pyarrow"), load_extra("pyarrow.compute")
        encoded = self.table[name].cast(pa.large_string()).combine_chunks().dictionary_encode()
        codes = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
        return Labels(codes=codes, texts=tuple(encoded.dictionary.to_pylist()))

    def complete_labels(self, name: str) -> Labels:
        labels = self.labels(name)
        self._refuse(name, labels.codes < 0, "empty", "give a value in every row")
        return labels

    def numbers(self, name: str) -> Floats:
        """Any numbers (N), NaN where empty."""
        pa = load_extra("pyarrow")
        try:
            column = self.table[name].cast(pa.float64())
        except pa.ArrowInvalid as error:
            problem = f"column {name!r} does not hold numbers ({error})"
            raise InvalidItems(self.path, None, problem, "give numbers, or leave cells empty") from error
        values: Floats = np.array(column.to_numpy(), dtype=np.float64)
        self._refuse(name, np.isinf(values), "not finite", "give finite numbers, or leave cells empty")
        return values

    def amount(self, name: str) -> Floats:
        values = self.numbers(name)
        self._refuse(name, values < 0, "negative", "give 0 or more, or leave the cell empty")
        return values

    def quality(self, name: str) -> Floats:
        values = self.numbers(name)
        outside = (values < 0) | (values > 1)
        self._refuse(name, outside, "not from 0 to 1", "give 0 or 1, or a quality between")
        if np.isnan(values).all():
            raise InvalidItems(self.path, None, f"column {name!r} is empty", "record some outcomes")
        return values

    def _refuse(self, name: str, wrong: NDArray[np.bool_], problem: str, fix: str) -> None:
        if wrong.any():
            row = int(np.argmax(wrong))
            value = self.table[name][row].as_py()
            raise InvalidItems(self.path, None, f"row {row + 1}: {name} = {value!r} is {problem}", fix)

    def _require(self, field: str, name: str) -> None:
        if name not in self.names:
            raise ConfigError(
                field, name, f"choose one of the columns of {self.path}: {', '.join(self.names)}"
            )

    def _missing(self, meaning: str, known: tuple[str, ...]) -> InvalidItems:
        problem = f"has no column for the {meaning.replace('_', ' ')} (looked for {', '.join(known)})"
        return InvalidItems(self.path, None, problem, f"rename or map one of: {', '.join(self.names)}")


def _read_arrow(path: Path) -> Any:
    fix = "give a Parquet file, or a CSV file that ends in .csv or .csv.gz"
    if not path.is_file():
        raise InvalidItems(str(path), None, "cannot be read (no such file)", fix)
    pa = load_extra("pyarrow")
    is_csv = path.name.endswith((".csv", ".csv.gz"))
    read = load_extra("pyarrow.csv").read_csv if is_csv else load_extra("pyarrow.parquet").read_table
    try:
        return read(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InvalidItems(str(path), None, f"cannot be read ({error})", fix) from error
