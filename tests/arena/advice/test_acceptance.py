from __future__ import annotations

import numpy as np
import pytest

from inframind.advisor.analysis import Analysis
from inframind.advisor.ranking.history import History
from inframind.advisor.ranking.supervised import SupervisedRanker
from inframind.advisor.ranking.unranked import Unranked
from inframind.arena.advice.acceptance import Accepted, AsShipped, ByOne, play_acceptance
from inframind.traces.advice import AdviceEvent, Recommendation


class Listening(ByOne):
    """Recommends in any order, and keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(Unranked())
        self.segments: list[str] = []
        self.events: list[AdviceEvent] = []

    def recommend(
        self, analysis: Analysis, segment: str, now_s: float, rng: np.random.Generator
    ) -> tuple[Recommendation, ...]:
        self.segments.append(segment)
        return super().recommend(analysis, segment, now_s, rng)

    def hear(self, made: tuple[Recommendation, ...], events: list[AdviceEvent]) -> None:  # type: ignore[override]
        self.events += events
        super().hear(made, events)


def same(one: Accepted, other: Accepted) -> bool:
    return bool(
        (one.first == other.first).all() and (one.unranked == other.unranked).all() and one.by == other.by
    )


def test_a_play_comes_out_the_same_every_time() -> None:
    one, other = (play_acceptance(AsShipped(), seed=5, labelled=3, interactions=12) for _ in range(2))
    assert same(one, other)


def test_all_advisers_meet_the_same_people_applications_and_moods() -> None:
    one = play_acceptance(ByOne(Unranked()), seed=6, labelled=3, interactions=20)
    other = play_acceptance(ByOne(SupervisedRanker()), seed=6, labelled=3, interactions=20)
    assert one.unranked.tolist() == other.unranked.tolist()
    assert one.best.tolist() == other.best.tolist()


def test_labels_come_first_from_every_segment_alike_and_silence_is_no_verdict() -> None:
    adviser = Listening()
    play_acceptance(adviser, seed=7, labelled=4, interactions=30)
    verdicts = [event for event in adviser.events if event.kind in ("accepted", "rejected")]
    decided = adviser.history.decided()
    assert len(verdicts) == len(decided) < 4 * 4 + 30
    first = [fate.recommendation.segment for fate in decided[:16]]
    assert sorted(first) == sorted(4 * ["thrifty", "performance", "wary", "even-minded"])
    measured = {event.recommendation_id for event in adviser.events if event.kind == "measured"}
    assert measured == {event.recommendation_id for event in verdicts if event.kind == "accepted"}


def test_segments_may_be_kept_from_the_adviser() -> None:
    adviser = Listening()
    play_acceptance(adviser, seed=8, labelled=1, interactions=5, shared=True)
    assert set(adviser.segments) == {""}


def test_the_ratio_is_of_what_the_same_people_would_have_accepted_in_any_order() -> None:
    accepted = Accepted(
        first=np.array([0.0, 1.0, 1.0]),
        unranked=np.array([0.0, 0.25, 0.75]),
        best=np.array([1.0, 1.0, 1.0]),
        by=("a", "a", "b"),
    )
    assert accepted.ratio() == pytest.approx(2.0)
    assert accepted.rate(2) == (1.0, 0.75, 1.0)
    assert accepted.rate(0, 1) == (0.0, 0.0, 1.0)


def test_history_of_an_adviser_holds_all_that_was_shown() -> None:
    adviser = ByOne(Unranked())
    play_acceptance(adviser, seed=9, labelled=1, interactions=5)
    assert isinstance(adviser.history, History)
    assert len(adviser.history) == 4 + 5 * 4
