"""What every trace store promises, run over each of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from inframind.errors import ConfigError, StoreClosed, StoreError, UnknownTrace
from inframind.traces.query import TraceQuery
from inframind.traces.records import Outcome, SolvedKeys, Step, Trajectory
from inframind.traces.store import TraceStore, open_store

OpenStore = Callable[[], TraceStore]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("fresh_postgres"))
    return {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path / 'traces.db'}"}[request.param]


@pytest.fixture
async def store(url: str) -> AsyncIterator[TraceStore]:
    async with open_store(url) as opened:
        yield opened


def trace_id(n: int) -> str:
    return f"{n:06x}" + "0" * 26


def trajectory(n: int, **changes: Any) -> Trajectory:
    fields = {
        "trace_id": trace_id(n),
        "question": f"question {n}",
        "arrived_at_s": 1000.0 + n,
        "budget_s": 20.0,
    }
    return Trajectory(**{**fields, **changes})


def solved(score: float, at_s: float, feedback_id: str = "f1") -> Outcome:
    return Outcome(feedback_id=feedback_id, key="solved", score=score, recorded_at_s=at_s)


async def ids(store: TraceStore, query: TraceQuery) -> list[str]:
    """The ids that `list` gives, once `iter` is known to give the same."""
    listed = [summary.trace_id for summary in await store.list(query)]
    assert [found.trace_id async for found in store.iter(query)] == listed
    return listed


async def test_get_returns_what_was_put(store: TraceStore) -> None:
    step = Step(
        step_id=0,
        node="agent_0",
        kind="agent",
        position=0,
        round=1,
        role="Solver",
        parents=(),
        decision_id="d0",
        model="qwen",
        strategy="Plain",
        started_s=0.1,
        finished_s=2.3,
        text="naïve 答え 🚀\x00",
    )
    original = trajectory(1, steps=(step,), team=("Solver",), metadata={"thread": {"id": 7, "tags": []}})
    await store.put(original)
    assert await store.get(trace_id(1)) == original


async def test_get_of_an_unknown_trace_names_it(store: TraceStore) -> None:
    with pytest.raises(UnknownTrace) as caught:
        await store.get(trace_id(1))
    assert caught.value.trace_id == trace_id(1)


async def test_second_put_replaces_the_first(store: TraceStore) -> None:
    await store.put(trajectory(1, status="failed"))
    await store.put(trajectory(1, answer="42"))
    assert await store.get(trace_id(1)) == trajectory(1, answer="42")
    assert await store.count() == 1


async def test_put_refuses_nan(store: TraceStore) -> None:
    with pytest.raises(StoreError, match="NaN"):
        await store.put(trajectory(1, latency_s=float("nan")))
    assert await store.count() == 0


async def test_outcome_refuses_nan(store: TraceStore) -> None:
    with pytest.raises(StoreError, match="NaN"):
        await store.add_outcome(trace_id(1), solved(float("nan"), at_s=1.0))


async def test_outcome_before_its_trace_is_joined_on_arrival(store: TraceStore) -> None:
    await store.add_outcome(trace_id(1), solved(1.0, at_s=5.0))
    assert await store.count() == 0
    await store.put(trajectory(1))
    assert (await store.get(trace_id(1))).outcomes == (solved(1.0, at_s=5.0),)


async def test_outcomes_survive_a_second_put(store: TraceStore) -> None:
    await store.put(trajectory(1))
    await store.add_outcome(trace_id(1), solved(1.0, at_s=5.0))
    await store.put(trajectory(1, answer="42"))
    found = await store.get(trace_id(1))
    assert (found.answer, found.solved) == ("42", True)


async def test_same_outcome_twice_is_one_outcome(store: TraceStore) -> None:
    await store.put(trajectory(1))
    for _ in range(2):
        await store.add_outcome(trace_id(1), solved(1.0, at_s=5.0))
    assert (await store.get(trace_id(1))).outcomes == (solved(1.0, at_s=5.0),)


async def test_same_feedback_id_replaces_what_it_said(store: TraceStore) -> None:
    await store.put(trajectory(1))
    await store.add_outcome(trace_id(1), solved(1.0, at_s=5.0))
    await store.add_outcome(trace_id(1), solved(0.0, at_s=6.0))
    assert (await store.get(trace_id(1))).outcomes == (solved(0.0, at_s=6.0),)


async def test_outcomes_are_in_the_order_they_were_recorded_however_they_arrive(store: TraceStore) -> None:
    first, second = solved(0.0, at_s=1.0, feedback_id="z"), solved(1.0, at_s=2.0, feedback_id="a")
    await store.put(trajectory(1))
    await store.add_outcome(trace_id(1), second)
    await store.add_outcome(trace_id(1), first)
    assert (await store.get(trace_id(1))).outcomes == (first, second)
    assert await ids(store, TraceQuery(solved=True)) == [trace_id(1)]


async def test_outcomes_inside_a_trajectory_are_recorded_but_do_not_overrule(store: TraceStore) -> None:
    await store.add_outcome(trace_id(1), solved(0.0, at_s=9.0, feedback_id="kept"))
    inside = (solved(1.0, at_s=1.0, feedback_id="kept"), solved(1.0, at_s=2.0, feedback_id="new"))
    await store.put(trajectory(1, outcomes=inside))
    assert (await store.get(trace_id(1))).outcomes == (inside[1], solved(0.0, at_s=9.0, feedback_id="kept"))


async def test_outcome_with_a_label_alone_keeps_its_missing_score(store: TraceStore) -> None:
    label = Outcome(feedback_id="f", key="tone", value="rude", comment="é", source="user", recorded_at_s=1.5)
    await store.put(trajectory(1))
    await store.add_outcome(trace_id(1), label)
    found = await store.get(trace_id(1))
    assert (found.outcomes, found.solved) == ((label,), None)


async def test_list_is_newest_first(store: TraceStore) -> None:
    for n in (2, 1, 3):
        await store.put(trajectory(n))
    assert await ids(store, TraceQuery()) == [trace_id(3), trace_id(2), trace_id(1)]
    assert await ids(store, TraceQuery(oldest_first=True)) == [trace_id(1), trace_id(2), trace_id(3)]


async def test_summary_shows_the_trace(store: TraceStore) -> None:
    await store.put(trajectory(1, question="x" * 500, topology="Debate", status="late", latency_s=21.5))
    await store.add_outcome(trace_id(1), solved(0.0, at_s=1.0))
    (summary,) = await store.list()
    assert summary.trace_id == trace_id(1)
    assert summary.question == "x" * 200
    assert (summary.topology, summary.status, summary.solved) == ("Debate", "late", False)
    assert (summary.latency_s, summary.budget_s, summary.arrived_at_s) == (21.5, 20.0, 1001.0)


async def test_filters(store: TraceStore) -> None:
    await store.put(trajectory(1, status="late", topology="IO"))
    await store.put(trajectory(2, topology="Debate"))
    await store.put(trajectory(3, topology="Debate"))
    await store.add_outcome(trace_id(1), solved(1.0, at_s=1.0))
    await store.add_outcome(trace_id(2), solved(0.0, at_s=1.0))
    assert await ids(store, TraceQuery(status="late")) == [trace_id(1)]
    assert await ids(store, TraceQuery(topology="Debate")) == [trace_id(3), trace_id(2)]
    assert await ids(store, TraceQuery(topology="Debate", status="late")) == []
    assert await ids(store, TraceQuery(solved=True)) == [trace_id(1)]
    assert await ids(store, TraceQuery(solved=False)) == [trace_id(2)]
    assert await ids(store, TraceQuery(labelled=True)) == [trace_id(2), trace_id(1)]
    assert await ids(store, TraceQuery(labelled=False)) == [trace_id(3)]
    assert await ids(store, TraceQuery(since_s=1002.0)) == [trace_id(3), trace_id(2)]
    assert await ids(store, TraceQuery(since_s=1001.0, until_s=1003.0)) == [trace_id(2), trace_id(1)]


async def test_other_keys_may_say_whether_a_trace_was_solved(store: TraceStore) -> None:
    said = [[], [("thumbs", 1.0)], [("thumbs", 0.0)], [("solved", 1.0), ("thumbs", 0.0)], [("stars", 4.0)]]
    for n, outcomes in enumerate(said):
        await store.put(trajectory(n))
        for key, score in outcomes:
            outcome = Outcome(feedback_id=key, key=key, score=score, recorded_at_s=1.0)
            await store.add_outcome(trace_id(n), outcome)
    keys = SolvedKeys({"thumbs": 0.5, "stars": 4.5})
    listed = await store.list(TraceQuery(solved_keys=keys, oldest_first=True))
    assert [summary.solved for summary in listed] == [None, True, False, True, False]
    assert await ids(store, TraceQuery(solved_keys=keys, solved=True)) == [trace_id(3), trace_id(1)]
    assert await ids(store, TraceQuery(solved_keys=keys, solved=False)) == [trace_id(4), trace_id(2)]
    assert await ids(store, TraceQuery(solved_keys=keys, labelled=False)) == [trace_id(0)]
    assert await ids(store, TraceQuery(labelled=True)) == [trace_id(3)]


@pytest.mark.parametrize("oldest_first", [False, True])
async def test_cursor_pages_through_equal_arrivals_without_loss(
    store: TraceStore, oldest_first: bool
) -> None:
    for n in range(7):
        await store.put(trajectory(n, arrived_at_s=1000.0 + n // 3))
    everything = await ids(store, TraceQuery(oldest_first=oldest_first))
    paged: list[str] = []
    cursor = None
    while page := await store.list(TraceQuery(limit=2, cursor=cursor, oldest_first=oldest_first)):
        paged += [summary.trace_id for summary in page]
        cursor = page[-1].cursor
    assert paged == everything
    assert len(paged) == 7


async def test_iter_streams_more_than_a_page(store: TraceStore) -> None:
    await asyncio.gather(*(store.put(trajectory(n)) for n in range(600)))
    await store.add_outcome(trace_id(3), solved(1.0, at_s=1.0))
    found = [t async for t in store.iter(TraceQuery(oldest_first=True))]
    assert [t.trace_id for t in found] == [trace_id(n) for n in range(600)]
    assert [t.trace_id for t in found if t.solved] == [trace_id(3)]
    assert len([t async for t in store.iter(TraceQuery(limit=300))]) == 300


async def test_delete_forgets_trace_and_outcomes(store: TraceStore) -> None:
    await store.put(trajectory(1))
    await store.put(trajectory(2))
    await store.add_outcome(trace_id(1), solved(1.0, at_s=1.0))
    await store.delete(trace_id(1))
    await store.delete(trace_id(1))
    assert await store.count() == 1
    await store.put(trajectory(1))
    assert (await store.get(trace_id(1))).outcomes == ()


def run(n: int) -> str:
    return f"run:{n:032x}"


async def test_trace_of_an_unknown_name_is_none(store: TraceStore) -> None:
    assert [await store.trace_of(name) for name in (trace_id(1), run(9), "thread:a")] == [None] * 3


async def test_trace_of_a_stored_trace_is_itself_with_and_without_its_kind(store: TraceStore) -> None:
    await store.put(trajectory(0xABC))
    names = (trace_id(0xABC), trace_id(0xABC).upper(), f"run:{trace_id(0xABC)}", f"otel:{trace_id(0xABC)}")
    assert [await store.trace_of(name) for name in names] == [trace_id(0xABC)] * 4


async def test_an_alias_finds_its_trace_even_before_the_trace_arrives(store: TraceStore) -> None:
    await store.add_alias(run(9), trace_id(1))
    await store.add_alias("thread:é/1", trace_id(1))
    assert await store.trace_of(run(9)) == await store.trace_of("thread:é/1") == trace_id(1)
    await store.add_outcome(run(9), solved(1.0, at_s=5.0))
    await store.put(trajectory(1))
    assert (await store.get(trace_id(1))).outcomes == (solved(1.0, at_s=5.0),)


async def test_feedback_under_an_alias_joins_when_the_alias_comes(store: TraceStore) -> None:
    await store.put(trajectory(1))
    await store.add_outcome(run(9), solved(1.0, at_s=5.0))
    assert (await store.get(trace_id(1))).outcomes == ()
    await store.add_alias(run(9), trace_id(1))
    assert (await store.get(trace_id(1))).outcomes == (solved(1.0, at_s=5.0),)
    assert await ids(store, TraceQuery(solved=True)) == [trace_id(1)]


async def test_feedback_under_a_run_id_joins_the_trace_of_that_id(store: TraceStore) -> None:
    await store.add_outcome(f"run:{trace_id(1)}", solved(1.0, at_s=5.0))
    await store.put(trajectory(1))
    assert (await store.get(trace_id(1))).solved is True


@pytest.mark.parametrize("early_at_s", [4.0, 6.0])
async def test_of_one_feedback_id_said_under_two_names_the_later_is_kept(
    store: TraceStore, early_at_s: float
) -> None:
    await store.put(trajectory(1))
    await store.add_outcome(trace_id(1), solved(0.0, at_s=5.0))
    await store.add_outcome(run(9), solved(1.0, at_s=early_at_s))
    await store.add_alias(run(9), trace_id(1))
    (kept,) = (await store.get(trace_id(1))).outcomes
    assert kept.recorded_at_s == max(5.0, early_at_s)


async def test_feedback_that_was_recorded_earlier_but_arrives_later_does_not_replace(
    store: TraceStore,
) -> None:
    await store.put(trajectory(1))
    await store.add_outcome(trace_id(1), solved(1.0, at_s=6.0))
    await store.add_outcome(trace_id(1), solved(0.0, at_s=5.0))
    assert (await store.get(trace_id(1))).outcomes == (solved(1.0, at_s=6.0),)


async def test_a_thread_means_its_latest_run_and_leaves_earlier_feedback_where_it_was(
    store: TraceStore,
) -> None:
    for n in (1, 2):
        await store.put(trajectory(n))
        await store.add_alias("thread:a", trace_id(n))
        await store.add_outcome("thread:a", solved(float(n - 1), at_s=float(n)))
    assert [(await store.get(trace_id(n))).solved for n in (1, 2)] == [False, True]


async def test_naming_a_trace_by_its_own_id_keeps_its_outcomes(store: TraceStore) -> None:
    await store.add_outcome(trace_id(1), solved(1.0, at_s=5.0))
    await store.add_alias(f"run:{trace_id(1)}", trace_id(1))
    await store.put(trajectory(1))
    await store.add_alias(f"run:{trace_id(1)}", trace_id(1))
    assert (await store.get(trace_id(1))).solved is True


async def test_an_alias_does_not_take_the_outcomes_of_a_stored_trace_of_that_name(store: TraceStore) -> None:
    await store.put(trajectory(1))
    await store.add_outcome(trace_id(1), solved(1.0, at_s=5.0))
    await store.add_alias(f"run:{trace_id(1)}", trace_id(2))
    assert (await store.get(trace_id(1))).solved is True
    assert await store.trace_of(trace_id(1)) == trace_id(1)


async def test_delete_forgets_aliases(store: TraceStore) -> None:
    await store.put(trajectory(1))
    await store.add_alias(run(9), trace_id(1))
    await store.add_alias("thread:a", trace_id(1))
    await store.add_alias("thread:b", trace_id(2))
    await store.delete(trace_id(1))
    assert [await store.trace_of(name) for name in (run(9), "thread:a")] == [None, None]
    assert await store.trace_of("thread:b") == trace_id(2)


async def test_pending_feedback_is_counted_and_pruned_by_age(store: TraceStore) -> None:
    await store.put(trajectory(1))
    await store.add_outcome(trace_id(1), solved(1.0, at_s=1.0))
    await store.add_outcome(run(8), solved(1.0, at_s=1.0))
    await store.add_outcome(run(9), solved(1.0, at_s=1.0, feedback_id="old"))
    await store.add_outcome(run(9), solved(1.0, at_s=2.0, feedback_id="new"))
    assert await store.count_pending() == 3
    await store.prune_pending(before_s=2.0)
    assert await store.count_pending() == 1
    await store.add_alias(run(9), trace_id(1))
    assert await store.count_pending() == 0
    assert [outcome.feedback_id for outcome in (await store.get(trace_id(1))).outcomes] == ["f1", "new"]


@pytest.mark.parametrize(
    "alias", ["", "thread:", "no-kind", ":x", "thread:\ud800", "thread:\0", "t:" + "x" * 500]
)
async def test_what_is_no_alias_is_refused_with_its_form(store: TraceStore, alias: str) -> None:
    with pytest.raises(ConfigError, match="write kind:name"):
        await store.add_alias(alias, trace_id(1))


async def test_aliases_and_their_feedback_in_one_batch_all_join(store: TraceStore) -> None:
    await asyncio.gather(
        *(store.add_outcome(run(n), solved(1.0, at_s=1.0)) for n in range(100, 120)),
        *(store.put(trajectory(n)) for n in range(20)),
        *(store.add_alias(run(100 + n), trace_id(n)) for n in range(20)),
        *(store.add_outcome(run(n), solved(0.0, at_s=2.0)) for n in range(100, 120)),
    )
    assert len(await ids(store, TraceQuery(solved=False))) == 20
    assert await store.count_pending() == 0


async def test_resolve_finds_the_only_trace_with_that_prefix(store: TraceStore) -> None:
    await store.put(trajectory(0xABC123))
    await store.put(trajectory(0xABC124))
    assert await store.resolve("ABC123") == trace_id(0xABC123)
    assert await store.resolve(trace_id(0xABC124)) == trace_id(0xABC124)


async def test_resolve_of_no_trace(store: TraceStore) -> None:
    with pytest.raises(UnknownTrace, match="abc123"):
        await store.resolve("abc123")


async def test_resolve_of_an_ambiguous_prefix_shows_examples(store: TraceStore) -> None:
    twins = ["abcdef" + digit * 26 for digit in "19f"]
    for twin in twins:
        await store.put(trajectory(1, trace_id=twin))
    with pytest.raises(ConfigError, match="several traces begin so"):
        await store.resolve("abcdef")
    assert await store.resolve("abcdeff") == twins[2]


@pytest.mark.parametrize("prefix", ["abcde", "", "not-hex", "a" * 33, "abc%12"])
async def test_resolve_refuses_what_is_no_prefix(store: TraceStore, prefix: str) -> None:
    with pytest.raises(ConfigError, match="6 to 32 hex digits"):
        await store.resolve(prefix)


async def test_cancelled_put_does_not_disturb_the_others(store: TraceStore) -> None:
    puts = [asyncio.create_task(store.put(trajectory(n))) for n in range(50)]
    await asyncio.sleep(0)
    for cancelled in puts[::5]:
        cancelled.cancel()
    results = await asyncio.gather(*puts, return_exceptions=True)
    assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results)
    for n, result in enumerate(results):
        if result is None:
            assert (await store.get(trace_id(n))).question == f"question {n}"


async def test_one_bad_trajectory_among_many_fails_alone(store: TraceStore) -> None:
    puts = [store.put(trajectory(n, question="\ud800" if n == 3 else "fine")) for n in range(8)]
    results = await asyncio.gather(*puts, return_exceptions=True)
    assert [n for n, result in enumerate(results) if result is not None] == [3]
    assert isinstance(results[3], StoreError)
    assert await store.count() == 7


async def test_several_event_loops_share_one_store(store: TraceStore) -> None:
    async def put_some(start: int) -> None:
        await asyncio.gather(*(store.put(trajectory(n)) for n in range(start, start + 20)))

    threads = [threading.Thread(target=asyncio.run, args=(put_some(start),)) for start in (100, 200)]
    for thread in threads:
        thread.start()
    await put_some(0)
    await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in threads))
    assert await store.count() == 60


async def test_every_method_of_a_closed_store_says_so(store: TraceStore) -> None:
    await store.put(trajectory(1))
    await store.aclose()
    await store.aclose()
    calls: list[Callable[[], Any]] = [
        lambda: store.put(trajectory(2)),
        lambda: store.get(trace_id(1)),
        lambda: store.resolve("000001"),
        lambda: store.list(),
        lambda: anext(store.iter()),
        lambda: store.add_outcome(trace_id(1), solved(1.0, at_s=1.0)),
        lambda: store.add_alias(run(9), trace_id(1)),
        lambda: store.add_alias(f"run:{trace_id(1)}", trace_id(1)),
        lambda: store.trace_of(run(9)),
        lambda: store.count_pending(),
        lambda: store.prune_pending(before_s=0.0),
        lambda: store.count(),
        lambda: store.delete(trace_id(1)),
    ]
    for call in calls:
        with pytest.raises(StoreClosed):
            await call()


async def test_close_waits_for_writes_that_have_begun(url: str) -> None:
    store = open_store(url)
    puts = [asyncio.create_task(store.put(trajectory(n))) for n in range(20)]
    await asyncio.sleep(0)
    await store.aclose()
    assert await asyncio.gather(*puts) == [None] * 20


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"since_s": 2.0, "until_s": 2.0}, "until_s"),
        ({"solved": True, "labelled": False}, "labelled"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "nan/abc"}, "cursor"),
    ],
)
def test_contradictory_query_names_the_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TraceQuery(**changes)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "wrong",
    ["postgres:me:secret@host/db", "sqlite://", "sqlite:///", "traces.txt", "mysql+x://u:secret@h/t.db"],
)
def test_unsupported_url_says_what_to_use_and_keeps_secrets(wrong: str) -> None:
    with pytest.raises(
        ConfigError, match=r"not supported by this version; use sqlite:///path, postgresql://.* or memory:"
    ) as caught:
        open_store(wrong)
    assert "secret" not in str(caught.value)


async def test_many_are_read_at_once_in_the_order_asked_for(store: TraceStore) -> None:
    known = [trajectory(number) for number in range(3)]
    for one in known:
        await store.put(one)
    await store.add_outcome(known[2].trace_id, solved(1.0, 1.0))
    found = await store.get_many([known[2].trace_id, "f" * 32, known[0].trace_id])
    assert [one.trace_id for one in found] == [known[2].trace_id, known[0].trace_id]
    assert [one.solved for one in found] == [True, None]
    assert await store.get_many([]) == ()


async def test_of_many_those_that_cannot_be_read_are_left_out_and_named(
    store: TraceStore, caplog: pytest.LogCaptureFixture
) -> None:
    newer = [trajectory(number, record_version=99) for number in (1, 2)]
    for one in (trajectory(0), *newer, trajectory(3)):
        await store.put(one)
    found = await store.get_many([trace_id(number) for number in range(4)])
    assert [one.trace_id for one in found] == [trace_id(0), trace_id(3)]
    [said] = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert said.startswith("2 traces cannot be read")
    assert all(one.trace_id in said for one in newer)
    with pytest.raises(StoreError, match="99"):
        await store.get(newer[0].trace_id)
    with pytest.raises(StoreError, match="99"):
        [one async for one in store.iter()]
