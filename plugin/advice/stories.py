"""Recommendations and what became of them: kept in the store, read from it a little at a time, and told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from inframind.advisor.recommending import Ranking
from inframind.errors import AdviceMoved, ConfigError
from inframind.plugin.advice.batches import Audience, Batches
from inframind.plugin.advice.promises import Promise, promise_of
from inframind.traces.advice import AdviceEvent, AdviceEventKind, Recommendation
from inframind.traces.outcome_graph import OutcomeGraph

PAGE = 5000
"""Most events that are read at once."""
RECENT = 500
"""Latest events whose recommendations are read although nobody decided on them."""
UNDER = "under"
"""Fact of the ``shown`` event: the recommendations with whose rules what is promised was predicted."""
Standing = Literal[
    "open", "in force", "rejected", "accepted", "on trial", "serves", "set aside", "rolled back", "reverted"
]
_STANDINGS: tuple[tuple[AdviceEventKind, Standing], ...] = (
    ("reverted", "reverted"),
    ("rejected", "rejected"),
    ("rolled_back", "rolled back"),
    ("promoted", "serves"),
    ("proposed", "on trial"),
    ("accepted", "accepted"),
)
"""What has happened, latest in a life first, and how the recommendation stands since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A recommendation and all that became of it.

    Attributes:
        recommendation: it.
        events: in the order in which they happened.
        through: what else does all that its rules do, in words: another recommendation's id; "" where nothing does,
            or nobody looked.
        without_effect: what of its rules speaks of what there is no more, as sentences.
    """

    recommendation: Recommendation
    events: tuple[AdviceEvent, ...] = ()
    through: str = ""
    without_effect: tuple[str, ...] = ()

    def event(self, kind: AdviceEventKind) -> AdviceEvent | None:
        """The latest of a kind, or None."""
        return next((event for event in reversed(self.events) if event.kind == kind), None)

    def has(self, *kinds: AdviceEventKind) -> bool:
        """Whether any of these happened."""
        return any(event.kind in kinds for event in self.events)

    @property
    def standing(self) -> Standing:
        """How it stands; what nobody decided on may be in force through something else."""
        undecided: Standing = "in force" if self.through else "open"
        if self.is_set_aside and not self.has("reverted"):
            return "set aside"
        return next((standing for kind, standing in _STANDINGS if self.has(kind)), undecided)

    @property
    def is_set_aside(self) -> bool:
        """Whether its trial ended for want of evidence: nothing speaks against it, and it does not serve."""
        return any(event.is_unproven for event in self.events)

    @property
    def runs_tried(self) -> int:
        """Runs of the trial after which it was set aside; 0 where it was not."""
        return next((int(event.facts["runs"]) for event in self.events if event.is_unproven), 0)

    @property
    def last_word(self) -> AdviceEventKind | None:
        """What a person last said of it: ``accepted``, ``rejected`` or ``reverted``; None where nobody decided."""
        words: tuple[AdviceEventKind, ...] = ("reverted", "rejected", "accepted")
        return next((word for word in words if self.has(word)), None)

    @property
    def is_decided(self) -> bool:
        """Whether somebody accepted or rejected it."""
        return self.has("accepted", "rejected")

    @property
    def is_in_force(self) -> bool:
        """Whether somebody accepted it and nobody took it back; the gate may have."""
        return self.has("accepted") and not self.has("reverted")

    @property
    def takes_effect(self) -> bool:
        """Whether it is in force, and the gate has not taken it back either; it may wait or be on trial."""
        return self.is_in_force and not self.has("rolled_back")

    @property
    def predicted_with(self) -> frozenset[str]:
        """Ids of the recommendations in force when what it promises was predicted."""
        shown = self.event("shown")
        return frozenset(shown.facts.get(UNDER, ()) if shown else ())

    @property
    def promise(self) -> Promise | None:
        """What became of what it promised, by its latest measurement; None before the first."""
        measured = self.event("measured")
        return promise_of(self.recommendation.kind, measured.facts) if measured else None


class Stories:
    """All recommendations with their events, and a ranking that has learned from them. Not thread-safe.

    What is told is what was read last: `read` goes on to what came since. Of recommendations that nobody decided on,
    only the latest are read before somebody asks for others: a service may show thousands, and they teach nothing.

    Args:
        graph: where they are.
        ranking: is told of them.
    """

    def __init__(self, graph: OutcomeGraph, ranking: Ranking) -> None:
        self._graph, self._ranking = graph, ranking
        self._learns_all = ranking.config.mode == "process"  # there, what was ignored teaches as well
        self._made: dict[str, Recommendation] = {}
        self._ranked: set[str] = set()
        self._events: defaultdict[str, list[AdviceEvent]] = defaultdict(list)
        self._accepted: list[str] = []
        self._batches = Batches()
        self._number = 0

    async def read(self) -> None:
        """Go on to the latest event.

        Raises:
            StoreError: the store cannot be read.
        """
        events: list[AdviceEvent] = []
        while True:
            after = events[-1].number if events else self._number
            page = await self._graph.advice_events(after=after, limit=PAGE)
            events += page
            if len(page) < PAGE:
                break
        await self._know(self._to_learn(events))
        self._learn_of(events)

    def _to_learn(self, events: Sequence[AdviceEvent]) -> list[str]:
        """Those that teach something, and the latest."""
        first = 0 if self._learns_all else max(0, len(events) - RECENT)
        named = (
            event.recommendation_id
            for place, event in enumerate(events)
            if place >= first or event.kind != "shown"
        )
        return [one for one in dict.fromkeys(named) if one not in self._ranked]

    def _learn_of(self, events: Sequence[AdviceEvent]) -> None:
        new = dict.fromkeys(self._to_learn(events))
        further = [event for event in events if event.recommendation_id in self._ranked]
        for event in events:
            self._events[event.recommendation_id].append(event)
            self._batches.add(event)
            if event.kind == "accepted":
                self._accepted.append(event.recommendation_id)
            self._number = max(self._number, event.number)
        self._ranked.update(new)
        told = [event for one in new for event in self._events[one]]
        self._ranking.add([self._made[one] for one in new if one in self._made], [*told, *further])

    async def _know(self, names: Collection[str]) -> None:
        unknown = [one for one in names if one not in self._made]
        made = await self._graph.recommendations_of(unknown) if unknown else ()
        self._made |= {one.recommendation_id: one for one in made}

    async def know(self, names: Iterable[str]) -> None:
        """Read those of them that there are, so that `story` knows them.

        Raises:
            StoreError: the store cannot be read.
        """
        await self._know([one for one in names if one in self._events])

    async def know_all(self) -> None:
        """The same of all.

        Raises:
            StoreError: the store cannot be read.
        """
        await self.know([*self._events])

    async def shown(self, audience: Audience) -> tuple[tuple[Story, ...], ...]:
        """What was shown to somebody together, the latest first.

        Raises:
            StoreError: the store cannot be read.
        """
        batches = self._batches.of(audience)
        await self.know(one for batch in batches for one in batch)
        return tuple(tuple(self._story(self._made[one]) for one in batch) for batch in batches)

    @property
    def number(self) -> int:
        """Of the latest event that was read; 0 before the first."""
        return self._number

    # Keeping -------------------------------------------------------------------------------------------

    async def keep(
        self, made: Sequence[Recommendation], facts: Mapping[str, Any] | None = None
    ) -> tuple[Recommendation, ...]:
        """Recommendations as they are kept, each as shown; where an id was taken meanwhile, what has it.

        Args:
            made: at once.
            facts: of the events: what they were made of and for.

        Raises:
            ConfigError: one cannot be kept.
            StoreError: the store cannot be read or written.
        """
        await self._graph.add_recommendations(made, facts=facts)
        await self.read()
        await self.know(one.recommendation_id for one in made)
        return tuple(self._made[one.recommendation_id] for one in made)

    async def add(self, event: AdviceEvent) -> AdviceEvent:
        """Keep an event; returns it with its number.

        Raises:
            AdviceMoved: it cannot happen any more.
            StoreError: the store cannot be written.
        """
        return await self._graph.add_event(event)

    async def add_unless_moved(self, event: AdviceEvent) -> AdviceEvent | None:
        """`add`, or None where somebody else was faster.

        Raises:
            StoreError: the store cannot be written.
        """
        try:
            return await self.add(event)
        except AdviceMoved:
            return None

    # Telling -------------------------------------------------------------------------------------------

    async def find(self, prefix: str) -> Story:
        """The one whose id begins with these six or more hex digits.

        Raises:
            UnknownRecommendation: there is none.
            ConfigError: the prefix is too short, is not hex, or begins several.
            StoreError: the store cannot be read.
        """
        try:
            made = await self._graph.recommendation(prefix)
        except ConfigError as error:
            fix = f"{error.fix}; `inframind advise list` shows them"
            raise ConfigError(error.field, error.value, fix) from error
        self._made.setdefault(made.recommendation_id, made)
        return Story(recommendation=made, events=tuple(self._events.get(made.recommendation_id, ())))

    async def known(self, recommendation_id: str) -> Story | None:
        """Of one that there is, read where it is not known yet; None where there is none.

        Raises:
            StoreError: the store cannot be read.
        """
        await self.know([recommendation_id])
        return self.story(recommendation_id)

    def has(self, recommendation_id: str) -> bool:
        """Whether there is one of that id."""
        return recommendation_id in self._events

    def story(self, recommendation_id: str) -> Story | None:
        """Of one that was read, or None."""
        made = self._made.get(recommendation_id)
        return self._story(made) if made is not None else None

    def all(self) -> tuple[Story, ...]:
        """Those that were read, in the order in which they were made; see `know_all`."""
        return tuple(self._story(self._made[one]) for one in self._events if one in self._made)

    def accepted(self) -> tuple[Story, ...]:
        """Those that somebody accepted, in that order."""
        return tuple(self._story(self._made[one]) for one in self._accepted if one in self._made)

    def _story(self, made: Recommendation) -> Story:
        return Story(recommendation=made, events=tuple(self._events[made.recommendation_id]))
