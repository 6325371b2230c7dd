"""InfraMind: a learned, infrastructure-aware router for LangGraph applications on a fleet of vLLM endpoints.

The public names load on first use, so that ``import inframind`` is cheap and brings no torch.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inframind.errors import InfraMindError
    from inframind.graphs.registry import TopologyRegistry
    from inframind.graphs.state import RouteContext
    from inframind.plugin.chat import ChatInfraMind
    from inframind.plugin.config import Settings, load_settings, settings_from
    from inframind.plugin.mind import InfraMind
    from inframind.plugin.result import Event, Result
    from inframind.plugin.retry import retry_on

__version__ = "0.1.0"

_HOME_OF = {
    "ChatInfraMind": "inframind.plugin.chat",
    "Event": "inframind.plugin.result",
    "InfraMind": "inframind.plugin.mind",
    "InfraMindError": "inframind.errors",
    "Result": "inframind.plugin.result",
    "RouteContext": "inframind.graphs.state",
    "Settings": "inframind.plugin.config",
    "TopologyRegistry": "inframind.graphs.registry",
    "load_settings": "inframind.plugin.config",
    "retry_on": "inframind.plugin.retry",
    "settings_from": "inframind.plugin.config",
}

__all__ = [
    "ChatInfraMind",
    "Event",
    "InfraMind",
    "InfraMindError",
    "Result",
    "RouteContext",
    "Settings",
    "TopologyRegistry",
    "load_settings",
    "retry_on",
    "settings_from",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


if os.environ.get("INFRAMIND_OBSERVE"):  # see inframind.plugin.graphs.by_environment
    from inframind.plugin.graphs.by_environment import watch_if_asked

    watch_if_asked()
