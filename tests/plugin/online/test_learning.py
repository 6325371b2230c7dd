"""The learner as a service: each run once, whoever is killed; candidates published, judged, and resumed."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inframind.errors import LearnerMoved, RolloutMoved, StoreError
from inframind.fleet.clock import SystemClock
from inframind.plugin.config import settings_from
from inframind.plugin.mind import InfraMind
from inframind.plugin.online.assembly import learner_service
from inframind.plugin.online.learn_config import LearnConfig
from inframind.plugin.online.learner_state import LearnerState
from inframind.plugin.online.learning import LEARNER, LearnerService
from inframind.router.policy_shelf import content_of, policy_of, version_of
from inframind.router.policy_shipped import shipped_policy
from inframind.traces.memory import MemoryStore
from inframind.traces.shelf import RolloutEvent, Shelf
from inframind.traces.shelves import shelf_of

CLOCK = SystemClock()
ONLINE = {
    "enabled": True,
    "learner": "in-process",
    "publish_every": 10,
    "batch": 8,
    "patience_s": 3600,
    "poll_s": 0.01,
    "gate": {"settle_s": 0.001, "alarm_s": 0.001},
}
QUIET = {"enabled": True, "report_s": 0.05}
"""Serves, and leaves learning to the test."""


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    async with MemoryStore() as store:
        yield store


@pytest.fixture
async def mind(make_mind: Any, say: Any, store: MemoryStore) -> InfraMind:
    settings = {"policy": {"name": "learned", "exploration": 0.5, "seed": 1}, "online": QUIET}
    made: InfraMind = await make_mind(
        say(lambda asked: "right"), say(lambda asked: "wrong"), settings=settings, store=store
    )
    return made


def service(mind: InfraMind, *, holder: str = "a test", **online: Any) -> LearnerService:
    """Learns from the mind's store; a new one knows nothing but what is there."""
    values = mind.settings.model_dump()
    settings = settings_from({**values, "online": {**ONLINE, **online}, "traces": {"url": "memory:"}})
    return learner_service(
        settings, mind.store, mind.calls.services.decider.actions, holder=holder, clock=CLOCK
    )


async def answer(mind: InfraMind, questions: int, *, grade: bool = True) -> list[str]:
    """Runs, each graded by whether it says that it is right; their trace ids."""
    ids = []
    for number in range(questions):
        result = await mind.ainvoke(f"question {number}", topology="IO", team_size=1)
        if grade:
            await mind.afeedback(result.trace_id, solved=result.answer == "right")
        ids.append(result.trace_id)
    return ids


async def known(shelf: Shelf) -> LearnerState:
    progress = await shelf.progress(LEARNER)
    assert progress is not None
    return LearnerState.from_bytes(progress.state)


async def test_what_was_learned_becomes_a_candidate_in_the_shadow(mind: InfraMind) -> None:
    shelf = shelf_of(mind.store)
    await answer(mind, 24)
    assert await service(mind).once()
    progress, state, rollout = await shelf.progress(LEARNER), await known(shelf), await shelf.rollout()
    assert progress is not None
    assert (progress.learned, state.labelled, state.labels) == (24, 24, {"api": 24})
    assert (rollout.stage, rollout.share, rollout.serving) == ("shadow", 0.0, "")
    assert state.published == (rollout.candidate,)
    version = (await shelf.policies())[0]
    assert (version.version, version.created_by, version.parent) == (rollout.candidate, "learner", "")
    offsets = policy_of(version, await shelf.policy_content(version.version)).weights.offsets.logit
    better, worse = ([value for label, value in offsets.items() if label.startswith(m)] for m in ("m0", "m1"))
    assert min(better) > max(worse)
    assert "labelled runs taught" in (await shelf.events())[0].reason


async def test_a_run_is_learned_once_however_often_one_begins_anew(mind: InfraMind) -> None:
    shelf = shelf_of(mind.store)
    await answer(mind, 5)
    assert await service(mind).once()
    first = await known(shelf)
    assert await service(mind, holder="another").once()
    assert await known(shelf) == first
    await answer(mind, 3)
    assert await service(mind).once()
    assert (await known(shelf)).labelled == 8


async def test_traces_that_cannot_be_read_are_passed_over_once_and_stop_nothing(mind: InfraMind) -> None:
    shelf = shelf_of(mind.store)
    first, second, *_ = await answer(mind, 6)
    for one in (first, second):
        await mind.store.put(replace(await mind.store.get(one), record_version=99))
    learner = service(mind, batch=4)
    done = [await learner.round() for _ in range(3)]
    assert [(one.learned, one.unreadable) for one in done] == [(2, 2), (2, 0), (0, 0)]
    progress = await shelf.progress(LEARNER)
    assert progress is not None
    assert (progress.learned, (await known(shelf)).labelled) == (6, 4)


async def test_lessons_that_are_all_unreadable_do_not_end_learning_early(mind: InfraMind) -> None:
    ids = await answer(mind, 5)
    for one in ids[:3]:
        await mind.store.put(replace(await mind.store.get(one), record_version=99))
    assert await service(mind, batch=3).once()
    assert (await known(shelf_of(mind.store))).labelled == 2


async def test_a_candidate_is_judged_even_when_nothing_can_be_learned(mind: InfraMind) -> None:
    shelf = shelf_of(mind.store)
    content = b"no policy"
    made = version_of(content, created_at_s=0.0, created_by="user:ann", facts={})
    await shelf.add_policy(made, content)
    shadow = RolloutEvent(
        at_s=CLOCK.wall_s(), version=made.version, stage="shadow", by="user:ann", reason="try it"
    )
    await shelf.append(shadow, after=0)
    await _until(
        lambda: bool(mind.online and any(made.version in r.facts["refused"] for r in mind.online.replicas))
    )

    class Broken:
        """The shelf, whose lessons cannot be read."""

        def __getattr__(self, name: str) -> Any:
            return getattr(shelf, name)

        async def lessons(self, **asked: Any) -> Any:
            raise StoreError("lessons", "the table is damaged")

    learner = service(mind)
    learner._shelf = Broken()  # type: ignore[assignment]
    with pytest.raises(StoreError, match="damaged"):
        await learner.round()
    assert (await shelf.rollout()).candidate == ""


async def test_learning_in_pieces_or_by_several_processes_comes_to_the_same(
    make_mind: Any, say: Any, mind: InfraMind
) -> None:
    await answer(mind, 9)
    async with MemoryStore() as twin:
        async for run in mind.store.iter():
            await twin.put(run)
        other = await make_mind(say(lambda asked: ""), say(lambda asked: ""), store=twin)
        assert await service(mind, batch=100).once()
        for _ in range(3):  # each is forgotten after one batch, as if it had been killed
            await service(_like(mind, other), batch=3).round()
        ours, theirs = await known(shelf_of(mind.store)), await known(shelf_of(twin))
        assert (theirs.labelled, theirs.learner) == (ours.labelled, ours.learner)
        await other.aclose()


def _like(mind: InfraMind, other: InfraMind) -> Any:
    """The store of one mind with the configuration of another."""

    class Both:
        settings, calls, store = mind.settings, mind.calls, other.store

    return Both


async def test_a_run_without_feedback_waits_and_is_then_learned_without_a_label(mind: InfraMind) -> None:
    shelf = shelf_of(mind.store)
    await answer(mind, 3, grade=False)
    assert not (await service(mind).round()).learned
    done = await service(mind, patience_s=1e-6).round()
    assert (done.learned, done.labelled) == (3, 0)
    assert (await known(shelf)).labelled == 0


async def test_a_mind_can_learn_in_its_own_process_and_explores_what_may_be_better(
    make_mind: Any, say: Any, store: MemoryStore
) -> None:
    settings = {
        "policy": {"name": "learned", "exploration": 0.1, "seed": 1},
        "online": {**ONLINE, "publish_every": 5, "report_s": 0.05},
    }
    mind = await make_mind(
        say(lambda asked: "right"), say(lambda asked: "wrong"), settings=settings, store=store
    )
    await answer(mind, 6)
    await _until(lambda: mind.online.lineup.candidate is not None)
    candidate = mind.online.lineup.candidate
    assert candidate.version == (await known(shelf_of(store))).published[0]
    assert {type(one.policy).__name__ for one in (candidate, mind.online.lineup.serving)} == {
        "ExploringPolicy"
    }
    run = await mind.atrace((await answer(mind, 1))[0])
    assert all(
        min(p for p, m in zip(d.probabilities, d.masked, strict=True) if not m) > 0 for d in run.decisions
    )


async def test_a_learner_that_cannot_go_on_says_so_and_serving_does(
    make_mind: Any, say: Any, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = shelf_of(store)
    await shelf.commit(LEARNER, after=0, state=b"of a newer release", learned=[], holder="x", at_s=0.0)
    settings = {"policy": {"name": "learned", "exploration": 0.1}, "online": {**ONLINE, "report_s": 0.05}}
    mind = await make_mind(say(lambda asked: "right"), settings=settings, store=store)
    await _until(lambda: "serving goes on as it is" in caplog.text)
    assert "the learner's state" in caplog.text
    assert (await mind.ainvoke("q", topology="IO", team_size=1)).answer == "right"


async def test_versions_are_made_and_served_without_a_disk(
    make_mind: Any, say: Any, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no such folder"))
    settings = {"policy": {"name": "learned", "exploration": 0.5, "seed": 1}, "online": QUIET}
    mind = await make_mind(
        say(lambda asked: "right"), say(lambda asked: "wrong"), settings=settings, store=store
    )
    await answer(mind, 12)
    await service(mind).once()
    await _until(lambda: mind.online.lineup.candidate is not None)
    assert mind.online.lineup.candidate.version == (await known(shelf_of(store))).published[0]


async def test_a_learner_goes_on_once_its_state_can_be_read(
    mind: InfraMind, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = shelf_of(mind.store)
    await answer(mind, 3)
    await shelf.commit(LEARNER, after=0, state=b"of a newer release", learned=[], holder="x", at_s=0.0)
    learner = service(mind)
    task = asyncio.create_task(learner.follow())
    await _until(lambda: "learning cannot go on" in caplog.text)
    assert not task.done()
    fresh = service(mind)
    fresh._shelf = MemoryStore().shelf
    state = (await fresh.round()).state
    await shelf.commit(LEARNER, after=1, state=state.to_bytes(), learned=[], holder="x", at_s=0.0)
    async with asyncio.timeout(10):
        while (await known(shelf)).labelled < 3:  # noqa: ASYNC110  # only the store tells
            await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [record.levelname for record in caplog.records].count("ERROR") == 1


def test_who_stands_by_tries_to_lead_less_often_than_it_would_look_for_lessons() -> None:
    assert LearnConfig(poll_s=1.0, lease_s=30.0).standby_s == 10.0
    assert LearnConfig(poll_s=20.0, lease_s=30.0).standby_s == 20.0


async def test_of_two_learners_one_leads(mind: InfraMind) -> None:
    await answer(mind, 3)
    async with shelf_of(mind.store).lead(LEARNER, "the other", now_s=CLOCK.wall_s(), ttl_s=60) as leads:
        assert leads
        assert not await service(mind).once()
    assert await service(mind).once()


async def test_a_learner_that_was_overtaken_keeps_nothing_and_goes_on_from_what_the_other_did(
    mind: InfraMind,
) -> None:
    shelf = shelf_of(mind.store)
    slow, quick = service(mind, batch=2), service(mind, batch=2)
    await answer(mind, 2)
    await slow.round()
    await answer(mind, 4)

    class Interrupted:
        """The shelf of the slow one: somebody else commits while it learns."""

        def __getattr__(self, name: str) -> Any:
            return getattr(shelf, name)

        async def commit(self, *args: Any, **options: Any) -> Any:
            await quick.round()
            return await shelf.commit(*args, **options)

    slow._shelf = Interrupted()  # type: ignore[assignment]
    with pytest.raises(LearnerMoved):
        await slow.round()
    slow._shelf = shelf
    await slow.round()
    state, progress = await known(shelf), await shelf.progress(LEARNER)
    assert progress is not None
    assert (state.labelled, progress.learned) == (6, 6)


async def test_after_a_failure_of_the_store_it_reads_again_what_was_kept(mind: InfraMind) -> None:
    shelf = shelf_of(mind.store)
    learner = service(mind)
    await answer(mind, 3)

    class Breaking:
        """A commit that is carried out, and of which the answer is lost."""

        def __getattr__(self, name: str) -> Any:
            return getattr(shelf, name)

        async def commit(self, *args: Any, **options: Any) -> Any:
            await shelf.commit(*args, **options)
            raise StoreError("commit", "the connection was lost")

    learner._shelf = Breaking()  # type: ignore[assignment]
    with pytest.raises(StoreError):
        await learner.round()
    learner._shelf = shelf
    await answer(mind, 2)
    await learner.round()
    state, progress = await known(shelf), await shelf.progress(LEARNER)
    assert progress is not None
    assert (state.labelled, progress.learned) == (5, 5)


async def test_nothing_is_published_while_the_roll_out_is_frozen(mind: InfraMind) -> None:
    shelf = shelf_of(mind.store)
    freeze = RolloutEvent(at_s=0.0, version="", stage=None, frozen=True, by="user:ann", reason="a holiday")
    await shelf.append(freeze, after=0)
    await answer(mind, 12)
    assert await service(mind).once()
    assert (await shelf.policies(), (await known(shelf)).fresh) == ([], 12)


class Cut:
    """The shelf, whose named method fails once it is asked."""

    def __init__(self, shelf: Shelf, method: str, error: Exception) -> None:
        self._shelf, self._method, self._error = shelf, method, error

    def __getattr__(self, name: str) -> Any:
        async def fail(*args: Any, **options: Any) -> Any:
            raise self._error

        return fail if name == self._method else getattr(self._shelf, name)


async def test_a_version_that_was_never_proposed_is_proposed_later(mind: InfraMind) -> None:
    shelf = shelf_of(mind.store)
    await answer(mind, 12)
    learner = service(mind, batch=100)
    learner._shelf = Cut(shelf, "append", RolloutMoved(0, 1))  # type: ignore[assignment]
    assert not (await learner.round()).published
    [version] = await shelf.policies()
    learner._shelf = shelf
    assert (await learner.round()).published == version.version
    assert (await shelf.rollout()).candidate == version.version


async def test_what_was_published_just_before_a_kill_is_known_as_its_own(mind: InfraMind) -> None:
    shelf = shelf_of(mind.store)
    await answer(mind, 12)
    learner = service(mind, batch=100)
    learner._shelf = Cut(shelf, "prune_policies", StoreError("prune", "killed"))  # type: ignore[assignment]
    with pytest.raises(StoreError):
        await learner.round()
    made = (await shelf.rollout()).candidate
    assert (await known(shelf)).published == ()
    full = RolloutEvent(at_s=0.0, version=made, stage="full", share=1.0, by="user:ann", reason="it is good")
    await shelf.append(full, after=(await shelf.rollout()).number)
    await answer(mind, 2)
    await service(mind).once()
    state = await known(shelf)
    assert (state.base, state.published, state.labelled, state.fresh) == ("", (made,), 14, 2)


async def test_after_a_restart_a_publication_is_held_against_runs_from_the_store(mind: InfraMind) -> None:
    shelf = shelf_of(mind.store)
    await answer(mind, 9)
    await service(mind).once()
    await answer(mind, 1)
    done = await service(mind).round()
    assert done.published
    [version] = await shelf.policies()
    assert version.facts["decisions"] >= 10


async def test_what_nobody_can_foresee_is_not_published_and_said_once(mind: InfraMind) -> None:
    shelf = shelf_of(mind.store)
    await answer(mind, 12)
    learner = service(mind)
    learner._config = LearnConfig(publish_every=10, least_views=1000)
    for _ in range(3):
        await learner.round()
    [remark] = await shelf.events()
    assert (remark.stage, remark.by) == (None, "learner")
    assert "at least 1000 are needed" in remark.reason
    assert (await shelf.policies(), (await known(shelf)).fresh) == ([], 0)


async def test_labels_are_counted_by_kind_of_source(mind: InfraMind) -> None:
    for number, trace_id in enumerate(await answer(mind, 3, grade=False)):
        await mind.afeedback(trace_id, solved=True, source=f"user:{number}")
    await service(mind).once()
    assert (await known(shelf_of(mind.store))).labels == {"user:*": 3}


async def test_what_somebody_else_published_is_what_learning_goes_on_from(mind: InfraMind) -> None:
    shelf = shelf_of(mind.store)
    await answer(mind, 4)
    await service(mind).once()
    content = content_of(replace(shipped_policy(), facts={"by": "hand"}))
    made = version_of(content, created_at_s=0.0, created_by="user:ann", facts={})
    await shelf.add_policy(made, content)
    full = RolloutEvent(
        at_s=0.0, version=made.version, stage="full", share=1.0, by="user:ann", reason="a better one"
    )
    await shelf.append(full, after=0)
    await answer(mind, 3)
    await service(mind).once()
    state = await known(shelf)
    assert (state.base, state.labelled, state.fresh) == (made.version, 7, 3)


async def test_a_candidate_that_some_process_cannot_serve_is_rolled_back(mind: InfraMind) -> None:
    shelf = shelf_of(mind.store)
    content = b"no policy"
    made = version_of(content, created_at_s=0.0, created_by="user:ann", facts={})
    await shelf.add_policy(made, content)
    shadow = RolloutEvent(
        at_s=CLOCK.wall_s(), version=made.version, stage="shadow", by="user:ann", reason="try it"
    )
    await shelf.append(shadow, after=0)
    await _until(
        lambda: bool(mind.online and any(made.version in r.facts["refused"] for r in mind.online.replicas))
    )
    await service(mind).round()
    event = (await shelf.events())[-1]
    assert (event.stage, event.version) == ("rolled_back", made.version)
    assert "cannot serve it" in event.reason
    assert (await shelf.rollout()).candidate == ""


async def test_the_gate_lets_a_candidate_serve_step_by_step(mind: InfraMind) -> None:
    shelf = shelf_of(mind.store)
    gate = {
        **ONLINE["gate"], "least_runs": 4, "least_labels": 1, "most_runs": 60, "epsilon": 0.9,  # type: ignore[dict-item]
        "canary_share": 0.3, "ramp_shares": [0.5],
    }  # fmt: skip
    await answer(mind, 10)
    learner = service(mind, gate=gate)
    await learner.round()
    await learner.round()
    seen: list[tuple[str | None, float]] = []
    for _ in range(40):
        rollout = await shelf.rollout()
        if not seen or seen[-1] != (rollout.stage, rollout.share):
            seen.append((rollout.stage, rollout.share))
        if rollout.serving:
            break
        number = rollout.number
        await _until(lambda number=number: mind.online.lineup.rollout.number == number)  # type: ignore[misc, union-attr]
        await answer(mind, 6)
        await learner.round()
    assert seen == [("shadow", 0.0), ("canary", 0.3), ("ramp", 0.5), ("ramp", 0.95), (None, 0.0)]
    assert (await shelf.rollout()).serving == (await known(shelf)).published[0]
    events = await shelf.events()
    assert [event.by for event in events] == ["learner", "gate", "gate", "gate", "gate"]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # what it waits for happens in another thread
            await asyncio.sleep(0.005)


async def test_networks_learn_on_where_that_is_configured_from_then_on(
    mind: InfraMind, store: MemoryStore
) -> None:
    sizes = []
    for networks in (False, True, True, False):
        await answer(mind, 2)
        assert (await service(mind, networks=networks).round()).labelled == 2
        sizes.append(len((await known(shelf_of(store))).learner))
    without, begun, resumed, without_again = sizes
    assert without < begun <= resumed
    assert without_again < begun
