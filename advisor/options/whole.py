"""What recorded runs say of a whole configuration: several rules together, or another policy.

One rule by itself is the business of `inframind.advisor.options.effect`; this gives the same for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from inframind.advisor.options.effect import Effect, Part, Touched, compared, effect_of
from inframind.advisor.options.logs import Choices, Coded, Logs, Mask
from inframind.router.actions import ActionSpace
from inframind.router.ope.estimate import SupportRule
from inframind.router.rulebook import RuleBook, RuledOut, narrowed
from inframind.router.rules import SECONDS_PER_HOUR, RoutingRule
from inframind.router.topology import MAX_TEAM_SIZE

FORBIDS_NOTHING = RoutingRule(name="another configuration", most_agents=MAX_TEAM_SIZE)
"""Stands in an effect that is not one rule's."""


def under_rules(logs: Logs, rules: Sequence[RoutingRule], book: RuleBook, actions: ActionSpace) -> Logs:
    """The same runs, as the policy that serves would decide them under more rules.

    Args:
        logs: the runs, read under the rules that are in force.
        rules: which come after those; which servers they avoid is not looked at.
        book: the rules that are in force.
        actions: what may be chosen.

    Raises:
        ConfigError: two rules have one name, or a rule speaks of what there is not.
    """
    more = book.with_rules(rules)

    def at_step(steps: Choices, place: int) -> RuledOut | None:
        return more.at_step(
            domain=_name(steps.domain, place),
            role=_name(steps.role, place),
            topology=_name(steps.topology, place),
            prompt_tokens=int(steps.tokens_N[place]),
            wall_s=float(steps.hour_N[place]) * SECONDS_PER_HOUR,
        )

    def at_plan(plans: Choices, place: int) -> RuledOut | None:
        return more.at_plan(
            actions.planner_actions,
            domain=_name(plans.domain, place),
            prompt_tokens=int(plans.tokens_N[place]),
            wall_s=float(plans.hour_N[place]) * SECONDS_PER_HOUR,
        )

    plans = _under(logs.plans, more) or _narrowed(logs.plans, at_plan)
    return replace(logs, plans=plans, steps=_narrowed(logs.steps, at_step))


def effect_of_change(new: Logs, old: Logs, support: SupportRule) -> Effect:
    """What the runs that nothing was chosen on say of deciding otherwise.

    Args:
        new: the runs under the policy and the rules in question.
        old: the same runs under those that serve.
        support: when the exact level has support.
    """
    touched = [_touched(new.steps, old, old.steps), _touched(new.plans, old, old.plans)]
    expected_RM = old.asked_RM if len(touched[1].run_n) else old.planned_RM
    return effect_of(old, Part(old, is_choosing=False), FORBIDS_NOTHING, touched, expected_RM, support)


def _under(plans: Choices, more: RuleBook) -> Choices | None:
    """Plans as they would be made with what more rules leave of plans and steps; None where nobody can say."""
    if plans.ask_under is None:
        return None
    allowed_NC, now_NC = plans.ask_under(np.arange(len(plans)), more)
    return replace(plans, allowed_NC=allowed_NC, now_NC=now_NC)


def _narrowed(choices: Choices, at: Callable[[Choices, int], RuledOut | None]) -> Choices:
    allowed_NC, now_NC = choices.allowed_NC.copy(), choices.now_NC.copy()
    for place in range(len(choices)):
        ruled = at(choices, place)
        if ruled is not None:
            allowed_NC[place] = _left(choices.allowed_NC[place], ruled)
    places = np.flatnonzero((allowed_NC != choices.allowed_NC).any(axis=1))
    if len(places):
        now_NC[places] = choices.ask_again(places, allowed_NC[places])
    return replace(choices, allowed_NC=allowed_NC, now_NC=now_NC)


def _left(allowed_C: Mask, ruled: RuledOut) -> Mask:
    return narrowed(tuple("" if may else "masked" for may in allowed_C.tolist()), ruled)[0]


def _touched(new: Choices, logs: Logs, old: Choices) -> Touched:
    """Decisions that are made otherwise, of the runs that nothing was chosen on."""
    is_other_N = (new.now_NC != old.now_NC).any(axis=1) & ~logs.is_choosing_R[old.run_N]
    places = np.flatnonzero(is_other_N)
    return compared(old, places, new.now_NC[places])


def _name(column: Coded, place: int) -> str:
    return column.names[int(column.code_N[place])]
