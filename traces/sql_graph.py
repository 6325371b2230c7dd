"""The outcome graph of a SQL store: its tables stand beside the traces, and its transactions are the store's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, func, select

from inframind.traces import sql_graph_advice
from inframind.traces.advice import AdviceEvent, Recommendation
from inframind.traces.configurations import Configuration
from inframind.traces.figures import NOTHING, Tally, comparison, front, worsenings
from inframind.traces.graph_checks import (
    check_times,
    check_window,
    checked_analysis,
    checked_configuration,
    checked_event,
    checked_recommendations,
)
from inframind.traces.outcome_graph import Comparison, ConfigurationSummary, KeptAnalysis, Worsening
from inframind.traces.prefix import CONFIGURATIONS, RECOMMENDATIONS
from inframind.traces.records import SOLVED_ONLY, SolvedKeys
from inframind.traces.shelf_checks import check_limit
from inframind.traces.sql import insert
from inframind.traces.sql_graph_runs import load_groups, load_tallies
from inframind.traces.sql_graph_tables import configurations, recommendations, runs
from inframind.traces.sql_shelf_tables import document, from_document
from inframind.traces.sql_store import SqlStore


class SqlGraph:
    """See `inframind.traces.outcome_graph.OutcomeGraph`. Made and closed by its store, see `SqlStore.companion`.

    Traces that were written by a process without this table, of a release before it, have no figures.
    """

    def __init__(self, store: SqlStore) -> None:
        self._store, self._dialect = store, store.dialect
        self._add_configuration = insert(store.dialect, configurations).on_conflict_do_nothing()

    def close(self) -> None:
        """There is nothing of its own."""

    async def add_configuration(self, configuration: Configuration, *, at_s: float) -> None:
        """Keep a configuration; adding it again changes nothing."""
        checked = checked_configuration(configuration, at_s=at_s)
        row = {
            "configuration_id": checked.configuration_id,
            "family": checked.family,
            "first_s": float(at_s),
            "document": document(checked.document),
        }
        await self._store.write([(self._add_configuration, row)])

    async def configuration(self, prefix: str) -> ConfigurationSummary:
        """The one configuration that begins so, with all its runs."""
        wanted = CONFIGURATIONS.check(prefix)
        return await self._store.read("configuration", lambda c: _load_configuration(c, wanted, SOLVED_ONLY))

    async def known_configuration(self, configuration_id: str) -> Configuration | None:
        """The configuration of that whole id, or None."""
        wanted = select(configurations).where(configurations.c.configuration_id == configuration_id)

        def load(connection: Connection) -> Configuration | None:
            row = connection.execute(wanted).mappings().one_or_none()
            return None if row is None else _configuration(row)

        return await self._store.read("known configuration", load)

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

        def load(connection: Connection) -> Sequence[ConfigurationSummary]:
            rows = connection.execute(_summaries().limit(most)).mappings().all()
            only = None if most is None else [row["configuration_id"] for row in rows]
            tallies = load_tallies(connection, keys=keys, since_s=since_s, until_s=until_s, only=only)
            return [_summary(row, tallies.get(row["configuration_id"], NOTHING)) for row in rows]

        return await self._store.read("configurations", load)

    async def compare(self, old: str, new: str, *, keys: SolvedKeys = SOLVED_ONLY) -> Comparison:
        """Two configurations side by side."""
        before, after = CONFIGURATIONS.check(old), CONFIGURATIONS.check(new)

        def load(connection: Connection) -> Comparison:
            return comparison(
                _load_configuration(connection, before, keys), _load_configuration(connection, after, keys)
            )

        return await self._store.read("compare", load)

    async def got_worse(
        self, *, split_s: float, window_s: float, keys: SolvedKeys = SOLVED_ONLY
    ) -> Sequence[Worsening]:
        """What does worse in a window than in the one before it."""
        window_s = check_window(window_s)
        before, after = await self._store.read(
            "got_worse", lambda c: load_groups(c, split_s=split_s, window_s=window_s, keys=keys)
        )
        return worsenings(before, after)

    async def front(
        self, *, keys: SolvedKeys = SOLVED_ONLY, least_labels: int = 30
    ) -> Sequence[ConfigurationSummary]:
        """Configurations that no other beats in success and cost, cheapest first."""

        def load(connection: Connection) -> list[tuple[ConfigurationSummary, Tally]]:
            tallies = load_tallies(connection, keys=keys)
            rows = connection.execute(_summaries()).mappings()
            found = [(row, tallies.get(row["configuration_id"], NOTHING)) for row in rows]
            return [(_summary(row, tally), tally) for row, tally in found]

        return front(await self._store.read("front", load), least_labels=least_labels)

    async def keep_analysis(self, analysis: KeptAnalysis) -> KeptAnalysis:
        """Keep a look at what fails. After a broken connection it may be kept twice, which does no harm."""
        checked = checked_analysis(analysis)
        return await self._store.transact(
            "keep analysis",
            lambda c: sql_graph_advice.keep_analysis(c, self._dialect, checked),
            is_repeatable=True,
        )

    async def latest_analysis(self) -> KeptAnalysis | None:
        """The newest one."""
        return await self._store.read("analysis", sql_graph_advice.load_latest_analysis)

    async def add_recommendations(
        self, recommendations: Sequence[Recommendation], *, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Keep recommendations, with one ``shown`` event each; those that are kept already stay as they are."""
        checked = checked_recommendations(recommendations)
        await self._store.transact(
            "add recommendations",
            lambda c: sql_graph_advice.add_recommendations(c, self._dialect, checked, facts),
            is_repeatable=True,
        )

    async def recommendation(self, prefix: str) -> Recommendation:
        """The one that begins so."""
        wanted = RECOMMENDATIONS.check(prefix)
        return await self._store.read(
            "recommendation", lambda c: sql_graph_advice.load_recommendation(c, wanted)
        )

    async def recommendations(
        self, *, since_s: float | None = None, limit: int | None = None
    ) -> Sequence[Recommendation]:
        """Newest first."""
        most = check_limit(limit)
        return await self._store.read(
            "recommendations", lambda c: sql_graph_advice.load_recommendations(c, since_s, most)
        )

    async def recommendations_of(self, recommendation_ids: Sequence[str]) -> Sequence[Recommendation]:
        """Those of them that there are, in the order asked for."""
        wanted = [*recommendation_ids]
        return await self._store.read(
            "recommendations", lambda c: sql_graph_advice.load_recommendations_of(c, wanted)
        )

    async def add_event(self, event: AdviceEvent) -> AdviceEvent:
        """Keep what became of a recommendation."""
        checked = checked_event(event)
        return await self._store.transact(
            "add advice event", lambda c: sql_graph_advice.add_event(c, self._dialect, checked)
        )

    async def advice_events(self, *, after: int = 0, limit: int | None = None) -> Sequence[AdviceEvent]:
        """Events with a greater number, oldest first."""
        most = check_limit(limit)
        return await self._store.read("advice events", lambda c: sql_graph_advice.load_events(c, after, most))


def _summaries() -> Select[Any]:
    """All that is in a summary but the figures, that with the latest run first."""
    own_id = configurations.c.configuration_id
    latest = select(runs.c.arrived_at_s).where(runs.c.configuration == own_id)
    latest_s = latest.order_by(runs.c.arrived_at_s.desc()).limit(1).scalar_subquery()
    last_s = func.coalesce(latest_s, configurations.c.first_s).label("last_s")
    advised = select(func.count()).where(recommendations.c.configuration_id == own_id).scalar_subquery()
    found = select(configurations, last_s, advised.label("recommendations"))
    return found.order_by(last_s.desc(), own_id)


def _load_configuration(connection: Connection, prefix: str, keys: SolvedKeys) -> ConfigurationSummary:
    own_id = configurations.c.configuration_id
    begins_so = own_id.between(prefix, prefix + "g")  # after every hex digit
    rows = connection.execute(_summaries().where(begins_so).limit(2)).mappings().all()
    found = CONFIGURATIONS.only(prefix, [row["configuration_id"] for row in rows])
    tally = load_tallies(connection, keys=keys, only=[found]).get(found, NOTHING)
    return _summary(rows[0], tally)


def _summary(row: Any, tally: Tally) -> ConfigurationSummary:
    return ConfigurationSummary(
        configuration=_configuration(row),
        first_s=row["first_s"],
        last_s=row["last_s"],
        figures=tally.figures,
        recommendations=row["recommendations"],
    )


def _configuration(row: Any) -> Configuration:
    return Configuration(
        configuration_id=row["configuration_id"],
        family=row["family"],
        document=from_document(row["document"]),
    )
