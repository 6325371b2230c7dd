"""``mind.advice``: the SDK's door to the desk, with and without an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from inframind.graphs.portal import Portal

if TYPE_CHECKING:
    from inframind.advisor.analysis import Analysis
    from inframind.plugin.advice.decided import Decided
    from inframind.plugin.advice.desk import AdviceDesk
    from inframind.plugin.advice.stories import Story
    from inframind.traces.advice import AdviceEvent, Recommendation

USER = "user"
"""Who decides, where nobody is named."""
T = TypeVar("T")


class Advice:
    """Recommendations: made, decided on, followed up. Each method has a twin that is awaited, named with an ``a``.

    All of it runs on one background loop, so it may be used from any thread and any loop.

    Args:
        portal: that loop.
        make: makes the desk, when it is needed first.

    Attributes:
        file: into which accepted rules go; None where the configuration was not read from a file.
    """

    def __init__(self, portal: Portal, make: Callable[[Path | None], AdviceDesk], file: Path | None) -> None:
        self._portal, self._make, self.file = portal, make, file
        self._desk: AdviceDesk | None = None

    async def aanalyse(self, *, last: int | None = None) -> Analysis:
        """Look at the latest runs: what fails, and what could be changed. Seconds of work, in a thread.

        Args:
            last: latest runs to read; the configured number unless given.

        Raises:
            ConfigError: an extra is not installed: ``pip install 'inframind[advisor]'``.
            StoreError: the store cannot be read or written.
        """
        return await self._there(lambda desk: desk.analyse(last=last))

    def analyse(self, *, last: int | None = None) -> Analysis:
        """`aanalyse` for callers without an event loop."""
        return self._run(lambda desk: desk.analyse(last=last))

    async def aanalysis(self) -> Analysis | None:
        """The latest one, whoever made it; None before the first.

        Raises:
            StoreError: the store cannot be read.
        """
        return await self._there(lambda desk: desk.analysis())

    def analysis(self) -> Analysis | None:
        """`aanalysis` for callers without an event loop."""
        return self._run(lambda desk: desk.analysis())

    async def arecommend(
        self, *, segment: str = "", domain: str = "", most: int | None = None
    ) -> tuple[Recommendation, ...]:
        """The best changes of the latest analysis for a person, best first; empty before the first analysis.

        What the same group of people was shown of it already, and is still open, is shown again as it is kept.

        Args:
            segment: group of people whom the person belongs to; "" for none.
            domain: of the questions it is about; "" for all.
            most: recommendations; the configured number unless given.

        Raises:
            ConfigError: no question has such a domain, ``most`` is below 1, or the configuration file cannot be read.
            StoreError: the store cannot be read or written.
        """
        return await self._there(lambda desk: desk.recommend(segment=segment, domain=domain, most=most))

    def recommend(
        self, *, segment: str = "", domain: str = "", most: int | None = None
    ) -> tuple[Recommendation, ...]:
        """`arecommend` for callers without an event loop."""
        return self._run(lambda desk: desk.recommend(segment=segment, domain=domain, most=most))

    async def ashown(self, *, segment: str = "", domain: str = "") -> tuple[Story, ...]:
        """What a group of people was recommended last, of the latest analysis, and how it stands; makes nothing new.

        Args:
            segment: group of people; "" for none.
            domain: of the questions that was asked about; "" for all.

        Raises:
            ConfigError: no question has such a domain, or the configuration file cannot be read.
            StoreError: the store cannot be read.
        """
        return await self._there(lambda desk: desk.shown(segment=segment, domain=domain))

    def shown(self, *, segment: str = "", domain: str = "") -> tuple[Story, ...]:
        """`ashown` for callers without an event loop."""
        return self._run(lambda desk: desk.shown(segment=segment, domain=domain))

    async def aaccept(self, recommendation_id: str, *, by: str = USER, again: bool = False) -> Decided:
        """Write its rules into the configuration file, with a copy beside it, and have the roll-out try them.

        Without ``[online]`` they take effect when processes start anew. Without a file the roll-out alone has them.

        Args:
            recommendation_id: or its first six or more digits.
            by: who accepts it.
            again: whether it may have been rejected, or accepted and taken back: the same change is then accepted as a
                recommendation of its own, ``story.recommendation``.

        Raises:
            UnknownRecommendation: there is none whose id begins so.
            AdviceMoved: it was decided on already; with ``again`` only if it is accepted.
            ConfigError: the file cannot be edited, or there is neither a file nor a roll-out; nothing was changed.
            StoreError: the store failed; `atend` does what is left.
        """
        return await self._there(lambda desk: desk.accept(recommendation_id, by=by, again=again))

    def accept(self, recommendation_id: str, *, by: str = USER, again: bool = False) -> Decided:
        """`aaccept` for callers without an event loop."""
        return self._run(lambda desk: desk.accept(recommendation_id, by=by, again=again))

    async def areject(self, recommendation_id: str, *, by: str = USER, reason: str = "") -> Story:
        """Say that it is not wanted.

        Raises:
            UnknownRecommendation: there is none whose id begins so.
            AdviceMoved: it was decided on already.
            ConfigError: the digits are too few, are not hex, or begin several; or the file cannot be read.
            StoreError: the store cannot be read or written.
        """
        return await self._there(lambda desk: desk.reject(recommendation_id, by=by, reason=reason))

    def reject(self, recommendation_id: str, *, by: str = USER, reason: str = "") -> Story:
        """`areject` for callers without an event loop."""
        return self._run(lambda desk: desk.reject(recommendation_id, by=by, reason=reason))

    async def arevert(self, recommendation_id: str, *, by: str = USER) -> Decided:
        """Take it back: out of the file, and out of what serves.

        Raises:
            UnknownRecommendation: there is none whose id begins so.
            ConfigError: it was never accepted, or the file cannot be edited; nothing was changed.
            StoreError: the store failed; `atend` does what is left.
        """
        return await self._there(lambda desk: desk.revert(recommendation_id, by=by))

    def revert(self, recommendation_id: str, *, by: str = USER) -> Decided:
        """`arevert` for callers without an event loop."""
        return self._run(lambda desk: desk.revert(recommendation_id, by=by))

    async def astories(self) -> tuple[Story, ...]:
        """All recommendations and what became of them, in the order in which they were made.

        Raises:
            ConfigError: the configuration file cannot be read.
            StoreError: the store cannot be read.
        """
        return await self._there(lambda desk: desk.stories())

    def stories(self) -> tuple[Story, ...]:
        """`astories` for callers without an event loop."""
        return self._run(lambda desk: desk.stories())

    async def atend(self) -> list[AdviceEvent]:
        """Do what is left to be done, and say what was done; whoever learns does so by itself.

        Raises:
            ConfigError: the configuration file cannot be read, or lacks rules and does not load.
            StoreError: the store cannot be read or written.
        """
        return await self._there(lambda desk: desk.tend())

    def tend(self) -> list[AdviceEvent]:
        """`atend` for callers without an event loop."""
        return self._run(lambda desk: desk.tend())

    def _run(self, work: Callable[[AdviceDesk], Coroutine[Any, Any, T]]) -> T:
        return self._portal.run(self._at_desk(work))

    async def _there(self, work: Callable[[AdviceDesk], Coroutine[Any, Any, T]]) -> T:
        if self._portal.is_current:
            return await self._at_desk(work)
        return await asyncio.to_thread(self._run, work)

    async def _at_desk(self, work: Callable[[AdviceDesk], Coroutine[Any, Any, T]]) -> T:
        """On the background loop alone, so that there is one desk."""
        if self._desk is None:
            self._desk = self._make(self.file)
        return await work(self._desk)
