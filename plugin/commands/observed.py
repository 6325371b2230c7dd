"""``inframind traces observed``: what watching an application has shown."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich.console import Console

from inframind.fleet.endpoints import group_by_model
from inframind.plugin.commands.traces import StorePlace
from inframind.plugin.config import load_settings
from inframind.plugin.graphs.observed import Observed, observed
from inframind.traces.query import TraceQuery


def show_observed(place: StorePlace, config: Path, *, since_s: float | None, console: Console) -> None:
    """Print a table: per node the share of calls that would have gone elsewhere, and what that would change.

    Raises:
        ConfigError: the configuration cannot be read; it says what models there are, and what they cost.
    """
    models = group_by_model(load_settings(config).endpoint_specs())

    async def read() -> Observed:
        async with place.opened() as store:
            return await observed(store.iter(TraceQuery(since_s=since_s)), models)

    seen = asyncio.run(read())
    if not seen.runs:
        console.print("No run was watched yet: `inframind observe app.py`, or mind.observe(graph).")
        return
    console.print(seen.table())
    console.print(seen.summary())
    if seen.unknown_models:
        console.print(f"Not in {config}, so nothing is predicted for them: {', '.join(seen.unknown_models)}")
