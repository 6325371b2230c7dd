from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.advisor.ranking.features import COLUMNS, PLACES
from inframind.advisor.ranking.process import Groups, ProcessConfig, ProcessPolicy, objective, rewards_of
from inframind.advisor.ranking.protocol import Array, Lesson
from inframind.errors import ConfigError
from inframind.traces.advice import KINDS


def screen(
    bench: Any, number: int, accepted: str | None, *, reliability: float | None = None
) -> list[Lesson]:
    """The four kinds side by side, one of which was accepted, or none that anybody said anything of."""
    return [
        bench.lesson(
            "accepted" if kind == accepted else "ignored",
            kind,
            shown_with=number,
            reliability_change=reliability if kind == accepted else None,
        )
        for kind in KINDS
    ]


def some_groups(rng: np.random.Generator) -> Groups:
    present = np.array([[True, True, True, True], [True, True, False, False], [True, True, True, False]])
    features = rng.normal(size=(3, 4, len(COLUMNS))) * present[:, :, None]
    return Groups(features, present, rng.normal(size=(3, 4)) * present)


def slope(groups: Groups, weights: Array, old: Array, config: ProcessConfig, along: Array) -> float:
    step = 1e-6
    high, low = (objective(weights + sign * step * along, old, groups, config)[0] for sign in (1, -1))
    return (high - low) / (2 * step)


def test_members_are_paid_for_being_applied_and_for_measured_reliability(bench: Any) -> None:
    lessons = [
        bench.lesson("accepted", reliability_change=0.25),
        bench.lesson("accepted"),
        bench.lesson("rejected"),
        bench.lesson("ignored"),
    ]
    assert rewards_of(lessons).tolist() == [1.25, 1.0, 0.0, 0.0]


def test_advantages_are_rewards_less_the_mean_of_their_own_group(bench: Any) -> None:
    groups = Groups.of([screen(bench, 1, "cheapest"), screen(bench, 2, "balanced")[1:]])
    assert groups.advantages(with_spread=False) == pytest.approx(
        np.array([[0.75, -0.25, -0.25, -0.25], [-1 / 3, 2 / 3, -1 / 3, 0.0]])
    )


def test_with_spread_they_are_divided_by_the_group_s_standard_deviation(bench: Any) -> None:
    groups = Groups.of([screen(bench, 1, "cheapest"), screen(bench, 2, None)])
    high, low = 0.75 / np.sqrt(3 / 16), -0.25 / np.sqrt(3 / 16)
    assert groups.advantages(with_spread=True) == pytest.approx(
        np.array([[high, low, low, low], [0, 0, 0, 0]])
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.05, 1.0]), st.booleans(), st.sampled_from([0.05, 0.5]))
def test_the_gradient_is_exact(seed: int, restraint: float, with_spread: bool, far: float) -> None:
    rng = np.random.default_rng(seed)
    groups = some_groups(rng)
    old = 0.1 * rng.normal(size=len(COLUMNS))
    weights = old + far * 0.1 * rng.normal(size=len(COLUMNS))
    config = ProcessConfig(restraint=restraint, with_spread=with_spread)
    gradient = objective(weights, old, groups, config)[1]
    along = rng.normal(size=len(COLUMNS))
    assert slope(groups, weights, old, config, along) == pytest.approx(float(gradient @ along), abs=1e-5)


def test_at_the_old_policy_the_gradient_is_the_policy_gradient(bench: Any) -> None:
    groups = Groups.of([screen(bench, 1, "cheapest")])
    value, gradient = objective(np.zeros(len(COLUMNS)), np.zeros(len(COLUMNS)), groups, ProcessConfig())
    assert value == pytest.approx(0.0)
    assert gradient[PLACES["is_cheapest"]] == pytest.approx(0.25 * 0.75)
    assert gradient[PLACES["is_balanced"]] == pytest.approx(-0.25 * 0.25)
    assert gradient[PLACES["level"]] == pytest.approx(0.0)


def test_nothing_is_gained_by_moving_further_than_the_clip(bench: Any) -> None:
    groups = Groups.of([screen(bench, 1, "cheapest")])
    old, far = np.zeros(len(COLUMNS)), np.zeros(len(COLUMNS))
    far[PLACES["is_cheapest"]] = 5.0
    config = ProcessConfig(restraint=0.0)
    value, gradient = objective(far, old, groups, config)
    assert value == pytest.approx(0.25 * (1.2 * 0.75 + 3 * 0.8 * -0.25))
    assert gradient == pytest.approx(np.zeros(len(COLUMNS)))


def test_restraint_pulls_back_to_the_old_policy(bench: Any) -> None:
    groups = Groups.of([screen(bench, 1, None)])
    old, far = np.zeros(len(COLUMNS)), np.zeros(len(COLUMNS))
    far[PLACES["is_cheapest"]] = 1.0
    value, gradient = objective(far, old, groups, ProcessConfig(restraint=1.0))
    assert value < 0
    assert gradient[PLACES["is_cheapest"]] < 0


def learned(lessons: list[Lesson]) -> ProcessPolicy:
    policy = ProcessPolicy()
    policy.learn(lessons)
    return policy


def test_what_is_accepted_comes_first_more_often(bench: Any) -> None:
    lessons = [lesson for number in range(80) for lesson in screen(bench, number, "balanced")]
    asked = np.stack([bench.columns(kind) for kind in KINDS])
    first = learned(lessons).draws(asked, "", 2000, np.random.default_rng(1)).argmax(axis=1)
    shares = np.bincount(first, minlength=4) / 2000
    assert shares[KINDS.index("balanced")] > 0.5


def test_screens_that_nobody_looked_at_and_ones_of_one_member_teach_nothing(bench: Any) -> None:
    unheard = [lesson for number in range(20) for lesson in screen(bench, number, None)]
    alone = [bench.lesson("accepted", shown_with=100 + number) for number in range(20)]
    assert not learned([*unheard, *alone]).weights.any()


def test_fewer_screens_than_a_portion_are_waited_for(bench: Any) -> None:
    lessons = [lesson for number in range(7) for lesson in screen(bench, number, "balanced")]
    policy = learned(lessons)
    assert not policy.weights.any()
    policy.learn(screen(bench, 7, "balanced"))
    assert policy.weights.any()


def test_any_order_and_portions_give_the_same_policy_and_later_news_replace_earlier(bench: Any) -> None:
    lessons = [
        lesson
        for number in range(16)
        for lesson in screen(bench, number, KINDS[number % 3], reliability=0.2 * (number % 2))
    ]
    early = [replace(lesson, reliability_change=None, at_s=lesson.at_s - 0.5) for lesson in lessons]
    shuffled = [lessons[place] for place in np.random.default_rng(2).permutation(len(lessons))]
    policy = learned(early)
    assert not np.array_equal(policy.weights, learned(lessons).weights)
    for lesson in shuffled:
        policy.learn([lesson])
    policy.learn(early)
    assert np.array_equal(policy.weights, learned(lessons).weights)


@pytest.mark.parametrize(
    "wrong", [{"groups": 0}, {"steps": 0}, {"pace": 0.0}, {"clip": 1.0}, {"restraint": -1.0}]
)
def test_steps_that_lead_nowhere_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ProcessConfig(**wrong)
