"""Configurations that decided runs here: each is kept in the store once, beside the traces that name it."""

from __future__ import annotations

import asyncio
from collections import deque

from inframind.errors import ConfigError, RunError
from inframind.fleet.clock import Clock
from inframind.router.configuration import with_tools
from inframind.router.decide import Decider
from inframind.traces.configurations import Configuration
from inframind.traces.outcome_graphs import graph_of
from inframind.traces.store import TraceStore

_KEPT = 256
"""Configurations with tools that are not worked out anew."""


class Configured:
    """Notes configurations at once, from any thread, and keeps them later.

    Args:
        store: where the traces are. One that is none of ours has no place for configurations: its traces name them,
            and nobody can look them up.
        clock: time.
    """

    def __init__(self, store: TraceStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._seen: set[str] = set()
        self._news: deque[Configuration] = deque()
        self._with: dict[tuple[str, frozenset[str]], Configuration] = {}

    def see(self, decider: Decider, tools: frozenset[str] = frozenset()) -> str:
        """Id of the configuration of a decider whose calls offer tools of these names; news where it was never seen."""
        configuration = self._with_tools(decider.configuration, tools)
        name = configuration.configuration_id
        if name not in self._seen:
            self._news.append(configuration)
            self._seen.add(name)
        return name

    @property
    def is_news(self) -> bool:
        """Whether `keep` has something to do."""
        return bool(self._news)

    def _with_tools(self, configuration: Configuration, tools: frozenset[str]) -> Configuration:
        if not tools:
            return configuration
        key = (configuration.configuration_id, tools)
        known = self._with.get(key)
        if known is None:
            while len(self._with) >= _KEPT:
                self._with.pop(next(iter(self._with)), None)
            known = self._with[key] = with_tools(configuration, tools)
        return known

    async def keep(self) -> None:
        """Keep what is news. What fails, or is cancelled, is news again.

        Raises:
            StoreError: the store failed.
        """
        try:
            graph = graph_of(self._store)
        except ConfigError:
            self._news.clear()
            return
        while self._news:
            configuration = self._news.popleft()
            try:
                await graph.add_configuration(configuration, at_s=self._clock.wall_s())
            except (RunError, asyncio.CancelledError):  # such as where its loop ends before it does
                self._news.append(configuration)
                raise
