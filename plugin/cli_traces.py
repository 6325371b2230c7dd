"""The commands that read and judge what happened, declared."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from inframind.plugin.cli_options import DEFAULT_CONFIG, Config

if TYPE_CHECKING:
    from inframind.traces.query import TraceQuery

traces_app = typer.Typer(no_args_is_help=True, help="List, show and export traces.")


class Status(StrEnum):
    """How a run ended, or that it goes on."""

    open = "open"
    ok = "ok"
    late = "late"
    failed = "failed"
    cancelled = "cancelled"


class Shape(StrEnum):
    """What an export is made of."""

    traces = "traces"
    runs = "runs"
    steps = "steps"
    chat = "chat"
    pairs = "pairs"


Store = Annotated[
    str | None, typer.Option(help="Trace store (a .db file or URL) instead of the configured one.")
]
TraceId = Annotated[str, typer.Argument(help="Trace id, or its first six or more digits.")]
StatusFilter = Annotated[Status | None, typer.Option(help="Only traces that ended so.")]
TopologyFilter = Annotated[str | None, typer.Option(help="Only traces of this topology.")]
SinceFilter = Annotated[
    str | None, typer.Option(help="Only arrivals since: 90s, 15m, 2h, 7d, or an ISO time.")
]


def explain(
    trace: TraceId,
    show_all: Annotated[bool, typer.Option("--all", help="Show every candidate and every endpoint.")] = False,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """Say why a run went the way it went: what was seen, masked and chosen, and what came of it.

    Example: [bold]inframind explain 4bf92f35 --all[/bold]
    """
    from inframind.plugin.commands.traces import StorePlace, explain_trace
    from inframind.plugin.terminal import out

    explain_trace(StorePlace(config=config, store=store), trace, show_all=show_all, console=out())


@traces_app.command("list")
def traces_list(
    status: StatusFilter = None,
    topology: TopologyFilter = None,
    solved: Annotated[
        bool | None, typer.Option("--solved/--not-solved", help="Only traces with this verdict.")
    ] = None,
    since: SinceFilter = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Whole traces, one JSON object a line.")] = False,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """List traces, newest first.

    Example: [bold]inframind traces list --status late --since 2h[/bold]
    """
    from inframind.plugin.commands.traces import StorePlace, list_traces
    from inframind.plugin.terminal import out

    query = _query(status=status, topology=topology, solved=solved, since=since, limit=limit)
    list_traces(StorePlace(config=config, store=store), query, as_json=as_json, console=out())


@traces_app.command("show")
def traces_show(
    trace: TraceId,
    as_json: Annotated[bool, typer.Option("--json", help="The whole trace as one JSON object.")] = False,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """Show one trace: its steps, or with --json everything.

    Example: [bold]inframind traces show 4bf92f35[/bold]
    """
    from inframind.plugin.commands.traces import StorePlace, show_trace
    from inframind.plugin.terminal import out

    show_trace(StorePlace(config=config, store=store), trace, as_json=as_json, console=out())


@traces_app.command("export")
def traces_export(
    file: Annotated[Path, typer.Argument(help="File to write: .jsonl, or .parquet for rows to train on.")],
    shape: Annotated[
        Shape, typer.Option(help="Whole traces, or rows to train on: see above.")
    ] = Shape.traces,
    reward: Annotated[
        str, typer.Option(help="solved, on_time (right and within the budget), or key:NAME of your feedback.")
    ] = "solved",
    policy: Annotated[str, typer.Option(help="Only what this policy, or version, decided.")] = "",
    least: Annotated[float | None, typer.Option("--min-reward", help="Only rows with at least this.")] = None,
    most: Annotated[float | None, typer.Option("--max-reward", help="Only rows with at most this.")] = None,
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="Rows without a verdict too, their reward empty.")
    ] = False,
    status: StatusFilter = None,
    topology: TopologyFilter = None,
    since: SinceFilter = None,
    until: Annotated[str | None, typer.Option(help="Only arrivals before: like --since.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """Write traces, or rows to fine-tune on, to a file.

    Shapes: [bold]traces[/bold] (everything, to read into another store), [bold]runs[/bold] and [bold]steps[/bold]
    (prompt, completion, reward, group_id), [bold]chat[/bold] (messages), [bold]pairs[/bold] (prompt, chosen,
    rejected).

    Example: [bold]inframind traces export good.parquet --shape chat --min-reward 1 --since 7d[/bold]
    """
    from inframind.plugin.commands.traces import StorePlace, export_traces, export_training
    from inframind.plugin.terminal import out
    from inframind.traces.training_rows import Shape as TrainingShape
    from inframind.traces.training_rows import TrainingRows

    place = StorePlace(config=config, store=store)
    query = _query(status=status, topology=topology, solved=None, since=since, until=until, limit=None)
    if shape is Shape.traces:
        given = {"reward": reward != "solved", "policy": policy, "min-reward": least, "max-reward": most}
        _refuse_rows_options([name for name, value in given.items() if value not in (False, "", None)], file)
        export_traces(place, file, query, force=force, console=out())
        return
    rows = TrainingRows(
        shape=cast(TrainingShape, shape.value),
        reward=reward,
        policy=policy,
        least=least,
        most=most,
        unlabelled=unlabelled,
    )
    export_training(place, file, rows, query, force=force, console=out())


@traces_app.command("outcomes")
def traces_outcomes(
    since: SinceFilter = None,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """Say how runs turned out, corrected for feedback that is still on its way.

    Where complaints come at once and praise comes late, the share so far is too low; missing is not a failure.

    Example: [bold]inframind traces outcomes --since 7d[/bold]
    """
    from inframind.fleet.clock import SystemClock
    from inframind.plugin.commands.outcomes import show_outcomes
    from inframind.plugin.commands.traces import StorePlace
    from inframind.plugin.terminal import out

    query = _query(status=None, topology=None, solved=None, since=since, limit=None)
    show_outcomes(StorePlace(config=config, store=store), query, clock=SystemClock(), console=out())


def _refuse_rows_options(names: list[str], file: Path) -> None:
    from inframind.errors import ConfigError

    if names:
        raise ConfigError(f"--{names[0]}", "given", "whole traces have no rows: name a --shape, such as runs")
    if file.suffix == ".parquet":
        raise ConfigError("file", str(file), "whole traces are JSON Lines; name a --shape to train on")


@traces_app.command("prune")
def traces_prune(
    before: Annotated[
        str | None,
        typer.Option(
            help="Arrived before: 90d, 12h, or an ISO time; the configured retention_days if left out."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only, forget nothing.")] = False,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """Forget old traces with their feedback, names and lessons, while others go on writing.

    Example: [bold]inframind traces prune --before 90d --dry-run[/bold]
    """
    from inframind.fleet.clock import SystemClock
    from inframind.plugin.commands.traces import StorePlace, prune_traces
    from inframind.plugin.terminal import out

    place = StorePlace(config=config, store=store)
    prune_traces(place, before, SystemClock(), dry_run=dry_run, console=out())


@traces_app.command("close-abandoned")
def traces_close_abandoned(
    before: Annotated[str, typer.Option(help="Arrived before: 7d, 12h, or an ISO time.")] = "7d",
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """Close runs that wait to be resumed, and that nobody resumes, as cancelled.

    Example: [bold]inframind traces close-abandoned --before 7d[/bold]
    """
    from inframind.fleet.clock import SystemClock
    from inframind.plugin.commands.traces import StorePlace, close_traces
    from inframind.plugin.terminal import out

    close_traces(StorePlace(config=config, store=store), before, SystemClock(), console=out())


def _query(
    *,
    status: Status | None,
    topology: str | None,
    solved: bool | None,
    since: str | None,
    limit: int | None,
    until: str | None = None,
) -> TraceQuery:
    from inframind.fleet.clock import SystemClock
    from inframind.plugin.commands.traces import since as parse_since
    from inframind.traces.query import TraceQuery

    return TraceQuery(
        status=status.value if status else None,
        topology=topology,
        solved=solved,
        since_s=parse_since(since, SystemClock()) if since else None,
        until_s=parse_since(until, SystemClock()) if until else None,
        limit=limit,
    )
