"""Changes that could be made: every kind of rule, under every circumstance that the runs tell apart.

Nothing here knows what a name means: models, strategies, servers, topologies and roles are told apart and no more, and
what is enumerated does not depend on their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inframind.advisor.options.logs import Array, Coded, Ints, Logs, Mask
from inframind.router.actions import ActionSpace
from inframind.router.rulebook import DOMAINS
from inframind.router.rules import HOURS, Circumstances, RoutingRule
from inframind.router.topology import JUDGE_ROLE

_ALWAYS = Circumstances()
_OF_STEPS_ALONE: Mapping[str, Any] = {"roles": frozenset(), "topologies": frozenset()}
_LONG = (0.5, 0.75, 0.9)
"""Shares of questions that are shorter than a long one."""
_BANDS = range(2, 13)
"""Hours that a time of day may last."""
_TELLING_Z = 3.0
"""Standard normal deviate from which on a circumstance is taken to set failures apart."""
_TELLING_BAND_Z = 4.0
"""The same for a time of day, the best of hundreds."""
_MOST_TELLING = 3
Content = Mapping[str, Any]
"""Fields of a rule beside its name and circumstances."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Where failures of one kind happen, as the runs that changes are found on say, and what does them.

    Attributes:
        places: circumstances that set them apart, most telling first; `Circumstances()` where none does.
        models: models that do.
        endpoints: servers that do.
    """

    places: tuple[Circumstances, ...]
    models: frozenset[str]
    endpoints: frozenset[str]


def step_contents(actions: ActionSpace, servers: Mapping[str, Sequence[str]]) -> Iterator[Content]:
    """What rules may ask of steps, given the names of the servers of each model."""
    models, strategies = list(actions.models), list(actions.strategies)
    if len(models) > 1:
        yield from ({"avoid_models": frozenset({model})} for model in models)
    if len(models) > 2:  # of two, to avoid one is to have the other alone
        yield from ({"only_models": frozenset({model})} for model in models)
    if len(strategies) > 1:
        yield from ({"avoid_strategies": frozenset({name})} for name in strategies)
    yield from ({"avoid_strategies": names} for names in _all_but_one(strategies))
    if len(models) > 1 and len(strategies) > 1:
        yield from ({"avoid_actions": frozenset({label})} for label in actions.executor_labels)
    for names in servers.values():
        if len(names) > 1:
            yield from ({"avoid_endpoints": frozenset({name})} for name in names)


def plan_contents(actions: ActionSpace) -> Iterator[Content]:
    """What rules may ask of plans."""
    if len(actions.topologies) > 1:
        yield from ({"avoid_topologies": frozenset({name})} for name in actions.topologies)
    yield from ({"avoid_topologies": names} for names in _all_but_one(list(actions.topologies)))
    yield from ({"most_agents": agents} for agents in range(1, actions.max_team))


def _all_but_one(names: Sequence[str]) -> Iterator[frozenset[str]]:
    """What is left out to have each alone; nothing of two, where that is to leave out the other."""
    if len(names) > 2:
        yield from (frozenset(names) - {name} for name in names)


def is_alone(rule: RoutingRule) -> bool:
    """Whether a rule of those that are made here keeps to one model, strategy or topology."""
    return bool(rule.only_models) or max(len(rule.avoid_strategies), len(rule.avoid_topologies)) > 1


def modest(rule: RoutingRule, others: Iterable[RoutingRule]) -> list[RoutingRule]:
    """Of other rules those that leave out one thing, at the same time, where a rule leaves out all but one."""
    return [one for one in others if one.when == rule.when and not is_alone(one) and _is_part(one, rule)]


def _is_part(one: RoutingRule, rule: RoutingRule) -> bool:
    if rule.only_models:
        return bool(one.avoid_models) and not one.avoid_models & rule.only_models
    if rule.avoid_strategies:
        return bool(one.avoid_strategies) and one.avoid_strategies < rule.avoid_strategies
    return bool(one.avoid_topologies) and one.avoid_topologies < rule.avoid_topologies


def circumstances(logs: Logs, actions: ActionSpace) -> list[Circumstances]:
    """Under which changes are looked at, those of one condition each: always, domains, times, lengths, and of steps
    roles and topologies."""
    found = [_ALWAYS]
    if len(logs.domain.names) > 1:
        found += [Circumstances(domains=frozenset({name})) for name in _known_domains(logs, actions)]
    found += hours_of(logs, logs.failed_R)
    found += [Circumstances(min_prompt_tokens=tokens) for tokens in _lengths(logs)]
    roles = {JUDGE_ROLE, *(name for names in actions.roles.values() for name in names)}
    if len(logs.steps.role.names) > 1:
        wanted = roles.intersection(logs.steps.role.names)
        found += [Circumstances(roles=frozenset({name})) for name in sorted(wanted)]
    if len(logs.steps.topology.names) > 1:
        wanted = set(actions.topologies).intersection(logs.steps.topology.names)
        found += [Circumstances(topologies=frozenset({name})) for name in sorted(wanted)]
    return found


def rules_at(
    places: Iterable[Circumstances], actions: ActionSpace, servers: Mapping[str, Sequence[str]]
) -> list[RoutingRule]:
    """Every rule under some circumstances; those of plans, which have neither role nor topology yet, without these."""
    of_steps, of_plans = list(step_contents(actions, servers)), list(plan_contents(actions))
    found = [rule_of(content, when) for when in places for content in of_steps]
    planned = dict.fromkeys(when.model_copy(update=_OF_STEPS_ALONE) for when in places)
    return [*found, *(rule_of(content, when) for when in planned for content in of_plans)]


def rule_of(content: Content, when: Circumstances) -> RoutingRule:
    """A rule that is yet to be named."""
    return RoutingRule(name="a change", when=when, **content)


def joined(one: Circumstances, other: Circumstances) -> Circumstances | None:
    """Both at once; None where they speak of the same, or cannot be."""
    values: dict[str, Any] = {}
    for field in Circumstances.model_fields:
        mine, theirs = getattr(one, field), getattr(other, field)
        if mine and theirs:
            return None
        values[field] = mine or theirs
    return Circumstances(**values)


# Patterns ----------------------------------------------------------------------------------------------


def pattern_of(
    logs: Logs, is_member_R: Mask, places: Sequence[Circumstances], actions: ActionSpace
) -> Pattern:
    """Where runs of a failure pattern happen, and with what, by those that changes are found on alone.

    What sets failures apart is what more of their steps have than of the steps of runs that did not fail. Steps, for
    a run of many has a little of everything.
    """
    contrast, steps = Contrast(logs, is_member_R), logs.steps
    single = {when: contrast.of_steps(steps.are_at(when)) for when in places if when != _ALWAYS}
    single |= {when: contrast.of_steps(steps.are_at(when)) for when in hours_of(logs, is_member_R)}
    telling = _best(single)
    pairs = {
        both: contrast.of_steps(steps.are_at(both))
        for number, one in enumerate(telling)
        for other in telling[number + 1 :]
        if (both := joined(one, other)) is not None
    }
    better = {both: z for both, z in pairs.items() if z > max(single[one] for one in telling)}
    models = Coded(
        tuple(actions.models),
        np.arange(len(actions.executor_actions)) // len(actions.strategies),
    ).at(steps.chosen_N)
    return Pattern(
        (*_best(better), *telling) or (_ALWAYS,),
        _telling_names(contrast, models),
        _telling_names(contrast, steps.endpoint) - {""},
    )


def _telling_names(contrast: Contrast, column: Coded) -> frozenset[str]:
    return frozenset(
        name for name in column.names if is_telling(contrast.of_steps(column.is_in(frozenset({name}))))
    )


def is_telling(z: float) -> bool:
    """Whether a difference of so many standard errors is taken to be no chance."""
    return z >= _TELLING_Z


class Contrast:
    """Runs of a pattern beside runs that did not fail, among those that changes are found on."""

    def __init__(self, logs: Logs, is_member_R: Mask) -> None:
        self._steps, self._runs = logs.steps, len(logs)
        self._members_R = np.flatnonzero(logs.is_choosing_R & is_member_R)
        self._others_R = np.flatnonzero(logs.is_choosing_R & ~logs.failed_R)

    def of_steps(self, there_N: Mask) -> float:
        """By how many standard errors more of the steps of its runs are there (N) than of the others'."""
        return self.of_runs(self._steps.share_of_runs(there_N, self._runs))

    def of_runs(self, share_R: Array) -> float:
        """By how many standard errors more some share (R) is in its runs than in the others."""
        mine, theirs = share_R[self._members_R], share_R[self._others_R]
        if not len(mine) or not len(theirs):
            return 0.0
        pooled = float(np.concatenate([mine, theirs]).var()) * (1 / len(mine) + 1 / len(theirs))
        return float((mine.mean() - theirs.mean()) / np.sqrt(pooled)) if pooled > 0 else 0.0


def _best(z_of: Mapping[Circumstances, float]) -> list[Circumstances]:
    telling = [when for when, z in z_of.items() if is_telling(z)]
    return sorted(telling, key=lambda when: -z_of[when])[:_MOST_TELLING]


# Values ------------------------------------------------------------------------------------------------


def _known_domains(logs: Logs, actions: ActionSpace) -> list[str]:
    return sorted({*DOMAINS, *actions.roles}.intersection(logs.domain.names))


def _lengths(logs: Logs) -> list[int]:
    """Numbers of tokens from which on a question is long, of two digits."""
    tokens_N = logs.steps.tokens_N
    if not len(tokens_N):
        return []
    edges = {_rounded(edge) for edge in np.quantile(tokens_N, _LONG).tolist()}
    return sorted(edge for edge in edges if tokens_N.min() < edge <= tokens_N.max())


def _rounded(tokens: float) -> int:
    digits = max(len(str(int(tokens))) - 2, 0)
    return int(round(tokens / 10**digits) * 10**digits)


def hours_of(logs: Logs, is_member_R: Mask) -> list[Circumstances]:
    """The time of day that sets failures apart most, if any does, by the runs that changes are found on."""
    hour_R = _hour_of_runs(logs)
    is_seen_R = logs.is_choosing_R & (hour_R >= 0) & (is_member_R | ~logs.failed_R)
    runs_H = np.bincount(hour_R[is_seen_R], minlength=HOURS).astype(np.float64)
    failed_H = np.bincount(hour_R[is_seen_R & is_member_R], minlength=HOURS).astype(np.float64)
    z_LH = np.array([_band_z(runs_H, failed_H, length) for length in _BANDS])
    row, begin = np.unravel_index(int(z_LH.argmax()), z_LH.shape)
    if z_LH[row, begin] < _TELLING_BAND_Z:
        return []
    return [Circumstances(hours_utc=(int(begin), int(begin + _BANDS[row]) % HOURS))]


def _band_z(runs_H: Array, failed_H: Array, length: int) -> Array:
    """By how many standard errors more runs fail in so many hours from each hour on than in the others (H)."""
    inside_H, failed_inside_H = _rolling(runs_H, length), _rolling(failed_H, length)
    outside_H = runs_H.sum() - inside_H
    share = failed_H.sum() / max(runs_H.sum(), 1.0)
    sizes_H = np.maximum(inside_H, 1.0), np.maximum(outside_H, 1.0)
    spread_H = np.sqrt(share * (1 - share) * (1 / sizes_H[0] + 1 / sizes_H[1]))
    gap_H = failed_inside_H / sizes_H[0] - (failed_H.sum() - failed_inside_H) / sizes_H[1]
    is_told_H = (inside_H > 0) & (outside_H > 0) & (spread_H > 0)
    return np.asarray(np.where(is_told_H, gap_H / np.where(is_told_H, spread_H, 1.0), 0.0))


def _rolling(values_H: Array, length: int) -> Array:
    """Sum over so many hours from each on, midnight included (H)."""
    sums = np.concatenate([[0.0], np.cumsum(np.concatenate([values_H, values_H]))])
    return np.asarray(sums[length : length + HOURS] - sums[:HOURS])


def _hour_of_runs(logs: Logs) -> Ints:
    """Hour of each run's first decision, or -1 where there is none (R)."""
    hour_R = np.full(len(logs), -1, dtype=np.int64)
    for choices in (logs.steps, logs.plans):
        hour_R[choices.run_N[::-1]] = choices.hour_N[::-1]
    return hour_R
