"""Libraries that only an evaluation needs, loaded when it needs them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from inframind.errors import ConfigError


def load_extra(module: str) -> Any:
    """Import a library of the extra ``arena``.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            "install", module.partition(".")[0], "run: pip install 'inframind[arena]'"
        ) from error
