"""What steps cost."""

from __future__ import annotations

from typing import Any

import pytest

from inframind.router.cost import Prices
from inframind.traces.records import Step


def step(model: str = "a", prompt: int | None = 1000, completion: int | None = 500, **other: Any) -> Step:
    return Step(
        **{
            "step_id": 0,
            "node": "agent",
            "kind": "agent",
            "position": 0,
            "round": 1,
            "role": "Solver",
            "parents": (),
            "decision_id": "d",
            "model": model,
            "strategy": "Plain",
            "started_s": 0.0,
            "finished_s": 1.0,
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            **other,
        }
    )


@pytest.fixture
def dollars(make_bench: Any) -> Prices:
    priced = {"price_input_usd_per_mtok": 0.5, "price_output_usd_per_mtok": 2.0}
    bench = make_bench(a={"size_b": 3.0, **priced}, b={"size_b": 32.0, "price_output_usd_per_mtok": 8.0})
    return Prices.of(bench.models)


@pytest.fixture
def sizes(bench: Any) -> Prices:
    return Prices.of(bench.models)


def test_tokens_are_paid_at_the_configured_prices(dollars: Prices) -> None:
    assert dollars.of_steps([step()]) == pytest.approx(0.0005 + 0.001)
    assert dollars.of_steps([step(), step("b")]) == pytest.approx(0.0015 + 0.004)


def test_without_prices_cost_is_size_times_output(sizes: Prices) -> None:
    assert sizes.of_steps([step()]) == pytest.approx(3.0 * 0.0005)
    assert sizes.of_steps([step(), step("b")]) == pytest.approx(35.0 * 0.0005)


def test_a_price_for_some_models_alone_is_none(make_bench: Any) -> None:
    bench = make_bench(a={"size_b": 3.0, "price_output_usd_per_mtok": 2.0}, b={"size_b": 32.0})
    assert Prices.of(bench.models).of_steps([step()]) == pytest.approx(3.0 * 0.0005)


def test_who_answered_is_paid(dollars: Prices) -> None:
    assert dollars.of_steps([step("a", served_model="b")]) == pytest.approx(0.004)


def test_a_failed_step_without_tokens_costs_nothing(dollars: Prices) -> None:
    failed = step(prompt=None, completion=None, error="EndpointTimeout")
    assert dollars.of_steps([step(), failed]) == pytest.approx(0.0015)


def test_a_count_that_is_missing_is_0(dollars: Prices) -> None:
    assert dollars.of_steps([step(prompt=None)]) == pytest.approx(0.001)
    assert dollars.of_steps([step(completion=0)]) == pytest.approx(0.0005)


def test_nothing_is_known_where_nothing_was_reported(dollars: Prices) -> None:
    assert dollars.of_steps([]) is None
    assert dollars.of_steps([step(prompt=None, completion=None)]) is None


def test_nothing_is_known_where_a_model_is_not(dollars: Prices) -> None:
    assert dollars.of_steps([step(), step("elsewhere")]) is None
