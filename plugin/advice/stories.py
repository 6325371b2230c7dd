"""Recommendations and what became of them: kept in the store, read from it a little at a time, and told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from inframind.advisor.recommending import Ranking
from inframind.errors import AdviceMoved, ConfigError
from inframind.plugin.advice.promises import Promise, promise_of
from inframind.traces.advice import AdviceEvent, AdviceEventKind, Recommendation
from inframind.traces.outcome_graph import OutcomeGraph

PAGE = 2000
"""Most events that are read at once."""
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
    def promise(self) -> Promise | None:
        """What became of what it promised, by its latest measurement; None before the first."""
        measured = self.event("measured")
        return promise_of(self.recommendation.kind, measured.facts) if measured else None


class Stories:
    """All recommendations with their events, and a ranking that has learned from them. Not thread-safe.

    What is told is what was read last: `read` goes on to what came since.

    Args:
        graph: where they are.
        ranking: is told of them.
    """

    def __init__(self, graph: OutcomeGraph, ranking: Ranking) -> None:
        self._graph, self._ranking = graph, ranking
        self._made: dict[str, Recommendation] = {}
        self._events: defaultdict[str, list[AdviceEvent]] = defaultdict(list)
        self._accepted: list[str] = []
        self._number = 0

    async def read(self) -> None:
        """Go on to the latest event.

        Raises:
            StoreError: the store cannot be read.
        """
        while True:
            events = await self._graph.advice_events(after=self._number, limit=PAGE)
            await self._learn_of(events)
            if len(events) < PAGE:
                return

    async def _learn_of(self, events: Sequence[AdviceEvent]) -> None:
        named = dict.fromkeys(event.recommendation_id for event in events)
        unknown = [one for one in named if one not in self._made]
        made = await self._graph.recommendations_of(unknown) if unknown else ()
        self._made |= {one.recommendation_id: one for one in made}
        for event in events:
            self._events[event.recommendation_id].append(event)
            if event.kind == "accepted":
                self._accepted.append(event.recommendation_id)
            self._number = max(self._number, event.number)
        self._ranking.add(made, events)

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
        return self.story(made.recommendation_id) or Story(recommendation=made)

    async def known(self, recommendation_id: str) -> Story | None:
        """Of one that there is, read where it is not known yet; None where there is none.

        Raises:
            StoreError: the store cannot be read.
        """
        return self.story(recommendation_id)

    def story(self, recommendation_id: str) -> Story | None:
        """Of one, or None where it is not known."""
        made = self._made.get(recommendation_id)
        return self._story(made) if made is not None else None

    def all(self) -> tuple[Story, ...]:
        """In the order in which they were made."""
        return tuple(self._story(made) for made in self._made.values())

    def accepted(self) -> tuple[Story, ...]:
        """Those that somebody accepted, in that order."""
        return tuple(self._story(self._made[one]) for one in self._accepted if one in self._made)

    def _story(self, made: Recommendation) -> Story:
        return Story(recommendation=made, events=tuple(self._events[made.recommendation_id]))
