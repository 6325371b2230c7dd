"""Accepting, rejecting and taking back: the file first, then the event, then what follows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inframind.errors import AdviceMoved, ConfigError
from inframind.fleet.clock import Clock
from inframind.plugin.advice.again import AGAIN, once_more
from inframind.plugin.advice.config_file import ConfigFile
from inframind.plugin.advice.decided import Decided
from inframind.plugin.advice.follow_up import FollowUp
from inframind.plugin.advice.offers import Offers
from inframind.plugin.advice.rules import documents_of
from inframind.plugin.advice.serving import Serving
from inframind.plugin.advice.stories import Stories, Story
from inframind.plugin.advice.toml_edit import SHOWN_DIGITS, FileEdit
from inframind.traces.advice import BY_FILE, AdviceEvent, AdviceEventKind

TOGETHER = "together_with"
"""Fact of an event: ids of what was accepted before and was not measured by then."""


class Decisions:
    """Takes decisions. Not for two callers at once: see `AdviceDesk`, which also says what is raised.

    A process may die between any two steps: each may be done again, and what the file says stands.

    Args:
        stories: recommendations and what became of them.
        offers: knows what is in force.
        follow_up: does what follows.
        file: into which rules go, or None.
        serving: has the roll-out try what is accepted, or None.
        clock: time.
    """

    def __init__(
        self,
        stories: Stories,
        offers: Offers,
        follow_up: FollowUp,
        *,
        file: ConfigFile | None,
        serving: Serving | None,
        clock: Clock,
    ) -> None:
        self._stories, self._offers, self._follow_up = stories, offers, follow_up
        self._file, self._serving, self._clock = file, serving, clock

    async def acceptance(self, prefix: str, *, again: bool) -> FileEdit | None:
        """See `AdviceDesk.acceptance`."""
        await self._follow_up.catch_up()
        return self._adding(await self._acceptable(prefix, again=again))

    async def accept(self, prefix: str, *, by: str, again: bool, shown: FileEdit | None) -> Decided:
        """See `AdviceDesk.accept`."""
        await self._follow_up.catch_up()
        story = await self._acceptable(prefix, again=again)
        edit = _agreed(shown, self._adding(story))
        if not story.events:
            await self._stories.keep([story.recommendation], {AGAIN: await self._named(prefix)})
        rules, others = documents_of(story.recommendation), self._unmeasured_beside(story)
        backup, facts = await self._write(edit)
        facts |= {"rules": rules, **({TOGETHER: [*others]} if others else {})}
        try:
            await self._stories.add(self._event(story, "accepted", by, facts))
        except AdviceMoved:
            await self._give_way(story)
        await self._follow_up.go_on()
        return Decided(story=self._told(story), edit=edit, backup=backup, together_with=(*others,))

    async def unmeasured_beside(self, prefix: str, *, again: bool) -> tuple[Story, ...]:
        """See `AdviceDesk.unmeasured_beside`."""
        await self._follow_up.catch_up()
        return (*self._unmeasured_beside(await self._acceptable(prefix, again=again)).values(),)

    def _unmeasured_beside(self, story: Story) -> dict[str, Story]:
        found = {one.recommendation.recommendation_id: one for one in self._stories.accepted()}
        return {
            own_id: one
            for own_id, one in found.items()
            if one.takes_effect and not one.has("measured") and own_id not in story.predicted_with
        }

    async def reject(self, prefix: str, *, by: str, reason: str) -> Story:
        """See `AdviceDesk.reject`."""
        await self._follow_up.catch_up()
        story = self._undecided(await self._stories.find(prefix), "rejected")
        await self._stories.add(self._event(story, "rejected", by, {"reason": reason}))
        await self._stories.read()
        return self._told(story)

    async def reversal(self, prefix: str) -> FileEdit | None:
        """See `AdviceDesk.reversal`."""
        await self._follow_up.catch_up()
        return self._removing(await self._accepted(prefix))

    async def revert(self, prefix: str, *, by: str, shown: FileEdit | None) -> Decided:
        """See `AdviceDesk.revert`."""
        await self._follow_up.catch_up()
        story = await self._accepted(prefix)
        edit = _agreed(shown, self._removing(story))
        backup, facts = await self._write(edit)
        if not story.has("reverted"):
            await self._stories.add_unless_moved(self._event(story, "reverted", by, facts))
        await self._follow_up.go_on()
        serves = self._serving is not None and await self._serving.serves(story.recommendation)
        return Decided(story=self._told(story), edit=edit, backup=backup, still_serves=serves)

    # Which ---------------------------------------------------------------------------------------------

    async def _acceptable(self, prefix: str, *, again: bool) -> Story:
        story = await self._stories.find(prefix)
        if again:
            story = await once_more(self._stories, story, at_s=self._clock.wall_s())
        story = self._undecided(story, "accepted")
        if story.through:
            raise _refusal(
                story,
                f"what it changes is in force already through {story.through}: there is nothing to accept",
            )
        return story

    async def _named(self, prefix: str) -> str:
        return (await self._stories.find(prefix)).recommendation.recommendation_id

    def _undecided(self, story: Story, kind: AdviceEventKind) -> Story:
        if story.last_word:
            raise AdviceMoved(story.recommendation.recommendation_id, kind, story.last_word)
        return self._offers.told(story)

    async def _accepted(self, prefix: str) -> Story:
        story = self._offers.told(await self._stories.find(prefix))
        if not story.has("accepted"):
            raise _refusal(story, "it was never accepted: there is nothing to take back")
        return story

    def _told(self, story: Story) -> Story:
        """The same as it stands now."""
        return self._offers.told(self._stories.story(story.recommendation.recommendation_id) or story)

    # The file ------------------------------------------------------------------------------------------

    def _adding(self, story: Story) -> FileEdit | None:
        if self._file is None and self._serving is None:
            fix = "name the configuration file: without [online], its rules are all that takes effect"
            raise ConfigError("config", "", fix)
        if self._file is not None:
            return self._file.adding(story.recommendation)
        if story.without_effect:
            raise _refusal(story, f"{story.without_effect[0]}; look at runs again")
        return None

    def _removing(self, story: Story) -> FileEdit | None:
        return self._file.removing(story.recommendation) if self._file else None

    async def _write(self, edit: FileEdit | None) -> tuple[Path | None, dict[str, Any]]:
        """The copy of what the file was, and the facts for the event. In a thread: requests wait for no disk."""
        if edit is None or self._file is None:
            return None, {}
        backup = await asyncio.to_thread(self._file.write, edit)
        return backup, self._file.facts(edit, backup)

    async def _give_way(self, story: Story) -> None:
        """Somebody else decided while we wrote: the file must say what they said.

        Raises:
            AdviceMoved: what they said.
        """
        await self._stories.read()
        now = self._told(story)
        accepted = now.event("accepted")
        if now.is_in_force and accepted is not None and accepted.by == BY_FILE:
            return  # somebody saw the file that we have just written
        if not now.is_in_force:
            await self._write(self._removing(story))
        raise AdviceMoved(story.recommendation.recommendation_id, "accepted", now.last_word or "accepted")

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


def _agreed(shown: FileEdit | None, now: FileEdit | None) -> FileEdit | None:
    """What would be written now; refused where a person was shown something else.

    Raises:
        ConfigError: the file, or what the environment makes of it, is not what it was.
    """
    if shown is not None and shown != now:
        raise ConfigError("config", str(shown.path), "it was changed meanwhile: look at the change again")
    return now


def _refusal(story: Story, fix: str) -> ConfigError:
    return ConfigError("recommendation", story.recommendation.recommendation_id[:SHOWN_DIGITS], fix)
