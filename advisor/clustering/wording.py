"""Patterns in words."""

from __future__ import annotations

from collections.abc import Mapping

from inframind.advisor.cluster import OTHER_THAN, TraitName
from inframind.advisor.clustering.observing import Facts
from inframind.advisor.failure import FailureKind

_WHAT: Mapping[FailureKind, str] = {"failed": "failed runs", "late": "late runs", "wrong": "wrong answers"}
_CUT_BY = {"length": "truncated answers", "content_filter": "filtered answers"}
_LEVELS: Mapping[str, Mapping[str, str]] = {
    "prompt_length": {
        "low": "to short questions",
        "middle": "to questions of middle length",
        "high": "to long questions",
    },
    "load": {"low": "at low load", "middle": "at middle load", "high": "at high load"},
    "budget": {"low": "with short budgets", "middle": "with middle budgets", "high": "with long budgets"},
}
_ORDER: tuple[TraitName, ...] = (
    "model",
    "topology",
    "team_size",
    "role",
    "strategy",
    "hour_utc",
    "endpoint",
    "domain",
    "prompt_length",
    "load",
    "budget",
)


def label(kind: FailureKind, facts: Facts) -> str:
    """A pattern in a few words, such as "late runs at 22-6 UTC on gpu-3", "late runs unless topology is IO"."""
    values = {name: value for name, value in facts if not value.startswith(OTHER_THAN)}
    unless = [
        f"unless {name} is {value.removeprefix(OTHER_THAN)}" for name, value in facts if name not in values
    ]
    return " ".join((_what(kind, values), *_where(values), *unless))


def _what(kind: FailureKind, values: Mapping[TraitName, str]) -> str:
    end, error = values.get("finish_reason", ""), values.get("error", "")
    if kind == "wrong" and end in _CUT_BY:
        return _CUT_BY[end]
    if end:
        return f"{_WHAT[kind]} that ended by {end}"
    return f"{_WHAT[kind]} with {error}" if error else _WHAT[kind]


def _where(values: Mapping[TraitName, str]) -> list[str]:
    if "strategy" in values and "role" in values:
        together = f"where {values['role']} uses {values['strategy']}"
        rest = {name: value for name, value in values.items() if name not in ("strategy", "role")}
        return [*_where(rest), together]
    phrases = {name: _phrase(name, values[name]) for name in _ORDER if name in values}
    if "model" in values and "topology" in values:
        phrases["topology"] = f"in {values['topology']}"
    return list(phrases.values())


def _phrase(name: TraitName, value: str) -> str:
    match name:
        case "model" | "topology":
            return f"of {value}"
        case "team_size":
            return "with one agent" if value == "1" else f"with {value} agents"
        case "role" | "strategy":
            return f"with {value}"
        case "hour_utc":
            return f"at {value} UTC"
        case "endpoint":
            return f"on {value}"
        case "domain":
            return f"in {value}"
        case _:
            return _LEVELS[name][value]
