"""What a configuration decides with, in words; other keys of the document as they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from inframind.plugin.terminal import one_line

Line = tuple[str, str]
_MODEL = (
    ("size_b", "{:g} B"),
    ("quality", "quality {:.2g}"),
    ("context_length", "{:,} tokens of context"),
    ("price_input_usd_per_mtok", "${:g} per million tokens in"),
    ("price_output_usd_per_mtok", "${:g} per million tokens out"),
    ("slots", "{:,} slots"),
)
_STRATEGY = (
    ("temperature", "temperature {:g}"),
    ("max_tokens", "at most {:,} tokens"),
)
_POLICY = (
    ("exploration", "exploration {:.0%}"),
    ("deadline_quantile", "deadline quantile {:g}"),
)


def document_lines(document: Mapping[str, Any]) -> Iterator[Line]:
    """Names and texts, one line each; a name is "" where the one before goes on."""
    told: dict[str, Callable[[Any], list[str]]] = {
        "policy": _policy,
        "models": lambda value: _each(value, _MODEL),
        "strategies": lambda value: _each(value, _STRATEGY),
        "topologies": lambda value: [", ".join(value)],
        "roles": lambda value: [f"{domain}: {', '.join(names)}" for domain, names in value.items()],
        "rules": lambda value: [_rule(rule) for rule in value] or ["none"],
    }
    for name in (*told, *sorted(document.keys() - told.keys())):
        if name not in document:
            continue
        value = document[name]
        texts = told[name](value) if name in told else [_plain(value)]
        for place, text in enumerate(texts):
            yield "" if place else name, one_line(text, 2000)


def _policy(policy: Mapping[str, Any]) -> list[str]:
    named = f"{policy.get('name', '')} {policy.get('version', '')}".strip() or "-"
    greedy = ["greedy"] if policy.get("greedy") else []
    return [", ".join([named, *_facts(policy, _POLICY), *greedy])]


def _each(values: Mapping[str, Mapping[str, Any]], words: tuple[tuple[str, str], ...]) -> list[str]:
    return [
        f"{name}: {', '.join(_facts(value, words))}" if _facts(value, words) else name
        for name, value in values.items()
    ]


def _facts(value: Mapping[str, Any], words: tuple[tuple[str, str], ...]) -> list[str]:
    """What is known; prices of 0 are none."""
    return [
        text.format(value[key])
        for key, text in words
        if value.get(key) is not None and (value[key] or not key.startswith("price"))
    ]


def _rule(rule: Mapping[str, Any]) -> str:
    """Its name and what it says: ``no-large: avoid_models large; when domains math``."""
    asked = [f"{key} {_plain(value)}" for key, value in rule.items() if key not in ("name", "when", "advice")]
    when = [f"when {key} {_plain(value)}" for key, value in rule.get("when", {}).items()]
    advice = [f"from recommendation {rule['advice']}"] if rule.get("advice") else []
    return f"{rule.get('name', '-')}: {'; '.join([*asked, *when, *advice])}"


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_plain(one) for one in value) or "none"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
