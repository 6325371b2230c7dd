"""Sees to advice beside learning: now and then, with nobody asking."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from inframind.errors import StoreClosed
from inframind.fleet.clock import Clock
from inframind.plugin.advice.desk import AdviceDesk

_log = logging.getLogger(__name__)
TEND_EVERY_S = 5.0
"""Seconds between two looks, at least."""
LOOK_EVERY_S = 60.0
"""Seconds between two looks at the age of the latest analysis, at least."""
_LONGEST_WAIT_S = 3600.0
_DOUBLINGS = 16


class AdviceTender:
    """Has a desk tended, and runs analysed anew when the latest analysis is too old.

    Both go on beside whatever comes next: neither their failures nor the time they take are anybody else's.

    Args:
        desk: what is tended.
        clock: time.
        analyse_every_s: age in seconds at which an analysis is too old; 0 makes none.

    Attributes:
        waits: whether something that a person accepted is to be tried next; not while looking fails.
    """

    def __init__(self, desk: AdviceDesk, clock: Clock, *, analyse_every_s: float) -> None:
        self._desk, self._clock, self._analyse_every_s = desk, clock, analyse_every_s
        self.waits = False
        self._following = _Beside(
            "seeing to accepted recommendations", self._follow, clock, every_s=TEND_EVERY_S
        )
        self._looking = _Beside("analysing runs", self._look, clock, every_s=LOOK_EVERY_S)

    def tend(self) -> None:
        """Begin what is due."""
        self._following.begin_if_due()
        if self._analyse_every_s:
            self._looking.begin_if_due()

    async def finish(self) -> None:
        """Wait for what was begun."""
        await self._following.finish()
        await self._looking.finish()

    async def _follow(self) -> None:
        try:
            done = await self._desk.tend()
        except BaseException:
            self.waits = False  # what cannot be tried must not keep anything else from being tried
            raise
        self.waits = self._desk.waits
        for event in done:
            _log.info("recommendation %s: %s", event.recommendation_id[:12], event.kind)

    async def _look(self) -> None:
        latest = await self._desk.analysis()
        if latest is None or self._clock.wall_s() - latest.at_s >= self._analyse_every_s:
            await self._desk.analyse()


class _Beside:
    """Work that goes on beside other work, once at a time, and begins anew later and later while it fails."""

    def __init__(
        self, name: str, work: Callable[[], Awaitable[None]], clock: Clock, *, every_s: float
    ) -> None:
        self._name, self._work, self._clock, self._every_s = name, work, clock, every_s
        self._task: asyncio.Task[None] | None = None
        self._next_s, self._failures = float("-inf"), 0

    def begin_if_due(self) -> None:
        """On the running loop, unless it still goes on, or did lately."""
        if self._task is None and self._clock.now_s() >= self._next_s:
            self._next_s = self._clock.now_s() + self._every_s
            self._task = asyncio.create_task(self._run())

    async def finish(self) -> None:
        """Wait for its end, whatever that is."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            [ended] = await asyncio.gather(self._work(), return_exceptions=True)
        finally:
            self._task = None
        if ended is None or isinstance(ended, (StoreClosed, asyncio.CancelledError)):
            self._failures = 0
            return
        self._failures += 1
        wait_s = min(self._every_s * 2.0 ** min(self._failures, _DOUBLINGS), _LONGEST_WAIT_S)
        self._next_s = self._clock.now_s() + wait_s
        _log.error(
            "%s has failed and begins anew in %g s; learning and serving go on as they are: %s",
            self._name,
            wait_s,
            ended,
            exc_info=ended,
        )
