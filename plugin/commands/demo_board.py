"""What the demo shows: a board while it runs, a report when it is done."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import which
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from inframind.arena.results.episodes import Episode, Rate, Summary, summarise, summarise_by
from inframind.arena.runner import Offer
from inframind.fleet.clock import Clock
from inframind.plugin.fitted_table import Column, FittedTable, Row
from inframind.plugin.terminal import latency_text, one_line, percent, seconds, solved_text

ROWS_SHOWN = 12
"""Ended questions on the board."""
LINE_EVERY_S = 5.0
"""Seconds between two lines where there is no terminal."""

LAG_TOLERATED_S = 0.5
"""A sender that is further behind its schedule is short of CPU, and the figures suffer for it."""


class Board:
    """Counts, and the questions that ended last: live on a terminal, a line now and then elsewhere."""

    def __init__(self, planned: int, clock: Clock, console: Console) -> None:
        self._planned, self._clock, self._console = planned, clock, console
        self._began_s = self._said_s = clock.now_s()
        self._sent = 0
        self._ended: list[Episode] = []
        self._last: deque[tuple[float, Episode]] = deque(maxlen=ROWS_SHOWN)
        self._live = Live(self, console=console, refresh_per_second=4) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.__exit__(None, None, None)

    def take(self, event: Offer | Episode) -> None:
        """Count an arrival or an end."""
        now_s = self._clock.now_s()
        if isinstance(event, Offer):
            self._sent += 1
        else:
            self._ended.append(event)
            self._last.append((now_s - self._began_s, event))
        is_done = len(self._ended) == self._planned
        if self._live is None and (is_done or now_s - self._said_s >= LINE_EVERY_S):
            self._said_s = now_s
            self._console.print(self._counts())

    def _counts(self) -> Text:
        ended = self._ended
        solved = sum(episode.solved and episode.is_on_time for episode in ended)
        late = sum(episode.status == "late" for episode in ended)
        failed = sum(episode.status == "failed" for episode in ended)
        wrong = len(ended) - solved - late - failed
        return Text(
            f"{self._clock.now_s() - self._began_s:5.1f} s: {self._sent} of {self._planned} sent, {len(ended)} "
            f"ended: {solved} solved in time, {wrong} wrong, {late} late, {failed} failed"
        )

    def __rich__(self) -> RenderableType:
        rows = [Row(_board_cells(at_s, episode)) for at_s, episode in tuple(self._last)]
        table = FittedTable(_BOARD, rows)
        head = Table.grid()
        head.add_row(self._counts())
        head.add_row(ProgressBar(total=self._planned, completed=len(self._ended), width=40))
        return Group(head, table)


_BOARD = (
    Column(name="time", leave_out=2),
    Column(name="level", leave_out=1),
    Column(name="topology"),
    Column(name="model / strategy", may_cut=True),
    Column(name="latency of budget"),
    Column(name="verdict"),
)


def _board_cells(at_s: float, episode: Episode) -> tuple[Text, ...]:
    return (
        Text(f"{at_s:.1f} s"),
        Text(str(episode.level)),
        Text(episode.topology or "-"),
        Text(f"{episode.model} / {episode.strategy}" if episode.model else "-"),
        latency_text(episode.latency_s, episode.budget_s, is_late=not episode.is_on_time),
        _verdict(episode),
    )


def _verdict(episode: Episode) -> Text:
    if episode.status == "failed":
        return Text(_short(episode.error), "red")
    if episode.status == "late":
        return Text("late, solved" if episode.solved else "late", "yellow")
    return solved_text(episode.solved)


def print_report(console: Console, episodes: Sequence[Episode], store: Path) -> None:
    """The figures, where the traces are, and what to look at next."""
    summary = summarise(episodes)
    console.print()
    console.print(_by_topology(episodes, summary))
    console.print()
    for line in _figures(summary):
        console.print(line)
    for error, count in _errors(episodes).items():
        console.print(Text(f"{count} x {error}", "red"))
    lag_s = max((episode.lag_s for episode in episodes), default=0.0)
    if lag_s > LAG_TOLERATED_S:
        console.print(
            Text(
                f"The sender was up to {seconds(lag_s)} behind: this machine is short of CPU, so treat lateness "
                "with care. A lower --rate helps.",
                "yellow",
            )
        )
    console.print()
    console.print(Text(f"traces: {store}"))
    console.print(Text("try next:"))
    command = typed_command()
    interesting = most_interesting(episodes)
    if interesting is not None:
        console.print(Text(f"  {command} explain {interesting.trace_id[:12]} --store {store}", "bold"))
    console.print(Text(f"  {command} traces list --status late --store {store}", "bold"))


def typed_command() -> str:
    """How to call us again: by name, or by the path that was typed where the name is not on the shell's path."""
    typed = Path(sys.argv[0])
    return str(typed) if typed.name == "inframind" and which("inframind") is None else "inframind"


def most_interesting(episodes: Sequence[Episode]) -> Episode | None:
    """The one to look at first: a late one (not by the sender's fault), then the one with the most calls."""
    traced = [episode for episode in episodes if episode.trace_id]
    return max(
        traced,
        key=lambda one: (
            one.status == "late" and one.lag_s < LAG_TOLERATED_S,
            len(one.calls),
            not one.solved,
        ),
        default=None,
    )


_REPORT = (
    Column(name="topology"),
    Column(name="offered", justify="right"),
    Column(name="on-time success", justify="right"),
    Column(name="accuracy", justify="right", leave_out=2),
    Column(name="SLO attainment", justify="right", leave_out=1),
    Column(name="p50", justify="right"),
    Column(name="p95", justify="right", leave_out=3),
    Column(name="late", justify="right"),
    Column(name="failed", justify="right"),
)


def _by_topology(episodes: Sequence[Episode], summary: Summary) -> FittedTable:
    rows = []
    groups = summarise_by(episodes, lambda episode: episode.topology or "(no answer)")
    for name, group in [*groups.items(), ("all", summary)]:
        cells = (
            name,
            str(group.offered),
            percent(group.on_time_success.value),
            percent(group.accuracy.value),
            percent(group.slo_attainment.value),
            seconds(group.latency_p50_s),
            seconds(group.latency_p95_s),
            str(group.late),
            str(group.failed),
        )
        rows.append(Row(tuple(map(Text, cells)), "bold" if name == "all" else ""))
    return FittedTable(_REPORT, rows)


def _figures(summary: Summary) -> list[Text]:
    return [
        Text(f"on-time success  {_rate(summary.on_time_success)}", "bold"),
        Text(f"accuracy         {_rate(summary.accuracy)}"),
        Text(f"SLO attainment   {_rate(summary.slo_attainment)}"),
        Text(
            f"latency          mean {seconds(summary.latency_mean_s)}, p50 {seconds(summary.latency_p50_s)}, "
            f"p95 {seconds(summary.latency_p95_s)}"
        ),
        Text(f"output tokens    {summary.completion_tokens:,}"),
        Text(f"calls by model   {_shares(summary.models)}"),
        Text(f"by strategy      {_shares(summary.strategies)}"),
    ]


def _rate(rate: Rate) -> str:
    low, high = rate.interval
    interval = f"95 % interval {percent(low)} to {percent(high)}"
    return f"{percent(rate.value)} ({rate.hits} of {rate.trials} offered; {interval})"


def _shares(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {percent(share)}" for name, share in shares.items()) or "none"


def _errors(episodes: Sequence[Episode]) -> Mapping[str, int]:
    """Failures by class, with the first one's message."""
    counts: dict[str, int] = {}
    first: dict[str, str] = {}
    for episode in episodes:
        if episode.status == "failed":
            name = _short(episode.error)
            counts[name] = counts.get(name, 0) + 1
            first.setdefault(name, one_line(episode.error, 300))
    return {first[name]: count for name, count in counts.items()}


def _short(error: str) -> str:
    return error.partition(":")[0]
