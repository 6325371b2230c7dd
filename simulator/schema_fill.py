"""An instance of a JSON schema: what a simulated model writes when it is held to one.

Numbers and strings come from what was said, in order, where they fit; whatever is missing is the least that does.

Understands the keywords that structured output and tool schemas use: types, enum, const, default, bounds,
required, items, $ref into the same document, and the first branch of anyOf, oneOf and allOf. Patterns and
formats are not understood.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_OPTIONAL_DEPTH = 4
_MAX_DEPTH = 32
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w]|\.\d)")
_QUOTED = re.compile(r"""(?<!\w)(?:'([^'\n]+)'|"([^"\n]+)"|`([^`\n]+)`)(?!\w)""")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a text gives a schema to be filled with; each is used once.

    Attributes:
        numbers: in order.
        quoted: words between quotation marks, in order.
    """

    numbers: deque[float] = field(default_factory=deque)
    quoted: deque[str] = field(default_factory=deque)

    @classmethod
    def in_text(cls, text: str) -> Facts:
        """The numbers and the quoted words of a text."""
        quoted = ("".join(groups) for groups in _QUOTED.findall(text))
        return cls(deque(float(number) for number in _NUMBER.findall(text)), deque(quoted))


def fill_schema(schema: Mapping[str, Any], facts: Facts | None = None) -> Any:
    """An instance of ``schema``; always the same one for the same facts.

    Raises:
        ValueError: the schema refers to nothing, or requires itself without end.
    """
    return _Filling(schema, facts or Facts()).fill(schema, 0)


class _Filling:
    """One schema being filled."""

    def __init__(self, root: Mapping[str, Any], facts: Facts) -> None:
        self._root, self._facts = root, facts

    def fill(self, schema: Any, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise ValueError("the schema requires itself without end: make one of its properties optional")
        if not isinstance(schema, Mapping):
            return {}
        if "$ref" in schema:
            return self.fill(_resolve(str(schema["$ref"]), self._root), depth + 1)
        for keyword in ("const", "default"):
            if keyword in schema:
                return schema[keyword]
        if schema.get("enum"):
            return schema["enum"][0]
        for keyword in ("anyOf", "oneOf", "allOf"):
            if schema.get(keyword):
                return self.fill(schema[keyword][0], depth + 1)
        return self._fill_type(_type_of(schema), schema, depth)

    def _fill_type(self, kind: str, schema: Mapping[str, Any], depth: int) -> Any:
        if kind == "object":
            return self._fill_object(schema, depth)
        if kind == "array":
            least = int(schema.get("minItems", 1 if depth < _OPTIONAL_DEPTH else 0))
            return [self.fill(schema.get("items", {"type": "string"}), depth + 1) for _ in range(least)]
        if kind == "string":
            text = self._facts.quoted.popleft() if self._facts.quoted else "text"
            return text.ljust(int(schema.get("minLength", 0)), ".")[: int(schema.get("maxLength", 1 << 20))]
        if kind in ("integer", "number"):
            return self._fill_number(schema, whole=kind == "integer")
        return {"boolean": True}.get(kind)

    def _fill_object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = set(schema.get("required") or ())
        wanted = [name for name in properties if name in required or depth < _OPTIONAL_DEPTH]
        return {name: self.fill(properties[name], depth + 1) for name in wanted}

    def _fill_number(self, schema: Mapping[str, Any], *, whole: bool) -> float | int:
        numbers = self._facts.numbers
        if numbers and _allows(schema, numbers[0], whole=whole):
            number = numbers.popleft()
            return int(number) if whole else number
        return _least_number(schema, whole=whole)


def _allows(schema: Mapping[str, Any], number: float, *, whole: bool) -> bool:
    step = schema.get("multipleOf") or (1 if whole else 0)
    return (
        schema.get("minimum", -math.inf) <= number <= schema.get("maximum", math.inf)
        and schema.get("exclusiveMinimum", -math.inf) < number < schema.get("exclusiveMaximum", math.inf)
        and (not step or number % step == 0)
    )


def _least_number(schema: Mapping[str, Any], *, whole: bool) -> float | int:
    least: float | int | None = schema.get("minimum")
    if least is None and "exclusiveMinimum" in schema:
        least = schema["exclusiveMinimum"] + 1
    if least is None:
        least = min(0, schema.get("maximum", 0))
    step = schema.get("multipleOf")
    if step:
        least = math.ceil(least / step) * step
    return math.ceil(least) if whole else least


def _type_of(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list) and kind:
        kind = kind[0]
    if isinstance(kind, str):
        return kind
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def _resolve(reference: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        if part and (not isinstance(found, Mapping) or part not in found):
            raise ValueError(f"the schema refers to {reference!r}, which is not there")
        found = found[part] if part else found
    return found
