"""What changed, what got worse, and what is on the front: the same whatever the graph stands on."""

from __future__ import annotations

from typing import Any

import pytest

from inframind.errors import UnknownConfiguration
from inframind.traces.outcome_graph import Difference, MeanDifference, OutcomeGraph
from inframind.traces.store import TraceStore


async def test_two_configurations_are_compared_by_what_changed_and_what_came_of_it(
    store: TraceStore, graph: OutcomeGraph, made: Any
) -> None:
    old, new = await made.add(graph, 1, 2)
    await made.runs(store, 0, right=48, wrong=32, configuration=old)
    await made.runs(store, 100, right=56, wrong=14, configuration=new)
    found = await graph.compare(old[:12], new)
    assert found.changes == (
        Difference(path="models.large.temperature", before=1.7, after=2.7),
        Difference(path="policy.version", before="v1", after="v2"),
    )
    assert (found.old.figures.runs, found.new.figures.runs) == (80, 70)
    assert found.solved is not None
    assert (found.solved.change, found.solved.low, found.solved.high) == pytest.approx(
        (0.2, 0.0524, 0.3339), abs=5e-5
    )
    assert found.success == found.solved
    assert found.on_time is not None and found.on_time.change == 0.0


async def test_nothing_is_said_of_shares_that_nobody_knows(
    store: TraceStore, graph: OutcomeGraph, made: Any
) -> None:
    old, new = await made.add(graph, 1, 2)
    await made.runs(store, 0, right=1, wrong=0, configuration=old)
    await store.put(made.run(5, new))
    found = await graph.compare(old, new)
    assert (found.success, found.solved) == (None, None)
    assert found.on_time is not None
    assert (await graph.compare(old, old)).changes == ()


async def test_means_are_compared_with_the_interval_of_welch(
    store: TraceStore, graph: OutcomeGraph, made: Any
) -> None:
    """Hours of sleep gained on two drugs (Student 1908), as `t.test(extra ~ group, data = sleep)` of R has it."""
    first = (0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0)
    second = (1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4)
    one, two = await made.add(graph, 1, 2)
    for start, own_id, values in ((0, one, first), (100, two, second)):
        for n, value in enumerate(values):
            await store.put(made.run(start + n, own_id, latency_s=10 + value, cost=(10 + value) / 8))
    found = await graph.compare(two, one)
    assert found.latency_s is not None and found.cost is not None
    expected = (-1.58, -3.3654832, 0.2054832)
    moved = (found.latency_s.change, found.latency_s.low, found.latency_s.high)
    assert moved == pytest.approx(expected, abs=5e-8)
    moved = (found.cost.change, found.cost.low, found.cost.high)
    assert moved == pytest.approx([value / 8 for value in expected], abs=5e-8)


async def test_nothing_is_said_of_means_of_few_runs_or_of_costs_that_nobody_knows(
    store: TraceStore, graph: OutcomeGraph, made: Any
) -> None:
    few, many, unpriced = await made.add(graph, 1, 2, 3)
    for n in range(10):
        if n < 9:
            await store.put(made.run(n, few))
        await store.put(made.run(100 + n, many))
        await store.put(made.run(200 + n, unpriced, cost=None if n else 0.5))
    found = await graph.compare(few, many)
    assert (found.latency_s, found.cost) == (None, None)
    found = await graph.compare(many, unpriced)
    assert (found.latency_s, found.cost) == (MeanDifference(change=0.0, low=0.0, high=0.0), None)


async def test_costs_in_two_units_are_not_compared(store: TraceStore, graph: OutcomeGraph, made: Any) -> None:
    dollars, sizes = (made.configuration(n, cost_unit=unit) for n, unit in enumerate(("usd", "size")))
    for start, one in ((0, dollars), (100, sizes)):
        await graph.add_configuration(one, at_s=1.0)
        await made.runs(store, start, right=10, wrong=0, configuration=one.configuration_id)
    found = await graph.compare(dollars.configuration_id, sizes.configuration_id)
    assert found.latency_s is not None and found.cost is None
    found = await graph.compare(dollars.configuration_id, dollars.configuration_id)
    assert found.cost is not None


async def test_comparing_with_an_unknown_configuration_names_it(graph: OutcomeGraph, made: Any) -> None:
    (old,) = await made.add(graph, 1)
    with pytest.raises(UnknownConfiguration, match="abcdef"):
        await graph.compare(old, "abcdef")


async def test_what_got_worse_is_named_the_largest_loss_first(
    store: TraceStore, graph: OutcomeGraph, made: Any
) -> None:
    first = {"configuration": "a", "topology": "Solo", "domain": "math"}
    second = {"configuration": "b", "topology": "Debate", "domain": "code"}
    await made.runs(store, 0, right=40, wrong=10, arrived_at_s=150.0, **first)
    await made.runs(store, 100, right=20, wrong=30, arrived_at_s=250.0, **first)
    await made.runs(store, 200, right=40, wrong=10, arrived_at_s=199.0, **second)
    await made.runs(store, 300, right=39, wrong=11, arrived_at_s=200.0, **second)
    await made.runs(store, 400, right=0, wrong=50, arrived_at_s=300.0, **second)  # after the window
    await made.runs(store, 500, right=50, wrong=0, arrived_at_s=99.0, **second)  # before it
    found = await graph.got_worse(split_s=200.0, window_s=100.0)
    assert [(one.by, one.name, one.metric) for one in found] == [
        (by, name, metric)
        for by, name in (("configuration", "a"), ("domain", "math"), ("topology", "Solo"))
        for metric in ("solved", "success")
    ]
    assert {(one.before.solved, one.after.solved) for one in found} == {(40, 20)}
    assert all(one.difference.change == pytest.approx(-0.4) for one in found)
    assert all(one.difference.high < 0 for one in found)


async def test_a_group_is_added_up_over_all_the_others(
    store: TraceStore, graph: OutcomeGraph, made: Any
) -> None:
    for k, configuration in enumerate("abc"):
        await made.runs(
            store, 100 * k, right=10, wrong=0, arrived_at_s=150.0, configuration=configuration, topology=""
        )
        await made.runs(
            store,
            1000 + 100 * k,
            right=10,
            wrong=0,
            arrived_at_s=250.0,
            configuration=configuration + "2",
            latency_s=11.0,
            topology="",
        )
    found = await graph.got_worse(split_s=200.0, window_s=100.0)
    assert [(one.by, one.name, one.metric, one.difference.change) for one in found] == [
        ("domain", "general", "on_time", -1.0),
        ("domain", "general", "success", -1.0),
    ]
    assert (found[0].before.runs, found[0].after.on_time) == (30, 0)


async def test_a_few_runs_do_not_make_it_worse(store: TraceStore, graph: OutcomeGraph, made: Any) -> None:
    await made.runs(store, 0, right=9, wrong=0, arrived_at_s=150.0)
    await made.runs(store, 100, right=0, wrong=50, arrived_at_s=250.0)
    assert await graph.got_worse(split_s=200.0, window_s=100.0) == []


async def test_the_front_is_what_no_other_beats_in_success_and_cost(
    store: TraceStore, graph: OutcomeGraph, made: Any
) -> None:
    points = {1: (5, 1.0), 2: (5, 2.0), 3: (9, 4.0), 4: (7, 2.0), 5: (9, 4.0), 6: (10, None)}
    ids = dict(zip(points, await made.add(graph, *points, 7), strict=False))
    for n, (right, cost) in points.items():
        await made.runs(store, 100 * n, right=right, wrong=10 - right, configuration=ids[n], cost=cost)
    found = await graph.front(least_labels=10)
    expected = [ids[1], ids[4], *sorted((ids[3], ids[5]))]
    assert [one.configuration.configuration_id for one in found] == expected
    assert [one.figures.cost for one in found] == [1.0, 2.0, 4.0, 4.0]
    assert await graph.front(least_labels=11) == []


async def test_costs_in_dollars_and_in_sizes_of_models_are_not_on_one_front(
    store: TraceStore, graph: OutcomeGraph, made: Any
) -> None:
    ids = []
    for n, unit in ((1, "size"), (2, "usd"), (3, "usd")):
        one = made.configuration(n, cost_unit=unit)
        await graph.add_configuration(one, at_s=float(n))
        ids.append(one.configuration_id)
    for n, (right, cost) in enumerate(((9, 0.001), (8, 0.01), (7, 0.005))):
        await made.runs(store, 100 * n, right=right, wrong=10 - right, configuration=ids[n], cost=cost)
    found = await graph.front(least_labels=10)
    assert [one.configuration.configuration_id for one in found] == [ids[2], ids[1]]
