"""`InfraMind.run` around code of any kind."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from inframind.errors import InvalidBudget
from inframind.plugin.calls.scope import current_scope
from inframind.plugin.chat import ChatInfraMind
from inframind.plugin.config import settings_from
from inframind.plugin.mind import InfraMind


@pytest.fixture
async def mind(make_mind: Any, say: Any) -> Any:
    return await make_mind(say(lambda asked: "so \\boxed{42}"))


async def shape(mind: Any, scope: Any) -> tuple[str, int]:
    trace = await mind.store.get(scope.trace_id)
    return trace.status, len(trace.steps)


async def test_an_asynchronous_run_is_stored_when_its_block_ends(mind: Any) -> None:
    llm = mind.chat_model()
    async with mind.run("two") as run:
        await asyncio.gather(llm.ainvoke("a"), llm.ainvoke("b"))
    assert await shape(mind, run) == ("ok", 2)
    assert current_scope.get() is None


@pytest.mark.parametrize(
    ("error", "status"), [(ZeroDivisionError, "failed"), (asyncio.CancelledError, "cancelled")]
)
async def test_an_asynchronous_run_that_breaks_off_is_stored_with_its_error(
    mind: Any, error: Any, status: str
) -> None:
    with pytest.raises(error):
        async with mind.run() as run:
            await mind.chat_model().ainvoke("a")
            raise error
    assert await shape(mind, run) == (status, 1)
    assert current_scope.get() is None


async def test_a_synchronous_run_is_stored_when_its_block_ends(mind: Any) -> None:
    llm = mind.chat_model()

    def work() -> list[Any]:
        with mind.run() as fine:
            llm.invoke("a")
        with pytest.raises(ZeroDivisionError), mind.run() as broken:
            llm.invoke("b")
            raise ZeroDivisionError
        return [mind.trace(run.trace_id).status for run in (fine, broken)]

    assert await asyncio.to_thread(work) == ["ok", "failed"]


async def test_the_innermost_run_has_the_call(mind: Any) -> None:
    llm = mind.chat_model()
    async with mind.run("outer") as outer:
        await llm.ainvoke("a")
        async with mind.run("inner", budget_s=7) as inner:
            await llm.ainvoke("b")
        await llm.ainvoke("c")
    assert [await shape(mind, run) for run in (outer, inner)] == [("ok", 2), ("ok", 1)]
    assert (await mind.store.get(inner.trace_id)).budget_s == 7.0


async def test_runs_side_by_side_keep_their_calls_apart(mind: Any) -> None:
    llm = mind.chat_model()

    async def one(calls: int) -> tuple[str, int]:
        async with mind.run() as run:
            await asyncio.gather(*(llm.ainvoke(str(number)) for number in range(calls)))
        return await shape(mind, run)

    assert await asyncio.gather(*map(one, (1, 2, 3))) == [("ok", 1), ("ok", 2), ("ok", 3)]


async def test_a_thread_belongs_to_the_run_whose_context_it_is_given(mind: Any) -> None:
    llm = mind.chat_model()

    def work() -> Any:
        with mind.run() as run, ThreadPoolExecutor(2) as pool:
            pool.submit(contextvars.copy_context().run, llm.invoke, "inside").result()
            pool.submit(llm.invoke, "outside").result()
            llm.batch(["inside", "inside"])
        return run

    assert await shape(mind, await asyncio.to_thread(work)) == ("ok", 3)


def test_a_run_is_entered_once() -> None:
    endpoint = {"name": "e", "base_url": "http://127.0.0.1:9/v1", "model": "m", "metrics": False}
    with InfraMind(settings_from({"endpoints": [endpoint], "traces": {"url": "memory:"}})) as mind:
        block = mind.run()
        with block, pytest.raises(RuntimeError, match="call run"), block:
            pass
        with pytest.raises(InvalidBudget):
            mind.run(budget_s=0)


async def test_one_mind_and_one_model_serve_loop_after_loop(serve: Any, say: Any, tmp_path: Path) -> None:
    server = await serve(say(lambda asked: "fine"))
    path = tmp_path / "inframind.toml"
    path.write_text(
        f'[[endpoints]]\nname = "e"\nmodel = "m"\nbase_url = "{server.base_url}"\n[traces]\nurl = "memory:"\n'
    )
    model = ChatInfraMind(config=path)

    async def once() -> tuple[str, str]:
        mind = await model._behind.amind()
        async with mind.run() as run:
            answer = await model.ainvoke("hi")
        found = answer.text, (await mind.atrace(run.trace_id)).status
        await mind.fleet.aclose()  # what this loop uses
        return found

    def loops() -> list[Any]:
        return [*(asyncio.run(once()) for _ in range(3)), model.invoke("hi").text, asyncio.run(once())]

    try:
        assert await asyncio.to_thread(loops) == [("fine", "ok")] * 3 + ["fine", ("fine", "ok")]
    finally:
        await model.aclose()
