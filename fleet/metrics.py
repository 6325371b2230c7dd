"""Readings of every endpoint's load, taken in the background; a decision looks at the last one and never waits.

A server under load can take seconds to answer, a dead one never does. So every endpoint is read on its own,
with at most one request in flight, and a reading that could not be renewed stays and grows old: staleness is an
age, never a zero.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from inframind.errors import ConfigError, EndpointError
from inframind.fleet.clock import Clock
from inframind.fleet.metrics_page import EngineMetrics, parse_metrics
from inframind.fleet.wire import MetricsSource

__all__ = ["EngineMetrics", "MetricsScraper", "Reading", "parse_metrics"]

_JITTER = 0.1
_DOUBLINGS_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What an endpoint said about itself, and when.

    Attributes:
        metrics: its load.
        at_s: when the page was asked for, on the clock's monotonic axis: the reading is never younger than its
            age says, however long the server took.
    """

    metrics: EngineMetrics
    at_s: float


class MetricsScraper:
    """Polls endpoints' metrics pages in one background task.

    Belongs to the event loop that started it. `readings` and `errors` may be read from any thread.

    Args:
        sources: where the figures of each endpoint come from, by its name.
        clock: time of readings and of backing off.
        rng: jitter, so that several routers do not read in step.
        interval_s: between two readings of an endpoint, give or take 10 %.
        backoff_max_s: longest pause after failures; the pause doubles from ``interval_s`` with each.

    Raises:
        ConfigError: a time that is not positive.
    """

    def __init__(
        self,
        sources: Mapping[str, MetricsSource],
        *,
        clock: Clock,
        rng: np.random.Generator,
        interval_s: float = 0.5,
        backoff_max_s: float = 5.0,
    ) -> None:
        for name, value in (("interval_s", interval_s), ("backoff_max_s", backoff_max_s)):
            if not value > 0:
                raise ConfigError(f"metrics.{name}", value, "give a positive number of seconds")
        self._clock, self._rng = clock, rng
        self._interval_s, self._backoff_max_s = interval_s, backoff_max_s
        self._targets = [_Target(name, source) for name, source in sources.items()]
        self._readings: Mapping[str, Reading] = MappingProxyType({})
        self._errors: Mapping[str, str] = MappingProxyType({})
        self._task: asyncio.Task[None] | None = None

    @property
    def readings(self) -> Mapping[str, Reading]:
        """The last reading of each endpoint that ever gave one; a snapshot that does not change any more."""
        return self._readings

    @property
    def errors(self) -> Mapping[str, str]:
        """Why the latest attempt failed, of each endpoint whose latest attempt did; a snapshot too."""
        return self._errors

    async def start(self) -> None:
        """Begin to poll, unless that is being done already. The first readings come as soon as they can."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll_forever(), name="inframind-metrics")

    async def aclose(self) -> None:
        """Stop polling and close the connections. The readings stay, growing old."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()
        self._close_connections()

    async def scrape_once(self) -> None:
        """Read every endpoint that is not being read and not backing off, and wait for all of them."""
        async with asyncio.TaskGroup() as group:
            self._begin_polls(group)

    async def _poll_forever(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    self._begin_polls(group)
                    await asyncio.sleep(self._interval_s * self._rng.uniform(1 - _JITTER, 1 + _JITTER))
        finally:
            self._close_connections()

    def _close_connections(self) -> None:
        for target in self._targets:
            target.source.close()

    def _begin_polls(self, group: asyncio.TaskGroup) -> None:
        now_s = self._clock.now_s()
        for target in self._targets:
            metrics = target.source.at_hand()
            if metrics is not None:
                self._note_reading(target, Reading(metrics=metrics, at_s=now_s))
            elif not target.in_flight and now_s >= target.not_before_s:
                target.in_flight = True
                group.create_task(self._poll(target))

    async def _poll(self, target: _Target) -> None:
        at_s = self._clock.now_s()
        try:
            metrics = await target.source.read()
        except EndpointError as error:
            self._note_failure(target, str(error))
        else:
            self._note_reading(target, Reading(metrics=metrics, at_s=at_s))
        finally:
            target.in_flight = False

    def _note_reading(self, target: _Target, reading: Reading) -> None:
        target.failures = 0
        self._readings = MappingProxyType({**self._readings, target.name: reading})
        if target.name in self._errors:
            rest = {name: text for name, text in self._errors.items() if name != target.name}
            self._errors = MappingProxyType(rest)

    def _note_failure(self, target: _Target, text: str) -> None:
        pause_s = min(self._backoff_max_s, self._interval_s * 2 ** min(target.failures, _DOUBLINGS_MAX))
        target.failures += 1
        target.not_before_s = self._clock.now_s() + pause_s * self._rng.uniform(1 - _JITTER, 1)
        self._errors = MappingProxyType({**self._errors, target.name: text})


class _Target:
    """One endpoint's figures, and what is known about reading them."""

    def __init__(self, name: str, source: MetricsSource) -> None:
        self.name, self.source = name, source
        self.in_flight = False
        self.failures = 0
        self.not_before_s = -math.inf
