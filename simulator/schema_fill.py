"""The least instance of a JSON schema: what a simulated model writes when it is held to one.

Understands the keywords that structured output and tool schemas use: types, enum, const, default, bounds,
required, items, $ref into the same document, and the first branch of anyOf, oneOf and allOf. Patterns and
formats are not understood.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_OPTIONAL_DEPTH = 4
_MAX_DEPTH = 32


def fill_schema(schema: Mapping[str, Any]) -> Any:
    """An instance of ``schema``; always the same one.

    Raises:
        ValueError: the schema refers to nothing, or requires itself without end.
    """
    return _fill(schema, schema, 0)


def _fill(schema: Any, root: Mapping[str, Any], depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueError("the schema requires itself without end: make one of its properties optional")
    if not isinstance(schema, Mapping):
        return {}
    if "$ref" in schema:
        return _fill(_resolve(str(schema["$ref"]), root), root, depth + 1)
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    if schema.get("enum"):
        return schema["enum"][0]
    for keyword in ("anyOf", "oneOf", "allOf"):
        if schema.get(keyword):
            return _fill(schema[keyword][0], root, depth + 1)
    return _fill_type(_type_of(schema), schema, root, depth)


def _fill_type(kind: str, schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    if kind == "object":
        return _fill_object(schema, root, depth)
    if kind == "array":
        least = int(schema.get("minItems", 1 if depth < _OPTIONAL_DEPTH else 0))
        return [_fill(schema.get("items", {"type": "string"}), root, depth + 1) for _ in range(least)]
    if kind == "string":
        return "text".ljust(int(schema.get("minLength", 0)), ".")[: int(schema.get("maxLength", 1 << 20))]
    if kind in ("integer", "number"):
        return _least_number(schema, whole=kind == "integer")
    return {"boolean": True}.get(kind)


def _fill_object(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    properties = schema.get("properties") or {}
    required = set(schema.get("required") or ())
    wanted = [name for name in properties if name in required or depth < _OPTIONAL_DEPTH]
    return {name: _fill(properties[name], root, depth + 1) for name in wanted}


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
