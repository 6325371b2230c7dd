"""What is otherwise in one configuration than in another: a comparison of two plain documents."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from inframind.traces.outcome_graph import Difference

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NAME = "name"


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Difference, ...]:
    """What is otherwise in ``new``, by path.

    Paths are written as TOML's dotted keys: a key with other characters than letters, digits, ``_`` and ``-`` stands
    in quotes. Things in a list that all have a ``name`` of their own are compared by name, wherever they stand; where
    those that both lists have stand in another order, that is one more difference, of all names. Other lists are
    compared as one value. None is the same as nothing there; 1, 1.0 and true are not the same.
    """
    return tuple(_between("", old, new))


def _between(path: str, old: Any, new: Any) -> Iterator[Difference]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _between_mappings(path, old, new)
        return
    old_named, new_named = _by_name(old), _by_name(new)
    if old_named is not None and new_named is not None and (old_named or new_named):
        yield from _between_mappings(path, old_named, new_named)
        if [one for one in old_named if one in new_named] != [one for one in new_named if one in old_named]:
            yield Difference(path=path, before=[*old_named], after=[*new_named])
    elif _text(old) != _text(new):
        yield Difference(path=path, before=old, after=new)


def _between_mappings(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for key in sorted({**old, **new}):
        yield from _between(_inside(path, key), old.get(key), new.get(key))


def _by_name(value: Any) -> dict[str, Any] | None:
    """The things in a list by their names, in order; None where it is no list of such things."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None
    names = [one.get(_NAME) if isinstance(one, Mapping) else None for one in value]
    named = {name: one for name, one in zip(names, value, strict=True) if isinstance(name, str)}
    return named if len(named) == len(value) else None


def _inside(path: str, key: str) -> str:
    word = key if _BARE.fullmatch(key) else json.dumps(key, ensure_ascii=False)
    return f"{path}.{word}" if path else word


def _text(value: Any) -> str:
    """Equal for what has the same hash in a configuration."""
    return json.dumps(value, sort_keys=True)
