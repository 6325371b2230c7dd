"""The shipped profiles are the published figures."""

from __future__ import annotations

import csv
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from inframind.simulator.profiles import load_profiles

COEFFICIENTS = (
    Path(__file__).resolve().parents[2].parent / "shared/data/vllm_latency/step_time_coefficients.csv"
)
COLUMNS = {
    "step_us_base": "step_us_base",
    "step_us_per_prefill_token": "step_us_per_prefill_token",
    "step_us_per_decode_token": "step_us_per_decode_token",
    "queue_us_base": "queue_us_base",
    "queue_us_per_input_token": "queue_us_per_input_token",
    "kv_blocks": "kv_blocks_of_16",
}


def test_the_fleet_is_five_models_from_small_to_large_and_the_largest_reasons() -> None:
    profiles = load_profiles()
    assert list(profiles) == [
        "llama-3.2-3b",
        "llama-3.1-8b",
        "qwen2.5-coder-14b",
        "mistral-small-24b",
        "deepseek-r1-32b",
    ]
    sizes = [profile.size_b for profile in profiles.values()]
    assert sizes == sorted(sizes)
    assert [name for name, profile in profiles.items() if profile.is_reasoning] == ["deepseek-r1-32b"]


@pytest.mark.parametrize(
    ("name", "batch_1", "batch_30"),
    [
        ("llama-3.2-3b", 207, 171),
        ("llama-3.1-8b", 148, 64),
        ("qwen2.5-coder-14b", 74, 70),
        ("mistral-small-24b", 39, 38),
        ("deepseek-r1-32b", 38, 35),
    ],
)
def test_decode_speed_is_that_of_the_published_fit(name: str, batch_1: int, batch_30: int) -> None:
    engine = load_profiles()[name].engine
    assert 1 / engine.step_s(0, 1) == pytest.approx(batch_1, abs=0.6)
    assert 1 / engine.step_s(0, 30) == pytest.approx(batch_30, abs=0.6)


@pytest.mark.skipif(not COEFFICIENTS.exists(), reason="needs ../shared/data/vllm_latency")
def test_every_figure_equals_its_row_of_the_published_table() -> None:
    with COEFFICIENTS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    tables = tomllib.loads(files("inframind.simulator").joinpath("profiles.toml").read_text())
    for table in tables.values():
        key = {"model": table["row"]["model"], "gpu": table["row"]["gpu"], "vllm": table["row"]["vllm"]}
        (row,) = [r for r in rows if key.items() <= r.items() and int(r["tp"]) == table["row"]["tp"]]
        assert {ours: table[ours] for ours in COLUMNS} == {
            ours: float(row[theirs]) for ours, theirs in COLUMNS.items()
        }
