"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_CONFIG = Path("inframind.toml")

Config = Annotated[
    Path, typer.Option("--config", "-c", help="Configuration file; `inframind init` writes one.")
]
