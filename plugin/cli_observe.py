"""The commands that watch an application which is not routed yet, declared."""

from __future__ import annotations

from typing import Annotated

import typer

from inframind.plugin.cli_options import DEFAULT_CONFIG, Config
from inframind.plugin.cli_traces import SinceFilter, Store, traces_app

PROGRAM = {"allow_extra_args": True, "allow_interspersed_args": False}
"""What follows the program's name is the program's."""


def observe(
    ctx: typer.Context,
    program: Annotated[str, typer.Argument(help="Python file, or -m after -- and a module.")],
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Run a LangGraph program unchanged, and record what each call of a model would have been here.

    Examples: [bold]inframind observe app.py --port 8000[/bold],
    [bold]inframind observe -- -m my_package.app[/bold], and then [bold]inframind traces observed[/bold]
    """
    from inframind.plugin.graphs.by_environment import run_script
    from inframind.plugin.terminal import err

    run_script(
        [program, *ctx.args],
        config,
        lambda seen: err().print(f"inframind observe: {seen.summary()}. More: inframind traces observed"),
    )


@traces_app.command("observed")
def traces_observed(
    since: SinceFilter = None,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """Show, per node of the programs that were watched, what would have been chosen instead.

    Example: [bold]inframind traces observed --since 1d[/bold]
    """
    from inframind.fleet.clock import SystemClock
    from inframind.plugin.commands.observed import show_observed
    from inframind.plugin.commands.traces import StorePlace
    from inframind.plugin.commands.traces import since as parse_since
    from inframind.plugin.terminal import out

    since_s = parse_since(since, SystemClock()) if since else None
    show_observed(StorePlace(config=config, store=store), config, since_s=since_s, console=out())
