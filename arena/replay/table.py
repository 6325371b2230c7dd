"""A recorded table as an environment: what is recorded is what happens, what is not recorded cannot be chosen.

Q = questions, in the order of the file; A = arms, sorted by name; F = context columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inframind.arena.replay.columns import ColumnMap, Labels, Rows, read_rows
from inframind.errors import ConfigError, InvalidItems
from inframind.router.replies import NOT_SEEN, UNREADABLE

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

COSTS = ("cost", "seconds", "tokens")
"""What can serve as the cost of a choice, most telling first."""
NO_COST = "none"
ONLY_STRATUM = ""
_MATRICES = ("quality", "prompt_tokens", "completion_tokens", "seconds", "cost", "answers", "context")


@dataclass(frozen=True, kw_only=True, eq=False)
class ReplayTable:
    """Questions, arms, and what came of each pair that was recorded.

    Attributes:
        name: where it comes from, for people.
        question_ids: (Q).
        questions: texts (Q), None where not given.
        strata: benchmark of each question (Q); `ONLY_STRATUM` throughout when the file has none.
        arms: (A).
        quality: 0 to 1 (Q, A), NaN where not recorded.
        prompt_tokens: (Q, A), NaN where not recorded; None when not recorded at all. So are the next three.
        completion_tokens: (Q, A).
        seconds: (Q, A).
        cost: (Q, A), in the unit of the file.
        answers: a number per distinct answer (Q, A), `UNREADABLE` or `NOT_SEEN`; None when not recorded at all.
        context_names: (F).
        context: what was known when the request was sent (Q, A, F), NaN where not recorded.
    """

    name: str
    question_ids: tuple[str, ...]
    questions: tuple[str | None, ...]
    strata: tuple[str, ...]
    arms: tuple[str, ...]
    quality: Floats
    prompt_tokens: Floats | None = None
    completion_tokens: Floats | None = None
    seconds: Floats | None = None
    cost: Floats | None = None
    answers: Ints | None = None
    context_names: tuple[str, ...] = ()
    context: Floats

    @classmethod
    def read(cls, path: Path, columns: ColumnMap | None = None) -> ReplayTable:
        """Read a Parquet or CSV file with one row per question and arm.

        Args:
            path: ``.parquet``, ``.csv`` or ``.csv.gz``.
            columns: what the columns mean; None goes by their names.

        Raises:
            ConfigError: ``columns`` names a column that the file does not have, or pyarrow is not installed.
            InvalidItems: the file cannot be read, is empty, lacks a required column, holds a value that is out
                of range, or answers one question twice by one arm.
        """
        return _assemble(read_rows(path, columns or ColumnMap()))

    @property
    def recorded(self) -> Bools:
        """Whether there is an outcome (Q, A)."""
        return ~np.isnan(self.quality)

    @property
    def tokens(self) -> Floats | None:
        """Prompt and completion tokens together where both are recorded at all, else whichever is (Q, A)."""
        if self.prompt_tokens is None or self.completion_tokens is None:
            return self.completion_tokens if self.prompt_tokens is None else self.prompt_tokens
        return self.prompt_tokens + self.completion_tokens

    def best_cost(self) -> str:
        """The kind of cost that most outcomes come with, of `COSTS`; `NO_COST` when there is none."""
        counts = {kind: self._known(kind) for kind in COSTS}
        best = max(COSTS, key=lambda kind: counts[kind])
        return best if counts[best] else NO_COST

    def costs(self, kind: str) -> Floats | None:
        """Cost of each choice (Q, A), NaN where not recorded; None for `NO_COST`.

        Raises:
            ConfigError: there is no such kind, or it is not recorded.
        """
        if kind == NO_COST:
            return None
        there = [name for name in COSTS if self._known(name)]
        if kind not in there:
            raise ConfigError("cost", kind, f"{self.name} records: {', '.join([*there, NO_COST])}")
        values: Floats = getattr(self, kind)
        return values

    def select(self, strata: Sequence[str]) -> ReplayTable:
        """The questions of some strata, without the arms that answered none of them.

        Raises:
            ConfigError: there is no such stratum.
        """
        for stratum in strata:
            if stratum not in self.strata:
                raise ConfigError(
                    "benchmark", stratum, f"choose some of: {', '.join(sorted(set(self.strata)))}"
                )
        rows = np.flatnonzero(np.isin(np.array(self.strata), list(strata)))
        return self.take(rows, np.flatnonzero(self.recorded[rows].any(axis=0)))

    def take(self, questions: Ints, arms: Ints) -> ReplayTable:
        """Some questions and some arms, by index and in that order."""
        cells = np.ix_(questions, arms)
        kept: dict[str, Any] = {
            name: None if (matrix := getattr(self, name)) is None else matrix[cells] for name in _MATRICES
        }
        return replace(
            self,
            question_ids=tuple(self.question_ids[index] for index in questions),
            questions=tuple(self.questions[index] for index in questions),
            strata=tuple(self.strata[index] for index in questions),
            arms=tuple(self.arms[index] for index in arms),
            **kept,
        )

    def priced(self, price_per_token: Mapping[str, float]) -> ReplayTable:
        """The table with ``cost`` = price times tokens.

        Args:
            price_per_token: by arm, or by the first parts of its name, such as its model; the longest that fits
                counts. In any unit: sizes in billions of parameters stand in for prices of open models.

        Raises:
            ConfigError: an arm without a price, a price below 0, or no tokens to multiply it with.
        """
        tokens = self.tokens
        if tokens is None:
            raise ConfigError("prices", dict(price_per_token), f"{self.name} records no tokens")
        prices = np.array([_price(price_per_token, arm) for arm in self.arms])
        return replace(self, cost=tokens * prices)

    def _known(self, kind: str) -> int:
        matrix: Floats | None = getattr(self, kind)
        return 0 if matrix is None else int((~np.isnan(matrix) & self.recorded).sum())


def _price(prices: Mapping[str, float], arm: str) -> float:
    keys = [key for key in prices if f"{arm}/".startswith(f"{key}/")]
    if not keys:
        raise ConfigError(
            f"prices.{arm}", None, f"price every arm or its model; priced: {', '.join(prices) or 'none'}"
        )
    price = prices[max(keys, key=len)]
    if not 0 <= price < math.inf:
        raise ConfigError(f"prices.{arm}", price, "give 0 or more")
    return price


def _assemble(rows: Rows) -> ReplayTable:
    arms, arm_of_row = _arms(rows.arm_parts)
    question_ids = rows.question_ids
    shape = len(question_ids.texts), len(arms)
    cells = question_ids.codes * len(arms) + arm_of_row
    _refuse_duplicates(rows, arms, cells)

    def matrix(values: Floats) -> Floats:
        dense = np.full(shape[0] * shape[1], np.nan)
        dense[cells] = values
        return dense.reshape(shape)

    context = [matrix(values) for values in rows.context.values()]
    return ReplayTable(
        name=rows.path,
        question_ids=question_ids.texts,
        questions=_per_question(rows, rows.questions, "text"),
        strata=tuple(stratum or ONLY_STRATUM for stratum in _per_question(rows, rows.strata, "benchmark")),
        arms=arms,
        quality=matrix(rows.quality),
        answers=None if rows.answers is None else _answers(rows.answers, cells, shape),
        context_names=tuple(rows.context),
        context=np.stack(context, axis=2) if context else np.empty((*shape, 0)),
        **{name: matrix(values) for name, values in rows.amounts.items()},
    )


def _answers(labels: Labels, cells: Ints, shape: tuple[int, int]) -> Ints:
    """A number per distinct text (Q, A): an empty cell is a reply that no answer could be read from."""
    dense = np.full(shape[0] * shape[1], NOT_SEEN, dtype=np.int64)
    dense[cells] = np.where(labels.codes < 0, UNREADABLE, labels.codes)
    return dense.reshape(shape)


def _arms(parts: tuple[Labels, ...]) -> tuple[tuple[str, ...], Ints]:
    """Names of the arms and the arm of each row; a part that never differs says nothing and is left out."""
    telling = [part for part in parts if len(part.texts) > 1] or list(parts[:1])
    codes = np.stack([part.codes for part in telling], axis=1)
    combinations, of_row = np.unique(codes, axis=0, return_inverse=True)
    names = [
        "/".join(text for part, code in zip(telling, row, strict=True) if (text := part.texts[code]))
        for row in combinations
    ]
    order = sorted(range(len(names)), key=names.__getitem__)
    rank = np.empty(len(names), dtype=np.int64)
    rank[order] = np.arange(len(names))
    return tuple(names[index] for index in order), rank[of_row.reshape(-1)]


def _refuse_duplicates(rows: Rows, arms: tuple[str, ...], cells: Ints) -> None:
    _, first, counts = np.unique(cells, return_index=True, return_counts=True)
    if (counts == 1).all():
        return
    question, arm = divmod(int(cells[first[counts > 1].min()]), len(arms))
    at = np.flatnonzero(cells == question * len(arms) + arm)[:2] + 1
    problem = (
        f"question {rows.question_ids.texts[question]!r} is answered twice by arm {arms[arm]!r} "
        f"(rows {at[0]} and {at[1]})"
    )
    raise InvalidItems(
        rows.path, None, problem, "keep one row, or name every column that tells the arms apart"
    )


def _per_question(rows: Rows, labels: Labels | None, what: str) -> tuple[str | None, ...]:
    """The label of each question: that of its first row; the other rows must not say otherwise."""
    questions = rows.question_ids
    if labels is None:
        return (None,) * len(questions.texts)
    _, first = np.unique(questions.codes, return_index=True)
    codes = labels.codes[first]
    differs = labels.codes != codes[questions.codes]
    if differs.any():
        row = int(np.argmax(differs))
        name = questions.texts[questions.codes[row]]
        problem = f"row {row + 1}: question {name!r} has another {what} than in its first row"
        raise InvalidItems(rows.path, None, problem, f"give each question one {what}, or ids of their own")
    return tuple(labels.texts[code] if code >= 0 else None for code in codes)
