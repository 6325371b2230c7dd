from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.arena.results.episodes import Call, Episode, Rate, summarise, summarise_by

PLAIN = Episode(
    index=0,
    item_id="q",
    level=1,
    arrived_s=0.0,
    budget_s=10.0,
    status="ok",
    latency_s=2.0,
    solved=True,
    topology="IO",
    model="small",
    strategy="Plain",
    calls=(Call(model="small", strategy="Plain", completion_tokens=100),),
)


def episode(**changes: Any) -> Episode:
    return replace(PLAIN, **changes)


def test_every_rate_is_over_all_offered_questions() -> None:
    failed = episode(status="failed", solved=False, error="FleetExhausted: none", latency_s=0.1, calls=())
    summary = summarise(
        [
            episode(),
            episode(solved=False),
            episode(status="late", latency_s=12.0),
            failed,
        ]
    )

    assert (summary.offered, summary.late, summary.failed) == (4, 1, 1)
    assert (summary.accuracy.hits, summary.accuracy.trials) == (2, 4)
    assert (summary.on_time_success.hits, summary.slo_attainment.hits) == (1, 2)


def test_latency_leaves_out_what_was_never_answered() -> None:
    summary = summarise(
        [
            *(episode(latency_s=float(second)) for second in (1, 2, 3, 4, 5)),
            episode(status="failed", error="EndpointRejected: no", latency_s=100.0, solved=False),
        ]
    )

    assert summary.latency_mean_s == 3.0
    assert summary.latency_p50_s == 3.0
    assert summary.latency_p95_s == pytest.approx(4.8)


def test_shares_count_calls_for_models_and_episodes_for_topologies() -> None:
    big = Call(model="big", strategy="DeepThink", completion_tokens=50)
    debate = episode(topology="Debate", calls=(big, big, PLAIN.calls[0]))

    summary = summarise([PLAIN, debate])

    assert summary.models == {"small": 0.5, "big": 0.5}
    assert summary.strategies == {"Plain": 0.5, "DeepThink": 0.5}
    assert summary.topologies == {"IO": 0.5, "Debate": 0.5}
    assert summary.completion_tokens == 300


def test_nothing_offered_gives_no_latency_and_no_certainty() -> None:
    summary = summarise([])

    assert summary.latency_mean_s is summary.latency_p50_s is summary.latency_p95_s is None
    assert summary.accuracy.value == 0.0
    assert summary.accuracy.interval == (0.0, 1.0)


def test_groups_come_with_the_largest_first() -> None:
    groups = summarise_by([episode(topology="Chain"), PLAIN, PLAIN], lambda one: one.topology)

    assert [(name, summary.offered) for name, summary in groups.items()] == [("IO", 2), ("Chain", 1)]


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(5, 10, 0.2366, 0.7634), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (45, 60, 0.6277, 0.8422)],
)
def test_intervals_are_wilsons(hits: int, trials: int, low: float, high: float) -> None:
    assert Rate(hits, trials).interval == pytest.approx((low, high), abs=5e-5)


@given(data=st.data(), trials=st.integers(1, 2000))
def test_an_interval_holds_its_share_and_stays_within_0_and_1(data: st.DataObject, trials: int) -> None:
    rate = Rate(data.draw(st.integers(0, trials)), trials)

    low, high = rate.interval

    assert 0.0 <= low <= rate.value + 1e-12
    assert rate.value - 1e-12 <= high <= 1.0
