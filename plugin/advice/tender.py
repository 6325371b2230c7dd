"""Sees to advice beside learning: now and then, with nobody asking."""

from __future__ import annotations

import asyncio
import logging

from inframind.advisor.analysis import Analysis
from inframind.fleet.clock import Clock
from inframind.plugin.advice.desk import AdviceDesk

_log = logging.getLogger(__name__)
TEND_EVERY_S = 5.0
"""Seconds between two looks, at least."""


class AdviceTender:
    """Has a desk tended, and runs analysed anew when the latest analysis is too old.

    Args:
        desk: what is tended.
        clock: time.
        analyse_every_s: age in seconds at which an analysis is too old; 0 makes none.
    """

    def __init__(self, desk: AdviceDesk, clock: Clock, *, analyse_every_s: float) -> None:
        self._desk, self._clock, self._analyse_every_s = desk, clock, analyse_every_s
        self._tended_s = float("-inf")
        self._analysing: asyncio.Task[Analysis] | None = None

    async def tend(self) -> None:
        """What is due; an analysis goes on beside whatever comes next.

        Raises:
            StoreError: the store cannot be read or written.
        """
        if self._clock.now_s() - self._tended_s < TEND_EVERY_S:
            return
        self._tended_s = self._clock.now_s()
        for event in await self._desk.tend():
            _log.info("recommendation %s: %s", event.recommendation_id[:12], event.kind)
        if self._analysing is None and await self._is_due():
            self._analysing = asyncio.create_task(self._desk.analyse())
            self._analysing.add_done_callback(self._note_end)

    async def finish(self) -> None:
        """Wait for the analysis that was begun."""
        if self._analysing is not None:
            await asyncio.wait([self._analysing])

    async def _is_due(self) -> bool:
        if not self._analyse_every_s:
            return False
        latest = await self._desk.analysis()
        return latest is None or self._clock.wall_s() - latest.at_s >= self._analyse_every_s

    def _note_end(self, task: asyncio.Task[Analysis]) -> None:
        self._analysing = None
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("runs could not be analysed, which is tried again: %s", error, exc_info=error)
