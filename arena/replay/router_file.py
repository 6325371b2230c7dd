"""A router that was learned from a recorded table, as one file, and back."""

from __future__ import annotations

import json
from pathlib import Path

from inframind.arena.replay.learned_router import LearnedRouter
from inframind.errors import CheckpointError
from inframind.router.learning.tensor_file import read_tensor_file, write_tensor_file

KIND = "replay-router"


def save_router(path: Path, router: LearnedRouter) -> Path:
    """Write a router atomically; the same router gives the same bytes."""
    header = json.dumps({"kind": KIND, "router": router.to_document()})
    write_tensor_file(path, router.to_arrays(), header)
    return path


def load_router(path: Path) -> LearnedRouter:
    """Read and verify a router.

    Raises:
        CheckpointError: no such file, damaged, or something else.
    """
    file = read_tensor_file(path)
    header = json.loads(file.header)
    if not isinstance(header, dict) or header.get("kind") != KIND:
        raise CheckpointError(str(path), "it holds no router of a recorded table", "give another path")
    return LearnedRouter.from_arrays(file.arrays, header["router"])
