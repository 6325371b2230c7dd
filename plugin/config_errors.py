"""What is wrong with a configuration, in one sentence that says where, what, and what to write instead."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from inspect import isclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from inframind.errors import ConfigError
from inframind.traces.secret_names import names_secret

Place = tuple[str | int, ...]
_MOST_CHARS = 120
_NAMED = ("rules", "strategies")
"""Lists of tables of which people know the name rather than the place."""


def config_error(
    error: ValidationError, values: Mapping[str, Any], *, type_of: type[BaseModel], env_prefix: str
) -> ConfigError:
    """The first problem, and how many more there are; an unknown section first, in which what is missing may stand.

    Args:
        error: what was found.
        values: of the file.
        type_of: what was to be made of them.
        env_prefix: of variables that come before the file.
    """
    first, *others = sorted(error.errors(), key=lambda problem: not _is_unknown_section(problem))
    place = first["loc"]
    more = f" ({len(others)} more problem{'s' if len(others) > 1 else ''})" if others else ""
    return ConfigError(_field(place, values, env_prefix), _shown(first), _fix(first, type_of) + more)


def _field(place: Place, values: Mapping[str, Any], env_prefix: str) -> str:
    """Dotted, with rules and strategies by name where they have one."""
    if len(place) > 1 and place[0] in _NAMED and isinstance(place[1], int):
        section = str(place[0])
        from_variables = any(name.upper().startswith(f"{env_prefix}{section.upper()}") for name in os.environ)
        name = "" if from_variables else _name_of(values.get(section), place[1])
        place = (section, name or place[1] + 1, *place[2:])
    return ".".join(str(part) for part in place) or "config"


def _name_of(tables: object, number: int) -> str:
    table = tables[number] if isinstance(tables, Sequence) and number < len(tables) else None
    name = table.get("name") if isinstance(table, Mapping) else getattr(table, "name", None)
    return name if isinstance(name, str) else ""


def _fix(problem: ErrorDetails, type_of: type[BaseModel]) -> str:
    if problem["type"] == "missing":
        return "this key is required; `inframind init` writes an example"
    if problem["type"] != "extra_forbidden":
        return problem["msg"].removeprefix("Value error, ")
    *above, key = problem["loc"]
    near = get_close_matches(str(key), _keys_at(type_of, above), n=1)
    if _is_unknown_section(problem):
        what = f"unknown section {_header(str(key), problem['input'])}"
        meant = f"did you mean {_meant_section(near[0], type_of)}?" if near else "remove it"
        return f"{what}; {meant}"
    return (
        f"unknown key; did you mean {near[0]!r}?"
        if near
        else "unknown key; remove it or correct its spelling"
    )


def _is_unknown_section(problem: ErrorDetails) -> bool:
    return problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1 and _is_section(problem["input"])


def _is_section(value: object) -> bool:
    tables = value if isinstance(value, list) else [value]
    return bool(tables) and all(isinstance(table, Mapping) for table in tables)


def _header(name: str, value: object) -> str:
    """As a section stands in a file: one, or one of several."""
    return f"[[{name}]]" if isinstance(value, list) else f"[{name}]"


def _meant_section(name: str, type_of: type[BaseModel]) -> str:
    annotation = type_of.model_fields[name].annotation
    if not any(_sections(annotation)):
        return repr(name)
    return f"[{name}]" if isclass(annotation) else f"[[{name}]]"


def _keys_at(type_of: type[BaseModel], place: Sequence[str | int]) -> list[str]:
    """What may be written there."""
    for part in place:
        if isinstance(part, str) and part in type_of.model_fields:
            type_of = next(_sections(type_of.model_fields[part].annotation), type_of)
    return list(type_of.model_fields)


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections(inner)


def _shown(problem: ErrorDetails) -> object:
    """A value as far as it may be repeated, and is short enough.

    Text under an unknown key may be a misspelt secret, and a URL may hold a password. Rules hold neither, but under
    keys that say so.
    """
    place, value = problem["loc"], problem["input"]
    last = str(place[-1]) if place else ""
    is_rule = len(place) > 1 and place[0] == "rules"
    is_hidden = (isinstance(value, str) and not is_rule) or (len(place) == 1 and _is_section(value))
    if problem["type"] == "extra_forbidden" and (is_hidden or names_secret(last)):
        return "..."
    if re.search("key|url", last):
        return "..."
    if problem["type"] == "missing":
        return None
    if is_rule and len(repr(value)) <= _MOST_CHARS and _is_plain(problem):
        return value
    return value if isinstance(value, str | int | float | bool) else type(value).__name__


def _is_plain(problem: ErrorDetails) -> bool:
    """Whether a value has no keys but those that a rule has: a list of names, or what was wrong as a whole."""
    value = problem["input"]
    is_list = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return is_list or problem["type"] == "value_error"
