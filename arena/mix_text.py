"""Mixes of questions as written on the command line: ``levels=1,2:3;domains=math``, and ``0.5:levels=5`` after it."""

from __future__ import annotations

from collections.abc import Sequence

from inframind.arena.query_mix import MixSchedule, QueryMix, Shift
from inframind.errors import ConfigError

_FORM = "write levels=1,2,3, domains=math or subjects=Algebra:2,Geometry, with weights after colons, joined by ';'"
_SHIFT_FORM = (
    "write POINT:MIX with a share of the questions or seconds, such as 0.5:levels=4,5 or 600s:levels=4,5"
)


def schedule_from(mix: str, shifts: Sequence[str] = ()) -> MixSchedule:
    """A mix, "" for whatever the pool holds, and the mixes that follow it.

    Raises:
        ConfigError: one of them cannot be read, or the shifts are not in order.
    """
    return MixSchedule(mix_from(mix) if mix else QueryMix(), tuple(map(shift_from, shifts)))


def mix_from(text: str) -> QueryMix:
    """Read a mix such as ``levels=1,2:3;domains=math``: weights follow colons, and are 1 unless given.

    Raises:
        ConfigError: it cannot be read.
    """
    weights: dict[str, dict[str, float]] = {"levels": {}, "domains": {}, "subjects": {}}
    for part in text.split(";"):
        attribute, equals, values = part.partition("=")
        attribute = attribute.strip()
        if not equals or attribute not in weights:
            raise ConfigError("mix", text, _FORM)
        if weights[attribute]:
            raise ConfigError("mix", text, f"give {attribute} once, with all values")
        weights[attribute] = _weights(text, values)
    return QueryMix(
        levels={_level(text, name): weight for name, weight in weights["levels"].items()},
        domains=weights["domains"],
        subjects=weights["subjects"],
    )


def shift_from(text: str) -> Shift:
    """Read a mix and when it begins: ``0.5:levels=4,5`` after half of the questions, ``600s:...`` after 600 s.

    Raises:
        ConfigError: it cannot be read.
    """
    point, colon, mix = text.partition(":")
    is_share = not point.endswith("s")
    try:
        begins = float(point.removesuffix("s"))
    except ValueError:
        raise ConfigError("then", text, _SHIFT_FORM) from None
    if not colon:
        raise ConfigError("then", text, _SHIFT_FORM)
    if is_share:
        return Shift(mix=mix_from(mix), at_share=begins)
    return Shift(mix=mix_from(mix), at_s=begins)


def _weights(text: str, values: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for cell in values.split(","):
        value, colon, weight = cell.strip().partition(":")
        if not value or value in weights:
            raise ConfigError("mix", text, f"name every value once; {_FORM}")
        try:
            weights[value] = float(weight) if colon else 1.0
        except ValueError:
            raise ConfigError("mix", text, f"{weight!r} is no weight; {_FORM}") from None
    return weights


def _level(text: str, name: str) -> int:
    try:
        return int(name)
    except ValueError:
        raise ConfigError(
            "mix", text, f"{name!r} is no level: give whole numbers, such as levels=1,2"
        ) from None
