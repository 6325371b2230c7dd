"""``inframind simulate``: the simulated fleet in the foreground, until it is stopped."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from inframind.arena.scenario import SchedulingPolicy, endpoint_tables, fleet_specs
from inframind.fleet.clock import SystemClock
from inframind.plugin.commands.endpoint_tables import replace_endpoints
from inframind.plugin.commands.write_config import write_endpoints
from inframind.simulator.fleet import SimulatedFleet
from inframind.simulator.items import Item, load_items
from inframind.simulator.model import ToolCaller
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.prompt_reading import AnswerKey
from inframind.simulator.server import ServerSpec


def simulate(
    models: Sequence[str],
    *,
    replicas: int,
    port_base: int,
    speed: float,
    seed: int,
    items_file: Path | None,
    scheduling_policy: SchedulingPolicy,
    config: Path | None,
    force: bool,
    console: Console,
) -> None:
    """Serve until SIGINT or SIGTERM, which is how a server in the foreground is meant to end."""
    specs = fleet_specs(models, replicas=replicas, scheduling_policy=scheduling_policy)
    items: tuple[Item, ...] = load_items(items_file) if items_file else ()
    model = ToolCaller(speaker=LatentDifficultyModel(AnswerKey(items)))
    fleet = SimulatedFleet(specs, model, seed=seed, speed=speed, port_base=port_base)
    asyncio.run(_serve(fleet, specs, config, force=force, console=console))


async def _serve(
    fleet: SimulatedFleet,
    specs: Sequence[ServerSpec],
    config: Path | None,
    *,
    force: bool,
    console: Console,
) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with fleet:
        if config is not None:
            tables = endpoint_tables(specs, fleet.base_urls)
            said = await asyncio.to_thread(_configured, config, tables, force=force)
        console.print(_table(fleet, specs))
        if config is not None:
            console.print(Text(f"{said}: inframind run 'How many primes are below 100?' --config {config}"))
        console.print("serving; Ctrl-C stops", style="dim")
        await stopped.wait()


def _configured(config: Path, tables: Sequence[Mapping[str, Any]], *, force: bool) -> str:
    """Have the configuration name these servers; what was done, in words."""
    if not (force and config.exists()):
        write_endpoints(config, tables)
        return f"{config} is written"
    backup = replace_endpoints(config, tables, at_s=SystemClock().wall_s())
    if backup is None:
        return f"{config} has these servers already"
    return (
        f"{config} has these servers as its [[endpoints]] now, and all else as it was (before: {backup.name})"
    )


def _table(fleet: SimulatedFleet, specs: Sequence[ServerSpec]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("endpoint", "model", "URL", "slots", "context", "scheduling"):
        table.add_column(name, overflow="fold")
    for spec in specs:
        profile = spec.profile
        cells = (
            spec.name,
            spec.model,
            fleet.base_urls[spec.name],
            str(profile.max_num_seqs),
            f"{profile.max_model_len:,}",
            profile.scheduling_policy,
        )
        table.add_row(*map(Text, cells))
    return table
