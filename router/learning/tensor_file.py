"""Named arrays and one JSON header in a safetensors file: written whole or not at all, read whole or refused.

The file's metadata has a single entry, for safetensors keeps no order among several and the same content must
give the same bytes. The SHA-256 in it covers the arrays' names, types, shapes and bytes, and the header.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from inframind.errors import CheckpointError

FORMAT_VERSION = 1
"""Version of the file's layout; another one is refused."""

AnyArray = NDArray[Any]
_ENTRY = "inframind"
_COPY_AGAIN = "it is damaged: copy it again, or train anew"


@dataclass(frozen=True, slots=True, eq=False)
class TensorFile:
    """What a file held.

    Attributes:
        arrays: by name.
        header: JSON text, as it was given.
        sha256: hex digest of all of it; the same content has the same digest.
    """

    arrays: Mapping[str, AnyArray]
    header: str
    sha256: str


def write_tensor_file(path: Path, arrays: Mapping[str, AnyArray], header: str) -> str:
    """Write atomically: temporary file, fsync, rename. A reader sees the old file or the new one.

    Args:
        path: the file; its folder is made if need be.
        arrays: numbers or booleans of 8 to 64 bits.
        header: JSON text.

    Returns:
        The digest.

    Raises:
        CheckpointError: an array is of a type that the format does not have.
    """
    content, digest = _packed(arrays, header, str(path))
    _write_atomically(path, content)
    return digest


def tensor_bytes(arrays: Mapping[str, AnyArray], header: str) -> bytes:
    """What `write_tensor_file` would write.

    Raises:
        CheckpointError: an array is of a type that the format does not have.
    """
    return _packed(arrays, header, "bytes")[0]


def read_tensor_bytes(content: bytes, name: str) -> TensorFile:
    """Read and verify what `tensor_bytes` gave.

    Args:
        content: the bytes.
        name: what they are, for errors.

    Raises:
        CheckpointError: cut short, not of this format, arrays missing or too many, or changed.
    """
    try:
        arrays = load(content)
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(name, f"they are cut short or no safetensors ({error})", _COPY_AGAIN) from error
    return _verified(Path(name), arrays, _entry(Path(name), metadata))


def read_tensor_file(path: Path) -> TensorFile:
    """Read and verify.

    Raises:
        CheckpointError: no such file, cut short, not of this format, arrays missing or too many, or changed.
    """
    return _verified(path, *_read(path))


def _packed(arrays: Mapping[str, AnyArray], header: str, name: str) -> tuple[bytes, str]:
    plain = {name: _plain(array) for name, array in arrays.items()}
    digest = _digest(plain, header)
    entry = {
        "format_version": FORMAT_VERSION,
        "sha256": digest,
        "arrays": sorted(plain),
        "header": header,
    }
    try:
        return save(plain, {_ENTRY: json.dumps(entry, sort_keys=True)}), digest
    except SafetensorError as error:
        raise CheckpointError(name, str(error), "give arrays of numbers or booleans") from error


def _verified(path: Path, arrays: dict[str, AnyArray], entry: dict[str, Any]) -> TensorFile:
    header = str(entry["header"])
    if set(arrays) != set(entry["arrays"]):
        raise CheckpointError(str(path), _difference(set(entry["arrays"]), set(arrays)), _COPY_AGAIN)
    if _digest(arrays, header) != entry["sha256"]:
        raise CheckpointError(str(path), "its content does not match its SHA-256", _COPY_AGAIN)
    return TensorFile(arrays, header, entry["sha256"])


def _read(path: Path) -> tuple[dict[str, AnyArray], dict[str, Any]]:
    if not path.is_file():
        raise CheckpointError(str(path), "there is no such file", "train a policy, or give another path")
    try:
        with safe_open(path, framework="np") as file:
            entry = _entry(path, file.metadata() or {})
            # The handle is no mapping: `keys` is how it names what it holds.
            return {name: file.get_tensor(name) for name in file.keys()}, entry  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(
            str(path), f"it is cut short or no safetensors file ({error})", _COPY_AGAIN
        ) from error


def _entry(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    if _ENTRY not in metadata:
        raise CheckpointError(
            str(path), "it is a safetensors file of something else", "give a file that inframind wrote"
        )
    try:
        entry: dict[str, Any] = json.loads(metadata[_ENTRY])
        version = entry["format_version"]
        is_complete = {"sha256", "arrays", "header"} <= set(entry)
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(str(path), "its header cannot be read", _COPY_AGAIN) from error
    if version != FORMAT_VERSION:
        raise CheckpointError(
            str(path),
            f"its format is version {version}, this release reads version {FORMAT_VERSION}",
            "use the release that wrote it, or train anew",
        )
    if not is_complete:
        raise CheckpointError(str(path), "its header is incomplete", _COPY_AGAIN)
    return entry


def _difference(listed: set[str], found: set[str]) -> str:
    missing, extra = sorted(listed - found), sorted(found - listed)
    return f"arrays missing: {', '.join(missing) or 'none'}, arrays too many: {', '.join(extra) or 'none'}"


def _plain(array: AnyArray) -> AnyArray:
    """Dense and little-endian: safetensors copies the memory as it lies."""
    dense = np.asarray(array, order="C")
    return dense.astype(dense.dtype.newbyteorder("<"), copy=False)


def _digest(arrays: Mapping[str, AnyArray], header: str) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(json.dumps([name, array.dtype.name, array.shape]).encode())
        digest.update(array.tobytes())
    digest.update(header.encode())
    return digest.hexdigest()


def _write_atomically(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """The rename itself survives a power cut only once the folder is on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
