"""Short ids for people: six or more hex digits that only one trace begins with."""

from __future__ import annotations

import re
from collections.abc import Sequence

from inframind.errors import ConfigError, UnknownTrace

MIN_PREFIX_DIGITS = 6
_HEX = re.compile(rf"[0-9a-f]{{{MIN_PREFIX_DIGITS},32}}")


def check_prefix(prefix: str) -> str:
    """The prefix in lower case.

    Raises:
        ConfigError: too short, or not hex.
    """
    lowered = prefix.lower()
    if not _HEX.fullmatch(lowered):
        raise ConfigError("trace_id", prefix, f"give {MIN_PREFIX_DIGITS} to 32 hex digits of the trace's id")
    return lowered


def only_match(prefix: str, candidates: Sequence[str]) -> str:
    """The one trace id that begins with ``prefix``.

    Args:
        prefix: as checked by `check_prefix`.
        candidates: every trace id that begins with it, or at least two of them.

    Raises:
        UnknownTrace: there is none.
        ConfigError: there are several.
    """
    if not candidates:
        raise UnknownTrace(prefix)
    if len(candidates) > 1:
        examples = ", ".join(sorted(candidates)[:2])
        raise ConfigError("trace_id", prefix, f"several traces begin so ({examples}, ...); give more digits")
    return candidates[0]
