"""The ``[[endpoints]]`` of a configuration file that exists, replaced; what else people wrote into it stays."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit

from inframind.errors import ConfigError
from inframind.plugin.advice.file_swap import read_whole, require_editable, swap

ENDPOINTS = "endpoints"
_HEADER = re.compile(r"[ \t]*\[")
_ENDPOINT_HEADER = re.compile(r"[ \t]*\[\[?[ \t]*[\"']?endpoints[\"']?[ \t]*[\].]")
_COMMENT = re.compile(r"[ \t]*#")
Values = Mapping[str, Any]


def tables_text(endpoints: Sequence[Values]) -> str:
    """Endpoints as they stand in a file."""
    return "\n".join(
        f"[[{ENDPOINTS}]]\n" + "".join(_assignment(*pair) for pair in table.items()) for table in endpoints
    )


def replace_endpoints(path: Path, endpoints: Sequence[Values], *, at_s: float) -> Path | None:
    """Put these endpoints in the place of those that a file has.

    Args:
        path: configuration file.
        endpoints: as plain data of the file's form.
        at_s: now, seconds since the Unix epoch; names the copy.

    Returns:
        The copy of what the file was, beside it; None where it says so already.

    Raises:
        ConfigError: it is no TOML, or cannot be edited. Nothing is changed then.
    """
    require_editable(path)
    before = read_whole(path)
    values = _meaning(before)
    if values is None:
        raise ConfigError("path", str(path), "no TOML, so that nothing of it can be kept: mend or remove it")
    wanted = {**values, ENDPOINTS: [dict(table) for table in endpoints]}
    if values == wanted:
        return None
    for after in _ways(before, endpoints):
        if _meaning(after) == wanted:
            return swap(path, before, after, at_s=at_s)
    fix = f"its endpoints cannot be replaced as they are written: use [[{ENDPOINTS}]] tables"
    raise ConfigError("path", str(path), fix)


def _ways(text: str, endpoints: Sequence[Values]) -> Iterator[str]:
    """Where the old ones stood; and where that is not a table of its own, at the end."""
    lines = re.split(r"(?<=\n)", text)
    kept, place = _without_tables(lines)
    yield _with_tables(kept, place, endpoints, text)
    document = tomlkit.parse(text)
    document.remove(ENDPOINTS)
    rest = re.split(r"(?<=\n)", tomlkit.dumps(document))
    yield _with_tables(rest, len(rest), endpoints, text)


def _without_tables(lines: Iterable[str]) -> tuple[list[str], int]:
    """The lines without the tables of endpoints, and where these stood, or the end.

    What follows the last key of a table after a blank line (comments, mostly) belongs to whatever comes next.
    """
    kept: list[str] = []
    after: list[str] = []
    place, is_ours = -1, False
    for line in lines:
        if _HEADER.match(line):
            was_ours, is_ours = is_ours, bool(_ENDPOINT_HEADER.match(line))
            kept.extend(after if was_ours and not is_ours else ())
            after = []
            place = len(kept) if is_ours and place < 0 else place
        if not is_ours:
            kept.append(line)
        elif not line.strip() or (after and _COMMENT.match(line)):
            after.append(line)
        elif not _COMMENT.match(line):
            after = []
    kept.extend(after)
    return kept, place if place >= 0 else len(kept)


def _with_tables(lines: Sequence[str], place: int, endpoints: Sequence[Values], text: str) -> str:
    head, tail = "".join(lines[:place]), "".join(lines[place:])
    line_end = "\r\n" if "\r\n" in text else "\n"
    added = tables_text(endpoints).replace("\n", line_end)
    if head and not head.endswith("\n"):
        head += line_end
    if place == len(lines) and head:
        head += line_end
    return head + added + (line_end if tail and tail[:1] not in "\r\n" else "") + tail


def _assignment(name: str, value: object) -> str:
    """A line of TOML; JSON writes strings, numbers, booleans and lists of them in the same way."""
    return f"{name} = {json.dumps(value)}\n"


def _meaning(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
