"""Shares of a budget: who gets how much of what is left."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.plugin.calls.budget import VISITS, BudgetConfig, NodeCosts, split
from inframind.plugin.calls.visits import Visit
from inframind.traces.memory import MemoryStore
from inframind.traces.records import Step, Trajectory

Run = Sequence[Visit]


def run_of(*calls: tuple[str, float, float]) -> Run:
    """(node, started_s, finished_s) of each call."""
    return [Visit(*call) for call in calls]


DIAMOND = run_of(("plan", 0, 1), ("fast", 1, 3), ("slow", 1, 5), ("write", 5, 7))
"""plan -> fast and slow beside each other -> write."""
SECONDS = st.floats(0.01, 100.0)


def taught(*runs: Run, config: BudgetConfig | None = None) -> NodeCosts:
    costs = NodeCosts(config)
    for run in runs:
        for visit in run:
            costs.note_node("g", visit.node, visit.needed_s)
        costs.note_run("g", run)
    return costs


def line(*took_s: float, gap_s: float = 0.0) -> Run:
    """n0, n1, ... one after another."""
    run, now_s = [], 0.0
    for number, seconds in enumerate(took_s):
        run.append(Visit(f"n{number}", now_s, now_s + seconds))
        now_s += seconds + gap_s
    return run


def test_costs_that_do_not_vary_share_in_proportion_and_parallel_branches_are_not_added_up() -> None:
    costs = taught(*[DIAMOND] * 5)
    # Seven seconds on the longest path, twice as many in the budget.
    assert costs.share_s("g", "plan", 14.0) == pytest.approx(2.0)
    assert costs.share_s("g", "slow", 12.0) == pytest.approx(8.0)
    assert costs.share_s("g", "write", 4.0) == 4.0
    # Half of it: everything is cut alike.
    assert costs.share_s("g", "plan", 3.5) == pytest.approx(0.5)
    assert costs.share_s("g", "slow", 3.0) == pytest.approx(2.0)


def test_a_fast_branch_may_take_as_long_as_the_slowest_beside_it() -> None:
    costs = taught(DIAMOND)
    assert costs.share_s("g", "fast", 12.0) == costs.share_s("g", "slow", 12.0) == pytest.approx(8.0)


def test_a_branch_of_several_nodes_shares_along_itself() -> None:
    # a1, a2 and a3 beside b; then c.
    costs = taught(run_of(("a1", 0, 1), ("a2", 1, 3), ("a3", 3, 4), ("b", 0, 4), ("c", 4, 6)))
    assert [costs.share_s("g", node, left) for node, left in [("a1", 12.0), ("a2", 10.0), ("b", 12.0)]] == [
        pytest.approx(2.0),
        pytest.approx(4.0),
        pytest.approx(8.0),
    ]


def test_time_between_calls_is_left_to_what_needs_it() -> None:
    costs = taught(line(1.0, 1.0, gap_s=2.0))
    assert costs.share_s("g", "n0", 8.0) == pytest.approx(2.0)


def test_slack_goes_to_whose_time_is_uncertain() -> None:
    steady, wild = [4.0] * 60, [1.0, 7.0] * 30
    costs = taught(*[line(*pair) for pair in zip(steady, wild, strict=True)])
    mean, spread = costs.share_s("g", "n0", 8.0), costs.share_s("g", "n0", 12.0)
    assert mean == pytest.approx(4.0, abs=0.1)
    # Four seconds of slack: a spread of one (the least, a quarter of the mean) beside a spread of three.
    assert spread - mean == pytest.approx(1.0, abs=0.1)


def test_the_split_by_hand() -> None:
    assert split(10.0, (2.0, 1.0), (4.0, 3.0)) == pytest.approx(2.0 + 4.0 * 1 / 4)
    assert split(6.0, (2.0, 1.0), (4.0, 3.0)) == 2.0
    assert split(3.0, (2.0, 1.0), (4.0, 3.0)) == pytest.approx(1.0)
    assert split(3.0, (2.0, 1.0), (0.0, 0.0)) == 3.0


def test_a_loop_counts_as_often_as_it_was_run() -> None:
    loop = run_of(("think", 0, 1), ("act", 1, 2), ("think", 2, 3), ("act", 3, 4), ("answer", 4, 6))
    costs = taught(loop)
    shares = [costs.share_s("g", "think", left, visit) for left, visit in [(12.0, 0), (8.0, 1)]]
    assert shares == [pytest.approx(2.0), pytest.approx(2.0)]
    # What goes on for longer than any run did counts as the last visit that is known.
    assert costs.share_s("g", "think", 8.0, visit=5) == shares[1]


def test_calls_beside_each_other_in_one_node_are_one_visit() -> None:
    costs = taught(run_of(("split", 0, 1), ("work", 1, 2), ("work", 1, 3), ("work", 1, 5), ("join", 5, 6)))
    assert costs.share_s("g", "work", 10.0) == pytest.approx(
        10.0 * (2 + 4 / 3 + 1) / (2 + 4 / 3 + 1 + 1), rel=0.2
    )
    assert costs.share_s("g", "work", 10.0, visit=1) == costs.share_s("g", "work", 10.0)


def test_visits_that_no_run_has_told_of_count_as_the_ones_before_them() -> None:
    # Three calls side by side, then one more: that is visit three, and nothing is known of visits one and two.
    again = run_of(("work", 0, 1), ("work", 0, 1), ("work", 0, 1), ("work", 1, 2), ("end", 2, 3))
    costs = taught(again)
    first, *between, last = [costs.share_s("g", "work", 12.0, visit) for visit in range(4)]
    assert between == [first, first]
    assert (first, last) == (pytest.approx(4.0), pytest.approx(6.0))


def test_what_a_node_needed_counts_and_not_what_it_took() -> None:
    # The first node was given a large model, and took four times what it needs; the second half of what it needs.
    costs = NodeCosts()
    visits = [Visit("n0", 0, 8, 2.0), Visit("n1", 9, 11, 4.0), Visit("n2", 11, 13, 2.0)]
    for visit in visits:
        costs.note_node("g", visit.node, visit.needed_s)
    costs.note_run("g", visits)
    # Needs of 2, 4 and 2 seconds, and one between the first two.
    assert costs.share_s("g", "n0", 18.0) == pytest.approx(4.0)
    assert costs.share_s("g", "n1", 12.0) == pytest.approx(8.0)


def test_the_latest_runs_count_most() -> None:
    costs = taught(*[line(1.0, 1.0)] * 50, *[line(3.0, 1.0)] * 60, config=BudgetConfig(half_life=5.0))
    assert costs.share_s("g", "n0", 40.0) == pytest.approx(30.0, rel=0.02)
    assert costs.known_s("g", "n0") == pytest.approx(3.0, rel=0.01)


def test_where_nothing_is_known_all_that_is_left_may_be_taken() -> None:
    costs = NodeCosts()
    assert costs.share_s("g", "n", 5.0) == 5.0 and costs.known_s("g", "n") is None
    costs.note_node("g", "n", 1.0)  # but no run has ended: nobody knows what comes after
    assert costs.share_s("g", "n", 5.0) == 5.0
    assert costs.share_s("another graph", "n", 5.0) == 5.0


def test_a_known_shape_shares_alike_until_a_run_has_told_more() -> None:
    costs = NodeCosts()
    edges = [
        ("__start__", "plan"),
        ("plan", "a"),
        ("plan", "b"),
        ("a", "write"),
        ("b", "write"),
        ("write", "__end__"),
    ]
    costs.know_shape("g", edges)
    assert [costs.share_s("g", node, 6.0) for node in ("plan", "a", "b", "write")] == [2.0, 3.0, 3.0, 6.0]
    assert costs.share_s("g", "elsewhere", 6.0) == 6.0
    costs.note_run("g", line(1.0, 1.0))
    assert costs.share_s("g", "plan", 6.0) == 2.0


def test_graphs_do_not_learn_from_each_other() -> None:
    costs = taught(line(1.0, 1.0))
    costs.note_run("h", run_of(("n0", 0, 1)))
    assert (costs.share_s("g", "n0", 4.0), costs.share_s("h", "n0", 4.0)) == (pytest.approx(2.0), 4.0)


def test_memory_is_bounded() -> None:
    costs = NodeCosts(BudgetConfig(kept=50))
    for number in range(500):
        costs.note_run(f"g{number}", run_of(("n", 0, 1)))
        costs.know_shape(f"g{number}", [("n", "m")])
    assert costs.known_nodes == 50
    for visit in range(10 * VISITS):
        costs.note_run("loop", run_of(*[("n", k, k + 1) for k in range(visit)]))
    assert costs.known_nodes == 50


def test_threads_may_learn_and_ask_at_once() -> None:
    costs = NodeCosts(BudgetConfig(kept=20))

    def work(number: int) -> None:
        for turn in range(300):
            graph = f"g{(number + turn) % 40}"
            costs.note_node(graph, "n0", 1.0)
            costs.note_run(graph, line(1.0, 2.0))
            assert 0 < costs.share_s(graph, "n0", 6.0) <= 6.0

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [None] * 8
    assert costs.known_nodes == 20


# Invariants -------------------------------------------------------------------------------------------------


@st.composite
def runs(draw: Any) -> Run:
    """Calls of few nodes, beside and after each other."""
    calls = draw(
        st.lists(
            st.tuples(st.sampled_from("abcd"), st.floats(0, 50), st.floats(0, 20)), min_size=1, max_size=12
        )
    )
    return [Visit(node, started_s, started_s + took_s) for node, started_s, took_s in calls]


@settings(max_examples=80, deadline=None)
@given(
    seen=st.lists(runs(), min_size=1, max_size=5), less_s=SECONDS, more_s=SECONDS, visit=st.integers(0, 12)
)
def test_shares_are_positive_at_most_what_is_left_and_grow_with_it(
    seen: list[Run], less_s: float, more_s: float, visit: int
) -> None:
    costs, (less_s, more_s) = taught(*seen), sorted((less_s, more_s))
    for node in "abcd":
        little, much = (costs.share_s("g", node, left, visit) for left in (less_s, more_s))
        assert 0 < little <= less_s and 0 < much <= more_s
        assert little <= much * (1 + 1e-9)


@settings(max_examples=80, deadline=None)
@given(
    seen=st.lists(st.tuples(SECONDS, SECONDS, SECONDS, SECONDS), min_size=1, max_size=6),
    budget_s=SECONDS,
    spent=st.floats(0.0, 1.0),
)
def test_who_keeps_to_shares_keeps_to_the_budget(
    seen: list[tuple[float, ...]], budget_s: float, spent: float
) -> None:
    costs, left_s = taught(*[line(*took) for took in seen]), budget_s
    for number in range(4):
        share_s = costs.share_s("g", f"n{number}", left_s)
        left_s -= spent * share_s
        assert left_s >= -1e-9 * budget_s
        if number < 3:
            assert share_s < left_s + spent * share_s, "nobody but the last takes all"
            left_s = max(left_s, 1e-6)
    assert share_s == pytest.approx(left_s + spent * share_s)


@settings(max_examples=80, deadline=None)
@given(took=st.tuples(SECONDS, SECONDS, SECONDS), repeats=st.integers(1, 8), room=st.floats(0.1, 10.0))
def test_steady_costs_share_in_proportion_all_the_way(
    took: tuple[float, ...], repeats: int, room: float
) -> None:
    costs = taught(*[line(*took)] * repeats)
    left_s = budget_s = room * sum(took)
    for number, seconds in enumerate(took):
        share_s = costs.share_s("g", f"n{number}", left_s)
        assert share_s == pytest.approx(budget_s * seconds / sum(took), rel=1e-6)
        left_s -= share_s


@settings(max_examples=80, deadline=None)
@given(seen=st.lists(runs(), min_size=1, max_size=5), spare_s=SECONDS)
def test_with_room_a_node_gets_at_least_what_it_takes_on_average(seen: list[Run], spare_s: float) -> None:
    costs = taught(*seen)
    everything_s = 100.0 + spare_s  # no run above takes as long
    for node in {call[0] for run in seen for call in run}:
        known_s = costs.known_s("g", node)
        assert known_s is not None and costs.share_s("g", node, everything_s) >= known_s * (1 - 1e-9)


@settings(max_examples=60, deadline=None)
@given(run=runs(), data=st.data())
def test_the_order_in_which_calls_of_a_run_are_told_does_not_matter(run: Run, data: Any) -> None:
    other = data.draw(st.permutations(run))
    one, two = NodeCosts(), NodeCosts()
    one.note_run("g", run)
    two.note_run("g", other)
    for node in "abcd":
        assert one.share_s("g", node, 30.0) == two.share_s("g", node, 30.0)


def test_nodes_beside_each_other_may_be_told_in_any_order() -> None:
    one, two = NodeCosts(), NodeCosts()
    for costs, order in ((one, DIAMOND), (two, DIAMOND[::-1])):
        for visit in order:
            costs.note_node("g", visit.node, visit.needed_s)
        costs.note_run("g", order)
    for node, *_ in DIAMOND:
        assert one.share_s("g", node, 20.0) == two.share_s("g", node, 20.0)


@pytest.mark.parametrize("field", ["half_life", "least_spread", "kept", "runs_read"])
def test_impossible_settings_are_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"budget\.{field}"):
        BudgetConfig(**{field: 0})


# From the store ---------------------------------------------------------------------------------------------


def stored(number: int, run: Run, *, graph: str | None = "g", **values: Any) -> Trajectory:
    steps = tuple(
        Step(
            step_id=step_id,
            node=node,
            kind="agent",
            position=0,
            round=1,
            role="",
            parents=(),
            decision_id="",
            model="m",
            strategy="Plain",
            started_s=started_s,
            finished_s=finished_s,
        )
        for step_id, (node, started_s, finished_s, _) in enumerate(run)
    )
    return Trajectory(
        **{
            "trace_id": f"{number:032x}",
            "question": "q",
            "arrived_at_s": 1e9 + number,
            "budget_s": 60.0,
            "steps": steps,
            "metadata": {} if graph is None else {"graph": graph},
            **values,
        }
    )


async def test_a_process_that_starts_anew_knows_what_the_store_knows() -> None:
    store = MemoryStore()
    for number in range(5):
        await store.put(stored(number, DIAMOND))
    costs = NodeCosts()
    await costs.learn_from(store)
    known = taught(*[DIAMOND] * 5)
    for node, *_ in DIAMOND:
        assert costs.share_s("g", node, 20.0) == known.share_s("g", node, 20.0)
        assert costs.known_s("g", node) == known.known_s("g", node)


async def test_parts_with_a_trace_of_their_own_are_found_in_the_store_too() -> None:
    store = MemoryStore()
    await store.put(stored(1, run_of(("plan", 0, 1), ("write", 4, 5)), arrived_at_s=1e9))
    part = {"run": f"{1:032x}", "run_node": "solve"}
    solved = stored(
        2, run_of(("agent", 0, 3)), graph=None, topology="IO", arrived_at_s=1e9 + 1, latency_s=3.0
    )
    await store.put(replace(solved, metadata=part))
    costs = NodeCosts()
    await costs.learn_from(store)
    shares = [costs.share_s("g", *call) for call in [("plan", 10.0), ("solve", 8.0), ("write", 2.0)]]
    assert shares == [pytest.approx(2.0), pytest.approx(6.0), 2.0]


async def test_the_newest_runs_are_read_and_the_newest_count_most() -> None:
    store = MemoryStore()
    for number in range(9):
        await store.put(stored(number, line(9.0, 1.0) if number < 6 else line(1.0, 1.0)))
    costs = NodeCosts(BudgetConfig(runs_read=3))
    await costs.learn_from(store)
    assert costs.share_s("g", "n0", 8.0) == pytest.approx(4.0)


@pytest.mark.parametrize(
    "odd",
    [
        {"graph": None},
        {"topology": "Debate"},
        {"status": "failed"},
        {"status": "open"},
        {"status": "cancelled"},
    ],
)
async def test_what_is_no_finished_run_of_an_application_says_nothing_of_what_comes_after(odd: Any) -> None:
    store = MemoryStore()
    await store.put(stored(1, line(1.0, 1.0), **odd))
    costs = NodeCosts()
    await costs.learn_from(store)
    assert costs.share_s("g", "n0", 8.0) == 8.0
