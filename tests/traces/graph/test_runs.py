"""What became of a configuration's runs: counted once, with their latest verdict, for as long as they are kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from inframind.errors import ConfigError, StoreClosed, UnknownConfiguration
from inframind.traces.outcome_graph import OutcomeGraph, RunFigures
from inframind.traces.outcome_graphs import graph_of
from inframind.traces.records import SolvedKeys
from inframind.traces.store import TraceStore


async def test_a_run_counts_with_all_its_figures(store: TraceStore, graph: OutcomeGraph, made: Any) -> None:
    (own_id,) = await made.add(graph, 1)
    steps = (made.step(30), replace(made.step(12), step_id=1), replace(made.step(None), step_id=2))
    await store.put(made.run(1, own_id, steps=steps, cost=0.25, outcomes=(made.verdict(1.0),)))
    await store.put(made.run(2, own_id, latency_s=12.0, cost=None, status="late", text="too late"))
    await store.put(made.run(3, own_id, status="failed", cost=0.75, outcomes=(made.verdict(0.0),)))
    assert (await graph.configuration(own_id)).figures == RunFigures(
        runs=3,
        on_time=1,
        failed=1,
        labelled=2,
        solved=1,
        success=1,
        latency_s=16.0 / 3,
        cost=0.5,
        completion_tokens=14.0,
        priced=2,
        latency_sd_s=pytest.approx((100 / 3) ** 0.5),
        cost_sd=0.125**0.5,
    )


@pytest.mark.parametrize(
    ("values", "sd"),
    [
        ([1.0, 2.0, 3.0, 4.0], (5 / 3) ** 0.5),
        ([1e9, 1e9 + 1, 1e9 + 2], 1.0),
        ([0.1] * 40, 0.0),
        ([5.0], 0.0),
    ],
)
async def test_spread_loses_no_digits_where_the_mean_is_large_and_is_none_where_all_are_the_same(
    store: TraceStore, graph: OutcomeGraph, made: Any, values: list[float], sd: float
) -> None:
    (own_id,) = await made.add(graph, 1)
    for n, value in enumerate(values):
        topology = "Solo" if n % 2 else "Chain"
        await store.put(made.run(n, own_id, latency_s=value, cost=value, topology=topology))
    await store.put(made.run(99, own_id, status="open", latency_s=-1e12, cost=None))
    (summary,) = await graph.configurations()
    for figures in (summary.figures, (await graph.configuration(own_id)).figures):
        assert (figures.runs, figures.priced) == (len(values), len(values))
        assert (figures.latency_sd_s, figures.cost_sd) == pytest.approx((sd, sd), rel=1e-12)


async def test_an_answer_after_the_budget_is_no_success(
    store: TraceStore, graph: OutcomeGraph, made: Any
) -> None:
    (own_id,) = await made.add(graph, 1)
    await store.put(made.run(1, own_id, latency_s=10.5, outcomes=(made.verdict(1.0),)))
    figures = (await graph.configuration(own_id)).figures
    assert (figures.on_time, figures.solved, figures.success) == (0, 1, 0)


@pytest.mark.parametrize(
    ("status", "text", "failed"),
    [("ok", "", 0), ("late", "", 1), ("late", "42", 0), ("failed", "", 1)],
)
async def test_a_run_without_an_answer_has_failed(
    store: TraceStore, graph: OutcomeGraph, made: Any, status: Any, text: str, failed: int
) -> None:
    (own_id,) = await made.add(graph, 1)
    await store.put(made.run(1, own_id, status=status, text=text))
    assert (await graph.configuration(own_id)).figures.failed == failed


@pytest.mark.parametrize(("latency_s", "counted"), [(1.0, 0), (10.0, 1)])
async def test_who_stops_a_run_in_time_says_nothing_of_its_configuration(
    store: TraceStore, graph: OutcomeGraph, made: Any, latency_s: float, counted: int
) -> None:
    (own_id,) = await made.add(graph, 1)
    await store.put(made.run(1, own_id, status="cancelled", text="", latency_s=latency_s))
    figures = (await graph.configuration(own_id)).figures
    assert (figures.runs, figures.failed) == (counted, counted)


async def test_a_trace_put_twice_counts_once_as_it_was_put_last(
    store: TraceStore, graph: OutcomeGraph, made: Any
) -> None:
    first, second = await made.add(graph, 1, 2)
    await store.put(made.run(1, first))
    await store.put(made.run(1, first, latency_s=4.0))
    assert (await graph.configuration(first)).figures.latency_s == 4.0
    assert (await graph.configuration(first)).figures.runs == 1
    await store.put(made.run(1, second))
    assert (await graph.configuration(first)).figures == RunFigures()
    assert (await graph.configuration(second)).figures.runs == 1


async def test_open_traces_have_no_figures_until_they_end(
    store: TraceStore, graph: OutcomeGraph, made: Any
) -> None:
    (own_id,) = await made.add(graph, 1)
    await store.put(made.run(1, own_id, status="open"))
    assert (await graph.configuration(own_id)).figures == RunFigures()
    await store.put(made.run(1, own_id))
    assert (await graph.configuration(own_id)).figures.runs == 1
    await store.put(made.run(1, own_id, status="open", latency_s=12.0))
    assert (await graph.configuration(own_id)).figures == RunFigures()
    assert await store.close_abandoned(before_s=1e9) == 1
    figures = (await graph.configuration(own_id)).figures
    assert (figures.runs, figures.failed, figures.on_time, figures.cost) == (1, 1, 0, 0.5)


async def test_feedback_counts_whether_it_comes_early_late_or_anew(
    store: TraceStore, graph: OutcomeGraph, made: Any
) -> None:
    (own_id,) = await made.add(graph, 1)

    async def labels() -> tuple[int, int]:
        figures = (await graph.configuration(own_id)).figures
        return figures.labelled, figures.solved

    await store.add_outcome(made.trace_id(1), made.verdict(1.0))
    await store.add_outcome("run:" + made.trace_id(99), made.verdict(0.0))
    for n in (1, 2, 3):
        await store.put(made.run(n, own_id))
    assert await labels() == (1, 1)
    await store.add_alias("run:" + made.trace_id(99), made.trace_id(2))
    assert await labels() == (2, 1)
    await store.add_outcome(made.trace_id(3), made.verdict(None))
    assert await labels() == (2, 1)
    await store.add_outcome(made.trace_id(3), made.verdict(1.0, name="g"))
    assert await labels() == (3, 2)
    await store.add_outcome(made.trace_id(1), made.verdict(0.0, at_s=6.0))
    assert await labels() == (3, 1)
    await store.add_outcome(made.trace_id(1), made.verdict(1.0, at_s=2.0, name="recorded before"))
    assert await labels() == (3, 1)
    await store.add_outcome(made.trace_id(1), made.verdict(1.0, at_s=6.0, name="same instant, later name"))
    assert await labels() == (3, 2)


async def test_the_most_telling_key_with_a_score_decides(
    store: TraceStore, graph: OutcomeGraph, made: Any
) -> None:
    (own_id,) = await made.add(graph, 1)
    for n in (1, 2, 3):
        await store.put(made.run(n, own_id))
    await store.add_outcome(made.trace_id(1), made.verdict(0.0))
    await store.add_outcome(made.trace_id(1), made.verdict(5.0, key="stars", name="s"))
    await store.add_outcome(made.trace_id(2), made.verdict(3.0, key="stars"))
    figures = {}
    for name, keys in (("solved", SolvedKeys()), ("stars", SolvedKeys({"stars": 4.0}))):
        (summary,) = await graph.configurations(keys=keys)
        figures[name] = (summary.figures.labelled, summary.figures.solved)
    assert figures == {"solved": (1, 0), "stars": (2, 0)}
    (summary,) = await graph.configurations(keys=SolvedKeys({"stars": 3.0, "solved": 0.5}))
    assert (summary.figures.labelled, summary.figures.solved) == (2, 2)


async def test_figures_go_with_their_traces(store: TraceStore, graph: OutcomeGraph, made: Any) -> None:
    (own_id,) = await made.add(graph, 1)
    for n in range(1, 6):
        await store.put(made.run(n, own_id, outcomes=(made.verdict(1.0),)))
    await store.delete(made.trace_id(5))
    assert (await graph.configuration(own_id)).figures.runs == 4
    assert await store.prune(before_s=1003.0) == 2
    summary = await graph.configuration(own_id)
    assert (summary.figures.runs, summary.figures.labelled, summary.last_s) == (2, 2, 1004.0)


async def test_figures_are_of_runs_that_arrived_in_the_time_asked_about(
    store: TraceStore, graph: OutcomeGraph, made: Any
) -> None:
    (own_id,) = await made.add(graph, 1)
    for n in range(5):
        await store.put(made.run(n, own_id))
    for times, expected in (
        ({"since_s": 1001.0}, 4),
        ({"until_s": 1001.0}, 1),
        ({"since_s": 1001.0, "until_s": 1004.0}, 3),
        ({"since_s": 5000.0}, 0),
        ({}, 5),
    ):
        (summary,) = await graph.configurations(**times)
        assert (summary.figures.runs, summary.last_s) == (expected, 1004.0)


async def test_configurations_come_with_the_latest_run_first(
    store: TraceStore, graph: OutcomeGraph, made: Any
) -> None:
    first, second, unused = await made.add(graph, 1, 2, 3)
    await store.put(made.run(9, first))
    await store.put(made.run(5, second, status="open"))
    await store.put(made.run(7, ""))
    found = await graph.configurations()
    assert [one.configuration.configuration_id for one in found] == [first, second, unused]
    assert [(one.first_s, one.last_s, one.figures.runs) for one in found] == [
        (1.0, 1009.0, 1),
        (2.0, 1005.0, 0),
        (3.0, 3.0, 0),
    ]
    assert await graph.configurations(limit=2) == found[:2]


async def test_a_configuration_comes_back_as_it_was_and_is_added_once(graph: OutcomeGraph, made: Any) -> None:
    odd = {"nul": "a\0b", "private": "\ue0000", "large": 1e300, "small": -5e-324, "whole": 1.0, "none": None}
    configuration = made.configuration(1, tools=[odd, ["é", True]])
    await graph.add_configuration(configuration, at_s=3.0)
    await graph.add_configuration(configuration, at_s=2.0)
    (found,) = await graph.configurations()
    assert (found.configuration, found.first_s) == (configuration, 3.0)
    assert type(found.configuration.document["tools"][0]["whole"]) is float


async def test_a_configuration_is_known_by_its_whole_id_without_a_look_at_runs(
    graph: OutcomeGraph, made: Any
) -> None:
    configuration = made.configuration(1)
    assert await graph.known_configuration(configuration.configuration_id) is None
    await graph.add_configuration(configuration, at_s=3.0)
    assert await graph.known_configuration(configuration.configuration_id) == configuration
    assert await graph.known_configuration(configuration.configuration_id[:12]) is None
    assert await graph.known_configuration("") is None


async def test_a_configuration_is_found_by_its_first_digits(graph: OutcomeGraph, made: Any) -> None:
    first, _ = await made.add(graph, 1, 2)
    assert (await graph.configuration(first[:6])).configuration.configuration_id == first
    assert (await graph.configuration(first.upper())).configuration.configuration_id == first
    with pytest.raises(UnknownConfiguration, match="configs list"):
        await graph.configuration("0" * 64)
    for prefix in (first[:5], first + "0", "not hex"):
        with pytest.raises(ConfigError, match="6 to 64 hex digits of the configuration's id"):
            await graph.configuration(prefix)


async def test_a_prefix_of_several_configurations_asks_for_more_digits(
    graph: OutcomeGraph, made: Any
) -> None:
    seen: dict[str, int] = {}
    for n in range(100_000):
        prefix = made.configuration(n).configuration_id[:6]
        if prefix in seen:
            break
        seen[prefix] = n
    await made.add(graph, seen[prefix], n)
    with pytest.raises(ConfigError, match="several configurations begin so"):
        await graph.configuration(prefix)


async def test_a_configuration_under_another_id_is_refused(graph: OutcomeGraph, made: Any) -> None:
    with pytest.raises(ConfigError, match="configuration_of"):
        await graph.add_configuration(replace(made.configuration(1), document=made.document(2)), at_s=1.0)


async def test_recommendations_of_a_configuration_are_counted(graph: OutcomeGraph, made: Any) -> None:
    first, second = await made.add(graph, 1, 2)
    await graph.add_recommendations([made.advice(n, configuration_id=first) for n in range(3)])
    assert [(await graph.configuration(own_id)).recommendations for own_id in (first, second)] == [3, 0]


async def test_a_range_of_no_time_is_refused(graph: OutcomeGraph) -> None:
    with pytest.raises(ConfigError, match="until_s"):
        await graph.configurations(since_s=5.0, until_s=5.0)
    with pytest.raises(ConfigError, match="window_s"):
        await graph.got_worse(split_s=5.0, window_s=0.0)
    with pytest.raises(ConfigError, match="limit"):
        await graph.configurations(limit=0)


async def test_a_store_has_one_graph_which_closes_with_it(store: TraceStore, graph: OutcomeGraph) -> None:
    assert graph_of(store) is graph
    await store.aclose()
    with pytest.raises(StoreClosed):
        await graph.configurations()


def test_a_store_of_another_make_has_no_graph() -> None:
    with pytest.raises(ConfigError, match="open_store"):
        graph_of(object())  # type: ignore[arg-type]
