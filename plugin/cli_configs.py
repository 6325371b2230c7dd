"""The commands about configurations and their outcomes, declared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inframind.plugin.cli_options import DEFAULT_CONFIG, Config
from inframind.plugin.cli_traces import Store

if TYPE_CHECKING:
    from inframind.plugin.commands.configs import GraphPlace

configs_app = typer.Typer(
    no_args_is_help=True,
    help="Configurations and what became of their runs: what changed, what got worse, which are worth their cost.",
)

Id = Annotated[str, typer.Argument(help="First six or more digits of a configuration's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else; its keys stand above.")]
Since = Annotated[
    str | None, typer.Option(help="Only runs that arrived since: 90s, 15m, 2h, 7d, or an ISO time.")
]


@configs_app.command("list")
def configs_list(
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, help="Latest configurations to show.")] = 20,
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """Every configuration that runs were decided with, that with the latest run first.

    --json prints a list of: configuration (configuration_id, family, document), first_s, last_s, figures,
    recommendations. Figures are runs, on_time, failed, labelled, solved, success and priced, which are numbers of runs,
    and latency_s, cost and completion_tokens, which are means.

    Example: [bold]inframind configs list --since 7d[/bold]
    """
    from inframind.plugin.commands.configs import list_configs
    from inframind.plugin.terminal import out

    list_configs(_place(config, store), since_text=since, limit=limit, as_json=as_json, console=out())


@configs_app.command("show")
def configs_show(
    configuration: Id, as_json: AsJson = False, config: Config = DEFAULT_CONFIG, store: Store = None
) -> None:
    """One configuration: what may be chosen, who chooses, and what became of its runs.

    --json prints the keys that list has for each; document has all that may be chosen, the rules and the policy.

    Example: [bold]inframind configs show 9c1f33[/bold]
    """
    from inframind.plugin.commands.configs import show_config
    from inframind.plugin.terminal import out

    show_config(_place(config, store), configuration, as_json=as_json, console=out())


@configs_app.command("compare")
def configs_compare(
    old: Id, new: Id, as_json: AsJson = False, config: Config = DEFAULT_CONFIG, store: Store = None
) -> None:
    """Two configurations: what changed, and by how much their runs differ.

    --json prints old and new (as in list), changes (path, before, after), and success, on_time and solved: each null,
    or change, low and high, as shares with a 95 % interval.

    Example: [bold]inframind configs compare 9c1f33 e07ab2[/bold]
    """
    from inframind.plugin.commands.configs import compare_configs
    from inframind.plugin.terminal import out

    compare_configs(_place(config, store), old, new, as_json=as_json, console=out())


@configs_app.command("front")
def configs_front(
    least_labels: Annotated[int, typer.Option(min=1, help="Runs with a verdict, at least.")] = 30,
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """Configurations that no other beats in both success and cost, cheapest first.

    --json prints a list with the keys of `inframind configs list`.

    Example: [bold]inframind configs front --least-labels 100[/bold]
    """
    from inframind.plugin.commands.configs import show_front
    from inframind.plugin.terminal import out

    show_front(_place(config, store), least_labels=least_labels, as_json=as_json, console=out())


@configs_app.command("worse")
def configs_worse(
    split: Annotated[
        str, typer.Option("--since", help="Where before ends and after begins: 2h, 1d, or an ISO time.")
    ] = "1d",
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
) -> None:
    """What does worse since then than in as long a time before, for sure: configurations, topologies, domains.

    The intervals hold with 95 % at once, for all groups and metrics with ten or more runs: where nothing has changed,
    nothing is found in at least 19 of 20 looks.

    --json prints a list of: by, name, metric, before and after (figures, as in list), difference (change, low, high).

    Example: [bold]inframind configs worse --since 12h[/bold]
    """
    from inframind.plugin.commands.configs import show_worse
    from inframind.plugin.terminal import out

    show_worse(_place(config, store), split_text=split, as_json=as_json, console=out())


def _place(config: Path, store: str | None) -> GraphPlace:
    from inframind.fleet.clock import SystemClock
    from inframind.plugin.commands.configs import GraphPlace
    from inframind.plugin.commands.traces import StorePlace

    return GraphPlace(place=StorePlace(config=config, store=store), clock=SystemClock())
