"""Everything that a training needs to go on after a stop, in one file without pickle.

Nested state dicts are taken apart into arrays and a JSON tree that remembers which is which, so that integer
keys, tuples and torch tensors come back as they were.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inframind.errors import CheckpointError
from inframind.router.learning.tensor_file import AnyArray, read_tensor_file, write_tensor_file

__all__ = ["TrainingState", "load_tensors", "save_tensors"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingState:
    """A training, stopped between two updates.

    Attributes:
        modules: ``state_dict()`` of each network, by name.
        optimizers: ``state_dict()`` of each optimiser, by name.
        generators: state of each source of chance, by name: ``rng.bit_generator.state`` of numpy,
            ``generator.get_state()`` of torch.
        progress: everything else as plain data: epochs done, multipliers, best score.
    """

    modules: Mapping[str, Mapping[str, Any]]
    optimizers: Mapping[str, Mapping[str, Any]]
    generators: Mapping[str, Any]
    progress: Mapping[str, Any]

    def save(self, path: Path) -> None:
        """Write atomically: a stop while writing leaves the state before it."""
        save_tensors(path, {name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def load(cls, path: Path) -> TrainingState:
        """The state that `save` wrote.

        Raises:
            CheckpointError: no such file, damaged, or something else.
        """
        tree = load_tensors(path)
        if set(tree) != set(cls.__slots__):
            raise CheckpointError(
                str(path), "it is not the state of a training", "give the file that `save` wrote"
            )
        return cls(**tree)


def save_tensors(path: Path, tree: Mapping[str, Any]) -> None:
    """Write nested mappings, lists and tuples of tensors, arrays and plain values, atomically.

    Args:
        path: the file.
        tree: keys are strings or integers; leaves are torch tensors, numpy arrays, None, booleans, integers
            of any size, floats, strings.

    Raises:
        TypeError: a leaf is of another type; the message says where.
    """
    arrays: dict[str, AnyArray] = {}
    encoded = _encode(tree, "", arrays)
    write_tensor_file(path, arrays, json.dumps(encoded))


def load_tensors(path: Path) -> dict[str, Any]:
    """The tree that `save_tensors` wrote; tensors are on the CPU.

    Raises:
        CheckpointError: no such file, damaged, or something else.
    """
    file = read_tensor_file(path)
    try:
        tree: dict[str, Any] = _decode(json.loads(file.header), file.arrays)
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            str(path), "it is not a tree of tensors", "give the file that save_tensors wrote"
        ) from error
    return tree


def _encode(value: Any, place: str, arrays: dict[str, AnyArray]) -> Any:
    """JSON for the value; containers and arrays become an object with one key, which says what they were."""
    if isinstance(value, torch.Tensor):
        return {"tensor": _keep(value.detach().cpu().numpy(), place, arrays)}
    if isinstance(value, np.ndarray):
        return {"array": _keep(value, place, arrays)}
    if isinstance(value, Mapping):
        return {
            "mapping": [
                [_key(key, place), _encode(item, f"{place}/{key}", arrays)] for key, item in value.items()
            ]
        }
    if isinstance(value, list | tuple):
        items = [_encode(item, f"{place}/{number}", arrays) for number, item in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": items}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(
        f"{place or 'the tree'} is a {type(value).__name__}: keep tensors, arrays and plain values"
    )


def _keep(array: AnyArray, place: str, arrays: dict[str, AnyArray]) -> str:
    """Numbered, for a key may itself hold the separator."""
    name = f"{len(arrays)}{place}"
    arrays[name] = array
    return name


def _key(key: Any, place: str) -> str | int:
    if type(key) not in (str, int):
        raise TypeError(f"{place or 'the tree'} has the key {key!r}: use strings or integers")
    return key  # type: ignore[no-any-return]


def _decode(value: Any, arrays: Mapping[str, AnyArray]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "mapping":
        return {key: _decode(item, arrays) for key, item in content}
    if kind in ("list", "tuple"):
        items = [_decode(item, arrays) for item in content]
        return tuple(items) if kind == "tuple" else items
    array = arrays[content]
    return torch.from_numpy(array) if kind == "tensor" else array
