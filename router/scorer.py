"""Scores candidates from (state, candidate): the network that serves, in numpy. Trained weights come from torch.

One scorer is shared over all candidates, so that there may be more or fewer of them tomorrow:

    out(s, c) = W_o relu(W_s s + sum_t T_t[name of s] + b + W_c c + sum_u U_u[name of c]) + b_o

Names that were never seen have a row of zeros: nothing is known of them but their description. Measured, this form is
worth more than the choice of reward (see docs/experiments.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from inframind.router.features import Features
from inframind.router.views import Array

UNKNOWN = ""
"""Name of the row of zeros, always the last of a table."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ScorerWeights:
    """H = hidden units, D = state columns, K = candidate columns, O = outputs.

    Attributes:
        state: (D, H).
        bias: (H).
        candidate: (K, H).
        state_tables: a row per name (names + 1, H), the last for unknown names; in the order of the state's names.
        state_names: the names of each table.
        candidate_tables: as ``state_tables``.
        candidate_names: the names of each table, by table.
        out: (H, O).
        out_bias: (O).
    """

    state: Array
    bias: Array
    candidate: Array
    state_tables: tuple[Array, ...]
    state_names: tuple[tuple[str, ...], ...]
    candidate_tables: tuple[Array, ...]
    candidate_names: Mapping[str, tuple[str, ...]]
    out: Array
    out_bias: Array


def joined(one: ScorerWeights, other: ScorerWeights) -> ScorerWeights:
    """One scorer with the outputs of both, the first's first: a single pass takes little more than half of two."""

    def beside(left: Array, right: Array) -> Array:
        return np.concatenate([left, right], axis=-1)

    hidden, outputs = one.out.shape
    out = np.zeros((hidden + len(other.out), outputs + other.out.shape[1]))
    out[:hidden, :outputs], out[hidden:, outputs:] = one.out, other.out
    return ScorerWeights(
        state=beside(one.state, other.state),
        bias=beside(one.bias, other.bias),
        candidate=beside(one.candidate, other.candidate),
        state_tables=tuple(map(beside, one.state_tables, other.state_tables)),
        state_names=one.state_names,
        candidate_tables=tuple(map(beside, one.candidate_tables, other.candidate_tables)),
        candidate_names=one.candidate_names,
        out=out,
        out_bias=beside(one.out_bias, other.out_bias),
    )


def passing_on(weights: ScorerWeights, columns: Mapping[int, tuple[float, Array]]) -> ScorerWeights:
    """The same scorer, whose outputs also get shares of some candidate columns, through hidden units of their own.

    A unit lets ``column - lowest`` through, which is not negative; one that is always 1 adds ``out_bias`` and takes
    ``lowest`` off again. So all that is added to the outputs comes with the product that makes them.

    Args:
        weights: what was learned.
        columns: by candidate column the lowest value that it takes, and what share of it each output gets (O).
    """
    n_new = len(columns) + 1

    def beside_nothing(part: Array) -> Array:
        return np.concatenate([part, np.zeros((*part.shape[:-1], n_new))], axis=-1)

    bias, candidate = beside_nothing(weights.bias), beside_nothing(weights.candidate)
    bias[-1] = 1.0
    out = [*weights.out]
    constant = weights.out_bias
    for unit, (column, (lowest, shares)) in enumerate(columns.items(), start=len(weights.bias)):
        bias[unit], candidate[column, unit] = -lowest, 1.0
        out.append(shares)
        constant = constant + lowest * shares
    return ScorerWeights(
        state=beside_nothing(weights.state),
        bias=bias,
        candidate=candidate,
        state_tables=tuple(map(beside_nothing, weights.state_tables)),
        state_names=weights.state_names,
        candidate_tables=tuple(map(beside_nothing, weights.candidate_tables)),
        candidate_names=weights.candidate_names,
        out=np.array([*out, constant]),
        out_bias=np.zeros_like(weights.out_bias),
    )


class Scorer:
    """Applies the weights to one decision after another."""

    def __init__(self, weights: ScorerWeights) -> None:
        self._w = weights
        self._state_rows = [
            {name: table[place] for place, name in enumerate(names)} | {UNKNOWN: table[-1]}
            for names, table in zip(weights.state_names, weights.state_tables, strict=True)
        ]
        self.state_part = lru_cache(maxsize=_NAMED_KEPT)(self._sum_of_names)

    def fixed_part(self, names: Mapping[str, Sequence[str]]) -> Array:
        """What the candidates' names contribute (C, H): the same for every decision over them."""
        parts = [
            table[[_place(known, name) for name in names[title]]]
            for (title, known), table in zip(
                self._w.candidate_names.items(), self._w.candidate_tables, strict=True
            )
        ]
        total: Array = np.sum(parts, axis=0)
        return total

    def score(self, features: Features, fixed_part: Array) -> Array:
        """Outputs of every candidate (C, O)."""
        weights = self._w
        shared = features.state.dot(weights.state)
        shared += self.state_part(features.state_names)
        hidden = features.candidates.dot(weights.candidate)
        hidden += fixed_part
        hidden += shared
        np.maximum(hidden, 0.0, out=hidden)
        out: Array = hidden.dot(weights.out)
        out += weights.out_bias
        return out

    def _sum_of_names(self, names: tuple[str, ...]) -> Array:
        """The bias, and what the state's names contribute (H)."""
        total = self._w.bias.copy()
        for rows, name in zip(self._state_rows, names, strict=True):
            total += rows.get(name, rows[UNKNOWN])
        return total


_NAMED_KEPT = 1024


def _place(known: Sequence[str], name: str) -> int:
    return known.index(name) if name in known else len(known)
