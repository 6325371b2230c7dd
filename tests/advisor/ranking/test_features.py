from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from inframind.advisor.ranking.features import COLUMNS, NAMES, PLACES, features_of
from inframind.advisor.ranking.history import History
from inframind.traces.advice import KINDS
from inframind.traces.configurations import Configuration, configuration_of


def row(bench: Any, option: Any, **more: Any) -> dict[str, float]:
    clusters = more.pop("clusters", ())
    known = {"analysis": bench.analysis((option,), clusters), "acceptance": History(), **more}
    return dict(zip(NAMES, features_of([option], **known)[0].tolist(), strict=True))


def configured(**document: Any) -> Configuration:
    return configuration_of(document)


def test_columns_have_names_of_their_own_and_say_what_they_are() -> None:
    assert len(set(NAMES)) == len(COLUMNS)
    assert all(column.says and column.low <= column.high for column in COLUMNS)


def test_promises_are_scaled_signed_and_as_sure_as_their_intervals(bench: Any) -> None:
    half = 1.959964 * 0.02
    option = bench.option(
        predictions=(
            bench.prediction("success", 0.1, half=half),
            bench.prediction("latency_s", -2.0, half=half, before=8.0),
            bench.prediction("cost", 0.5, half=half, before=1.0, objection="too few runs"),
        )
    )
    found = row(bench, option)
    assert found["success_gain"] == pytest.approx(math.tanh(1.0))
    assert found["success_sure"] == pytest.approx(math.tanh(2.5))
    assert found["latency_s_gain"] == pytest.approx(math.tanh(1.0))
    assert (found["success_known"], found["latency_s_known"], found["cost_known"]) == (1, 1, 0)
    assert (found["cost_gain"], found["cost_sure"], found["on_time_known"]) == (0, 0, 0)


def test_a_bargain_is_success_per_cost(bench: Any) -> None:
    success, cost = bench.prediction("success", 0.1), bench.prediction("cost", -0.25)
    found = row(bench, bench.option(predictions=(success, cost)))
    assert found["bargain"] == pytest.approx(math.tanh(math.log(1.2 / 0.5) / 0.5))
    assert row(bench, bench.option(predictions=(success,)))["bargain"] == 0


def test_a_failure_pattern_is_seen_by_its_size_trend_ways_and_direction(bench: Any) -> None:
    cluster = bench.cluster()
    found = row(bench, bench.option(cluster_id=cluster.cluster_id), clusters=(cluster,))
    assert found["for_cluster"] == 1
    assert found["cluster_share"] == 0.4
    assert found["cluster_rate"] == pytest.approx(0.2)
    assert found["cluster_trend"] == pytest.approx(math.tanh(1.0))
    assert (found["cluster_failed"], found["cluster_late"], found["cluster_wrong"]) == (0, 0.75, 0.25)
    projections = sorted({round(abs(math.atanh(found[f"pattern_{k}"])), 6) for k in range(4)})
    assert set(projections) <= {0.2, 1.4}


def test_projections_are_the_same_for_ever(bench: Any) -> None:
    cluster = bench.cluster(centroid=tuple(1.0 / (1 + i) for i in range(6)))
    found = row(bench, bench.option(cluster_id=cluster.cluster_id), clusters=(cluster,))
    expected = [0.466007, 0.651504, 0.886576, 0.829750]
    assert [found[f"pattern_{k}"] for k in range(4)] == pytest.approx(expected, abs=1e-6)


def test_the_whole_application_has_no_pattern(bench: Any) -> None:
    found = row(bench, bench.option(), clusters=(bench.cluster(),))
    assert all(found[column.name] == 0 for column in COLUMNS if column.group in ("cluster", "pattern"))


def test_a_configuration_is_counted_not_named(bench: Any) -> None:
    configuration = configured(
        models=["a", "b", "c"],
        strategies={"Flash": {}},
        topologies=["IO"],
        max_team=3,
        tools=["search"],
        rules=[{"name": "r", "advice": "1" * 32}, {"name": "s"}],
    )
    found = row(bench, bench.option(), configuration=configuration)
    many = math.log(33)
    assert found["rules_in_force"] == pytest.approx(math.log(3) / many)
    assert found["rules_of_advice"] == 0.5
    assert found["models"] == found["models_x_switch"] == pytest.approx(math.log(4) / many)
    assert found["strategies"] == found["topologies"] == pytest.approx(math.log(2) / many)
    assert found["largest_team"] == 0.5
    assert found["has_tools"] == 1


def test_history_is_read_by_kind_and_by_switching_models_in_the_segment_and_everywhere(bench: Any) -> None:
    history = History()
    mine = [bench.recommendation("balanced", segment="mine") for _ in range(3)]
    other = bench.recommendation(
        "balanced", segment="other", rules=({"name": "r", "avoid_strategies": ["F"]},)
    )
    history.add(
        [*mine, other],
        [*(bench.event(made, "accepted", 1.0) for made in mine), bench.event(other, "rejected", 1.0)],
    )
    found = row(bench, bench.option("balanced"), acceptance=history, segment="mine")
    assert found["segment_kind"] == pytest.approx(2 * 4 / 5 - 1)
    assert found["everyone_kind"] == pytest.approx(2 * 4 / 6 - 1)
    assert found["segment_switch"] == pytest.approx(2 * 4 / 5 - 1)
    assert found["segment_known"] == pytest.approx(3 / 13)


RENAMED = {"fast": "x1", "large": "x2", "gpu-0": "x3", "Flash": "x4", "Critic": "x5", "Debate": "x6"}


def renamed(names: frozenset[str]) -> frozenset[str]:
    return frozenset(RENAMED[name] for name in names)


def test_names_of_models_servers_strategies_and_roles_change_nothing(bench: Any) -> None:
    rule = bench.rule(
        avoid_models=frozenset({"fast"}),
        avoid_endpoints=frozenset({"gpu-0"}),
        avoid_strategies=frozenset({"Flash"}),
        when={"roles": {"Critic"}, "topologies": {"Debate"}},
    )
    twin = bench.rule(
        name="otherwise",
        avoid_models=renamed(rule.avoid_models),
        avoid_endpoints=renamed(rule.avoid_endpoints),
        avoid_strategies=renamed(rule.avoid_strategies),
        when={"roles": renamed(rule.when.roles), "topologies": renamed(rule.when.topologies)},
    )
    option = bench.option("model_switch", rules=(rule,), title="Leave fast", cluster_id="0" * 12)
    other = replace(option, rules=(twin,), title="Leave x1", reason="x1 fails", option_id="f" * 12)
    clusters = (bench.cluster(label="late answers of fast"),), (bench.cluster(label="late answers of x1"),)
    pools = configured(models=["fast", "large"]), configured(models=["x1", "x2"])
    assert row(bench, option, clusters=clusters[0], configuration=pools[0]) == row(
        bench, other, clusters=clusters[1], configuration=pools[1]
    )


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(KINDS),
    change=st.floats(-1e6, 1e6),
    before=st.floats(-1e6, 1e6),
    half=st.floats(0, 1e6),
    trend=st.floats(-50, 50),
    centroid=st.lists(st.floats(-1e3, 1e3), max_size=9),
    rules=st.integers(0, 100),
)
@example(kind="cheapest", change=1.0, before=2e-313, half=0.0, trend=0.0, centroid=[], rules=0)
def test_every_column_stays_within_its_bounds(
    bench: Any, kind: Any, change: float, before: float, half: float, trend: float, centroid: Any, rules: int
) -> None:
    predictions = tuple(
        bench.prediction(metric, change, before=before, low=change - half, high=change + half)
        for metric in ("success", "on_time", "latency_s", "cost")
    )
    cluster = bench.cluster(trend_z=trend, centroid=tuple(centroid))
    option = bench.option(kind, predictions=predictions, cluster_id=cluster.cluster_id, domain="math")
    configuration = configured(rules=[{"name": f"r{i}"} for i in range(rules)], max_team=99)
    found = features_of(
        [option],
        analysis=bench.analysis((option,), (cluster,)),
        acceptance=History(),
        domain="math",
        configuration=configuration,
    )[0]
    low, high = (np.array([getattr(column, end) for column in COLUMNS]) for end in ("low", "high"))
    assert np.all((low <= found) & (found <= high))
    assert found[PLACES["for_own"]] == 1
