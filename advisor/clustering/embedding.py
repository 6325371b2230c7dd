"""A failure as a point: how it failed, what was seen of it as far as that tells failures apart, a little of its text.

Columns are fixed: every fact, and every pair of facts, has `_PLACES` columns by the hash of its words, with a sign
each, so that points and centroids of different days, processes and fleets can be compared. (Sparse random projections
keep distances: Achlioptas 2003, "Database-friendly random projections".)

A fact weighs by the lower bound of its log odds ratio, failures of that way against runs that did not fail: what is
merely common, or rests on few runs, weighs nothing. What is proven to be a cause weighs as much as all of these
together, so that runs gather around causes and not around what goes along with them. Texts weigh little; digests of
texts and empty ones nothing.

Axis letters: F failures, M facts, D columns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframind.advisor.clustering.causes import Cause
from inframind.advisor.clustering.observing import Columns, Facts, Flags, Observed, hours_in
from inframind.advisor.clustering.ways import Way
from inframind.advisor.failure import FailureKind
from inframind.router.encoder import HashingEncoder
from inframind.traces.content import is_hashed
from inframind.traces.records import Trajectory

Array = NDArray[np.float64]

_KINDS: tuple[FailureKind, ...] = ("failed", "late", "wrong")
_FACT_COLUMNS = 256
_TEXT_COLUMNS = 64
DIMENSION = len(_KINDS) + _FACT_COLUMNS + _TEXT_COLUMNS
"""Length of an embedding: kind, facts, text."""
_PLACES = 4
_CAUSE_WEIGHT = 1.0
_FACTS_WEIGHT = 0.5
_TEXT_WEIGHT = 0.2
_BAND_HOURS = 4
_BOUND_DEVIATES = 2.0
_MOST_LOG_ODDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedWay:
    """A way of failing, with its causes."""

    way: Way
    causes: tuple[Cause, ...]


def embed(observed: Observed, ways: Sequence[ExplainedWay], rows: NDArray[np.int64]) -> Array:
    """Points of failures (F, D), in the order of ``rows``."""
    points_ND = np.zeros((len(observed.runs), DIMENSION))
    facts = slice(len(_KINDS), len(_KINDS) + _FACT_COLUMNS)
    columns = _with_bands(observed)
    places_MD = _places(columns.facts)
    for explained in ways:
        failing_N = explained.way.failing_N
        points_ND[failing_N, _KINDS.index(explained.way.kind)] = 1.0
        points_ND[failing_N, facts] = _facts_of(observed, explained, columns, places_MD)
    encoder = HashingEncoder(_TEXT_COLUMNS)
    points_ND[rows, -_TEXT_COLUMNS:] = _TEXT_WEIGHT * np.array(
        [encoder.encode(_text_of(observed.runs[row])) for row in rows]
    ).reshape(len(rows), _TEXT_COLUMNS)
    found: Array = points_ND[rows]
    return found


def _facts_of(observed: Observed, explained: ExplainedWay, columns: Columns, places_MD: Array) -> Array:
    way = explained.way
    weight_M = _weights(columns, way)
    told_FD = columns.holds_NM[way.failing_N] @ (weight_M[:, None] * places_MD)
    length_F = np.linalg.norm(told_FD, axis=1, keepdims=True)
    longest = max(float(length_F.max(initial=0.0)), 1e-9)
    told_FD = told_FD * (_FACTS_WEIGHT / longest)
    if way.symptom:
        told_FD = told_FD + _CAUSE_WEIGHT * _places([way.symptom])
    for cause in explained.causes:
        holds_F = observed.holds_N(cause.facts)[way.failing_N]
        told_FD = told_FD + _CAUSE_WEIGHT * holds_F[:, None] * _cause_places(cause.facts)
    return told_FD


def _weights(columns: Columns, way: Way) -> Array:
    """Lower bound of each fact's log odds ratio, between 0 and `_MOST_LOG_ODDS`."""
    a_M = columns.holds_NM[way.failing_N].sum(axis=0) + 0.5
    b_M = way.failing_N.sum() - a_M + 1.0
    c_M = columns.holds_NM[way.fine_N].sum(axis=0) + 0.5
    d_M = way.fine_N.sum() - c_M + 1.0
    error_M = np.sqrt(1 / a_M + 1 / b_M + 1 / c_M + 1 / d_M)
    bound_M = np.log(a_M * d_M / (b_M * c_M)) - _BOUND_DEVIATES * error_M
    weight_M: Array = np.clip(bound_M, 0.0, _MOST_LOG_ODDS)
    return weight_M


# Columns -----------------------------------------------------------------------------------------------


def _with_bands(observed: Observed) -> Columns:
    """Facts, pairs, and bands of hours, alone and with each server."""
    bands = [_band(start) for start in range(0, 24, _BAND_HOURS)]
    in_band = {band: observed.holds_N((("hour_utc", band),)) for band in bands}
    servers = [facts for facts in observed.singles.facts if facts[0][0] == "endpoint"]
    timed: list[tuple[Facts, Flags]] = [((("hour_utc", band),), in_band[band]) for band in bands]
    timed += [
        ((*facts, ("hour_utc", band)), observed.holds_N(facts) & in_band[band])
        for facts in servers
        for band in bands
    ]
    return Columns(
        facts=(*observed.singles.facts, *observed.pairs.facts, *(facts for facts, _ in timed)),
        holds_NM=np.concatenate(
            [
                observed.singles.holds_NM,
                observed.pairs.holds_NM,
                np.array([holds_N for _, holds_N in timed]).T,
            ],
            axis=1,
        ),
    )


def _band(start: int) -> str:
    return f"{start}-{(start + _BAND_HOURS) % 24}"


def _places(facts: Sequence[Facts]) -> Array:
    """Where each fact or pair stands (M, columns): unit vectors."""
    places_MD = np.zeros((len(facts), _FACT_COLUMNS))
    for row, words in enumerate(facts):
        digest = hashlib.blake2b(written(words).encode(), digest_size=4 * _PLACES).digest()
        for value in np.frombuffer(digest, dtype="<u4").tolist():
            places_MD[row, (value >> 1) % _FACT_COLUMNS] += (1.0 if value & 1 else -1.0) / np.sqrt(_PLACES)
    return places_MD


def _cause_places(facts: Facts) -> Array:
    """Of a cause; its hours by how much of each band they take, so that an hour more or less moves it a little."""
    hours = next((value for name, value in facts if name == "hour_utc"), None)
    if hours is None:
        place: Array = _places([facts])[0]
        return place
    rest = tuple(fact for fact in facts if fact[0] != "hour_utc")
    taken = np.bincount([hour // _BAND_HOURS for hour in hours_in(hours)], minlength=24 // _BAND_HOURS)
    bands: list[Facts] = [(*rest, ("hour_utc", _band(start))) for start in range(0, 24, _BAND_HOURS)]
    place_D: Array = taken @ _places(bands)
    found: Array = place_D / np.linalg.norm(place_D)
    return found


def written(facts: Facts) -> str:
    """Facts as one text, such as ``strategy=Flash|role=Critic``."""
    return "|".join(f"{name}={value}" for name, value in facts)


def _text_of(run: Trajectory) -> str:
    texts = (run.question, run.error_detail, *(step.error_detail for step in run.steps))
    return " ".join(text for text in texts if text and not is_hashed(text))
