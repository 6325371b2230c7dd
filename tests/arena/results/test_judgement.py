from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.arena.results.columns import build_columns
from inframind.arena.results.episodes import Call, Episode, summarise
from inframind.arena.results.figures import GroupFigures
from inframind.arena.results.judgement import constant_label, judge
from inframind.arena.results.tables import Evaluation, Run
from inframind.errors import ConfigError

BUDGETS_S = (8.0, 20.0, 50.0, 100.0)


def runs(
    contender: str,
    outcomes: dict[int, str],
    *,
    family: str = "blind",
    latency_s: float = 4.0,
    rate: float = 30,
) -> list[Run]:
    """One run per seed; "+" is solved in time, "-" is wrong in time, "l" is solved late, "f" is failed."""
    return [
        Run(
            contender=contender,
            family=family,
            seed=seed,
            rate_per_min=rate,
            episodes=tuple(_episode(i, mark, latency_s) for i, mark in enumerate(marks)),
        )
        for seed, marks in outcomes.items()
    ]


def _episode(i: int, mark: str, latency_s: float) -> Episode:
    budget_s = BUDGETS_S[i % 4]
    return Episode(
        index=i,
        item_id=f"q{i}",
        level=1,
        arrived_s=float(i),
        budget_s=budget_s,
        status={"l": "late", "f": "failed"}.get(mark, "ok"),  # type: ignore[arg-type]
        latency_s=budget_s + latency_s if mark == "l" else latency_s,
        solved=mark in "+l",
        error="FleetExhausted: none" if mark == "f" else "",
        calls=() if mark == "f" else (Call(model="m", strategy="s", completion_tokens=100),),
    )


def evaluation(*groups: list[Run]) -> Evaluation:
    return Evaluation(runs=tuple(run for group in groups for run in group))


def test_every_rate_is_over_all_offered_questions() -> None:
    overall = judge(evaluation(runs("a", {0: "+-lf"}))).overall

    assert overall.offered == 4
    assert overall.on_time_success.value_C[0] == 1 / 4
    assert overall.accuracy.value_C[0] == 2 / 4
    assert overall.slo_attainment.value_C[0] == 2 / 4
    assert overall.tokens.value_C[0] == 300 / 4


def test_latencies_are_over_the_answered_questions() -> None:
    overall = judge(evaluation(runs("a", {0: "+-lf"}))).overall

    assert overall.latency_mean_s.value_C[0] == pytest.approx((4 + 4 + 54) / 3)
    assert overall.latency_p50_s.value_C[0] == 4.0
    assert overall.latency_p95_s.value_C[0] == pytest.approx(49.0)


def test_a_contender_that_answered_nothing_has_no_latency_and_no_hypervolume() -> None:
    overall = judge(evaluation(runs("a", {0: "ffff"}))).overall

    assert np.isnan([overall.latency_mean_s.value_C[0], overall.latency_p95_s.value_C[0]]).all()
    assert overall.hypervolume.value_C[0] == 0.0
    assert overall.models.labels == ()


def test_seeds_are_the_replicates_of_an_interval() -> None:
    success = judge(evaluation(runs("a", {0: "+---", 1: "++--", 2: "+++-"}))).overall.on_time_success

    half = 4.3027 * 0.25 / sqrt(3)
    assert success.value_C[0] == 0.5
    assert success.per_seed_CS[0].tolist() == [0.25, 0.5, 0.75]
    assert (success.low_C[0], success.high_C[0]) == (max(0.0, 0.5 - half), min(1.0, 0.5 + half))


def test_two_seeds_have_no_interval() -> None:
    success = judge(evaluation(runs("a", {0: "+---", 1: "++--"}))).overall.on_time_success

    assert np.isnan(success.low_C[0]) and np.isnan(success.high_C[0])


def test_budget_tiers_split_the_questions() -> None:
    by_tier = judge(evaluation(runs("a", {0: "+-lf+-"}))).by_tier

    assert [group.tier for group in by_tier] == ["under 10 s", "10 to 30 s", "30 to 80 s", "80 s or more"]
    assert [group.offered for group in by_tier] == [2, 2, 1, 1]
    assert [group.on_time_success.value_C[0] for group in by_tier] == [1.0, 0.0, 0.0, 0.0]
    assert all(group.idle is None for group in by_tier)


def test_hypervolume_is_that_of_the_points_of_the_tiers() -> None:
    # Tiers: accuracy 1 in 1 s, 0 in 1 s, 1 in 51 s, failed: the point at 1 s dominates all others.
    judgement = judge(evaluation(runs("a", {0: "+-lf"}, latency_s=1.0)))

    assert judgement.overall.hypervolume.value_C[0] == pytest.approx(0.75)
    assert [group.hypervolume.value_C[0] for group in judgement.by_tier][:2] == pytest.approx([0.75, 0.0])


def test_a_difference_on_the_same_questions_is_sharper_than_the_figures() -> None:
    hard = dict.fromkeys(range(3), "+-" * 100)
    easy = dict.fromkeys(range(3), "+-" * 90 + "++" * 10)

    difference = judge(evaluation(runs("a", hard), runs("b", easy)), baseline="a").overall.difference

    assert difference.value_C.tolist() == pytest.approx([0.0, 0.05])
    assert 0.03 < difference.low_C[1] < 0.05 < difference.high_C[1] < 0.07
    assert (difference.low_C[0], difference.high_C[0]) == (0.0, 0.0)
    assert difference.by_seed.low_C[1] == pytest.approx(0.05)


def test_the_best_constant_in_hindsight_is_the_baseline_and_a_named_one_overrides_it() -> None:
    worse, better = (
        runs("worse", {0: "+---"}, family="constant"),
        runs("better", {0: "++--"}, family="constant"),
    )
    everyone = evaluation(runs("a", {0: "++++"}), worse, better)

    assert judge(everyone).best_constant is None
    assert judge(everyone).hindsight_constant == judge(everyone).baseline == 2
    assert judge(everyone, baseline="a").baseline == 0
    with pytest.raises(ConfigError, match="choose one of: a, worse, better"):
        judge(everyone, baseline="b")


def test_the_constant_of_the_training_questions_is_the_baseline_even_where_another_did_better() -> None:
    chosen, lucky = (
        runs("best-constant", {0: "+---"}, family="constant"),
        runs("lucky", {0: "++--"}, family="constant"),
    )
    judgement = judge(evaluation(lucky, runs("a", {0: "++++"}), chosen))

    assert (judgement.best_constant, judgement.hindsight_constant, judgement.baseline) == (2, 0, 2)
    assert [constant_label(judgement, c) for c in range(3)] == [
        "best constant in hindsight",
        "",
        "best constant",
    ]


def test_the_constant_of_the_training_questions_keeps_its_name_where_none_did_better() -> None:
    chosen, equal = (
        runs("best-constant", {0: "++--"}, family="constant"),
        runs("equal", {0: "++--"}, family="constant"),
    )
    judgement = judge(evaluation(equal, chosen))

    assert [constant_label(judgement, c) for c in range(2)] == ["", "best constant"]


def test_without_constants_the_first_contender_is_the_baseline() -> None:
    judgement = judge(evaluation(runs("a", {0: "++++"}), runs("b", {0: "++--"})))

    assert (judgement.best_constant, judgement.baseline) == (None, 0)


def test_ranks_tie_where_the_difference_is_within_its_interval() -> None:
    judgement = judge(
        evaluation(
            runs("bad", dict.fromkeys(range(3), "----" * 20)),
            runs("good", dict.fromkeys(range(3), "+-+-" * 20)),
            runs("as good", dict.fromkeys(range(3), "-+-+" * 20)),
        )
    )

    assert judgement.ranking.rank_C.tolist() == [3, 1, 1]
    assert judgement.order == [1, 2, 0]
    assert judgement.stable_seeds_CC[1].tolist() == [3, 0, 0]


def test_a_rate_has_its_own_figures() -> None:
    judgement = judge(evaluation(runs("a", {0: "++++"}, rate=10), runs("a", {0: "+---"}, rate=300)))

    assert [group.rate_per_min for group in judgement.by_rate] == [10, 300]
    assert [group.on_time_success.value_C[0] for group in judgement.by_rate] == [1.0, 0.25]
    assert judgement.fronts.accuracy_CRT[0, :, 0].tolist() == [0.625, 1.0, 0.25]


def test_too_few_resamples_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 100"):
        judge(evaluation(runs("a", {0: "+"})), resamples=10)


def test_the_figures_are_those_of_the_summary_of_a_workload(synthetic: Callable[..., Evaluation]) -> None:
    made = synthetic(seeds=1, rates=(100,))
    group = judge(made).by_rate[0]

    for c, run in enumerate(made.runs):
        summary = summarise(run.episodes)
        assert group.accuracy.value_C[c] == summary.accuracy.value
        assert group.on_time_success.value_C[c] == summary.on_time_success.value
        assert group.latency_mean_s.value_C[c] == pytest.approx(summary.latency_mean_s)
        assert group.latency_p95_s.value_C[c] == pytest.approx(summary.latency_p95_s)
        assert _shares(group, c) == pytest.approx(dict(summary.models))


def _shares(group: GroupFigures, c: int) -> dict[str, float]:
    return dict(zip(group.models.labels, group.models.share_CL[c], strict=True))


def test_shares_sum_to_one_wherever_something_was_chosen(synthetic: Callable[..., Evaluation]) -> None:
    for group in judge(synthetic()).groups:
        for shares in (group.models, group.strategies, group.topologies):
            assert shares.share_CL.sum(axis=1) == pytest.approx(1.0)


marks = st.lists(st.text("+-lf", min_size=6, max_size=6), min_size=3, max_size=3)


@settings(max_examples=25)
@given(marks, marks)
def test_on_time_success_is_within_its_interval_and_below_accuracy_and_attainment(
    first: list[str], second: list[str]
) -> None:
    judgement = judge(
        evaluation(runs("a", dict(enumerate(first))), runs("b", dict(enumerate(second)))), resamples=100
    )

    for group in judgement.groups:
        success = group.on_time_success.value_C
        assert (success <= group.accuracy.value_C).all() and (success <= group.slo_attainment.value_C).all()
        known = ~np.isnan(group.on_time_success.low_C)
        assert (group.on_time_success.low_C <= success)[known].all()
        assert (success <= group.on_time_success.high_C)[known].all()


def test_the_bootstrap_is_reproducible(synthetic: Callable[..., Evaluation]) -> None:
    made = synthetic(seeds=2, rates=(100,))
    first, second, other = judge(made, seed=3), judge(made, seed=3), judge(made, seed=4)

    assert (first.overall.difference.low_C == second.overall.difference.low_C).all()
    assert (first.overall.difference.low_C != other.overall.difference.low_C).any()


def test_the_order_of_the_runs_does_not_change_the_ranks(synthetic: Callable[..., Evaluation]) -> None:
    made = synthetic(seeds=1, rates=(100,))
    turned = replace(made, runs=tuple(reversed(made.runs)))

    assert build_columns(turned).contenders == tuple(reversed(build_columns(made).contenders))
    forward, backward = judge(made, baseline="ours"), judge(turned, baseline="ours")
    assert forward.ranking.rank_C.tolist() == backward.ranking.rank_C.tolist()[::-1]
