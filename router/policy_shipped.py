"""The policy that comes with the package: trained on the reference fleet, a start for any fleet like it."""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files

from inframind.router.policy_file import StoredPolicy, load_policy

_NAME = "reference.safetensors"


@cache
def shipped_policy() -> StoredPolicy:
    """Read and verified once per process.

    Raises:
        CheckpointError: the file is damaged.
    """
    with as_file(files("inframind.router").joinpath(_NAME)) as path:
        return load_policy(path)
