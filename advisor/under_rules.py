"""Runs that were decided under accepted advice: what a rule in force narrows is compared with nothing else any more."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from inframind.advisor.cluster import FailureCluster, TraitName
from inframind.advisor.failure import failure_of
from inframind.advisor.options.wording import title_of
from inframind.router.rulebook import RULE
from inframind.router.rules import RoutingRule
from inframind.traces.records import SolvedKeys, Trajectory, solved_of

_NEARLY_ALL = 0.9
_LEAST_LIFT = 1.25
"""How much more of a pattern's runs than of the others must be under a rule that limits nothing of what it names."""
_DIGITS = 8
_LIMITS: tuple[tuple[str, frozenset[TraitName]], ...] = (
    ("avoid_models", frozenset({"model", "endpoint"})),
    ("only_models", frozenset({"model", "endpoint"})),
    ("avoid_endpoints", frozenset({"model", "endpoint"})),
    ("avoid_actions", frozenset({"model", "endpoint", "strategy"})),
    ("avoid_strategies", frozenset({"strategy"})),
    ("avoid_topologies", frozenset({"topology", "team_size"})),
    ("most_agents", frozenset({"topology", "team_size"})),
)
"""What of a pattern's traits could be otherwise, were it not for a rule that says this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """Accepted advice, and the runs that its rules narrowed.

    Attributes:
        advice: id of the recommendation.
        title: what it changes.
        runs: runs in which it left out something that was on offer.
        known: of those, how many have a known result.
        failures: of those, that failed, were late or wrong.
        known_elsewhere: of the other runs that were looked at, how many have a known result.
        failures_elsewhere: of those, that failed, were late or wrong.
    """

    advice: str
    title: str
    runs: int
    known: int
    failures: int
    known_elsewhere: int
    failures_elsewhere: int


@dataclass(frozen=True, slots=True)
class UnderRules:
    """What is to be said of advice in force.

    Attributes:
        in_force: each piece of advice, in the order in which its rules join.
        clusters: the failure patterns, with a note where (nearly) all of one was decided under advice.
    """

    in_force: tuple[InForce, ...]
    clusters: tuple[FailureCluster, ...]


def under_rules(
    runs: Sequence[Trajectory],
    clusters: Sequence[FailureCluster],
    rules: Sequence[RoutingRule],
    keys: SolvedKeys,
) -> UnderRules:
    """Which runs, and which failure patterns, were decided under rules by advice.

    Where such a rule narrows every choice, nothing else is tried, and no analysis can find that it has gone bad: what
    it avoids may have been mended, and what it keeps to may have broken. People can be told, and take it back.

    Args:
        runs: that were looked at.
        clusters: failure patterns among them.
        rules: in force.
        keys: which feedback says whether a run was solved.
    """
    advised: dict[str, list[RoutingRule]] = {}
    for rule in rules:
        if rule.advice:
            advised.setdefault(rule.advice, []).append(rule)
    if not advised:
        return UnderRules((), tuple(clusters))
    left_out = {run.trace_id: _left_out(run) for run in runs}
    narrowed = {
        advice: {trace_id for trace_id, what in left_out.items() if any(_narrows(rule, what) for rule in its)}
        for advice, its in advised.items()
    }
    return UnderRules(
        in_force=tuple(
            _in_force(advice, its, narrowed[advice], runs, keys) for advice, its in advised.items()
        ),
        clusters=tuple(
            replace(
                cluster,
                notes=tuple(
                    _note(advice, its, share)
                    for advice, its in advised.items()
                    if (share := _share(narrowed[advice], cluster.members)) >= _NEARLY_ALL
                    and _tells(cluster, its, share, narrowed[advice], len(runs))
                ),
            )
            for cluster in clusters
        ),
    )


def _left_out(run: Trajectory) -> tuple[frozenset[str], frozenset[str]]:
    """Reasons for which candidates were left out of a run's choices, and servers that were tried last."""
    reasons = frozenset(reason for decision in run.decisions for reason in decision.masked)
    servers = (name for decision in run.decisions for name in decision.seen.get("avoid_endpoints", ()))
    return reasons, frozenset(servers)


def _narrows(rule: RoutingRule, left_out: tuple[frozenset[str], frozenset[str]]) -> bool:
    reasons, servers = left_out
    return RULE + rule.name in reasons or not rule.avoid_endpoints.isdisjoint(servers)


def _share(under: Collection[str], members: Sequence[str]) -> float:
    return sum(one in under for one in members) / len(members) if members else 0.0


def _tells(
    cluster: FailureCluster, rules: Sequence[RoutingRule], share: float, under: Collection[str], runs: int
) -> bool:
    """Whether a rule may have to do with a pattern: it limits what that names, or hardly concerns other runs."""
    limited = {
        trait for rule in rules for field, traits in _LIMITS if getattr(rule, field) for trait in traits
    }
    if not limited.isdisjoint(cluster.main_trait):
        return True
    others = runs - len(cluster.members)
    elsewhere = (len(under) - share * len(cluster.members)) / others if others else 0.0
    return share >= _LEAST_LIFT * elsewhere


def _in_force(
    advice: str,
    rules: Sequence[RoutingRule],
    under: Collection[str],
    runs: Sequence[Trajectory],
    keys: SolvedKeys,
) -> InForce:
    failed = [failure_of(run, keys) is not None for run in _known(runs, under, keys, inside=True)]
    elsewhere = [failure_of(run, keys) is not None for run in _known(runs, under, keys, inside=False)]
    return InForce(
        advice=advice,
        title=_title(rules),
        runs=len(under),
        known=len(failed),
        failures=sum(failed),
        known_elsewhere=len(elsewhere),
        failures_elsewhere=sum(elsewhere),
    )


def _known(
    runs: Sequence[Trajectory], under: Collection[str], keys: SolvedKeys, *, inside: bool
) -> Iterator[Trajectory]:
    for run in runs:
        is_known = failure_of(run, keys) is not None or solved_of(run.outcomes, keys) is not None
        if is_known and (run.trace_id in under) == inside:
            yield run


# Words -------------------------------------------------------------------------------------------------


def _note(advice: str, rules: Sequence[RoutingRule], share: float) -> str:
    title, short = _title(rules), advice[:_DIGITS]
    many = "all" if share == 1 else f"{share:.0%}"
    return (
        f"{many} of these were decided under advice {short} ({title[:1].lower()}{title[1:]}), so nobody knows how they "
        f"would do without: consider `inframind advise revert {short}`"
    )


def _title(rules: Sequence[RoutingRule]) -> str:
    return "; ".join(title_of(rule, None) for rule in rules)
