"""Where the commands about advice find their desk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inframind.fleet.clock import Clock
from inframind.plugin.advice.assembly import advice_desk
from inframind.plugin.advice.desk import AdviceDesk
from inframind.plugin.commands.traces import StorePlace
from inframind.plugin.config import load_settings
from inframind.traces.store import TraceStore


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskPlace:
    """The configuration and its store, what time it is, and who asks.

    Attributes:
        config: configuration file.
        store: trace store instead of the configured one, or None.
        clock: time.
        user: ``user:<name>``, for events.
    """

    config: Path
    store: str | None
    clock: Clock
    user: str

    def is_judged(self) -> bool:
        """Whether somebody judges what is tried: who learns does.

        Raises:
            ConfigError: the configuration is wrong.
        """
        return load_settings(self.config).online.learner != "off"

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[AdviceDesk, TraceStore]]:
        """The desk, tended, and the store; both for one loop. Where somebody learns, measuring is left to them.

        Raises:
            ConfigError: there is no such file or store, or settings contradict each other.
        """
        settings = load_settings(self.config)
        async with StorePlace(config=self.config, store=self.store).opened() as store:
            rng = np.random.default_rng()  # a seed would have every call draw the same
            measures = settings.online.learner == "off"  # nobody who calls a command waits for a trial's runs
            desk = advice_desk(
                settings, store, clock=self.clock, rng=rng, file=self.config, measures=measures
            )
            await desk.tend()
            yield desk, store
