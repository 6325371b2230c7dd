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


Config = Annotated[
    Path, typer.Option("--config", "-c", help="Configuration file; `inframind init` writes one.")
]
