"""The commands that say how runs turned out, declared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from inframind.errors import ConfigError
from inframind.plugin.cli_options import DEFAULT_CONFIG, Config
from inframind.plugin.cli_traces import SinceFilter, Store, traces_app

if TYPE_CHECKING:
    from inframind.plugin.importers.source import FeedbackSource

import_app = typer.Typer(no_args_is_help=True, help="Bring feedback that was given elsewhere to its traces.")
traces_app.add_typer(import_app, name="import")

CursorFile = Annotated[
    Path | None, typer.Option("--cursor", help="File to remember where the import ended, and to go on from.")
]
Keys = Annotated[list[str] | None, typer.Option("--key", help="Only feedback of this name; may be repeated.")]


def feedback(
    about: Annotated[
        str | None, typer.Argument(help="Trace id or its first digits, a message's id, or a run's UUID.")
    ] = None,
    thread: Annotated[str | None, typer.Option(help="A thread, for its latest run.")] = None,
    solved: Annotated[
        bool | None, typer.Option("--solved/--not-solved", help="Whether it was right.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="What else is judged, such as helpful.")] = None,
    score: Annotated[float | None, typer.Option(help="A number for --key.")] = None,
    value: Annotated[str | None, typer.Option(help="A label for --key.")] = None,
    comment: Annotated[str, typer.Option(help="In your own words.")] = "",
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """Say how a run turned out; saying it again replaces what was said before.

    Examples: [bold]inframind feedback 4bf92f35 --solved[/bold],
    [bold]inframind feedback --thread chat-7 --key helpful --score 0.8[/bold]
    """
    _check_feedback(solved, key, score, value, comment)
    from inframind.fleet.clock import SystemClock
    from inframind.plugin.commands.feedback import give_feedback
    from inframind.plugin.commands.traces import StorePlace
    from inframind.plugin.terminal import out

    give_feedback(
        StorePlace(config=config, store=store),
        about,
        thread=thread,
        solved=solved,
        key=key,
        score=score,
        value=value,
        comment=comment,
        clock=SystemClock(),
        console=out(),
    )


@import_app.command("langsmith")
def import_langsmith(
    key: Keys = None,
    project: Annotated[
        list[UUID] | None, typer.Option(help="Only this project's id; may be repeated.")
    ] = None,
    since: SinceFilter = None,
    cursor: CursorFile = None,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """Bring LangSmith's feedback; its own environment variables say where and who.

    Example: [bold]inframind traces import langsmith --key thumbs --cursor .langsmith-cursor[/bold]
    """
    from inframind.plugin.commands.feedback import langsmith_source

    _import(langsmith_source(keys=key or (), projects=project or ()), since, cursor, config, store)


@import_app.command("langfuse")
def import_langfuse(
    key: Keys = None,
    since: SinceFilter = None,
    cursor: CursorFile = None,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """Bring Langfuse's scores; its own environment variables say where and who.

    Example: [bold]inframind traces import langfuse --since 7d[/bold]
    """
    from inframind.plugin.commands.feedback import langfuse_source

    _import(langfuse_source(names=key or ()), since, cursor, config, store)


@import_app.command("otel")
def import_otel(
    file: Annotated[Path, typer.Argument(help="OTLP/JSON lines, as the collector's file exporter writes.")],
    since: SinceFilter = None,
    cursor: CursorFile = None,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """Bring OpenTelemetry's evaluation events.

    Example: [bold]inframind traces import otel evaluations.jsonl[/bold]
    """
    from inframind.plugin.commands.feedback import otel_source

    _import(otel_source(file), since, cursor, config, store)


@traces_app.command("prune-pending")
def traces_prune_pending(
    before: Annotated[str, typer.Option(help="Recorded before: 30d, 12h, or an ISO time.")] = "30d",
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """Forget feedback whose run never came.

    Example: [bold]inframind traces prune-pending --before 30d[/bold]
    """
    from inframind.fleet.clock import SystemClock
    from inframind.plugin.commands.feedback import prune_pending
    from inframind.plugin.commands.traces import StorePlace
    from inframind.plugin.commands.traces import since as parse_since
    from inframind.plugin.terminal import out

    place = StorePlace(config=config, store=store)
    prune_pending(place, before_s=parse_since(before, SystemClock()), console=out())


def _import(
    source: FeedbackSource, since: str | None, cursor: Path | None, config: Path, store: str | None
) -> None:
    from inframind.fleet.clock import SystemClock
    from inframind.plugin.commands.feedback import import_feedback_from
    from inframind.plugin.commands.traces import StorePlace
    from inframind.plugin.commands.traces import since as parse_since
    from inframind.plugin.terminal import out

    clock = SystemClock()
    import_feedback_from(
        StorePlace(config=config, store=store),
        source,
        since_s=parse_since(since, clock) if since else None,
        cursor_file=cursor,
        clock=clock,
        console=out(),
    )


def _check_feedback(
    solved: bool | None, key: str | None, score: float | None, value: str | None, comment: str
) -> None:
    if (solved is None) == (key is None):
        raise ConfigError("feedback", key or "", "give either --solved or --not-solved, or --key")
    if key is not None and score is None and value is None and not comment:
        raise ConfigError("feedback", key, "give --score, --value or --comment with --key")
    if solved is not None and (score is not None or value is not None):
        raise ConfigError("feedback", "solved", "--score and --value go with --key")
