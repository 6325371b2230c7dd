"""Who serves a run while a candidate is tried: the same for a whole thread, on every replica."""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

from inframind.traces.shelf import Rollout

Arm = Literal["serving", "candidate"]
_DIGEST_BYTES = 8


def key_of(trace_id: str, thread_id: str = "") -> str:
    """What a run is assigned by: its thread where it has one, so that a conversation stays with one policy."""
    return thread_id or trace_id


def arm_of(key: str, rollout: Rollout) -> Arm:
    """Which policy serves a run.

    A key's place in [0, 1) follows from the key and the candidate alone. So whoever is in the canary stays in it as
    the share grows, a remark or a freeze moves nobody, and the next candidate is tried on other people.
    """
    if not rollout.candidate or place_of(key, rollout.candidate) >= rollout.share:
        return "serving"
    return "candidate"


def place_of(key: str, salt: str) -> float:
    """A uniform number in [0, 1) by hash; the same in every process."""
    digest = blake2b(key.encode(), digest_size=_DIGEST_BYTES, key=blake2b(salt.encode()).digest()[:32])
    # The 53 bits that a float holds, so that no key falls on 1.
    return (int.from_bytes(digest.digest(), "big") >> 11) / 2**53
