"""Runs are judged without anybody waiting, and what the judges say is feedback like any other."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from inframind.errors import ConfigError
from inframind.plugin.outcomes.asking import MOST_ASTRAY
from inframind.plugin.outcomes.bench import Bench
from inframind.plugin.outcomes.judges import Judge, asked_again
from inframind.traces.memory import MemoryStore
from inframind.traces.query import TraceQuery
from inframind.traces.records import Outcome, Step, Trajectory

EXACT = Judge(name="exact", key="solved", kind="grader")
AGAIN = Judge(name="again", key="asked_again", kind="signal")

HANGS = """
import threading
from inframind.fleet.clock import SystemClock
from inframind.plugin.outcomes.bench import Bench
from inframind.plugin.outcomes.judges import Judge
from inframind.traces.memory import MemoryStore
from inframind.traces.records import Trajectory

bench = Bench(MemoryStore(), SystemClock(), close_s=0.01)
bench.add_grader(Judge(name="exact", key="solved", kind="grader"), lambda trace: threading.Event().wait())
bench(Trajectory(trace_id="0" * 32, question="?", arrived_at_s=0.0, budget_s=1.0, text="4"))
bench.close()
print(bench.figures())
"""


class At:
    """A clock that stands still."""

    def now_s(self) -> float:
        return 5.0

    def wall_s(self) -> float:
        return 5.0


def run(n: int, text: str = "4", **changes: Any) -> Trajectory:
    made = Trajectory(
        trace_id=f"{n:032x}", question="2 + 2?", arrived_at_s=float(n), budget_s=1.0, text=text, latency_s=0.5
    )
    return replace(made, **changes)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def bench(store: MemoryStore) -> Iterator[Bench]:
    made = Bench(store, At())
    yield made
    made.close()


async def judged(store: MemoryStore, bench: Bench, *runs: Trajectory) -> list[tuple[Outcome, ...]]:
    """Every run is stored, shown to the bench, and judged; its outcomes."""
    for one in runs:
        await store.put(one)
        bench(one)
    await asyncio.to_thread(bench.close)
    return [(await store.get(one.trace_id)).outcomes for one in runs]


async def test_a_grader_s_verdict_is_feedback_with_its_source(store: MemoryStore, bench: Bench) -> None:
    bench.add_grader(EXACT, lambda trace: trace.text == "4")
    ((right,), (wrong,)) = await judged(store, bench, run(1), run(2, "5"))
    assert (right.key, right.score, right.source, right.recorded_at_s) == ("solved", 1.0, "grader:exact", 5.0)
    assert wrong.score == 0.0


async def test_graders_may_be_coroutines_and_give_numbers(store: MemoryStore, bench: Bench) -> None:
    async def length(trace: Trajectory) -> float:
        await asyncio.sleep(0)
        return len(trace.text) / 10

    bench.add_grader(replace(EXACT, key="length"), length)
    assert [one.score for (one,) in await judged(store, bench, run(1, "four"))] == [0.4]


async def test_no_opinion_is_not_a_zero(store: MemoryStore, bench: Bench) -> None:
    bench.add_grader(EXACT, lambda trace: None)
    assert await judged(store, bench, run(1)) == [()]
    assert bench.figures() == {"grader:exact": {"no opinion": 1}}


async def test_a_failing_grader_is_logged_once_and_says_nothing(
    store: MemoryStore, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(trace: Trajectory) -> bool:
        raise KeyError(trace.trace_id)

    bench.add_grader(EXACT, broken)
    bench.add_grader(replace(EXACT, name="nan", key="nan"), lambda trace: float("nan"))
    with caplog.at_level(logging.ERROR):
        assert await judged(store, bench, run(1), run(2)) == [(), ()]
    assert bench.figures() == {"grader:exact": {"failed": 2}, "grader:nan": {"failed": 2}}
    assert len(caplog.records) == 2


async def test_a_slow_grader_holds_nobody_up(store: MemoryStore, bench: Bench) -> None:
    release, begun = threading.Event(), threading.Event()

    def slow(trace: Trajectory) -> bool:
        begun.set()
        return release.wait(30)

    bench.add_grader(EXACT, slow)
    await store.put(run(1))
    bench(run(1))
    await asyncio.to_thread(begun.wait, 30)
    assert (await store.get(run(1).trace_id)).outcomes == ()
    release.set()
    await asyncio.to_thread(bench.close)
    assert (await store.get(run(1).trace_id)).solved is True


async def test_open_runs_and_runs_without_an_answer_are_not_judged(store: MemoryStore, bench: Bench) -> None:
    bench.add_grader(EXACT, lambda trace: True)
    assert await judged(store, bench, run(1, status="open"), run(2, "", status="failed")) == [(), ()]


async def test_a_share_is_the_same_runs_every_time(store: MemoryStore, bench: Bench) -> None:
    half = replace(EXACT, share=0.5)
    bench.add_grader(half, lambda trace: True)
    runs = [run(1), run(2, trace_id="f" * 32)]
    assert [len(said) for said in await judged(store, bench, *runs)] == [1, 0]
    assert [half.takes(one) for one in runs] == [True, False]


async def test_what_waits_is_bounded_and_what_was_left_out_is_caught_up(
    store: MemoryStore,
) -> None:
    bench = Bench(store, At(), most_waiting=1)
    release = threading.Event()
    bench.add_grader(EXACT, lambda trace: release.wait(30))
    for number in (1, 2, 3):
        await store.put(run(number))
        bench(run(number))
    release.set()
    await asyncio.to_thread(bench.close)
    assert bench.figures() == {"grader:exact": {"left out": 2, "said": 1}}
    assert await bench.catch_up(TraceQuery()) == 2
    assert await bench.catch_up(TraceQuery()) == 0
    assert await store.list(TraceQuery(labelled=False)) == []


async def test_a_judge_that_hangs_fails_after_its_time_and_holds_nobody_up(store: MemoryStore) -> None:
    bench, release = Bench(store, At(), limit_s=0.01), threading.Event()
    bench.add_grader(EXACT, lambda trace: release.wait(30))
    bench.add_grader(replace(EXACT, name="quick", key="quick"), lambda trace: True)
    ((said,),) = await judged(store, bench, run(1))
    release.set()
    assert said.source == "grader:quick"
    assert bench.figures() == {"grader:exact": {"failed": 1}, "grader:quick": {"said": 1}}


async def test_a_coroutine_that_hangs_fails_after_its_time(store: MemoryStore) -> None:
    async def never(trace: Trajectory) -> bool:
        await asyncio.Event().wait()
        return True

    bench = Bench(store, At(), limit_s=0.01)
    bench.add_grader(EXACT, never)
    assert await judged(store, bench, run(1)) == [()]
    assert bench.figures() == {"grader:exact": {"failed": 1}}


async def test_a_judge_whose_threads_do_not_come_back_is_not_asked_for_more(store: MemoryStore) -> None:
    bench, release = Bench(store, At(), limit_s=0.01), threading.Event()
    bench.add_grader(EXACT, lambda trace: release.wait(30))
    runs = [run(number) for number in range(1, MOST_ASTRAY + 3)]
    for one in runs:
        await store.put(one)
    assert await bench.catch_up(TraceQuery()) == 0
    assert bench.figures() == {"grader:exact": {"failed": MOST_ASTRAY, "left out": 2}}
    release.set()


async def test_closing_waits_only_so_long_and_what_was_left_out_is_caught_up(store: MemoryStore) -> None:
    bench, release = Bench(store, At(), close_s=0.01), threading.Event()
    bench.add_grader(EXACT, lambda trace: release.wait(30))
    runs = [run(number) for number in range(1, 21)]
    assert await judged(store, bench, *runs) == [()] * 20
    assert bench.figures() == {"grader:exact": {"left out": 20}}
    release.set()
    later = Bench(store, At())
    later.add_grader(EXACT, lambda trace: release.wait(30))
    assert await later.catch_up(TraceQuery()) == 20
    assert await store.list(TraceQuery(labelled=False)) == []


def test_a_process_ends_while_a_judge_hangs() -> None:
    ended = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "{'grader:exact': {'left out': 1}}\n"), ended.stderr


async def test_signals_see_what_was_asked_and_answered_but_not_what_was_weighed(
    store: MemoryStore, bench: Bench
) -> None:
    seen: list[Trajectory] = []
    bench.add_signal(AGAIN, lambda before, now: seen.append(before))
    step = Step(
        step_id=0, node="agent", kind="agent", position=0, round=1, role="Solver", parents=(), decision_id="d",
        model="small", strategy="Flash", started_s=0.0, finished_s=1.0, text="4, because", answer="4",
    )  # fmt: skip
    chat = {"metadata": {"thread_id": "chat"}, "steps": (step,)}
    await judged(store, bench, run(1, **chat), run(2, **chat))
    assert [(one.question, one.text, one.steps[0].model) for one in seen] == [("2 + 2?", "4", "small")]
    assert (seen[0].decisions, seen[0].steps[0].text) == ((), "")


async def test_the_thread_heard_longest_ago_is_forgotten_first(store: MemoryStore) -> None:
    bench = Bench(store, At(), threads=1)
    bench.add_signal(AGAIN, asked_again)
    threads = ["a", "b", "a", "a"]
    runs = [run(number, metadata={"thread_id": thread}) for number, thread in enumerate(threads, 1)]
    assert [len(said) for said in await judged(store, bench, *runs)] == [0, 0, 1, 0]


@pytest.mark.parametrize("wrong", [{"limit_s": 0.0}, {"close_s": float("nan")}, {"threads": 0}])
def test_limits_that_cannot_be_meant_are_refused(store: MemoryStore, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Bench(store, At(), **wrong)


async def test_the_next_run_of_a_thread_judges_the_one_before(store: MemoryStore, bench: Bench) -> None:
    bench.add_signal(AGAIN, asked_again)
    chat = {"metadata": {"thread_id": "chat"}}
    runs = [run(1, **chat), run(2, **chat), run(3, question="And 3 + 4?", **chat), run(4)]
    said = await judged(store, bench, *runs)
    assert [[(one.key, one.score, one.source) for one in outcomes] for outcomes in said] == [
        [("asked_again", 0.0, "signal:again")],
        [],
        [],
        [],
    ]


def test_asking_the_same_much_later_says_nothing() -> None:
    assert asked_again(run(1), run(2)) == 0.0
    assert asked_again(run(1), run(500)) is None


@pytest.mark.parametrize("wrong", [{"name": ""}, {"key": ""}, {"share": 0.0}, {"share": 1.5}])
def test_an_impossible_judge_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="grader"):
        replace(EXACT, **wrong)


def test_two_of_one_name_are_refused(bench: Bench) -> None:
    bench.add_grader(EXACT, lambda trace: True)
    with pytest.raises(ConfigError, match="one of that name"):
        bench.add_grader(EXACT, lambda trace: True)
