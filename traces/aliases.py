"""Other names of a trace, by which feedback finds it: a model's run, a thread, a tracker's trace.

An alias is written ``kind:name``. What follows ``run:`` or ``otel:`` is 32 hex digits, drawn at random like trace
ids themselves: no two of them ever name different things. So those digits mean the same with and without their
kind, and feedback that came early under a run's id waits where it is found both by the trace of that id, when the
run was a root, and by the alias, when it was a call inside another run.
"""

from __future__ import annotations

import hashlib
import re
import uuid

from inframind.errors import ConfigError

MAX_ALIAS_CHARS = 500
_RUN_OR_OTEL = re.compile(r"(?:run|otel):([0-9a-fA-F]{32})")
_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")
_KIND = re.compile(r"[a-z][a-z0-9_]*:.+", re.DOTALL)
_ALIAS_FIX = (
    f"write kind:name in at most {MAX_ALIAS_CHARS} characters, such as run:<32 hex digits> or thread:<id>"
)


def run_alias(run_id: uuid.UUID) -> str:
    """The alias of a run, such as a call of a model, as trackers number them."""
    return f"run:{run_id.hex}"


def thread_alias(thread_id: str) -> str:
    """The alias of a thread's latest run, whatever the application calls its threads: odd names by their digest."""
    alias = f"thread:{thread_id}"
    if len(alias) <= MAX_ALIAS_CHARS and _is_storable(alias):
        return alias
    return f"thread:sha256={hashlib.sha256(thread_id.encode('utf-8', 'surrogatepass')).hexdigest()}"


def otel_alias(trace_id: str) -> str:
    """The alias of an OpenTelemetry trace.

    Args:
        trace_id: its W3C id, 32 hex digits.
    """
    return f"otel:{trace_id.lower()}"


def canonical(reference: str) -> str:
    """The form under which stores keep a trace id or an alias."""
    named = _RUN_OR_OTEL.fullmatch(reference)
    if named:
        return named[1].lower()
    return reference.lower() if _TRACE_ID.fullmatch(reference) else reference


def check_alias(alias: str) -> str:
    """The alias in its canonical form.

    Raises:
        ConfigError: not of the form ``kind:name``, too long, or not text that every database can hold.
    """
    if not _KIND.fullmatch(alias) or len(alias) > MAX_ALIAS_CHARS or not _is_storable(alias):
        raise ConfigError("alias", alias[:80], _ALIAS_FIX)
    return canonical(alias)


def _is_storable(text: str) -> bool:
    """No NUL, which PostgreSQL refuses, and no lone surrogate, which has no UTF-8."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
