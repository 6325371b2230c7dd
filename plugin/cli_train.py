"""``inframind train``, declared; what it does loads when it is called."""

from __future__ import annotations

import sys
from collections.abc import Collection
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from inframind.errors import ConfigError
from inframind.plugin.cli_evaluate import FleetName, require_arena
from inframind.plugin.cli_options import EngineName, RayAddress

DEFAULT_OUT = Path(".out/training")
_WITH_RESUME = {"out_folder", "resume", "engine", "workers", "ray_address"}
_WITH_REPLAY = {"out_folder", "replay", "seed", "cost"}
_ONLY_WITH_REPLAY = {"cost"}


class LearnerName(StrEnum):
    """What learns."""

    learned = "learned"
    published = "published"


def train(
    ctx: typer.Context,
    out_folder: Annotated[Path, typer.Option("--out", help="Run folder.")] = DEFAULT_OUT,
    fleet: Annotated[
        FleetName, typer.Option(help="reference: calibrated on published runs; h100: published step times.")
    ] = FleetName.reference,
    config: Annotated[
        Path | None,
        typer.Option(help="Configuration of a real fleet to train on, in real time, instead."),
    ] = None,
    items: Annotated[
        Path | None, typer.Option(help="JSONL file of questions with answers; half of it is learned from.")
    ] = None,
    learner: Annotated[
        LearnerName,
        typer.Option(help="learned: planner and executor over candidates; published: the reference."),
    ] = LearnerName.learned,
    reward: Annotated[
        str, typer.Option(help="on_time, additive, signed, ... or module:function of your own.")
    ] = "on_time",
    parameter: Annotated[
        list[str] | None, typer.Option(help="NAME=NUMBER, a parameter of the reward; repeat.")
    ] = None,
    price: Annotated[
        float | None, typer.Option(help="What a second of a busy server costs, in solved questions.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the rates. Default: 30.")] = None,
    rates: Annotated[
        list[str] | None,
        typer.Option(help="Mean arrivals a minute, separated by commas. Default: 10 to 300."),
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="Times the usual questions of a sweep. Default: 1, 330 an epoch.")
    ] = None,
    arrivals: Annotated[
        str, typer.Option(help="poisson, bursty, bursty:ratio=4,dwell=30 or recorded:PATH.")
    ] = "poisson",
    budgets: Annotated[
        str, typer.Option(help="loguniform:5,300, tiers:5,30,300 or fixed:30, in seconds.")
    ] = "loguniform:5,300",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same policy.")] = 0,
    sweeps_at_once: Annotated[
        int,
        typer.Option(
            min=1, help="Sweeps that one policy plays side by side before it learns; of 7 an epoch."
        ),
    ] = 1,
    engine: Annotated[
        EngineName, typer.Option(help="Where those are played: here, or spread over Ray; the same results.")
    ] = EngineName.local,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes for --sweeps-at-once. Default: 1, with Ray all cores."),
    ] = None,
    ray_address: RayAddress = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="Three epochs of a fifth of the questions, unless given.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the training in --out, as it was begun.")
    ] = False,
    replay: Annotated[
        Path | None,
        typer.Option(help="Learn from a recorded table (Parquet or CSV), or a folder of them, instead."),
    ] = None,
    cost: Annotated[
        str | None, typer.Option(help="With --replay: cost, seconds or tokens. Default: what is recorded.")
    ] = None,
) -> None:
    """Learn to route: a planner and an executor from nothing, in minutes, on the simulated fleet.

    Writes a run folder with the policy, curves, configuration and report. Ctrl-C or a kill loses nothing but the
    epoch that was under way: --resume goes on. [bold]inframind evaluate -c trained:FOLDER[/bold] judges the result.

    Examples: [bold]inframind train --quick[/bold], [bold]inframind train --reward additive --seed 1[/bold],
    [bold]inframind train --config inframind.toml --items questions.jsonl --rates 30 --epochs 5[/bold]
    """
    require_arena()
    sys.path.insert(0, str(Path.cwd()))  # for rewards of the user's own, as with `python -m`
    from inframind.plugin.terminal import out

    if replay is not None:
        refuse_given(ctx, _WITH_REPLAY, "leave it out: it means nothing with --replay")
        from inframind.plugin.commands.train_replay import train_replay

        train_replay(replay, out_folder, seed=seed, cost=cost, console=out())
        return
    refuse_given(ctx, {name for name in ctx.params if name not in _ONLY_WITH_REPLAY}, "give it with --replay")
    from inframind.arena.engines import EngineConfig
    from inframind.plugin.commands import train as command

    if resume:
        refuse_given(ctx, _WITH_RESUME, "leave it out: a training goes on as it was begun")
        command.resume(
            out_folder, out(), EngineConfig(name=engine.value, workers=workers, address=ray_address)
        )
        return
    if config is not None:
        refuse_given(ctx, set(ctx.params) - {"fleet"}, "leave it out: --config names a fleet")
    from inframind.plugin.commands import train_options as kept
    from inframind.plugin.commands.evaluate import rates_from

    options = kept.TrainOptions(
        out=out_folder,
        fleet=fleet.value,
        config=config,
        items_file=items,
        learner=learner.value,
        reward=reward,
        parameters=kept.parameters_from(parameter or ()),
        price=price,
        epochs=epochs or (kept.QUICK_EPOCHS if quick else kept.EPOCHS),
        rates_per_min=rates_from(rates or ()),
        scale=scale if scale is not None else kept.QUICK_SCALE if quick else 1.0,
        arrivals=arrivals,
        budgets=budgets,
        sweeps_at_once=sweeps_at_once,
        engine=EngineConfig(name=engine.value, workers=workers, address=ray_address),
        seed=seed,
    )
    command.train(options, out())


def refuse_given(ctx: typer.Context, allowed: Collection[str], fix: str) -> None:
    """An option that would change nothing is a mistake, and says so.

    Raises:
        ConfigError: an option was given that is not among those allowed.
    """
    for parameter in ctx.command.params:
        name = parameter.name or ""
        source = ctx.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE" and name not in allowed:
            value = ctx.params[name]
            shown = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
            raise ConfigError(parameter.opts[0], shown, fix)
