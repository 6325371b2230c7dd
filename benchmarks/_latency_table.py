"""Recorded calls of every model on every prompt, as arrays (prompts, models), and what a latency model says of them."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inframind.fleet.endpoints import EndpointSpec, ModelFacts, group_by_model
from inframind.fleet.snapshot import EndpointLoad, FleetSnapshot
from inframind.router.actions import DEFAULT_STRATEGIES, StrategySpec
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.latency_samples import CallSample

Array = NDArray[np.float64]
SIZES_B = {
    "Llama-3.1-8B-Instruct": 8.0,
    "Mistral-7B-Instruct-v0.3": 7.2,
    "Phi-3-mini-128k-instruct": 3.8,
    "Qwen2.5-14B-Instruct": 14.8,
    "Qwen2.5-3B-Instruct": 3.1,
}
STRATEGY = "Plain"
STRATEGIES: Mapping[str, StrategySpec] = {s.name: s for s in DEFAULT_STRATEGIES if s.name == STRATEGY}
_TEXT_COLUMNS = ("prompt_id", "model")


def describe(models: Sequence[str]) -> Mapping[str, ModelFacts]:
    """Facts of the table's models: name and size are all that the latency model asks for."""
    return group_by_model(
        [
            EndpointSpec(name=name, base_url="http://gpu/v1", model=name, size_b=SIZES_B[name])
            for name in models
        ]
    )


@dataclass(frozen=True, kw_only=True)
class Calls:
    """Prompts that every model has answered.

    Attributes:
        prompts: ids, ascending (P).
        models: names (M).
        columns: every numeric column of the file, by name (P, M).
    """

    prompts: NDArray[np.int64]
    models: tuple[str, ...]
    columns: Mapping[str, Array]

    def __getitem__(self, column: str) -> Array:
        return self.columns[column]

    def __len__(self) -> int:
        return len(self.prompts)

    def take(self, which: NDArray[np.bool_]) -> Calls:
        """Some of the prompts."""
        columns = {name: values[which] for name, values in self.columns.items()}
        return Calls(prompts=self.prompts[which], models=self.models, columns=columns)

    def half(self, seed: int) -> NDArray[np.bool_]:
        """Which prompts the seed draws for the first half (P)."""
        first = np.zeros(len(self), dtype=np.bool_)
        first[np.random.default_rng(seed).permutation(len(self))[: len(self) // 2]] = True
        return first

    def halves(self, seed: int) -> tuple[Calls, Calls]:
        """Two halves by prompt: no prompt is on both sides."""
        first = self.half(seed)
        return self.take(first), self.take(~first)

    def samples(self) -> list[CallSample]:
        """Every call, prompt by prompt."""
        places = [(p, m) for p in range(len(self)) for m in range(len(self.models))]
        return [
            CallSample(
                model=self.models[m],
                strategy=STRATEGY,
                prompt_tokens=int(self["prompt_tokens"][p, m]),
                running=float(self["running"][p, m]),
                waiting=float(self["waiting"][p, m]),
                kv_cache_usage=float(self["kv_cache_usage"][p, m]),
                ttft_s=float(self["ttft_s"][p, m]),
                latency_s=float(self["latency_s"][p, m]),
                output_tokens=int(self["completion_tokens"][p, m]),
                group=str(self.prompts[p]),
            )
            for p, m in places
        ]

    def snapshot(self, prompt: int) -> FleetSnapshot:
        """The load that one prompt's calls met, as one reading of the fleet."""
        loads = {
            name: EndpointLoad(
                endpoint=name,
                model=name,
                age_s=0.2,
                running=float(self["running"][prompt, m]),
                waiting=float(self["waiting"][prompt, m]),
                kv_cache_usage=float(self["kv_cache_usage"][prompt, m]),
            )
            for m, name in enumerate(self.models)
        }
        return FleetSnapshot(taken_s=0.0, loads=loads)


def load_calls(path: Path) -> Calls:
    """Read a CSV, gzipped or not; prompts that some model has not answered are left out."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        rows = list(csv.DictReader(file))
    models = tuple(sorted({row["model"] for row in rows}))
    by_prompt: dict[int, dict[str, dict[str, str]]] = defaultdict(dict)
    for row in rows:
        by_prompt[int(row["prompt_id"])][row["model"]] = row
    whole = {prompt: found for prompt, found in sorted(by_prompt.items()) if len(found) == len(models)}
    names = [name for name in rows[0] if name not in _TEXT_COLUMNS]
    columns = {
        name: np.array([[_number(found[model][name]) for model in models] for found in whole.values()])
        for name in names
    }
    return Calls(prompts=np.array(list(whole)), models=models, columns=columns)


def _number(text: str) -> float:
    return float(text) if text else float("nan")


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What was predicted of each call (P, M).

    Attributes:
        known_length_s: seconds, given the true length of the answer.
        q50_s: median seconds, length predicted too.
        q90_s: 90 % quantile.
    """

    known_length_s: Array
    q50_s: Array
    q90_s: Array


def predict(model: LearnedLatencyModel, calls: Calls) -> Predictions:
    """Of each prompt on every model, without learning."""
    known_length_s, q50_s, q90_s = (np.empty((len(calls), len(calls.models))) for _ in range(3))
    for prompt in range(len(calls)):
        snapshot, prompt_tokens = calls.snapshot(prompt), int(calls["prompt_tokens"][prompt, 0])
        parts = model.predict_parts(snapshot, prompt_tokens)
        known_length_s[prompt] = parts.ttft_s + calls["completion_tokens"][prompt] * parts.tpot_s
        map_s = model.predict(snapshot, prompt_tokens)
        q50_s[prompt], q90_s[prompt] = map_s.q50_s[:, 0], map_s.q90_s[:, 0]
    return Predictions(known_length_s=known_length_s, q50_s=q50_s, q90_s=q90_s)


def median_ape(predicted_s: Array, measured_s: Array) -> float:
    """Median absolute percentage error, as a share."""
    return float(np.median(np.abs(predicted_s - measured_s) / measured_s))


def mae_s(predicted_s: Array, measured_s: Array) -> float:
    """Mean absolute error in seconds."""
    return float(np.abs(predicted_s - measured_s).mean())
