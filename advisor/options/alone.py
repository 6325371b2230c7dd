"""Whether to keep to one thing alone is surely better than to leave out a bad one.

Who keeps to one model learns nothing of the others any more, and forbids those that nobody has a word against. So it is
offered instead of leaving out one only where that one cannot be shown to do good, or surely does less of it.
"""

from __future__ import annotations

from inframind.advisor.options.claims import claim_of, errors_at, has_support
from inframind.advisor.options.config import AnalysisConfig
from inframind.advisor.options.effect import Effect, Effects
from inframind.advisor.options.whole import effect_of_change, under_rules
from inframind.router.ope.estimate import SupportRule
from inframind.router.rules import RoutingRule
from inframind.traces.advice import RecommendationKind


def is_surely_better(
    rule: RoutingRule,
    other: RoutingRule,
    effects: Effects,
    kind: RecommendationKind,
    delta: float,
    config: AnalysisConfig,
) -> bool:
    """Whether one change does more of what a kind is after than another, by runs that neither was chosen on.

    Args:
        rule: the one.
        other: the other.
        effects: of rules, on these runs.
        kind: what they are after.
        delta: chance of a wrong yes.
        config: when runs say enough.
    """
    beyond = effect_beyond(rule, other, effects, config.support)
    claim = claim_of(kind, beyond, config)
    if not has_support(claim, beyond, config):
        return False
    return claim.sureness(beyond) >= errors_at(delta, beyond, claim.metrics())


def effect_beyond(rule: RoutingRule, other: RoutingRule, effects: Effects, support: SupportRule) -> Effect:
    """What one change does beyond another, by runs that neither was chosen on."""
    logs, book, actions = effects.basis
    new, old = (under_rules(logs, [one], book, actions) for one in (rule, other))
    return effect_of_change(new, old, support)
