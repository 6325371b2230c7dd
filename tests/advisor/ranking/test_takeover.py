from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.advisor.ranking.features import PLACES
from inframind.advisor.ranking.protocol import Array, Lesson
from inframind.advisor.ranking.supervised import SupervisedRanker
from inframind.advisor.ranking.takeover import Takeover, TakeoverConfig, checkpoints, in_charge_after
from inframind.advisor.ranking.thompson import ThompsonSampling
from inframind.errors import ConfigError

CONFIG = TakeoverConfig(labels=10, compared=20, window=40)


class Oracle:
    """Says what is in a column, and remembers how much it had learned when it was asked."""

    def __init__(self, column: str) -> None:
        self.column, self.learned, self.asked = column, [], []

    def learn(self, lessons: Sequence[Lesson]) -> None:
        self.learned += [lesson.recommendation_id for lesson in lessons]

    def acceptance(self, features_KD: Array, segment: str) -> Array:
        self.asked += [len(self.learned)] * len(features_KD)
        return features_KD[:, PLACES[self.column]]


def told(bench: Any, count: int, *, ranker: float, bandit: float) -> list[Lesson]:
    """Verdicts of which the ranker and the bandit expect acceptance with these probabilities; all are accepted."""
    return [bench.lesson(values={"cluster_late": ranker, "cluster_wrong": bandit}) for _ in range(count)]


def takeover(made: list[Oracle] | None = None) -> Takeover:
    def maker(column: str) -> Callable[[], Oracle]:
        def make() -> Oracle:
            oracle = Oracle(column)
            if made is not None:
                made.append(oracle)
            return oracle

        return make

    return Takeover(CONFIG, supervised=maker("cluster_late"), thompson=maker("cluster_wrong"))


def test_the_bandit_takes_over_once_it_predicts_as_well_for_sure(bench: Any) -> None:
    lessons = told(bench, 60, ranker=0.7, bandit=0.8)
    found = takeover()
    assert found.compare(lessons[:29]).in_charge == "supervised"
    assert found.compare(lessons[:30]).in_charge == "thompson"


def test_the_ranker_takes_back_over_once_the_bandit_predicts_worse_for_sure(bench: Any) -> None:
    lessons = [*told(bench, 40, ranker=0.7, bandit=0.8), *told(bench, 40, ranker=0.9, bandit=0.1)]
    found = takeover()
    assert found.compare(lessons[:40]).in_charge == "thompson"
    assert found.compare(lessons).in_charge == "supervised"


@pytest.mark.parametrize(("before", "gap"), [("supervised", 0.1), ("thompson", -0.1)])
def test_in_between_everything_stays_as_it_is(before: Any, gap: float) -> None:
    unsure = np.tile([0.42, -0.38], 40)
    assert in_charge_after(np.concatenate([np.full(20, gap), unsure]), CONFIG) == before


def test_without_a_sure_difference_the_ranker_is_in_charge() -> None:
    assert in_charge_after(np.tile([0.42, -0.38], 40), CONFIG) == "supervised"
    assert in_charge_after(np.full(19, -0.1), CONFIG) == "supervised"
    assert in_charge_after(np.full(20, -0.1), CONFIG) == "thompson"


def test_only_the_latest_window_counts() -> None:
    assert in_charge_after(np.repeat([0.5, -0.5], [400, 40]), CONFIG) == "thompson"
    assert in_charge_after(np.repeat([-0.5, 0.5], [400, 40]), CONFIG) == "supervised"


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(20, 120), st.floats(-0.1, 0.1))
def test_looking_back_at_once_is_looking_back_again_and_again(seed: int, count: int, gap: float) -> None:
    differences = gap + 0.2 * np.random.default_rng(seed).normal(size=count)
    in_charge = "supervised"
    for end in range(CONFIG.compared, count + 1):
        latest = differences[:end][-CONFIG.window :]
        around = CONFIG.sureness * latest.std(ddof=1) / math.sqrt(len(latest))
        if latest.mean() + around < CONFIG.tolerance:
            in_charge = "thompson"
        elif latest.mean() - around > CONFIG.tolerance:
            in_charge = "supervised"
    assert in_charge_after(differences, CONFIG) == in_charge


def test_learners_are_fitted_whenever_verdicts_have_doubled_and_only_to_predict_the_latest_window() -> None:
    assert checkpoints(11, CONFIG) == (10,)
    assert checkpoints(50, CONFIG) == (10, 20, 40)
    assert checkpoints(62, CONFIG) == (20, 40)
    assert checkpoints(2000, TakeoverConfig()) == (1280,)


def test_every_verdict_is_predicted_once_by_learners_that_do_not_know_it(bench: Any) -> None:
    made: list[Oracle] = []
    found, lessons = takeover(made), told(bench, 50, ranker=0.5, bandit=0.5)
    for end in (5, 12, 13, 40, 50):
        found.compare(lessons[:end])
    assert found.compare(lessons).compared == 40
    for oracle in made:
        assert len(oracle.asked) == 40
        assert all(10 + place >= known for place, known in enumerate(oracle.asked))
        assert oracle.learned == [one.recommendation_id for one in lessons[: len(oracle.learned)]]


def test_portions_do_not_matter_and_late_arrivals_are_put_in_their_place(bench: Any) -> None:
    rng = np.random.default_rng(1)
    lessons = bench.random_lessons(rng, 140)

    def real() -> Takeover:
        return Takeover(CONFIG, supervised=SupervisedRanker, thompson=ThompsonSampling)

    at_once, bit_by_bit, disordered = real(), real(), real()
    for end in range(0, 141, 7):
        bit_by_bit.compare(lessons[:end])
    disordered.compare(lessons[20:100])
    expected = at_once.compare(lessons)
    assert expected.compared == 140 - checkpoints(140, CONFIG)[0] == 60
    for other in (bit_by_bit, disordered):
        found = other.compare(lessons)
        assert (found.in_charge, found.compared) == (expected.in_charge, expected.compared)
        assert (found.supervised, found.thompson) == pytest.approx((expected.supervised, expected.thompson))


def test_what_is_measured_later_does_not_change_who_was_in_charge(bench: Any) -> None:
    lessons = bench.random_lessons(np.random.default_rng(2), 40)
    improved = [replace(lesson, improved=True, reliability_change=0.2) for lesson in lessons]
    one = Takeover(CONFIG, supervised=SupervisedRanker, thompson=ThompsonSampling)
    other = Takeover(CONFIG, supervised=SupervisedRanker, thompson=ThompsonSampling)
    assert one.compare(lessons) == other.compare(improved)


def test_a_comparison_says_what_it_found(bench: Any) -> None:
    found = takeover().compare(told(bench, 40, ranker=0.5, bandit=0.9))
    assert str(found) == (
        "thompson: squared error of the ranker 0.250, of the bandit 0.010 (-0.240 ± 0.000, 30 verdicts)"
    )
    assert str(takeover().compare([])) == "supervised: nothing compared yet"


@pytest.mark.parametrize("wrong", [{"labels": 0}, {"window": 10}, {"tolerance": -0.1}, {"sureness": -1.0}])
def test_rules_that_cannot_be_followed_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TakeoverConfig(**wrong)
