"""Traces that this release cannot read: left out where many are asked for, and said once for all of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping

_log = logging.getLogger(__name__)
_NAMED = 5
"""Most traces that are named; the others are counted."""


def say_left_out(reasons: Mapping[str, str]) -> None:
    """Warn of traces that are left out.

    Args:
        reasons: why each cannot be read, by trace id; with none, nothing is said.
    """
    if not reasons:
        return
    named = "; ".join(f"{trace_id}: {reason}" for trace_id, reason in list(reasons.items())[:_NAMED])
    more = f"; and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
    _log.warning("%d traces cannot be read and are left out: %s%s", len(reasons), named, more)
