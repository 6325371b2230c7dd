"""Looking again and again at mostly the same runs, without claiming something false sooner or later.

An analysis each hour is a test each hour. Each at 5 %, on runs of which nineteen in twenty were looked at before, they
claim something false in far more than one of twenty series. So the chance of a false claim is spent as news comes in:

    chance of this look = delta * share of what it rests on that no look before it rested on

The first look, all of whose runs are new, has the whole of delta, and so has one that comes when all runs are others.
By the union bound the chance of any false claim is then at most delta for the first look and about delta for every time
that all runs have been replaced, however often somebody looks in between and whatever these looks have in common.

What the last look claimed is no new claim: it is kept up as long as it holds at delta. That is why options do not come
and go with the hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inframind.advisor.analysis import Analysis
from inframind.advisor.options.standing import content_of
from inframind.router.rules import RoutingRule
from inframind.traces.advice import RecommendationKind
from inframind.traces.records import SolvedKeys, Trajectory, solved_of


@dataclass(frozen=True, kw_only=True)
class Look:
    """What an analysis may spend on new claims.

    Attributes:
        share: of what it rests on, the part that the one before it did not rest on.
        claimed: purpose and content of what that one claimed.
    """

    share: float = 1.0
    claimed: frozenset[tuple[RecommendationKind, str]] = frozenset()

    def weight(self, kind: RecommendationKind, rule: RoutingRule) -> float:
        """Share of the chance of a false claim that a change may be tested at."""
        return 1.0 if (kind, content_of(rule)) in self.claimed else self.share


FIRST_LOOK = Look()


def look_after(previous: Analysis | None, runs: Sequence[Trajectory], keys: SolvedKeys) -> Look:
    """The look at some runs that comes after an analysis.

    News is a run that was not there, and a verdict on one that was: of the two shares the greater one counts.

    Args:
        previous: the analysis before, or None.
        runs: that are looked at now.
        keys: which feedback is a verdict.
    """
    if previous is None or not runs:
        return FIRST_LOOK
    old = [run for run in runs if previous.since_s <= run.arrived_at_s <= previous.until_s]
    share_of_runs = 1 - min(len(old), previous.runs) / len(runs)
    labelled = sum(solved_of(run.outcomes, keys) is not None for run in runs)
    labelled_before = previous.labelled / max(previous.runs, 1) * min(len(old), previous.runs)
    share_of_verdicts = 1 - labelled_before / labelled if labelled else 0.0
    claims = (
        (option.kind, content_of(rule))
        for option in previous.options
        if option.predictions[0].is_enough
        for rule in option.rules
    )
    return Look(share=max(share_of_runs, share_of_verdicts, 0.0), claimed=frozenset(claims))
