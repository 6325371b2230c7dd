"""Two minds in one process keep their runs apart."""

from typing import Any


async def test_a_mind_leaves_the_runs_of_another_to_it(make_mind: Any, say: Any) -> None:
    ours, other = [await make_mind(say(lambda asked: "x")) for _ in range(2)]
    async with ours.run() as run:
        await ours.chat_model().ainvoke("a")
        answer = await other.chat_model().ainvoke("b")
    assert len((await ours.store.get(run.trace_id)).steps) == 1
    trace = await other.store.get(answer.response_metadata["inframind"]["trace_id"])
    assert (trace.trace_id != run.trace_id, trace.status, len(trace.steps)) == (True, "ok", 1)
