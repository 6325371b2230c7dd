"""``inframind evaluate``, declared; what it does loads when it is called."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer

from inframind.errors import ConfigError
from inframind.plugin.cli_options import EngineName, RayAddress, Scheduling

DEFAULT_OUT = Path(".out/evaluation")


_EVALUATED, _REPLAYED, _READ = "", "--replay", "--read"
"""What is shown: an evaluation, or what the option of that name says."""
_MODES_OF_OPTION: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **dict.fromkeys(("replay", "benchmark", "column", "price", "cost"), (_REPLAYED,)),
        "read": (_READ,),
        "as_json": (_EVALUATED, _REPLAYED, _READ),
        **dict.fromkeys(("contenders", "seeds", "budgets", "out_folder"), (_EVALUATED, _REPLAYED)),
    }
)
"""Where options by their names mean something; those that are not named concern the simulated fleet alone."""
_NEEDS_REPLAY = "give it together with --replay TABLE, or leave it out"


class FleetName(StrEnum):
    """Which speeds the simulated servers have."""

    reference = "reference"
    h100 = "h100"


def evaluate(
    ctx: typer.Context,
    contenders: Annotated[
        list[str] | None,
        typer.Option(
            "--contenders", "-c", help="Who takes part, separated by commas; --list shows who there is."
        ),
    ] = None,
    rates: Annotated[
        list[str] | None,
        typer.Option(help="Mean arrivals a minute, separated by commas. Default: 10 to 300."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Number of seeds, paired over contenders. Default: 5.")
    ] = None,
    questions: Annotated[int | None, typer.Option(min=1, help="Questions per run. Default: 500.")] = None,
    arrivals: Annotated[
        str, typer.Option(help="poisson, bursty, bursty:ratio=4,dwell=30 or recorded:PATH.")
    ] = "poisson",
    budgets: Annotated[
        str,
        typer.Option(
            help="loguniform:5,300, tiers:5,30,300 or fixed:30, in seconds; with --replay also none."
        ),
    ] = "loguniform:5,300",
    items: Annotated[
        Path | None, typer.Option(help="JSONL file of questions with answers; half of it is learned from.")
    ] = None,
    mix: Annotated[
        str, typer.Option(help="Which questions come, such as levels=1,2:3;domains=math. Default: all alike.")
    ] = "",
    then: Annotated[
        list[str] | None,
        typer.Option(help="POINT:MIX, what comes later, such as 0.5:levels=4,5 or 600s:levels=4,5; repeat."),
    ] = None,
    fleet: Annotated[
        FleetName, typer.Option(help="reference: calibrated on published runs; h100: published step times.")
    ] = FleetName.reference,
    replicas: Annotated[int, typer.Option(min=1, help="Servers per model.")] = 1,
    scheduling: Annotated[Scheduling, typer.Option(help="How servers order their queues.")] = (
        Scheduling.priority
    ),
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; the results do not depend on it. Default: 1.")
    ] = None,
    engine: Annotated[
        EngineName, typer.Option(help="Where runs are played: here, or spread over Ray; the same results.")
    ] = EngineName.local,
    ray_address: RayAddress = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="Three rates, two seeds, 100 questions, unless given.")
    ] = False,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for tables and report.")] = DEFAULT_OUT,
    replay: Annotated[
        Path | None,
        typer.Option(help="Recorded table (Parquet or CSV: question, arm, solved, tokens, seconds) instead."),
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(help="With --replay: benchmark to play; repeat for more. Default: all."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="With --replay: MEANING=COLUMN, such as seconds=took or arm=model,prompt; repeat."),
    ] = None,
    price: Annotated[
        list[str] | None, typer.Option(help="With --replay: NAME=PRICE of an arm's or model's token; repeat.")
    ] = None,
    cost: Annotated[
        str | None,
        typer.Option(help="With --replay: cost, seconds, tokens or none. Default: what is recorded."),
    ] = None,
    read: Annotated[
        Path | None,
        typer.Option(help="Folder of a finished evaluation: print its table and render its report anew."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON and nothing else; all else to stderr.")
    ] = False,
    list_contenders: Annotated[bool, typer.Option("--list", help="Show the contenders and leave.")] = False,
) -> None:
    """Judge routing policies side by side: a table here, and a report with plots.

    Every contender meets the same questions, budgets, arrivals and replies, in virtual time, through the same
    LangGraph workflows. With --replay they choose among recorded answers of real models instead.

    Examples: [bold]inframind evaluate --quick[/bold],
    [bold]inframind evaluate -c just-enough,knn,oracle --rates 30,300 --workers 2[/bold],
    [bold]inframind evaluate --mix levels=1,2 --then 0.5:levels=4,5[/bold],
    [bold]inframind evaluate --replay outcomes.parquet[/bold]
    """
    _refuse_misplaced(ctx, _READ if read else _EVALUATED if replay is None else _REPLAYED)
    require_arena()
    sys.path.insert(0, str(Path.cwd()))  # for contenders of the user's own, as with `python -m`
    from inframind.arena.engines import EngineConfig
    from inframind.plugin.commands import evaluate as command
    from inframind.plugin.terminal import err, out

    console = err() if as_json else out()
    if list_contenders:
        command.print_contenders(out())
        return
    if read is not None:
        summary = command.show_evaluation(read, console)
    elif replay is not None:
        from inframind.plugin.commands.evaluate_replay import ReplayCall, run_replay

        call = ReplayCall(
            table=replay,
            contenders=tuple(contenders or ()),
            strata=tuple(benchmark or ()),
            seeds=seeds or command.SEEDS,
            budgets=budgets,
            columns=tuple(column or ()),
            prices=tuple(price or ()),
            cost=cost,
            out=out_folder,
        )
        summary = run_replay(call, console)
    else:
        scale = command.QUICK if quick else command.FULL
        options = command.EvaluateOptions(
            contenders=command.names_from(contenders or ()),
            scale=scale.with_given(command.rates_from(rates or ()), seeds, questions),
            arrivals=arrivals,
            mix=mix,
            shifts=tuple(then or ()),
            budgets=budgets,
            items_file=items,
            fleet=fleet.value,
            replicas=replicas,
            scheduling=scheduling.value,
            engine=EngineConfig(name=engine.value, workers=workers, address=ray_address),
            out=out_folder,
            command=shlex.join(["inframind", *sys.argv[1:]]),
        )
        summary = command.run_evaluation(options, console)
    if as_json:
        typer.echo(summary, nl=False)


def _refuse_misplaced(ctx: typer.Context, mode: str) -> None:
    """An option that would change nothing is a mistake, and says so.

    Raises:
        ConfigError: an option was given that means nothing in this mode.
    """
    for parameter in ctx.command.params:
        name, source = parameter.name or "", ctx.get_parameter_source(parameter.name or "")
        if (
            source is None
            or source.name != "COMMANDLINE"
            or mode in _MODES_OF_OPTION.get(name, (_EVALUATED,))
        ):
            continue
        fix = f"leave it out: it means nothing with {mode}" if mode else _NEEDS_REPLAY
        raise ConfigError(parameter.opts[0], _shown(ctx.params[name]), fix)


def _shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def require_arena() -> None:
    """The arena needs libraries that the core does not."""
    from importlib.util import find_spec

    missing = [name for name in ("pyarrow", "plotly", "starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise ConfigError("install", ", ".join(missing), "run: pip install 'inframind[arena]'")
