"""``inframind learn``, declared."""

from __future__ import annotations

from typing import Annotated

import typer

from inframind.errors import ConfigError
from inframind.plugin.cli_options import DEFAULT_CONFIG, Config


def learn(
    config: Config = DEFAULT_CONFIG,
    once: Annotated[bool, typer.Option("--once", help="Learn what there is now, and end.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on learning until stopped; what happens without --once.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what one batch would teach; nothing is kept.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a round, a line each.")] = False,
) -> None:
    """Learn from the runs in the trace store, publish candidates, and let the gate judge them.

    Needs [bold]\\[online] enabled = true, learner = "separate"[/bold] in the configuration. Kill it at any time: what
    was learned is kept together with the runs that taught it. Of several, one learns and the others wait.

    Exit codes: 0 stopped, or done; 1 another process leads (--once), or the store failed; 2 the configuration is wrong.

    Examples: [bold]inframind learn[/bold] beside the servers, [bold]inframind learn --once[/bold] from cron,
    [bold]inframind learn --dry-run[/bold] to see what it would do
    """
    if sum((once, follow, dry_run)) > 1:
        raise ConfigError("learn", "--once, --follow, --dry-run", "give one of them")
    from inframind.plugin.commands.learn import LearnOptions, Mode, learn
    from inframind.plugin.terminal import out

    mode: Mode = "dry-run" if dry_run else "once" if once else "follow"
    if not learn(LearnOptions(config=config, mode=mode, as_json=as_json), out()):
        raise typer.Exit(1)
