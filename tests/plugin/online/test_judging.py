"""Who is judged, by what, and what becomes of it: what serves and what is tried, out of the traces of one store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from inframind.plugin.online.judging import ALARM, PROOF, WATCH, Judge, JudgeConfig
from inframind.plugin.online.learner_state import LearnerState
from inframind.plugin.online.lessons import Hearing
from inframind.plugin.online.school import School
from inframind.router.gate.config import GateConfig
from inframind.router.gate.verdicts import Verdict
from inframind.router.guards.quotas import QuotaConfig
from inframind.router.policy_shelf import version_of
from inframind.router.policy_shipped import shipped_policy
from inframind.traces.memory import MemoryStore
from inframind.traces.query import TraceQuery
from inframind.traces.records import Decision, Outcome, Trajectory
from inframind.traces.shelf import Rollout, RolloutEvent, Shelf, Stage
from inframind.traces.shelves import shelf_of

NOW_S = 10_000.0
PROVEN = {
    "n": 4000.0, "n_candidate": 2000.0, "graded": 3600.0, "graded_candidate": 1800.0,
    "on_time": 0.95, "failed": 0.01, "success": 0.75,
    "on_time_before": 0.95, "failed_before": 0.01, "success_before": 0.7,
}  # fmt: skip
"""What the gate promoted by."""


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    async with MemoryStore() as store:
        yield store


class Desk:
    """A store, its shelf, and a judge who looks as often as he is asked."""

    def __init__(self, store: MemoryStore, *, hearing: Hearing | None = None, **gate: Any) -> None:
        self.store, self.shelf = store, shelf_of(store)
        self.hearing = hearing or Hearing()
        config = JudgeConfig(gate=GateConfig(**gate), settle_s=2.0, alarm_s=1.0)
        school = School(configured=shipped_policy(), actions=None)  # type: ignore[arg-type]  # asked in the shadow only
        self.judge = Judge(store, self.shelf, config, self.hearing, school)
        self.state = LearnerState(learner=b"")
        self.runs = 0

    async def look(self) -> Verdict | None:
        """At all that there is; what the gate says is done."""
        rollout = await self.shelf.rollout()
        self.state, verdict = await self.judge.look(self.state, rollout, now_s=NOW_S)
        if verdict is not None:
            await self.judge.act(verdict, rollout)
        return verdict

    async def event(
        self, version: str, stage: Stage, share: float = 0.0, by: str = "gate", **figures: float
    ) -> None:
        number = (await self.shelf.rollout()).number
        event = RolloutEvent(
            at_s=0.0, version=version, stage=stage, share=share, by=by, reason="a test", figures=figures
        )
        await self.shelf.append(event, after=number)

    async def serve(self, n: int, version: str, arm: str = "serving", **values: Any) -> None:
        """Runs of a version, dealt out by the roll-out as it is."""
        rollout = await self.shelf.rollout()
        for _ in range(n):
            self.runs += 1
            await self.store.put(run(self.runs, version, arm, rollout, **values))

    def record(self, name: str) -> Mapping[str, Any]:
        """Of both arms in a trial, or of what is watched."""
        kept = self.state.trials[name]
        found: Mapping[str, Any] = kept["record"] if name == WATCH else kept["evidence"]["records"]
        return found


def run(number: int, version: str, arm: str, rollout: Rollout, **other: Any) -> Trajectory:
    decision = Decision(
        decision_id="d", kind="step", made_s=0.0, policy="learned", policy_version=version[:12],
        features_version="1", actions=("a",), probabilities=(1.0,), masked=("",), chosen=0,
        probability=1.0, choice={},
    )  # fmt: skip
    dealt = {
        "event": rollout.number,
        "candidate": rollout.candidate,
        "arm": arm,
        "share": rollout.share,
    }
    values: dict[str, Any] = {
        "trace_id": f"{number:032x}",
        "question": "q",
        "arrived_at_s": float(number),
        "budget_s": 10.0,
        "latency_s": 1.0,
        "decisions": (decision,),
        "metadata": {"inframind": {"dealt": dealt}} if rollout.candidate else {},
        **other,
    }
    return Trajectory(**values)


def said(by: str) -> dict[str, Any]:
    return {
        "outcomes": (Outcome(feedback_id="f", key="solved", score=1.0, source=by, recorded_at_s=1.0),),
    }


async def added(shelf: Shelf, name: str, *, parent: str = "", **facts: Any) -> str:
    """A version on the shelf; nothing here reads it."""
    row = version_of(name.encode(), parent=parent, created_at_s=0.0, created_by="a test", facts=facts)
    return (await shelf.add_policy(row, name.encode())).version


LATE = {"status": "late", "latency_s": 11.0}


async def test_what_was_promoted_is_watched_while_the_next_one_is_tried_and_its_end_ends_both(
    store: MemoryStore,
) -> None:
    desk = Desk(store)
    new, next_one = await added(desk.shelf, "new"), await added(desk.shelf, "next")
    await desk.event(new, "full", 1.0, **PROVEN)
    await desk.event(next_one, "canary", 0.1)
    await desk.serve(20, new)
    await desk.serve(5, next_one, "candidate")
    assert (await desk.look()).act == "wait"  # type: ignore[union-attr]
    assert set(desk.state.trials) == {WATCH, ALARM, PROOF}
    assert (desk.record(WATCH)["runs"], desk.record(PROOF)["candidate"]["runs"]) == (20, 5)
    await desk.serve(300, new, **LATE)
    verdict = await desk.look()
    assert verdict is not None
    assert "late more often than on trial" in verdict.reason
    rollout = await desk.shelf.rollout()
    assert (rollout.serving, rollout.candidate) == ("", "")
    assert await desk.look() is None
    assert desk.state.trials == {}


async def test_what_was_promoted_is_watched_after_the_next_one_was_rolled_back(store: MemoryStore) -> None:
    desk = Desk(store)
    new, next_one = await added(desk.shelf, "new"), await added(desk.shelf, "next")
    await desk.event(new, "full", 1.0, **PROVEN)
    await desk.serve(10, new)
    await desk.look()
    await desk.event(next_one, "canary", 0.1)
    await desk.event(next_one, "rolled_back")
    await desk.serve(300, new, **LATE)
    assert (await desk.look()).act == "roll_back"  # type: ignore[union-attr]
    assert desk.record(WATCH)["runs"] == 310
    assert (await desk.shelf.rollout()).serving == ""


async def test_what_serves_again_after_a_rollback_is_not_watched(store: MemoryStore) -> None:
    desk = Desk(store)
    old, new = await added(desk.shelf, "old"), await added(desk.shelf, "new")
    await desk.event(old, "full", 1.0, **PROVEN)
    await desk.serve(300, old, **LATE)
    await desk.event(new, "full", 1.0, **PROVEN)
    await desk.event(new, "rolled_back")
    assert await desk.look() is None
    assert (await desk.shelf.rollout()).serving == old


async def test_a_promise_that_the_version_before_broke_as_well_rolls_nothing_back(store: MemoryStore) -> None:
    desk = Desk(store, least_on_time=0.9, most_late=1.0)
    new = await added(desk.shelf, "new")
    await desk.event(new, "full", 1.0, **{**PROVEN, "on_time_before": 0.8})
    await desk.serve(300, new, **LATE)
    assert (await desk.look()).act == "wait"  # type: ignore[union-attr]


async def test_a_promise_that_the_version_before_kept_rolls_back(store: MemoryStore) -> None:
    desk = Desk(store, least_on_time=0.9, most_late=1.0)
    new = await added(desk.shelf, "new")
    await desk.event(new, "full", 1.0, **PROVEN)
    await desk.serve(300, new, **LATE)
    verdict = await desk.look()
    assert verdict is not None
    assert "where 90.0% is promised" in verdict.reason


@pytest.mark.parametrize(("by", "act", "serves"), [("user:ann", "wait", False), ("gate", "settle", True)])
async def test_of_what_has_the_share_of_the_promoted_only_what_the_gate_put_there_settles_by_runs(
    store: MemoryStore, by: str, act: str, serves: bool
) -> None:
    desk = Desk(store)
    new = await added(desk.shelf, "new")
    await desk.event(new, "ramp", 0.95, by=by)
    remark = RolloutEvent(at_s=0.0, version="", stage=None, by="learner", reason="drift of something")
    await desk.shelf.append(remark, after=1)
    await desk.serve(12, "")
    await desk.serve(238, new, "candidate")
    assert (await desk.look()).act == act  # type: ignore[union-attr]
    assert ((await desk.shelf.rollout()).serving == new) is serves


async def test_labels_that_were_learned_from_do_not_take_up_room_in_the_proof(store: MemoryStore) -> None:
    desk = Desk(store, hearing=Hearing(quotas=QuotaConfig(free=5)))
    new = await added(desk.shelf, "new")
    await desk.event(new, "canary", 0.1)
    await desk.serve(5, new, "candidate", **said("user:x"))
    await desk.serve(5, "", **said("api"))
    runs = [run async for run in store.iter(TraceQuery(oldest_first=True))]
    lessons, desk.state = desk.hearing.lessons(runs, desk.state, _Silent())  # type: ignore[arg-type]
    assert all(lesson.label is not None for lesson in lessons)
    await desk.look()
    assert _labelled(desk) == len(lessons) == 10


async def test_the_quotas_of_a_proof_last_from_look_to_look_and_end_with_the_trial(
    store: MemoryStore,
) -> None:
    desk = Desk(store, hearing=Hearing(quotas=QuotaConfig(most_share=0.25, free=1)))
    new, next_one = await added(desk.shelf, "new"), await added(desk.shelf, "next")
    await desk.event(new, "canary", 0.1)
    await desk.serve(30, "", **said("api"))
    await desk.serve(10, new, "candidate", **said("user:x"))
    await desk.look()
    await desk.serve(10, new, "candidate", **said("user:x"))  # a quarter is theirs already
    desk.state = LearnerState.from_bytes(desk.state.to_bytes())
    await desk.look()
    assert _labelled(desk) == 40
    await desk.event(new, "rolled_back")
    await desk.event(next_one, "canary", 0.1)
    await desk.look()
    assert desk.state.trials[PROOF]["recent"] == []


async def test_runs_given_up_after_their_budget_are_late_for_whoever_served_them(store: MemoryStore) -> None:
    desk = Desk(store)
    new, next_one = await added(desk.shelf, "new"), await added(desk.shelf, "next")
    await desk.event(new, "full", 1.0, **PROVEN)
    await desk.event(next_one, "canary", 0.5)
    given_up = {"status": "cancelled", "latency_s": 10.5}
    await desk.serve(3, new, **given_up)
    await desk.serve(4, next_one, "candidate", **given_up)
    await desk.serve(5, next_one, "candidate", status="cancelled", latency_s=9.0)
    await desk.look()
    assert (desk.record(WATCH)["runs"], desk.record(WATCH)["on_time"]) == (3, 0.0)
    for name in (ALARM, PROOF):
        tried = desk.record(name)["candidate"]
        assert (tried["runs"], tried["on_time"], tried["failed"]) == (4, 0.0, 0.0)


async def test_while_frozen_both_are_looked_at_and_nothing_is_done(store: MemoryStore) -> None:
    desk = Desk(store)
    new, next_one = await added(desk.shelf, "new"), await added(desk.shelf, "next")
    await desk.event(new, "full", 1.0, **PROVEN)
    await desk.event(next_one, "canary", 0.1)
    freeze = RolloutEvent(at_s=0.0, version="", stage=None, frozen=True, by="user:ann", reason="a holiday")
    await desk.shelf.append(freeze, after=2)
    await desk.serve(300, new, **LATE)
    await desk.look()
    assert desk.record(WATCH)["runs"] == desk.record(PROOF)["serving"]["runs"] == 300
    rollout = await desk.shelf.rollout()
    assert (rollout.number, rollout.serving, rollout.candidate) == (3, new, next_one)


@pytest.mark.parametrize("is_its_parent", [True, False])
async def test_a_candidate_is_what_its_facts_say_beside_the_version_that_it_was_made_from(
    store: MemoryStore, is_its_parent: bool
) -> None:
    desk = Desk(store)
    old = await added(desk.shelf, "old")
    parent = old if is_its_parent else ""
    new = await added(desk.shelf, "new", parent=parent, concerns=[{"domains": ["math"]}])
    await desk.event(old, "full", 1.0)
    await desk.event(new, "canary", 0.1)
    await desk.serve(3, new, "candidate", domain="math")
    await desk.serve(4, old, domain="code")
    await desk.look()
    desk.state = LearnerState.from_bytes(desk.state.to_bytes())
    await desk.serve(2, old, domain="math")
    await desk.look()
    for name in (ALARM, PROOF):
        part = desk.state.trials[name]["evidence"]["concerned"]
        assert desk.record(name)["serving"]["runs"] == 6
        if is_its_parent:
            assert (part["records"]["candidate"]["runs"], part["records"]["serving"]["runs"]) == (3, 2)
        else:
            assert part is None


async def test_a_trial_that_an_older_release_began_goes_on_with_all_runs(store: MemoryStore) -> None:
    desk = Desk(store)
    new = await added(desk.shelf, "new", concerns=[{"domains": ["math"]}])
    await desk.event(new, "canary", 0.1)
    await desk.serve(5, "", domain="code")
    await desk.look()
    trials: dict[str, Any] = {name: dict(kept) for name, kept in desk.state.trials.items()}
    for name in (ALARM, PROOF):
        evidence = trials[name]["evidence"]
        trials[name]["evidence"] = {key: value for key, value in evidence.items() if key != "concerned"}
    desk.state = replace(desk.state, trials=trials)
    await desk.serve(5, new, "candidate", domain="code")
    await desk.look()
    assert desk.record(PROOF)["candidate"]["runs"] == 5
    assert desk.state.trials[PROOF]["evidence"]["concerned"] is None


def _labelled(desk: Desk) -> int:
    return sum(arm["labelled"] for arm in desk.record(PROOF).values())


class _Silent:
    """A reader that no run says anything to."""

    def read(self, run: Trajectory) -> None:
        return None
