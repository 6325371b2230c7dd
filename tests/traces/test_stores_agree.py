"""Whatever happens in whatever order, the store in memory and the store on disk come to the same."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from inframind.traces.configurations import configuration_of
from inframind.traces.memory import MemoryStore
from inframind.traces.outcome_graphs import graph_of
from inframind.traces.postgres import PostgresStore
from inframind.traces.query import TraceQuery
from inframind.traces.records import Outcome, SolvedKeys, Trajectory
from inframind.traces.shelves import shelf_of
from inframind.traces.sql_graph_tables import runs
from inframind.traces.sql_tables import aliases, lessons, outcomes, traces
from inframind.traces.sqlite import SqliteStore
from inframind.traces.store import TraceStore

TRACES = [digit * 32 for digit in "123"]
ALIASES = ["run:" + "3" * 32, "run:" + "4" * 32, "otel:" + "5" * 32, "thread:a"]
KEYS = SolvedKeys({"thumbs": 0.5})
CONFIGURATION = configuration_of({"models": []})

_SAID = st.builds(
    Outcome,
    feedback_id=st.sampled_from("fg"),
    key=st.sampled_from(["solved", "thumbs"]),
    score=st.sampled_from([None, 0.0, 1.0]),
    recorded_at_s=st.integers(0, 4).map(float),
)
_TRACE, _ALIAS = st.sampled_from(TRACES), st.sampled_from(ALIASES)
_EVENT = st.one_of(
    st.tuples(
        st.just("put"), _TRACE, st.lists(_SAID, max_size=1).map(tuple), st.sampled_from(["ok", "open"])
    ),
    st.tuples(st.just("close")),
    st.tuples(st.just("say"), _TRACE | _ALIAS, _SAID),
    st.tuples(st.just("alias"), _ALIAS, _TRACE),
    st.tuples(st.just("delete"), _TRACE),
    st.tuples(st.just("prune"), st.integers(0, 5)),
)


async def apply(store: TraceStore, event: tuple[Any, ...]) -> None:
    match event:
        case ("put", trace_id, said, status):
            fields = {"trace_id": trace_id, "question": "q", "arrived_at_s": 1.0, "budget_s": 1.0}
            decided = {"configuration": CONFIGURATION.configuration_id, "cost": 0.5}
            await store.put(Trajectory(**fields, **decided, outcomes=said, status=status))
        case ("close",):
            await store.close_abandoned(before_s=2.0)
        case ("say", reference, outcome):
            await store.add_outcome(reference, outcome)
        case ("alias", alias, trace_id):
            await store.add_alias(alias, trace_id)
        case ("delete", trace_id):
            await store.delete(trace_id)
        case ("prune", before_s):
            await store.prune_pending(before_s=float(before_s))


async def seen(store: TraceStore) -> tuple[Any, ...]:
    summaries = [await store.list(query) for query in (TraceQuery(), TraceQuery(solved_keys=KEYS))]
    names = [await store.trace_of(name) for name in (*TRACES, *ALIASES)]
    lessons = await shelf_of(store).lesson_counts(now_s=10.0, patience_s=5.0)
    figures = [await graph_of(store).configurations(keys=keys) for keys in (SolvedKeys(), KEYS)]
    stored = [t async for t in store.iter()]
    return stored, summaries, names, await store.count_pending(), dict(lessons), figures


async def agree(events: list[tuple[Any, ...]], disk: TraceStore) -> None:
    async with MemoryStore() as memory:
        for store in (memory, disk):
            await graph_of(store).add_configuration(CONFIGURATION, at_s=1.0)
        for event in events:
            await apply(memory, event)
            await apply(disk, event)
        assert await seen(memory) == await seen(disk)


@settings(max_examples=30, deadline=None)
@given(st.lists(_EVENT, max_size=14))
def test_memory_and_disk_come_to_the_same(events: list[tuple[Any, ...]]) -> None:
    async def run(folder: str) -> None:
        async with SqliteStore(Path(folder) / "traces.db") as disk:
            await agree(events, disk)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(folder))


@settings(max_examples=20, deadline=None)
@given(st.lists(_EVENT, max_size=14))
def test_memory_and_postgresql_come_to_the_same(postgres: str, events: list[tuple[Any, ...]]) -> None:
    async def run() -> None:
        async with PostgresStore(postgres) as disk:
            for table in (traces, outcomes, aliases, lessons, runs):
                await disk.write([(delete(table), {})])
            await agree(events, disk)

    asyncio.run(run())
