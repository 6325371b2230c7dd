"""How much of what is recommended is accepted: hidden people, fresh applications, one recommendation looked at a time.

First every segment labels a few recommendations in no order; then people come one after the other, look at the first
of what is recommended to them for an application that nobody has seen before, and accept, reject or say nothing. All
choosers meet the same people, applications and moods, and in the same run it is worked out what the same people would
have accepted of the four kinds in any order, and of the best one by their own hidden chances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inframind.advisor.analysis import Analysis
from inframind.advisor.ranking.history import History
from inframind.advisor.ranking.protocol import Chooser
from inframind.advisor.ranking.unranked import Unranked
from inframind.advisor.recommending import Ranking, recommend
from inframind.arena.advice.offers import Offers
from inframind.arena.advice.people import NOISE, SEGMENTS, Person, crowd
from inframind.traces.advice import AdviceEvent, AdviceEventKind, Recommendation

LABELLED, INTERACTIONS, JUDGED = 10, 200, 100
"""Labelled examples of each segment, interactions after these, and how many are judged at a time."""
_BEGAN_S, _EVERY_S, _READING_S, _TRIAL_S = 1_700_000_000.0, 3600.0, 60.0, 3000.0
_KEPT, _SPREAD, _SURE = 0.8, 0.02, 0.03
"""A change does on average this part of what it promised, give or take; measured to within that."""
Floats = NDArray[np.float64]


class Adviser(Protocol):
    """Who recommends, and hears what became of it."""

    @property
    def history(self) -> History:
        """What became of everything so far."""
        ...

    def recommend(
        self, analysis: Analysis, segment: str, now_s: float, rng: np.random.Generator
    ) -> tuple[Recommendation, ...]:
        """Of an analysis' options, best first."""
        ...

    def hear(self, made: Sequence[Recommendation], events: Sequence[AdviceEvent]) -> None:
        """Recommendations that were shown, and what became of them or of earlier ones."""
        ...


class AsShipped:
    """Everything together, as an application has it.

    Args:
        ranking: what ranks.
    """

    def __init__(self, ranking: Ranking | None = None) -> None:
        self._ranking = ranking or Ranking()

    @property
    def history(self) -> History:
        """Of all so far."""
        return self._ranking.history

    def recommend(
        self, analysis: Analysis, segment: str, now_s: float, rng: np.random.Generator
    ) -> tuple[Recommendation, ...]:
        """By whoever is in charge."""
        return self._ranking.recommend(
            analysis, segment=segment, now_s=now_s, rng=rng, new_id=lambda: _new_id(rng)
        )

    def hear(self, made: Sequence[Recommendation], events: Sequence[AdviceEvent]) -> None:
        """Learn from it."""
        self._ranking.add(made, events)


class ByOne:
    """One chooser alone, from the first verdict on.

    Args:
        chooser: it.
    """

    def __init__(self, chooser: Chooser) -> None:
        self.history = History()
        self._chooser = chooser

    def recommend(
        self, analysis: Analysis, segment: str, now_s: float, rng: np.random.Generator
    ) -> tuple[Recommendation, ...]:
        """By it."""
        return recommend(
            analysis,
            self.history,
            self._chooser,
            segment=segment,
            draws=1,
            now_s=now_s,
            rng=rng,
            new_id=lambda: _new_id(rng),
        )

    def hear(self, made: Sequence[Recommendation], events: Sequence[AdviceEvent]) -> None:
        """Let it learn."""
        touched = (self.history.fate(one) for one in self.history.add(made, events))
        lessons = (self.history.lesson(fate) for fate in touched if fate is not None)
        self._chooser.learn([lesson for lesson in lessons if lesson is not None])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Accepted:
    """What came of the interactions, in order (N).

    Attributes:
        first: the first recommendation was accepted.
        unranked: share of the options that the same person would have accepted in the same mood.
        best: the option with the largest hidden chance would have been accepted.
        by: who was in charge, as recommendations say.
    """

    first: Floats
    unranked: Floats
    best: Floats
    by: tuple[str, ...]

    def rate(self, begin: int = 0, end: int | None = None) -> tuple[float, float, float]:
        """Acceptance of the first one, in any order, and of the best, from one interaction to before another."""
        part = slice(begin, end)
        return (
            float(self.first[part].mean()),
            float(self.unranked[part].mean()),
            float(self.best[part].mean()),
        )

    def ratio(self, begin: int = 0, end: int | None = None) -> float:
        """Acceptance of the first one over that in any order."""
        first, unranked, _ = self.rate(begin, end)
        return first / unranked


def play_acceptance(
    adviser: Adviser,
    *,
    seed: int,
    shared: bool = False,
    labelled: int = LABELLED,
    interactions: int = INTERACTIONS,
    noise: float = NOISE,
) -> Accepted:
    """Label, then interact.

    Args:
        adviser: who recommends; knows nothing yet.
        seed: of people, applications, moods and draws.
        shared: whether segments are kept from the adviser, so that all people are one.
        labelled: examples of each segment.
        interactions: after these.
        noise: scale of the noise in what people do.
    """
    people_rng, offers_rng, moods_rng, own_rng = np.random.default_rng(seed).spawn(4)
    people, offers = crowd(people_rng, noise=noise), Offers(offers_rng)
    desk = _Desk(adviser, own_rng, shared=shared)
    for person in _examiners(people, labelled, people_rng):
        desk.label(person, offers.draw(desk.now_s), float(moods_rng.random()))
    came = [
        desk.serve(
            people[int(people_rng.integers(len(people)))], offers.draw(desk.now_s), float(moods_rng.random())
        )
        for _ in range(interactions)
    ]
    first, unranked, best, by = zip(*came, strict=True)
    return Accepted(first=np.array(first), unranked=np.array(unranked), best=np.array(best), by=tuple(by))


def _examiners(people: Sequence[Person], labelled: int, rng: np.random.Generator) -> list[Person]:
    """Attentive people, every segment in turn."""
    attentive = {
        segment: [one for one in people if one.segment == segment and one.attentive] for segment in SEGMENTS
    }
    return [
        attentive[segment][int(rng.integers(len(attentive[segment])))]
        for _ in range(labelled)
        for segment in SEGMENTS
    ]


class _Desk:
    """Where people and the adviser meet; one meeting every hour."""

    def __init__(self, adviser: Adviser, rng: np.random.Generator, *, shared: bool) -> None:
        self._adviser, self._rng, self._shared = adviser, rng, shared
        self.now_s = _BEGAN_S

    def label(self, person: Person, analysis: Analysis, mood: float) -> None:
        """Somebody says of the first of the options, in any order, whether they would accept it."""
        made = recommend(
            analysis,
            self._adviser.history,
            Unranked(),
            segment=self._segment(person),
            most=1,
            draws=1,
            now_s=self.now_s,
            rng=self._rng,
            new_id=lambda: _new_id(self._rng),
        )
        self._decide(person, made, mood)

    def serve(self, person: Person, analysis: Analysis, mood: float) -> tuple[float, float, float, str]:
        """Somebody looks at the first recommendation; see `Accepted`."""
        made = self._adviser.recommend(analysis, self._segment(person), self.now_s, self._rng)
        chances = np.array([person.chance(one) for one in made])
        self._decide(person, made, mood)
        would = chances > mood
        return float(would[0]), float(would.mean()), float(would[chances.argmax()]), made[0].chosen_by

    def _segment(self, person: Person) -> str:
        return "" if self._shared else person.segment

    def _decide(self, person: Person, made: Sequence[Recommendation], mood: float) -> None:
        first = made[0]
        events = [_event(one, "shown", self.now_s) for one in made]
        if person.attentive:
            accepts = person.chance(first) > mood
            said_s = self.now_s + _READING_S
            events.append(_event(first, "accepted" if accepts else "rejected", said_s, person.name))
            if accepts:
                events.append(self._measured(first))
        self._adviser.hear(made, events)
        self.now_s += _EVERY_S

    def _measured(self, made: Recommendation) -> AdviceEvent:
        promised = made.prediction("success")
        change = _KEPT * (promised.change if promised else 0.0) + _SPREAD * float(self._rng.standard_normal())
        facts = {"change": change, "low": change - _SURE, "high": change + _SURE}
        return AdviceEvent(
            recommendation_id=made.recommendation_id,
            kind="measured",
            at_s=self.now_s + _TRIAL_S,
            by="advisor",
            facts=facts,
        )


def _event(made: Recommendation, kind: AdviceEventKind, at_s: float, by: str = "user") -> AdviceEvent:
    return AdviceEvent(recommendation_id=made.recommendation_id, kind=kind, at_s=at_s, by=by)


def _new_id(rng: np.random.Generator) -> str:
    return rng.bytes(16).hex()
