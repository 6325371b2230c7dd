from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.advisor.cluster import FailureCluster, Trait
from inframind.advisor.clustering.contrast import counts_z
from inframind.advisor.clustering.embedding import DIMENSION, embed
from inframind.advisor.clustering.finding import _explained
from inframind.advisor.clustering.hours import LONGEST, SHORTEST, range_sums, span
from inframind.advisor.clustering.identity import identified
from inframind.advisor.clustering.levels import Cuts, load_of, prompt_tokens_of
from inframind.advisor.clustering.logistic import fit
from inframind.advisor.clustering.observing import hours_in
from inframind.advisor.clustering.wording import label
from inframind.arena.advice.planted_runs import run
from inframind.traces.records import Decision

# Levels ------------------------------------------------------------------------------------------------


def test_levels_are_the_thirds_of_all_rounded_to_two_digits() -> None:
    cuts = Cuts.of([float(number) for number in range(1, 1_000)])
    assert cuts == Cuts(low_below=330.0, high_from=670.0)
    assert [cuts.level(number) for number in (329.0, 330.0, 669.0, 670.0)] == [
        "low",
        "middle",
        "middle",
        "high",
    ]


def test_a_number_that_never_varies_is_in_the_middle() -> None:
    assert Cuts.of([30.0] * 9).level(30.0) == "middle"


def test_the_length_of_a_question_without_its_text_is_what_the_router_read() -> None:
    assert prompt_tokens_of(run(1, question="x" * 400)) == 101
    assert prompt_tokens_of(run(1, question="blake2b:00:400", question_read={"prompt_tokens": 101.0})) == 101


def test_load_is_requests_per_slot_over_all_endpoints_as_first_seen() -> None:
    busy = {"running": 6.0, "waiting": 2.0, "in_flight": 1, "waiting_here": 0, "max_concurrency": 4}
    idle = {"running": None, "waiting": None, "in_flight": 0, "waiting_here": 0, "max_concurrency": 4}
    decision = Decision(
        decision_id="d",
        kind="plan",
        made_s=0.0,
        policy="p",
        policy_version="1",
        features_version="1",
        actions=("IO",),
        probabilities=(1.0,),
        masked=("",),
        chosen=0,
        probability=1.0,
        choice={},
        seen={"loads": {"gpu-1": busy, "gpu-2": idle}},
    )
    assert load_of(run(1, decisions=(decision,))) == 1.0
    assert load_of(run(1)) is None


# Hours -------------------------------------------------------------------------------------------------


def test_a_range_of_hours_goes_around_midnight_and_leaves_its_end_out() -> None:
    assert hours_in("22-2") == (22, 23, 0, 1)
    assert hours_in("9-11") == (9, 10)


@given(st.lists(st.tuples(st.integers(0, 23), st.integers(-5, 5), st.booleans()), min_size=1, max_size=40))
def test_sums_over_ranges_are_those_of_the_hours_in_them(rows: list[tuple[int, int, bool]]) -> None:
    hours = np.array([hour for hour, _, _ in rows])
    parts = np.array([[value] for _, value, _ in rows], dtype=np.float64)
    flags = np.array([[flag] for _, _, flag in rows])
    sums = range_sums(parts, flags, hours)
    for start in range(24):
        for length in range(LONGEST - SHORTEST + 1):
            within = set(hours_in(span(start, length)))
            assert len(within) == SHORTEST + length
            wanted = sum(value for hour, value, flag in rows if flag and hour in within)
            assert sums[0, start, length, 0] == pytest.approx(wanted)


# Tests of shares ---------------------------------------------------------------------------------------


def test_two_shares_are_as_many_deviates_apart_as_the_textbook_says() -> None:
    assert counts_z(30, 100, 20, 100) == pytest.approx(0.1 / math.sqrt(0.25 * 0.75 * 0.02))
    assert counts_z(1, 1, 0, 0) == 0.0
    assert counts_z(5, 5, 7, 7) == 0.0


def test_a_candidate_alone_is_tested_as_two_shares_are_but_for_the_continuity_correction() -> None:
    holds = np.repeat([1.0, 0.0], [400, 1_600])
    outcome = np.concatenate([np.repeat([1.0, 0.0], [140, 260]), np.repeat([1.0, 0.0], [400, 1_200])])
    fitted = fit([], outcome)
    z = float(fitted.z_of(holds @ fitted.parts_NK))
    corrected = counts_z(140, 400, 400, 1_600) * (140 - 108 - 0.5) / (140 - 108)
    assert z <= corrected
    assert z == pytest.approx(corrected, rel=0.04)


def test_a_candidate_that_is_fitted_already_has_nothing_left_to_say() -> None:
    rng = np.random.default_rng(0)
    holds = (rng.random(500) < 0.3).astype(np.float64)
    fitted = fit([holds], (rng.random(500) < 0.2 + 0.4 * holds).astype(np.float64))
    assert float(fitted.z_of(holds @ fitted.parts_NK)) == 0.0


def test_a_fit_survives_a_column_that_separates() -> None:
    holds = np.repeat([1.0, 0.0], [50, 150])
    fitted = fit([holds], holds)
    assert np.isfinite(fitted.covariance_QQ).all()
    assert np.abs(fitted.residual_N).max() < 0.01


@given(st.integers(0, 2**32 - 1))
def test_few_failures_are_never_worth_more_than_their_exact_chance(seed: int) -> None:
    """Of rare failures, the deviate is at most that of the exact binomial tail, with a little slack for the fit."""
    rng = np.random.default_rng(seed)
    runs, share, exposed = 4_000, 0.01, 60
    hits = int(rng.integers(1, 9))
    outcome = np.zeros(runs)
    outcome[:hits] = 1.0
    outcome[exposed : exposed + int(share * runs)] = 1.0
    holds = np.zeros(runs)
    holds[:exposed] = 1.0
    fitted = fit([], outcome)
    z = float(fitted.z_of(holds @ fitted.parts_NK))
    rate = outcome.mean()
    tail = sum(
        math.comb(exposed, count) * rate**count * (1 - rate) ** (exposed - count)
        for count in range(hits, exposed + 1)
    )
    assert 0.5 * math.erfc(z / math.sqrt(2)) >= 0.5 * tail


# Embedding ---------------------------------------------------------------------------------------------


def test_an_embedding_has_fixed_columns_whatever_runs_there_are() -> None:
    from inframind.advisor.clustering.config import ClusterConfig
    from inframind.advisor.clustering.observing import observe
    from inframind.arena.advice.planted_runs import WASTES, make_runs
    from inframind.traces.records import SOLVED_ONLY

    for count in (200, 400):
        observed = observe(make_runs(count, np.random.default_rng(1), [WASTES]), SOLVED_ONLY)
        points = embed(observed, _explained(observed, ClusterConfig()), observed.failed)
        assert points.shape == (len(observed.failed), DIMENSION)
        assert np.isfinite(points).all()


# Ids ---------------------------------------------------------------------------------------------------


def pattern(values: dict[str, str], centroid: tuple[float, ...] = (1.0, 0.0), **more: Any) -> FailureCluster:
    trait = Trait(
        values=values,  # type: ignore[arg-type]
        share=1.0,
        share_elsewhere=0.1,
        failing=0.6,
        failing_without=0.2,
        z=9.0,
    )
    usual: dict[str, Any] = {
        "cluster_id": "",
        "label": "",
        "kinds": {"late": 10},
        "size": 10,
        "share": 0.5,
        "runs": 100,
        "trend": 0.0,
        "trend_z": 0.0,
        "exemplars": (),
    }
    return FailureCluster(**{**usual, "traits": (trait,), "centroid": centroid, **more})


def test_a_new_pattern_is_named_by_its_traits_in_any_order() -> None:
    left = identified([pattern({"strategy": "Flash", "role": "Critic"})], [])
    right = identified([pattern({"role": "Critic", "strategy": "Flash"})], [])
    other = identified([pattern({"role": "Critic"})], [])
    assert left[0].cluster_id == right[0].cluster_id != other[0].cluster_id
    assert len(left[0].cluster_id) == 12
    assert int(left[0].cluster_id, 16) >= 0


def test_a_pattern_keeps_its_id_when_its_hours_move_a_little() -> None:
    before = pattern({"endpoint": "gpu-3", "hour_utc": "22-6"}, cluster_id="a" * 12)
    after = identified([pattern({"endpoint": "gpu-3", "hour_utc": "21-5"})], [before])
    assert after[0].cluster_id == "a" * 12


def test_another_way_of_failing_is_another_pattern() -> None:
    before = pattern({"topology": "Debate"}, cluster_id="a" * 12)
    after = identified([pattern({"topology": "Debate"}, kinds={"wrong": 10})], [before])
    assert after[0].cluster_id != "a" * 12


def test_nearness_alone_does_not_make_it_the_same_pattern() -> None:
    before = pattern({"topology": "Debate"}, cluster_id="a" * 12)
    assert identified([pattern({"model": "qwen-7b"})], [before])[0].cluster_id != "a" * 12


def test_an_id_goes_to_the_one_pattern_that_is_most_like_the_earlier() -> None:
    before = pattern({"endpoint": "gpu-3", "hour_utc": "22-6"}, cluster_id="a" * 12)
    near = pattern({"endpoint": "gpu-3", "hour_utc": "0-6"})
    same = pattern({"endpoint": "gpu-3", "hour_utc": "22-6"})
    found = identified([near, same], [before])
    assert found[1].cluster_id == "a" * 12
    assert found[0].cluster_id != "a" * 12


@given(st.lists(st.sampled_from(["Debate", "Chain", "IO"]), max_size=5))
def test_ids_are_never_given_twice(topologies: list[str]) -> None:
    before = [pattern({"topology": "Debate"}, cluster_id="a" * 12)]
    found = identified([pattern({"topology": name}) for name in topologies], before)
    assert len({one.cluster_id for one in found}) == len(topologies)


# Words -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "facts", "words"),
    [
        (
            "wrong",
            (("model", "qwen-7b"), ("domain", "math"), ("finish_reason", "length")),
            "truncated answers of qwen-7b in math",
        ),
        ("late", (("topology", "Debate"),), "late runs of Debate"),
        ("late", (("endpoint", "gpu-3"), ("hour_utc", "22-6")), "late runs at 22-6 UTC on gpu-3"),
        ("late", (("topology", "Debate"), ("team_size", "1")), "late runs of Debate with one agent"),
        ("late", (("topology", "Debate"), ("load", "high")), "late runs of Debate at high load"),
        ("wrong", (("strategy", "Flash"), ("role", "Critic")), "wrong answers where Critic uses Flash"),
        ("wrong", (("model", "m"), ("topology", "IO")), "wrong answers of m in IO"),
        ("wrong", (("model", "m"), ("prompt_length", "high")), "wrong answers of m to long questions"),
        ("wrong", (("finish_reason", "tool"),), "wrong answers that ended by tool"),
        (
            "failed",
            (("endpoint", "e"), ("error", "EndpointTimeout")),
            "failed runs with EndpointTimeout on e",
        ),
    ],
)
def test_patterns_are_said_in_a_few_plain_words(kind: Any, facts: Any, words: str) -> None:
    assert label(kind, facts) == words
