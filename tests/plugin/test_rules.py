"""``[[rules]]``, from the configuration to the call."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from inframind.errors import ConfigError
from inframind.graphs.ledger import choice_of
from inframind.graphs.registry import TopologyRegistry
from inframind.plugin.build import require_rules
from inframind.plugin.cli import app
from inframind.plugin.config import Settings, load_settings, settings_from
from inframind.router.policy_file import save_policy
from inframind.router.policy_shelf import content_of, version_of
from inframind.router.policy_shipped import shipped_policy
from inframind.router.rules import Circumstances, RoutingRule
from inframind.traces.memory import MemoryStore
from inframind.traces.outcome_graphs import graph_of
from inframind.traces.shelf import RolloutEvent
from inframind.traces.shelves import shelf_of

ENDPOINTS = [
    {"name": "e0", "base_url": "http://gpu/v1", "model": "m0"},
    {"name": "e1", "base_url": "http://gpu/v1", "model": "m1"},
]
ASK: dict[str, Any] = {"domain": "math", "topology": "IO", "team_size": 1}
NO_M0 = {"name": "no-m0", "avoid_models": ["m0"]}
UNIFORM = {"name": "uniform", "seed": 1}


def settings(*rules: dict[str, Any], **sections: Any) -> Settings:
    return settings_from({"endpoints": ENDPOINTS, "rules": list(rules), **sections})


# Configuration ---------------------------------------------------------------------------------------------


def test_rules_are_read_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "inframind.toml"
    path.write_text(
        """
        [[endpoints]]
        name = "e0"
        base_url = "http://gpu/v1"
        model = "m0"

        [[rules]]
        name = "night"
        avoid_endpoints = ["e0"]
        [rules.when]
        domains = ["math", "code"]
        hours_utc = [22, 6]
        """
    )
    assert load_settings(path).rules == (
        RoutingRule(
            name="night",
            when=Circumstances(domains=frozenset({"math", "code"}), hours_utc=(22, 6)),
            avoid_endpoints=frozenset({"e0"}),
        ),
    )


@pytest.mark.parametrize(
    ("rule", "field", "said"),
    [
        ({"name": "r"}, "rules.r", "avoids nothing"),
        ({"avoid_models": ["m0"]}, "rules.1.name", "required"),
        ({**NO_M0, "avoid_planets": ["x"]}, "rules.no-m0.avoid_planets", "unknown key"),
        ({**NO_M0, "when": {"hour": 3}}, "rules.no-m0.when.hour", "did you mean 'hours_utc'"),
        ({**NO_M0, "when": {"hours_utc": [6, 6]}}, "rules.no-m0.when", "two different hours"),
        ({**NO_M0, "only_models": ["m0"]}, "rules.no-m0", "avoids and allows"),
        ({"name": "r", "most_agents": 0}, "rules.r.most_agents", "greater than or equal to 1"),
        ({"name": "r", "most_agents": 1, "when": {"roles": ["Judge"]}}, "rules.r", "concerns plans"),
    ],
)
def test_an_impossible_rule_is_refused_where_it_is_read(rule: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settings(rule)
    assert refused.value.field == field and said in refused.value.fix


def test_a_wrong_rule_is_shown_as_it_is_written_but_for_what_may_be_a_secret() -> None:
    with pytest.raises(ConfigError, match=r"rules.r.avoid_model = \['m0'\]: .* did you mean 'avoid_models'"):
        settings({"name": "r", "avoid_model": ["m0"]})
    with pytest.raises(ConfigError, match=r"rules.r.api_token = '...'"):
        settings({"name": "r", "api_token": "sesame"})


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"rules.name = 'no-m0': give every rule its own name"):
        settings(NO_M0, {**NO_M0, "avoid_models": ["m1"]})


@pytest.mark.parametrize(
    ("rule", "field", "value", "there_is"),
    [
        ({"avoid_models": ["m7"]}, "avoid_models", "m7", "m0, m1"),
        ({"avoid_endpoints": ["e7"]}, "avoid_endpoints", "e7", "e0, e1"),
        ({"avoid_actions": ["m0/Fast"]}, "avoid_actions", "m0/Fast", "m0/Flash"),
        ({"avoid_topologies": ["Ring"]}, "avoid_topologies", "Ring", "Debate"),
        ({**NO_M0, "when": {"roles": ["Poet"]}}, "when.roles", "Poet", "MathSolver"),
        ({**NO_M0, "when": {"domains": ["law"]}}, "when.domains", "law", "knowledge"),
    ],
)
def test_a_rule_about_what_there_is_not_is_refused_with_what_there_is(
    rule: dict[str, Any], field: str, value: str, there_is: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        require_rules(settings({**rule, "name": "r"}), TopologyRegistry())
    assert (refused.value.field, refused.value.value) == (f"rules.r.{field}", value)
    assert there_is in refused.value.fix


async def test_a_mind_is_not_made_with_a_rule_about_what_there_is_not(make_mind: Any, say: Any) -> None:
    with pytest.raises(ConfigError, match="avoid_models = 'm7'"):
        await make_mind(say(lambda asked: "x"), settings={"rules": [{"name": "r", "avoid_models": ["m7"]}]})


def test_what_came_from_advice_serves_with_versions_where_those_are_served() -> None:
    advised = {**NO_M0, "name": "advised", "advice": "abc123"}
    online = {"policy": {"name": "learned"}, "online": {"enabled": True}}
    own = {"name": "own", "avoid_strategies": ["Flash"]}
    assert [rule.name for rule in settings(own, advised).own_rules()] == ["own", "advised"]
    assert [rule.name for rule in settings(own, advised, **online).own_rules()] == ["own"]


# Routing ---------------------------------------------------------------------------------------------------


def asked(mind: Any) -> list[int]:
    """Questions that each server was sent."""
    return [sum(one.body is not None for one in server.asked) for server in mind.servers]


async def test_no_step_goes_where_a_rule_forbids_it(make_mind: Any, say: Any) -> None:
    speak = say(lambda asked: "\\boxed{1}")
    mind = await make_mind(speak, speak, settings={"policy": UNIFORM, "rules": [NO_M0]})
    results = [
        await mind.ainvoke("How many?", domain="math", topology="Chain", team_size=3) for _ in range(3)
    ]
    assert asked(mind) == [0, 9]
    trace = await mind.atrace(results[0].trace_id)
    masked = {
        action: reason
        for decision in trace.decisions
        if decision.kind == "step"
        for action, reason in zip(decision.actions, decision.masked, strict=True)
    }
    assert {reason for action, reason in masked.items() if action.startswith("m0/")} == {"rule no-m0"}
    assert "rule no-m0" in await asyncio.to_thread(mind.explain, results[0].trace_id)


async def test_a_rule_concerns_its_domain_alone(make_mind: Any, say: Any) -> None:
    speak = say(lambda asked: "\\boxed{1}")
    rules = [
        {"name": "code", "avoid_models": ["m0"], "when": {"domains": ["code"]}},
        {"name": "math", "avoid_models": ["m1"], "when": {"domains": ["math"]}},
    ]
    mind = await make_mind(speak, speak, settings={"policy": UNIFORM, "rules": rules})
    for _ in range(3):
        await mind.ainvoke("How many?", **ASK)
    assert asked(mind) == [3, 0]


async def test_a_rule_ends_no_run(make_mind: Any, say: Any) -> None:
    """Its model is down, so what is to be avoided answers."""

    async def down(wire: Any) -> None:
        await wire.fail(503)

    mind = await make_mind(say(lambda asked: "\\boxed{1}"), down, settings={"rules": [NO_M0]})
    result = await mind.ainvoke("How many?", **ASK)
    (step,) = (await mind.atrace(result.trace_id)).steps
    assert (result.answer, step.model, step.served_model) == ("1", "m1", "m0")


async def test_a_server_to_avoid_is_left_alone_while_its_model_has_another(
    make_mind: Any, say: Any, serve: Any
) -> None:
    speak = say(lambda asked: "\\boxed{1}")
    servers = [await serve(speak), await serve(speak)]
    endpoints = [
        {"name": f"e{i}", "base_url": server.base_url, "model": "m", "metrics": False}
        for i, server in enumerate(servers)
    ]
    rules = [{"name": "slow", "avoid_endpoints": ["e0"]}]
    mind = await make_mind(settings={"endpoints": endpoints, "rules": rules})
    results = [await mind.ainvoke("How many?", **ASK) for _ in range(3)]
    answers = [await mind.chat_model().ainvoke("How many?") for _ in range(2)]
    assert [sum(one.body is not None for one in server.asked) for server in servers] == [0, 5]
    trace = await mind.atrace(results[0].trace_id)
    assert trace.decisions[-1].seen["avoid_endpoints"] == ["e0"]
    again = choice_of(trace.decisions[-1], mind.calls.services.decider.actions)
    assert again is not None and again.avoid == {"e0"}
    assert answers[0].response_metadata["inframind"]["endpoint"] == "e1"


async def test_calls_of_an_application_follow_rules(make_mind: Any, say: Any) -> None:
    speak = say(lambda asked: "\\boxed{1}")
    mind = await make_mind(speak, speak, settings={"policy": UNIFORM, "rules": [NO_M0]})
    for _ in range(3):
        await mind.chat_model().ainvoke("How many?")
    assert asked(mind) == [0, 3]


# Versions --------------------------------------------------------------------------------------------------


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    async with MemoryStore() as store:
        yield store


async def publish(store: MemoryStore, *rules: RoutingRule) -> str:
    """The policy that comes with the package, under rules, for all runs; its digest."""
    shelf, content = shelf_of(store), content_of(replace(shipped_policy(), rules=rules))
    made = version_of(content, created_at_s=0.0, created_by="test", facts={})
    await shelf.add_policy(made, content)
    event = RolloutEvent(
        at_s=0.0, version=made.version, stage="full", share=1.0, by="user:test", reason="a test"
    )
    await shelf.append(event, after=(await shelf.rollout()).number)
    return made.version


async def test_a_version_that_serves_brings_its_rules(make_mind: Any, say: Any, store: MemoryStore) -> None:
    speak = say(lambda asked: "\\boxed{1}")
    advised = {**NO_M0, "advice": "abc123"}
    online = {"policy": {"name": "learned", "seed": 1}, "online": {"enabled": True}, "rules": [advised]}
    version = await publish(store, RoutingRule.model_validate(advised))
    mind = await make_mind(speak, speak, settings=online, store=store)
    assert mind.calls.services.decider.book.rules == ()
    async with asyncio.timeout(10):
        while mind.online.lineup.serving.version != version:  # noqa: ASYNC110  # it happens in another thread
            await asyncio.sleep(0.005)
    for _ in range(3):
        await mind.ainvoke("How many?", **ASK)
    assert asked(mind) == [0, 3]


async def test_a_policy_file_brings_its_rules(make_mind: Any, say: Any, tmp_path: Path) -> None:
    path = save_policy(
        tmp_path / "p.safetensors", replace(shipped_policy(), rules=(RoutingRule.model_validate(NO_M0),))
    )
    own = {"name": "own", "avoid_strategies": ["Flash"]}
    learned = {"policy": {"name": "learned", "path": str(path)}, "rules": [own]}
    speak = say(lambda asked: "\\boxed{1}")
    mind = await make_mind(speak, speak, settings=learned)
    decider = mind.calls.services.decider
    assert [rule.name for rule in decider.book.rules] == ["own", "no-m0"]
    assert [rule.name for rule in decider.own_rules] == ["own"]
    await mind.ainvoke("How many?", **ASK)
    assert asked(mind) == [0, 1]


# Configuration and cost in traces --------------------------------------------------------------------------


async def test_a_trace_names_what_decided_it_and_the_store_knows_that(make_mind: Any, say: Any) -> None:
    mind = await make_mind(
        say(lambda asked: "\\boxed{1}"), settings={"rules": [{"name": "s", "most_agents": 2}]}
    )
    results = [await mind.ainvoke("How many?", **ASK) for _ in range(2)]
    traces = [await mind.atrace(result.trace_id) for result in results]
    configuration = mind.calls.services.decider.configuration
    assert {trace.configuration for trace in traces} == {configuration.configuration_id}
    await mind.calls.services.drain()
    kept = await graph_of(mind.store).configuration(configuration.configuration_id)
    assert kept.configuration.document["rules"] == [{"name": "s", "most_agents": 2}]
    assert kept.figures.runs == 2


async def test_a_trace_says_what_its_tokens_cost(make_mind: Any, say: Any) -> None:
    mind = await make_mind(say(lambda asked: "so \\boxed{1}"))
    trace = await mind.atrace((await mind.ainvoke("How many?", **ASK)).trace_id)
    (facts,) = mind.fleet.models.values()
    assert trace.completion_tokens > 0
    assert trace.cost == pytest.approx(facts.size_b * trace.completion_tokens / 1e6)


async def test_calls_of_applications_are_accounted_for_too(make_mind: Any, say: Any) -> None:
    mind = await make_mind(say(lambda asked: "so \\boxed{1}"))
    message = await mind.chat_model().ainvoke("How many?")
    trace = await mind.atrace(message.response_metadata["inframind"]["trace_id"])
    assert trace.configuration == mind.calls.services.decider.configuration.configuration_id
    assert trace.cost is not None and trace.cost > 0


async def test_the_tools_that_calls_may_use_are_part_of_the_configuration(make_mind: Any, say: Any) -> None:
    mind = await make_mind(say(lambda asked: "so \\boxed{1}"))
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    message = await mind.chat_model().bind_tools([tool]).ainvoke("How many?")
    trace = await mind.atrace(message.response_metadata["inframind"]["trace_id"])
    assert trace.configuration != mind.calls.services.decider.configuration.configuration_id
    await mind.calls.services.drain()
    kept = await graph_of(mind.store).configuration(trace.configuration)
    assert kept.configuration.document["tools"] == ["add"]
    assert kept.figures.runs == 1


# Commands --------------------------------------------------------------------------------------------------


def doctor(tmp_path: Path, *rules: str) -> str:
    """What it says of rules, each the lines of its table."""
    path = tmp_path / "inframind.toml"
    fleet = [
        f'[[endpoints]]\nname = "e{n}"\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "m{n}"\napi_key_env = "NOT_SET"'
        for n in range(2)
    ]
    tables = [*fleet, *(f"[[rules]]\n{rule}" for rule in rules), '[traces]\nurl = "memory:"']
    path.write_text("\n".join(tables))
    shown = CliRunner().invoke(app, ["doctor", "--config", str(path)]).stdout
    words = shown[shown.index("rules") : shown.index("trace store")]
    return words[: words.index("api key")]


def test_the_doctor_lists_every_name_that_there_is_not(tmp_path: Path) -> None:
    said = doctor(
        tmp_path,
        'name = "a"\navoid_strategies = ["flash", "deep"]\n[rules.when]\nroles = ["Judgee"]',
        'name = "b.c"\navoid_topologies = ["Ring"]\nonly_models = ["m0", "m7"]',
    )
    assert re.findall(r"names +(warn|fail) +rules\.(\S+) = '(\S+)'", said) == [
        ("warn", "a.when.roles", "Judgee"),
        ("fail", "a.avoid_strategies", "deep"),
        ("fail", "a.avoid_strategies", "flash"),
        ("fail", "b.c.only_models", "m7"),
        ("warn", "b.c.avoid_topologies", "Ring"),
    ]
    assert said.count("only if your application adds") == 2


@pytest.mark.parametrize(
    ("rules", "over"),
    [
        (['name = "a"\navoid_models = ["m0"]'], []),
        (['name = "a"\navoid_models = ["m0", "m1"]'], ["rule 'a' is passed over whenever it applies: it"]),
        (
            ['name = "a"\navoid_models = ["m0"]', 'name = "b"\nonly_models = ["m0"]'],
            ["rule 'b' is passed over whenever it applies: after 'a' it"],
        ),
        (
            [
                'name = "a"\navoid_models = ["m0"]\nwhen = {hours_utc = [22, 6]}',
                'name = "b"\nonly_models = ["m0"]\nwhen = {hours_utc = [23, 2], domains = ["math"]}',
            ],
            ["rule 'b' is passed over whenever it applies: after 'a' it"],
        ),
        (
            [
                'name = "a"\navoid_models = ["m0"]\nwhen = {domains = ["math"]}',
                'name = "b"\nonly_models = ["m0"]',
            ],
            [],
        ),
        (
            [
                'name = "a"\navoid_models = ["m0", "m1"]',
                'name = "b"\nonly_models = ["m0"]',
                'name = "c"\navoid_topologies = ["IO"]\nmost_agents = 1',
            ],
            ["rule 'a' is passed over whenever it applies: it"],
        ),
    ],
)
def test_the_doctor_warns_of_rules_that_are_always_passed_over(
    tmp_path: Path, rules: list[str], over: list[str]
) -> None:
    said = doctor(tmp_path, *rules)
    assert re.findall(r"effect +warn +(rule .* it) leaves no", said) == over
    assert ("fit this fleet" in said) == (not over)
