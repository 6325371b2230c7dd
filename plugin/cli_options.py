"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_CONFIG = Path("inframind.toml")


class Scheduling(StrEnum):
    """How a server orders its queue."""

    priority = "priority"
    fcfs = "fcfs"


class EngineName(StrEnum):
    """Where work that can be spread is done."""

    local = "local"
    ray = "ray"


RayAddress = Annotated[
    str, typer.Option(help="With --engine ray: a running cluster, such as auto. Default: one started here.")
]
Config = Annotated[
    Path, typer.Option("--config", "-c", help="Configuration file; `inframind init` writes one.")
]


def who_asks() -> str:
    """``user:<name>``, for events; the user's number where nobody gave it a name, as in containers."""
    import getpass
    import os

    try:
        return f"user:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"user:{os.getuid()}"
