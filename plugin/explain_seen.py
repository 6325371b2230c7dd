"""What a decision saw, in words: figures, what a plan was told of each step, loads of the servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from inframind.plugin.fitted_table import Column, FittedTable, Row
from inframind.plugin.terminal import safe, seconds
from inframind.traces.records import Decision, Step

LOADS_SHOWN = 8
"""Endpoints that a cut table of loads shows."""
_OF_STEPS = "step_"
"""Begins the names of what a plan was told of every action of a step, in their order."""


def what_was_seen(
    decision: Decision, step: Step | None, labels: Sequence[str], *, show_all: bool
) -> Iterator[RenderableType]:
    """A line of figures and a table of loads.

    Args:
        decision: whose.
        step: that it led to.
        labels: of the actions of a step; () where no step of the run was decided on.
        show_all: leave nothing out.
    """
    yield from _saw(decision)
    if show_all:
        yield from _of_steps(decision, labels)
    loads = decision.seen.get("loads")
    if isinstance(loads, Mapping) and loads:
        yield from _load_table(loads, step, show_all=show_all)


def figure(value: object) -> str:
    """With three digits where it is no whole number."""
    if value is None:
        return "unknown"
    return f"{value:.3g}" if isinstance(value, float) else safe(str(value))


def _saw(decision: Decision) -> Iterator[Text]:
    silent = _SAYS_NOTHING if "node" in decision.seen else frozenset({"loads"})
    seen = [
        _seen(name, value)
        for name, value in decision.seen.items()
        if name not in silent and not _is_of_steps(name, value)
    ]
    if seen:
        yield Text(f"saw: {'; '.join(seen)}")


def _is_of_steps(name: str, value: object) -> bool:
    return name.startswith(_OF_STEPS) and isinstance(value, list | tuple)


def _of_steps(decision: Decision, labels: Sequence[str]) -> Iterator[RenderableType]:
    """A table of what a plan was told of the actions of steps; none where nothing says which these are."""
    told = {
        name.removeprefix(_OF_STEPS): value
        for name, value in decision.seen.items()
        if _is_of_steps(name, value) and len(value) == len(labels)
    }
    if told:
        columns = [Column(name="a step"), *(Column(name=_heading(name), justify="right") for name in told)]
        rows = [
            Row((Text(label), *(Text(_cell(name, column[place])) for name, column in told.items())))
            for place, label in enumerate(labels)
        ]
        yield FittedTable(columns, rows)


def _heading(name: str) -> str:
    return name.removesuffix("_s").replace("_", " ")


def _cell(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return seconds(value) if name.endswith("_s") and isinstance(value, float) else figure(value)


_SAYS_NOTHING = frozenset(
    {
        "loads",
        "kind",
        "topology",
        "position",
        "team_size",
        "round",
        "depth_left",
        "agreement",
        "role",
        "task_id",
    }
)
"""Of a call in an application: where it stands in a team it has none of."""


def _seen(name: str, value: object) -> str:
    if name.endswith("_s") and isinstance(value, int | float):
        return f"{name.removesuffix('_s').replace('_', ' ')} {seconds(float(value))}"
    return f"{name.replace('_', ' ')} {figure(value)}"


_LOAD_COLUMNS = (
    Column(name="load of"),
    Column(name="breaker", leave_out=6),
    Column(name="running", justify="right", leave_out=4),
    Column(name="waiting", justify="right", leave_out=5),
    Column(name="KV use", justify="right", leave_out=2),
    Column(name="ours there", justify="right", leave_out=1),
    Column(name="reading's age", justify="right", leave_out=3),
)


def _load_table(
    loads: Mapping[str, Mapping[str, Any]], step: Step | None, *, show_all: bool
) -> Iterator[RenderableType]:
    """Loads as they were known then; the endpoint that answered comes first where the table is cut."""
    names = list(loads)
    if step is not None and step.endpoint in names:
        names.sort(key=lambda name: name != step.endpoint)
    shown = names if show_all else names[:LOADS_SHOWN]
    yield FittedTable(_LOAD_COLUMNS, [_load_row(name, loads[name]) for name in shown])
    if len(shown) < len(names):
        yield Text(f"and {len(names) - len(shown)} more", "dim")


def _load_row(name: str, load: Mapping[str, Any]) -> Row:
    age_s = load.get("age_s")
    cells = (
        name,
        figure(load.get("breaker")),
        figure(load.get("running")),
        figure(load.get("waiting")),
        figure(load.get("kv_cache_usage")),
        f"{figure(load.get('in_flight'))} + {figure(load.get('waiting_here'))} waiting",
        "never read" if age_s is None else seconds(float(age_s)),
    )
    return Row(tuple(Text(cell) for cell in cells))
