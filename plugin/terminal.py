"""How the command line writes: one console per stream, times and shares in one format, nothing that acts."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

PIPED_WIDTH = 160
"""Columns where there is no terminal to ask, so that tables in logs are not broken into shreds."""

_KEPT = "\n\t"


def out() -> Console:
    """Standard output."""
    return _console(is_stderr=False)


def err() -> Console:
    """Standard error."""
    return _console(is_stderr=True)


def _console(*, is_stderr: bool) -> Console:
    console = Console(stderr=is_stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    return console


def counted_progress(console: Console) -> Progress:
    """A bar for work that is counted: what is done, how many of how many, and how long it will take."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def safe(text: str) -> str:
    """Text of a model or a stranger without control characters, which could move the cursor or forge output."""
    return "".join(char if char.isprintable() or char in _KEPT else "�" for char in text)


def one_line(text: str, most_chars: int) -> str:
    """The text's words on one line, cut to a length."""
    line = " ".join(safe(text).split())
    return line if len(line) <= most_chars else f"{line[: most_chars - 1]}…"


def seconds(value_s: float | None) -> str:
    """A duration with three digits: ``0.042 s``, ``1.73 s``, ``25.1 s``; ``-`` for none."""
    if value_s is None:
        return "-"
    digits = 3 if abs(value_s) < 1 else 2 if abs(value_s) < 10 else 1
    return f"{value_s:.{digits}f} s"


def percent(share: float) -> str:
    """A share as a percentage without decimals."""
    return f"{100 * share:.0f} %"


def latency_text(latency_s: float, budget_s: float, *, is_late: bool) -> Text:
    """A latency against its budget: green in time, yellow when 80 % of it are gone, red late."""
    style = "red" if is_late else "yellow" if latency_s > 0.8 * budget_s else "green"
    return Text(f"{seconds(latency_s)} of {seconds(budget_s)}", style=style)


def solved_text(solved: bool | None) -> Text:
    """Whether it was right, in words and colour."""
    if solved is None:
        return Text("unknown", style="dim")
    return Text("solved", style="green") if solved else Text("wrong", style="red")
