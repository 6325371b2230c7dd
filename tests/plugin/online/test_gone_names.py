"""Versions whose rules by advice speak of what was taken out of the configuration since: they serve all the same."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inframind.router.policy_file import save_policy
from inframind.router.policy_shelf import content_of, version_of
from inframind.router.policy_shipped import shipped_policy
from inframind.router.rules import RoutingRule
from inframind.traces.memory import MemoryStore
from inframind.traces.outcome_graphs import graph_of
from inframind.traces.shelf import RolloutEvent, Stage
from inframind.traces.shelves import shelf_of

ONLINE: dict[str, Any] = {
    "policy": {"name": "learned", "seed": 1},
    "online": {"enabled": True, "report_s": 0.05},
}
ADVICE = "5b911ba3" * 4
NO_M0 = RoutingRule(name="still good", avoid_models=frozenset({"m0"}), advice="a" * 32)
ASK: dict[str, Any] = {"domain": "math", "topology": "IO", "team_size": 1}
GONE: list[dict[str, Any]] = [
    {"avoid_models": ["m7"]},
    {"only_models": ["m7"]},
    {"avoid_endpoints": ["e7"]},
    {"avoid_strategies": ["Fast"]},
    {"avoid_actions": ["m7/Plain"]},
    {"avoid_topologies": ["Ring"]},
    {"avoid_models": ["m1"], "when": {"roles": ["Poet"]}},
    {"avoid_models": ["m1"], "when": {"topologies": ["Ring"]}},
    {"avoid_models": ["m1"], "when": {"domains": ["law"]}},
]


def advised(**asked: Any) -> RoutingRule:
    return RoutingRule.model_validate({"name": "stale", "advice": ADVICE, **asked})


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    async with MemoryStore() as store:
        yield store


async def publish(
    store: MemoryStore, *rules: RoutingRule, name: str = "one", stage: Stage = "full", share: float = 1.0
) -> str:
    """A learned policy with rules, put into that stage; its digest."""
    shelf, stored = shelf_of(store), replace(shipped_policy(), rules=rules, facts={"name": name})
    content = content_of(stored)
    made = version_of(content, created_at_s=0.0, created_by="test", facts={})
    await shelf.add_policy(made, content)
    event = RolloutEvent(
        at_s=0.0, version=made.version, stage=stage, share=share, by="user:test", reason="a test"
    )
    await shelf.append(event, after=(await shelf.rollout()).number)
    return made.version


def asked(mind: Any) -> list[int]:
    """Questions that each server was sent."""
    return [sum(one.body is not None for one in server.asked) for server in mind.servers]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "effect" in record.getMessage()]


@pytest.mark.parametrize("gone", GONE, ids=lambda gone: "+".join(gone.get("when", gone)))
async def test_a_version_serves_with_its_other_rules(
    make_mind: Any, say: Any, store: MemoryStore, gone: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    speak = say(lambda asked: "\\boxed{1}")
    version = await publish(store, advised(**gone), NO_M0)
    mind = await make_mind(speak, speak, settings=ONLINE, store=store)  # it has no file
    with caplog.at_level(logging.WARNING):
        lineup = mind.online.caught_up()
    assert lineup.serving.version == version
    assert mind.online._follower.refused == {}
    assert [rule.name for rule in lineup.serving.decider.book.rules] == ["still good"]
    await mind.ainvoke("How many?", **ASK)
    assert asked(mind) == [0, 1]
    (said,) = warnings(caplog)
    assert said.startswith(f"version {version[:12]} is served here as it is, but rule 'stale' has no effect")
    assert [event.by for event in await shelf_of(store).events()] == ["user:test"]  # nobody complains of it


async def test_a_candidate_is_tried_with_what_is_left_and_everything_is_said_once(
    make_mind: Any, say: Any, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    stale, half = advised(only_models=["m7"]), advised(avoid_models=["m0", "m8"], name="half")
    await publish(store, stale)
    candidate = await publish(store, stale, half, name="two", stage="canary", share=1.0)
    speak = say(lambda asked: "\\boxed{1}")
    with caplog.at_level(logging.WARNING):
        mind = await make_mind(speak, speak, settings=ONLINE, store=store)
        lineup = mind.online.caught_up()
        await publish(store, stale, half, name="three", stage="canary", share=1.0)
        mind.online.caught_up()
    assert lineup.candidate.version == candidate
    await mind.ainvoke("How many?", **ASK)
    assert asked(mind) == [0, 1]
    sentences = [
        "rule 'stale' has no effect: there is no model 'm7'",
        "rule 'half' has only part of its effect: there is no model 'm8'",
    ]
    assert [said.partition("but ")[2] for said in warnings(caplog)] == sentences
    async with asyncio.timeout(10):
        while not any(one.facts["without_effect"] == sentences for one in mind.online.replicas):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_what_is_in_the_file_without_effect_keeps_no_application_from_starting(
    make_mind: Any, say: Any, store: MemoryStore
) -> None:
    stale = advised(avoid_models=["m7"]).to_plain()
    mind = await make_mind(say(lambda asked: "x"), settings={**ONLINE, "rules": [stale]}, store=store)
    assert mind._services.decider.book.given == ()


async def test_without_a_roll_out_the_file_s_rule_holds_as_far_as_it_can_and_that_is_said_once(
    make_mind: Any, say: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    half = advised(avoid_models=["m0", "m7"])
    speak = say(lambda asked: "\\boxed{1}")
    with caplog.at_level(logging.WARNING):
        mind = await make_mind(speak, speak, settings={"rules": [half.to_plain()]})
    await mind.ainvoke("How many?", **ASK)
    assert asked(mind) == [0, 1]
    assert warnings(caplog) == ["rule 'stale' has only part of its effect: there is no model 'm7'"]
    graph = graph_of(mind.store)
    await mind._services.drain()
    (kept,) = await graph.configurations()
    assert kept.configuration.document["rules"] == [advised(avoid_models=["m0"]).to_plain()]


async def test_a_policy_file_with_such_a_rule_serves(make_mind: Any, say: Any, tmp_path: Path) -> None:
    path = save_policy(
        tmp_path / "p.safetensors", replace(shipped_policy(), rules=(advised(only_models=["m7"]),))
    )
    mind = await make_mind(
        say(lambda asked: "x"), settings={"policy": {"name": "learned", "path": str(path)}}
    )
    assert [one.rule for one in mind._services.decider.book.without_effect] == ["stale"]
