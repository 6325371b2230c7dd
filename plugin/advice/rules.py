"""The rules of a recommendation, under names of its own."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from inframind.advisor.ranking.changes import rule_document, rules_of
from inframind.errors import ConfigError
from inframind.plugin.advice.toml_edit import SHOWN_DIGITS
from inframind.router.rules import RoutingRule
from inframind.traces.advice import Recommendation


def named_rules(recommendation: Recommendation) -> tuple[RoutingRule, ...]:
    """Its rules, each with its id and a name that no other recommendation's has: it is seen where they mask something.

    Raises:
        ConfigError: one is none; a newer release may have made it.
    """
    advice = recommendation.recommendation_id
    try:
        rules = rules_of(recommendation.rules)
    except ValidationError as error:
        fix = f"its rules cannot be read by this release: {error.errors()[0]['msg']}"
        raise ConfigError("recommendation", advice[:SHOWN_DIGITS], fix) from error
    return tuple(
        rule.model_copy(update={"name": _name(advice, number), "advice": advice})
        for number, rule in enumerate(rules, 1)
    )


def documents_of(recommendation: Recommendation) -> list[dict[str, Any]]:
    """The same as plain data of the file's form.

    Raises:
        ConfigError: as `named_rules`.
    """
    advice = recommendation.recommendation_id
    return [rule_document(rule, advice=advice) for rule in named_rules(recommendation)]


def _name(advice: str, number: int) -> str:
    return f"advice-{advice[:SHOWN_DIGITS]}" + (f"-{number}" if number > 1 else "")
