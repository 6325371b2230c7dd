"""Tables that a narrow terminal can show: whole cells, and columns left out by name instead of words broken."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

PLAIN_WIDTH = 120
"""Columns of a table as text."""
GAP = 2
"""Blank columns between two cells."""
LEAST_CUT_WIDTH = 12
"""Terminal columns below which most cut cells say nothing, so that their column is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column.

    Attributes:
        name: heading.
        justify: side to which cells keep.
        leave_out: rank in which narrow terminals do without it, 1 first; 0 always stays.
        may_cut: whether cells may end in an ellipsis; ids, numbers and labels may not.
        may_wrap: whether they go on in the next line instead, between words: what ends in what matters may not be cut.
        least: terminal columns below which cells that are cut or wrapped say nothing, so that others go first.
    """

    name: str
    justify: Literal["left", "right"] = "left"
    leave_out: int = 0
    may_cut: bool = False
    may_wrap: bool = False
    least: int = LEAST_CUT_WIDTH

    @property
    def may_shrink(self) -> bool:
        """Whether it may be narrower than its cells."""
        return self.may_cut or self.may_wrap


@dataclass(frozen=True, slots=True)
class Row:
    """Cells in the order of the columns, and the style of the line."""

    cells: tuple[Text, ...]
    style: str = ""


class FittedTable:
    """A table that chooses its columns by the width that it is shown at.

    No cell is wrapped but where its column says so. Columns that do not fit are left out in their ``leave_out`` order,
    and a line below the table names them. Only where not even those that always stay fit are these cut too, with an
    ellipsis.

    Args:
        columns: at most one of them may be cut or wrapped.
        rows: one cell per column each.
    """

    def __init__(self, columns: Sequence[Column], rows: Sequence[Row]) -> None:
        self._columns, self._rows = tuple(columns), tuple(rows)

    def __str__(self) -> str:
        """As plain text, for whoever prints it without rich."""
        page = io.StringIO()
        Console(file=page, width=PLAIN_WIDTH, color_system=None, highlight=False).print(self)
        return page.getvalue().rstrip("\n")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Rich's protocol."""
        kept = self._fitting(options.max_width)
        yield self._table(kept, options.max_width)
        left_out = [column.name for place, column in enumerate(self._columns) if place not in kept]
        if left_out:
            yield Text(f"a wider terminal also shows: {', '.join(left_out)}", "dim")

    def _fitting(self, width: int) -> list[int]:
        kept = list(range(len(self._columns)))
        ranked = sorted((c.leave_out, place) for place, c in enumerate(self._columns) if c.leave_out)
        for _, place in ranked:
            if self._least_width(kept) <= width:
                break
            kept.remove(place)
        return kept

    def _least_width(self, kept: Sequence[int]) -> int:
        widths = [
            min(self._width(place), self._columns[place].least)
            if self._columns[place].may_shrink
            else self._width(place)
            for place in kept
        ]
        return sum(widths) + GAP * (len(widths) - 1)

    def _width(self, place: int) -> int:
        cells = [row.cells[place].cell_len for row in self._rows]
        return max(len(self._columns[place].name), *cells, 0)

    def _table(self, kept: Sequence[int], width: int) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
        spare = max(width - self._least_width(kept), 0)
        for place in kept:
            column, natural = self._columns[place], self._width(place)
            shown = min(natural, column.least + spare) if column.may_shrink else natural
            table.add_column(
                column.name,
                justify=column.justify,
                no_wrap=not column.may_wrap,
                overflow="fold" if column.may_wrap else "ellipsis",
                width=shown,
            )
        for row in self._rows:
            table.add_row(*(row.cells[place] for place in kept), style=row.style)
        return table
