"""The commands about advice, declared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inframind.plugin.cli_advise_evaluate import evaluate_candidates
from inframind.plugin.cli_options import DEFAULT_CONFIG, Config, who_asks
from inframind.plugin.cli_traces import Store
from inframind.plugin.cli_train import refuse_given

if TYPE_CHECKING:
    from inframind.plugin.commands.advise_desk import DeskPlace

advise_app = typer.Typer(invoke_without_command=True)

Id = Annotated[str, typer.Argument(help="First six or more digits of a recommendation's id.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Segment = Annotated[str, typer.Option(help="Group of people whom you belong to, such as cost or quality.")]


@advise_app.callback()
def advise(
    ctx: typer.Context,
    segment: Segment = "",
    domain: Annotated[
        str, typer.Option(help="Only changes and failure patterns of this domain: math, code, ...")
    ] = "",
    last: Annotated[
        int | None, typer.Option(min=1, help="Latest runs to read; analyses anew. Default: as configured.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Analyse anew, however new the latest is.")] = False,
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """Say what fails and what to change, each with what recorded runs promise of it.

    Analyses the latest runs when the latest analysis is an hour old or more, when runs have grown by half since, or
    when the configuration or what is accepted changed. Nothing changes before it is accepted:
    [bold]inframind advise accept ID[/bold] shows the change of inframind.toml, asks, and keeps a copy of the file. With
    \\[online] the roll-out then tries it on a few runs first; else it takes effect when processes start anew.

    Examples: [bold]inframind advise[/bold], [bold]inframind advise --segment cost --domain math[/bold],
    [bold]inframind advise --last 20000 --json[/bold]
    """
    if ctx.invoked_subcommand is not None:
        refuse_given(ctx, set(), f"write it after `{ctx.invoked_subcommand}`, if it has that option")
        return
    from inframind.plugin.commands.advise import Wanted, advise
    from inframind.plugin.terminal import err, out

    wanted = Wanted(segment=segment, domain=domain, last=last, fresh=fresh)
    advise(_place(config, store), wanted, as_json=as_json, console=out(), progress=err())


@advise_app.command("list")
def advise_list(
    limit: Annotated[int, typer.Option(min=1, help="Latest recommendations to show.")] = 20,
    decided: Annotated[
        bool, typer.Option("--decided", help="Only those that were accepted or rejected.")
    ] = False,
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """Recommendations that were made, and how they stand.

    Example: [bold]inframind advise list --decided[/bold]
    """
    from inframind.plugin.commands.advise import list_advice
    from inframind.plugin.terminal import out

    list_advice(_place(config, store), limit=limit, decided=decided, as_json=as_json, console=out())


@advise_app.command("show")
def advise_show(
    recommendation: Id, as_json: AsJson = False, config: Config = DEFAULT_CONFIG, store: Store = None
) -> None:
    """One recommendation: what it answers, what it promises, what it changes, and its story.

    Example: [bold]inframind advise show 4bf92f35[/bold]
    """
    from inframind.plugin.commands.advise import show_advice
    from inframind.plugin.terminal import out

    show_advice(_place(config, store), recommendation, as_json=as_json, console=out())


@advise_app.command("accept")
def advise_accept(
    recommendation: Id,
    again: Annotated[
        bool, typer.Option("--again", help="Even if it was rejected, or accepted and taken back.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """Write a recommendation's rules into the configuration, with a copy of the file beside it.

    What was taken back or rejected is accepted by --again, as a recommendation of its own: the same rules, a new id.

    Example: [bold]inframind advise accept 4bf92f35[/bold]
    """
    from inframind.plugin.commands.advise_decide import accept_advice
    from inframind.plugin.terminal import out

    accept_advice(
        _place(config, store), recommendation, again=again, asks=not yes, as_json=as_json, console=out()
    )


@advise_app.command("reject")
def advise_reject(
    recommendation: Id,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why, for whoever reads its story.")] = "",
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """Say that a recommendation is not wanted; the next ones will be others.

    Example: [bold]inframind advise reject 4bf92f35 --reason "that model is going away"[/bold]
    """
    from inframind.plugin.commands.advise_decide import reject_advice
    from inframind.plugin.terminal import out

    reject_advice(_place(config, store), recommendation, reason=reason, as_json=as_json, console=out())


@advise_app.command("revert")
def advise_revert(
    recommendation: Id,
    yes: Yes = False,
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """Take an accepted recommendation back: out of the file, and out of what serves.

    Example: [bold]inframind advise revert 4bf92f35[/bold]
    """
    from inframind.plugin.commands.advise_decide import revert_advice
    from inframind.plugin.terminal import out

    revert_advice(_place(config, store), recommendation, asks=not yes, as_json=as_json, console=out())


advise_app.command("evaluate")(evaluate_candidates)


def _place(config: Path, store: str | None) -> DeskPlace:
    from inframind.fleet.clock import SystemClock
    from inframind.plugin.commands.advise_desk import DeskPlace

    return DeskPlace(config=config, store=store, clock=SystemClock(), user=who_asks())
