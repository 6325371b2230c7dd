"""A process follows the roll-out: it swaps without a run noticing, refuses what it cannot serve, outlives outages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from inframind.errors import StoreError
from inframind.plugin.online.follower import FollowConfig, Follower
from inframind.router.policy_shelf import content_of, version_of
from inframind.router.policy_shipped import shipped_policy
from inframind.traces.memory import MemoryStore
from inframind.traces.shelf import RolloutEvent, Shelf, Stage
from inframind.traces.shelves import shelf_of

ONLINE = {
    "policy": {"name": "learned", "seed": 1},
    "online": {"enabled": True, "report_s": 0.05, "shadow_share": 1.0},
}


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    async with MemoryStore() as store:
        yield store


async def publish(shelf: Shelf, name: str, stage: Stage = "full", share: float = 1.0, **other: Any) -> str:
    """A version of that name, in that stage; returns its digest."""
    content = content_of(replace(shipped_policy(), facts={"name": name}))
    made = version_of(content, created_at_s=0.0, created_by="test", facts={"name": name})
    await shelf.add_policy(replace(made, **other), content)
    return await set_stage(shelf, made.version, stage, share)


async def set_stage(shelf: Shelf, version: str, stage: Stage, share: float = 1.0) -> str:
    event = RolloutEvent(at_s=0.0, version=version, stage=stage, share=share, by="user:test", reason="a test")
    await shelf.append(event, after=(await shelf.rollout()).number)
    return version


async def until(condition: Any) -> None:
    """Turns of the loop until something has come about; the test's own time limit is the last resort."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # what it waits for happens in another thread
            await asyncio.sleep(0.005)


def signature(trace: Any) -> set[str]:
    return {decision.policy_version for decision in trace.decisions}


async def test_a_process_serves_what_is_published_and_says_so(
    make_mind: Any, say: Any, store: MemoryStore
) -> None:
    mind = await make_mind(say(lambda asked: "x"), settings=ONLINE, store=store)
    version = await publish(shelf_of(store), "one")
    await until(lambda: mind.online.lineup.serving.version == version)
    trace = await mind.atrace((await mind.ainvoke("q")).trace_id)
    assert signature(trace) == {version[:12]}
    await until(lambda: [one.serving for one in mind.online.replicas] == [version])
    facts = mind.online.replicas[0].facts
    assert (mind.online.replicas[0].name, facts["endpoints"]["e0"]["breaker"]) == (mind.online.name, "closed")


async def test_a_run_in_progress_keeps_its_version_through_a_swap(
    make_mind: Any, say: Any, store: MemoryStore
) -> None:
    has_come, go_on = asyncio.Event(), asyncio.Event()

    async def script(wire: Any) -> None:
        has_come.set()
        await go_on.wait()
        await say(lambda asked: "x")(wire)

    mind = await make_mind(script, settings=ONLINE, store=store)
    shelf = shelf_of(store)
    before = await publish(shelf, "before")
    await until(lambda: mind.online.lineup.serving.version == before)
    run = asyncio.create_task(mind.ainvoke("q", topology="Reflection", team_size=1))
    await has_come.wait()
    after = await publish(shelf, "after")
    await until(lambda: mind.online.lineup.serving.version == after)
    go_on.set()
    trace = await mind.atrace((await run).trace_id)
    assert len(trace.decisions) > 2
    assert signature(trace) == {before[:12]}
    assert signature(await mind.atrace((await mind.ainvoke("q")).trace_id)) == {after[:12]}


async def test_a_conversation_stays_in_its_arm(make_mind: Any, say: Any, store: MemoryStore) -> None:
    mind = await make_mind(say(lambda asked: "x"), settings=ONLINE, store=store)
    version = await publish(shelf_of(store), "tried", "canary", 0.5)
    await until(lambda: mind.online.lineup.candidate is not None)
    model = mind.chat_model()
    arms: dict[str, set[str]] = {}
    for turn in range(2):
        for thread in range(8):
            config = {"metadata": {"thread_id": f"t{thread}"}}
            answer = await model.ainvoke(f"turn {turn}", config)
            trace = await mind.atrace(answer.response_metadata["inframind"]["trace_id"])
            dealt = trace.metadata["inframind"]["dealt"]
            assert (dealt["candidate"], dealt["share"], dealt["event"]) == (version, 0.5, 1)
            served = version if dealt["arm"] == "candidate" else shipped_policy().version
            assert signature(trace) == {served[:12]}
            arms.setdefault(f"t{thread}", set()).add(dealt["arm"])
    assert all(len(seen) == 1 for seen in arms.values())
    assert set().union(*arms.values()) == {"serving", "candidate"}


async def test_a_candidate_in_the_shadow_is_asked_and_never_acted_on(
    make_mind: Any, say: Any, store: MemoryStore
) -> None:
    looked = asyncio.Event()

    async def script(wire: Any) -> None:
        await looked.wait()
        await say(lambda asked: "x")(wire)

    mind = await make_mind(script, script, settings=ONLINE, store=store)
    version = await publish(shelf_of(store), "watched", "shadow", 0.0)
    await until(lambda: mind.online.lineup.candidate is not None)
    run = asyncio.create_task(mind.ainvoke("q", topology="IO", team_size=1))
    await until(
        lambda: any(
            one.would_choose and len(one.would_choose.choices) == 2 for one in mind._services._runs.values()
        )
    )
    looked.set()
    trace = await mind.atrace((await run).trace_id)
    noted = trace.metadata["inframind"]["candidate"]
    assert noted["version"] == version[:12]
    labels = {decision.decision_id: decision.actions for decision in trace.decisions}
    assert noted["choices"].keys() == labels.keys()
    assert all(choice in labels[one] for one, choice in noted["choices"].items())
    assert version[:12] not in signature(trace)


async def test_what_cannot_be_served_is_refused_and_everybody_can_read_why(
    make_mind: Any, say: Any, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = shelf_of(store)
    minds = [await make_mind(say(lambda asked: "x"), settings=ONLINE, store=store) for _ in range(2)]
    good = await publish(shelf, "good")
    await until(lambda: {mind.online.lineup.serving.version for mind in minds} == {good})
    with caplog.at_level(logging.ERROR):
        bad = await publish(shelf, "over other columns", features_version="0")
        await until(lambda: all(mind.online.lineup.rollout.serving == bad for mind in minds))
    assert {mind.online.lineup.serving.version for mind in minds} == {good}
    assert "trained on features version '0'" in caplog.text
    remarks = [event for event in await shelf.events() if event.by.startswith("replica:")]
    assert [event.version for event in remarks] == [bad]
    assert signature(await minds[0].atrace((await minds[0].ainvoke("q")).trace_id)) == {good[:12]}
    await until(lambda: all(bad in one.facts["refused"] for one in minds[0].online.replicas))


async def test_a_damaged_candidate_gets_no_run(make_mind: Any, say: Any, store: MemoryStore) -> None:
    mind = await make_mind(say(lambda asked: "x"), settings=ONLINE, store=store)
    shelf, content = shelf_of(store), b"no policy at all"
    made = version_of(content, created_at_s=0.0, created_by="test", facts={})
    await shelf.add_policy(made, content)
    await set_stage(shelf, made.version, "canary", 0.9)
    await until(lambda: mind.online.lineup.rollout.candidate == made.version)
    assert mind.online.lineup.candidate is None
    traces = [await mind.atrace((await mind.ainvoke(f"q{n}")).trace_id) for n in range(5)]
    assert {version for trace in traces for version in signature(trace)} == {shipped_policy().version[:12]}


async def test_a_resumed_run_has_its_version_fetched_again(
    make_mind: Any, say: Any, store: MemoryStore
) -> None:
    shelf = shelf_of(store)
    first = await publish(shelf, "first")
    begun = await make_mind(say(lambda asked: "x"), settings=ONLINE, store=store)
    await until(lambda: begun.online.lineup.serving.version == first)
    trace = await begun.atrace((await begun.ainvoke("q")).trace_id)
    second = await publish(shelf, "second")
    other = await make_mind(say(lambda asked: "x"), settings=ONLINE, store=store)
    await until(lambda: other.online.lineup.serving.version == second)
    versions = other._services.versions
    assert not versions.is_at_hand(trace.decisions)
    await versions.remember(trace.decisions)
    assert versions.assign("k", trace.decisions).decider.policy.version == first[:12]


class Flaky:
    """A shelf whose storage is away while it says so."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf, self.is_away, self.asked = shelf, False, 0

    def __getattr__(self, name: str) -> Any:
        async def ask(*args: Any, **options: Any) -> Any:
            self.asked += 1
            if self.is_away:
                raise StoreError(name, "the database is away")
            return await getattr(self._shelf, name)(*args, **options)

        return ask


async def test_an_outage_of_the_store_is_waited_out(
    make_mind: Any, say: Any, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    mind = await make_mind(say(lambda asked: "x"), store=store)
    shelf, flaky = shelf_of(store), Flaky(shelf_of(store))
    config = FollowConfig(report_s=0.02, first_backoff_s=0.001, max_backoff_s=0.01)
    follower = Follower(flaky, mind._services, name="r", clock=mind._clock, config=config)  # type: ignore[arg-type]
    with caplog.at_level(logging.INFO):
        task = asyncio.create_task(follower.follow())
        flaky.is_away = True
        await until(lambda: follower.failures > 3)
        assert (await mind.ainvoke("q")).answer == "x"
        version = await publish(shelf, "meanwhile")
        flaky.is_away = False
        await until(lambda: mind._services.versions.lineup.serving.version == version)
        await until(lambda: follower.failures == 0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    words = [record.getMessage() for record in caplog.records if "follower" in record.name]
    assert sum("not followed until" in one for one in words) == 1
    assert sum("answers again after" in one for one in words) == 1
