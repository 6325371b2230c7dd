from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from inframind.arena.results.columns import build_columns
from inframind.arena.results.episodes import Call, Episode
from inframind.arena.results.tables import Bound, Evaluation, LoadSample, Run, finished_runs
from inframind.errors import ConfigError

PLAIN = Episode(
    index=0, item_id="q0", level=1, arrived_s=0.0, budget_s=10.0, status="ok", latency_s=2.0, solved=True
)


def run(contender: str = "a", *, episodes: tuple[Episode, ...] = (PLAIN,), **changes: Any) -> Run:
    return replace(
        Run(contender=contender, family="blind", seed=0, rate_per_min=30, episodes=episodes), **changes
    )


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ((), "at least one run"),
        ((run(), run()), "keep one run"),
        ((run(), run(seed=1, family="oracle")), "another family"),
        ((run(), run("b", seed=1)), "same workloads as 'a': they differ at seed 0, 30 per minute"),
        ((run(), run(seed=1), run("b")), "they differ at seed 1, 30 per minute"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(runs: tuple[Run, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Evaluation(runs=runs)


@pytest.mark.parametrize("changes", [{"contender": ""}, {"rate_per_min": 0}, {"episodes": ()}])
def test_a_run_without_name_rate_or_question_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        run(**changes)


def test_a_bound_is_a_share() -> None:
    with pytest.raises(ConfigError, match="from 0 to 1"):
        Bound(name="all", rate_per_min=30, on_time_success=1.2)


@pytest.mark.parametrize("change", [{"item_id": "other"}, {"budget_s": 11.0}, {"index": 1}])
def test_contenders_that_met_other_questions_are_refused(change: dict[str, Any]) -> None:
    evaluation = Evaluation(runs=(run(), run("b", episodes=(replace(PLAIN, **change),))))

    with pytest.raises(
        ConfigError, match="same questions and budgets as 'a': they differ at seed 0, 30 per minute"
    ):
        build_columns(evaluation)


def test_columns_keep_contenders_apart_whatever_the_order_of_the_runs() -> None:
    wrong = replace(PLAIN, solved=False, status="late", latency_s=20.0)
    runs = (
        run("b", seed=1, episodes=(wrong,)),
        run("a", seed=0),
        run("b", seed=0),
        run("a", seed=1, episodes=(wrong,)),
    )

    columns = build_columns(Evaluation(runs=runs))

    assert columns.contenders == ("b", "a")
    assert columns.seeds == (0, 1)
    assert columns.solved_CN.tolist() == [[True, False], [True, False]]
    assert columns.latency_s_CN.tolist() == [[2.0, 20.0], [2.0, 20.0]]


def test_the_same_question_under_the_same_seed_is_one_cell_at_every_rate() -> None:
    episodes = (PLAIN, replace(PLAIN, index=1, item_id="q1"))
    runs = tuple(run(seed=seed, rate_per_min=rate, episodes=episodes) for seed in (0, 1) for rate in (10, 20))

    cell_N = build_columns(Evaluation(runs=runs)).cell_N

    assert cell_N.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


@pytest.mark.parametrize(
    ("budget_s", "tier"), [(5.0, 0), (9.99, 0), (10.0, 1), (30.0, 2), (79.9, 2), (80.0, 3), (300.0, 3)]
)
def test_an_edge_of_a_budget_tier_belongs_to_the_tier_above(budget_s: float, tier: int) -> None:
    evaluation = Evaluation(runs=(run(episodes=(replace(PLAIN, budget_s=budget_s),)),))

    assert build_columns(evaluation).tier_N.tolist() == [tier]


def test_calls_and_topologies_are_counted_by_rate_and_tier() -> None:
    calls = (
        Call(model="small", strategy="Plain", completion_tokens=10),
        Call(model="large", strategy="Plain", completion_tokens=20),
    )
    episodes = (
        replace(PLAIN, calls=calls, topology="IO"),
        replace(PLAIN, index=1, budget_s=100.0, calls=calls[:1], topology=""),
    )

    columns = build_columns(Evaluation(runs=(run(episodes=episodes),)))

    assert columns.models.labels == ("small", "large")
    assert columns.models.counts_CRTL[0, 0].tolist() == [[0, 0], [1, 1], [0, 0], [1, 0]]
    assert columns.strategies.counts_CRTL.sum() == 3
    assert columns.topologies.counts_CRTL[0, 0, :, 0].tolist() == [0, 1, 0, 0]
    assert columns.tokens_CN.tolist() == [[30, 10]]


def test_idle_slots_are_summed_over_the_instants_with_a_queue() -> None:
    timeline = tuple(
        LoadSample(t_s=t_s, endpoint=endpoint, running=running, waiting=waiting, slots=4)
        for t_s, endpoint, running, waiting in [
            (0.0, "x", 4, 1),
            (0.0, "y", 2, 0),
            (5.0, "x", 4, 0),
            (5.0, "y", 0, 0),
        ]
    )

    columns = build_columns(Evaluation(runs=(run(timeline=timeline),)))

    assert columns.idle_sum_CSR.tolist() == [[[0.25]]]
    assert columns.idle_instants_CSR.tolist() == [[[1]]]


def test_a_workload_is_finished_when_everyone_has_been_through_it() -> None:
    runs = (run(), run("b"), run(seed=1), run("b", rate_per_min=60))
    assert finished_runs(runs, 2) == runs[:2]
    assert finished_runs(runs, 3) == ()
