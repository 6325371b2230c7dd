"""The desk where advice is made, decided on and followed up."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from inframind.advisor.analysis import Analysis
from inframind.advisor.recommending import Ranking
from inframind.errors import AdviceMoved, ConfigError
from inframind.fleet.clock import Clock
from inframind.plugin.advice.analysts import Analyst, Progress, not_told
from inframind.plugin.advice.config_file import BY_FILE, ConfigFile
from inframind.plugin.advice.decided import Decided
from inframind.plugin.advice.measurer import Measurer
from inframind.plugin.advice.offers import Offers
from inframind.plugin.advice.rules import documents_of
from inframind.plugin.advice.serving import Serving
from inframind.plugin.advice.stories import Stories, Story
from inframind.plugin.advice.toml_edit import SHOWN_DIGITS, FileEdit
from inframind.traces.advice import AdviceEvent, AdviceEventKind, Recommendation
from inframind.traces.outcome_graph import OutcomeGraph


class AdviceDesk:
    """Makes recommendations, takes decisions on them, and sees to what follows. For one event loop.

    Every step on the way of a decision may be interrupted: what is written twice is the same, and `tend` does what is
    left. Several processes may work at the same store; who was too late looks again.

    Args:
        graph: where configurations, runs and advice are.
        ranking: ranks options; knows what ``stories`` has read.
        stories: recommendations and what became of them.
        analyst: looks at runs.
        measurer: compares runs before and after; None where somebody else does.
        serving: has the roll-out try what is accepted; None without ``[online]``.
        file: into which rules go, or None where there is none: then the roll-out alone serves them.
        clock: time.
        rng: all chance there is.
    """

    def __init__(
        self,
        graph: OutcomeGraph,
        *,
        ranking: Ranking,
        stories: Stories,
        analyst: Analyst,
        measurer: Measurer | None,
        serving: Serving | None,
        file: ConfigFile | None,
        clock: Clock,
        rng: np.random.Generator,
    ) -> None:
        self._graph, self._ranking, self._stories = graph, ranking, stories
        self._analyst, self._measurer, self._serving = analyst, measurer, serving
        self._file, self._clock, self._rng = file, clock, rng
        self._offers = Offers(stories, ranking, file, tries=serving is not None, clock=clock)
        self._lock = asyncio.Lock()

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

    async def recommend(
        self, *, segment: str = "", domain: str = "", most: int | None = None
    ) -> tuple[Recommendation, ...]:
        """The best of the latest analysis for a person, best first; empty where there is nothing to recommend.

        They are kept, as shown: what is then accepted, rejected and measured teaches what to recommend next.

        Args:
            segment: group of people whom the person belongs to; "" for none.
            domain: of the questions it is about; "" for all.
            most: recommendations; the configured number unless given.

        Raises:
            ConfigError: no question has such a domain, or the file cannot be read.
            StoreError: the store cannot be read or written.
        """
        self.require_domain(domain)
        async with self._lock:
            analysis = await self._analyst.latest()
            if analysis is None:
                return ()
            await self._stories.read()
            made = self._ranking.recommend(
                self._offers.without_what_is_in_force(analysis),
                segment=self._analyst.segment_of(segment),
                domain=domain,
                configuration=await self._analyst.configuration(analysis),
                most=most,
                now_s=self._clock.wall_s(),
                rng=self._rng,
                new_id=lambda: uuid.uuid4().hex,
            )
            if made:
                await self._graph.add_recommendations(made)
                await self._stories.read()
            return made

    async def shown(self, *, segment: str = "") -> tuple[Story, ...]:
        """What was recommended to a segment last, if it is of the latest analysis; empty otherwise.

        What came into force through something else since, or was refused, is left out.

        Raises:
            ConfigError: the file cannot be read.
            StoreError: the store cannot be read.
        """
        async with self._lock:
            analysis = await self._analyst.latest()
            await self._stories.read()
            return self._offers.latest(analysis, self._analyst.segment_of(segment)) if analysis else ()

    async def hidden(self, *, segment: str = "", domain: str = "") -> Mapping[str, int]:
        """How many options of the latest analysis are not shown to a person, by why not.

        Raises:
            ConfigError: no question has such a domain, or the file cannot be read.
            StoreError: the store cannot be read.
        """
        self.require_domain(domain)
        async with self._lock:
            analysis = await self._analyst.latest()
            await self._stories.read()
            if analysis is None:
                return {}
            wanted = self._analyst.segment_of(segment)
            known = await self._analyst.configuration(analysis)
            return self._offers.hidden(analysis, known, segment=wanted, domain=domain)

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
        async with self._lock:
            await self._stories.read()
            return self._offers.all()

    async def story(self, prefix: str) -> Story:
        """The recommendation whose id begins with these six or more hex digits, and what became of it.

        Raises:
            UnknownRecommendation: there is none.
            ConfigError: the prefix is too short, is not hex, or begins several.
        """
        async with self._lock:
            await self._stories.read()
            return await self._story(prefix)

    # Deciding ------------------------------------------------------------------------------------------

    async def acceptance(self, prefix: str) -> FileEdit | None:
        """What accepting a recommendation would write; None where there is no file.

        Raises:
            UnknownRecommendation: there is none.
            AdviceMoved: it was decided on already.
            ConfigError: the file cannot be edited, or no application could be made of it with these rules; or what
                they do is in force already; or there is neither a file nor a roll-out.
        """
        async with self._lock:
            await self._look()
            return self._acceptance(await self._undecided(prefix, "accepted"))

    async def accept(self, prefix: str, *, by: str, edit: FileEdit | None = None) -> Decided:
        """Write a recommendation's rules into the file, with a copy beside it, and have the roll-out try them.

        Args:
            prefix: of its id.
            by: who accepts it.
            edit: what was shown and agreed to, see `acceptance`; refused where the file is another by now.

        Raises:
            UnknownRecommendation, AdviceMoved, ConfigError: as `acceptance`; nothing was changed.
            StoreError: the store failed; `tend` does what is left.
        """
        async with self._lock:
            await self._look()
            story = await self._undecided(prefix, "accepted")
            edit = edit or self._acceptance(story)
            backup, facts = self._write(edit)
            facts = {"rules": documents_of(story.recommendation), **facts}
            try:
                await self._graph.add_event(self._event(story, "accepted", by, facts))
            except AdviceMoved:
                await self._take_back_unless_accepted(story)
            await self._follow_up()
            return Decided(story=await self._told(story), edit=edit, backup=backup)

    async def reject(self, prefix: str, *, by: str, reason: str = "") -> Story:
        """Say that a recommendation is not wanted; it teaches what to recommend next.

        Raises:
            UnknownRecommendation: there is none.
            AdviceMoved: it was decided on already.
        """
        async with self._lock:
            await self._look()
            story = await self._undecided(prefix, "rejected")
            await self._graph.add_event(self._event(story, "rejected", by, {"reason": reason}))
            return await self._told(story)

    async def reversal(self, prefix: str) -> FileEdit | None:
        """What taking a recommendation back would write; None where there is no file.

        Raises:
            UnknownRecommendation: there is none.
            ConfigError: it was never accepted, or the file cannot be edited.
        """
        async with self._lock:
            await self._look()
            return self._reversal(await self._accepted(prefix))

    async def revert(self, prefix: str, *, by: str, edit: FileEdit | None = None) -> Decided:
        """Take a recommendation's rules out of the file again, and out of what serves and of what is tried.

        A version without them serves all runs at once: what ran before needs no trial. While the roll-out is frozen
        that waits until it is thawed.

        Raises:
            UnknownRecommendation, ConfigError: as `reversal`; nothing was changed.
            StoreError: the store failed; `tend` does what is left.
        """
        async with self._lock:
            await self._look()
            story = await self._accepted(prefix)
            edit = edit or self._reversal(story)
            backup, facts = self._write(edit)
            if not story.has("reverted"):
                await self._add(self._event(story, "reverted", by, facts))
            await self._follow_up()
            return Decided(
                story=await self._told(story),
                edit=edit,
                backup=backup,
                still_serves=self._serving is not None and await self._serving.serves(story.recommendation),
            )

    # Following up --------------------------------------------------------------------------------------

    async def tend(self) -> list[AdviceEvent]:
        """Do what is left to be done: what was interrupted, what waits for the roll-out, what can be measured.

        Idempotent, and safe in several processes at once.

        Raises:
            StoreError: the store cannot be read or written.
        """
        async with self._lock:
            return [*await self._look(), *await self._follow_up()]

    async def _follow_up(self) -> list[AdviceEvent]:
        await self._stories.read()
        added = await self._serving.tend() if self._serving else []
        if self._measurer is None:
            return added
        measured = await self._measurer.tend(await self._serving.rollout_events() if self._serving else ())
        if measured:
            await self._stories.read()
        return [*added, *measured]

    async def _look(self) -> list[AdviceEvent]:
        """All that is known, and what the file says that nobody noted: a decision that was interrupted."""
        await self._stories.read()
        if self._file is None:
            return []
        added = [await self._add(event) for event in [*self._file.unnoted(self._stories)]]
        await self._stories.read()
        return [event for event in added if event is not None]

    # Parts ---------------------------------------------------------------------------------------------

    async def _story(self, prefix: str) -> Story:
        try:
            made = await self._graph.recommendation(prefix)
        except ConfigError as error:
            fix = f"{error.fix}; `inframind advise list` shows them"
            raise ConfigError(error.field, error.value, fix) from error
        return self._offers.told(self._stories.story(made.recommendation_id) or Story(recommendation=made))

    async def _undecided(self, prefix: str, kind: AdviceEventKind) -> Story:
        story = await self._story(prefix)
        earlier = next((one for one in ("reverted", "rejected", "accepted") if story.has(one)), "")
        if earlier:
            raise AdviceMoved(story.recommendation.recommendation_id, kind, earlier)
        if kind == "accepted" and story.through:
            fix = f"what it changes is in force already through {story.through}: there is nothing to accept"
            raise ConfigError("recommendation", story.recommendation.recommendation_id[:SHOWN_DIGITS], fix)
        return story

    async def _accepted(self, prefix: str) -> Story:
        story = await self._story(prefix)
        if not story.has("accepted"):
            fix = "it was never accepted: there is nothing to take back"
            raise ConfigError("recommendation", story.recommendation.recommendation_id[:SHOWN_DIGITS], fix)
        return story

    def _acceptance(self, story: Story) -> FileEdit | None:
        if self._file is None and self._serving is None:
            fix = "name the configuration file: without [online], its rules are all that takes effect"
            raise ConfigError("config", "", fix)
        return self._file.adding(story.recommendation) if self._file else None

    def _reversal(self, story: Story) -> FileEdit | None:
        return self._file.removing(story.recommendation) if self._file else None

    async def _take_back_unless_accepted(self, story: Story) -> None:
        """Somebody else decided meanwhile: the file must say what they said.

        Raises:
            AdviceMoved: what they said.
        """
        now = await self._told(story)
        accepted = now.event("accepted")
        if accepted is not None and accepted.by == BY_FILE:
            return  # somebody saw the file that we have just written
        if accepted is None:
            self._write(self._reversal(story))
        kind = "accepted" if accepted is not None else "rejected"
        raise AdviceMoved(story.recommendation.recommendation_id, "accepted", kind)

    async def _told(self, story: Story) -> Story:
        await self._stories.read()
        return self._offers.told(self._stories.story(story.recommendation.recommendation_id) or story)

    async def _add(self, event: AdviceEvent) -> AdviceEvent | None:
        """Keep an event, unless somebody was faster."""
        try:
            return await self._graph.add_event(event)
        except AdviceMoved:
            return None

    def _write(self, edit: FileEdit | None) -> tuple[Path | None, dict[str, Any]]:
        """The copy of what the file was, and the facts for the event."""
        if edit is None or self._file is None:
            return None, {}
        backup = self._file.write(edit)
        return backup, self._file.facts(edit, backup)

    def _event(
        self, story: Story, kind: AdviceEventKind, by: str, facts: Mapping[str, object]
    ) -> AdviceEvent:
        return AdviceEvent(
            recommendation_id=story.recommendation.recommendation_id,
            kind=kind,
            at_s=self._clock.wall_s(),
            by=by,
            facts=facts,
        )
