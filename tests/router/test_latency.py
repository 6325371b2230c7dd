"""The latency prior, and what measured calls make of it."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.router.latency import estimate_tokens
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.latency_prior import PhysicalPrior

FLASH, CONCISE, PLAIN, DEEP = range(4)
Z90 = 1.2815515655446004
NEVER_READ = {"age_s": None, "running": None, "waiting": None, "kv_cache_usage": None}


def prior_sigma(ttft_s: float, decode_s: float, soft_s: float) -> float:
    """20 % of the time to first token, 18 % of the rate and 30 % of the length, each by its share."""
    ttft_sd_s = 0.2 * (ttft_s + soft_s)
    return float(np.hypot(ttft_sd_s, decode_s * np.hypot(0.18, 0.3)) / (ttft_s + decode_s))


def teach(model: LearnedLatencyModel, bench: Any, calls: int, *, ttft_s: float, tpot_s: float, tokens: int,
          name: str = "a", strategy: str = "Plain", **load: Any) -> None:  # fmt: skip
    for _ in range(calls):
        model.observe(
            name, strategy, bench.snapshot(**{name: load}), 100, ttft_s + tpot_s * tokens,
            ttft_s=ttft_s, output_tokens=tokens,
        )  # fmt: skip


def test_the_prior_of_an_idle_model_is_its_size_times_its_answer(bench: Any) -> None:
    q50_s = bench.latency.predict(bench.snapshot(), 0).q50_s
    small = [0.02 + tokens * (0.002 + 3 * 0.0009) for tokens in (40, 140, 320, 560)]
    large = [0.02 + tokens * (0.002 + 32 * 0.0009) for tokens in (40, 140, 320, 560)]
    assert q50_s == pytest.approx(np.array([small, large]))
    assert q50_s[0] == pytest.approx([0.208, 0.678, 1.524, 2.652])
    assert q50_s[1] == pytest.approx([1.252, 4.332, 9.876, 17.268])


def test_the_spread_of_the_prior_gives_the_upper_quantile(bench: Any) -> None:
    map_s = bench.latency.predict(bench.snapshot(), 0)
    sigma = [prior_sigma(0.02, tokens * 0.0047, 0.1 * 265 * 0.0047) for tokens in (40, 140, 320, 560)]
    assert (map_s.q90_s / map_s.q50_s)[0] == pytest.approx(np.exp(Z90 * np.array(sigma)))
    assert sigma == pytest.approx([0.3454, 0.3422, 0.3458, 0.3474], abs=1e-4)


@pytest.mark.parametrize(
    ("load", "extra_s"),
    [
        ({"running": 50.0}, 320 * 0.0047 * 0.5),
        ({"running": 10.0, "in_flight": 50}, 320 * 0.0047 * 0.5),
        ({"running": 10.0, "sent_since": 40}, 320 * 0.0047 * 0.5),
        ({"running": 10.0, "waiting": 5.0}, 320 * 0.0047 * 0.1 + 5 * 265 * 0.0047 / 10),
        ({"running": 10.0, "waiting": 2.0, "waiting_here": 3}, 320 * 0.0047 * 0.1 + 5 * 265 * 0.0047 / 10),
        ({"running": 10.0, "waiting": 2.0, "sent_since": 3}, 320 * 0.0047 * 0.1 + 5 * 265 * 0.0047 / 10),
        ({"running": 20.0, "waiting": 5.0}, 320 * 0.0047 * 0.2 + 5 * 265 * 0.0047 / 20),
        ({"waiting": 1.0}, 265 * 0.0047 / 10),
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


@pytest.mark.parametrize("load", [NEVER_READ, {"age_s": 60.0, "running": 40.0, "waiting": 9.0}])
def test_an_unknown_or_stale_load_widens_the_prediction(bench: Any, load: dict[str, Any]) -> None:
    idle = bench.latency.predict(bench.snapshot(), 0)
    blind = bench.latency.predict(bench.snapshot(a=load), 0)
    assert blind.q50_s == pytest.approx(idle.q50_s)
    sigma = np.hypot(prior_sigma(0.02, 1.504, 0.1 * 265 * 0.0047), 0.35)
    assert blind.q90_s[0, PLAIN] == pytest.approx(1.524 * np.exp(Z90 * sigma))
    assert (blind.q90_s[0] > idle.q90_s[0]).all()
    assert blind.q90_s[1] == pytest.approx(idle.q90_s[1])


def test_our_own_calls_count_where_nothing_else_is_known(bench: Any) -> None:
    blind = bench.snapshot(a={**NEVER_READ, "in_flight": 50})
    known = bench.snapshot(a={"running": 50.0})
    assert bench.latency.predict(blind, 0).q50_s == pytest.approx(bench.latency.predict(known, 0).q50_s)


def test_a_model_that_goes_dark_is_taken_to_be_as_busy_as_it_used_to_be(bench: Any) -> None:
    busy = {"running": 40.0, "waiting": 0.0, "kv_cache_usage": 0.5}
    teach(bench.latency, bench, 30, ttft_s=1.0, tpot_s=0.01, tokens=300, **busy)
    dark = bench.latency.predict(bench.snapshot(a=NEVER_READ), 100)
    seen = bench.latency.predict(bench.snapshot(a=busy), 100)
    assert dark.q50_s[0] == pytest.approx(seen.q50_s[0], rel=0.05)
    assert (dark.q90_s[0] > seen.q90_s[0]).all()


def test_blind_calls_show_how_wide_blindness_really_is(bench: Any) -> None:
    def width() -> float:
        map_s = bench.latency.predict(bench.snapshot(a=NEVER_READ), 100)
        return float(map_s.q90_s[0, PLAIN] / map_s.q50_s[0, PLAIN])

    before = width()
    teach(bench.latency, bench, 60, ttft_s=0.02, tpot_s=0.0047, tokens=320, **NEVER_READ)
    assert width() < before


def test_calls_that_show_only_their_total_move_the_level_of_their_own_cell(bench: Any) -> None:
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


def test_complete_calls_teach_each_part_by_itself(bench: Any) -> None:
    teach(bench.latency, bench, 60, ttft_s=0.5, tpot_s=0.012, tokens=150, running=4.0, kv_cache_usage=0.2)
    parts = bench.latency.predict_parts(bench.snapshot(a={"running": 4.0, "kv_cache_usage": 0.2}), 100)
    assert parts.ttft_s[0] == pytest.approx(0.5, rel=0.05)
    assert parts.tpot_s[0] == pytest.approx(0.012, rel=0.05)
    assert parts.output_tokens[0, PLAIN] == pytest.approx(150, rel=0.1)


def test_a_model_never_called_starts_from_what_the_others_taught(bench: Any) -> None:
    before = bench.latency.predict_parts(bench.snapshot(), 100)
    teach(bench.latency, bench, 60, ttft_s=0.1, tpot_s=0.0141, tokens=320)
    after = bench.latency.predict_parts(bench.snapshot(), 100)
    assert after.tpot_s[1] / before.tpot_s[1] == pytest.approx(3.0, rel=0.1)


def test_one_part_short_of_a_complete_call_is_a_total(make_bench: Any) -> None:
    incomplete: list[dict[str, Any]] = [
        {"ttft_s": 1.0},
        {"output_tokens": 50},
        {"ttft_s": 1.0, "output_tokens": 1},
        {"ttft_s": 1.0, "output_tokens": 0},
    ]
    maps = []
    for shown in [{}, *incomplete]:
        bench = make_bench()
        bench.latency.observe("a", "Plain", bench.snapshot(), 0, 9.0, **shown)
        maps.append(bench.latency.predict(bench.snapshot(), 0).q50_s)
    assert all((map_s == maps[0]).all() for map_s in maps)


def test_a_level_fades_when_calls_show_their_parts_again(bench: Any) -> None:
    model, snapshot = bench.latency, bench.snapshot()
    for _ in range(20):
        model.observe("a", "Plain", snapshot, 100, 60.0)
    stuck_s = model.predict(snapshot, 100).q50_s[0, PLAIN]
    teach(model, bench, 200, ttft_s=0.02, tpot_s=0.0047, tokens=320)
    assert stuck_s > 15
    assert model.predict(snapshot, 100).q50_s[0, PLAIN] == pytest.approx(1.524, rel=0.1)


def test_settled_calls_are_learned_together_and_a_cut_one_at_once(bench: Any) -> None:
    teach(bench.latency, bench, 80, ttft_s=0.1, tpot_s=0.01, tokens=300)

    def q50_s() -> Any:
        return bench.latency.predict(bench.snapshot(), 100).q50_s

    before = q50_s()
    teach(bench.latency, bench, 7, ttft_s=0.1, tpot_s=0.02, tokens=300)
    assert (q50_s() == before).all()
    teach(bench.latency, bench, 1, ttft_s=0.1, tpot_s=0.02, tokens=300)
    learned = q50_s()
    assert learned[0, PLAIN] > before[0, PLAIN]
    bench.latency.observe("a", "Plain", bench.snapshot(), 100, 60.0)
    assert q50_s()[0, PLAIN] > learned[0, PLAIN]


def test_a_slowdown_is_followed_within_tens_of_calls_and_forgotten_after_it(bench: Any) -> None:
    load = {"running": 8.0, "kv_cache_usage": 0.4}

    def median_s() -> float:
        return float(bench.latency.predict(bench.snapshot(a=load), 100).q50_s[0, PLAIN])

    teach(bench.latency, bench, 200, ttft_s=0.2, tpot_s=0.01, tokens=300, **load)
    assert median_s() == pytest.approx(3.2, rel=0.05)
    teach(bench.latency, bench, 40, ttft_s=0.4, tpot_s=0.02, tokens=300, **load)
    assert median_s() == pytest.approx(6.4, rel=0.1)
    teach(bench.latency, bench, 40, ttft_s=0.2, tpot_s=0.01, tokens=300, **load)
    assert median_s() == pytest.approx(3.2, rel=0.1)


def test_old_totals_are_forgotten(make_bench: Any) -> None:
    bench = make_bench()
    model, snapshot = bench.latency_with(forgetting=0.9), bench.snapshot()
    prior_s = float(model.predict(snapshot, 0).q50_s[0, PLAIN])
    for factor in (10.0, 1.0):
        for _ in range(200):
            model.observe("a", "Plain", snapshot, 0, factor * prior_s)
    assert model.predict(snapshot, 0).q50_s[0, PLAIN] == pytest.approx(prior_s, rel=1e-6)


@pytest.mark.parametrize("shows_parts", [False, True])
def test_nine_in_ten_calls_stay_below_the_upper_quantile(bench: Any, shows_parts: bool) -> None:
    rng, snapshot = np.random.default_rng(7), bench.snapshot()
    below_q50 = below_q90 = 0
    lengths = rng.lognormal(mean=6.0, sigma=0.6, size=2500)
    for number, length in enumerate(lengths):
        tokens, tpot_s = max(int(length), 2), 0.006 * float(rng.lognormal(sigma=0.2))
        latency_s = 0.1 + tokens * tpot_s
        if number >= 1000:
            map_s = bench.latency.predict(snapshot, 0)
            below_q50 += latency_s <= map_s.q50_s[0, PLAIN]
            below_q90 += latency_s <= map_s.q90_s[0, PLAIN]
        shown = {"ttft_s": 0.1, "output_tokens": tokens} if shows_parts else {}
        bench.latency.observe("a", "Plain", snapshot, 0, latency_s, **shown)
    assert below_q50 / 1500 == pytest.approx(0.5, abs=0.06)
    assert below_q90 / 1500 == pytest.approx(0.9, abs=0.04)


amounts = st.floats(0, 1e6)
loads = st.fixed_dictionaries(
    {
        "running": st.none() | st.floats(0, 500),
        "waiting": st.none() | st.floats(0, 500),
        "kv_cache_usage": st.none() | st.floats(0, 1),
        "age_s": st.none() | st.floats(0, 100),
        "in_flight": st.integers(0, 300),
        "waiting_here": st.integers(0, 300),
        "breaker": st.sampled_from(["closed", "open", "half_open"]),
    }
)


@given(
    calls=st.lists(st.tuples(loads, amounts, st.none() | amounts, st.none() | st.integers(0, 100_000)), max_size=25),
    later=loads,
    prompt_tokens=st.integers(0, 200_000),
)  # fmt: skip
def test_no_call_and_no_load_breaks_the_predictions(
    make_any_bench: Any, calls: list[Any], later: dict[str, Any], prompt_tokens: int
) -> None:
    bench = make_any_bench()
    for load, latency_s, ttft_s, tokens in calls:
        bench.latency.observe(
            "a",
            "Flash",
            bench.snapshot(a=load),
            prompt_tokens,
            latency_s,
            ttft_s=ttft_s,
            output_tokens=tokens,
        )
    map_s = bench.latency.predict(bench.snapshot(a=later), prompt_tokens)
    assert np.isfinite(map_s.q90_s).all() and (map_s.q50_s > 0).all() and (map_s.q90_s >= map_s.q50_s).all()


def test_calls_may_be_observed_and_predicted_from_several_threads(bench: Any) -> None:
    snapshot = bench.snapshot(a={"running": 5.0})
    broken: list[str] = []

    def work() -> None:
        for _ in range(60):
            bench.latency.observe("a", "Plain", snapshot, 100, 5.0, ttft_s=0.5, output_tokens=300)
            map_s = bench.latency.predict(snapshot, 100)
            if not (map_s.q90_s >= map_s.q50_s).all():
                broken.append("order")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not broken
    alone = LearnedLatencyModel(bench.models, bench.strategies)
    for _ in range(240):
        alone.observe("a", "Plain", snapshot, 100, 5.0, ttft_s=0.5, output_tokens=300)
    assert (bench.latency.predict(snapshot, 100).q50_s == alone.predict(snapshot, 100).q50_s).all()


@pytest.mark.parametrize(
    "values",
    [
        {"forgetting": 0.0},
        {"forgetting": 1.1},
        {"drift_forgetting": 0.0},
        {"prior_calls": 0.0},
        {"ttft_sigma": -1.0},
        {"blind_sigma": -0.1},
    ],
)
def test_an_impossible_setting_is_refused_by_name(make_bench: Any, values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"latency\.(forgetting|prior_calls|ttft_sigma|blind_sigma)"):
        make_bench().latency_with(**values)


@pytest.mark.parametrize(("field", "value"), [("tpot_base_s", 0.0), ("batch_slowdown", -1.0)])
def test_an_impossible_prior_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"latency\.{field}"):
        PhysicalPrior(**{field: value})


def test_tokens_are_estimated_at_four_characters() -> None:
    assert (estimate_tokens([]), estimate_tokens(["abcd" * 10, "ab"])) == (1, 11)
