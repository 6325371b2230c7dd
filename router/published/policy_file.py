"""A published policy as one file, and back. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inframind.errors import CheckpointError, ConfigError
from inframind.router.actions import ActionSpace
from inframind.router.encoder import Encoder, HashingEncoder
from inframind.router.latency_state import LatencyState
from inframind.router.learning.checkpoint import Checkpoint, CheckpointMeta, load_checkpoint, save_checkpoint
from inframind.router.published.layers import Weights
from inframind.router.published.policy import SERVING_TEMPERATURE, PublishedPolicy
from inframind.router.published.reading import PUBLISHED_FEATURES_VERSION, Reader

KIND = "published"


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredPublished:
    """Everything that makes a `PublishedPolicy`, bound to no fleet yet.

    Attributes:
        planner: weights of the planner's network.
        executor: weights of the executor's network.
        models: of the joint head, in order.
        strategies: of the joint head, in order.
        temperature: of the executor's choice when it serves.
        latency: what was learned of the fleet's speed, to start from.
        facts: whence it came, as plain data.
        version: digest of the file, "" before it is one.
    """

    planner: Weights
    executor: Weights
    models: tuple[str, ...]
    strategies: tuple[str, ...]
    temperature: float = SERVING_TEMPERATURE
    latency: LatencyState | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""

    def bind(
        self,
        actions: ActionSpace,
        *,
        explores: bool = False,
        encoder: Encoder | None = None,
        name: str = "published",
    ) -> PublishedPolicy:
        """The policy over this fleet, whose models must be those it was trained for: a joint head knows no others.

        Args:
            actions: what may be chosen; strategies that the head does not have never are.
            explores: sample at temperature 1, as while it learns.
            encoder: as in training.
            name: in traces.

        Raises:
            ConfigError: other models, a strategy is missing, or an encoder of another dimension.
        """
        reader = Reader(actions, self.strategies, encoder or HashingEncoder())
        self._require(reader)
        return PublishedPolicy(
            self.planner,
            self.executor,
            reader,
            temperature=1.0 if explores else self.temperature,
            version=self.version[:12] or "unsaved",
            name=name,
        )

    def _require(self, reader: Reader) -> None:
        for field_name in ("models", "strategies"):
            wanted, found = getattr(self, field_name), getattr(reader, field_name)
            if wanted != found:
                raise ConfigError(
                    field_name, found, f"it was trained for {wanted}, in that order: train anew"
                )
        dimension = self.planner["question.weight"].shape[1]
        if reader.dimension != dimension:
            raise ConfigError("encoder.dimension", reader.dimension, f"it was trained with {dimension}")


def save_published(path: Path, stored: StoredPublished) -> Path:
    """Write a policy atomically; the same policy gives the same bytes.

    Raises:
        CheckpointError: a weight is not finite.
    """
    arrays = {f"planner.{name}": array for name, array in stored.planner.items()}
    arrays |= {f"executor.{name}": array for name, array in stored.executor.items()}
    meta = CheckpointMeta(
        kind=KIND,
        features_version=PUBLISHED_FEATURES_VERSION,
        names={"models": stored.models, "strategies": stored.strategies},
        created_from={
            "facts": dict(stored.facts),
            "temperature": stored.temperature,
            "latency": stored.latency.to_json() if stored.latency else None,
        },
    )
    return save_checkpoint(path, arrays, meta)


def load_published(path: Path) -> StoredPublished:
    """Read and verify a policy.

    Raises:
        CheckpointError: no such file, damaged, of another kind, or over other inputs.
    """
    checkpoint = load_checkpoint(path, features_version=PUBLISHED_FEATURES_VERSION, kind=KIND)
    names, given = checkpoint.meta.names, checkpoint.meta.created_from
    try:
        return StoredPublished(
            planner=_part(checkpoint, "planner."),
            executor=_part(checkpoint, "executor."),
            models=names["models"],
            strategies=names["strategies"],
            temperature=given["temperature"],
            latency=LatencyState.from_json(given["latency"]) if given["latency"] else None,
            facts=given["facts"],
            version=checkpoint.sha256,
        )
    except KeyError as error:
        raise CheckpointError(
            str(path), f"it lacks {error}", "train anew, or use the release that wrote it"
        ) from error


def _part(checkpoint: Checkpoint, prefix: str) -> Weights:
    return {
        name.removeprefix(prefix): array
        for name, array in checkpoint.arrays.items()
        if name.startswith(prefix)
    }
