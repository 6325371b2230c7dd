"""Scores candidates from (state, candidate): the network that serves, in numpy. Trained weights come from torch.

One scorer is shared over all candidates, so that there may be more or fewer of them tomorrow:

    out(s, c) = W_o relu(W_s s + sum_t T_t[name of s] + b + W_c c + sum_u U_u[name of c]) + b_o

Names that were never seen have a row of zeros: nothing is known of them but their description. Measured, this form is
worth more than the choice of reward (see docs/experiments.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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


class Scorer:
    """Applies the weights to one decision after another."""

    def __init__(self, weights: ScorerWeights) -> None:
        self._w = weights
        self._state_rows = [
            {name: table[place] for place, name in enumerate(names)} | {UNKNOWN: table[-1]}
            for names, table in zip(weights.state_names, weights.state_tables, strict=True)
        ]

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
        shared = features.state @ weights.state + weights.bias
        for rows, name in zip(self._state_rows, features.state_names, strict=True):
            shared = shared + rows.get(name, rows[UNKNOWN])
        hidden = features.candidates @ weights.candidate
        hidden += shared
        hidden += fixed_part
        np.maximum(hidden, 0.0, out=hidden)
        out: Array = hidden @ weights.out + weights.out_bias
        return out


def _place(known: Sequence[str], name: str) -> int:
    return known.index(name) if name in known else len(known)
