"""`inframind doctor` and `explain` say which version serves, and what is wrong with that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inframind.fleet.clock import SystemClock
from inframind.fleet.probe import Finding
from inframind.plugin.commands.doctor_policy import served_policy
from inframind.plugin.config import Settings, settings_from
from inframind.plugin.explain import explain_trajectory
from inframind.plugin.online.learning import LEARNER
from inframind.router.policy_shelf import content_of, version_of
from inframind.router.policy_shipped import shipped_policy
from inframind.traces.records import Decision, Trajectory
from inframind.traces.shelf import Replica, RolloutEvent, Shelf
from inframind.traces.shelves import shelf_of
from inframind.traces.store import open_store

CLOCK = SystemClock()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_from(
        {
            "endpoints": [{"name": "a", "base_url": "http://127.0.0.1:9/v1", "model": "m"}],
            "policy": {"name": "learned", "exploration": 0.05},
            "traces": {"url": f"sqlite:///{tmp_path / 'traces.db'}"},
            "online": {"enabled": True, "learner": "separate"},
        }
    )


@pytest.fixture
async def shelf(settings: Settings) -> AsyncIterator[Shelf]:
    async with open_store(settings.traces.url) as store:
        yield shelf_of(store)


async def publish(shelf: Shelf, **other: Any) -> str:
    content = content_of(shipped_policy())
    made = version_of(content, created_at_s=0.0, created_by="user:ann", facts={})
    await shelf.add_policy(replace(made, **other), content)
    event = RolloutEvent(
        at_s=0.0, version=made.version, stage="full", share=1.0, by="user:ann", reason="a test"
    )
    await shelf.append(event, after=0)
    return made.version


def by_check(findings: list[Finding]) -> dict[str, tuple[str, str]]:
    return {finding.check: (finding.level, finding.found) for finding in findings}


async def test_before_anything_is_published_the_configured_policy_serves(
    settings: Settings, shelf: Shelf
) -> None:
    found = by_check(await served_policy(settings, CLOCK))
    assert found["serves"] == ("ok", "the configured policy serves all runs; nothing is being tried")
    assert found["processes"] == ("ok", "none has reported in the last minute")
    assert found["learner"] == ("warn", "nothing has been learned yet")


async def test_processes_that_serve_something_else_are_named_with_the_reason(
    settings: Settings, shelf: Shelf
) -> None:
    version = await publish(shelf)
    now_s = CLOCK.wall_s()
    await shelf.report(Replica(name="one", at_s=now_s, serving=version))
    await shelf.report(
        Replica(name="two", at_s=now_s, serving="", facts={"refused": {version: "too new for it"}})
    )
    await shelf.commit(LEARNER, after=0, state=b"", learned=[], holder="three", at_s=now_s)
    found = by_check(await served_policy(settings, CLOCK))
    assert found["serves"][0] == "ok"
    assert found["processes"] == (
        "warn",
        "2 report, 1 of them serve it; two serves the configured policy: too new for it",
    )
    assert found["learner"][0] == "ok"


async def test_a_version_that_this_release_cannot_serve_fails_the_check(
    settings: Settings, shelf: Shelf
) -> None:
    await publish(shelf, features_version="0")
    level, found = by_check(await served_policy(settings, CLOCK))["serves"]
    assert (level, "trained on features version '0'" in found) == ("fail", True)


def test_an_explanation_says_how_a_run_came_to_its_policy() -> None:
    decision = Decision(
        decision_id="d0", kind="step", made_s=0.0, policy="learned", policy_version="abcdef012345",
        features_version="1", actions=("m/Plain", "m/Flash"), probabilities=(1.0, 0.0), masked=("", ""),
        latency_q50_s=(1.0, 1.0), latency_q90_s=(2.0, 2.0), chosen=0, probability=1.0,
        choice={"model": "m", "strategy": "Plain"}, seen={"remaining_s": 5.0},
    )  # fmt: skip
    book = {
        "dealt": {"event": 3, "candidate": "f" * 64, "arm": "serving", "share": 0.1},
        "candidate": {"version": "ffffffffffff", "choices": {"d0": "m/Flash"}},
    }
    run = Trajectory(
        trace_id="0" * 32, question="q", arrived_at_s=0.0, budget_s=9.0, decisions=(decision,),
        metadata={"inframind": book},
    )  # fmt: skip
    text = " ".join(explain_trajectory(run).split())
    assert "learned abcdef012345, what serves beside a candidate" in text
    assert "(version ffffffffffff is tried on 10% of runs)" in text
    assert "prefers another choice in 1 of 1" in text
