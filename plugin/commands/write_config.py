"""Configuration files that the command line writes; an existing file is never lost by accident."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from inframind.errors import ConfigError


def write_example(path: Path, *, force: bool) -> None:
    """The annotated example.

    Raises:
        ConfigError: the file exists and ``force`` is not given, or it cannot be written.
    """
    write_new(path, files("inframind.plugin").joinpath("init_template.toml").read_text("utf-8"), force=force)


def write_endpoints(path: Path, endpoints: Sequence[Mapping[str, Any]], *, force: bool) -> None:
    """A configuration that has these endpoints and leaves the rest to the defaults.

    Raises:
        ConfigError: the file exists and ``force`` is not given, or it cannot be written.
    """
    tables = [
        "[[endpoints]]\n" + "".join(_assignment(*pair) for pair in table.items()) for table in endpoints
    ]
    head = "# Written by `inframind simulate`: the servers that run now. `inframind init` shows every other key.\n"
    write_new(path, "\n".join([head, *tables]), force=force)


def write_new(path: Path, text: str, *, force: bool) -> None:
    """Write a file that is not there yet; with ``force``, replace one that is."""
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError("path", str(path), "the file exists; --force replaces it") from None
    except OSError as error:
        raise ConfigError("path", str(path), f"cannot be written: {error.strerror}") from error


def _assignment(name: str, value: object) -> str:
    """A line of TOML; JSON writes strings, numbers, booleans and lists of them in the same way."""
    return f"{name} = {json.dumps(value)}\n"
