"""A simulated fleet for an afternoon: servers in a process of their own, and the configuration that reaches them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from inframind.arena.scenario import endpoint_tables, fleet_specs
from inframind.simulator.fleet import SimulatedFleetProcess
from inframind.simulator.items import Item
from inframind.simulator.model import ToolCaller
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.prompt_reading import AnswerKey


@contextmanager
def simulated_endpoints(
    items: Sequence[Item] = (), *, models: Sequence[str] = (), speed: float = 20.0
) -> Iterator[list[dict[str, Any]]]:
    """Five models on loopback ports while the block lasts, as the ``endpoints`` of a configuration.

    Args:
        items: questions whose answers the models may know; sums they work out, everything else they make up. Where
            tools are offered they call the first one whenever a user has spoken.
        models: names of profiles; empty takes all.
        speed: simulated seconds per second.

    Raises:
        ConfigError: a model without a profile.
    """
    specs = fleet_specs(models)
    model = ToolCaller(speaker=LatentDifficultyModel(AnswerKey(items)))
    with SimulatedFleetProcess(specs, model, speed=speed) as fleet:
        yield endpoint_tables(specs, fleet.base_urls)
