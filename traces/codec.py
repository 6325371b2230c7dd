"""Trajectories as JSON bytes and back, exactly: what goes in comes out equal, or an error says why not.

JSON has no tuples and no NaN. Tuples of the records' own fields come back as tuples; inside ``metadata``,
``choice`` and ``seen`` (the caller's plain data) they come back as lists. A number that is not finite is
refused on the way in, because JSON writers turn it into ``null``, which would read as "never measured".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import orjson
import zstandard
from pydantic import TypeAdapter, ValidationError

from inframind.errors import StoreError
from inframind.traces.records import RECORD_VERSION, Decision, Outcome, Trajectory

_ADAPTER: TypeAdapter[Trajectory] = TypeAdapter(Trajectory)
_DECISIONS: TypeAdapter[tuple[Decision, ...]] = TypeAdapter(tuple[Decision, ...])
_LEVEL = 1
"""Of compression: higher ones take several times as long for a tenth less."""


def encode(trajectory: Trajectory) -> bytes:
    """One line of UTF-8 JSON, without a newline at its end.

    Raises:
        StoreError: a value is not plain JSON data: a NaN or infinite number, a lone surrogate in a string, an
            integer of more than 64 bits, a key that is not a string, or an object of another type.
    """
    return encode_record(trajectory, f"trace {trajectory.trace_id}")


def decode(payload: bytes | str) -> Trajectory:
    """The trajectory that `encode` was given.

    Raises:
        StoreError: not JSON, not a trajectory, or written by another version of the record's layout.
    """
    try:
        trajectory = _ADAPTER.validate_json(payload, strict=True)
    except ValidationError as error:
        _require_known_version(_version_of(payload))
        raise StoreError("decode", _first_problem(error)) from error
    _require_known_version(trajectory.record_version)
    return trajectory


def pack(trajectory: Trajectory) -> bytes:
    """The trajectory as compressed JSON, for waiting in memory.

    Raises:
        StoreError: as `encode`.
    """
    return zstandard.compress(encode(trajectory), _LEVEL)


def unpack(packed: bytes) -> Trajectory:
    """The trajectory that `pack` was given.

    Raises:
        StoreError: as `decode`.
    """
    return decode(zstandard.decompress(packed))


def encode_apart(trajectory: Trajectory) -> tuple[bytes, bytes]:
    """The trajectory without its decisions as `encode` has it, and the decisions as compressed JSON.

    Decisions are two thirds of a trace, mostly the numbers of candidates that were not chosen, and compress to a sixth.

    Raises:
        StoreError: as `encode`.
    """
    name = f"trace {trajectory.trace_id}"
    _require_finite(trajectory, name)
    document = _dump_finite(replace(trajectory, decisions=()), name)
    return document, zstandard.compress(_dump_finite(trajectory.decisions, name), _LEVEL)


def decode_apart(document: bytes | str, decisions: bytes) -> Trajectory:
    """The trajectory that `encode_apart` was given.

    Raises:
        StoreError: as `decode`.
    """
    trajectory = decode(document)
    try:
        plain = zstandard.decompress(decisions)
        return replace(trajectory, decisions=_DECISIONS.validate_json(plain, strict=True))
    except (ValidationError, zstandard.ZstdError) as error:
        problem = _first_problem(error) if isinstance(error, ValidationError) else str(error)
        raise StoreError("decode", f"decisions of trace {trajectory.trace_id}: {problem}") from error


def check_outcome(outcome: Outcome) -> Outcome:
    """The same outcome, once it is known to survive being written down.

    Raises:
        StoreError: as `encode`.
    """
    encode_record(outcome, f"outcome {outcome.feedback_id}")
    return outcome


def encode_record(record: object, name: str) -> bytes:
    """Any record as JSON bytes, as `encode` has a trajectory.

    Args:
        record: a dataclass of plain data.
        name: how errors call it.

    Raises:
        StoreError: as `encode`.
    """
    _require_finite(record, name)
    return _dump_finite(record, name)


def _require_finite(record: object, name: str) -> None:
    if _has_non_finite(record):
        raise StoreError(
            "encode", f"{name} holds a NaN or infinite number; leave the value out (None) instead"
        )


def _dump_finite(record: object, name: str) -> bytes:
    try:
        return orjson.dumps(record, default=_plain)
    except TypeError as error:
        raise StoreError("encode", f"{name} is not plain JSON data: {error}") from error


def _plain(value: object) -> object:
    """What orjson does not know itself: read-only mappings, and subclasses of float such as numpy's."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, float):
        return float(value)
    raise TypeError(f"cannot write {type(value).__name__}")


def _has_non_finite(record: object) -> bool:
    """Walk with a stack, not by recursion: this runs once for every stored trace."""
    stack: list[Iterable[Any]] = [(record,)]
    while stack:
        for value in stack.pop():
            kind = type(value)
            if kind in _NEVER_A_FLOAT:
                continue
            if isinstance(value, float):
                if not math.isfinite(value):
                    return True
            else:
                stack.extend(_parts(value))
    return False


_NEVER_A_FLOAT = frozenset({str, int, bool, type(None), bytes})


def _parts(value: object) -> Iterable[Iterable[Any]]:
    """What is inside a value and may hold a float."""
    if isinstance(value, (tuple, list)):
        return (value,)
    if isinstance(value, Mapping):
        return (value.values(),)
    if isinstance(value, Decision):
        inside = (value.choice.values(), value.seen.values())
        if math.isfinite(_sum_of_numbers(value)):
            return inside
        return (
            *inside,
            *_columns(value),
            (value.made_s, value.probability),
        )  # or so large that it only looks so
    names = getattr(value, "__dataclass_fields__", None)
    return ([getattr(value, name) for name in names],) if names else ()


def _columns(decision: Decision) -> tuple[tuple[float, ...], ...]:
    return decision.probabilities, decision.latency_q50_s, decision.latency_q90_s


def _sum_of_numbers(decision: Decision) -> float:
    """Not finite when one of the decision's own numbers is not: most of a trace's numbers stand there."""
    return sum(map(sum, _columns(decision))) + decision.made_s + decision.probability


def _version_of(payload: bytes | str) -> object:
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return RECORD_VERSION
    return document.get("record_version", RECORD_VERSION) if isinstance(document, dict) else RECORD_VERSION


def _require_known_version(version: object) -> None:
    if version != RECORD_VERSION:
        raise StoreError(
            "decode",
            f"record_version {version!r} is unknown, this version of InfraMind reads {RECORD_VERSION}; "
            "read it with the version that wrote it",
        )


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"not a trajectory: {where + ': ' if where else ''}{first['msg']}"
