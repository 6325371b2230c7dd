"""Where a reply's chance comes from: who asks what, never when or under which load."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from inframind.fleet.context import StepContext


def reply_seed(
    server_seed: int,
    model: str,
    messages: Sequence[Mapping[str, Any]],
    request_seed: int | None,
    context: StepContext | None,
    choice: int = 0,
) -> int:
    """A stable 64-bit seed.

    The trace id is left out, so a repeated question gets its old answer; so are the replica and the
    temperature.
    """
    asker = context and (
        context.question_id,
        context.node,
        context.position,
        context.round,
        context.role,
        context.strategy,
    )
    facts = (server_seed, model, messages, request_seed, asker, choice)
    return int.from_bytes(
        hashlib.blake2b(orjson.dumps(facts, option=orjson.OPT_SORT_KEYS), digest_size=8).digest(), "big"
    )
