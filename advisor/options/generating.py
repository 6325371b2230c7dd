"""Changes that could be made: every kind of rule, under every circumstance that the runs tell apart.

Nothing here knows what a name means: models, strategies, servers, topologies and roles are told apart and no more, and
what is enumerated does not depend on their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inframind.advisor.options.logs import Array, Choices, Ints, Logs, Mask
from inframind.router.actions import ActionSpace
from inframind.router.rulebook import DOMAINS
from inframind.router.rules import HOURS, Circumstances, RoutingRule
from inframind.router.topology import JUDGE_ROLE

_ALWAYS = Circumstances()
_LONG = (0.5, 0.75, 0.9)
"""Shares of questions that are shorter than a long one."""
_BANDS = (4, 8, 12)
"""Hours that a time of day may last."""
_TELLING_Z = 3.0
"""Standard normal deviate from which on a circumstance is taken to set failures apart."""
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
    if len(models) > 1 and len(strategies) > 1:
        yield from ({"avoid_actions": frozenset({label})} for label in actions.executor_labels)
    for names in servers.values():
        if len(names) > 1:
            yield from ({"avoid_endpoints": frozenset({name})} for name in names)


def plan_contents(actions: ActionSpace) -> Iterator[Content]:
    """What rules may ask of plans."""
    if len(actions.topologies) > 1:
        yield from ({"avoid_topologies": frozenset({name})} for name in actions.topologies)
    yield from ({"most_agents": agents} for agents in range(1, actions.max_team))


def circumstances(logs: Logs, actions: ActionSpace) -> list[Circumstances]:
    """Under which changes are looked at, those of one condition each: always, domains, times, lengths, and of steps
    roles and topologies."""
    found = [_ALWAYS]
    if len(logs.domain.names) > 1:
        found += [Circumstances(domains=frozenset({name})) for name in _known_domains(logs, actions)]
    found += [Circumstances(hours_utc=band) for band in _telling_hours(logs)]
    found += [Circumstances(min_prompt_tokens=tokens) for tokens in _lengths(logs)]
    roles = {JUDGE_ROLE, *(name for names in actions.roles.values() for name in names)}
    if len(logs.steps.role.names) > 1:
        wanted = roles.intersection(logs.steps.role.names)
        found += [Circumstances(roles=frozenset({name})) for name in sorted(wanted)]
    if len(logs.steps.topology.names) > 1:
        wanted = set(actions.topologies).intersection(logs.steps.topology.names)
        found += [Circumstances(topologies=frozenset({name})) for name in sorted(wanted)]
    return found


def is_of_plans(when: Circumstances) -> bool:
    """Whether plans can be under it: they have neither role nor topology yet."""
    return not (when.roles or when.topologies)


def rules_at(
    places: Iterable[Circumstances], actions: ActionSpace, servers: Mapping[str, Sequence[str]]
) -> Iterator[RoutingRule]:
    """Every rule under some circumstances."""
    of_steps, of_plans = list(step_contents(actions, servers)), list(plan_contents(actions))
    for when in places:
        for content in [*of_steps, *(of_plans if is_of_plans(when) else ())]:
            yield rule_of(content, when)


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

    A run counts as under some circumstances where one of its decisions was. What sets failures apart is what is more
    often there than in runs that did not fail, by two shares' normal deviate.
    """
    contrast = _Contrast(logs, is_member_R)
    scored = [(contrast.z(logs.steps, logs.steps.are_at(when)), when) for when in places if when != _ALWAYS]
    telling = _best(scored)
    pairs = [
        (contrast.z(logs.steps, logs.steps.are_at(both)), both)
        for number, one in enumerate(telling)
        for other in telling[number + 1 :]
        if (both := joined(one, other)) is not None
    ]
    single = {when: z for z, when in scored}
    better = [(z, both) for z, both in pairs if z > max(single[one] for one in telling)]
    models = tuple(actions.models)
    model_C = np.array([models.index(one.model) for one in actions.executor_actions], dtype=np.int64)
    model_N = model_C[logs.steps.chosen_N]
    return Pattern(
        (*_best(better), *telling) or (_ALWAYS,),
        frozenset(
            name
            for place, name in enumerate(models)
            if contrast.z(logs.steps, model_N == place) >= _TELLING_Z
        ),
        frozenset(
            name
            for name in logs.steps.endpoint.names
            if name and contrast.z(logs.steps, logs.steps.endpoint.is_in(frozenset({name}))) >= _TELLING_Z
        ),
    )


def telling_of(logs: Logs, is_member_R: Mask, there_R: Mask) -> float:
    """How surely some runs are a pattern's rather than runs that did not fail, in standard errors."""
    return _Contrast(logs, is_member_R).deviate(there_R)


def is_telling(z: float) -> bool:
    """Whether that is taken to be no chance."""
    return z >= _TELLING_Z


class _Contrast:
    """Runs of a pattern beside runs that did not fail, among those that changes are found on."""

    def __init__(self, logs: Logs, is_member_R: Mask) -> None:
        self._runs = len(logs)
        self._looked_R = logs.is_choosing_R & (is_member_R | ~logs.failed_R)
        self._member_R = is_member_R

    def z(self, choices: Choices, there_N: Mask) -> float:
        """Normal deviate of the share of members among runs that are there, less that among the others."""
        there_R = np.zeros(self._runs, dtype=np.bool_)
        there_R[choices.run_N[there_N]] = True
        return self.deviate(there_R)

    def deviate(self, there_R: Mask) -> float:
        """The same for runs."""
        there, elsewhere = self._looked_R & there_R, self._looked_R & ~there_R
        n, m = int(there.sum()), int(elsewhere.sum())
        if not n or not m:
            return 0.0
        p, q = float(self._member_R[there].mean()), float(self._member_R[elsewhere].mean())
        pooled = (n * p + m * q) / (n + m)
        spread = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
        return float((p - q) / spread) if spread > 0 else 0.0


def _best(scored: Sequence[tuple[float, Circumstances]]) -> list[Circumstances]:
    telling = sorted((one for one in scored if one[0] >= _TELLING_Z), key=lambda one: -one[0])
    return [when for _, when in telling[:_MOST_TELLING]]


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


def _telling_hours(logs: Logs) -> list[tuple[int, int]]:
    """The time of day in which most more runs fail, of each length, by the runs that changes are found on."""
    hour_R = _hour_of_runs(logs)
    is_seen_R = logs.is_choosing_R & (hour_R >= 0)
    runs_H = np.bincount(hour_R[is_seen_R], minlength=HOURS).astype(np.float64)
    failed_H = np.bincount(hour_R[is_seen_R & logs.failed_R], minlength=HOURS).astype(np.float64)
    found = []
    for length in _BANDS:
        z_H = np.array([_band_z(runs_H, failed_H, begin, length) for begin in range(HOURS)])
        if z_H.max() >= _TELLING_Z:
            begin = int(z_H.argmax())
            found.append((begin, (begin + length) % HOURS))
    return found


def _band_z(runs_H: Array, failed_H: Array, begin: int, length: int) -> float:
    is_in_H = (np.arange(HOURS) - begin) % HOURS < length
    n, m = runs_H[is_in_H].sum(), runs_H[~is_in_H].sum()
    if not n or not m:
        return 0.0
    pooled = failed_H.sum() / (n + m)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    gap = failed_H[is_in_H].sum() / n - failed_H[~is_in_H].sum() / m
    return float(gap / spread) if spread > 0 else 0.0


def _hour_of_runs(logs: Logs) -> Ints:
    """Hour of each run's first decision, or -1 where there is none (R)."""
    hour_R = np.full(len(logs), -1, dtype=np.int64)
    for choices in (logs.steps, logs.plans):
        hour_R[choices.run_N[::-1]] = choices.hour_N[::-1]
    return hour_R
