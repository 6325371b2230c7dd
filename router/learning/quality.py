"""How good an answer looks, 0 to 10: a small network over question, answer, model, strategy and role.

Serves with numpy alone; `quality_training` fits it. What it says imputes labels of traces that have none (at
half weight, calibrated: `imputation`) and may be a column of the state. It is never a bonus in a reward: a
policy that is paid for the score finds the model that the predictor overrates and sends it half of the work.

B = responses, C = `RESPONSE_COLUMNS`, D = length of an embedded text, E = length of a name's embedding.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inframind.errors import CheckpointError, ConfigError
from inframind.router.encoder import Encoder
from inframind.router.learning.checkpoint import CheckpointMeta, load_checkpoint, save_checkpoint

__all__ = [
    "BEST_SCORE",
    "QUALITY_VERSION",
    "RESPONSE_COLUMNS",
    "QualityConfig",
    "QualityNames",
    "QualityPredictor",
    "QualitySample",
    "Response",
    "parameter_shapes",
    "response_rows",
]

QUALITY_VERSION = "1"
"""Version of the columns that the network sees."""
BEST_SCORE = 10.0

RESPONSE_COLUMNS = (
    "log_characters",
    "log_tokens",
    "tokens_known",
    "has_answer",
    "is_truncated",
    "agreement",
    "agreement_known",
)
"""Columns that follow the embeddings of question and answer."""
_LOG_SCALE = 10.0
"""Logarithms of lengths over this are about 0 to 1, as the other columns are."""

Floats = NDArray[np.float32]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer of one model, as far as its quality can be told from it.

    Attributes:
        question: the question's text.
        text: the answer's text.
        answer: the final answer extracted from it, or "".
        finish_reason: the server's; ``length`` means cut off.
        tokens: output tokens, or None where the server did not say.
        agreement: share of the other answers to the same question that are equal, or None without any.
        model: name.
        strategy: name.
        role: name.
    """

    question: str
    text: str
    answer: str = ""
    finish_reason: str = ""
    tokens: int | None = None
    agreement: float | None = None
    model: str
    strategy: str
    role: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualitySample:
    """A response that was judged."""

    response: Response
    """What was judged."""
    score: float
    """0 (worthless) to 10 (right and complete)."""

    def __post_init__(self) -> None:
        if not 0 <= self.score <= BEST_SCORE:
            raise ConfigError("quality.score", self.score, f"report scores from 0 to {BEST_SCORE:g}")


@dataclass(frozen=True, kw_only=True)
class QualityConfig:
    """Size and training of the network."""

    embedding: int = 8
    """Length of the embedding of a model's, a strategy's and a role's name."""
    hidden: tuple[int, ...] = (64, 32)
    """Widths of the hidden layers, at least one."""
    epochs: int = 30
    """Passes over the samples."""
    batch: int = 128
    """Samples of one update."""
    learning_rate: float = 2e-3
    """Of AdamW."""
    weight_decay: float = 0.05
    """Of AdamW: hashed words are many, judged answers few."""
    name_dropout: float = 0.1
    """Share of names that are shown as unknown in training, so that the unknown row learns the average."""

    def __post_init__(self) -> None:
        for name in ("embedding", "epochs", "batch", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"quality.{name}", getattr(self, name), "use a positive number")
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError("quality.hidden", self.hidden, "give the width of at least one layer")
        if self.weight_decay < 0:
            raise ConfigError("quality.weight_decay", self.weight_decay, "use 0 or a positive number")
        if not 0 < self.name_dropout < 1:
            raise ConfigError(
                "quality.name_dropout", self.name_dropout, "use a share in (0, 1): unknown names learn by it"
            )


@dataclass(frozen=True, kw_only=True)
class QualityNames:
    """Names that have an embedding of their own, from row 1 on; row 0 is every other name's."""

    models: tuple[str, ...]
    """Models."""
    strategies: tuple[str, ...]
    """Prompt strategies."""
    roles: tuple[str, ...]
    """Roles."""

    @classmethod
    def of(cls, responses: Sequence[Response]) -> QualityNames:
        """All names that occur, sorted."""
        return cls(
            models=tuple(sorted({response.model for response in responses})),
            strategies=tuple(sorted({response.strategy for response in responses})),
            roles=tuple(sorted({response.role for response in responses})),
        )

    def places(self, responses: Sequence[Response]) -> Places:
        """Rows of model, strategy and role in their tables (B, 3)."""
        models, strategies, roles = self._rows
        return np.array(
            [
                (models.get(r.model, 0), strategies.get(r.strategy, 0), roles.get(r.role, 0))
                for r in responses
            ],
            dtype=np.intp,
        ).reshape(-1, 3)

    @cached_property
    def _rows(self) -> tuple[dict[str, int], ...]:
        return tuple(
            {name: row for row, name in enumerate(names, start=1)}
            for names in (self.models, self.strategies, self.roles)
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class QualityPredictor:
    """Scores responses. Immutable: replace it by a newly trained one."""

    config: QualityConfig
    """Shape of the network."""
    names: QualityNames
    """Names with an embedding."""
    encoder: Encoder
    """Turns question and answer into vectors."""
    weights: Mapping[str, Floats]
    """Arrays of `parameter_shapes`."""

    def score(self, response: Response) -> float:
        """Expected judge score of one response, 0 to 10."""
        return float(self.scores([response])[0])

    def scores(self, responses: Sequence[Response]) -> NDArray[np.float64]:
        """Expected judge scores, 0 to 10 (B)."""
        logits = self.logits(response_rows(responses, self.encoder), self.names.places(responses))
        # The logistic function by way of tanh, which does not overflow.
        return BEST_SCORE * (1 + np.tanh(logits.astype(np.float64) / 2)) / 2

    def logits(self, rows: Floats, places: Places) -> Floats:
        """The network: log-odds of the score's share of 10 (B).

        Args:
            rows: embedded texts and columns (B, 2 D + C).
            places: rows of the names (B, 3).
        """
        weights = self.weights
        tables = (weights["models"], weights["strategies"], weights["roles"])
        named = [table[places[:, axis]] for axis, table in enumerate(tables)]
        hidden = np.concatenate([rows, *named], axis=1)
        for layer in range(len(self.config.hidden)):
            hidden = np.maximum(hidden @ weights[f"weight_{layer}"].T + weights[f"bias_{layer}"], 0)
        last = len(self.config.hidden)
        logits: Floats = (hidden @ weights[f"weight_{last}"].T + weights[f"bias_{last}"])[:, 0]
        return logits

    def save(self, folder_or_file: Path, created_from: Mapping[str, Any]) -> Path:
        """Write a checkpoint of kind ``quality``; `created_from` are facts about its training."""
        names = {**asdict(self.names), "columns": RESPONSE_COLUMNS, "encoder": _described(self.encoder)}
        meta = CheckpointMeta(
            kind="quality",
            features_version=QUALITY_VERSION,
            names=names,
            created_from={**created_from, "config": asdict(self.config)},
        )
        return save_checkpoint(folder_or_file, self.weights, meta)

    @classmethod
    def load(cls, folder_or_file: Path, encoder: Encoder) -> QualityPredictor:
        """The predictor that `save` wrote.

        Raises:
            CheckpointError: damaged, of other columns, or trained with another encoder.
        """
        checkpoint = load_checkpoint(folder_or_file, features_version=QUALITY_VERSION, kind="quality")
        named, given = checkpoint.meta.names, checkpoint.meta.created_from["config"]
        if named["encoder"] != _described(encoder):
            raise CheckpointError(
                str(checkpoint.path),
                f"trained with encoder {named['encoder']}, read with {_described(encoder)}",
                "use the encoder that it was trained with",
            )
        config = QualityConfig(**{**given, "hidden": tuple(given["hidden"])})
        names = QualityNames(models=named["models"], strategies=named["strategies"], roles=named["roles"])
        checkpoint.require(parameter_shapes(config, names, encoder.dimension))
        return cls(config=config, names=names, encoder=encoder, weights=checkpoint.arrays)


def parameter_shapes(
    config: QualityConfig, names: QualityNames, dimension: int
) -> dict[str, tuple[int, ...]]:
    """Shape of each array of the network, by name.

    Args:
        config: widths.
        names: one embedding each, and one for the unknown.
        dimension: length of an embedded text (D).
    """
    tables: dict[str, tuple[int, ...]] = {
        "models": (len(names.models) + 1, config.embedding),
        "strategies": (len(names.strategies) + 1, config.embedding),
        "roles": (len(names.roles) + 1, config.embedding),
    }
    widths = [2 * dimension + len(RESPONSE_COLUMNS) + 3 * config.embedding, *config.hidden, 1]
    for layer, (into, out) in enumerate(itertools.pairwise(widths)):
        tables |= {f"weight_{layer}": (out, into), f"bias_{layer}": (out,)}
    return tables


def response_rows(responses: Sequence[Response], encoder: Encoder) -> Floats:
    """Embedded question, embedded answer, then `RESPONSE_COLUMNS` (B, 2 D + C). A question is encoded once."""
    questions = {question: encoder.encode(question) for question in {r.question for r in responses}}
    rows = np.zeros((len(responses), 2 * encoder.dimension + len(RESPONSE_COLUMNS)), dtype=np.float32)
    for row, response in zip(rows, responses, strict=True):
        row[: encoder.dimension] = questions[response.question]
        row[encoder.dimension : 2 * encoder.dimension] = encoder.encode(response.text)
        row[2 * encoder.dimension :] = _columns(response)
    return rows


def _columns(response: Response) -> list[float]:
    values = {
        "log_characters": np.log1p(len(response.text)) / _LOG_SCALE,
        "log_tokens": np.log1p(response.tokens or 0) / _LOG_SCALE,
        "tokens_known": float(response.tokens is not None),
        "has_answer": float(bool(response.answer)),
        "is_truncated": float(response.finish_reason == "length"),
        "agreement": response.agreement or 0.0,
        "agreement_known": float(response.agreement is not None),
    }
    return [values[name] for name in RESPONSE_COLUMNS]


def _described(encoder: Encoder) -> tuple[str, ...]:
    return type(encoder).__name__, str(encoder.dimension)
