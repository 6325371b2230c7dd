"""The command line, declared: names, options, help and exit codes. What a command does loads when it is called.

Exit codes: 0 done, 1 the run went wrong or a check failed, 2 the call is wrong, 130 interrupted.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from inframind import __version__
from inframind.errors import CallerError, ConfigError, InfraMindError
from inframind.plugin.cli_advise import advise_app
from inframind.plugin.cli_configs import configs_app
from inframind.plugin.cli_evaluate import evaluate, require_arena
from inframind.plugin.cli_feedback import feedback
from inframind.plugin.cli_learn import learn
from inframind.plugin.cli_observe import PROGRAM, observe
from inframind.plugin.cli_options import DEFAULT_CONFIG, Config, Scheduling
from inframind.plugin.cli_policies import policies_app
from inframind.plugin.cli_traces import explain, traces_app
from inframind.plugin.cli_train import refuse_given, train

DEFAULT_OUT = Path(".out/demo")


class _TeachingGroup(TyperGroup):
    """Turns an `InfraMindError` into one red line and an exit code; ``--debug`` lets it through."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except InfraMindError as error:
            if ctx.params.get("debug"):
                raise
            typer.secho(f"{type(error).__name__}: {error}", fg="red", err=True)
            raise typer.Exit(2 if isinstance(error, CallerError) else 1) from error


app = typer.Typer(
    cls=_TeachingGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Console script ``inframind``."""
    app(prog_name="inframind")


class Domain(StrEnum):
    """What kind of question it is."""

    auto = "auto"
    math = "math"
    code = "code"
    knowledge = "knowledge"
    general = "general"


class PolicyName(StrEnum):
    """Who decides."""

    learned = "learned"
    just_enough = "just_enough"
    uniform = "uniform"


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"inframind {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Route questions over a fleet of OpenAI-compatible (vLLM) servers, in time and at the right price.

    No servers at hand? [bold]inframind demo[/bold] shows the whole job on a simulated fleet in about a minute.

    With servers: [bold]inframind init[/bold], edit inframind.toml, [bold]inframind doctor[/bold],
    [bold]inframind run "How many primes are below 100?" --budget 20[/bold].
    """


# Start -----------------------------------------------------------------------------------------------------


@app.command(rich_help_panel="Start")
def init(
    path: Annotated[Path, typer.Argument(help="File to write.")] = DEFAULT_CONFIG,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Write an annotated example configuration.

    Example: [bold]inframind init[/bold], then put your servers under \\[\\[endpoints]].
    """
    from inframind.plugin.commands.write_config import write_example

    write_example(path, force=force)
    typer.echo(f"{path} written; edit its endpoints, then: inframind doctor --config {path}")


@app.command(rich_help_panel="Start")
def doctor(
    config: Config = DEFAULT_CONFIG,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for each request.")] = 10.0,
) -> None:
    """Check every endpoint and the trace store; exit code 1 if a check fails.

    Example: [bold]inframind doctor --config prod.toml[/bold]
    """
    from inframind.plugin.commands.doctor import doctor
    from inframind.plugin.terminal import out

    if not doctor(config, timeout_s=timeout, console=out()):
        raise typer.Exit(1)


@app.command(rich_help_panel="Start")
def demo(
    ctx: typer.Context,
    items: Annotated[
        Path | None,
        typer.Option(help="JSONL file of questions: problem or question, answer, optionally level."),
    ] = None,
    questions: Annotated[int, typer.Option(min=1, help="Number of questions.")] = 60,
    rate: Annotated[float, typer.Option(help="Mean arrivals a minute (Poisson).")] = 120.0,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is left to chance.")] = 0,
    topology: Annotated[str, typer.Option(help="Topology of every question, or auto.")] = "auto",
    policy: Annotated[PolicyName, typer.Option(help="Who decides.")] = PolicyName.learned,
    exploration: Annotated[
        float, typer.Option(min=0, max=1, help="Share of decisions drawn at random.")
    ] = 0.1,
    budget_min: Annotated[float, typer.Option(help="Least latency budget in seconds.")] = 2.0,
    budget_max: Annotated[float, typer.Option(help="Largest one; budgets are log-uniform between.")] = 30.0,
    speed: Annotated[float, typer.Option(help="How much faster than real time the servers compute.")] = 1.0,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the trace store.")] = DEFAULT_OUT,
    train: Annotated[
        bool,
        typer.Option(
            "--train", help="Learn to route from nothing instead, and compare; three minutes or so."
        ),
    ] = False,
    open_reports: Annotated[
        bool, typer.Option("--open", help="With --train: show its reports in the browser.")
    ] = False,
) -> None:
    """The whole job on a simulated fleet of five models, over real HTTP, in about a minute.

    Questions arrive at random with mixed budgets, are routed, answered and graded; traces and outcomes are kept.
    Exit codes: 0 every question was dealt with, be it late or wrong; 1 a question failed; 2 an option is wrong.

    Examples: [bold]inframind demo[/bold], [bold]inframind demo --topology Debate --rate 300[/bold],
    [bold]inframind demo --items questions.jsonl[/bold], [bold]inframind demo --train --open[/bold]
    """
    _require_simulator()
    if train:
        _demo_training(ctx, out_folder, items, seed, opens=open_reports)
        return
    refuse_given(ctx, set(ctx.params) - {"open_reports"}, "give it together with --train, or leave it out")
    from inframind.plugin.commands.demo import DemoOptions, demo
    from inframind.plugin.terminal import out

    options = DemoOptions(
        items_file=items,
        questions=questions,
        rate_per_min=rate,
        seed=seed,
        topology=topology,
        policy=policy.value,
        exploration=exploration,
        budget_min_s=budget_min,
        budget_max_s=budget_max,
        speed=speed,
        out=out_folder,
    )
    if not demo(options, out()):
        raise typer.Exit(1)


def _demo_training(
    ctx: typer.Context, out_folder: Path, items: Path | None, seed: int, *, opens: bool
) -> None:
    allowed = {"train", "open_reports", "out_folder", "items", "seed"}
    refuse_given(ctx, allowed, "leave it out: it means nothing with --train")
    require_arena()
    from inframind.plugin.commands.demo_train import DemoTraining, demo_training
    from inframind.plugin.terminal import out

    demo_training(DemoTraining(out=out_folder, items_file=items, seed=seed), out(), opens=opens)


@app.command(rich_help_panel="Start")
def simulate(
    models: Annotated[
        list[str] | None,
        typer.Option("--models", "-m", help="Model to serve; repeat for more. Default: all five."),
    ] = None,
    replicas: Annotated[int, typer.Option(min=1, help="Servers per model.")] = 1,
    port_base: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the first server, the others follow; 0: free ones.")
    ] = 0,
    speed: Annotated[float, typer.Option(min=0.001, help="Simulated seconds per second.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of all replies.")] = 0,
    items: Annotated[
        Path | None, typer.Option(help="JSONL file of questions that the models can know.")
    ] = None,
    scheduling_policy: Annotated[Scheduling, typer.Option(help="How servers order their queues.")] = (
        Scheduling.priority
    ),
    write_config: Annotated[
        Path | None, typer.Option(help="Write a configuration for these servers.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Where that file exists, replace its \\[\\[endpoints]]; all else stays, and a copy is kept.",
        ),
    ] = False,
) -> None:
    """Serve simulated vLLM servers on loopback ports until Ctrl-C.

    Speeds are those of real models; answers are made up, but for the questions in --items, which the models get
    right as often as their sizes suggest.

    Example: [bold]inframind simulate --write-config sim.toml[/bold], and in another terminal
    [bold]inframind run "How many primes are below 100?" --config sim.toml[/bold]
    """
    _require_simulator()
    from inframind.plugin.commands.simulate import simulate
    from inframind.plugin.terminal import out

    simulate(
        models or (),
        replicas=replicas,
        port_base=port_base,
        speed=speed,
        seed=seed,
        items_file=items,
        scheduling_policy=scheduling_policy.value,
        config=write_config,
        force=force,
        console=out(),
    )


# Ask -------------------------------------------------------------------------------------------------------


@app.command(rich_help_panel="Ask")
def run(
    question: Annotated[str, typer.Argument(help="The question; - reads it from standard input.")],
    budget: Annotated[
        float | None,
        typer.Option("--budget", "-b", help="Latency budget in seconds; default: the configured one."),
    ] = None,
    topology: Annotated[
        str, typer.Option(help="auto, IO, CoT, Chain, FullConnected, Debate or Reflection.")
    ] = "auto",
    domain: Annotated[
        Domain | None, typer.Option(help="Kind of question; default: the configured one.")
    ] = None,
    team_size: Annotated[
        int | None, typer.Option(min=1, max=6, help="Number of agents; default: the planner chooses.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Answer one question, and show the steps on the way.

    Examples: [bold]inframind run "How many primes are below 100?" --budget 20[/bold],
    [bold]inframind run "Is 91 prime?" --topology Debate --team-size 3 --json[/bold]
    """
    from inframind.plugin.asking import RunOptions
    from inframind.plugin.commands.run import run

    options = RunOptions(budget_s=budget, topology=topology, team_size=team_size)
    if domain is not None:
        options["domain"] = domain.value
    text = sys.stdin.read() if question == "-" else question
    run(text, options, config=config, as_json=as_json)


app.command(rich_help_panel="Learn and judge")(train)
app.command(rich_help_panel="Learn and judge")(evaluate)
app.command(rich_help_panel="Learn and judge")(learn)
app.command(rich_help_panel="Start", context_settings=PROGRAM)(observe)
app.command(rich_help_panel="Traces")(explain)
app.command(rich_help_panel="Traces")(feedback)
app.add_typer(traces_app, name="traces", rich_help_panel="Traces")
app.add_typer(advise_app, name="advise", rich_help_panel="Learn and judge")
app.add_typer(configs_app, name="configs", rich_help_panel="Learn and judge")
app.add_typer(policies_app, name="policies", rich_help_panel="Learn and judge")


def _require_simulator() -> None:
    """The simulated fleet needs a web server, which the core does not."""
    from importlib.util import find_spec

    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise ConfigError("install", ", ".join(missing), "run: pip install 'inframind[simulator]'")


if __name__ == "__main__":
    main()
