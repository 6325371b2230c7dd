"""What `inframind train` shows: a bar over runs, and a line per epoch, live on a terminal and as it comes elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from inframind.arena.training.environment import PlayedSweep
from inframind.arena.training.figures import EpochFigures
from inframind.plugin.fitted_table import Column, FittedTable, Row
from inframind.plugin.terminal import percent, seconds

ROWS_SHOWN = 12
"""Latest epochs on the board."""

_COLUMNS = (
    Column(name="epoch", justify="right"),
    Column(name="runs", justify="right"),
    Column(name="on time", justify="right"),
    Column(name="accuracy", justify="right"),
    Column(name="SLO", justify="right"),
    Column(name="latency", justify="right", leave_out=1),
    Column(name="calls", justify="right", leave_out=3),
    Column(name="top model"),
    Column(name="top strategy", leave_out=5),
    Column(name="top topology", leave_out=4),
    Column(name="multipliers", leave_out=2),
)


class TrainBoard:
    """Counts runs and keeps the latest epochs in sight.

    Args:
        planned_runs: of the whole training.
        console: where to.
    """

    def __init__(self, planned_runs: int, console: Console) -> None:
        self._epochs: list[EpochFigures] = []
        self._console = console
        self._progress = Progress(
            TextColumn("runs"), BarColumn(bar_width=30), MofNCompleteColumn(), TimeRemainingColumn()
        )
        self._task = self._progress.add_task("", total=planned_runs)
        self._live = Live(self, console=console, refresh_per_second=4) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.__exit__(None, None, None)

    def go_on(self, history: Sequence[EpochFigures]) -> None:
        """Count epochs that were done before."""
        self._epochs.extend(history)
        self._progress.advance(self._task, history[-1].runs if history else 0)

    def take_sweep(self, played: PlayedSweep) -> None:
        """Count the runs of a sweep."""
        self._progress.advance(self._task, len(played.episodes))

    def take_epoch(self, figures: EpochFigures) -> None:
        """Show an epoch."""
        self._epochs.append(figures)
        if self._live is None:
            self._console.print(_sentence(figures))

    def __rich__(self) -> RenderableType:
        return Group(self._progress, epochs_table(self._epochs[-ROWS_SHOWN:]))


def epochs_table(epochs: Sequence[EpochFigures]) -> FittedTable:
    """One line per epoch; the one that is kept in bold."""
    best = max(epochs, key=lambda one: one.smoothed, default=None)
    return FittedTable(_COLUMNS, [Row(_cells(one), "bold" if one is best else "") for one in epochs])


def _cells(one: EpochFigures) -> tuple[Text, ...]:
    cells = (
        str(one.epoch + 1),
        f"{one.runs:,}",
        percent(one.on_time_success),
        percent(one.accuracy),
        percent(one.slo_attainment),
        seconds(one.latency_mean_s),
        f"{one.calls:.1f}",
        _top(one.models, 1),
        _top(one.strategies, 1),
        _top(one.topologies, 1),
        " ".join(f"{value:.2f}" for value in one.multipliers),
    )
    return tuple(map(Text, cells))


def _top(shares: Mapping[str, float], most: int) -> str:
    """The largest shares."""
    ranked = sorted(shares.items(), key=lambda pair: -pair[1])[:most]
    return ", ".join(f"{name} {percent(share)}" for name, share in ranked) or "-"


def _sentence(one: EpochFigures) -> Text:
    return Text(
        f"epoch {one.epoch + 1}, {one.runs:,} runs: {percent(one.on_time_success)} on time, accuracy "
        f"{percent(one.accuracy)}, SLO {percent(one.slo_attainment)}, {one.calls:.1f} calls; {_top(one.models, 2)}; "
        f"{_top(one.strategies, 2)}; {_top(one.topologies, 2)}"
    )
