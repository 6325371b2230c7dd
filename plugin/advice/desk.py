"""The desk where advice is made, decided on and followed up: one thing at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import numpy as np

from inframind.advisor.analysis import Analysis
from inframind.advisor.recommending import Ranking
from inframind.fleet.clock import Clock
from inframind.plugin.advice.analysts import Analyst
from inframind.plugin.advice.config_file import ConfigFile
from inframind.plugin.advice.decided import Decided
from inframind.plugin.advice.decisions import Decisions
from inframind.plugin.advice.follow_up import FollowUp
from inframind.plugin.advice.freshness import Freshness
from inframind.plugin.advice.measurer import Measurer
from inframind.plugin.advice.offers import Offers
from inframind.plugin.advice.recommender import Recommender
from inframind.plugin.advice.serving import Serving
from inframind.plugin.advice.stories import Stories, Story
from inframind.plugin.advice.toml_edit import FileEdit
from inframind.plugin.latest_runs import Progress, not_told
from inframind.router.rulebook import RuleBook
from inframind.traces.advice import AdviceEvent, Recommendation


class AdviceDesk:
    """Makes recommendations, takes decisions on them, and sees to what follows. For one event loop.

    Every step on the way of a decision may be interrupted: what is written twice is the same, and `tend` does what is
    left. Several processes may work at the same store; who was too late looks again.

    Args:
        ranking: ranks options; knows what ``stories`` has read.
        stories: recommendations and what became of them.
        analyst: looks at runs.
        measurer: compares runs before and after; None where somebody else does.
        serving: has the roll-out try what is accepted; None without ``[online]``.
        file: into which rules go, or None where there is none: then the roll-out alone serves them.
        book: gives rules over what may be chosen, to see what of others speaks of what is gone.
        clock: time.
        rng: all chance there is; the same seed makes the same ids.
    """

    def __init__(
        self,
        *,
        ranking: Ranking,
        stories: Stories,
        analyst: Analyst,
        measurer: Measurer | None,
        serving: Serving | None,
        file: ConfigFile | None,
        book: Callable[[], RuleBook],
        clock: Clock,
        rng: np.random.Generator,
    ) -> None:
        self._stories, self._analyst, self._serving = stories, analyst, serving
        self._offers = Offers(stories, ranking, file, tries=serving is not None, book=book, clock=clock)
        self._recommender = Recommender(analyst, stories, self._offers, ranking, clock=clock, rng=rng)
        self._follow_up = FollowUp(stories, file=file, serving=serving, measurer=measurer)
        self._decisions = Decisions(
            stories, self._offers, self._follow_up, file=file, serving=serving, clock=clock
        )
        self._one_at_a_time = asyncio.Lock()

    @property
    def tries(self) -> bool:
        """Whether the roll-out tries what is accepted, see ``[online]``; else it serves when processes start anew."""
        return self._serving is not None

    @property
    def waits(self) -> bool:
        """Whether, when it was last looked, something that was accepted waited for another trial to end."""
        return self._serving is not None and self._serving.waits

    # Making --------------------------------------------------------------------------------------------

    async def analyse(self, *, last: int | None = None, tell: Progress = not_told) -> Analysis:
        """Look at the latest runs, and keep what is found; seconds of work, in a thread.

        Args:
            last: latest runs to read; the configured number unless given.
            tell: is told how far it is.

        Raises:
            ConfigError: an extra is not installed.
            StoreError: the store cannot be read or written.
        """
        return await self._analyst.analyse(last=last, tell=tell)

    async def analysis(self) -> Analysis | None:
        """The latest one, whoever made it; None before the first.

        Raises:
            StoreError: the store cannot be read.
        """
        return await self._analyst.latest()

    async def freshness(self, analysis: Analysis) -> Freshness:
        """Whether an analysis still says what the store says; counts runs, and reads a few of them.

        Raises:
            StoreError: the store cannot be read.
            UnknownPolicy, CheckpointError: what serves cannot be read by this release.
        """
        return await self._analyst.freshness(analysis)

    @property
    def window_s(self) -> float:
        """Age in seconds of the oldest runs that an analysis reads, see ``[advisor] days``."""
        return self._analyst.window_s

    async def recommend(
        self, *, segment: str = "", domain: str = "", most: int | None = None
    ) -> tuple[Recommendation, ...]:
        """The best of the latest analysis for a person, best first; empty where there is nothing to recommend.

        They are kept, as shown: what is then accepted, rejected and measured teaches what to recommend next. Where the
        same would be shown again to the same segment, it is what is kept already.

        Args:
            segment: group of people whom the person belongs to; "" for none.
            domain: of the questions it is about; "" for all.
            most: recommendations; the configured number unless given.

        Raises:
            ConfigError: no question has such a domain, ``most`` is below 1, or the file cannot be read.
            StoreError: the store cannot be read or written.
        """
        self.require_domain(domain)
        async with self._one_at_a_time:
            return await self._recommender.recommend(segment=segment, domain=domain, most=most)

    async def shown(self, *, segment: str = "", domain: str = "") -> tuple[Story, ...]:
        """What was recommended to a segment last for a domain, if it is of the latest analysis; empty otherwise.

        What came into force through something else since, or was refused, is left out.

        Raises:
            ConfigError: no question has such a domain, or the file cannot be read.
            StoreError: the store cannot be read.
        """
        self.require_domain(domain)
        async with self._one_at_a_time:
            return await self._recommender.shown(segment=segment, domain=domain)

    async def hidden(self, *, segment: str = "", domain: str = "") -> Mapping[str, int]:
        """How many options of the latest analysis are not shown to a person, by why not.

        Raises:
            ConfigError: no question has such a domain, or the file cannot be read.
            StoreError: the store cannot be read.
        """
        self.require_domain(domain)
        async with self._one_at_a_time:
            return await self._recommender.hidden(segment=segment, domain=domain)

    async def stopped(self) -> str:
        """Why the mode ``process`` was stopped; "" where it was not, or is not on.

        Raises:
            StoreError: the store cannot be read.
        """
        async with self._one_at_a_time:
            return await self._recommender.stopped()

    def require_domain(self, domain: str) -> None:
        """Refuse a domain that no question has; "" is all.

        Raises:
            ConfigError: which there are.
        """
        self._analyst.require_domain(domain)

    # Reading -------------------------------------------------------------------------------------------

    async def stories(self) -> tuple[Story, ...]:
        """All recommendations and what became of them, in the order in which they were made.

        Raises:
            ConfigError: the file cannot be read.
            StoreError: the store cannot be read.
        """
        async with self._one_at_a_time:
            await self._stories.read()
            await self._stories.know_all()
            return self._offers.all()

    async def accepted(self) -> tuple[Story, ...]:
        """Recommendations that somebody accepted, in that order; also those that were taken back since.

        Raises:
            ConfigError: the file cannot be read.
            StoreError: the store cannot be read.
        """
        async with self._one_at_a_time:
            await self._stories.read()
            return self._offers.accepted()

    async def story(self, prefix: str) -> Story:
        """The recommendation whose id begins with these six or more hex digits, and what became of it.

        Raises:
            UnknownRecommendation: there is none.
            ConfigError: the prefix is too short, is not hex, or begins several; or the file cannot be read.
            StoreError: the store cannot be read.
        """
        async with self._one_at_a_time:
            await self._stories.read()
            return self._offers.told(await self._stories.find(prefix))

    # Deciding ------------------------------------------------------------------------------------------

    async def acceptance(self, prefix: str, *, again: bool = False) -> FileEdit | None:
        """What accepting a recommendation would write; None where there is no file.

        Args:
            prefix: of its id.
            again: whether it may have been rejected, or accepted and taken back.

        Raises:
            UnknownRecommendation: there is none.
            AdviceMoved: it was decided on already; with ``again`` only if it is accepted.
            ConfigError: the file cannot be edited, or no application could be made of it with these rules; or what
                they do is in force already; or there is neither a file nor a roll-out.
            StoreError: the store cannot be read or written.
        """
        async with self._one_at_a_time:
            return await self._decisions.acceptance(prefix, again=again)

    async def unmeasured_beside(self, prefix: str, *, again: bool = False) -> tuple[Story, ...]:
        """What was accepted before, is not measured yet, and was not in force when a recommendation was predicted.

        What is promised of it together with these nobody knows.

        Raises:
            UnknownRecommendation, AdviceMoved, ConfigError: as `acceptance`.
            StoreError: the store cannot be read or written.
        """
        async with self._one_at_a_time:
            return await self._decisions.unmeasured_beside(prefix, again=again)

    async def accept(
        self, prefix: str, *, by: str, again: bool = False, edit: FileEdit | None = None
    ) -> Decided:
        """Write a recommendation's rules into the file, with a copy beside it, and have the roll-out try them.

        Args:
            prefix: of its id.
            by: who accepts it: ``user:<name>``.
            again: whether it may have been rejected, or accepted and taken back: the same change is then accepted as a
                recommendation of its own, which is told.
            edit: what was shown and agreed to, see `acceptance`; refused where another would be written by now.

        Raises:
            UnknownRecommendation, AdviceMoved, ConfigError: as `acceptance`; nothing was changed.
            StoreError: the store failed; `tend` does what is left.
            UnknownPolicy, CheckpointError: it was accepted, and this release cannot read what serves: as `tend`.
        """
        async with self._one_at_a_time:
            return await self._decisions.accept(prefix, by=by, again=again, shown=edit)

    async def reject(self, prefix: str, *, by: str, reason: str = "") -> Story:
        """Say that a recommendation is not wanted; it teaches what to recommend next.

        Raises:
            UnknownRecommendation: there is none.
            AdviceMoved: it was decided on already.
            ConfigError: the prefix is too short, is not hex, or begins several; or the file cannot be read.
            StoreError: the store cannot be read or written.
        """
        async with self._one_at_a_time:
            return await self._decisions.reject(prefix, by=by, reason=reason)

    async def reversal(self, prefix: str) -> FileEdit | None:
        """What taking a recommendation back would write; None where there is no file.

        Raises:
            UnknownRecommendation: there is none.
            ConfigError: it was never accepted, or the file cannot be edited.
            StoreError: the store cannot be read or written.
        """
        async with self._one_at_a_time:
            return await self._decisions.reversal(prefix)

    async def revert(self, prefix: str, *, by: str, edit: FileEdit | None = None) -> Decided:
        """Take a recommendation's rules out of the file again, and out of what serves and of what is tried.

        A version without them serves all runs at once: what ran before needs no trial. While the roll-out is frozen
        that waits until it is thawed.

        Raises:
            UnknownRecommendation, ConfigError: as `reversal`; nothing was changed.
            StoreError: the store failed; `tend` does what is left.
            UnknownPolicy, CheckpointError: it was taken back, and this release cannot read what serves: as `tend`.
        """
        async with self._one_at_a_time:
            return await self._decisions.revert(prefix, by=by, shown=edit)

    # Following up --------------------------------------------------------------------------------------

    async def tend(self) -> list[AdviceEvent]:
        """Do what is left to be done: what was interrupted, what waits for the roll-out, what can be measured.

        Idempotent, and safe in several processes at once.

        Raises:
            ConfigError: the file cannot be read, or lacks rules and does not load.
            StoreError: the store cannot be read or written.
            UnknownPolicy, CheckpointError: what serves cannot be read by this release.
        """
        async with self._one_at_a_time:
            return [*await self._follow_up.catch_up(), *await self._follow_up.go_on()]
