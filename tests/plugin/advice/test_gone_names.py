"""A model is taken out of the file after advice about it came into service: everybody who is asked says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from inframind.advisor.cluster import FailureCluster
from inframind.advisor.under_rules import InForce
from inframind.errors import ConfigError
from inframind.fleet.clock import SystemClock
from inframind.plugin.cli import app
from inframind.plugin.commands.doctor_rules import checked_rules, served_rules
from inframind.plugin.config import load_settings
from inframind.router.rules import RoutingRule
from inframind.traces.store import open_store

from .conftest import NO_DEBATE, NO_LARGE, ONLINE, Office, option

LARGE = (
    '\n[[endpoints]]\nname = "large-0"\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "large"\nsize_b = 30.0\n'
)
ALONE = RoutingRule(name="one agent", most_agents=1)
ONLY_LARGE = RoutingRule(name="large", only_models=frozenset({"large"}))
SMALL_TOO = RoutingRule(name="both", avoid_actions=frozenset({"large/Plain", "small/Flash"}))


def said_of(advice: str, what: str = "no effect") -> str:
    return f"rule 'advice-{advice[:12]}' has {what}: there is no model 'large'"


@pytest.fixture
async def filed(tmp_path: Path) -> AsyncIterator[Office]:
    """With ``[online]`` and a store that commands find."""
    file = tmp_path / "inframind.toml"
    file.write_text(ONLINE)
    async with open_store(f"sqlite:///{tmp_path}/traces.db") as store:
        yield Office(file=file, store=store)


async def serves(office: Office, *rules: RoutingRule) -> str:
    """Id of advice that was accepted and serves all runs."""
    advice = await office.offered(*rules)
    await office.desk().accept(advice, by="user:ann")
    await office.happen((await office.shelf.rollout()).candidate, "full", 1.0)
    await office.desk().tend()
    office.clock.pass_s(60.0)
    return advice


def without_large(office: Office) -> None:
    text = office.file.read_text()
    assert LARGE in text
    office.file.write_text(text.replace(LARGE, ""))


async def told(office: Office, *words: str) -> str:
    """What a command says."""
    line = [*words, "--config", str(office.file)]
    called = await asyncio.to_thread(CliRunner().invoke, app, line, env={"COLUMNS": "400"})
    assert called.exit_code == 0, called.output
    return called.stdout


async def test_the_doctor_reads_the_rules_of_the_versions_that_serve_and_are_tried(filed: Office) -> None:
    first = await serves(filed, NO_LARGE)
    second = await filed.offered(SMALL_TOO)
    await filed.desk().accept(second, by="user:ann")
    without_large(filed)
    settings = load_settings(filed.file)
    everywhere = checked_rules(settings, await served_rules(settings))
    text = filed.file.read_text()
    filed.file.write_text(text[: text.index("# Recommendation")])  # another process may have another file
    settings = load_settings(filed.file)
    assert checked_rules(settings, await served_rules(settings)) == everywhere
    pair = said_of(second, "only part of its effect").replace("model 'large'", "pair 'large/Plain'")
    assert [(one.check, one.level, one.found) for one in everywhere] == [
        ("effect", "warn", said_of(first)),
        ("effect", "warn", pair),
    ]
    assert f"`inframind advise revert {first[:12]}` takes it out" in everywhere[0].fix
    assert checked_rules(settings) == []


async def test_what_fits_is_fine_and_a_store_that_is_not_there_is_said_elsewhere(filed: Office) -> None:
    await serves(filed, NO_LARGE)
    settings = load_settings(filed.file)
    (fine,) = checked_rules(settings, await served_rules(settings))
    assert (fine.level, fine.found) == ("ok", "1 fit this fleet")
    filed.file.write_text(ONLINE.replace("sqlite:///traces.db", "sqlite:///no/such/folder/traces.db"))
    assert await served_rules(load_settings(filed.file)) == []


async def test_recommendations_say_what_of_them_does_nothing(filed: Office) -> None:
    advice = await serves(filed, NO_LARGE)
    other = await serves(filed, NO_DEBATE)
    assert (await filed.desk().story(advice)).without_effect == ()
    without_large(filed)
    said = {one.recommendation.recommendation_id: one.without_effect for one in await filed.desk().stories()}
    assert said == {advice: (said_of(advice),), other: ()}
    await filed.desk().revert(advice, by="user:ann")
    assert (await filed.desk().story(advice)).without_effect == ()


async def test_commands_say_it_and_a_role_may_be_the_application_s_own(filed: Office) -> None:
    advice = await serves(filed, NO_LARGE)
    poets = await filed.offered(
        RoutingRule.model_validate({"name": "p", "avoid_models": ["small"], "when": {"roles": ["Poet"]}})
    )
    without_large(filed)
    listed = await told(filed, "advise", "list")
    assert f"{advice[:8]}: {said_of(advice)}" in listed
    assert "there is no role 'Poet' (unless the application adds this role in code)" in listed
    assert said_of(advice) in await told(filed, "advise", "show", advice)
    found: list[dict[str, Any]] = json.loads(await told(filed, "advise", "list", "--json"))
    assert {one["recommendation_id"]: len(one["without_effect"]) for one in found} == {advice: 1, poets: 1}


async def test_a_stale_rule_in_the_file_keeps_nothing_else_from_being_accepted(plain: Office) -> None:
    stale = await plain.offered(NO_LARGE)
    await plain.desk().accept(stale, by="user:ann")
    without_large(plain)
    plain.clock.pass_s(60.0)
    await plain.keep(option(2, ALONE), option(3, ONLY_LARGE, kind="balanced"))
    made = {one.title: one.recommendation_id for one in await plain.desk().recommend()}
    await plain.desk().accept(made["Change number 2"], by="user:ann")
    before = plain.file.read_text()
    with pytest.raises(ConfigError, match="only_models = 'large': there is none; there are small"):
        await plain.desk().accept(made["Change number 3"], by="user:ann")
    assert plain.file.read_text() == before
    assert [rule.advice for rule in load_settings(plain.file).rules] == [stale, made["Change number 2"]]


async def test_advice_in_force_is_told_with_when_it_was_accepted_and_how_its_runs_do(filed: Office) -> None:
    filed.clock.at_s = SystemClock().wall_s() - 7200.0
    advice, taken_back = await serves(filed, NO_LARGE), await serves(filed, NO_DEBATE)
    await filed.desk().revert(taken_back, by="user:ann")
    filed.clock.at_s += 7000.0
    note = f"all of these were decided under advice {advice[:8]}"
    cluster = FailureCluster(
        cluster_id="c" * 12, label="late runs", kinds={"late": 9}, size=9, share=1.0, runs=500, trend=0.0,
        trend_z=0.0, traits=(), exemplars=(), notes=(note,),
    )  # fmt: skip
    one = InForce(
        advice=advice, title="Do not use large", runs=200, known=100, failures=30, known_elsewhere=300,
        failures_elsewhere=30,
    )  # fmt: skip
    other = replace(one, advice=taken_back)
    unknown = replace(one, advice="e" * 32, known=0, known_elsewhere=0)
    await filed.keep(clusters=(cluster,), in_force=(one, other, unknown))
    said = " ".join((await told(filed, "advise")).split())
    assert note in said
    assert (
        f"in force {advice[:8]} Do not use large, accepted 2 h ago: it narrowed 200 of 500 runs; 30 % of 100 with a "
        "known result and 10 % of 300 others failed, were late or wrong in force eeeeeeee Do not use large: it "
        "narrowed 200 of 500 runs"
    ) in said
    assert f"in force {taken_back[:8]}" not in said
    found = json.loads(await told(filed, "advise", "--json"))["in_force"]
    assert [(part["advice"], part["accepted_s"] is None) for part in found] == [
        (advice, False),
        ("e" * 32, True),
    ]


async def test_without_a_file_too_nothing_is_accepted_that_speaks_of_what_is_gone(filed: Office) -> None:
    advice = await filed.offered(NO_LARGE)
    without_large(filed)
    with pytest.raises(ConfigError, match="there is no model 'large'; look at runs again"):
        await filed.desk(file=False).accept(advice, by="user:ann")
    assert ((await filed.shelf.rollout()).number, await filed.kinds()) == (0, ["shown"])
