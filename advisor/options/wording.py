"""What a change is called, and why it is recommended, in plain words."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from inframind.advisor.cluster import FailureCluster
from inframind.advisor.options.generating import Pattern
from inframind.router.rules import Circumstances, RoutingRule
from inframind.traces.advice import Prediction

_SHARES = ("success", "solved", "on_time")
_NAMES = {"success": "success", "on_time": "in time", "latency_s": "latency", "cost": "cost"}


def title_of(rule: RoutingRule, pattern: Pattern | None) -> str:
    """One line for people, such as "Use qwen-14b instead of qwen-7b where the domain is math"."""
    return f"{_asked(rule, pattern)}{_where(rule.when)}"


def name_of(rule: RoutingRule, taken: Collection[str]) -> str:
    """A name for a rule that no other one has."""
    name = title_of(rule, None)
    others = (f"{name} ({number})" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(other for other in others if other not in taken)


def reason_of(predictions: Sequence[Prediction], cluster: FailureCluster | None) -> str:
    """Why, with figures."""
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
    return f"{about}{figures[:1].upper()}{figures[1:]}; {size}."


def _asked(rule: RoutingRule, pattern: Pattern | None) -> str:
    if rule.only_models:
        replaced = sorted(pattern.models - rule.only_models) if pattern else []
        instead = f" instead of {_and(replaced)}" if replaced else " alone"
        return f"Use {_and(rule.only_models)}{instead}"
    if rule.avoid_models:
        return f"Do not use {_and(rule.avoid_models)}"
    if rule.avoid_strategies:
        return f"Do not use strategy {_and(rule.avoid_strategies)}"
    if rule.avoid_actions:
        pairs = [label.rpartition("/") for label in sorted(rule.avoid_actions)]
        return "Do not use " + " and ".join(f"{model} with {strategy}" for model, _, strategy in pairs)
    if rule.avoid_endpoints:
        return f"Do not call server {_and(rule.avoid_endpoints)} while its model has another"
    if rule.avoid_topologies:
        return f"Do not plan {_and(rule.avoid_topologies)}"
    return f"Plan no more than {rule.most_agents} agent{'s' if rule.most_agents != 1 else ''}"


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
