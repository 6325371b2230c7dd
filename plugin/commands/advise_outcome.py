"""What came of an accepted recommendation, in words: what was measured, beside what was promised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from inframind.plugin.advice.measuring import Moved
from inframind.plugin.advice.promises import Change, Part, Promise, Promised, moved_of
from inframind.plugin.advice.stories import Story
from inframind.plugin.commands.advise_words import (
    VERDICT_STYLES,
    change_text,
    level_text,
    metric_name,
    moved_text,
)
from inframind.plugin.fitted_table import Column, FittedTable, Row
from inframind.traces.advice import METRICS, Metric, Recommendation

_COLUMNS = (
    Column(name="measured"),
    Column(name="without it", justify="right", leave_out=2),
    Column(name="with it", justify="right", leave_out=1),
    Column(name="change"),
    Column(name="promised"),
)
_WORDS: dict[Promised, tuple[str, str, str]] = {
    "cost falls": ("cost fell by {by}", "cost rose by {by}", "whether cost fell"),
    "success stays": (
        "success kept within {margin}",
        "success lost {by}",
        "whether success kept within {margin}",
    ),
    "success rises": ("success rose by {by}", "success fell by {by}", "whether success rose"),
    "worth rises": (
        "success, time and cost are together worth {by} more",
        "success, time and cost are together worth {by} less",
        "whether success, time and cost are together worth more",
    ),
}
"""Where a promise was kept, where it was broken, and where nobody knows."""


def outcome_lines(story: Story) -> Iterator[Any]:
    """A table of what was measured, and whether that is what was promised; nothing before anything was measured."""
    promise, measured = story.promise, story.event("measured")
    if promise is None or measured is None:
        return
    yield Text()
    moved = moved_of(measured.facts)
    if len(moved) > 1:  # success alone is in the event's own line
        yield _table(story.recommendation, moved)
    yield Text.assemble(("promise ", "bold"), promise_text(promise))


def promise_text(promise: Promise) -> Text:
    """Whether a promise was kept, and in which parts."""
    told = "; ".join(_part_text(part, promise.margin) for part in promise.parts)
    return Text.assemble((promise.verdict, VERDICT_STYLES[promise.verdict]), f": {told}")


def _table(made: Recommendation, moved: dict[Metric, Moved]) -> FittedTable:
    return FittedTable(_COLUMNS, [_row(made, metric, moved[metric]) for metric in METRICS if metric in moved])


def _row(made: Recommendation, metric: Metric, moved: Moved) -> Row:
    cells = (
        metric_name(metric),
        level_text(metric, moved.before),
        level_text(metric, moved.after),
        moved_text(metric, moved),
        change_text(made.prediction(metric)),
    )
    return Row(tuple(Text(cell) for cell in cells))


def _part_text(part: Part, margin: float) -> str:
    kept, broken, unknown = (text.replace("{margin}", _points(margin)) for text in _WORDS[part.promised])
    if part.change is None:
        return f"{unknown} is not known"
    is_cost = part.promised == "cost falls"
    if part.verdict == "not known":
        return f"{unknown} is not known yet ({_signed(part.change, is_cost=is_cost)})"
    return (kept if part.verdict == "kept" else broken).replace("{by}", _size(part.change, is_cost=is_cost))


def _size(found: Change, *, is_cost: bool) -> str:
    """How much, without the sign that the words before it have."""
    sign = -1 if found.change < 0 else 1
    low, high = sorted((100 * sign * found.low, 100 * sign * found.high))
    change = 100 * sign * found.change
    return (
        f"{change:.0f} % [{low:.0f}, {high:.0f}]"
        if is_cost
        else f"{change:.1f} points [{low:.1f}, {high:.1f}]"
    )


def _signed(found: Change, *, is_cost: bool) -> str:
    change, low, high = (100 * value for value in (found.change, found.low, found.high))
    if is_cost:
        return f"{change:+.0f} % [{low:+.0f}, {high:+.0f}]"
    return f"{change:+.1f} points [{low:+.1f}, {high:+.1f}]"


def _points(margin: float) -> str:
    return f"{100 * margin:g} point{'' if margin == 0.01 else 's'}"
