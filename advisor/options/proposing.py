"""Options for an application: from runs and their failure patterns to the few changes that are worth showing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inframind.advisor.cluster import FailureCluster
from inframind.advisor.option import Option
from inframind.advisor.options.choosing import Bucket, Choice, Chooser, answering
from inframind.advisor.options.config import AnalysisConfig
from inframind.advisor.options.effect import Effects
from inframind.advisor.options.generating import Contrast, circumstances, pattern_of, rules_at
from inframind.advisor.options.logs import Logs, Mask
from inframind.advisor.options.looks import FIRST_LOOK, Look
from inframind.advisor.options.predicting import predictions_of
from inframind.advisor.options.standing import clashes, content_of
from inframind.advisor.options.wording import name_of, reason_of, title_of
from inframind.router.actions import ActionSpace
from inframind.router.rulebook import RuleBook
from inframind.router.rules import Circumstances, RoutingRule
from inframind.traces.advice import RecommendationKind

_MOST_EVIDENCE = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Proposer:
    """Finds what could be changed.

    Attributes:
        logs: the runs.
        actions: what may be chosen.
        book: the rules that are in force.
        servers: names of the servers of each model.
        config: how it is chosen.
        rng: breaks ties.
        look: what may be spent on new claims.
    """

    logs: Logs
    actions: ActionSpace
    book: RuleBook
    servers: Mapping[str, Sequence[str]]
    config: AnalysisConfig
    rng: np.random.Generator
    look: Look = FIRST_LOOK

    def options(self, clusters: Sequence[FailureCluster]) -> tuple[Option, ...]:
        """Changes for the failure patterns, the largest first, then for the whole application.

        The last one may be one that runs speak for without saying what it would do: its predictions say so.
        """
        effects = Effects(self.logs, self.actions, self.book, self.servers, self.config.support)
        buckets = self._buckets(clusters[: self.config.most_clusters], effects)
        chooser = Chooser(effects, self.config, self.rng, self.look)
        chosen = chooser.chosen(buckets)
        unproven = self._unproven(chooser, buckets, chosen)
        taken = {rule.name for rule in self.book.rules}
        return tuple(self._option(choice, effects, taken) for choice in [*chosen, *unproven])

    # What could be changed -----------------------------------------------------------------------------

    def _buckets(self, clusters: Sequence[FailureCluster], effects: Effects) -> list[Bucket]:
        places = circumstances(self.logs, self.actions)
        buckets = []
        for cluster in clusters:
            members_R = self._members(cluster) & self.logs.is_choosing_R
            pattern = pattern_of(self.logs, members_R, places, self.actions)
            contrast = Contrast(self.logs, members_R)
            rules = answering(self._rules(pattern.places, effects), effects, members_R, contrast)
            buckets.append(Bucket(cluster, pattern, rules))
        return [*buckets, Bucket(None, None, dict.fromkeys(self._rules(places, effects), 0.0))]

    def _rules(self, places: Sequence[Circumstances], effects: Effects) -> list[RoutingRule]:
        """Every rule there that is not in force, and contradicts none that is."""
        return [
            rule
            for rule in rules_at(places, self.actions, self.servers)
            if not any(clashes(rule, old, effects) for old in self.book.rules)
        ]

    def _members(self, cluster: FailureCluster) -> Mask:
        ids = frozenset(cluster.members)
        return np.array([trace_id in ids for trace_id in self.logs.trace_ids], dtype=np.bool_)

    def _unproven(
        self, chooser: Chooser, buckets: Sequence[Bucket], chosen: Sequence[Choice]
    ) -> list[Choice]:
        """At most one."""
        answered = {id(choice.bucket) for choice in chosen}
        open_patterns = [one for one in buckets if one.cluster is not None and id(one) not in answered]
        found = (chooser.unproven(bucket) for bucket in open_patterns)
        return next(([choice] for choice in found if choice is not None), [])

    # What is said of it --------------------------------------------------------------------------------

    def _option(self, choice: Choice, effects: Effects, taken: set[str]) -> Option:
        rule, bucket = choice.effect.rule, choice.bucket
        cluster_id = bucket.cluster.cluster_id if bucket.cluster else ""
        predictions = predictions_of(choice.effect, choice.delta, self.config)
        named = rule.model_copy(update={"name": name_of(rule, taken, self.actions)})
        return Option(
            option_id=digest_of(choice.kind, (rule,), cluster_id),
            kind=choice.kind,
            cluster_id=cluster_id,
            domain=next(iter(rule.when.domains)) if len(rule.when.domains) == 1 else "",
            rules=(named,),
            title=title_of(rule, bucket.pattern, self.actions),
            reason=reason_of(predictions, bucket.cluster, rule),
            predictions=predictions,
            evidence=self._evidence(rule, bucket, effects),
        )

    def _evidence(self, rule: RoutingRule, bucket: Bucket, effects: Effects) -> tuple[str, ...]:
        """Failures that did what the change avoids: a pattern's own, its most typical ones first, then the latest."""
        speaks_R = (effects.concern(rule) > 0) & self.logs.failed_R
        if bucket.cluster is not None:
            speaks_R &= self._members(bucket.cluster)
        latest = [self.logs.trace_ids[place] for place in np.flatnonzero(speaks_R)[::-1]]
        typical = [
            name for name in (bucket.cluster.exemplars if bucket.cluster else ()) if name in set(latest)
        ]
        return tuple(dict.fromkeys([*typical, *latest]))[:_MOST_EVIDENCE]


def digest_of(kind: RecommendationKind, rules: Sequence[RoutingRule], cluster_id: str) -> str:
    """12 hex digits of what is changed, for what and for whom."""
    said = "\n".join([kind, cluster_id, *sorted(content_of(rule) for rule in rules)])
    return hashlib.sha256(said.encode()).hexdigest()[:12]
