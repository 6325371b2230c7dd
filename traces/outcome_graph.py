"""The graph from configurations to outcomes: configurations, the runs they decided, and the advice about them.

An `OutcomeGraph` stands on a store (`inframind.traces.outcome_graphs.graph_of`), its tables beside the traces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from inframind.traces.advice import AdviceEvent, Recommendation
from inframind.traces.configurations import Configuration
from inframind.traces.records import SOLVED_ONLY, SolvedKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFigures:
    """What became of a number of runs.

    Attributes:
        runs: that ended; not those that were called off while they had time left.
        on_time: ended with an answer within their budget.
        failed: ended without an answer.
        labelled: with a verdict.
        solved: right, of the labelled ones.
        success: right and in time, of the labelled ones.
        latency_s: mean seconds.
        cost: mean cost, of those where it is known; 0 where it is known of none.
        completion_tokens: mean number.
        priced: with a known cost.
        latency_sd_s: standard deviation of one run's seconds, with n - 1 in the denominator; 0 below two runs.
        cost_sd: the same of the known costs.
    """

    runs: int = 0
    on_time: int = 0
    failed: int = 0
    labelled: int = 0
    solved: int = 0
    success: int = 0
    latency_s: float = 0.0
    cost: float = 0.0
    completion_tokens: float = 0.0
    priced: int = 0
    latency_sd_s: float = 0.0
    cost_sd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationSummary:
    """A configuration and what became of its runs.

    Attributes:
        configuration: it.
        first_s: when it was first seen, seconds since the Unix epoch.
        last_s: latest arrival of a run, or ``first_s``.
        figures: of its runs in the time asked about.
        recommendations: number of recommendations that would change it.
    """

    configuration: Configuration
    first_s: float
    last_s: float
    figures: RunFigures
    recommendations: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is otherwise in another configuration.

    Attributes:
        path: where, such as ``strategies.Flash.max_tokens``.
        before: there, or None.
        after: here, or None.
    """

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two configurations side by side.

    Attributes:
        old: one.
        new: the other.
        changes: what is otherwise in ``new``.
        success: difference of the shares of success, with its 95 % interval; None where either has no labels.
        on_time: the same of being in time.
        solved: the same of being right.
        latency_s: difference of mean seconds; None where either has fewer than ten runs.
        cost: difference of mean cost; None where either has fewer than ten runs with a known cost, or where one counts
            in another unit than the other.
    """

    old: ConfigurationSummary
    new: ConfigurationSummary
    changes: tuple[Difference, ...]
    success: ShareDifference | None = None
    on_time: ShareDifference | None = None
    solved: ShareDifference | None = None
    latency_s: MeanDifference | None = None
    cost: MeanDifference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareDifference:
    """New share less old share.

    Attributes:
        change: difference.
        low: lower end of its 95 % interval (Newcombe 1998).
        high: upper end.
    """

    change: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanDifference:
    """New mean less old mean.

    Attributes:
        change: difference.
        low: lower end of its 95 % interval (Welch 1947).
        high: upper end.
    """

    change: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Worsening:
    """A group of runs that does worse than it did.

    Attributes:
        by: what groups: ``configuration``, ``topology`` or ``domain``.
        name: of the group.
        metric: ``on_time``, ``solved`` or ``success``.
        before: figures of the time before.
        after: figures of the time after.
        difference: of the shares; its interval holds with 95 % at once with those of all groups that were compared.
    """

    by: str
    name: str
    metric: str
    before: RunFigures
    after: RunFigures
    difference: ShareDifference


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnalysis:
    """The latest look at what fails and what could be changed, as plain data; see `inframind.advisor.analysis`.

    Attributes:
        at_s: when it was made, seconds since the Unix epoch.
        configuration_id: of the configuration that it is about.
        document: plain data.
        number: 1-based; 0 before it is kept.
    """

    at_s: float
    configuration_id: str
    document: Mapping[str, Any] = field(default_factory=dict)
    number: int = 0


class OutcomeGraph(Protocol):
    """Configurations, runs, advice. May be awaited from several threads, loops and processes.

    A run is linked to its configuration by `Trajectory.configuration` when the store puts it, and forgotten with its
    trace; while it is open, or where it was called off in time, it counts nowhere. Traces that a release without this
    graph put, before an upgrade or beside it, have no figures until they are put again. Every method raises
    StoreClosed after the store was closed, and StoreError when the storage fails.
    """

    async def add_configuration(self, configuration: Configuration, *, at_s: float) -> None:
        """Keep a configuration; adding it again changes nothing.

        Raises:
            ConfigError: its ids are not those that `configuration_of` gives its document.
            StoreError: its document is no plain data.
        """
        ...

    async def configuration(self, prefix: str) -> ConfigurationSummary:
        """The one configuration whose id begins with these six or more hex digits, with all its runs.

        Raises:
            UnknownConfiguration: there is none.
            ConfigError: the prefix is too short, is not hex, or begins several.
        """
        ...

    async def known_configuration(self, configuration_id: str) -> Configuration | None:
        """The configuration of that whole id, or None; looks at no run, so that it takes no time."""
        ...

    async def configurations(
        self,
        *,
        since_s: float | None = None,
        until_s: float | None = None,
        limit: int | None = None,
        keys: SolvedKeys = SOLVED_ONLY,
    ) -> Sequence[ConfigurationSummary]:
        """Configurations, that with the latest run first; figures are of runs that arrived in the time given."""
        ...

    async def compare(self, old: str, new: str, *, keys: SolvedKeys = SOLVED_ONLY) -> Comparison:
        """Two configurations, by id or prefix: what changed, and what became of it.

        Raises:
            UnknownConfiguration, ConfigError: as `configuration`.
        """
        ...

    async def got_worse(
        self, *, split_s: float, window_s: float, keys: SolvedKeys = SOLVED_ONLY
    ) -> Sequence[Worsening]:
        """What does worse in ``window_s`` from ``split_s`` on than in ``window_s`` before it, for sure.

        The largest loss first; of groups with ten or more runs (labels, where these are asked for) on both sides.
        The intervals that decide hold all at once with 95 %, over every group and metric with enough runs (Bonferroni):
        where nothing has changed, nothing is found in at least 19 of 20 looks. The more groups, the wider they are.
        """
        ...

    async def front(
        self, *, keys: SolvedKeys = SOLVED_ONLY, least_labels: int = 30
    ) -> Sequence[ConfigurationSummary]:
        """Configurations that no other beats in both success and cost, cheapest first; of those with enough labels.

        Costs are compared in the unit (``cost_unit``) of the latest of them; those in another one are left out.
        """
        ...

    async def keep_analysis(self, analysis: KeptAnalysis) -> KeptAnalysis:
        """Keep a look at what fails; returns it with its number. The newest few are kept."""
        ...

    async def latest_analysis(self) -> KeptAnalysis | None:
        """The newest one."""
        ...

    async def add_recommendations(
        self, recommendations: Sequence[Recommendation], *, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Keep recommendations, with one ``shown`` event each, in one transaction.

        Those that are kept already stay as they are, and are not shown again.

        Args:
            recommendations: made at once.
            facts: of these events: what they were made of and for; plain data.

        Raises:
            ConfigError: an id is not 32 lowercase hex digits, or a prediction holds a number that is not finite.
            StoreError: one holds something else that is no plain data; none is kept then.
        """
        ...

    async def recommendation(self, prefix: str) -> Recommendation:
        """The one whose id begins with these six or more hex digits.

        Raises:
            UnknownRecommendation: there is none.
            ConfigError: the prefix is too short, is not hex, or begins several.
        """
        ...

    async def recommendations(
        self, *, since_s: float | None = None, limit: int | None = None
    ) -> Sequence[Recommendation]:
        """Newest first."""
        ...

    async def recommendations_of(self, recommendation_ids: Sequence[str]) -> Sequence[Recommendation]:
        """Those of them that there are, in the order asked for."""
        ...

    async def add_event(self, event: AdviceEvent) -> AdviceEvent:
        """Keep what became of a recommendation; returns it with its number.

        Raises:
            UnknownRecommendation: of none that there is.
            AdviceMoved: it was accepted or rejected before, or something else that happens once has happened: the
                kinds accepted/rejected exclude each other, and accepted, rejected, proposed, promoted, rolled_back,
                reverted happen once each. ``measured`` may come again: the latest counts.
        """
        ...

    async def advice_events(self, *, after: int = 0, limit: int | None = None) -> Sequence[AdviceEvent]:
        """Events with a greater number, oldest first."""
        ...
