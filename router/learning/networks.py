"""The networks in torch: a scorer shared over candidates, and the flat head that it is compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from inframind.router.scorer import ScorerWeights


@dataclass(frozen=True, kw_only=True)
class NetworkShape:
    """What a network is made for.

    Attributes:
        n_state: state columns (D).
        n_candidate: candidate columns (K).
        state_names: names of each state table.
        candidate_names: names of each candidate table, by table.
        n_outputs: outputs per candidate (O).
        hidden: hidden units (H).
        reads_candidates: whether candidates are described; otherwise they are known by their names alone.
    """

    n_state: int
    n_candidate: int
    state_names: tuple[tuple[str, ...], ...]
    candidate_names: Mapping[str, tuple[str, ...]]
    n_outputs: int
    hidden: int = 32
    reads_candidates: bool = True


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """A batch of decisions. N decisions, C candidates.

    Attributes:
        state: (N, D).
        state_rows: row of each state table (N, tables).
        candidates: (N, C, K).
        candidate_rows: row of each candidate table (N, C, tables).
    """

    state: Tensor
    state_rows: Tensor
    candidates: Tensor
    candidate_rows: Tensor


class ScorerNetwork(nn.Module):
    """`inframind.router.scorer` to train; its last layer starts at zero, so that the prior speaks first."""

    def __init__(self, shape: NetworkShape, rng: torch.Generator) -> None:
        super().__init__()
        self.shape = shape
        self.state = nn.Parameter(_random(shape.n_state, shape.hidden, rng))
        self.bias = nn.Parameter(0.1 * torch.randn(shape.hidden, generator=rng))
        candidate = _random(shape.n_candidate, shape.hidden, rng)
        self.candidate = nn.Parameter(
            candidate if shape.reads_candidates else 0 * candidate, requires_grad=shape.reads_candidates
        )
        self.state_tables = nn.ParameterList(
            [_table(len(names), shape.hidden, rng) for names in shape.state_names]
        )
        self.candidate_tables = nn.ParameterList(
            [_table(len(names), shape.hidden, rng) for names in shape.candidate_names.values()]
        )
        self.out = nn.Parameter(torch.zeros(shape.hidden, shape.n_outputs))
        self.out_bias = nn.Parameter(torch.zeros(shape.n_outputs))

    def forward(self, batch: NetworkInput) -> Tensor:
        """Outputs of every candidate (N, C, O)."""
        shared = batch.state @ self.state + self.bias
        for place, table in enumerate(self.state_tables):
            shared = shared + _with_unknown(table)[batch.state_rows[:, place]]
        hidden = batch.candidates @ self.candidate + shared[:, None, :]
        for place, table in enumerate(self.candidate_tables):
            hidden = hidden + _with_unknown(table)[batch.candidate_rows[:, :, place]]
        return torch.relu(hidden) @ self.out + self.out_bias

    def load(self, weights: ScorerWeights) -> None:
        """Go on from weights that were served; names that they do not know begin as unknown names do, at zero."""
        with torch.no_grad():
            for name in ("state", "bias", "candidate", "out", "out_bias"):
                getattr(self, name).copy_(torch.tensor(getattr(weights, name)))
            names = (*self.shape.state_names, *self.shape.candidate_names.values())
            known = (*weights.state_names, *weights.candidate_names.values())
            tables = (*weights.state_tables, *weights.candidate_tables)
            parameters = (*self.state_tables, *self.candidate_tables)
            for parameter, wanted, given, table in zip(parameters, names, known, tables, strict=True):
                parameter.copy_(torch.tensor(table[rows_of(given, wanted)]))

    def weights(self) -> ScorerWeights:
        """As the serving scorer takes them, float64."""
        return ScorerWeights(
            state=_numpy(self.state),
            bias=_numpy(self.bias),
            candidate=_numpy(self.candidate),
            state_tables=tuple(_numpy(_with_unknown(table)) for table in self.state_tables),
            state_names=self.shape.state_names,
            candidate_tables=tuple(_numpy(_with_unknown(table)) for table in self.candidate_tables),
            candidate_names=dict(self.shape.candidate_names),
            out=_numpy(self.out),
            out_bias=_numpy(self.out_bias),
        )


def _random(rows: int, columns: int, rng: torch.Generator) -> Tensor:
    """Normal with variance 1 / rows (Glorot and Bengio 2010, by fan-in)."""
    return torch.randn(rows, columns, generator=rng) / math.sqrt(max(rows, 1))


def _table(n_names: int, hidden: int, rng: torch.Generator) -> nn.Parameter:
    return nn.Parameter(0.1 * torch.randn(n_names, hidden, generator=rng))


def _with_unknown(table: Tensor) -> Tensor:
    return (
        torch.cat([table, torch.zeros_like(table[:1])]) if len(table) else table.new_zeros(1, table.shape[1])
    )


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy().copy()


def rows_of(known: Sequence[str], names: Sequence[str]) -> list[int]:
    """Row of each name in a table; the last one for unknown names."""
    places = {name: place for place, name in enumerate(known)}
    return [places.get(name, len(known)) for name in names]
