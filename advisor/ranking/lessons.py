"""Lessons as choosers keep them: the latest of each recommendation, in an order that hangs on nothing but them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inframind.advisor.ranking.protocol import Array, Lesson
from inframind.rewards.feedback import RecommendationOutcomes, outcome

WELL_FORMED = 0.1
"""What `inframind.rewards.feedback.outcome` pays for form."""


class LessonBook:
    """Lessons with a verdict, by segment. Ignored ones are no lessons in acceptance and stay out."""

    def __init__(self) -> None:
        self._by_segment: dict[str, dict[str, Lesson]] = {}

    def __len__(self) -> int:
        return sum(len(lessons) for lessons in self._by_segment.values())

    def add(self, lessons: Iterable[Lesson]) -> frozenset[str]:
        """Take in lessons; returns the segments of which something new is known."""
        touched = set()
        for lesson in lessons:
            if lesson.verdict == "ignored":
                continue
            known = self._by_segment.setdefault(lesson.segment, {})
            old = known.get(lesson.recommendation_id)
            if old is None or _age(lesson) > _age(old):
                known[lesson.recommendation_id] = lesson
                touched.add(lesson.segment)
        return frozenset(touched)

    @property
    def segments(self) -> tuple[str, ...]:
        """With lessons, in alphabetical order."""
        return tuple(sorted(self._by_segment))

    @property
    def places(self) -> Mapping[str, int]:
        """Place of each segment."""
        return {segment: place for place, segment in enumerate(self.segments)}

    def latest(self, most: int) -> list[Lesson]:
        """So many of all segments, by segment and id."""
        everything = (lesson for lessons in self._by_segment.values() for lesson in lessons.values())
        found = heapq.nlargest(most, everything, key=lambda lesson: (lesson.at_s, lesson.recommendation_id))
        return sorted(found, key=lambda lesson: (lesson.segment, lesson.recommendation_id))

    def of(self, segment: str) -> tuple[Lesson, ...]:
        """A segment's lessons, by id."""
        lessons = self._by_segment.get(segment, {})
        return tuple(lessons[one] for one in sorted(lessons))


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Lessons side by side (B).

    Attributes:
        features_BD: columns.
        accepted_B: 1 or 0.
        rewards_B: see `inframind.rewards.feedback.outcome`.
    """

    features_BD: Array
    accepted_B: Array
    rewards_B: Array

    @classmethod
    def of(cls, lessons: Sequence[Lesson]) -> Table:
        """Of at least one lesson with a verdict."""
        accepted = np.array([lesson.verdict == "accepted" for lesson in lessons])
        outcomes = RecommendationOutcomes(
            accepted_B=accepted,
            rejected_B=~accepted,
            reliability_improved_B=np.array([lesson.improved for lesson in lessons]),
            well_formed_B=np.array([lesson.well_formed for lesson in lessons]),
        )
        return cls(
            np.stack([lesson.features_D for lesson in lessons]),
            accepted.astype(np.float64),
            outcome(outcomes, well_formed=WELL_FORMED).total,
        )


def _age(lesson: Lesson) -> tuple[float, bool, bool]:
    """Later is more; at the same instant, what has been measured is."""
    return lesson.at_s, lesson.reliability_change is not None, lesson.improved
