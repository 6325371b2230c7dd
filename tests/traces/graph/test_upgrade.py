"""A store of the schema before: its traces are kept, and have no figures until they are put again."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from inframind.traces import sql
from inframind.traces.outcome_graph import OutcomeGraph, RunFigures
from inframind.traces.outcome_graphs import graph_of
from inframind.traces.postgres import PostgresStore
from inframind.traces.records import Trajectory
from inframind.traces.sql_migrations import MIGRATIONS
from inframind.traces.sqlite import SqliteStore

BEFORE = 5
"""Version of the schema without a graph."""


def columns_of(trajectory: Trajectory) -> dict[str, Any]:
    return sql.trace_row(trajectory)


async def figures(graph: OutcomeGraph, own_id: str) -> RunFigures:
    return (await graph.configuration(own_id)).figures


async def look(store: SqliteStore | PostgresStore, made: Any) -> None:
    """What was there before is readable and counts nowhere; what is put, by us, counts."""
    graph = graph_of(store)
    (own_id,) = await made.add(graph, 1)
    old = made.run(1, own_id)
    assert await store.get(old.trace_id) == old
    assert await graph.configurations(since_s=0.0) == await graph.configurations()
    assert await figures(graph, own_id) == RunFigures()
    await store.put(made.run(2, own_id))
    assert (await figures(graph, own_id)).runs == 1
    await store.put(old)
    assert (await figures(graph, own_id)).runs == 2


async def test_a_file_of_the_version_before_is_upgraded(sqlite_path: Path, made: Any) -> None:
    row = columns_of(made.run(1, made.configuration(1).configuration_id))
    with closing(sqlite3.connect(sqlite_path)) as connection:
        connection.execute("CREATE TABLE schema_version (version INTEGER NOT NULL)")
        for number, migration in enumerate(MIGRATIONS[:BEFORE], start=1):
            for statement in (*migration.sqlite, f"INSERT INTO schema_version VALUES ({number})"):
                connection.execute(statement)
        connection.execute(
            f"INSERT INTO traces ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", (*row.values(),)
        )
        connection.commit()
    async with SqliteStore(sqlite_path) as store:
        await look(store, made)


async def test_a_database_is_upgraded_while_a_process_of_the_version_before_writes(
    postgres_url: str, made: Any
) -> None:
    import psycopg

    own_id = made.configuration(1).configuration_id
    row, late = (columns_of(made.run(n, own_id)) for n in (1, 3))
    insert = f"INSERT INTO traces ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})"
    with psycopg.connect(postgres_url, autocommit=True) as older:
        older.execute("CREATE TABLE schema_version (version INTEGER NOT NULL)")
        for number, migration in enumerate(MIGRATIONS[:BEFORE], start=1):
            for statement in migration.postgresql:
                older.execute(statement.encode())
            older.execute("INSERT INTO schema_version VALUES (%s)", [number])
        with older.transaction():
            older.execute(insert.encode(), [*row.values()])
            store = await asyncio.to_thread(PostgresStore, postgres_url)
        async with store:
            await look(store, made)
            older.execute(insert.encode(), [*late.values()])
            assert (await figures(graph_of(store), own_id)).runs == 2
            assert await store.count() == 3


async def test_figures_that_an_older_process_left_behind_are_pruned(sqlite_path: Path, made: Any) -> None:
    async with SqliteStore(sqlite_path) as store:
        graph = graph_of(store)
        (own_id,) = await made.add(graph, 1)
        for number in (1, 2, 9):
            await store.put(made.run(number, own_id))
        with closing(sqlite3.connect(sqlite_path)) as older:
            older.execute("DELETE FROM traces WHERE trace_id = ?", (made.trace_id(1),))
            older.commit()
        assert await store.prune(before_s=1005.0) == 1
        assert (await figures(graph, own_id)).runs == 1


async def test_documents_are_jsonb_that_the_database_can_search(postgres_url: str, made: Any) -> None:
    import psycopg

    async with PostgresStore(postgres_url) as store:
        graph = graph_of(store)
        (own_id,) = await made.add(graph, 1)
        await graph.add_recommendations([made.advice(1)])
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute(
            "SELECT configuration_id FROM configurations WHERE document @> %s::jsonb",
            [json.dumps({"policy": {"name": "learned"}})],
        ).fetchall()
        assert found == [(own_id,)]
        kinds = connection.execute("SELECT document->>'kind' FROM recommendations").fetchall()
        assert kinds == [("balanced",)]
