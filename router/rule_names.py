"""Names in rules that there are not: a mistake where a person wrote them, and gone meanwhile where advice did."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from inframind.errors import ConfigError
from inframind.router.rules import RoutingRule

Known = Mapping[str, Collection[str]]
"""Names that there are, by the field of a rule that may have them; see `NOUNS`."""
NOUNS: Mapping[str, str] = {
    "when.domains": "domain",
    "when.roles": "role",
    "when.topologies": "topology",
    "avoid_models": "model",
    "only_models": "model",
    "avoid_endpoints": "server",
    "avoid_strategies": "strategy",
    "avoid_actions": "pair",
    "avoid_topologies": "topology",
}
"""What each field of a rule names, in the order in which fields are looked at."""
_WHEN = "when."


@dataclass(frozen=True, slots=True)
class WithoutEffect:
    """What of a rule does nothing here, since it speaks of what is gone.

    Attributes:
        rule: its name.
        advice: id of the recommendation that it came from.
        gone: field and name of each thing that there is not.
        is_whole: whether nothing of the rule is left.
    """

    rule: str
    advice: str
    gone: tuple[tuple[str, str], ...]
    is_whole: bool

    def __str__(self) -> str:
        """As a sentence."""
        named = dict.fromkeys(f"{NOUNS[field]} {name!r}" for field, name in self.gone)
        what = "has no effect" if self.is_whole else "has only part of its effect"
        return f"rule {self.rule!r} {what}: there is no {' and no '.join(named)}"


def fitted(
    rules: Iterable[RoutingRule], known: Known
) -> tuple[tuple[RoutingRule, ...], tuple[WithoutEffect, ...]]:
    """Rules as far as they speak of what there is, in the same order, and what was left out of them.

    A rule that came by advice was right when it was made. What it avoids and there is no more is avoided already; of
    what it keeps to, it keeps to what is left, if anything is; a question, role or topology that there is no more it
    concerns no longer. What then asks for nothing, or is about nothing, is left out.

    Args:
        rules: with ``advice`` or without.
        known: what there is.

    Raises:
        ConfigError: a rule that a person wrote speaks of what there is not.
    """
    kept: list[RoutingRule] = []
    without: list[WithoutEffect] = []
    for rule in rules:
        gone = tuple(_unknown(rule, known))
        if gone and not rule.advice:
            raise _refusal(rule, *gone[0], known)
        left = _without(rule, gone) if gone else rule
        if left is not None:
            kept.append(left)
        if gone:
            without.append(WithoutEffect(rule.name, rule.advice, gone, is_whole=left is None))
    return tuple(kept), tuple(without)


def _unknown(rule: RoutingRule, known: Known) -> Iterator[tuple[str, str]]:
    for field in NOUNS:
        for name in sorted(_names(rule, field).difference(known[field])):
            yield field, name


def _names(rule: RoutingRule, field: str) -> frozenset[str]:
    part = rule.when if field.startswith(_WHEN) else rule
    names: frozenset[str] = getattr(part, field.removeprefix(_WHEN))
    return names


def _refusal(rule: RoutingRule, field: str, name: str, known: Known) -> ConfigError:
    fix = f"there is none; there are {', '.join(sorted(known[field]))}"
    return ConfigError(f"rules.{rule.name}.{field}", name, fix)


def _without(rule: RoutingRule, gone: Collection[tuple[str, str]]) -> RoutingRule | None:
    """The rule without some names; None where that is no rule any more.

    No names in a circumstance is every one of them, and must not become of some that are gone.
    """
    left = {field: _names(rule, field) - {name for of, name in gone if of == field} for field, _ in gone}
    if any(field.startswith(_WHEN) and not names for field, names in left.items()):
        return None
    when = {field.removeprefix(_WHEN): names for field, names in left.items() if field.startswith(_WHEN)}
    asked = {field: names for field, names in left.items() if not field.startswith(_WHEN)}
    fewer = rule.model_copy(update={**asked, "when": rule.when.model_copy(update=when)})
    return fewer if fewer.asks_for_something else None
