"""The latency prior, and what measured calls make of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inframind.errors import ConfigError
from inframind.router.latency import Z90, estimate_tokens

FLASH, CONCISE, PLAIN, DEEP = range(4)


def test_the_prior_of_an_idle_model_is_its_size_times_its_answer(bench: Any) -> None:
    q50_s = bench.latency.predict(bench.snapshot(), 0).q50_s
    small = [0.02 + tokens * (0.002 + 3 * 0.0009) for tokens in (40, 140, 320, 560)]
    large = [0.02 + tokens * (0.002 + 32 * 0.0009) for tokens in (40, 140, 320, 560)]
    assert q50_s == pytest.approx(np.array([small, large]))
    assert q50_s[0] == pytest.approx([0.208, 0.678, 1.524, 2.652])
    assert q50_s[1] == pytest.approx([1.252, 4.332, 9.876, 17.268])


def test_the_spread_of_the_prior_gives_the_upper_quantile(bench: Any) -> None:
    map_s = bench.latency.predict(bench.snapshot(), 0)
    assert map_s.q90_s / map_s.q50_s == pytest.approx(np.full((2, 4), np.exp(1.2815515655446004 * 0.35)))


@pytest.mark.parametrize(
    ("load", "extra_s"),
    [
        ({"running": 50.0}, 320 * 0.0047 * 0.5),
        ({"running": 10.0, "in_flight": 50}, 320 * 0.0047 * 0.5),
        ({"running": 10.0, "waiting": 5.0}, 320 * 0.0047 * 0.1 + 5 * 265 * 0.0047 / 10),
        ({"running": 10.0, "waiting": 2.0, "waiting_here": 3}, 320 * 0.0047 * 0.1 + 5 * 265 * 0.0047 / 10),
        ({"waiting": 1.0}, 265 * 0.0047),
    ],
)
def test_load_slows_a_model_down_and_its_queue_comes_on_top(
    bench: Any, load: dict[str, Any], extra_s: float
) -> None:
    q50_s = bench.latency.predict(bench.snapshot(a=load), 0).q50_s
    assert q50_s[0, PLAIN] == pytest.approx(1.524 + extra_s)
    assert q50_s[1, PLAIN] == pytest.approx(9.876)


def test_a_long_prompt_takes_its_time(bench: Any) -> None:
    longer = (
        bench.latency.predict(bench.snapshot(), 10_000).q50_s
        - bench.latency.predict(bench.snapshot(), 0).q50_s
    )
    assert longer == pytest.approx(np.array([[0.09] * 4, [0.96] * 4]))


@pytest.mark.parametrize(
    "load",
    [{"age_s": None, "running": None, "waiting": None}, {"age_s": 60.0, "running": 40.0, "waiting": 9.0}],
)
def test_an_unknown_or_stale_load_is_not_an_idle_one(bench: Any, load: dict[str, Any]) -> None:
    idle = bench.latency.predict(bench.snapshot(), 0)
    blind = bench.latency.predict(bench.snapshot(a=load), 0)
    assert blind.q50_s == pytest.approx(idle.q50_s)
    assert blind.q90_s[0] == pytest.approx(idle.q50_s[0] * np.exp(Z90 * 0.35 * np.sqrt(2)))
    assert blind.q90_s[1] == pytest.approx(idle.q90_s[1])


def test_our_own_calls_count_where_nothing_else_is_known(bench: Any) -> None:
    blind = bench.snapshot(a={"age_s": None, "running": None, "waiting": None, "in_flight": 50})
    known = bench.snapshot(a={"running": 50.0})
    assert bench.latency.predict(blind, 0).q50_s == pytest.approx(bench.latency.predict(known, 0).q50_s)


def test_measured_calls_move_the_level_of_their_own_cell_only(bench: Any) -> None:
    model, snapshot = bench.latency, bench.snapshot()
    before = model.predict(snapshot, 0)
    for _ in range(8):
        model.observe("a", "Plain", snapshot, 0, 2 * before.q50_s[0, PLAIN])
    after = model.predict(snapshot, 0)
    weight = sum(0.98**k for k in range(8))
    assert after.q50_s[0, PLAIN] == pytest.approx(before.q50_s[0, PLAIN] * 2 ** (weight / (weight + 8)))
    others = np.ones((2, 4), dtype=bool)
    others[0, PLAIN] = False
    assert (after.q50_s[others] == before.q50_s[others]).all()
    for _ in range(400):
        model.observe("a", "Plain", snapshot, 0, 2 * before.q50_s[0, PLAIN])
    assert model.predict(snapshot, 0).q50_s[0, PLAIN] == pytest.approx(2 * before.q50_s[0, PLAIN], rel=0.15)


def test_old_calls_are_forgotten(make_bench: Any) -> None:
    bench = make_bench()
    model, snapshot = bench.prior(forgetting=0.9), bench.snapshot()
    prior_s = float(model.predict(snapshot, 0).q50_s[0, PLAIN])
    for factor in (10.0, 1.0):
        for _ in range(200):
            model.observe("a", "Plain", snapshot, 0, factor * prior_s)
    assert model.predict(snapshot, 0).q50_s[0, PLAIN] == pytest.approx(prior_s, rel=1e-6)


def test_nine_in_ten_calls_stay_below_the_upper_quantile(bench: Any) -> None:
    rng, snapshot = np.random.default_rng(7), bench.snapshot()
    prior_s = float(bench.latency.predict(snapshot, 0).q50_s[0, PLAIN])
    latencies = prior_s * rng.lognormal(mean=0.4, sigma=0.6, size=4000)
    below_q50 = below_q90 = 0
    for number, latency_s in enumerate(latencies):
        if number >= 1000:
            map_s = bench.latency.predict(snapshot, 0)
            below_q50 += latency_s <= map_s.q50_s[0, PLAIN]
            below_q90 += latency_s <= map_s.q90_s[0, PLAIN]
        bench.latency.observe("a", "Plain", snapshot, 0, float(latency_s))
    assert below_q50 / 3000 == pytest.approx(0.5, abs=0.06)
    assert below_q90 / 3000 == pytest.approx(0.9, abs=0.04)


@pytest.mark.parametrize("latency_s", [0.0, 1e-9, 1e9])
def test_no_measured_latency_breaks_the_predictions(bench: Any, latency_s: float) -> None:
    for _ in range(50):
        bench.latency.observe("a", "Flash", bench.snapshot(), 0, latency_s)
    map_s = bench.latency.predict(bench.snapshot(), 0)
    assert np.isfinite(map_s.q50_s).all() and (map_s.q50_s > 0).all() and (map_s.q90_s >= map_s.q50_s).all()


@pytest.mark.parametrize("forgetting", [0.0, 1.1])
def test_an_impossible_forgetting_is_refused(make_bench: Any, forgetting: float) -> None:
    with pytest.raises(ConfigError, match=r"latency\.forgetting"):
        make_bench().prior(forgetting=forgetting)


def test_tokens_are_estimated_at_four_characters() -> None:
    assert (estimate_tokens([]), estimate_tokens(["abcd" * 10, "ab"])) == (1, 11)
