"""What a change is called, and why it is recommended, in plain words."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from inframind.advisor.cluster import FailureCluster
from inframind.advisor.options.generating import Pattern, is_alone
from inframind.router.actions import ActionSpace
from inframind.router.rules import Circumstances, RoutingRule
from inframind.traces.advice import Prediction

_SHARES = ("success", "solved", "on_time")
_WIDTH = 80
"""Columns that a title has, if it can."""
_NAMES = {"success": "success", "on_time": "in time", "latency_s": "latency", "cost": "cost"}


def title_of(rule: RoutingRule, pattern: Pattern | None, actions: ActionSpace | None = None) -> str:
    """One line for people, such as "Use qwen-14b alone (not qwen-7b, qwen-3b) where the domain is math".

    Args:
        rule: what changes.
        pattern: of the failures that it answers, whose models are named first of those that it leaves out.
        actions: what may be chosen; without it nobody can say what is left.
    """
    asked, where = _asked(rule, actions), _where(rule.when)
    out = _left_out(rule, pattern, actions) if actions else []
    return f"{asked}{_not(out, _WIDTH - len(asked) - len(where))}{where}"


def name_of(rule: RoutingRule, taken: Collection[str], actions: ActionSpace | None = None) -> str:
    """A name for a rule that no other one has."""
    name = f"{_asked(rule, actions)}{_where(rule.when)}"
    others = (f"{name} ({number})" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(other for other in others if other not in taken)


def reason_of(
    predictions: Sequence[Prediction], cluster: FailureCluster | None, rule: RoutingRule | None = None
) -> str:
    """Why, with figures, and what it costs to keep to one thing."""
    first = predictions[0]
    about = f'Answers "{cluster.label}", {cluster.size:,} runs. ' if cluster else ""
    if about and not first.is_enough:
        about += "The pattern is sure, what this change brings is not. "
    told = [_figure(one) for one in predictions if one.metric in _NAMES and one.is_enough]
    if not first.is_enough:
        told.append(f"success: {first.objection}")
    figures = ", ".join(told)
    size = (
        f"{first.runs:,} runs, {first.affected:,} concerned, {first.effective_size:,.0f} decisions in effect"
    )
    end = f" Nothing is learned of other {_of_what(rule)} then." if rule and is_alone(rule) else ""
    return f"{about}{figures[:1].upper()}{figures[1:]}; {size}.{end}"


def _asked(rule: RoutingRule, actions: ActionSpace | None) -> str:
    if rule.only_models:
        return f"Use {_and(rule.only_models)} alone"
    if rule.avoid_models:
        return f"Do not use {_and(rule.avoid_models)}"
    if rule.avoid_strategies:
        alone = _alone(rule.avoid_strategies, actions.strategies if actions else ())
        return (
            f"Use strategy {alone} alone" if alone else f"Do not use strategy {_and(rule.avoid_strategies)}"
        )
    if rule.avoid_actions:
        pairs = [label.rpartition("/") for label in sorted(rule.avoid_actions)]
        return "Do not use " + " and ".join(f"{model} with {strategy}" for model, _, strategy in pairs)
    if rule.avoid_endpoints:
        return f"Do not call server {_and(rule.avoid_endpoints)} while its model has another"
    if rule.avoid_topologies:
        alone = _alone(rule.avoid_topologies, actions.topologies if actions else ())
        return f"Plan {alone} alone" if alone else f"Do not plan {_and(rule.avoid_topologies)}"
    return f"Plan no more than {rule.most_agents} agent{'s' if rule.most_agents != 1 else ''}"


def _alone(avoided: frozenset[str], names: Collection[str]) -> str:
    """The only one of some names that is left by avoiding others, or ""; "" where it avoids but one."""
    left = [name for name in names if name not in avoided]
    return left[0] if len(avoided) > 1 and len(left) == 1 else ""


def _left_out(rule: RoutingRule, pattern: Pattern | None, actions: ActionSpace) -> list[str]:
    """What a rule that keeps to one thing leaves out; a pattern's own first."""
    if rule.only_models:
        guilty = pattern.models if pattern else frozenset()
        return sorted(actions.models.keys() - rule.only_models, key=lambda name: (name not in guilty, name))
    for avoided, names in (
        (rule.avoid_strategies, actions.strategies),
        (rule.avoid_topologies, actions.topologies),
    ):
        if _alone(avoided, names):
            return sorted(avoided)
    return []


def _not(names: Sequence[str], room: int) -> str:
    """That these are left out, as many of them by name as there is room for, and one at least."""
    for told in range(len(names), 0, -1):
        rest = len(names) - told
        others = f" or {rest} other{'s' if rest > 1 else ''}" if rest else ""
        said = f" (not {', '.join(names[:told])}{others})"
        if len(said) <= room or told == 1:
            return said
    return ""


def _of_what(rule: RoutingRule) -> str:
    return "models" if rule.only_models else "strategies" if rule.avoid_strategies else "topologies"


def _where(when: Circumstances) -> str:
    said = [
        f"the {noun} is {' or '.join(sorted(names))}"
        for noun, names in (("domain", when.domains), ("role", when.roles), ("topology", when.topologies))
        if names
    ]
    if when.hours_utc is not None:
        said.append(f"it is {when.hours_utc[0]:02}:00 to {when.hours_utc[1]:02}:00 UTC")
    if when.min_prompt_tokens:
        said.append(f"the question has {when.min_prompt_tokens:,} tokens or more")
    return f" where {' and '.join(said)}" if said else ""


def _figure(one: Prediction) -> str:
    name = _NAMES[one.metric]
    if one.metric in _SHARES:
        return (
            f"{name} {one.before:.1%} -> {one.before + one.change:.1%} "
            f"({100 * one.low:+.1f} to {100 * one.high:+.1f} points)"
        )
    if one.before <= 0:
        return f"{name} {one.change:+.3g}"
    return (
        f"{name} {one.change / one.before:+.1%} ({one.low / one.before:+.1%} to {one.high / one.before:+.1%})"
    )


def _and(names: Collection[str]) -> str:
    return " and ".join(sorted(names))
