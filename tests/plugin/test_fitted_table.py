from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from inframind.plugin.fitted_table import Column, FittedTable, Row

COLUMNS = (
    Column(name="id"),
    Column(name="model", leave_out=2),
    Column(name="took", justify="right", leave_out=3),
    Column(name="question", leave_out=1, may_cut=True),
)
CELLS = ("0123456789ab", "qwen2.5-coder-14b", "12.5 s", "How many primes are there below one hundred?")


def shown(width: int) -> list[str]:
    page = io.StringIO()
    table = FittedTable(COLUMNS, [Row(tuple(map(Text, CELLS)))])
    Console(file=page, width=width, color_system=None).print(table)
    return [line.rstrip() for line in page.getvalue().splitlines()]


def test_a_wide_terminal_shows_every_cell_whole() -> None:
    assert shown(100)[1:] == ["  ".join(CELLS)]


def test_a_narrower_one_cuts_the_text_alone() -> None:
    assert shown(60)[1:] == ["0123456789ab  qwen2.5-coder-14b  12.5 s  How many primes ar…"]


@pytest.mark.parametrize(
    ("width", "row", "left_out"),
    [
        (50, "0123456789ab  qwen2.5-coder-14b  12.5 s", "question"),
        (38, "0123456789ab  12.5 s", "model, question"),
        (12, "0123456789ab", "model, took, question"),
    ],
)
def test_columns_are_left_out_by_rank_and_named(width: int, row: str, left_out: str) -> None:
    lines = shown(width)

    assert lines[1] == row
    assert " ".join(lines[2:]) == f"a wider terminal also shows: {left_out}"


def test_a_column_that_may_wrap_goes_on_between_words_and_loses_none() -> None:
    page = io.StringIO()
    columns = (Column(name="id"), Column(name="title", may_wrap=True), Column(name="state"))
    cells = ("0123456789ab", "Use medium instead of small", "open")
    table = FittedTable(columns, [Row(tuple(map(Text, cells)))])
    Console(file=page, width=40, color_system=None).print(table)
    lines = [line.split() for line in page.getvalue().splitlines()[1:]]
    assert lines == [["0123456789ab", "Use", "medium", "instead", "open"], ["of", "small"]]


@given(width=st.integers(min_value=12, max_value=200))
def test_no_cell_is_ever_wrapped_and_the_id_never_cut(width: int) -> None:
    lines = shown(width)

    assert max(map(len, lines)) <= width
    assert lines[1].startswith(CELLS[0])
    assert len(lines) == 2 or lines[2].startswith("a wider")
