"""What a trained policy sees, as numbers: sole owner of the columns' order, versioned.

D = state columns, K = candidate columns, A = executor actions. A reading that is missing or stale is a mask
column and an age, never a zero that looks like an idle server.
"""

from __future__ import annotations

import itertools
import re
import zlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inframind.fleet.snapshot import EndpointLoad
from inframind.router.views import StepView

FEATURES_VERSION = "1"
Floats = NDArray[np.float32]

STATE_COLUMNS = (
    "log_remaining",
    "log_budget",
    "share_of_budget_left",
    "is_judge",
    "position",
    "team_size",
    "round",
    "depth_left",
    "agreement",
    "agreement_known",
    "log_prompt_tokens",
)
"""Columns of the state vector that follow the query's embedding."""

CANDIDATE_COLUMNS = (
    "log_q50",
    "log_q90",
    "q50_over_remaining",
    "q90_over_remaining",
    "quality",
    "log_cost",
    "log_size_b",
    "log_context_length",
    "in_flight_per_slot",
    "log_in_flight_tokens",
    "running_per_slot",
    "waiting_per_slot",
    "kv_cache_usage",
    "load_known",
    "load_age",
    "is_allowed",
)
"""Columns of each candidate's row."""

LONGEST_RATIO = 10.0
"""Latency over time left is cut here: beyond it there is nothing to tell apart."""
OLDEST_AGE_S = 60.0
"""Age of a reading that counts as 1 in ``load_age``; older ones, and no reading at all, do too."""


class Encoder(Protocol):
    """Text to a vector of fixed length."""

    @property
    def dimension(self) -> int:
        """Length of the vector."""
        ...

    def encode(self, text: str) -> Floats:
        """Unit-length vector (dimension,); the zero vector for text without words."""
        ...


@dataclass(frozen=True)
class HashingEncoder:
    """Words and word pairs hashed into a unit vector: no download, tens of microseconds.

    The hashing trick with signs (Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask
    Learning"); CRC-32 is the hash, its lowest bit the sign.
    """

    dimension: int = 384
    """Length of the vector."""

    def encode(self, text: str) -> Floats:
        """Unit-length vector (dimension,)."""
        words = _WORD.findall(text.lower())
        grams = words + [f"{left} {right}" for left, right in itertools.pairwise(words)]
        hashes = np.fromiter((zlib.crc32(gram.encode()) for gram in grams), dtype=np.int64, count=len(grams))
        signs = np.where(hashes & 1, 1.0, -1.0)
        vector = np.bincount((hashes >> 1) % self.dimension, weights=signs, minlength=self.dimension)
        norm = float(np.linalg.norm(vector))
        return (vector / norm if norm else vector).astype(np.float32)


_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class StepFeatures:
    """One step as numbers.

    Attributes:
        state: query embedding, then `STATE_COLUMNS` (dimension + D).
        candidates: one row per executor action, `CANDIDATE_COLUMNS` (A, K).
        allowed: the mask (A).
    """

    state: Floats
    candidates: Floats
    allowed: NDArray[np.bool_]


def step_features(view: StepView, embedding: Floats) -> StepFeatures:
    """Numbers for one step, from what the policy is shown and the query's embedding."""
    return StepFeatures(
        state=np.concatenate([embedding, _state_row(view)]),
        candidates=_candidate_rows(view),
        allowed=view.allowed,
    )


def _state_row(view: StepView) -> Floats:
    slot = view.slot
    values = {
        "log_remaining": np.log(max(view.remaining_s, 1e-3)),
        "log_budget": np.log(view.budget_s),
        "share_of_budget_left": max(view.remaining_s, 0.0) / view.budget_s,
        "is_judge": float(slot.kind == "judge"),
        "position": slot.position,
        "team_size": slot.team_size,
        "round": slot.round,
        "depth_left": slot.depth_left,
        "agreement": slot.agreement if slot.agreement is not None else 0.0,
        "agreement_known": float(slot.agreement is not None),
        "log_prompt_tokens": np.log1p(slot.prompt_tokens),
    }
    return np.array([values[name] for name in STATE_COLUMNS], dtype=np.float32)


def _candidate_rows(view: StepView) -> Floats:
    remaining_s = max(view.remaining_s, 1e-3)
    facts = [view.models[action.model] for action in view.actions]
    loads = {model: view.snapshot.least_loaded(model) for model in view.models}
    load_rows = {model: _load_columns(load) for model, load in loads.items()}
    columns = {
        "log_q50": np.log(view.q50_s),
        "log_q90": np.log(view.q90_s),
        "q50_over_remaining": np.minimum(view.q50_s / remaining_s, LONGEST_RATIO),
        "q90_over_remaining": np.minimum(view.q90_s / remaining_s, LONGEST_RATIO),
        "quality": view.quality,
        "log_cost": np.log1p(view.cost),
        "log_size_b": np.log([fact.size_b for fact in facts]),
        "log_context_length": np.log([float(fact.context_length) for fact in facts]),
        "is_allowed": view.allowed.astype(np.float64),
    }
    for name in _LOAD_COLUMNS:
        columns[name] = np.array([load_rows[action.model][name] for action in view.actions])
    return np.stack([columns[name] for name in CANDIDATE_COLUMNS], axis=1).astype(np.float32)


_LOAD_COLUMNS = CANDIDATE_COLUMNS[CANDIDATE_COLUMNS.index("in_flight_per_slot") : -1]


def _load_columns(load: EndpointLoad | None) -> dict[str, float]:
    if load is None:
        return dict.fromkeys(_LOAD_COLUMNS, 0.0) | {"load_age": 1.0}
    known = load.age_s is not None and load.running is not None
    return {
        "in_flight_per_slot": load.in_flight / load.max_concurrency,
        "log_in_flight_tokens": float(np.log1p(load.in_flight_tokens)),
        "running_per_slot": (load.running or 0.0) / load.max_concurrency,
        "waiting_per_slot": (load.waiting or 0.0) / load.max_concurrency,
        "kv_cache_usage": load.kv_cache_usage or 0.0,
        "load_known": float(known),
        "load_age": min(load.age_s / OLDEST_AGE_S, 1.0) if load.age_s is not None else 1.0,
    }
