"""The five models of the simulated fleet, as data with provenance (``profiles.toml`` beside this file)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from inframind.simulator.engine_profile import EngineProfile

MAX_NUM_SEQS = 16
MAX_MODEL_LEN = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRow:
    """The published fit that a profile's speeds are taken from.

    Attributes:
        model: model that was measured.
        gpu: accelerator that it was measured on.
        tp: tensor parallel degree.
        vllm: version that it was measured with.
    """

    model: str
    gpu: str
    tp: int
    vllm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProfile:
    """One model of the fleet, as one replica serves it.

    Attributes:
        name: served model name.
        row: where its speeds come from.
        size_b: billions of parameters.
        price_per_mtoken: relative price of a million tokens; no currency.
        is_reasoning: whether it thinks aloud, in ``reasoning``, before it answers.
        engine: speed and limits.
    """

    name: str
    row: FitRow
    size_b: float
    price_per_mtoken: float
    is_reasoning: bool
    engine: EngineProfile


def load_profiles() -> Mapping[str, ModelProfile]:
    """The fleet's models by name, smallest first."""
    text = files("inframind.simulator").joinpath("profiles.toml").read_text(encoding="utf-8")
    profiles = [_profile(table) for table in tomllib.loads(text).values()]
    return MappingProxyType({profile.name: profile for profile in profiles})


def _profile(table: dict[str, Any]) -> ModelProfile:
    return ModelProfile(
        name=table["name"],
        row=FitRow(**table["row"]),
        size_b=table["size_b"],
        price_per_mtoken=table["price_per_mtoken"],
        is_reasoning=table["is_reasoning"],
        engine=EngineProfile(
            step_base_s=table["step_us_base"] / 1e6,
            per_prefill_token_s=table["step_us_per_prefill_token"] / 1e6,
            per_decode_token_s=table["step_us_per_decode_token"] / 1e6,
            queue_base_s=table["queue_us_base"] / 1e6,
            queue_per_input_token_s=table["queue_us_per_input_token"] / 1e6,
            kv_blocks=table["kv_blocks"],
            max_num_seqs=MAX_NUM_SEQS,
            max_model_len=MAX_MODEL_LEN,
        ),
    )
