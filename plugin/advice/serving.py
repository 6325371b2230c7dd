"""Accepted recommendations on their way into service, and those taken back on their way out; see `AdviceDesk.tend`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from inframind.errors import CheckpointError, ConfigError, RolloutMoved, UnknownPolicy
from inframind.fleet.clock import Clock
from inframind.plugin.advice.rules import named_rules
from inframind.plugin.advice.stories import Stories, Story
from inframind.plugin.advice.toml_edit import SHOWN_DIGITS
from inframind.plugin.advice.trials import Trial, in_service, mark_of, trial_of
from inframind.plugin.advice.versions import ADVISOR, Versions
from inframind.router.gate.brief import Brief, Foretold
from inframind.router.gate.judging import propose
from inframind.traces.advice import AdviceEvent, AdviceEventKind, Recommendation
from inframind.traces.shelf import UNPROVEN, Rollout, RolloutEvent, Shelf

_TRIES = 5
"""How often one looks again at a roll-out that has moved meanwhile, before leaving it to the next time."""


class Serving:
    """Puts versions with accepted rules on trial, and what serves right. Every step may be done again, by anybody.

    Args:
        shelf: where versions and the roll-out are.
        versions: makes versions.
        stories: what became of recommendations.
        clock: time.

    Attributes:
        waits: whether, when it was last looked, something that was accepted waited for another trial to end.
    """

    def __init__(self, shelf: Shelf, versions: Versions, stories: Stories, clock: Clock) -> None:
        self._shelf, self._versions, self._stories, self._clock = shelf, versions, stories, clock
        self._events: list[RolloutEvent] = []
        self._number = 0
        self.waits = False

    async def tend(self) -> list[AdviceEvent]:
        """Do what is to be done now; the events that came of it.

        Raises:
            StoreError: the store cannot be read or written.
            UnknownPolicy, CheckpointError: what serves cannot be read by this release.
        """
        accepted = self._stories.accepted()
        if not accepted:
            return []
        await self._withdraw(
            {one.recommendation.recommendation_id: one for one in accepted if one.has("reverted")}
        )
        added = await self._note(accepted)
        waiting = [one for one in self._stories.accepted() if self._is_waiting(one)]
        self.waits = False
        if waiting and await self._propose(waiting):
            added += await self._note(waiting)
        return added

    async def serves(self, made: Recommendation) -> bool:
        """Whether the version that serves has its rules.

        Raises:
            StoreError: the shelf cannot be read.
            UnknownPolicy, CheckpointError: what serves cannot be read by this release.
        """
        serving = (await self._shelf.rollout()).serving
        return made.recommendation_id in await self._versions.advice_in(serving)

    def _is_waiting(self, story: Story) -> bool:
        """Whether it is to be tried as soon as nothing else is."""
        if not story.is_in_force or not _can_be_read(story.recommendation):
            return False
        if not story.has("proposed"):
            return True
        trial = trial_of(self._events, story.recommendation.recommendation_id)
        return trial is not None and trial.is_to_be_repeated and not story.has("rolled_back")

    async def rollout_events(self) -> Sequence[RolloutEvent]:
        """All of the roll-out that changed who serves or is tried, oldest first: remarks may be many.

        Raises:
            StoreError: the shelf cannot be read.
        """
        if news := await self._shelf.events(after=self._number):
            self._events += [event for event in news if event.stage is not None]
            self._number = news[-1].number
        return self._events

    # Into service --------------------------------------------------------------------------------------

    async def _propose(self, waiting: Sequence[Story]) -> bool:
        """Put the one that waited longest into the shadow, if nothing else is tried; whether it is there."""
        for _ in range(_TRIES):
            rollout = await self._shelf.rollout()
            serving = await self._versions.advice_in(rollout.serving)
            next_one = next(
                (one for one in waiting if one.recommendation.recommendation_id not in serving), None
            )
            self.waits = next_one is not None and bool(rollout.candidate)
            if next_one is None or rollout.candidate or rollout.frozen:
                return False
            try:
                await self._shelf.append(
                    await self._proposal(next_one.recommendation, rollout), after=rollout.number
                )
            except RolloutMoved:
                continue
            return True
        return False

    async def _proposal(self, made: Recommendation, rollout: Rollout) -> RolloutEvent:
        advice = made.recommendation_id
        rules = named_rules(made)
        brief = Brief.of_rules(rules, _foretold(made))
        facts = {"advice": advice, "kind": made.kind, "title": made.title, **brief.to_facts()}
        version = await self._versions.put_with(rollout.serving, rules, facts)
        reason = f"recommendation {advice[:SHOWN_DIGITS]} was accepted: {made.title}"
        return propose(rollout, version, now_s=self._clock.wall_s(), by=mark_of(advice), reason=reason)

    # What became of it ---------------------------------------------------------------------------------

    async def _note(self, stories: Sequence[Story]) -> list[AdviceEvent]:
        """Events of what the roll-out did with them, as far as nobody noted it yet."""
        untold = [one for one in stories if not one.has("rolled_back")]
        events = await self.rollout_events() if untold else ()
        left = await self._left(untold, events)
        added: list[AdviceEvent] = []
        for story in untold:
            noted = [await self._stories.add_unless_moved(one) for one in self._news_of(story, events, left)]
            added += [event for event in noted if event is not None]
        await self._stories.read()
        return added

    async def _left(
        self, stories: Sequence[Story], events: Sequence[RolloutEvent]
    ) -> Callable[[str], RolloutEvent | None]:
        """Says which event took what had been promoted out of service: a person may have had anything else serve."""
        serving, since = in_service(events)
        if since is None or not any(one.has("promoted") for one in stories):
            return lambda advice: None
        try:
            served = await self._versions.advice_in(serving)
        except (CheckpointError, UnknownPolicy):  # a newer release made it: that one can say
            return lambda advice: None
        return lambda advice: None if advice in served else since

    def _news_of(
        self,
        story: Story,
        events: Sequence[RolloutEvent],
        left: Callable[[str], RolloutEvent | None],
    ) -> list[AdviceEvent]:
        advice = story.recommendation.recommendation_id
        trial = trial_of(events, advice)
        if trial is None:
            return []
        if trial.promotion is not None and trial.end is None:
            trial = replace(trial, end=left(advice) if story.is_in_force else None)
        elif trial.is_to_be_repeated and story.is_in_force:
            trial = replace(trial, end=None)
        return [
            AdviceEvent(
                recommendation_id=advice,
                kind=kind,
                at_s=event.at_s,
                by=ADVISOR if kind == "proposed" else event.by,
                facts=_facts_of(trial, event, kind),
            )
            for kind, event in trial.happened()
            if not story.has(kind)
        ]

    # Out of service ------------------------------------------------------------------------------------

    async def _withdraw(self, reverted: dict[str, Story]) -> None:
        """End what is tried with rules that were taken back, and serve all runs without them."""
        for _ in range(_TRIES if reverted else 0):
            rollout = await self._shelf.rollout()
            event = await self._withdrawal(reverted, rollout)
            if event is None:
                return
            try:
                await self._shelf.append(event, after=rollout.number)
            except RolloutMoved:
                continue

    async def _withdrawal(self, reverted: dict[str, Story], rollout: Rollout) -> RolloutEvent | None:
        if rollout.candidate:
            tried = sorted(await self._versions.advice_in(rollout.candidate) & reverted.keys())
            if tried:
                return self._event(rollout, rollout.candidate, tried, ends=True)
        if rollout.frozen:
            return None
        served = sorted(await self._versions.advice_in(rollout.serving) & reverted.keys())
        if not served:
            return None
        facts = {"without_advice": ", ".join(one[:SHOWN_DIGITS] for one in served)}
        version = await self._versions.put_without(rollout.serving, served, facts)
        return self._event(rollout, version, served, ends=False)

    def _event(self, rollout: Rollout, version: str, advice: Sequence[str], *, ends: bool) -> RolloutEvent:
        named = ", ".join(one[:SHOWN_DIGITS] for one in advice)
        return RolloutEvent(
            at_s=self._clock.wall_s(),
            version=version,
            stage="rolled_back" if ends else "full",
            share=0.0 if ends else 1.0,
            frozen=rollout.frozen,
            by=ADVISOR,
            reason=f"recommendation {named} was taken back",
        )


def _foretold(made: Recommendation) -> Foretold | None:
    """What it promises of success; None where recorded runs said too little."""
    found = made.prediction("success")
    if found is None or not found.is_enough:
        return None
    return Foretold(change=found.change, low=found.low, high=found.high, runs=found.runs)


def _facts_of(trial: Trial, event: RolloutEvent, kind: AdviceEventKind) -> dict[str, Any]:
    facts: dict[str, Any] = {"version": trial.version, "event": event.number, "reason": event.reason}
    if kind == "rolled_back" and trial.is_unproven:
        facts |= {UNPROVEN: True, "runs": int(event.figures.get("n", 0))}
    return facts


def _can_be_read(made: Recommendation) -> bool:
    """Whether this release knows its rules; those of a newer one wait for it."""
    try:
        return bool(named_rules(made))
    except ConfigError:
        return False
