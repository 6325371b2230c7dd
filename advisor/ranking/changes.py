"""Changes of a configuration as things that can be told apart: the same change is known again tomorrow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from inframind.router.rules import RoutingRule
from inframind.traces.advice import Prediction

_LABELS = {"name", "advice"}
"""What a rule is called and where it came from is no part of what it does."""
_does = attrgetter(*(name for name in RoutingRule.model_fields if name not in _LABELS))

Change = frozenset[tuple[object, ...]]
"""What rules do, one tuple of values each."""


def rule_document(rule: RoutingRule, *, advice: str) -> dict[str, Any]:
    """A rule as plain data of the file's form, with the id of the recommendation that it is of."""
    return rule.model_copy(update={"advice": advice}).to_plain()


def change_of(rules: Iterable[RoutingRule]) -> Change:
    """What rules do, whatever they are called and in whatever order."""
    return frozenset(map(_does, rules))


def switches_model(rules: Sequence[RoutingRule]) -> bool:
    """Whether rules move steps from one model to another."""
    return any(rule.avoid_models or rule.only_models or rule.avoid_actions for rule in rules)


def rules_of(documents: Iterable[Mapping[str, Any]]) -> tuple[RoutingRule, ...]:
    """Rules out of plain data.

    Raises:
        pydantic.ValidationError: one is none.
    """
    return tuple(RoutingRule.model_validate(dict(document)) for document in documents)


def have_changed(before: Sequence[Prediction], after: Sequence[Prediction]) -> bool:
    """Whether predictions are news to somebody who knew those before.

    They are where some metric is now outside its former 95 % interval, or there is enough evidence now and was not
    before, or the other way round. A metric that was not predicted before had not enough evidence.
    """
    old = {one.metric: one for one in before}
    new = {one.metric: one for one in after}
    return any(_is_news(old.get(metric), new.get(metric)) for metric in old.keys() | new.keys())


def _is_news(old: Prediction | None, new: Prediction | None) -> bool:
    known, is_known = old is not None and old.is_enough, new is not None and new.is_enough
    if known != is_known:
        return True
    if old is None or new is None or not is_known:
        return False
    return not old.low <= new.change <= old.high
