"""The doors: an application's runs are judged as they end."""

from __future__ import annotations

from typing import Any

from inframind.plugin.outcomes.judges import asked_again
from inframind.traces.memory import MemoryStore
from inframind.traces.query import TraceQuery


async def test_runs_of_a_mind_are_judged_before_it_closes(make_mind: Any, say: Any) -> None:
    store = MemoryStore()
    mind = await make_mind(say(lambda asked: "The answer is 4."), store=store)
    mind.add_grader("exact", lambda trace: "4" in trace.text)
    result = await mind.ainvoke("What is 2 + 2?")
    await mind.aclose()
    assert (await store.get(result.trace_id)).solved is True
    assert mind.judgements() == {"grader:exact": {"said": 1}}


async def test_what_ended_before_a_grader_came_is_caught_up(make_mind: Any, say: Any) -> None:
    mind = await make_mind(say(lambda asked: "The answer is 5."))
    result = await mind.ainvoke("What is 2 + 2?")
    mind.add_grader("exact", lambda trace: "4" in trace.text)
    assert await mind.agrade(TraceQuery(labelled=False)) == 1
    assert (await mind.atrace(result.trace_id)).solved is False


async def test_asking_the_same_again_in_a_thread_speaks_of_the_first_run(make_mind: Any, say: Any) -> None:
    store = MemoryStore()
    mind = await make_mind(say(lambda asked: "No idea."), store=store)
    mind.add_signal("again", asked_again, key="asked_again")
    for _ in range(2):
        await mind.ainvoke("What is 2 + 2?", metadata={"thread_id": "chat"})
    await mind.aclose()
    said = [run.outcomes async for run in store.iter(TraceQuery(oldest_first=True))]
    assert [[one.source for one in outcomes] for outcomes in said] == [["signal:again"], []]
