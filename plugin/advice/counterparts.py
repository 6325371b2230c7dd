"""Which runs are held against runs with a change: those of configurations that differ by it alone.

Each family of configurations with the change is compared with its own counterpart without it, and the differences are
put together: how many runs each of them has before and after is no merit of the change (Simpson 1951).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from itertools import chain

from inframind.plugin.advice.measuring import Measurement, mean_moved, of_before_and_after
from inframind.traces.configurations import Configuration, configuration_of
from inframind.traces.figures import have_one_cost_unit, pooled
from inframind.traces.outcome_graph import ConfigurationSummary, RunFigures

Sides = tuple[Sequence[ConfigurationSummary], Sequence[ConfigurationSummary]]
"""Those of a family without a recommendation's rules, and those with them."""
_FamilyOf = Callable[[Configuration], str]


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
    found = _measured(before, after, lambda one: _family_without(one, {advice}))
    if found is not None:
        return found
    found = _measured(before, after, _bare)
    if found is None:
        return None
    counted = _matched(before, after, _bare)
    known, new = (_advice_in(chain.from_iterable(side)) for side in zip(*counted, strict=True))
    return replace(found, together_with=tuple(sorted(new - known - {advice})))


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
    return _with_means(found, list(chain.from_iterable(_beside(served, advice) for served in times)))


def advice_of(configuration: Configuration) -> frozenset[str]:
    """Ids of the recommendations whose rules a configuration has."""
    rules = configuration.document.get("rules") or ()
    return frozenset(rule["advice"] for rule in rules if rule.get("advice"))


def _advice_in(summaries: Iterable[ConfigurationSummary]) -> frozenset[str]:
    return frozenset(chain.from_iterable(advice_of(one.configuration) for one in summaries))


def _bare(configuration: Configuration) -> str:
    return _family_without(configuration, advice_of(configuration))


def _family_without(configuration: Configuration, advice: Collection[str]) -> str:
    document = configuration.document
    rules = [rule for rule in document.get("rules") or () if rule.get("advice") not in advice]
    return configuration_of({**document, "rules": rules}).family


def _matched(
    before: Iterable[ConfigurationSummary], after: Iterable[ConfigurationSummary], family_of: _FamilyOf
) -> list[Sides]:
    """Those of one family side by side; families that only served without the change, or with it, are left out."""
    families: defaultdict[str, tuple[list[ConfigurationSummary], list[ConfigurationSummary]]]
    families = defaultdict(lambda: ([], []))
    for place, side in enumerate((before, after)):
        for one in side:
            families[family_of(one.configuration)][place].append(one)
    return [sides for sides in families.values() if all(sides)]


def _beside(served: Sequence[ConfigurationSummary], advice: str) -> list[Sides]:
    after = [one for one in served if one.figures.runs and advice in advice_of(one.configuration)]
    before = [one for one in served if one.figures.runs and advice not in advice_of(one.configuration)]
    return _matched(before, after, lambda one: _family_without(one, {advice}))


def _measured(
    before: Sequence[ConfigurationSummary], after: Sequence[ConfigurationSummary], family_of: _FamilyOf
) -> Measurement | None:
    matched = _matched(before, after, family_of)
    found = of_before_and_after([_pools(sides) for sides in matched])
    if found is None:
        return None
    served = {family_of(one.configuration) for one in after}
    return _with_means(replace(found, left_out=len(served) - found.families), matched)


def _with_means(found: Measurement, strata: Sequence[Sides]) -> Measurement:
    pools = [_pools(sides) for sides in strata]
    in_one_unit = have_one_cost_unit(one for sides in strata for side in sides for one in side)
    cost = mean_moved("cost", pools) if in_one_unit else None
    return replace(found, latency_s=mean_moved("latency_s", pools), cost=cost)


def _pools(sides: Sides) -> tuple[RunFigures, RunFigures]:
    before, after = sides
    return pooled(one.figures for one in before), pooled(one.figures for one in after)
