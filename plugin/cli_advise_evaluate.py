"""``inframind advise evaluate``, declared; what it does loads when it is called."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from inframind.errors import ConfigError
from inframind.plugin.cli_evaluate import require_arena
from inframind.plugin.cli_options import DEFAULT_CONFIG, Config, EngineName, RayAddress
from inframind.plugin.cli_traces import Store


class Traffic(StrEnum):
    """What candidates are tried on."""

    traces = "traces"
    simulated = "simulated"


def evaluate_candidates(
    recommendations: Annotated[
        list[str] | None,
        typer.Argument(
            help="First six or more digits of recommendations. With no candidate at all: whatever the latest "
            "analysis found."
        ),
    ] = None,
    rules: Annotated[
        list[Path] | None,
        typer.Option(
            "--rules",
            exists=True,
            dir_okay=False,
            help="TOML file with \\[\\[rules]], with \\[\\[candidates]] (a name and \\[\\[candidates.rules]] each), "
            "or a whole configuration; repeat.",
        ),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            help="Every change of these kinds, separated by commas: models, strategies, actions and topologies "
            "(without one), only (one model, strategy or topology alone), agents (fewer)."
        ),
    ] = None,
    by_domain: Annotated[
        bool, typer.Option("--by-domain", help="With --grid: each also for every kind of question by itself.")
    ] = False,
    on: Annotated[
        Traffic,
        typer.Option(
            help="traces: your own recorded runs, off-policy; simulated: servers like yours in virtual time, where "
            "load and latency change with the candidate."
        ),
    ] = Traffic.traces,
    runs: Annotated[
        int | None, typer.Option(min=1, help="With traces: latest runs, at most. Default: advisor.last.")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="With simulated: workloads at every rate; 3 or more. Default: 3."),
    ] = None,
    rates: Annotated[
        list[str] | None,
        typer.Option(help="With simulated: mean arrivals a minute, separated by commas. Default: 30,100."),
    ] = None,
    questions: Annotated[
        int | None, typer.Option(min=1, help="With simulated: questions per workload. Default: 200.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    store: Store = None,
    out_folder: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder of the results. Default: one under .out/candidates for each plan."
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Candidates that are tried at a time.")] = 50,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes; the results do not depend on it.")
    ] = None,
    engine: Annotated[
        EngineName, typer.Option(help="Where: here, or spread over Ray; the same results.")
    ] = EngineName.local,
    ray_address: RayAddress = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON and nothing else; all else to stderr.")
    ] = False,
) -> None:
    """Try many changes of the configuration at once, and say which are better, for sure or not.

    A change is a recommendation, rules out of a file, one of a grid, or another configuration altogether. One that
    cannot be tried, or fails, is reported and stops no other. Results are kept as each is done: after Ctrl-C or a
    kill the same command goes on where it was, with the runs that it began with.

    The folder holds the plan, every result and a summary; with --on traces also a copy of the runs for you alone to
    read (runs.jsonl.gz): with their questions, but without answers, drafts, messages of errors, comments and metadata.
    traces.retention_days does not reach it: delete the folder when you are done.

    Exit codes: 0 done; 1 no candidate could be tried; 2 the call is wrong, or the folder is another evaluation's;
    130 interrupted.

    Examples: [bold]inframind advise evaluate[/bold] for all that the latest analysis found,
    [bold]inframind advise evaluate 3f2a9c --on simulated[/bold],
    [bold]inframind advise evaluate --grid models,actions --by-domain --jobs 2[/bold],
    [bold]inframind advise evaluate --rules new.toml --rules other.toml --on simulated --rates 30,100 --seeds 5[/bold]
    """
    if by_domain and not grid:
        raise ConfigError("--by-domain", by_domain, "give it together with --grid, or leave it out")
    if on is Traffic.traces:
        _refuse_misplaced({"--seeds": seeds, "--rates": rates, "--questions": questions}, on)
    else:
        _refuse_misplaced({"--runs": runs}, on)
    require_arena()
    from inframind.arena.engines import EngineConfig
    from inframind.fleet.clock import SystemClock
    from inframind.plugin.commands import advise_evaluate as command
    from inframind.plugin.commands.evaluate import rates_from
    from inframind.plugin.terminal import err, out

    standard = command.Simulation()
    options = command.CandidateOptions(
        recommendations=tuple(recommendations or ()),
        files=tuple(rules or ()),
        grid=tuple(cell.strip() for text in grid or () for cell in text.split(",") if cell.strip()),
        by_domain=by_domain,
        on=on.value,
        runs=runs,
        simulation=command.Simulation(
            seeds=seeds or standard.seeds,
            rates_per_min=rates_from(rates or ()) or standard.rates_per_min,
            questions=questions or standard.questions,
        ),
        config=config,
        store=store,
        out=out_folder,
        batch=batch,
        engine=EngineConfig(name=engine.value, workers=jobs, address=ray_address),
    )
    console = err() if as_json else out()
    evaluated = command.evaluate_options(
        options, console, clock=SystemClock(), command=("inframind", *sys.argv[1:])
    )
    if as_json:
        typer.echo(evaluated.summary, nl=False)
    if not evaluated.any_tried:
        raise typer.Exit(1)


def _refuse_misplaced(given: Mapping[str, object], on: Traffic) -> None:
    """An option that would change nothing is a mistake, and says so."""
    for name, value in given.items():
        if value:
            raise ConfigError(name, value, f"leave it out: it means nothing with --on {on.value}")
