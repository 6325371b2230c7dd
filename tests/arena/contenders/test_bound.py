"""The bound: exact where it can be worked out by hand, and above whatever can be done."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.arena.bound import Demand, dual_bound, on_time_success_bound, phases
from inframind.arena.contenders.oracle import LoadPrice, OraclePolicy
from inframind.arena.contenders.service import engines_of, idle_latency_s, server_seconds_per_token
from inframind.arena.option_worth import SampledRuns, Worths
from inframind.errors import ConfigError
from inframind.simulator.profiles import load_profiles

SMALL, LARGE = "llama-3.2-3b", "mistral-small-24b"


def demand(
    value: Any, seconds: Any, capacity_s: Any, reach: Any = None, *, wall_s: Any = 0.0, budget_s: float = 1.0
) -> Demand:
    """All or nothing: agents on the first model, and one final call on the last; ``wall_s`` by sampled run (S)."""
    value, seconds, capacity_s = np.array(value), np.array(seconds), np.array(capacity_s)
    wall_s = np.broadcast_to(wall_s, (*value.shape, np.size(wall_s)))
    sampled_s = np.broadcast_to(seconds[:, :, None, :], (*wall_s.shape, seconds.shape[-1]))
    has_two = len(capacity_s) == 2
    everywhere = np.ones((len(value), capacity_s.shape[1]), dtype=bool)
    return Demand(
        worths=Worths(
            agents_success=np.zeros_like(value),
            final_success=value,
            final_calls=np.ones_like(value),
            kind=np.arange(len(value)),
        ),
        runs=SampledRuns(
            agents_s=wall_s,
            whole_s=wall_s,
            agents_server_s=sampled_s[..., 0] * has_two,
            final_server_s=sampled_s[..., -1],
        ),
        agent_model=np.zeros(value.shape[1], dtype=int),
        final_model=np.full(value.shape[1], len(capacity_s) - 1),
        budgets_s=np.full(len(value), budget_s),
        capacity_s=capacity_s,
        reach=everywhere if reach is None else np.array(reach),
    )


def test_with_room_for_all_everybody_takes_the_best() -> None:
    d = demand([[0.5, 0.9], [0.7, 0.2]], [[[0.1], [0.5]], [[0.1], [0.5]]], [[10.0]])

    assert dual_bound(d) == pytest.approx(1.6)


def test_without_capacity_for_all_the_best_use_of_it_counts() -> None:
    # One second, half a second each: two of three are served.
    d = demand([[0.9], [0.9], [0.9]], [[[0.5]]] * 3, [[1.0]])

    assert dual_bound(d) == pytest.approx(1.8, rel=1e-3)


def test_a_scarce_second_goes_where_it_is_worth_most() -> None:
    # 0.6 s: one question takes the dear option (0.9 for 0.5 s), the other the cheap one (0.5 for 0.1 s).
    d = demand([[0.5, 0.9], [0.5, 0.9]], [[[0.1], [0.5]], [[0.1], [0.5]]], [[0.6]])

    assert dual_bound(d) == pytest.approx(1.4, rel=1e-3)


def test_what_one_model_lacks_another_has() -> None:
    # Two models of 1 s; each question needs 1 s of either.
    d = demand([[0.9, 0.6]] * 3, [[[1.0, 0.0], [0.0, 1.0]]] * 3, [[1.0], [1.0]])

    assert dual_bound(d) == pytest.approx(1.5, rel=1e-3)


def test_a_question_cannot_use_time_outside_its_window() -> None:
    # Two questions that end in the first phase share its one second; the second phase is idle.
    seconds, capacity_s = [[[1.0]]] * 3, [[1.0, 50.0]]
    d = demand([[0.9]] * 3, seconds, capacity_s, [[True, False], [True, False], [True, True]])

    assert dual_bound(d) == pytest.approx(1.8, rel=1e-3)


def lone_calls(
    success: float, lengths_s: list[float], questions: int, capacity_s: float, budget_s: float
) -> Demand:
    """Questions with one option, a call that takes one of these times of itself and of its server."""
    sampled_s = np.array(lengths_s)[None, None, :]
    ones = np.ones((questions, 1))
    return Demand(
        worths=Worths(
            agents_success=success * ones,
            final_success=0 * ones,
            final_calls=0 * ones,
            kind=np.zeros(questions, dtype=int),
        ),
        runs=SampledRuns(
            agents_s=sampled_s, whole_s=sampled_s, agents_server_s=sampled_s, final_server_s=sampled_s
        ),
        agent_model=np.array([0]),
        final_model=np.array([0]),
        budgets_s=np.full(questions, budget_s),
        reach=np.ones((questions, 1), dtype=bool),
        capacity_s=np.array([[capacity_s]]),
    )


def test_starting_calls_late_so_that_long_ones_are_cut_early_does_not_beat_the_bound() -> None:
    # Half of the answers take 1 s, half 100 s. Started 90 s late, calls cost 5.5 s on average and half of them succeed:
    # 291 in 3,200 s. Charged 50.5 s each, as if none were cut, only 63.4 would fit.
    d = lone_calls(1.0, [1.0, 100.0], questions=1000, capacity_s=3200.0, budget_s=100.0)
    started_late = 0.5 * 3200 / ((1 + 10) / 2)

    # At best the 500 short answers take 500 s, and 27 long ones the other 2,700.
    assert dual_bound(d) >= started_late
    assert dual_bound(d) == pytest.approx(500 + 27, rel=1e-3)


def test_an_answer_that_cannot_be_in_time_is_neither_worth_nor_charged_anything() -> None:
    d = lone_calls(0.8, [1.0, 100.0], questions=10, capacity_s=5.0, budget_s=50.0)

    assert dual_bound(d) == pytest.approx(0.8 * 5)


def test_windows_touch_the_phases_that_they_overlap() -> None:
    reach, lengths_s = phases(np.array([0.0, 10.0, 40.0]), np.array([5.0, 100.0, 20.0]))

    assert reach.tolist() == [[True, False], [True, True], [False, True]]
    assert lengths_s.tolist() == [40.0, 70.0]


@pytest.mark.parametrize(
    ("value", "reach", "says"),
    [([[0.5]], [[True, True]], r"\(Q, K\)"), ([[0.5]], [[False]], "touch a phase")],
)
def test_numbers_that_do_not_fit_are_refused(value: Any, reach: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        demand(value, [[[1.0]]], [[1.0]], reach)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), questions=st.integers(1, 5), steps=st.integers(1, 60))
def test_no_assignment_that_fits_is_above_the_bound(seed: int, questions: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    value, seconds = rng.random((questions, 2)), rng.random((questions, 2, 2))
    capacity_s = rng.random((2, 1)) * questions / 2
    best = max(
        sum(value[q, o - 1] for q, o in enumerate(taken) if o)
        for taken in itertools.product(range(3), repeat=questions)
        if (sum((seconds[q, o - 1] for q, o in enumerate(taken) if o), np.zeros(2)) <= capacity_s[:, 0]).all()
    )

    assert dual_bound(demand(value, seconds, capacity_s), steps=steps) >= best - 1e-9


def test_a_lone_question_with_time_is_bounded_by_its_best_option(world: Any) -> None:
    setting, item = world.setting(), world.items[0]
    policy = OraclePolicy(setting, LoadPrice(full=0))

    bound = on_time_success_bound(setting, [item], np.array([0.0]), np.array([300.0]))

    assert bound == pytest.approx(policy._odds(item).success.max(), abs=1e-9)


def test_a_budget_that_fits_one_model_leaves_only_that(world: Any) -> None:
    setting, item = world.setting(), world.items[0]
    fits = [  # 300 tokens take the small model 1.5 s, the large one 7.7 s; a team or step by step takes longer
        world.outcomes.solo_probability(item, action.model, action.strategy, role="MathSolver")
        for action in world.actions.executor_actions
        if (action.model, action.strategy) == (SMALL, "Plain")
    ]

    bound = on_time_success_bound(setting, [item], np.array([0.0]), np.array([2.0]))

    assert bound == pytest.approx(fits[0])


@pytest.mark.parametrize("label", [f"{SMALL}/Plain", f"{LARGE}/Plain", f"{LARGE}/Flash"])
@pytest.mark.parametrize("gap_s", [0.01, 0.3, 2.0])
def test_a_queue_simulated_by_hand_stays_below(world: Any, label: str, gap_s: float) -> None:
    items = world.items * 20
    arrivals_s, budgets_s = np.arange(len(items)) * gap_s, np.resize([5.0, 12.0, 40.0], len(items))
    setting, action = world.setting(), world.actions.executor_actions[world.place(label)]
    engine = engines_of((action.model,), load_profiles())[action.model]
    tokens = setting.training.output_tokens[0, world.place(label)]
    # Generous: as fast as on an idle server, and the server hands out its time without any loss.
    service_s, share_s = float(idle_latency_s(engine, tokens)), tokens * server_seconds_per_token(engine)
    free_s, expected = 0.0, 0.0
    for item, arrived_s, budget_s in zip(items, arrivals_s, budgets_s, strict=True):
        start_s = max(free_s, arrived_s)
        if start_s + service_s <= arrived_s + budget_s:
            free_s = start_s + share_s
            expected += world.outcomes.solo_probability(
                item, action.model, action.strategy, role="MathSolver"
            )

    bound = on_time_success_bound(setting, items, arrivals_s, budgets_s, steps=100)

    assert expected / len(items) <= bound <= 1


def test_a_higher_rate_never_raises_the_bound(world: Any) -> None:
    items, budgets_s = world.items * 20, np.resize([5.0, 12.0, 40.0], 240)

    bounds = [
        on_time_success_bound(world.setting(), items, np.arange(240) * gap_s, budgets_s)
        for gap_s in (3.0, 0.2, 0.02)
    ]

    assert bounds[0] >= bounds[1] - 1e-3 and bounds[1] >= bounds[2] - 1e-3 and bounds[0] > bounds[2] + 0.01


def test_an_empty_workload_has_no_bound(world: Any) -> None:
    with pytest.raises(ConfigError, match="at least one"):
        on_time_success_bound(world.setting(), [], np.array([]), np.array([]))
