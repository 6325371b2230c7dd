"""Which changes are offered: chosen on some of the runs, tested on the others.

The best-looking of a thousand changes looks better than it is. So changes are found and chosen on one part of the runs
and predicted from the other, which had no say in the choice. And where several are tested, some look good by chance:
what is offered is what a Benjamini-Hochberg test at level delta lets through, and intervals of k offered changes out of
m tested ones are those of level ``1 - delta k / m``, so that of all the intervals that people see at most a share delta
misses (Benjamini and Yekutieli 2005, false coverage rate). Where an analysis came before, what is new is tested at a
smaller level (`inframind.advisor.options.looks`): a weighted test (Genovese, Roeder and Wasserman 2006) whose weights
are 1 at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from inframind.advisor.cluster import OTHER_THAN, FailureCluster, TraitName
from inframind.advisor.options.alone import is_surely_better
from inframind.advisor.options.claims import Claim, claim_of, errors_at, has_support, objection_of
from inframind.advisor.options.config import AnalysisConfig
from inframind.advisor.options.effect import Effect, Effects
from inframind.advisor.options.generating import Contrast, Pattern, is_alone, is_telling, modest
from inframind.advisor.options.logs import Mask
from inframind.advisor.options.looks import FIRST_LOOK, Look
from inframind.router.rules import RoutingRule
from inframind.traces.advice import RecommendationKind

_ORDER: tuple[RecommendationKind, ...] = ("model_switch", "highest_performance", "cheapest", "balanced")
"""In which kinds pick, so that all differ: whoever has the fewest to choose from first."""
_PROMISING = 1.0
"""Standard errors by which a claim must hold on the runs it was found on."""
_FEWEST_IN_EFFECT = 20.0
"""Decisions in effect below which nothing is promising."""
_SCORED_AT = 2.0
"""Standard errors of the lower bound by which changes are compared."""
_JITTER = 1e-9
_MOSTLY = 0.5
"""Share of a pattern's runs that a change must concern to answer it."""
_NOT_MUCH_LESS = 1 / 3


@dataclass(frozen=True, slots=True, eq=False)
class Bucket:
    """What changes are chosen for: a failure pattern, or the whole application.

    Attributes:
        cluster: the pattern, or None.
        pattern: where and with what it happens, or None.
        rules: changes that could be made for it, and how surely what each avoids is the pattern's.
    """

    cluster: FailureCluster | None
    pattern: Pattern | None
    rules: Mapping[RoutingRule, float] = field(repr=False)

    def kinds(self, rule: RoutingRule) -> tuple[RecommendationKind, ...]:
        """What a change could be recommended as here."""
        if self.pattern is not None and _switches(rule, self.pattern):
            return _ORDER
        return _ORDER[1:]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """A change that was chosen for a purpose.

    Attributes:
        bucket: for what.
        kind: what it is after.
        rank: 0-based place among those of its kind there.
        effect: what the runs say that it was not chosen on.
        delta: share of intervals like its own that may miss; before the test, the chance of a false claim it has.
    """

    bucket: Bucket
    kind: RecommendationKind
    rank: int
    effect: Effect
    delta: float


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    bucket: Bucket
    kind: RecommendationKind
    effect: Effect
    score: float


class Chooser:
    """Chooses changes.

    Args:
        effects: what the runs say of rules.
        config: how it is chosen.
        rng: breaks ties, so that no order of names does.
        look: what may be spent on new claims.
    """

    def __init__(
        self,
        effects: Effects,
        config: AnalysisConfig,
        rng: np.random.Generator,
        look: Look = FIRST_LOOK,
    ) -> None:
        self._effects, self._config, self._rng, self._look = effects, config, rng, look

    def chosen(self, buckets: Sequence[Bucket]) -> list[Choice]:
        """The changes that are worth a person's time, by what the runs say that they were not chosen on."""
        return self.tested(self.picked(buckets))

    # On the runs that changes are found on -------------------------------------------------------------

    def picked(self, buckets: Sequence[Bucket]) -> list[Choice]:
        """At most ``tries`` different changes of each kind for each bucket, untested, with what they were chosen by."""
        screened = self._screened(rule for bucket in buckets for rule in bucket.rules)
        again = self._asked_again(buckets, screened)
        taken: set[RoutingRule] = set()
        found: list[Choice] = []
        for bucket in buckets:
            for rank in range(self._config.tries):
                for kind in _ORDER:
                    best = self._best(bucket, kind, again, taken)
                    if best is not None:
                        taken.add(best.effect.rule)
                        found.append(Choice(bucket, kind, rank, best.effect, self._config.delta))
        return found

    def _screened(self, rules: Iterable[RoutingRule]) -> dict[RoutingRule, Effect]:
        """What each change does; those that do the same all have the effect of the simplest of them."""
        same: dict[tuple[object, ...], list[tuple[float, Effect]]] = {}
        for rule in dict.fromkeys(rules):
            effect = self._effects.of(rule, is_choosing=True)
            if effect.affected:
                effort = _conditions(rule) + self._rng.random() / 2
                same.setdefault(_what_it_does(effect), []).append((effort, effect))
        return {
            effect.rule: min(alike, key=lambda one: one[0])[1]
            for alike in same.values()
            for _, effect in alike
        }

    def _asked_again(
        self, buckets: Sequence[Bucket], screened: Mapping[RoutingRule, Effect]
    ) -> dict[RoutingRule, Effect]:
        """What the policy itself would do under the most promising ones."""
        best: dict[RoutingRule, int] = {}
        for bucket in buckets:
            for kind in _ORDER:
                ranked = self._ranked(bucket, kind, screened)
                for place, candidate in enumerate(ranked):
                    rule = candidate.effect.rule
                    best[rule] = min(best.get(rule, place), place)
        finalists = sorted(best, key=lambda rule: best[rule])[: self._config.finalists]
        asked = {rule: self._effects.of(rule, is_choosing=True, asks_again=True) for rule in finalists}
        return {rule: asked[effect.rule] for rule, effect in screened.items() if effect.rule in asked}

    def _best(
        self,
        bucket: Bucket,
        kind: RecommendationKind,
        effects: Mapping[RoutingRule, Effect],
        taken: set[RoutingRule],
    ) -> _Candidate | None:
        free = {rule: effect for rule, effect in effects.items() if effect.rule not in taken}
        ranked = self._ranked(bucket, kind, free)
        return ranked[0] if ranked else None

    def _ranked(
        self, bucket: Bucket, kind: RecommendationKind, effects: Mapping[RoutingRule, Effect]
    ) -> list[_Candidate]:
        found = []
        known = {effects[rule].rule: effects[rule] for rule in bucket.rules if rule in effects}
        for rule, effect in known.items():
            if kind not in bucket.kinds(rule):
                continue
            claim = claim_of(kind, effect, self._config)
            if _is_promising(claim, effect):
                score = claim.score(effect, _SCORED_AT) + _JITTER * self._rng.random()
                found.append(_Candidate(bucket, kind, effect, score))
        return sorted(found, key=lambda candidate: -candidate.score)

    # On the others -------------------------------------------------------------------------------------

    def tested(self, picked: Sequence[Choice]) -> list[Choice]:
        """Those of the choices that the other runs bear out, at most one of a kind for a bucket."""
        config = self._config
        tested = [
            replace(
                choice,
                effect=self._effects.of(choice.effect.rule, is_choosing=False, asks_again=True),
                delta=config.delta * self._look.weight(choice.kind, choice.effect.rule),
            )
            for choice in picked
        ]
        able = [one for one in tested if has_support(self._claim(one), one.effect, config)]
        passed: list[Choice] = []
        for count in range(len(able), 0, -1):
            share = count / len(able)
            passed = [one for one in able if self._holds(one, share * one.delta)]
            if len(passed) >= count:
                break
        share = max(len(passed), 1) / max(len(able), 1)
        return self._leaving_out_less(
            [replace(one, delta=share * one.delta) for one in _first_of_each(passed)]
        )

    def _leaving_out_less(self, passed: Sequence[Choice]) -> list[Choice]:
        """The same, but for what keeps to one thing though it is not surely better than to leave out a bad one.

        No more false claims than before: another change takes the place of one that has passed, and passes the same
        test after it (a fixed sequence).
        """
        less_of = {id(one): self._less_than(one) for one in passed if is_alone(one.effect.rule)}
        taken = {one.effect.rule for one in passed if less_of.get(id(one)) is None}
        found = []
        for one in passed:
            less = less_of.get(id(one))
            if less is None:
                found.append(one)
            elif less.effect.rule not in taken:
                taken.add(less.effect.rule)
                found.append(less)
        return found

    def _less_than(self, choice: Choice) -> Choice | None:
        """The best change that leaves out one thing of what this one does, if this is not surely better than that."""
        bucket, kind, rule = choice.bucket, choice.kind, choice.effect.rule
        rules = [one for one in modest(rule, bucket.rules) if kind in bucket.kinds(one)]
        effects = {one: self._effects.of(one, is_choosing=True) for one in rules}
        ranked = self._ranked(bucket, kind, {one: made for one, made in effects.items() if made.affected})
        if not ranked:
            return None
        best = ranked[0].effect.rule
        weights = self._look.weight(kind, best), self._look.weight(kind, rule)
        less = replace(
            choice,
            effect=self._effects.of(best, is_choosing=False, asks_again=True),
            delta=choice.delta * weights[0] / weights[1],
        )
        config = self._config
        if not (has_support(self._claim(less), less.effect, config) and self._holds(less, less.delta)):
            return None
        is_better = is_surely_better(rule, best, self._effects, kind, choice.delta, config)
        return None if is_better else less

    def unproven(self, bucket: Bucket) -> Choice | None:
        """What a pattern speaks for most, where the runs do not say what it would do; None where they do.

        What avoids the very thing that the pattern is named by comes before whatever else sets it apart.
        """
        if not bucket.rules:
            return None
        trait = bucket.cluster.main_trait if bucket.cluster else {}
        model = trait.get("model") or self._effects.model_alone_on(trait.get("endpoint", ""))

        def speaks(rule: RoutingRule) -> tuple[bool, float]:
            return _avoids(rule, {**trait, "model": model}), bucket.rules[rule] + _JITTER * self._rng.random()

        rule = max(bucket.rules, key=speaks)
        effect = self._effects.of(rule, is_choosing=False, asks_again=True)
        if not (effect.affected and objection_of(effect, 0, self._config)):
            return None
        return Choice(bucket, bucket.kinds(rule)[0], 0, effect, self._config.delta)

    def _claim(self, choice: Choice) -> Claim:
        return claim_of(choice.kind, choice.effect, self._config)

    def _holds(self, choice: Choice, delta: float) -> bool:
        if delta <= 0:
            return False
        claim = self._claim(choice)
        return claim.sureness(choice.effect) >= errors_at(delta, choice.effect, claim.metrics())


def answering(
    rules: Sequence[RoutingRule], effects: Effects, is_member_R: Mask, contrast: Contrast
) -> dict[RoutingRule, float]:
    """Changes that answer a pattern, and how surely what each avoids is the pattern's, in standard errors.

    What it avoids must be in most of the pattern's runs, and set them apart: not much less than what sets them apart
    most, for smaller teams are an answer to everything.
    """
    shares = {rule: effects.concern(rule) for rule in rules}
    telling = {
        rule: contrast.of_runs(share_R)
        for rule, share_R in shares.items()
        if 0 < _MOSTLY * is_member_R.sum() <= (share_R[is_member_R] > 0).sum()
    }
    least = _NOT_MUCH_LESS * max(telling.values(), default=0.0)
    return {rule: z for rule, z in telling.items() if z >= least and is_telling(z)}


def _is_promising(claim: Claim, effect: Effect) -> bool:
    if min((float(effect.size_M[metric]) for metric in claim.metrics()), default=0.0) < _FEWEST_IN_EFFECT:
        return False
    return claim.goal.mean(effect) >= claim.worthwhile and claim.sureness(effect) >= _PROMISING


def _first_of_each(choices: Sequence[Choice]) -> list[Choice]:
    """One of each kind for each bucket; what does the same as another, in other words, is left out."""
    first: dict[tuple[int, RecommendationKind], Choice] = {}
    seen: set[tuple[object, ...]] = set()
    for choice in sorted(choices, key=lambda one: (one.rank, _conditions(one.effect.rule))):
        place, same = (id(choice.bucket), choice.kind), _what_it_does(choice.effect)
        if place not in first and same not in seen:
            first[place] = choice
            seen.add(same)
    order = {id(choice): number for number, choice in enumerate(choices)}
    return sorted(first.values(), key=lambda one: order[id(one)])


def _what_it_does(effect: Effect) -> tuple[object, ...]:
    return (effect.affected, *np.round([*effect.change_M, *effect.error_M], 12).tolist())


def _switches(rule: RoutingRule, pattern: Pattern) -> bool:
    """Whether a change replaces what a pattern happens with by other models or servers."""
    if rule.only_models:
        return bool(pattern.models) and not rule.only_models & pattern.models
    return bool(rule.avoid_models & pattern.models or rule.avoid_endpoints & pattern.endpoints)


def _avoids(rule: RoutingRule, trait: Mapping[TraitName, str]) -> bool:
    """Whether a rule avoids a model, server, strategy or topology that a trait names, or keeps to the only good one."""
    avoided: Mapping[TraitName, frozenset[str]] = {
        "model": rule.avoid_models,
        "endpoint": rule.avoid_endpoints,
        "strategy": rule.avoid_strategies,
        "topology": rule.avoid_topologies,
    }
    pair = f"{trait['model']}/{trait.get('strategy', '')}"
    good_of = {
        name: said.removeprefix(OTHER_THAN) for name, said in trait.items() if said.startswith(OTHER_THAN)
    }
    if good_of:
        return is_alone(rule) and any(
            good in rule.only_models if name == "model" else bool(avoided[name]) and good not in avoided[name]
            for name, good in good_of.items()
        )
    return pair in rule.avoid_actions or any(trait.get(name) in names for name, names in avoided.items())


def _conditions(rule: RoutingRule) -> int:
    """How much a rule says: conditions, and one more where it keeps to one thing instead of avoiding one."""
    return len(rule.when.model_dump(exclude_defaults=True)) + is_alone(rule)
