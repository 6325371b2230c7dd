"""Questions with known answers: generated without end, or read from a file.

A generated item is a function of its id, ``gen/<kind>/<level>/<seed>``: a simulated server that sees the id knows
the truth without sharing a file. Reading the id back (`item_from_id`) gives the same item on every machine,
since `random.Random` seeds itself from text by SHA-512 and keeps its integer streams across Python versions.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

from inframind.errors import ConfigError, InvalidItems
from inframind.simulator import item_kinds_algebra as algebra
from inframind.simulator import item_kinds_discrete as discrete

MATH_LEVEL_MIX: Mapping[int, float] = MappingProxyType({1: 12, 2: 23, 3: 30, 4: 32, 5: 34})
"""Weights of the levels in a proportional draw of 131 items from the MATH test split."""

UNIFORM_LEVEL_MIX: Mapping[int, float] = MappingProxyType(dict.fromkeys(range(1, 6), 1.0))

_GENERATED_ID = re.compile(r"gen/([a-z]+)/([1-5])/(-?[0-9]{1,20})")

_CHARS_OF_LEVEL = (80, 140, 200, 280)
"""Longest question, in characters, that counts as level 1, 2, 3, 4 when a file gives no level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One question and its answer.

    Attributes:
        item_id: ``gen/<kind>/<level>/<seed>``, or the file's own id.
        question: the question's text.
        answer: the exact answer, LaTeX in MATH style.
        level: difficulty, 1 (easy) to 5.
        domain: ``math``, ``code``, ``knowledge`` or ``general``.
        subject: MATH subject, such as ``Algebra``, or "".
    """

    item_id: str
    question: str
    answer: str
    level: int
    domain: str = "math"
    subject: str = ""


@dataclass(frozen=True, slots=True)
class _Kind:
    subject: str
    draft: Callable[[Random, int], tuple[str, str]]


_KINDS: Mapping[str, _Kind] = MappingProxyType(
    {
        "arithmetic": _Kind("Prealgebra", algebra.arithmetic),
        "linear": _Kind("Algebra", algebra.linear),
        "quadratic": _Kind("Intermediate Algebra", algebra.quadratic),
        "systems": _Kind("Algebra", algebra.systems),
        "sequence": _Kind("Intermediate Algebra", algebra.sequence),
        "percent": _Kind("Prealgebra", algebra.percent),
        "calculus": _Kind("Precalculus", algebra.calculus),
        "modular": _Kind("Number Theory", discrete.modular),
        "divisors": _Kind("Number Theory", discrete.divisors),
        "counting": _Kind("Number Theory", discrete.counting),
        "combinatorics": _Kind("Counting & Probability", discrete.combinatorics),
        "probability": _Kind("Counting & Probability", discrete.probability),
        "geometry": _Kind("Geometry", discrete.geometry),
        "bases": _Kind("Number Theory", discrete.bases),
    }
)

KINDS: tuple[str, ...] = tuple(_KINDS)
"""Names of the kinds of generated questions."""


def generate_item(seed: int, level: int, kind: str | None = None) -> Item:
    """The item of that seed and level; the seed also picks the kind when none is given.

    Raises:
        ConfigError: the level is not 1 to 5, or there is no such kind.
    """
    chosen = Random(f"kind/{seed}").choice(KINDS) if kind is None else kind
    if chosen not in _KINDS:
        raise ConfigError("kind", kind, f"choose one of: {', '.join(KINDS)}")
    if level not in UNIFORM_LEVEL_MIX:
        raise ConfigError("level", level, "give a whole number from 1 to 5")
    item_id = f"gen/{chosen}/{level}/{seed}"
    question, answer = _KINDS[chosen].draft(Random(item_id), level)
    return Item(
        item_id=item_id, question=question, answer=answer, level=level, subject=_KINDS[chosen].subject
    )


def generate_items(n: int, seed: int, levels: Mapping[int, float] = MATH_LEVEL_MIX) -> tuple[Item, ...]:
    """``n`` items with pairwise different questions, levels drawn by the weights of ``levels``."""
    rng = Random(seed)
    items: dict[str, Item] = {}
    while len(items) < n:
        (level,) = rng.choices(tuple(levels), weights=tuple(levels.values()))
        item = generate_item(rng.getrandbits(48), level)
        items.setdefault(item.question, item)
    return tuple(items.values())


@functools.lru_cache(maxsize=4096)
def item_from_id(item_id: str) -> Item:
    """The generated item of that id, exactly as `generate_item` made it.

    Raises:
        ConfigError: it is not the id of a generated item.
    """
    parts = _GENERATED_ID.fullmatch(item_id)
    if parts is None:
        raise ConfigError("item_id", item_id, "give gen/<kind>/<level>/<seed>, such as gen/linear/3/17")
    kind, level, seed = parts.groups()
    return generate_item(int(seed), int(level), kind)


def is_generated(item_id: str) -> bool:
    """Whether an id claims to be of a generated item."""
    return item_id.startswith("gen/")


def load_items(path: Path) -> tuple[Item, ...]:
    """Read a JSONL file of questions with known answers. Blank lines are skipped.

    Each line holds ``problem`` or ``question``, ``answer``, and optionally ``id`` (default: file name and line),
    ``level``, ``domain`` (default: math) and ``subject``. Without a level it is estimated from the question's
    length, since MATH questions grow with difficulty, loosely: up to 80 characters is level 1, then 140, 200,
    280, and above that 5.

    Raises:
        InvalidItems: the file is missing, not UTF-8, not JSON, empty, or lacks a field.
    """
    items = tuple(_parse_line(str(path), number, line) for number, line in _numbered_lines(path))
    if not items:
        raise InvalidItems(str(path), None, "holds no items", "write one JSON object a line")
    return items


def _numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        raw_lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InvalidItems(
            str(path), None, f"cannot be read ({error.strerror})", "give a readable file"
        ) from error
    for number, raw in enumerate(raw_lines, start=1):
        try:
            line = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InvalidItems(
                str(path), number, f"not UTF-8 ({error.reason})", "save it as UTF-8"
            ) from error
        if line.strip():
            yield number, line


def _parse_line(path: str, number: int, line: str) -> Item:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidItems(path, number, f"not JSON ({error})", "write one JSON object a line") from error
    if not isinstance(record, dict):
        raise InvalidItems(path, number, f"a JSON {type(record).__name__}", "write one JSON object a line")
    question = _text_field(path, number, record, "problem" if "problem" in record else "question")
    return Item(
        item_id=str(record.get("id", f"{Path(path).stem}/{number}")),
        question=question,
        answer=_text_field(path, number, record, "answer"),
        level=_level_field(path, number, record.get("level"), question),
        domain=str(record.get("domain", "math")),
        subject=str(record.get("subject", "")),
    )


def _text_field(path: str, number: int, record: Mapping[str, Any], name: str) -> str:
    if name not in record:
        raise InvalidItems(path, number, f"no field {name!r}", "give problem (or question) and answer")
    value = record[name]
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise InvalidItems(path, number, f"{name} is a {type(value).__name__}", "give text")
    if not value.strip():
        raise InvalidItems(path, number, f"{name} is empty", "give text, or leave the line out")
    return value


def _level_field(path: str, number: int, level: object, question: str) -> int:
    if level is None:
        return 1 + sum(len(question) > longest for longest in _CHARS_OF_LEVEL)
    if not isinstance(level, int) or isinstance(level, bool) or level not in UNIFORM_LEVEL_MIX:
        raise InvalidItems(path, number, f"level = {level!r}", "give a whole number from 1 to 5, or none")
    return level
