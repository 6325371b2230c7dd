"""Learned weights as one file that serving reads with numpy alone: arrays, what they stand for, whence they came.

A checkpoint is refused rather than guessed at: other feature columns, another kind, a changed byte.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inframind.errors import CheckpointError
from inframind.router.learning.tensor_file import (
    AnyArray,
    TensorFile,
    read_tensor_bytes,
    read_tensor_file,
    tensor_bytes,
    write_tensor_file,
)

__all__ = [
    "SUFFIX",
    "Checkpoint",
    "CheckpointMeta",
    "checkpoint_bytes",
    "checkpoint_in",
    "kind_of",
    "load_checkpoint",
    "save_checkpoint",
]

SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointMeta:
    """What the arrays stand for.

    Attributes:
        kind: what was learned, such as ``policy`` or ``quality``; also the file's name in a folder.
        features_version: version of the feature columns that it was trained on.
        names: what the rows and columns of the arrays are, such as ``models``, ``strategies``,
            ``state_columns``; in order.
        created_from: facts about the run, as plain data: seed, runs, reward. JSON makes lists of tuples.
        needs: what a reader must know of beside the weights, such as ``rules``. Releases before this field refuse files
            that have it.
    """

    kind: str = "policy"
    features_version: str
    names: Mapping[str, tuple[str, ...]]
    created_from: Mapping[str, Any]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """Weights that have been verified.

    Attributes:
        path: the file.
        arrays: by name.
        meta: what they stand for.
        sha256: hex digest of all content: fit to be the policy's version.
    """

    path: Path
    arrays: Mapping[str, AnyArray]
    meta: CheckpointMeta
    sha256: str

    def require(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Check that there are these arrays, of these shapes, and no others.

        Raises:
            CheckpointError: naming what is missing, too many or of another shape.
        """
        found = {name: array.shape for name, array in self.arrays.items()}
        wrong = [
            f"{name} is {found.get(name, 'missing')}, not {shapes.get(name, 'wanted')}"
            for name in sorted(found.keys() | shapes.keys())
            if found.get(name) != shapes.get(name)
        ]
        if wrong:
            raise CheckpointError(
                str(self.path), "; ".join(wrong), "train anew, or use the release that wrote it"
            )


def save_checkpoint(folder_or_file: Path, arrays: Mapping[str, AnyArray], meta: CheckpointMeta) -> Path:
    """Write a checkpoint atomically; the same content gives the same bytes.

    Args:
        folder_or_file: a path ending in ``.safetensors``, or the folder of ``<kind>.safetensors``.
        arrays: weights by name, all finite.
        meta: what they stand for.

    Returns:
        The file.

    Raises:
        CheckpointError: a weight is not finite (the training has diverged), or ``created_from`` is no plain
            data.
    """
    path = _file(folder_or_file, meta.kind)
    _require_finite(path, arrays)
    write_tensor_file(path, arrays, _header(path, meta))
    return path


def checkpoint_bytes(arrays: Mapping[str, AnyArray], meta: CheckpointMeta) -> bytes:
    """What `save_checkpoint` would write; no disk is needed.

    Raises:
        CheckpointError: as `save_checkpoint`.
    """
    name = Path(meta.kind)
    _require_finite(name, arrays)
    return tensor_bytes(arrays, _header(name, meta))


def load_checkpoint(folder_or_file: Path, *, features_version: str, kind: str = "policy") -> Checkpoint:
    """Read and verify a checkpoint; loads no torch.

    Args:
        folder_or_file: as for `save_checkpoint`.
        features_version: version of the columns that the weights will be fed.
        kind: what it must hold.

    Raises:
        CheckpointError: no such file, damaged, of another format, of another kind, or over other features.
    """
    path = _file(folder_or_file, kind)
    return _checked(path, read_tensor_file(path), features_version, kind)


def checkpoint_in(content: bytes, name: str, *, features_version: str, kind: str = "policy") -> Checkpoint:
    """Read and verify what `checkpoint_bytes` gave, or the bytes of a checkpoint's file.

    Args:
        content: the bytes.
        name: what they are, for errors; the checkpoint's ``path``.
        features_version: version of the columns that the weights will be fed.
        kind: what it must hold.

    Raises:
        CheckpointError: damaged, of another format, of another kind, or over other features.
    """
    return _checked(Path(name), read_tensor_bytes(content, name), features_version, kind)


def _require_finite(path: Path, arrays: Mapping[str, AnyArray]) -> None:
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise CheckpointError(
                str(path), f"array {name} is not finite", "train again with a smaller learning rate"
            )


def _checked(path: Path, file: TensorFile, features_version: str, kind: str) -> Checkpoint:
    meta = _meta(path, file)
    if meta.kind != kind:
        raise CheckpointError(str(path), f"it holds a {meta.kind}, not a {kind}", "give another path")
    if meta.features_version != features_version:
        raise CheckpointError(
            str(path),
            f"trained on features version {meta.features_version!r}, fed version {features_version!r}",
            "train anew: its weights belong to other columns",
        )
    return Checkpoint(path=path, arrays=file.arrays, meta=meta, sha256=file.sha256)


def kind_of(file: Path) -> str:
    """What a checkpoint holds, such as ``policy``, by its verified header.

    Raises:
        CheckpointError: no such file, damaged, or no checkpoint.
    """
    return _meta(file, read_tensor_file(file)).kind


def _file(folder_or_file: Path, kind: str) -> Path:
    return folder_or_file if folder_or_file.suffix == SUFFIX else folder_or_file / f"{kind}{SUFFIX}"


def _header(path: Path, meta: CheckpointMeta) -> str:
    fields = {name: value for name, value in asdict(meta).items() if value or name != "needs"}
    try:
        return json.dumps(fields, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            str(path), f"meta is no plain data ({error})", "give strings, finite numbers, lists and dicts"
        ) from error


def _meta(path: Path, file: TensorFile) -> CheckpointMeta:
    try:
        fields = json.loads(file.header)
        names = {axis: tuple(names) for axis, names in fields.pop("names").items()}
        return CheckpointMeta(names=names, needs=tuple(fields.pop("needs", ())), **fields)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            str(path), "it is not a checkpoint of weights", "give the file that save_checkpoint wrote"
        ) from error
