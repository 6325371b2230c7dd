"""Configuration files that the command line writes; an existing file is never lost by accident."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from inframind.errors import ConfigError
from inframind.plugin.commands.endpoint_tables import tables_text


def write_example(path: Path, *, force: bool) -> None:
    """The annotated example.

    Raises:
        ConfigError: the file exists and ``force`` is not given, or it cannot be written.
    """
    text = files("inframind.plugin").joinpath("init_template.toml").read_text("utf-8")
    _write_new(path, text, force=force, fix="the file exists; --force replaces it")


def write_endpoints(path: Path, endpoints: Sequence[Mapping[str, Any]]) -> None:
    """A new configuration that has these endpoints and leaves the rest to the defaults.

    Raises:
        ConfigError: the file exists, or cannot be written.
    """
    head = "# Written by `inframind simulate`: the servers that run now. `inframind init` shows every other key.\n"
    fix = "the file exists; --force replaces its [[endpoints]], and keeps all else"
    _write_new(path, f"{head}\n{tables_text(endpoints)}", force=False, fix=fix)


def _write_new(path: Path, text: str, *, force: bool, fix: str) -> None:
    """Write a file that is not there yet; with ``force``, replace one that is."""
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError("path", str(path), fix) from None
    except OSError as error:
        raise ConfigError("path", str(path), f"cannot be written: {error.strerror}") from error
