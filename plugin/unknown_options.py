"""Options that a door does not have: refused with what was probably meant."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches

from inframind.errors import ConfigError


def refuse_unknown(options: Collection[str], known: Sequence[str]) -> None:
    """Name the options that there are to a caller who gives another. Its value may be a secret, and is not repeated.

    Args:
        options: names that were given and are not known.
        known: names that there are.

    Raises:
        ConfigError: there is one.
    """
    for name in sorted(options):
        near = get_close_matches(name, known, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(name, "...", f"unknown option; {meant}it takes {', '.join(known)}")
