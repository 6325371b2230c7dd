"""What is known of a candidate before its trial. It is kept among the facts of its version, so that whoever judges it,
whenever and in whatever process, knows the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from inframind.router.recorded_views import asked_at
from inframind.router.rules import Circumstances, RoutingRule
from inframind.router.views import Query
from inframind.traces.records import Trajectory

FORETOLD, CONCERNS = "foretold", "concerns"
"""Names of its facts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """What runs that were recorded before say of the difference in runs right and in time.

    Attributes:
        change: expected difference, of all runs.
        low: lower end of its interval.
        high: upper end.
        runs: runs that were read.
    """

    change: float
    low: float
    high: float
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What a candidate is, and what speaks for it.

    Attributes:
        foretold: what recorded runs say of it; None where that is not enough evidence.
        concerns: circumstances outside of which it decides as what serves beside it does; empty where it may differ
            everywhere.
    """

    foretold: Foretold | None = None
    concerns: tuple[Circumstances, ...] = ()

    @classmethod
    def of_rules(cls, rules: Sequence[RoutingRule], foretold: Foretold | None) -> Self:
        """Of what serves with rules more.

        Roles and topologies are left out of their circumstances: which of them a run comes to is decided in it.
        """
        known = {"domains", "hours_utc", "min_prompt_tokens"}
        when = tuple(Circumstances(**rule.when.model_dump(include=known)) for rule in rules)
        return cls(foretold=foretold, concerns=() if Circumstances() in when else when)

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> Self:
        """What `to_facts` gave; nothing is known of a version without such facts."""
        foretold = facts.get(FORETOLD)
        return cls(
            foretold=Foretold(**foretold) if foretold else None,
            concerns=tuple(Circumstances(**when) for when in facts.get(CONCERNS, ())),
        )

    def to_facts(self) -> dict[str, Any]:
        """As plain data, to stand among other facts."""
        facts: dict[str, Any] = {FORETOLD: asdict(self.foretold)} if self.foretold else {}
        if self.concerns:
            facts[CONCERNS] = [when.model_dump(mode="json", exclude_defaults=True) for when in self.concerns]
        return facts

    def is_vouched(self, epsilon: float) -> bool:
        """Whether recorded runs say that it loses less than epsilon for sure."""
        return self.foretold is not None and self.foretold.low > -epsilon

    def is_concerned(self, run: Trajectory) -> bool:
        """Whether what serves and the candidate could decide a run otherwise.

        They may from the first decision on that falls under its circumstances. Up to that one both decide alike, so
        whether a run comes to it does not hang on which of them served.
        """
        if not self.concerns:
            return True
        return any(_holds(when, query, at_s) for query, at_s in asked_at(run) for when in self.concerns)


def _holds(when: Circumstances, query: Query, at_s: float) -> bool:
    return (
        (not when.domains or query.domain in when.domains)
        and query.prompt_tokens >= when.min_prompt_tokens
        and when.is_at(at_s)
    )
