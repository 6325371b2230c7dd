"""``inframind configs``: configurations and what became of their runs, for people."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from inframind.errors import ConfigError
from inframind.fleet.clock import Clock
from inframind.plugin.commands.configs_document import document_lines
from inframind.plugin.commands.traces import StorePlace, since
from inframind.plugin.config import load_settings
from inframind.plugin.fitted_table import Column, FittedTable, Row
from inframind.plugin.rollout_words import ago
from inframind.plugin.terminal import one_line, percent, seconds
from inframind.traces.figures import LEAST_RUNS, have_one_cost_unit
from inframind.traces.outcome_graph import (
    Comparison,
    ConfigurationSummary,
    MeanDifference,
    OutcomeGraph,
    RunFigures,
    ShareDifference,
    Worsening,
)
from inframind.traces.outcome_graphs import graph_of
from inframind.traces.records import SOLVED_ONLY, SolvedKeys

_NAMES_WIDTH = 17
DIGITS = 8
"""Of ids in tables."""
_NONE_YET = "no configurations yet: they are kept with the first runs; `inframind run` makes one"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphPlace:
    """Where the graph is, and what time it is.

    Attributes:
        place: of the store.
        clock: time.
    """

    place: StorePlace
    clock: Clock

    @property
    def keys(self) -> SolvedKeys:
        """Which feedback is a verdict."""
        if self.place.store is not None:
            return SOLVED_ONLY
        return SolvedKeys(load_settings(self.place.config).feedback.solved_keys)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[OutcomeGraph]:
        """The graph.

        Raises:
            ConfigError: there is no such store, or it has no graph.
        """
        async with self.place.opened() as store:
            yield graph_of(store)


# Commands --------------------------------------------------------------------------------------------------


def list_configs(
    place: GraphPlace, *, since_text: str | None, limit: int, as_json: bool, console: Console
) -> None:
    """Print configurations, that with the latest run first.

    Raises:
        ConfigError: ``since_text`` is no time.
    """
    since_s = since(since_text, place.clock) if since_text else None
    found = asyncio.run(_list(place, since_s, limit))
    _print_summaries(found, place, as_json=as_json, console=console, none=_NONE_YET)


def show_front(place: GraphPlace, *, least_labels: int, as_json: bool, console: Console) -> None:
    """Print what no other configuration beats in both success and cost."""
    found = asyncio.run(_front(place, least_labels))
    none = f"no configuration has a known cost and {least_labels} runs with a verdict; see `inframind configs list`"
    _print_summaries(found, place, as_json=as_json, console=console, none=none)


def show_config(place: GraphPlace, prefix: str, *, as_json: bool, console: Console) -> None:
    """Print one configuration.

    Raises:
        UnknownConfiguration, ConfigError: there is none, or the prefix begins several.
    """
    found = asyncio.run(_one(place, prefix))
    if as_json:
        typer.echo(json.dumps(asdict(found)))
        return
    now_s = place.clock.wall_s()
    for name, value in _lines(found, now_s):
        console.print(_hanging(name, value))


def compare_configs(place: GraphPlace, old: str, new: str, *, as_json: bool, console: Console) -> None:
    """Print what changed from one to the other, and how their runs differ.

    Raises:
        UnknownConfiguration, ConfigError: there is none, or a prefix begins several.
    """
    found = asyncio.run(_compare(place, old, new))
    if as_json:
        typer.echo(json.dumps(asdict(found)))
        return
    for line in _comparison(found):
        console.print(line)


def show_worse(place: GraphPlace, *, split_text: str, as_json: bool, console: Console) -> None:
    """Print what does worse since an instant than before it, with intervals that hold for all groups at once.

    Raises:
        ConfigError: the text is no time, or one to come.
    """
    now_s = place.clock.wall_s()
    split_s = since(split_text, place.clock)
    if split_s >= now_s:
        raise ConfigError("--since", split_text, "give a time that is past")
    found = asyncio.run(_worse(place, split_s, now_s - split_s))
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found]))
        return
    if not found:
        console.print(
            f"nothing does worse for sure than in the {ago(split_s, now_s).removesuffix(' ago')} before"
        )
        return
    console.print(_worse_table(found))


# The graph -------------------------------------------------------------------------------------------------


async def _list(place: GraphPlace, since_s: float | None, limit: int) -> Sequence[ConfigurationSummary]:
    async with place.opened() as graph:
        return await graph.configurations(since_s=since_s, limit=limit, keys=place.keys)


async def _front(place: GraphPlace, least_labels: int) -> Sequence[ConfigurationSummary]:
    async with place.opened() as graph:
        return await graph.front(keys=place.keys, least_labels=least_labels)


async def _one(place: GraphPlace, prefix: str) -> ConfigurationSummary:
    async with place.opened() as graph:
        return await graph.configuration(prefix)


async def _compare(place: GraphPlace, old: str, new: str) -> Comparison:
    async with place.opened() as graph:
        return await graph.compare(old, new, keys=place.keys)


async def _worse(place: GraphPlace, split_s: float, window_s: float) -> Sequence[Worsening]:
    async with place.opened() as graph:
        return await graph.got_worse(split_s=split_s, window_s=window_s, keys=place.keys)


# Words -----------------------------------------------------------------------------------------------------

_COLUMNS = (
    Column(name="id"),
    Column(name="policy", may_cut=True),
    Column(name="runs", justify="right"),
    Column(name="in time", justify="right", leave_out=3),
    Column(name="verdicts", justify="right", leave_out=4),
    Column(name="success", justify="right"),
    Column(name="latency", justify="right", leave_out=2),
    Column(name="cost", justify="right"),
    Column(name="rules", justify="right", leave_out=5),
    Column(name="advice", justify="right", leave_out=1),
    Column(name="latest run"),
)


def _print_summaries(
    found: Sequence[ConfigurationSummary], place: GraphPlace, *, as_json: bool, console: Console, none: str
) -> None:
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found]))
        return
    if not found:
        console.print(none)
        return
    now_s = place.clock.wall_s()
    console.print(FittedTable(_COLUMNS, [_row(one, now_s) for one in found]))


def _row(summary: ConfigurationSummary, now_s: float) -> Row:
    figures, document = summary.figures, summary.configuration.document
    cells = (
        Text(summary.configuration.configuration_id[:DIGITS], "bold"),
        Text(one_line(_policy_text(document), 60)),
        Text(f"{figures.runs:,}"),
        Text(_share(figures.on_time, figures.runs)),
        Text(f"{figures.labelled:,}"),
        Text(_share(figures.success, figures.labelled)),
        Text(seconds(figures.latency_s) if figures.runs else "-"),
        Text(_cost_text(figures)),
        Text(str(len(document.get("rules") or ()))),
        Text(str(summary.recommendations)),
        Text(ago(summary.last_s, now_s)),
    )
    return Row(cells)


def _lines(summary: ConfigurationSummary, now_s: float) -> Iterator[tuple[str, str]]:
    made = summary.configuration
    yield "configuration", made.configuration_id
    yield "seen", f"{ago(summary.first_s, now_s)}, latest run {ago(summary.last_s, now_s)}"
    yield "runs", _figures_text(summary.figures)
    yield "recommendations", str(summary.recommendations)
    yield from document_lines(made.document)


def _hanging(name: str, text: str) -> Table:
    """A name, and beside it a text that keeps to its own column."""
    row = Table.grid(padding=0)
    row.add_column(width=_NAMES_WIDTH)
    row.add_column(overflow="fold")
    row.add_row(Text(name, "bold"), Text(text))
    return row


def _figures_text(figures: RunFigures) -> str:
    if not figures.runs:
        return "none"
    success = f", {_share(figures.success, figures.labelled)} of {figures.labelled:,} right and in time"
    return (
        f"{figures.runs:,}: {_share(figures.on_time, figures.runs)} in time, "
        f"{_share(figures.failed, figures.runs)} failed{success if figures.labelled else ', no verdicts'}; "
        f"mean {seconds(figures.latency_s)}, cost {_cost_text(figures)}, {figures.completion_tokens:,.0f} tokens"
    )


def _cost_text(figures: RunFigures) -> str:
    return f"{figures.cost:.3g}" if figures.priced else "-"


def _comparison(found: Comparison) -> Iterator[Any]:
    for name, summary in (("old", found.old), ("new", found.new)):
        digits = summary.configuration.configuration_id[:DIGITS]
        yield Text.assemble((f"{name}  {digits}  ", "bold"), _figures_text(summary.figures))
    yield Text()
    for name, told in _differences(found):
        yield Text.assemble((f"{name:<9}", "bold"), told)
    yield Text()
    if not found.changes:
        yield Text("nothing is otherwise between the two")
        return
    columns = (Column(name="what changed"), Column(name="old"), Column(name="new", may_cut=True))
    rows = [
        Row((Text(one.path), Text(_value_text(one.before, 30)), Text(_value_text(one.after, 60))))
        for one in found.changes
    ]
    yield FittedTable(columns, rows)


def _differences(found: Comparison) -> Iterator[tuple[str, str]]:
    yield "success", _difference_text(found.success)
    yield "in time", _difference_text(found.on_time)
    yield "solved", _difference_text(found.solved)
    latency_s, cost, runs = found.latency_s, found.cost, f"one of the two has fewer than {LEAST_RUNS} runs"
    yield "latency", f"{_span(latency_s, '+.2f')} s" if latency_s else f"not known: {runs}"
    if cost is not None:
        yield "cost", f"{_span(cost, '+.3g')}{_relative_text(cost, found.old.figures.cost)}"
    elif have_one_cost_unit((found.old, found.new)):
        yield "cost", f"not known: {runs} with a known cost"
    else:
        yield "cost", "not known: the two count it in different units"


def _span(found: MeanDifference, form: str) -> str:
    return f"{found.change:{form}} [{found.low:{form}}, {found.high:{form}}]"


def _relative_text(found: MeanDifference, old: float) -> str:
    return f", {100 * found.change / old:+.0f} % of the old" if old > 0 else ""


def _worse_table(found: Sequence[Worsening]) -> FittedTable:
    columns = (
        Column(name="what"),
        Column(name="name", may_cut=True),
        Column(name="of"),
        Column(name="change"),
        Column(name="runs before", justify="right", leave_out=1),
        Column(name="runs after", justify="right", leave_out=2),
    )
    rows = [
        Row(
            (
                Text(one.by),
                Text(one.name[:DIGITS] if one.by == "configuration" else one_line(one.name, 40)),
                Text(one.metric.replace("_", " ")),
                Text(_difference_text(one.difference), "red"),
                Text(f"{one.before.runs:,}"),
                Text(f"{one.after.runs:,}"),
            )
        )
        for one in found
    ]
    return FittedTable(columns, rows)


def _difference_text(found: ShareDifference | None) -> str:
    if found is None:
        return "not known: one of the two has no such runs"
    return f"{100 * found.change:+.1f} points [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def _policy_text(document: Mapping[str, Any]) -> str:
    policy = document.get("policy", {})
    name, version = str(policy.get("name", "")), str(policy.get("version", ""))
    return f"{name} {version[:DIGITS]}".strip() or "-"


def _share(part: int, whole: int) -> str:
    return percent(part / whole) if whole else "-"


def _value_text(value: Any, most_chars: int = 400) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return one_line(text, most_chars)
