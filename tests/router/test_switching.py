"""What it costs to leave the model that has read a conversation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.router.switching import SwitchingConfig, saved_cost, saved_s
from inframind.router.views import Slot

PLAIN = SwitchingConfig()


def warm(model: str = "b", *, prompt: int = 1000, cached: int = 600) -> Slot:
    return Slot(topology="IO", prompt_tokens=prompt, warm_model=model, warm_tokens=cached)


def test_the_warm_model_saves_the_reading_of_what_is_cached(bench: Any) -> None:
    assert saved_s(warm(), bench.models, PLAIN) == pytest.approx([0.0, 3e-6 * 600 * 32.0])
    assert saved_s(warm("a"), bench.models, PLAIN) == pytest.approx([3e-6 * 600 * 3.0, 0.0])


def test_no_more_is_saved_than_is_asked(bench: Any) -> None:
    assert saved_s(warm(prompt=100), bench.models, PLAIN)[1] == pytest.approx(3e-6 * 100 * 32.0)


def test_the_weight_multiplies_what_is_saved(bench: Any) -> None:
    once = saved_s(warm(), bench.models, PLAIN)
    assert saved_s(warm(), bench.models, SwitchingConfig(weight=2.5)) == pytest.approx(2.5 * once)
    assert not saved_s(warm(), bench.models, SwitchingConfig(weight=0.0)).any()


@pytest.mark.parametrize("model", ["", "gone"])
def test_where_no_model_is_warm_nothing_is_saved(bench: Any, model: str) -> None:
    assert not saved_s(warm(model), bench.models, PLAIN).any()
    assert not saved_cost(warm(model), bench.models, PLAIN).any()


def test_dollars_follow_the_price_of_the_prompt(make_bench: Any) -> None:
    bench = make_bench(a={"price_input_usd_per_mtok": 0.5}, b={"price_input_usd_per_mtok": 2.0})
    assert saved_cost(warm(), bench.models, PLAIN) == pytest.approx([0.0, 2.0 * 600])
    assert not saved_cost(warm(), make_bench().models, PLAIN).any()


@given(prompt=st.integers(0, 10**6), cached=st.integers(0, 10**6), weight=st.floats(0, 100))
def test_savings_are_never_negative_and_belong_to_one_model(
    shared_bench: Any, prompt: int, cached: int, weight: float
) -> None:
    saved = saved_s(warm(prompt=prompt, cached=cached), shared_bench.models, SwitchingConfig(weight=weight))
    assert (saved >= 0).all() and np.count_nonzero(saved) <= 1


@pytest.mark.parametrize("field", ["weight", "prefill_per_b_s"])
def test_negative_worth_is_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"switching\.{field}"):
        SwitchingConfig(**{field: -1.0})
