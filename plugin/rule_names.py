"""Names in rules that there are not, all of them, and which an application may add in code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inframind.errors import ConfigError
from inframind.router.rule_names import WithoutEffect
from inframind.router.rulebook import RuleBook
from inframind.router.rules import RoutingRule

Addition = Literal["role", "topology"]
_ADDITIONS: dict[str, Addition] = {
    "when.roles": "role",
    "when.topologies": "topology",
    "avoid_topologies": "topology",
}
"""By field, what an application may add of what it names."""


@dataclass(frozen=True, slots=True)
class UnknownName:
    """A name in a rule that there is not.

    Attributes:
        error: says which, and which there are.
        addition: what an application may have added under that name; None where it can add no such thing.
    """

    error: ConfigError
    addition: Addition | None

    @property
    def name(self) -> str:
        """As it is written."""
        return str(self.error.value)


def unknown_names(book: RuleBook, rule: RoutingRule) -> list[UnknownName]:
    """Every name in a rule that a book does not know; a book by itself says the first alone.

    Args:
        book: over what may be chosen.
        rule: which may name anything; that it came by advice excuses nothing.
    """
    rule = rule.model_copy(update={"advice": ""})
    found: list[UnknownName] = []
    while True:
        try:
            book.with_rules([rule])
        except ConfigError as error:
            field = error.field.removeprefix(f"rules.{rule.name}.")
            found.append(UnknownName(error, _ADDITIONS.get(field)))
            rule = _without(rule, field, str(error.value))
        else:
            return found


def gone_in_words(one: WithoutEffect) -> str:
    """What of a rule does nothing, for somebody who may not know what an application adds in code."""
    added = {kind: None for field, _ in one.gone if (kind := _ADDITIONS.get(field))}
    return f"{one} (unless the application adds this {' or '.join(added)} in code)" if added else str(one)


def _without(rule: RoutingRule, field: str, name: str) -> RoutingRule:
    if not field.startswith("when."):
        return rule.model_copy(update={field: getattr(rule, field) - {name}})
    part = field.removeprefix("when.")
    when = rule.when.model_copy(update={part: getattr(rule.when, part) - {name}})
    return rule.model_copy(update={"when": when})
