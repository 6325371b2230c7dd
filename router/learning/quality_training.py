"""Fits the quality network to judged responses: binary cross-entropy on the score's share of 10, AdamW."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from inframind.errors import ConfigError
from inframind.router.encoder import Encoder
from inframind.router.learning.quality import (
    BEST_SCORE,
    QualityConfig,
    QualityNames,
    QualityPredictor,
    QualitySample,
    parameter_shapes,
    response_rows,
)

__all__ = ["quality_logits", "train_quality"]


def train_quality(
    samples: Sequence[QualitySample], config: QualityConfig, *, seed: int, encoder: Encoder
) -> QualityPredictor:
    """Train from nothing; the same samples, config and seed give the same weights.

    Args:
        samples: judged responses; keep some apart for `calibration`, which must not see what was trained on.
        config: size and training.
        seed: of weights, order and dropped names; torch's global generator is left alone.
        encoder: of questions and answers.

    Raises:
        ConfigError: there are no samples.
    """
    if not samples:
        raise ConfigError("quality.samples", 0, "collect judged responses first")
    responses = [sample.response for sample in samples]
    names = QualityNames.of(responses)
    chance = torch.Generator().manual_seed(seed)
    weights = _initial(parameter_shapes(config, names, encoder.dimension), chance)
    rows = torch.from_numpy(response_rows(responses, encoder))
    places = torch.from_numpy(names.places(responses))
    labels = torch.tensor([sample.score / BEST_SCORE for sample in samples], dtype=torch.float32)
    _fit(weights, rows, places, labels, config, chance)
    exported = {name: tensor.detach().numpy().copy() for name, tensor in weights.items()}
    return QualityPredictor(config=config, names=names, encoder=encoder, weights=exported)


def quality_logits(weights: Mapping[str, Tensor], rows: Tensor, places: Tensor) -> Tensor:
    """The network of `QualityPredictor.logits`, with gradients (B).

    Args:
        weights: tensors of `parameter_shapes`.
        rows: embedded texts and columns (B, 2 D + C).
        places: rows of model, strategy and role (B, 3).
    """
    tables = (weights["models"], weights["strategies"], weights["roles"])
    named = [table[places[:, axis]] for axis, table in enumerate(tables)]
    hidden = torch.cat([rows, *named], dim=1)
    last = sum(name.startswith("weight_") for name in weights) - 1
    for layer in range(last):
        hidden = functional.linear(hidden, weights[f"weight_{layer}"], weights[f"bias_{layer}"]).relu()
    return functional.linear(hidden, weights[f"weight_{last}"], weights[f"bias_{last}"])[:, 0]


def _initial(shapes: Mapping[str, tuple[int, ...]], chance: torch.Generator) -> dict[str, Tensor]:
    """Biases 0, layers with variance 2 over their inputs (He et al. 2015), names small."""
    weights = {}
    for name, shape in shapes.items():
        deviation = math.sqrt(2 / shape[1]) if name.startswith("weight_") else 0.1
        start = torch.zeros(shape) if len(shape) == 1 else deviation * torch.randn(shape, generator=chance)
        weights[name] = start.requires_grad_()
    return weights


def _fit(
    weights: Mapping[str, Tensor],
    rows: Tensor,
    places: Tensor,
    labels: Tensor,
    config: QualityConfig,
    chance: torch.Generator,
) -> None:
    optimizer = torch.optim.AdamW(
        list(weights.values()), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    for _ in range(config.epochs):
        for batch in torch.split(torch.randperm(len(labels), generator=chance), config.batch):
            shown = _with_unknowns(places[batch], config.name_dropout, chance)
            logits = quality_logits(weights, rows[batch], shown)
            loss = functional.binary_cross_entropy_with_logits(logits, labels[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()


def _with_unknowns(places: Tensor, share: float, chance: torch.Generator) -> Tensor:
    return places.masked_fill(torch.rand(places.shape, generator=chance) < share, 0)
