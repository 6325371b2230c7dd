"""Watching an application that does not know of us: ``INFRAMIND_OBSERVE=inframind.toml``.

Two ways, neither edits a graph:

* an application that imports `inframind` anywhere is watched when the variable is set: `watch_if_asked` is called on
  import, and does nothing else where it is not set;
* any other is started by `run_script`, which runs it in this process as ``python`` would.

LangChain's own configure hook attaches the observer to every run that begins in the process. A wrong file is an error
in the log of the first kind of application, and an error of the second kind's command line.
"""

from __future__ import annotations

import logging
import os
import runpy
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from inframind.errors import ConfigError, InfraMindError

if TYPE_CHECKING:
    from inframind.plugin.graphs.observed import Observed
    from inframind.plugin.mind import InfraMind

ENV_VAR = "INFRAMIND_OBSERVE"
"""Names the configuration file."""

_log = logging.getLogger("inframind.graphs")


def watch_if_asked() -> None:
    """Watch this process where the environment asks for it. What is wrong with the file is logged, never raised."""
    path = os.environ.get(ENV_VAR)
    if not path:
        return
    try:
        mind = watch(path)
    except (InfraMindError, OSError) as error:
        _log.error("%s = %r: nothing is observed: %s", ENV_VAR, path, error)
    else:
        # `atexit` itself comes too late: the executors that stores write with take no work by then.
        threading._register_atexit(mind.close)  # type: ignore[attr-defined]


def watch(path: str | Path) -> InfraMind:
    """Observe every LangChain run that begins in this process from now on, in any thread.

    Args:
        path: configuration file.

    Returns:
        The mind that observes; close it when the process ends.

    Raises:
        ConfigError: the file or one of its values is wrong.
    """
    from langchain_core.tracers.context import register_configure_hook

    from inframind.plugin.graphs.live_runs import LiveRuns
    from inframind.plugin.graphs.observe import Observer
    from inframind.plugin.mind import InfraMind

    mind = InfraMind.from_config(path)
    observer = Observer(LiveRuns(mind.calls, mind.portal), mind.settings.decide_config())
    # The default is what every context finds, threads that are started later included.
    register_configure_hook(ContextVar("inframind_observer", default=observer), inheritable=True)
    return mind


@contextmanager
def _watched(path: str | Path, tell: Callable[[Observed], None] | None) -> Iterator[None]:
    """Watch the block, then tell of it. What goes wrong in telling is logged: it is no end for a program."""
    from inframind.fleet.clock import SystemClock
    from inframind.traces.query import TraceQuery

    began_s = SystemClock().wall_s()
    with watch(path) as mind:
        try:
            yield
        finally:
            if tell is not None:
                try:
                    tell(mind.observed(TraceQuery(since_s=began_s)))
                except InfraMindError as error:
                    _log.error("what was observed cannot be told: %s", error)


def run_script(
    arguments: Sequence[str], path: str | Path, tell: Callable[[Observed], None] | None = None
) -> None:
    """Run a Python program in this process, watched: ``["app.py", ...]`` or ``["-m", "package.module", ...]``.

    Processes that it starts are watched where they import `inframind`.

    Args:
        arguments: as ``python`` takes them.
        path: configuration file.
        tell: is shown what watching has shown when the program ends, in whichever way; not where the environment has
            the process watched already, which then ends later.

    Raises:
        ConfigError: the configuration is wrong, or there is no such program.
    """
    is_module = arguments[:1] == ["-m"]
    program, own = arguments[is_module : is_module + 1], list(arguments[is_module:])
    if not program or not (is_module or Path(program[0]).is_file()):
        raise ConfigError("program", " ".join(program), "name a Python file, or -m and a module")
    # Where the variable is set, importing us has begun to watch already.
    with nullcontext() if os.environ.get(ENV_VAR) else _watched(path, tell):
        os.environ.setdefault(ENV_VAR, str(Path(path).absolute()))
        sys.argv = own
        if is_module:
            sys.path.insert(0, "")
            runpy.run_module(program[0], run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str(Path(program[0]).resolve().parent))
            runpy.run_path(program[0], run_name="__main__")
