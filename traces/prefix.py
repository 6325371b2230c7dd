"""Short ids for people: six or more hex digits that only one thing begins with."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inframind.errors import (
    CallerError,
    ConfigError,
    UnknownConfiguration,
    UnknownRecommendation,
    UnknownTrace,
)

MIN_PREFIX_DIGITS = 6
_HEX = re.compile(r"[0-9a-f]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortIds:
    """How ids of one kind are told by their first digits.

    Attributes:
        field: how errors call such an id.
        noun: what it is the id of.
        digits: of a whole id.
        unknown: the error for an id that nothing has.
    """

    field: str
    noun: str
    digits: int
    unknown: Callable[[str], CallerError]

    def check(self, prefix: str) -> str:
        """The prefix in lower case.

        Raises:
            ConfigError: too short, too long, or not hex.
        """
        lowered = prefix.lower()
        if not (MIN_PREFIX_DIGITS <= len(lowered) <= self.digits and _HEX.fullmatch(lowered)):
            fix = f"give {MIN_PREFIX_DIGITS} to {self.digits} hex digits of the {self.noun}'s id"
            raise ConfigError(self.field, prefix, fix)
        return lowered

    def only(self, prefix: str, candidates: Sequence[str]) -> str:
        """The one id that begins with ``prefix``.

        Args:
            prefix: as checked by `check`.
            candidates: every id that begins with it, or at least two of them.

        Raises:
            UnknownTrace, UnknownConfiguration, UnknownRecommendation: there is none.
            ConfigError: there are several.
        """
        if not candidates:
            raise self.unknown(prefix)
        if len(candidates) > 1:
            examples = ", ".join(sorted(candidates)[:2])
            fix = f"several {self.noun}s begin so ({examples}, ...); give more digits"
            raise ConfigError(self.field, prefix, fix)
        return candidates[0]


TRACES = ShortIds(field="trace_id", noun="trace", digits=32, unknown=UnknownTrace)
CONFIGURATIONS = ShortIds(
    field="configuration_id", noun="configuration", digits=64, unknown=UnknownConfiguration
)
RECOMMENDATIONS = ShortIds(
    field="recommendation_id", noun="recommendation", digits=32, unknown=UnknownRecommendation
)


def check_prefix(prefix: str) -> str:
    """A trace's prefix in lower case, see `ShortIds.check`."""
    return TRACES.check(prefix)


def only_match(prefix: str, candidates: Sequence[str]) -> str:
    """The one trace id that begins with a prefix, see `ShortIds.only`."""
    return TRACES.only(prefix, candidates)
