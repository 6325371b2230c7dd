"""Watches a candidate in the shadow: what it would have chosen in a sample of runs, worked out beside the requests."""

from __future__ import annotations

import asyncio
from collections import deque

from inframind.graphs.recorder import RunRecorder
from inframind.router.actions import ActionSpace
from inframind.router.rollout import Lineup, ServingVersions
from inframind.router.shadow import Shadow, WouldChoose

WAITING = 256
"""Most runs that wait to be looked at; of a sample, what does not fit may be left out."""


class ShadowWatch:
    """Takes runs from any thread, and looks at them on the loop of `watch`.

    Args:
        versions: what serves, and what is a candidate.
        actions: over what.
        share: share of runs that are looked at.
    """

    def __init__(self, versions: ServingVersions, actions: ActionSpace, *, share: float) -> None:
        self._versions, self._actions, self._share = versions, actions, share
        self._waiting: deque[RunRecorder] = deque(maxlen=WAITING)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._has_come = asyncio.Event()
        self._shadow: Shadow | None = None

    def take(self, recorder: RunRecorder) -> None:
        """Something was decided in a run: look at it soon, if it belongs to the sample."""
        lineup = self._versions.lineup
        if lineup.candidate is None or lineup.rollout.stage != "shadow" or not self._is_sampled(recorder):
            return
        if recorder.would_choose is None:
            recorder.would_choose = WouldChoose(lineup.candidate.policy.version)
        is_first = not self._waiting
        self._waiting.append(recorder)
        if is_first and self._loop is not None:
            self._loop.call_soon_threadsafe(self._has_come.set)

    async def watch(self) -> None:
        """Look at runs until cancelled."""
        self._loop = asyncio.get_running_loop()
        if self._waiting:  # left by a watch that failed: nothing else says that they are there
            self._has_come.set()
        while True:
            await self._has_come.wait()
            self._has_come.clear()
            while self._waiting:
                self._look(self._waiting.popleft(), self._versions.lineup)
                await asyncio.sleep(0)

    def _is_sampled(self, recorder: RunRecorder) -> bool:
        return int(recorder.trace_id[-8:], 16) < self._share * 2**32

    def _look(self, recorder: RunRecorder, lineup: Lineup) -> None:
        noted, candidate = recorder.would_choose, lineup.candidate
        if noted is None or candidate is None or candidate.policy.version != noted.version:
            return  # it is a candidate no more, or another one is
        if self._shadow is None or self._shadow.policy is not candidate.policy:
            self._shadow = Shadow(candidate.policy, self._actions, candidate.decider.book)
        self._shadow.look(recorder.freeze("open"), noted)
