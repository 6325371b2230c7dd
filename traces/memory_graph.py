"""The outcome graph of a store in memory: for one process, and as long as the store is open."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from inframind.errors import StoreClosed, UnknownRecommendation
from inframind.traces.advice import AdviceEvent, Recommendation
from inframind.traces.configurations import Configuration
from inframind.traces.figures import (
    GroupKey,
    Run,
    Tally,
    comparison,
    front,
    run_of,
    tally_of,
    worsenings,
)
from inframind.traces.graph_checks import (
    KEPT_ANALYSES,
    check_times,
    check_window,
    checked_analysis,
    checked_configuration,
    checked_event,
    checked_recommendations,
    require_possible,
    shown,
)
from inframind.traces.outcome_graph import Comparison, ConfigurationSummary, KeptAnalysis, Worsening
from inframind.traces.prefix import CONFIGURATIONS, RECOMMENDATIONS
from inframind.traces.records import SOLVED_ONLY, Outcome, SolvedKeys, Trajectory, solved_of
from inframind.traces.shelf_checks import check_limit


class MemoryGraph:
    """See `inframind.traces.outcome_graph.OutcomeGraph`. A run is forgotten with its trace.

    Args:
        lock: the store's own; held whenever the store calls `keep_run` and `forget_run`.
        said_of: outcomes of a trace, called with the lock held.
    """

    def __init__(self, lock: threading.Lock, said_of: Callable[[str], Iterable[Outcome]]) -> None:
        self._lock, self._said_of = lock, said_of
        self._runs: dict[str, Run] = {}
        self._configurations: dict[str, tuple[Configuration, float]] = {}
        self._recommendations: dict[str, Recommendation] = {}
        self._events: list[AdviceEvent] = []
        self._analyses: list[KeptAnalysis] = []
        self._closed = False

    def keep_run(self, trajectory: Trajectory) -> None:
        """Called by the store for every run that it keeps."""
        self._runs[trajectory.trace_id] = run_of(trajectory)

    def forget_run(self, trace_id: str) -> None:
        """Called by the store for every run that it forgets."""
        self._runs.pop(trace_id, None)

    def close(self) -> None:
        """Refuse everything from now on."""
        self._closed = True

    async def add_configuration(self, configuration: Configuration, *, at_s: float) -> None:
        """Keep a configuration; adding it again changes nothing."""
        checked = checked_configuration(configuration, at_s=at_s)
        with self._open():
            self._configurations.setdefault(checked.configuration_id, (checked, float(at_s)))

    async def configuration(self, prefix: str) -> ConfigurationSummary:
        """The one configuration that begins so, with all its runs."""
        return await self._configuration(prefix, SOLVED_ONLY)

    async def known_configuration(self, configuration_id: str) -> Configuration | None:
        """The configuration of that whole id, or None."""
        with self._open():
            found, _ = self._configurations.get(configuration_id, (None, 0.0))
        return found

    async def configurations(
        self,
        *,
        since_s: float | None = None,
        until_s: float | None = None,
        limit: int | None = None,
        keys: SolvedKeys = SOLVED_ONLY,
    ) -> Sequence[ConfigurationSummary]:
        """Configurations, that with the latest run first."""
        check_times(since_s, until_s)
        most = check_limit(limit)
        with self._open():
            return [summary for summary, _ in self._summaries(keys, since_s, until_s)][:most]

    async def compare(self, old: str, new: str, *, keys: SolvedKeys = SOLVED_ONLY) -> Comparison:
        """Two configurations side by side."""
        return comparison(await self._configuration(old, keys), await self._configuration(new, keys))

    async def got_worse(
        self, *, split_s: float, window_s: float, keys: SolvedKeys = SOLVED_ONLY
    ) -> Sequence[Worsening]:
        """What does worse in a window than in the one before it."""
        check_window(window_s)
        with self._open():
            before = self._groups(keys, split_s - window_s, split_s)
            after = self._groups(keys, split_s, split_s + window_s)
        return worsenings(before, after)

    async def front(
        self, *, keys: SolvedKeys = SOLVED_ONLY, least_labels: int = 30
    ) -> Sequence[ConfigurationSummary]:
        """Configurations that no other beats in success and cost, cheapest first."""
        with self._open():
            found = self._summaries(keys)
        return front(found, least_labels=least_labels)

    async def keep_analysis(self, analysis: KeptAnalysis) -> KeptAnalysis:
        """Keep a look at what fails."""
        checked = checked_analysis(analysis)
        with self._open():
            last = self._analyses[-1].number if self._analyses else 0
            kept = replace(checked, number=last + 1)
            self._analyses = [*self._analyses, kept][-KEPT_ANALYSES:]
        return kept

    async def latest_analysis(self) -> KeptAnalysis | None:
        """The newest one."""
        with self._open():
            return self._analyses[-1] if self._analyses else None

    async def add_recommendations(
        self, recommendations: Sequence[Recommendation], *, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Keep recommendations, with one ``shown`` event each; those that are kept already stay as they are."""
        checked = checked_recommendations(recommendations)
        with self._open():
            new = [one for one in checked if one.recommendation_id not in self._recommendations]
            self._events += shown(new, facts, after=len(self._events))
            self._recommendations |= {one.recommendation_id: one for one in new}

    async def recommendation(self, prefix: str) -> Recommendation:
        """The one that begins so."""
        wanted = RECOMMENDATIONS.check(prefix)
        with self._open():
            found = [own_id for own_id in self._recommendations if own_id.startswith(wanted)]
            return self._recommendations[RECOMMENDATIONS.only(wanted, found)]

    async def recommendations(
        self, *, since_s: float | None = None, limit: int | None = None
    ) -> Sequence[Recommendation]:
        """Newest first."""
        most = check_limit(limit)
        with self._open():
            found = [*self._recommendations.values()]
        found.sort(key=lambda one: (-one.made_at_s, one.rank, one.recommendation_id))
        return [one for one in found if since_s is None or one.made_at_s >= since_s][:most]

    async def recommendations_of(self, recommendation_ids: Sequence[str]) -> Sequence[Recommendation]:
        """Those of them that there are, in the order asked for."""
        with self._open():
            known = self._recommendations
            return [known[own_id] for own_id in recommendation_ids if own_id in known]

    async def add_event(self, event: AdviceEvent) -> AdviceEvent:
        """Keep what became of a recommendation."""
        checked = checked_event(event)
        with self._open():
            if checked.recommendation_id not in self._recommendations:
                raise UnknownRecommendation(checked.recommendation_id)
            same = [one for one in self._events if one.recommendation_id == checked.recommendation_id]
            require_possible(checked, [one.kind for one in same])
            return self._append(checked)

    async def advice_events(self, *, after: int = 0, limit: int | None = None) -> Sequence[AdviceEvent]:
        """Events with a greater number, oldest first."""
        most = check_limit(limit)
        with self._open():
            return self._events[max(after, 0) :][:most]

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise StoreClosed
            yield

    def _append(self, event: AdviceEvent) -> AdviceEvent:
        appended = replace(event, number=len(self._events) + 1)
        self._events.append(appended)
        return appended

    async def _configuration(self, prefix: str, keys: SolvedKeys) -> ConfigurationSummary:
        wanted = CONFIGURATIONS.check(prefix)
        with self._open():
            found = [own_id for own_id in self._configurations if own_id.startswith(wanted)]
            own_id = CONFIGURATIONS.only(wanted, found)
            summaries = [summary for summary, _ in self._summaries(keys)]
        return next(one for one in summaries if one.configuration.configuration_id == own_id)

    def _summaries(
        self, keys: SolvedKeys, since_s: float | None = None, until_s: float | None = None
    ) -> list[tuple[ConfigurationSummary, Tally]]:
        last_s: dict[str, float] = {}
        for run in self._runs.values():
            last_s[run.configuration] = max(run.arrived_at_s, last_s.get(run.configuration, run.arrived_at_s))
        advised = Counter(one.configuration_id for one in self._recommendations.values())
        tallies: defaultdict[str, Tally] = defaultdict(Tally)
        for (own_id, _, _), tally in self._groups(keys, since_s, until_s).items():
            tallies[own_id] += tally
        found = [
            ConfigurationSummary(
                configuration=configuration,
                first_s=first_s,
                last_s=last_s.get(own_id, first_s),
                figures=tallies[own_id].figures,
                recommendations=advised[own_id],
            )
            for own_id, (configuration, first_s) in self._configurations.items()
        ]
        found.sort(key=lambda one: (-one.last_s, one.configuration.configuration_id))
        return [(one, tallies[one.configuration.configuration_id]) for one in found]

    def _groups(
        self, keys: SolvedKeys, since_s: float | None, until_s: float | None
    ) -> dict[GroupKey, Tally]:
        groups: defaultdict[GroupKey, list[tuple[Run, bool | None]]] = defaultdict(list)
        for run in self._runs.values():
            is_early = since_s is not None and run.arrived_at_s < since_s
            is_late = until_s is not None and run.arrived_at_s >= until_s
            if run.counts and not (is_early or is_late):
                key = (run.configuration, run.topology, run.domain)
                groups[key].append((run, self._verdict(run.trace_id, keys)))
        return {key: tally_of(judged) for key, judged in groups.items()}

    def _verdict(self, trace_id: str, keys: SolvedKeys) -> bool | None:
        said = sorted(
            self._said_of(trace_id), key=lambda outcome: (outcome.recorded_at_s, outcome.feedback_id)
        )
        return solved_of(said, keys)
