"""Contenders of a replay by their names, as the command line takes them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import cast

from inframind.arena.replay.contenders import AnyContender
from inframind.errors import ConfigError

ALWAYS_THERE = ("best_constant", "oracle")
"""Played in every replay, whether they are named or not."""
_PARTS = ("name", "knobs")
_LEARNS = ("fit", "learn")


def contenders_named(names: Sequence[str], standard: Sequence[AnyContender]) -> tuple[AnyContender, ...]:
    """The contenders of these names, in their order, each once.

    Args:
        names: of standard contenders, or ``module:attribute`` of one's own; several in one text are separated by
            commas, unless the whole text is a name.
        standard: who the table allows.

    Raises:
        ConfigError: a name that does not exist, or something that is no contender.
    """
    known = {contender.name: contender for contender in standard}
    single = chain.from_iterable(_split(text, known) for text in names)
    wanted = [name for name in dict.fromkeys(single) if name not in ALWAYS_THERE]
    return tuple(_contender(name, known) for name in wanted)


def _split(text: str, known: Mapping[str, AnyContender]) -> list[str]:
    """Arms may have commas in their names, and so the contenders that always take them."""
    if text in known:
        return [text]
    return [name for cell in text.split(",") if (name := cell.strip())]


def _contender(name: str, known: Mapping[str, AnyContender]) -> AnyContender:
    if name in known:
        return known[name]
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise ConfigError("contender", name, f"on this table use some of: {_list(known)}")
    return _imported(name, module, attribute, known)


def _imported(name: str, module_name: str, attribute: str, known: Mapping[str, AnyContender]) -> AnyContender:
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError("contender", name, f"use some of: {_list(known)} ({error})") from error
    found = getattr(module, attribute, None)
    made = found() if isinstance(found, type) else found
    missing = [part for part in _PARTS if not hasattr(made, part)]
    if not any(hasattr(made, part) for part in _LEARNS):
        missing.append(_LEARNS[0])
    if missing:
        raise ConfigError(
            "contender", name, f"name a ReplayContender, or a class of them: there is no {', '.join(missing)}"
        )
    return cast(AnyContender, made)


def _list(known: Mapping[str, AnyContender]) -> str:
    return ", ".join([*ALWAYS_THERE, *known, "<module>:<name>"])
