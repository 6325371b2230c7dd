from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inframind.advisor.ranking.lessons import Table
from inframind.advisor.ranking.protocol import Lesson
from inframind.advisor.ranking.thompson import ThompsonConfig, ThompsonSampling
from inframind.errors import ConfigError
from inframind.traces.advice import KINDS


def after(*portions: list[Lesson]) -> ThompsonSampling:
    bandit = ThompsonSampling()
    for portion in portions:
        bandit.learn(portion)
    return bandit


def same(one: ThompsonSampling, other: ThompsonSampling) -> bool:
    return all(
        np.array_equal(mine.mean_D, others.mean_D)
        and np.array_equal(mine.covariance_DD, others.covariance_DD)
        for mine, others in zip(one.belief.posteriors, other.belief.posteriors, strict=True)
    ) and np.array_equal(one.belief.chances, other.belief.chances)


def test_rewards_are_those_of_outcomes(bench: Any) -> None:
    lessons = [
        bench.lesson("accepted", improved=True),
        bench.lesson("accepted"),
        bench.lesson("rejected"),
        bench.lesson("rejected", well_formed=False),
    ]
    assert Table.of(lessons).rewards_B == pytest.approx([1.6, 1.1, -0.9, -1.0])


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 30))
def test_the_same_lessons_in_any_order_and_portions_give_the_same_belief(
    bench: Any, random: Any, cut: int
) -> None:
    lessons = bench.random_lessons(np.random.default_rng(7), 30)
    shuffled = random.sample(lessons, len(lessons))
    portions = after(shuffled[:cut])
    assert portions.belief is portions.belief
    portions.learn(shuffled[cut:])
    portions.learn(shuffled[:5])
    assert same(portions, after(lessons))


def test_what_was_ignored_leaves_no_trace(bench: Any) -> None:
    lessons = bench.random_lessons(np.random.default_rng(8), 12)
    ignored = [bench.lesson("ignored", kind, segment="segment-0") for kind in KINDS * 20]
    assert same(after(lessons, ignored), after(lessons))


def test_a_lesson_that_comes_again_with_more_in_it_replaces_itself(bench: Any) -> None:
    first = bench.lesson("accepted", "cheapest")
    more = replace(first, improved=True, reliability_change=0.1, at_s=first.at_s + 9)
    others = bench.random_lessons(np.random.default_rng(9), 5)
    assert same(after([*others, first], [more]), after([*others, more]))
    assert same(after([more], [first], others), after([*others, more]))
    assert not same(after([*others, first]), after([*others, more]))


def test_what_one_segment_says_moves_another_less_than_itself(bench: Any) -> None:
    loud = [bench.lesson("accepted", "cheapest", segment="loud") for _ in range(15)]
    loud += [bench.lesson("rejected", "balanced", segment="loud") for _ in range(15)]
    asked = np.stack([bench.columns("cheapest"), bench.columns("balanced")])
    belief = after(loud).belief
    own, other = (float(-np.diff(belief.means(asked, segment))[0]) for segment in ("loud", "silent"))
    assert own > other > 0.1


def test_segments_that_disagree_are_learned_separately(bench: Any) -> None:
    lessons = []
    for _ in range(20):
        for segment, liked in (("thrifty", "cheapest"), ("fast", "highest_performance")):
            for kind in ("cheapest", "highest_performance"):
                verdict = "accepted" if kind == liked else "rejected"
                lessons.append(bench.lesson(verdict, kind, segment=segment))
    asked = np.stack([bench.columns("cheapest"), bench.columns("highest_performance")])
    bandit = after(lessons)
    assert bandit.acceptance(asked, "thrifty") == pytest.approx([1.0, 0.0], abs=0.15)
    assert bandit.acceptance(asked, "fast") == pytest.approx([0.0, 1.0], abs=0.15)


def test_the_same_seed_draws_the_same_scores(bench: Any) -> None:
    bandit = after(bench.random_lessons(np.random.default_rng(10), 20))
    asked = np.stack([bench.columns(kind) for kind in KINDS])
    one, other = (bandit.scores(asked, "segment-1", np.random.default_rng(3)) for _ in range(2))
    assert one.tolist() == other.tolist()


@pytest.mark.parametrize("field", ["noise", "noise_known", "curiosity"])
def test_a_bandit_without_noise_or_curiosity_is_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        ThompsonConfig(**{field: 0.0})
