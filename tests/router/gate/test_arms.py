"""Who serves a run: by hash, for good, and by the share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.router.gate.arms import arm_of, key_of, place_of
from inframind.traces.shelf import Rollout

CANARY = Rollout(number=3, serving="a" * 64, candidate="c" * 64, stage="canary", share=0.1)
KEYS = [f"{place:032x}" for place in range(20_000)]


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5, 0.95])
def test_the_candidate_serves_its_share_of_runs(share: float) -> None:
    rollout = replace(CANARY, share=share)
    served = np.mean([arm_of(key, rollout) == "candidate" for key in KEYS])
    assert abs(served - share) < 4 * np.sqrt(share * (1 - share) / len(KEYS))


def test_places_are_uniform() -> None:
    counts, _ = np.histogram([place_of(key, "c" * 64) for key in KEYS], bins=50, range=(0, 1))
    chi_square = ((counts - 400) ** 2 / 400).sum()
    assert 20 < chi_square < 95  # 49 degrees of freedom: both ends beyond 1 in 10,000


def test_places_for_two_candidates_have_nothing_to_do_with_each_other() -> None:
    one, other = ([place_of(key, salt) for key in KEYS] for salt in ("c" * 64, "d" * 64))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03


@given(st.text(max_size=40), st.floats(0, 1), st.floats(0, 1))
def test_whoever_is_in_the_canary_stays_in_it_as_the_share_grows(key: str, low: float, high: float) -> None:
    low, high = sorted((low, high))
    if arm_of(key, replace(CANARY, share=low)) == "candidate":
        assert arm_of(key, replace(CANARY, share=high, stage="ramp")) == "candidate"


@given(st.text(max_size=40), st.integers(0, 1000), st.booleans())
def test_a_remark_or_a_freeze_moves_nobody(key: str, number: int, frozen: bool) -> None:
    assert arm_of(key, replace(CANARY, number=number, frozen=frozen)) == arm_of(key, CANARY)


def test_a_thread_keeps_its_policy() -> None:
    arms = {arm_of(key_of(trace_id, "thread-7"), CANARY) for trace_id in KEYS[:50]}
    assert len(arms) == 1


def test_nobody_is_served_by_a_shadow_and_all_by_a_whole_share() -> None:
    shadow, whole = replace(CANARY, stage="shadow", share=0.0), replace(CANARY, share=1.0)
    assert {arm_of(key, shadow) for key in KEYS[:500]} == {"serving"}
    assert {arm_of(key, whole) for key in KEYS[:500]} == {"candidate"}


def test_without_a_candidate_the_serving_version_serves() -> None:
    assert arm_of("key", Rollout(serving="a" * 64)) == "serving"


def test_a_place_is_the_same_in_every_process_and_release() -> None:
    assert place_of("thread-7", "c" * 64) == pytest.approx(PLACE, abs=1e-12)


PLACE = 0.6963957523586776
