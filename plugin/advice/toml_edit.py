"""Rules into inframind.toml and out of it again: comments and layout stay, and what would not load is not written."""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import tomlkit
from pydantic import ValidationError
from tomlkit.items import AoT, Array

from inframind.advisor.ranking.changes import rules_of
from inframind.errors import ConfigError
from inframind.plugin.advice.file_swap import read_whole, require_editable
from inframind.plugin.config import settings_from
from inframind.plugin.terminal import one_line
from inframind.router.rules import RoutingRule

RULES = "rules"
SHOWN_DIGITS = 12
"""Digits of a recommendation's id in names and comments."""
_LONGEST_TITLE = 100
_ANY_HEADER = re.compile(r"^[ \t]*\[", re.MULTILINE)
_RULE_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*[\"']?rules[\"']?[ \t]*\]\]", re.MULTILINE)
_NOT_CONTENT = re.compile(r"[ \t]*(#.*)?\r?")
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEdit:
    """A change of a configuration file that is known to load, and not written yet.

    Attributes:
        path: the file.
        before: its text, with the line ends that it has.
        after: what it is to be.
    """

    path: Path
    before: str = field(repr=False)
    after: str = field(repr=False)

    @property
    def is_change(self) -> bool:
        """Whether there is anything to write."""
        return self.before != self.after

    def diff(self) -> str:
        """For people: unified, without the lines around each change, in which keys may stand."""
        before, after = self.before.splitlines(), self.after.splitlines()
        names = f"{self.path.name} (now)", f"{self.path.name} (then)"
        return "\n".join(difflib.unified_diff(before, after, *names, n=0, lineterm=""))


def digest_of(text: str) -> str:
    """SHA-256 of a file's text, as hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def with_rules(path: Path, rules: Sequence[Values], *, advice: str, title: str) -> FileEdit:
    """The file with the rules of a recommendation at its end; as it is where it has some of that recommendation.

    Args:
        path: configuration file.
        rules: as plain data of the file's form; each has ``advice``.
        advice: id of the recommendation.
        title: of the recommendation, for the comment above.

    Raises:
        ConfigError: the file cannot be edited, is wrong already, or would be with these rules.
    """
    require_editable(path)
    before = read_whole(path)
    values = _parsed(before, path)
    if any(rule.get("advice") == advice for rule in _rules_in(values)):
        return FileEdit(path=path, before=before, after=before)
    require_loading(values, path)
    wanted = {**values, RULES: [*_rules_in(values), *map(dict, rules)]}
    after = _with_tables(before, rules, f"# Recommendation {advice[:SHOWN_DIGITS]}: {title}")
    if _meaning(after) is None:  # `rules = [...]` cannot be added to by tables
        after = _with_inline(before, rules)
    return _checked(FileEdit(path=path, before=before, after=after), wanted)


def without_rules(path: Path, *, advice: str) -> FileEdit:
    """The file without the rules of a recommendation; as it is where it has none of them.

    Raises:
        ConfigError: the file cannot be edited, is no TOML, or would be wrong without them.
    """
    require_editable(path)
    before = after = read_whole(path)
    values = _parsed(before, path)
    while (place := _place_of(values, advice)) is not None:
        values = _without_one(values, place)
        after = _without_table(after, values, advice) or _without_item(after, place)
    return _checked(FileEdit(path=path, before=before, after=after), values)


def tables_text(rules: Sequence[Values]) -> str:
    """Rules as they stand in a file."""
    return "\n\n".join(_table_text(rule) for rule in rules)


def values_in(path: Path) -> Values:
    """What a file says.

    Raises:
        ConfigError: it cannot be read, or is no TOML.
    """
    return _parsed(read_whole(path), path)


def advice_in(values: Values) -> frozenset[str]:
    """Ids of the recommendations that a file has rules of."""
    return frozenset(rule["advice"] for rule in _rules_in(values) if rule.get("advice"))


def rules_written(path: Path) -> tuple[RoutingRule, ...]:
    """The rules of a file, whoever wrote them.

    Raises:
        ConfigError: it cannot be read, is no TOML, or one is no rule.
    """
    try:
        return rules_of(_rules_in(values_in(path)))
    except ValidationError as error:
        raise ConfigError("rules", str(path), error.errors()[0]["msg"]) from error


def require_loading(values: Values, path: Path) -> None:
    """Have the very loader read it.

    Raises:
        ConfigError: what is wrong, as it says it.
    """
    settings_from(values, base=path.parent)


# Adding ----------------------------------------------------------------------------------------------------


def _with_tables(text: str, rules: Sequence[Values], comment: str) -> str:
    """Before the last line end, so that taking it out again leaves what there was."""
    line_end = "\r\n" if "\r\n" in text else "\n"
    blocks = [_table_text(rule) for rule in rules]
    blocks[0] = f"{one_line(comment, _LONGEST_TITLE)}\n{blocks[0]}"
    head = text.removesuffix("\n").removesuffix("\r")
    added = "".join(f"\n\n{block}" for block in blocks).replace("\n", line_end)
    return head + added + text[len(head) :]


def _table_text(rule: Values) -> str:
    table = tomlkit.table()
    for name, value in rule.items():
        table[name] = _inline(value) if isinstance(value, Mapping) else value
    tables = tomlkit.aot()
    tables.append(table)
    return tomlkit.dumps({RULES: tables}).strip()


def _inline(value: Values) -> tomlkit.items.InlineTable:
    table = tomlkit.inline_table()
    table.update(value)
    return table


def _with_inline(text: str, rules: Sequence[Values]) -> str:
    """Into ``rules = [...]``."""
    document = tomlkit.parse(text)
    array = cast(Array, document[RULES])
    for rule in rules:
        array.append(_inline({k: _inline(v) if isinstance(v, Mapping) else v for k, v in rule.items()}))
    return tomlkit.dumps(document)


# Taking out ------------------------------------------------------------------------------------------------


def _without_table(text: str, wanted: Values, advice: str) -> str | None:
    """The text without the one table whose absence makes it mean what is wanted; None where none does."""
    for first, last in _spans(text, advice):
        shorter = text[: _start_of_block(text, first, advice)] + text[last:]
        if _meaning(shorter) == wanted:
            return shorter
    return None


def _spans(text: str, advice: str) -> Iterator[tuple[int, int]]:
    """Where its rules may be written: from a header to the last line with content before any of the later headers.

    A line within a longer string may look like a header: whoever takes a span out asks what the rest means. The last
    comes first, and the shortest of those that begin there: mostly that is it.
    """
    headers = [found.start() for found in _ANY_HEADER.finditer(text)]
    for found in reversed([*_RULE_HEADER.finditer(text)]):
        for end in (*(place for place in headers if place > found.start()), len(text)):
            if advice in text[found.start() : end]:
                yield found.start(), _end_of_content(text, end)


def _end_of_content(text: str, end: int) -> int:
    """Without the blank lines and comments before ``end``: they belong to what follows."""
    while True:
        start = text.rfind("\n", 0, max(end - 1, 0)) + 1
        line = text[start:end].removesuffix("\n")
        if not start or not _NOT_CONTENT.fullmatch(line):
            return start + len(line.removesuffix("\r"))
        end = start


def _start_of_block(text: str, first: int, advice: str) -> int:
    """With our comment, and the line end and the blank line before it."""
    above = text.rfind("\n", 0, max(first - 1, 0)) + 1
    if text[above:first].startswith(f"# Recommendation {advice[:SHOWN_DIGITS]}"):
        first = above
    for _ in range(2):
        if text[:first].endswith("\n"):
            first -= 2 if text[:first].endswith("\r\n") else 1
    return first


def _without_item(text: str, place: int) -> str:
    """Where the rules are written in some other way, their writer's layout may suffer; their meaning does not."""
    document = tomlkit.parse(text)
    rules = cast(AoT | Array, document[RULES])
    del rules[place]
    if not rules and isinstance(rules, AoT):
        del document[RULES]
    return tomlkit.dumps(document)


def _place_of(values: Values, advice: str) -> int | None:
    found = (place for place, rule in enumerate(_rules_in(values)) if rule.get("advice") == advice)
    return next(found, None)


def _without_one(values: Values, place: int) -> Values:
    rules = [rule for at, rule in enumerate(_rules_in(values)) if at != place]
    others = {name: value for name, value in values.items() if name != RULES}
    return {**others, RULES: rules} if rules else others


# Meaning ---------------------------------------------------------------------------------------------------


def _checked(edit: FileEdit, wanted: Values) -> FileEdit:
    """The edit, if it says what is wanted and loads."""
    found = _meaning(edit.after)
    if found is None or _settled(found) != _settled(wanted):
        fix = "its rules are written in a way that cannot be edited here: use [[rules]] tables, or edit it by hand"
        raise ConfigError("config", str(edit.path), fix)
    if edit.is_change:
        require_loading(found, edit.path)
    return edit


def _settled(values: Values) -> Values:
    """No rules are no rules, however that is written."""
    return {name: value for name, value in values.items() if name != RULES or value}


def _meaning(text: str) -> Values | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _parsed(text: str, path: Path) -> Values:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("config", str(path), f"not valid TOML: {error}") from error


def _rules_in(values: Values) -> list[dict[str, Any]]:
    rules = values.get(RULES, [])
    return [rule for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []
