"""What a call costs a server, and the forecast of those who never look."""

from __future__ import annotations

from typing import Any

import pytest

from inframind.arena.contenders.blind import NoForecast
from inframind.arena.contenders.service import idle_latency_s, server_seconds_per_token
from inframind.simulator.engine_profile import EngineProfile

PROFILE = EngineProfile(
    step_base_s=0.008,
    per_prefill_token_s=0.0001,
    per_decode_token_s=0.001,
    queue_base_s=0.05,
    queue_per_input_token_s=0.001,
    kv_blocks=1024,
    max_num_seqs=4,
)


def test_an_idle_call_waits_prefills_and_decodes_alone() -> None:
    # 0.05 + 0.1 in the queue, 0.008 + 0.01 for the prompt and the first token, 9 x 0.009 for the others.
    assert idle_latency_s(PROFILE, 10, 100) == pytest.approx(0.15 + 0.018 + 0.081)
    assert idle_latency_s(PROFILE, [1, 2]).tolist() == pytest.approx([0.058, 0.067])


def test_a_token_costs_its_share_of_a_full_batch() -> None:
    assert server_seconds_per_token(PROFILE) == pytest.approx((0.008 + 4 * 0.001) / 4)


def test_who_never_looks_expects_no_wait_whatever_the_load(world: Any) -> None:
    forecast = NoForecast(2, 4)

    crowded = forecast.predict(world.snapshot(small=500), 10_000)
    forecast.observe("llama-3.2-3b", "Plain", world.snapshot(), 10, 99.0)

    assert crowded.q90_s.shape == (2, 4) and crowded.q90_s.max() < 0.01
    assert (forecast.predict(world.snapshot(), 10).q50_s == crowded.q50_s).all()
