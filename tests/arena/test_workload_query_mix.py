from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.arena.query_mix import MixSchedule, QueryMix, Shift, offered_items
from inframind.errors import ConfigError
from inframind.simulator.items import Item

POOL = tuple(
    Item(
        item_id=f"{domain}-{level}-{index}",
        question="?",
        answer="1",
        level=level,
        domain=domain,
        subject="Algebra" if index % 2 else "Geometry",
    )
    for domain in ("math", "code")
    for level in (1, 2, 5)
    for index in range(10)
)
EASY, HARD = QueryMix(levels={1: 1.0}), QueryMix(levels={5: 1.0})


def arrivals(n: int) -> list[float]:
    return [float(second) for second in range(n)]


def draw(n: int, schedule: MixSchedule, seed: int = 0) -> tuple[Item, ...]:
    return offered_items(POOL, arrivals(n), np.random.default_rng(seed), schedule)


def test_without_a_mix_every_question_comes_once_before_any_comes_again() -> None:
    items = offered_items(POOL, arrivals(90), np.random.default_rng(0))

    assert set(items[:60]) == set(POOL)
    assert sorted(Counter(items).values()) == [1] * 30 + [2] * 30
    assert items[:60] != POOL


def test_the_same_generator_state_gives_the_same_questions() -> None:
    assert draw(50, MixSchedule(), seed=4) == draw(50, MixSchedule(), seed=4)
    assert draw(50, MixSchedule(), seed=4) != draw(50, MixSchedule(), seed=5)


def test_levels_come_by_their_weights() -> None:
    levels = Counter(item.level for item in draw(6000, MixSchedule(QueryMix(levels={1: 3, 5: 1}))))

    assert set(levels) == {1, 5}
    assert levels[1] / 6000 == pytest.approx(0.75, abs=0.02)


def test_attributes_multiply() -> None:
    mix = QueryMix(levels={1: 1, 5: 1}, domains={"math": 4, "code": 1}, subjects={"Algebra": 1})

    items = draw(6000, MixSchedule(mix))

    shares = Counter((item.level, item.domain, item.subject) for item in items)
    assert set(shares) == {(level, domain, "Algebra") for level in (1, 5) for domain in ("math", "code")}
    assert shares[1, "math", "Algebra"] / 6000 == pytest.approx(0.4, abs=0.02)


def test_easy_in_the_morning_and_hard_after() -> None:
    by_share = draw(40, MixSchedule(EASY, (Shift(mix=HARD, at_share=0.25),)))
    by_time = draw(40, MixSchedule(EASY, (Shift(mix=HARD, at_s=10.0), Shift(mix=EASY, at_s=30.0))))

    assert [item.level for item in by_share] == [1] * 10 + [5] * 30
    assert [item.level for item in by_time] == [1] * 10 + [5] * 20 + [1] * 10


@given(seed=st.integers(0, 2**32), n=st.integers(0, 30))
def test_no_question_of_a_level_comes_again_before_all_others(seed: int, n: int) -> None:
    counts = Counter(draw(n, MixSchedule(EASY, (Shift(mix=HARD, at_share=0.5),)), seed))

    for level in (1, 5):
        of_level = [counts[item] for item in POOL if item.level == level]
        assert max(of_level) - min(of_level) <= 1


def test_a_mix_that_the_pool_cannot_serve_is_refused() -> None:
    with pytest.raises(ConfigError, match="none of the 60 questions has a weight above 0"):
        draw(1, MixSchedule(QueryMix(levels={4: 1.0})))


@pytest.mark.parametrize("levels", [{1: -1.0}, {1: 0.0}, {1: float("inf")}])
def test_impossible_weights_are_refused(levels: dict[int, float]) -> None:
    with pytest.raises(ConfigError, match=r"mix\.levels"):
        QueryMix(levels=levels)


@pytest.mark.parametrize(
    ("at_share", "at_s"),
    [(None, None), (0.5, 3.0), (0.0, None), (1.0, None), (None, 0.0), (None, float("inf"))],
)
def test_impossible_shifts_are_refused(at_share: float | None, at_s: float | None) -> None:
    with pytest.raises(ConfigError, match="shift"):
        Shift(mix=EASY, at_share=at_share, at_s=at_s)


@pytest.mark.parametrize(
    "shifts",
    [
        (Shift(mix=EASY, at_share=0.5), Shift(mix=HARD, at_s=5.0)),
        (Shift(mix=EASY, at_share=0.5), Shift(mix=HARD, at_share=0.2)),
        (Shift(mix=EASY, at_s=5.0), Shift(mix=HARD, at_s=5.0)),
    ],
)
def test_shifts_out_of_order_are_refused(shifts: tuple[Shift, ...]) -> None:
    with pytest.raises(ConfigError, match="shifts"):
        MixSchedule(EASY, shifts)
