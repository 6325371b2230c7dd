"""What ``inframind doctor`` says of rules: names that there are not, and rules that would be passed over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from inframind.errors import CheckpointError, ConfigError, StoreError, UnknownPolicy
from inframind.fleet.clock import SystemClock
from inframind.fleet.probe import Finding
from inframind.graphs.registry import TopologyRegistry
from inframind.plugin.advice.toml_edit import SHOWN_DIGITS
from inframind.plugin.advice.versions import Versions
from inframind.plugin.build import book_to_check, registry_of, stored_policy
from inframind.plugin.config import Settings
from inframind.plugin.rule_names import UnknownName, gone_in_words, unknown_names
from inframind.plugin.terminal import one_line
from inframind.router.rule_names import WithoutEffect
from inframind.router.rulebook import RULE, RuleBook, RuledOut, after_own
from inframind.router.rules import HOURS, SECONDS_PER_HOUR, Circumstances, RoutingRule
from inframind.router.views import Mask
from inframind.traces.shelves import shelf_of
from inframind.traces.store import open_store

_LONGEST = 80
_ALWAYS = Circumstances()


async def served_rules(settings: Settings) -> list[tuple[RoutingRule, ...]]:
    """The rules of the learned policy that serves, and of the one that is tried, as far as they can be read.

    What keeps them from being read is said of the policy and of the store.
    """
    if settings.policy.name != "learned":
        return []
    try:
        if not settings.online.enabled:
            return [stored_policy(settings.policy).rules]
        async with open_store(settings.traces.url) as store:
            shelf = shelf_of(store)
            rollout = await shelf.rollout()
            versions = Versions(shelf, lambda: stored_policy(settings.policy), SystemClock())
            wanted = [rollout.serving, *filter(None, [rollout.candidate])]
            return [(await versions.stored(version)).rules for version in wanted]
    except (CheckpointError, ConfigError, StoreError, UnknownPolicy):
        return []


def checked_rules(settings: Settings, served: Sequence[Sequence[RoutingRule]] = ()) -> list[Finding]:
    """Every name that there is not, in any rule, and every rule that would be passed over whenever it applies.

    Args:
        settings: the configuration.
        served: rules of learned policies, which serve after the configuration's own.
    """
    every = TopologyRegistry()
    try:
        book = book_to_check(settings, registry_of(settings, every))
    except ConfigError as error:
        return [Finding(check="names", level="fail", found=f"{error.field} = {error.value!r}", fix=error.fix)]
    together = [after_own(settings.own_rules(), rules) for rules in (settings.rules, *served)]
    rules = tuple(dict.fromkeys(rule for one in together for rule in one))
    unknown = {rule: unknown_names(book, rule) for rule in rules if not rule.advice}
    books = [book.with_rules([rule for rule in one if not unknown.get(rule)]) for one in together]
    findings = [
        *(_finding(one, every) for found in unknown.values() for one in found),
        *(_gone(one) for one in dict.fromkeys(gone for book in books for gone in book.without_effect)),
        *dict.fromkeys(finding for book in books for finding in _passed_over(book)),
    ]
    if findings or not rules:
        return findings
    return [Finding(check="names", level="ok", found=f"{len(rules)} fit this fleet")]


def _gone(one: WithoutEffect) -> Finding:
    """No failure: what is avoided and is not there is avoided already."""
    fix = f"`inframind advise revert {one.advice[:SHOWN_DIGITS]}` takes it out; it holds again if that comes back"
    return Finding(check="effect", level="warn", found=one_line(gone_in_words(one), 3 * _LONGEST), fix=fix)


def _finding(unknown: UnknownName, every: TopologyRegistry) -> Finding:
    """A failure where ``inframind run`` refuses it, and so does any application."""
    error, kind = unknown.error, unknown.addition
    found = f"{one_line(error.field, _LONGEST)} = {error.value!r}"
    if kind is None or unknown.name in every.specs:
        return Finding(check="names", level="fail", found=found, fix=error.fix)
    fix = f"`inframind run` refuses it; right only if your application adds this {kind} in code. Else: {error.fix}"
    return Finding(check="names", level="warn", found=found, fix=fix)


# What rules leave ------------------------------------------------------------------------------------------


def _passed_over(book: RuleBook) -> Iterator[Finding]:
    """Rules that leave nothing, by themselves or of what those leave that apply whenever they do."""
    passed_over: set[tuple[str, str]] = set()
    for place, rule in enumerate(book.rules):
        before = [old for old in book.rules[:place] if _covers(old.when, rule.when)]
        for kind, ruled in _at_once(book, [*before, rule]).items():
            if ruled is None:
                continue
            each = [(name.removeprefix(RULE), leaves) for name, leaves in ruled.each]
            clashing = _clashing(rule.name, [one for one in each if (one[0], kind) not in passed_over])
            if clashing is not None:
                passed_over.add((rule.name, kind))
                yield _clash(rule, kind, clashing)


def _at_once(book: RuleBook, rules: Sequence[RoutingRule]) -> dict[str, RuledOut | None]:
    """What each of them leaves of steps and of plans where all apply."""
    always = book.with_rules([rule.model_copy(update={"when": _ALWAYS}) for rule in rules])
    steps = always.at_step(domain="", role="", topology="", prompt_tokens=0, wall_s=0.0)
    plans = always.at_plan(book.actions.planner_actions, domain="", prompt_tokens=0, wall_s=0.0)
    return {"model with a strategy": steps, "topology with a team": plans}


def _clashing(name: str, each: Sequence[tuple[str, Mask]]) -> list[str] | None:
    """The rules because of which the last one is passed over, maybe none; None where it is not.

    Args:
        name: of the last one, which is not there where it masks nothing.
        each: name and what it leaves (C) of every rule that masks something, none of them passed over.
    """
    if not each or each[-1][0] != name:
        return None
    *before, (_, leaves) = each
    if np.logical_and.reduce([leaves, *(others for _, others in before)]).any():
        return None
    return [other for other, others in before if (leaves & ~others).any()]


def _clash(rule: RoutingRule, kind: str, clashing: Sequence[str]) -> Finding:
    name = repr(one_line(rule.name, _LONGEST))
    others = " and ".join(repr(one_line(other, _LONGEST)) for other in clashing)
    why = f"after {others} it" if others else "it"
    found = f"rule {name} is passed over whenever it applies: {why} leaves no {kind}"
    fix = f"change or remove {name}" + (f", or {others}" if others else "")
    return Finding(check="effect", level="warn", found=found, fix=fix)


def _covers(one: Circumstances, other: Circumstances) -> bool:
    """Whether one holds whenever the other does."""
    for name in ("domains", "roles", "topologies"):
        mine, theirs = getattr(one, name), getattr(other, name)
        if mine and not (theirs and theirs <= mine):
            return False
    hours = (hour * SECONDS_PER_HOUR for hour in range(HOURS))
    is_always_at = all(one.is_at(wall_s) or not other.is_at(wall_s) for wall_s in hours)
    return is_always_at and one.min_prompt_tokens <= other.min_prompt_tokens
