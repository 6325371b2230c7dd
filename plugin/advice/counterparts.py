"""Which runs are held against runs with a change: those of configurations that differ by it alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from inframind.plugin.advice.measuring import Measurement, mean_moved, of_before_and_after
from inframind.traces.configurations import Configuration, configuration_of
from inframind.traces.figures import have_one_cost_unit, pooled
from inframind.traces.outcome_graph import ConfigurationSummary, RunFigures

Sides = tuple[Sequence[ConfigurationSummary], Sequence[ConfigurationSummary]]
"""Those without a recommendation's rules, and those with them."""


def compared(
    earlier: Sequence[ConfigurationSummary], later: Sequence[ConfigurationSummary], advice: str
) -> Measurement | None:
    """Runs with a recommendation's rules beside runs without; None where there are too few of either.

    What else was changed is no merit of its. Only other recommendations that came into effect with it may be between
    them, where nothing else can be compared: then the measurement names them.

    Args:
        earlier: configurations with their runs before it was accepted.
        later: configurations with their runs since.
        advice: id of the recommendation.
    """
    after = [one for one in later if one.figures.labelled and advice in advice_of(one.configuration)]
    before = [one for one in earlier if one.figures.labelled and advice not in advice_of(one.configuration)]
    found = _measured(_alone(before, after, advice), after)
    if found is not None:
        return found
    bare = {_bare(one.configuration) for one in after}
    before = [one for one in before if _bare(one.configuration) in bare]
    found = _measured(before, after)
    new = frozenset[str]().union(*(advice_of(one.configuration) for one in after))
    known = frozenset[str]().union(*(advice_of(one.configuration) for one in before))
    return replace(found, together_with=tuple(sorted(new - known - {advice}))) if found else None


def with_means(
    found: Measurement, times: Sequence[Sequence[ConfigurationSummary]], advice: str
) -> Measurement:
    """With what became of seconds and costs in a trial.

    Args:
        found: what a trial says of success.
        times: configurations with their runs, of each time while the trial had the same share of them: more runs of
            the change come late in a trial than early, and what hours do is no merit of its.
        advice: id of the recommendation.
    """
    return _with_means(found, [_beside(served, advice) for served in times])


def advice_of(configuration: Configuration) -> frozenset[str]:
    """Ids of the recommendations whose rules a configuration has."""
    rules = configuration.document.get("rules") or ()
    return frozenset(rule["advice"] for rule in rules if rule.get("advice"))


def _bare(configuration: Configuration) -> str:
    return _family_without(configuration, advice_of(configuration))


def _family_without(configuration: Configuration, advice: Collection[str]) -> str:
    document = configuration.document
    rules = [rule for rule in document.get("rules") or () if rule.get("advice") not in advice]
    return configuration_of({**document, "rules": rules}).family


def _alone(
    before: Iterable[ConfigurationSummary], after: Iterable[ConfigurationSummary], advice: str
) -> list[ConfigurationSummary]:
    """Of those without a recommendation's rules, those that differ by them alone."""
    families = {_family_without(one.configuration, {advice}) for one in after}
    return [one for one in before if one.configuration.family in families]


def _beside(served: Sequence[ConfigurationSummary], advice: str) -> Sides:
    after = [one for one in served if one.figures.runs and advice in advice_of(one.configuration)]
    before = [one for one in served if one.figures.runs and advice not in advice_of(one.configuration)]
    return _alone(before, after, advice), after


def _measured(
    before: Sequence[ConfigurationSummary], after: Sequence[ConfigurationSummary]
) -> Measurement | None:
    found = of_before_and_after(*_pools((before, after)))
    return _with_means(found, [(before, after)]) if found else None


def _with_means(found: Measurement, strata: Sequence[Sides]) -> Measurement:
    pools = [_pools(sides) for sides in strata]
    in_one_unit = have_one_cost_unit(one for sides in strata for side in sides for one in side)
    cost = mean_moved("cost", pools) if in_one_unit else None
    return replace(found, latency_s=mean_moved("latency_s", pools), cost=cost)


def _pools(sides: Sides) -> tuple[RunFigures, RunFigures]:
    before, after = sides
    return pooled(one.figures for one in before), pooled(one.figures for one in after)
