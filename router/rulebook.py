"""Rules worked out for what may be chosen: which candidates they mask, and which servers are tried last."""

from __future__ import annotations

import operator
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import numpy as np

from inframind.errors import ConfigError
from inframind.router.actions import ActionSpace, ExecutorAction, PlannerAction
from inframind.router.rule_names import Known, WithoutEffect, fitted
from inframind.router.rules import HOURS, SECONDS_PER_HOUR, RoutingRule
from inframind.router.topology import JUDGE_ROLE
from inframind.router.views import Mask

DOMAINS = ("math", "code", "knowledge", "general")
RULE = "rule "
"""What reasons begin with that are a rule's; its name follows."""
_KEPT = 4096
_NO_ENDPOINTS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class RuledOut:
    """What the rules that apply leave of some candidates (C).

    Attributes:
        reasons: of each candidate, the first rule that masks it, or "" (C).
        each: reason and remaining candidates (C) of every rule that masks something, in the order of the list.
    """

    reasons: tuple[str, ...]
    each: tuple[tuple[str, Mask], ...]

    @classmethod
    def of(cls, masks: Iterable[tuple[str, Sequence[bool]]]) -> RuledOut | None:
        """From each rule's name and what it leaves of the candidates (C); None where all leave everything."""
        each = tuple((RULE + name, np.array(leaves)) for name, leaves in masks if not all(leaves))
        if not each:
            return None
        reasons = [""] * len(each[0][1])
        for reason, leaves in each:
            _say(reasons, reason, ~leaves)
        return cls(tuple(reasons), each)


@lru_cache(maxsize=_KEPT)
def narrowed(reasons: tuple[str, ...], ruled: RuledOut) -> tuple[Mask, tuple[str, ...]]:
    """A mask with what rules forbid beside it; never empties one that is not empty.

    Rules join in the order of the list. One that would leave nothing of what the others before it left is passed over,
    and the next ones may still join; so all do where all together leave something. What was masked before stays so,
    with its own reason: rules come after what is impossible, and after the deadline. Where only what a rule avoids can
    still be in time, it is used.

    Args:
        reasons: why each candidate is masked already, or "" (C).
        ruled: what the rules leave.

    Returns:
        What is allowed (C), read-only, and the reason for each that is not (C).
    """
    left, said = np.array([not reason for reason in reasons]), list(reasons)
    for reason, leaves in ruled.each:
        fewer = left & leaves
        if fewer.any():
            _say(said, reason, left & ~leaves)
            left = fewer
    left.setflags(write=False)
    return left, tuple(said)


def _say(reasons: list[str], reason: str, where: Mask) -> None:
    for place in np.flatnonzero(where):
        reasons[place] = reasons[place] or reason


@dataclass(frozen=True, slots=True, eq=False)
class _AtSteps:
    """What rules say of the steps of some circumstances."""

    ruled: RuledOut | None
    endpoints: frozenset[str]


class RuleBook:
    """Rules worked out for what may be chosen. Pure: knows no clock.

    A rule that came by advice holds as far as it speaks of what there is, see `fitted`; one that a person wrote must
    speak of nothing else.

    Args:
        rules: in the order in which they join, see `narrowed`.
        actions: what may be chosen.
        endpoints: names of the servers of each model; those of ``actions.models`` unless given.
        roles: names of roles beside those of ``actions.roles`` and the judge's, which rules may speak of.

    Attributes:
        given: the rules as they were given.
        rules: those that hold, as far as they do.
        without_effect: what of those by advice does not.

    Raises:
        ConfigError: two rules have one name, or a rule without ``advice`` speaks of what there is not.
    """

    def __init__(
        self,
        rules: Sequence[RoutingRule],
        actions: ActionSpace,
        endpoints: Mapping[str, Sequence[str]] | None = None,
        *,
        roles: Collection[str] = (),
    ) -> None:
        self.given = tuple(rules)
        self.actions, self._roles = actions, frozenset(roles)
        facts = actions.models
        self._servers = {
            model: frozenset((endpoints or {}).get(model, facts[model].endpoints)) for model in facts
        }
        require_own_names(self.given)
        self._known = self._all_names()
        self.rules, self.without_effect = fitted(self.given, self._known)
        self._times = sorted({0, *(rule.when.min_prompt_tokens for rule in self.rules)})
        self._minds_hours = any(rule.when.hours_utc is not None for rule in self.rules)
        self._plan_rules = plan_rules(self.rules)
        self._named = {
            kind: frozenset().union(*(getattr(rule.when, kind) for rule in self.rules))
            for kind in ("domains", "roles", "topologies")
        }
        self._at_steps = lru_cache(maxsize=_KEPT)(self._work_out)
        self._plan_rules_at = lru_cache(maxsize=_KEPT)(self._work_out_plan_rules)
        self._at_plans = lru_cache(maxsize=_KEPT)(self._work_out_plans)

    def with_rules(self, rules: Sequence[RoutingRule]) -> RuleBook:
        """Other rules for the same choices.

        Raises:
            ConfigError: two rules have one name, or a rule without ``advice`` speaks of what there is not.
        """
        servers = {model: tuple(names) for model, names in self._servers.items()}
        return RuleBook(rules, self.actions, servers, roles=self._roles)

    # Steps ---------------------------------------------------------------------------------------------

    def step_reasons(
        self, *, domain: str, role: str, topology: str, prompt_tokens: int, wall_s: float
    ) -> tuple[str, ...] | None:
        """Why each executor action is to be avoided, ``rule NAME``, or "" (A); None where none is.

        Args:
            domain: of the question.
            role: of the step; "" for a step of any role, which rules for some roles then do not concern.
            topology: of the step's workflow, or "" likewise.
            prompt_tokens: rough number of tokens of the question.
            wall_s: now, in seconds since the Unix epoch.
        """
        ruled = self.at_step(
            domain=domain, role=role, topology=topology, prompt_tokens=prompt_tokens, wall_s=wall_s
        )
        return ruled.reasons if ruled else None

    def at_step(
        self, *, domain: str, role: str, topology: str, prompt_tokens: int, wall_s: float
    ) -> RuledOut | None:
        """What each rule leaves of the executor actions, for `narrowed`; arguments as `step_reasons`."""
        return self._at_steps(*self._key(domain, role, topology, prompt_tokens, wall_s)).ruled

    def avoided_endpoints(
        self, *, domain: str, role: str, topology: str, prompt_tokens: int, wall_s: float
    ) -> frozenset[str]:
        """Servers that are to be tried after all others; arguments as `step_reasons`."""
        return self._at_steps(*self._key(domain, role, topology, prompt_tokens, wall_s)).endpoints

    def tried_last(self, avoided: frozenset[str], model: str) -> frozenset[str]:
        """Of servers to be avoided, those that are once this model was chosen: not its own where it has no others.

        It was chosen although a rule avoids it, where that was passed over; nothing else is to be called before it.
        """
        own = self._servers[model]
        return avoided - own if own <= avoided else avoided

    def _work_out(self, domain: str, role: str, topology: str, least_tokens: int, hour: int) -> _AtSteps:
        rules = [
            rule
            for rule in self._rules_at(domain, least_tokens, hour)
            if (not rule.when.roles or role in rule.when.roles)
            and (not rule.when.topologies or topology in rule.when.topologies)
        ]
        avoided = list(accumulate((rule.avoid_endpoints for rule in rules), operator.or_))
        steps = self.actions.executor_actions
        masks = [
            (rule.name, [self._leaves(rule, endpoints, step) for step in steps])
            for rule, endpoints in zip(rules, avoided, strict=True)
        ]
        return _AtSteps(RuledOut.of(masks), avoided[-1] if avoided else _NO_ENDPOINTS)

    def _leaves(self, rule: RoutingRule, avoided: frozenset[str], step: ExecutorAction) -> bool:
        """Whether a rule leaves a step; ``avoided`` are the servers that it and those before it avoid."""
        return not (
            step.model in rule.avoid_models
            or (rule.only_models and step.model not in rule.only_models)
            or step.strategy in rule.avoid_strategies
            or step.label in rule.avoid_actions
            or (rule.avoid_endpoints and self._servers[step.model] <= avoided)
        )

    # Plans ---------------------------------------------------------------------------------------------

    def plan_reasons(
        self, candidates: Sequence[PlannerAction], *, domain: str, prompt_tokens: int, wall_s: float
    ) -> tuple[str, ...] | None:
        """Why each plan is to be avoided, ``rule NAME``, or "" (P); None where none is.

        Args:
            candidates: plans (P).
            domain: of the question.
            prompt_tokens: rough number of tokens of the question.
            wall_s: now, in seconds since the Unix epoch.
        """
        ruled = self.at_plan(candidates, domain=domain, prompt_tokens=prompt_tokens, wall_s=wall_s)
        return ruled.reasons if ruled else None

    def at_plan(
        self, candidates: Sequence[PlannerAction], *, domain: str, prompt_tokens: int, wall_s: float
    ) -> RuledOut | None:
        """What each rule leaves of some plans, for `narrowed`; arguments as `plan_reasons`."""
        if not self._plan_rules:
            return None
        domain, _, _, least_tokens, hour = self._key(domain, "", "", prompt_tokens, wall_s)
        if not self._plan_rules_at(domain, least_tokens, hour):
            return None
        return self._at_plans(tuple(candidates), domain, least_tokens, hour)

    def _work_out_plans(
        self, candidates: tuple[PlannerAction, ...], domain: str, least_tokens: int, hour: int
    ) -> RuledOut | None:
        rules = self._plan_rules_at(domain, least_tokens, hour)
        return RuledOut.of((rule.name, [_leaves_plan(rule, plan) for plan in candidates]) for rule in rules)

    def _work_out_plan_rules(self, domain: str, least_tokens: int, hour: int) -> tuple[RoutingRule, ...]:
        return tuple(rule for rule in self._rules_at(domain, least_tokens, hour) if rule in self._plan_rules)

    # Circumstances -------------------------------------------------------------------------------------

    def _key(
        self, domain: str, role: str, topology: str, prompt_tokens: int, wall_s: float
    ) -> tuple[str, str, str, int, int]:
        """Circumstances as far as a rule tells them apart."""
        named = self._named
        return (
            domain if domain in named["domains"] else "",
            role if role in named["roles"] else "",
            topology if topology in named["topologies"] else "",
            self._times[bisect_right(self._times, prompt_tokens) - 1],
            int(wall_s // SECONDS_PER_HOUR) % HOURS if self._minds_hours else 0,
        )

    def _rules_at(self, domain: str, least_tokens: int, hour: int) -> Iterator[RoutingRule]:
        for rule in self.rules:
            when = rule.when
            if (
                (not when.domains or domain in when.domains)
                and when.min_prompt_tokens <= least_tokens
                and when.is_at(hour * SECONDS_PER_HOUR)
            ):
                yield rule

    # Names ---------------------------------------------------------------------------------------------

    def gone_in(self, rules: Iterable[RoutingRule]) -> tuple[WithoutEffect, ...]:
        """What of other rules by advice would be without effect here.

        Raises:
            ConfigError: a rule without ``advice`` speaks of what there is not.
        """
        return fitted(rules, self._known)[1]

    def _all_names(self) -> Known:
        actions = self.actions
        return {
            "when.domains": {*DOMAINS, *actions.roles},
            "when.roles": {
                JUDGE_ROLE,
                *self._roles,
                *(name for names in actions.roles.values() for name in names),
            },
            "when.topologies": actions.topologies,
            "avoid_models": actions.models,
            "only_models": actions.models,
            "avoid_endpoints": frozenset().union(*self._servers.values()),
            "avoid_strategies": actions.strategies,
            "avoid_actions": actions.executor_labels,
            "avoid_topologies": actions.topologies,
        }


def plan_rules(rules: Iterable[RoutingRule]) -> tuple[RoutingRule, ...]:
    """Those that concern plans."""
    return tuple(rule for rule in rules if rule.avoid_topologies or rule.most_agents)


def _leaves_plan(rule: RoutingRule, plan: PlannerAction) -> bool:
    is_too_large = rule.most_agents is not None and plan.team_size > rule.most_agents
    return not is_too_large and plan.topology not in rule.avoid_topologies


def after_own(own: Sequence[RoutingRule], rules: Iterable[RoutingRule]) -> tuple[RoutingRule, ...]:
    """A configuration's own rules, and after them those of other names that a policy brings."""
    names = {rule.name for rule in own}
    return (*own, *(rule for rule in rules if rule.name not in names))


def roles_in(rules: Iterable[RoutingRule]) -> frozenset[str]:
    """Roles that rules speak of: for a `RuleBook` over rules that were checked where they serve."""
    return frozenset().union(*(rule.when.roles for rule in rules))


def require_own_names(rules: Iterable[RoutingRule]) -> None:
    """Refuse two rules of one name.

    Raises:
        ConfigError: naming it.
    """
    seen: set[str] = set()
    for rule in rules:
        if rule.name in seen:
            raise ConfigError("rules.name", rule.name, "give every rule its own name")
        seen.add(rule.name)
