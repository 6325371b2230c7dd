"""The commands about policy versions and their roll-out, declared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inframind.plugin.cli_options import DEFAULT_CONFIG, Config, who_asks
from inframind.plugin.cli_traces import Store

if TYPE_CHECKING:
    from inframind.plugin.commands.policies import PolicyDesk

policies_app = typer.Typer(
    no_args_is_help=True,
    help="Policy versions: what serves, what is tried, and why; promote or roll back by hand.",
)

Version = Annotated[
    str,
    typer.Argument(help="First six or more digits of a version, or: serving, candidate, before, configured."),
]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why, for whoever reads the events.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@policies_app.command("list")
def policies_list(
    events: Annotated[int, typer.Option(min=0, help="Latest events to show.")] = 10,
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """What serves, what is tried, every version, and what happened.

    Example: [bold]inframind policies list --events 30[/bold]
    """
    from inframind.plugin.commands.policies import list_policies
    from inframind.plugin.terminal import out

    list_policies(_desk(config, store), events=events, as_json=as_json, console=out())


@policies_app.command("show")
def policies_show(
    version: Version,
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """One version: whence it came, what became of it, and who serves it.

    Example: [bold]inframind policies show serving[/bold]
    """
    from inframind.plugin.commands.policies import show_policy
    from inframind.plugin.terminal import out

    show_policy(_desk(config, store), version, as_json=as_json, console=out())


@policies_app.command("diff")
def policies_diff(
    old: Version,
    new: Version,
    last: Annotated[
        int, typer.Option(min=1, help="Latest runs whose decisions are asked about again.")
    ] = 200,
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """What two versions know and would do otherwise.

    Example: [bold]inframind policies diff serving candidate --last 500[/bold]
    """
    from inframind.plugin.commands.policies_diff import diff_policies
    from inframind.plugin.terminal import out

    diff_policies(_desk(config, store), old, new, last=last, as_json=as_json, console=out())


@policies_app.command("add")
def policies_add(
    file: Annotated[Path, typer.Argument(help="A policy file, as `inframind train` wrote it.")],
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """Put a trained policy on the shelf; no run is served by it before it is promoted.

    Example: [bold]inframind policies add runs/first/policy.safetensors[/bold]
    """
    from inframind.plugin.commands.policies import add_policy
    from inframind.plugin.terminal import out

    add_policy(_desk(config, store), file, as_json=as_json, console=out())


@policies_app.command("promote")
def policies_promote(
    version: Version,
    reason: Reason,
    share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of runs, to try it; 0 in the shadow. Default: it serves all."),
    ] = None,
    yes: Yes = False,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """Let a version serve all runs, or try it on a share of them.

    Examples: [bold]inframind policies promote 3f9a1c --share 0.1 --reason "new prices"[/bold],
    [bold]inframind policies promote candidate --reason "seen enough" --yes[/bold]
    """
    from inframind.plugin.commands.policies import promote
    from inframind.plugin.terminal import out

    promote(_desk(config, store), version, share=share, reason=reason, asks=not yes, console=out())


@policies_app.command("rollback")
def policies_rollback(
    reason: Reason,
    yes: Yes = False,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """End the candidate; without one, let the version before serve again.

    Example: [bold]inframind policies rollback --reason "answers got shorter"[/bold]
    """
    from inframind.plugin.commands.policies import roll_back
    from inframind.plugin.terminal import out

    roll_back(_desk(config, store), reason=reason, asks=not yes, console=out())


@policies_app.command("freeze")
def policies_freeze(
    reason: Reason, yes: Yes = False, config: Config = DEFAULT_CONFIG, store: Store = None
) -> None:
    """Stop all change: what serves goes on serving; nothing is published, promoted or rolled back by the gate.

    Example: [bold]inframind policies freeze --reason "release week"[/bold]
    """
    from inframind.plugin.commands.policies import set_frozen
    from inframind.plugin.terminal import out

    set_frozen(_desk(config, store), True, reason=reason, asks=not yes, console=out())


@policies_app.command("thaw")
def policies_thaw(
    reason: Reason = "", yes: Yes = False, config: Config = DEFAULT_CONFIG, store: Store = None
) -> None:
    """Let the gate go on where it was.

    Examples: [bold]inframind policies thaw[/bold], [bold]inframind policies thaw --reason "released"[/bold]
    """
    from inframind.plugin.commands.policies import set_frozen
    from inframind.plugin.terminal import out

    set_frozen(_desk(config, store), False, reason=reason, asks=not yes, console=out())


def _desk(config: Path, store: str | None) -> PolicyDesk:
    from inframind.fleet.clock import SystemClock
    from inframind.plugin.commands.policies import PolicyDesk
    from inframind.plugin.commands.traces import StorePlace

    place = StorePlace(config=config, store=store)
    return PolicyDesk(place=place, clock=SystemClock(), user=who_asks())
