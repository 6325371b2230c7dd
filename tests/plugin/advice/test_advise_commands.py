"""`inframind advise`: what people read, and what their words do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from inframind.advisor.cluster import FailureCluster, Trait
from inframind.fleet.clock import SystemClock
from inframind.plugin.cli import app
from inframind.plugin.commands.advise_desk import DeskPlace
from inframind.plugin.commands.advise_words import measured_text
from inframind.plugin.config import load_settings
from inframind.router.rules import RoutingRule
from inframind.traces.advice import AdviceEvent
from inframind.traces.configurations import configuration_of
from inframind.traces.store import open_store

from .conftest import NO_DEBATE, NO_LARGE, ONLINE, PLAIN, Office, option, prediction, run, verdict

CLUSTER = FailureCluster(
    cluster_id="c" * 12,
    label="wrong answers of large in math",
    kinds={"wrong": 80},
    size=80,
    share=0.8,
    runs=500,
    trend=0.1,
    trend_z=3.0,
    traits=(
        Trait(
            values={"model": "large"}, share=0.9, share_elsewhere=0.2, failing=0.6, failing_without=0.1, z=9
        ),
    ),
    exemplars=("d" * 32,),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inframind.toml").write_text(PLAIN + '\n[traces]\nurl = "sqlite:///traces.db"\n')
    return tmp_path


@pytest.fixture
def tried(folder: Path) -> Path:
    """With ``[online]``."""
    (folder / "inframind.toml").write_text(ONLINE)
    return folder


def call(folder: Path, *words: str, answer: str = "") -> Result:
    return CliRunner().invoke(app, [*words, "--config", str(folder / "inframind.toml")], input=answer)


def advise(folder: Path, *words: str, answer: str = "") -> Result:
    return call(folder, "advise", *words, answer=answer)


def said(folder: Path, *words: str) -> Any:
    done = advise(folder, *words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def at_office(folder: Path, work: Callable[[Office], Any]) -> Any:
    async def do() -> Any:
        async with open_store(f"sqlite:///{folder / 'traces.db'}") as store:
            office = Office(file=folder / "inframind.toml", store=store)
            office.clock.at_s = SystemClock().wall_s() - 60.0
            return await work(office)

    return asyncio.run(do())


def analysed(folder: Path) -> None:
    """With a failure pattern, a change with evidence, and one without."""
    little = prediction(metric="cost", objection="no run shows it")
    two = (
        option(1, NO_LARGE, cluster_id="c" * 12, title="Leave large out of math"),
        option(2, NO_DEBATE, kind="cheapest", predictions=(little,)),
    )
    at_office(folder, lambda office: office.keep(*two, clusters=(CLUSTER,)))


def offered(folder: Path) -> str:
    """Id of the change with evidence."""
    analysed(folder)
    made = said(folder)["recommendations"]
    return str(next(one["recommendation_id"] for one in made if one["kind"] == "model_switch"))


def test_without_traces_it_says_what_makes_some(folder: Path) -> None:
    done = advise(folder)
    assert (done.exit_code, "no traces yet" in done.output, "inframind run" in done.output) == (0, True, True)
    nothing = {
        "analysis": None,
        "clusters": [],
        "recommendations": [],
        "hidden": {},
        "in_force": [],
        "news": [],
        "stopped": "",
    }
    assert said(folder) == nothing
    assert "no recommendations yet" in advise(folder, "list").output


def test_the_table_says_what_to_change_and_what_it_promises_or_that_nobody_knows(folder: Path) -> None:
    analysed(folder)
    out = advise(folder).output
    for part in (
        "500 runs", "100 failed, were late or wrong", "Leave large out of math", "+10.0 [+5.0, +15.0]",
        "not enough evidence", "wrong answers of large in math", "80 % of failures, growing",
        "model large: 60 % fail so, 10 % without", "such as dddddddd", "inframind advise accept",
    ):  # fmt: skip
        assert part in out, out
    assert advise(folder).output.count("model_switch") == 0


def test_asked_again_it_shows_the_same_until_all_are_decided(folder: Path) -> None:
    analysed(folder)
    first = [one["recommendation_id"] for one in said(folder)["recommendations"]]
    assert [one["recommendation_id"] for one in said(folder)["recommendations"]] == first
    advise(folder, "reject", first[0])
    assert [one["state"] for one in said(folder)["recommendations"]] == ["rejected", "open"]
    of_math = [
        [one["recommendation_id"] for one in said(folder, "--domain", "math")["recommendations"]]
        for _ in range(2)
    ]
    assert of_math[0] == of_math[1]
    assert {*of_math[0]} & {*first} == set()
    assert [one["recommendation_id"] for one in said(folder)["recommendations"]] == first


def test_accepting_shows_the_difference_and_asks(folder: Path) -> None:
    advice, before = offered(folder), (folder / "inframind.toml").read_text()
    refused = advise(folder, "accept", advice[:8], answer="n\n")
    assert '+avoid_models = ["large"]' in refused.output
    assert "nothing was changed" in refused.output
    assert (folder / "inframind.toml").read_text() == before
    done = advise(folder, "accept", advice[:8], answer="y\n")
    assert done.exit_code == 0
    assert "when the processes that read this file start anew" in done.output
    assert load_settings(folder / "inframind.toml").rules[0].avoid_models == {"large"}
    (backup,) = folder.glob("inframind.toml.bak-*")
    assert backup.read_text() == before
    again = advise(folder, "accept", advice[:8], "--yes")
    assert (again.exit_code, "was accepted already" in again.stderr) == (1, True)


def test_a_second_one_is_accepted_only_knowing_that_nobody_knows_of_both(folder: Path) -> None:
    first = offered(folder)
    second = next(
        one["recommendation_id"]
        for one in said(folder)["recommendations"]
        if one["recommendation_id"] != first
    )
    advise(folder, "accept", first, "--yes")
    asked = advise(folder, "accept", second, answer="n\n")
    told = " ".join(asked.output.split())
    assert f"{first[:8]} was accepted" in told and "ago and is not measured yet" in told
    assert "what is promised of both together nobody knows Accept all the same?" in told
    assert (asked.exit_code, "nothing was changed" in told) == (1, True)
    done = advise(folder, "accept", second, "--yes")
    assert (done.exit_code, "nobody knows" in done.output, "Accept all" in done.output) == (0, True, False)
    assert f"beside {first[:8]}, not measured by then" in " ".join(
        advise(folder, "show", second).output.split()
    )


def test_the_story_of_one_is_told(tried: Path) -> None:
    advice = offered(tried)
    done = advise(tried, "accept", advice, "--yes")
    assert "watched in the shadow" in done.output
    out = advise(tried, "show", advice[:8]).output
    for part in (
        "Leave large out of math", "Runs say so.", "wrong answers of large in math", "50.0%",
        '  avoid_models = ["large"]', "accepted; ", "proposed; version", "on trial",
    ):  # fmt: skip
        assert part in out, out
    told = said(tried, "show", advice[:8])
    assert (told["state"], [event["kind"] for event in told["events"]]) == (
        "on trial",
        ["shown", "accepted", "proposed"],
    )


def test_where_nobody_judges_it_says_what_goes_on_by_hand(tried: Path) -> None:
    file = tried / "inframind.toml"
    file.write_text(file.read_text().replace('learner = "separate"', 'learner = "off"'))
    done = advise(tried, "accept", offered(tried), "--yes")
    assert "nobody judges it" in done.output and "policies promote candidate" in done.output


def test_taking_back_asks_and_gives_the_file_back(tried: Path) -> None:
    advice, before = offered(tried), (tried / "inframind.toml").read_text()
    advise(tried, "accept", advice, "--yes")
    done = advise(tried, "revert", advice[:8], answer="y\n")
    assert '-avoid_models = ["large"]' in done.output
    assert "what serves has it no longer" in done.output
    assert (tried / "inframind.toml").read_text() == before
    assert [one["state"] for one in said(tried, "list", "--decided")] == ["reverted"]


def test_taking_back_while_frozen_says_that_it_serves_until_the_thaw(tried: Path) -> None:
    advice = offered(tried)
    advise(tried, "accept", advice, "--yes")
    call(tried, "policies", "promote", "candidate", "--reason", "a test", "--yes")
    call(tried, "policies", "freeze", "--reason", "a holiday", "--yes")
    done = advise(tried, "revert", advice, "--yes")
    assert (done.exit_code, "until the roll-out is thawed" in done.output) == (0, True)
    assert "has it no longer" not in done.output


@pytest.mark.parametrize("word", ["accept", "revert"])
def test_who_says_no_and_a_script_that_cannot_be_asked_are_told_no_success(folder: Path, word: str) -> None:
    advice = offered(folder)
    if word == "revert":
        advise(folder, "accept", advice, "--yes")
    before = (folder / "inframind.toml").read_text()
    done = advise(folder, word, advice, answer="n\n")
    assert (done.exit_code, "nothing was changed" in done.stdout) == (1, True)
    done = advise(folder, word, advice, "--json", answer="y\n")
    assert (done.exit_code, "give --yes" in done.stderr, done.stdout) == (2, True, "")
    assert (folder / "inframind.toml").read_text() == before


def test_what_was_rolled_back_and_is_in_effect_without_the_rollout_is_warned_of(tried: Path) -> None:
    advice = offered(tried)
    advise(tried, "accept", advice, "--yes")
    call(tried, "policies", "rollback", "--reason", "a test", "--yes")
    advise(tried, "list")
    file = tried / "inframind.toml"
    text = file.read_text().replace("enabled = true", "enabled = false")
    file.write_text(text.replace('learner = "separate"', 'learner = "off"'))
    told = " ".join(call(tried, "doctor", "--timeout", "0.2").output.split())
    assert "rolled back, and in effect" in told and f"inframind advise revert {advice[:12]}" in told


def test_policies_and_the_doctor_name_the_recommendation(tried: Path) -> None:
    advice = offered(tried)
    advise(tried, "accept", advice, "--yes")
    assert f"recommendation {advice[:12]}: Leave large out" in call(tried, "policies", "list").output
    shown = call(tried, "policies", "show", "candidate").output
    assert advice in shown
    assert "Leave large out of math: on trial" in " ".join(
        call(tried, "doctor", "--timeout", "0.2").output.split()
    )
    call(tried, "policies", "rollback", "--reason", "a test", "--yes")
    assert "rolled back" in advise(tried, "list").output
    told = " ".join(call(tried, "doctor", "--timeout", "0.2").output.split())
    assert "rolled back" in told and f"inframind advise revert {advice[:12]}" in told
    assert "lie in the file and do nothing" in advise(tried, "show", advice).output


def test_options_of_the_table_before_a_command_are_refused(folder: Path) -> None:
    done = CliRunner().invoke(app, ["advise", "--last", "5", "list"])
    assert (done.exit_code, "write it after `list`" in done.stderr) == (2, True)


def test_narrow_terminals_see_whole_words(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inframind.plugin.terminal.PIPED_WIDTH", 80)
    analysed(folder)
    lines = advise(folder).output.splitlines()
    assert max(map(len, lines)) <= 80
    table = "\n".join(lines[1:6])
    for part in ("id", "what to change", "success", "state", "open", "not enough evidence"):
        assert part in table, table


def test_configurations_are_listed_shown_compared_and_told_apart(folder: Path) -> None:
    async def two(office: Office) -> tuple[str, str]:
        old = await office.configure(version="v1", name="just_enough")
        new = await office.configure(NO_LARGE, version="v1", name="just_enough")
        for number in range(80):
            at_s = office.clock.wall_s() - 80 + number
            is_new = number >= 40
            await office.store.put(
                run(
                    number, at_s, configuration=(new if is_new else old).configuration_id,
                    outcomes=verdict(not is_new or number % 4 == 0, at_s), cost=1.0 + is_new,
                )
            )  # fmt: skip
        return old.configuration_id, new.configuration_id

    assert "no configurations yet" in call(folder, "configs", "list").output
    old, new = at_office(folder, two)
    listed = call(folder, "configs", "list").output
    assert listed.index(new[:8]) < listed.index(old[:8])
    assert "100 %" in listed and "25 %" in listed
    shown = call(folder, "configs", "show", new[:8]).output
    assert new in shown and "no large model" in shown and "25 % of 40 right and in time" in shown
    assert "no large model: avoid_models large" in shown and "{" not in shown and "…" not in shown
    compared = call(folder, "configs", "compare", old[:8], new[:8]).output
    assert "-75.0 points" in compared and "rules" in compared
    assert "cost 1," in compared and "cost 2," in compared
    assert "latency  +0.00 [+0.00, +0.00] s" in compared
    assert "cost     +1 [+1, +1], +100 % of the old" in compared
    plain = json.loads(call(folder, "configs", "compare", old[:8], new[:8], "--json").output)
    assert (plain["latency_s"], plain["cost"]) == (
        {"change": 0.0, "low": 0.0, "high": 0.0},
        {"change": 1.0, "low": 1.0, "high": 1.0},
    )
    front = json.loads(call(folder, "configs", "front", "--json").output)
    assert [one["configuration"]["configuration_id"] for one in front] == [old]
    assert "nothing does worse" in call(folder, "configs", "worse", "--since", "5s").output
    worse = json.loads(call(folder, "configs", "worse", "--since", "101s", "--json").output)
    assert {(one["by"], one["metric"]) for one in worse} >= {("domain", "solved")}
    unknown = call(folder, "configs", "show", "abcdef")
    assert (unknown.exit_code, "configs list" in unknown.stderr) == (2, True)


def test_comparing_says_why_nothing_is_known_of_means(folder: Path) -> None:
    async def three(office: Office) -> list[str]:
        made = [await office.configure(version="v1", unit=n) for n in range(2)]
        made.append(configuration_of({"cost_unit": "usd", "policy": {"name": "p", "version": "v1"}}))
        await office.graph.add_configuration(made[2], at_s=1.0)
        for number in range(30):
            own_id = made[number % 3].configuration_id
            at_s = office.clock.wall_s() - 30 + number
            cost = None if number % 3 == 1 else 1.0
            await office.store.put(run(number, at_s, configuration=own_id, cost=cost))
        return [one.configuration_id for one in made]

    priced, unpriced, usd = at_office(folder, three)
    out = call(folder, "configs", "compare", priced, unpriced).output
    assert "latency  +0.00" in out
    assert "cost     not known: one of the two has fewer than 10 runs with a known cost" in out
    out = call(folder, "configs", "compare", priced, usd).output
    assert "cost     not known: the two count it in different units" in out


def test_a_cost_that_nobody_knows_is_no_cost_of_nothing(folder: Path) -> None:
    async def unpriced(office: Office) -> str:
        made = await office.configure(version="v1", name="just_enough")
        await office.store.put(run(1, office.clock.wall_s(), configuration=made.configuration_id))
        return made.configuration_id

    own_id = at_office(folder, unpriced)
    assert "cost -," in call(folder, "configs", "show", own_id[:8]).output


@pytest.mark.parametrize(("learner", "kinds"), [("separate", []), ("off", ["measured"])])
async def test_commands_measure_only_where_nobody_learns(tried: Path, learner: str, kinds: list[str]) -> None:
    file = tried / "inframind.toml"
    file.write_text(file.read_text().replace('learner = "separate"', f'learner = "{learner}"'))
    async with open_store(load_settings(file).traces.url) as store:
        office = Office(file=file, store=store)
        await office.desk().accept(await office.offered(), by="user:ann")
        candidate = (await office.shelf.rollout()).candidate
        await office.happen(candidate, "canary", 0.5)
        for version, arm in ((candidate, "candidate"), ("", "serving")):
            await office.serve(40, version, arm, right=0.5)
        office.clock.pass_s(70.0)
    place = DeskPlace(config=file, store=None, clock=office.clock, user="user:ann")
    async with place.opened() as (desk, _):
        (story,) = await desk.stories()
    assert [event.kind for event in story.events if event.kind == "measured"] == kinds


def test_whoever_has_no_name_decides_by_number(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 54_321)
    advice = offered(folder)
    assert advise(folder, "reject", advice).exit_code == 0
    (event,) = [event for event in said(folder, "show", advice)["events"] if event["kind"] == "rejected"]
    assert event["by"] == "user:54321"
    assert call(folder, "policies", "list").exit_code == 0


# What people stumbled over --------------------------------------------------------------------------------


def test_where_nothing_is_left_to_show_it_says_what_was_found_and_why_it_is_hidden(folder: Path) -> None:
    advise(folder, "accept", offered(folder), "--yes")
    (left,) = (one for one in said(folder)["recommendations"] if one["state"] == "open")
    advise(folder, "reject", left["recommendation_id"])
    out = advise(folder).output
    assert "2 changes were found, and are not shown: 1 in force already; 1 rejected not long ago" in out
    assert said(folder)["hidden"] == {"in force already": 1, "rejected not long ago": 1}


def test_a_domain_that_no_question_has_is_refused_and_patterns_of_others_are_left_out(folder: Path) -> None:
    math = Trait(
        values={"domain": "math"}, share=0.9, share_elsewhere=0.2, failing=0.6, failing_without=0.1, z=9
    )
    pattern = replace(CLUSTER, traits=(math,))
    at_office(folder, lambda office: office.keep(option(1, NO_LARGE), clusters=(pattern,)))
    done = advise(folder, "--domain", "cod")
    assert (done.exit_code, "there are code, general, knowledge, math" in done.stderr) == (2, True)
    assert "wrong answers of large" in advise(folder, "--domain", "math").output
    assert "wrong answers of large" not in advise(folder, "--domain", "code").output
    assert said(folder, "--domain", "code")["clusters"] == []


def test_the_list_shows_the_newest_of_the_same_and_an_old_one_names_it(folder: Path) -> None:
    analysed(folder)
    first = said(folder, "--domain", "math")["recommendations"]
    analysed(folder)
    newer = said(folder, "--domain", "math")["recommendations"]
    listed = said(folder, "list")
    assert {one["recommendation_id"]: one["earlier"] for one in listed} == {
        new["recommendation_id"]: [old["recommendation_id"] for old in first if old["kind"] == new["kind"]]
        for new in newer
    }
    old, new = (
        next(o["recommendation_id"] for o in some if o["kind"] == "cheapest") for some in (first, newer)
    )
    assert f"{new[:8]}: and 1 earlier" in advise(folder, "list").output
    assert f"{new[:8]} is the newest with the same rules" in advise(folder, "show", old).output
    assert "is the newest" not in advise(folder, "show", new).output


def test_taking_back_what_was_taken_back_has_nothing_to_do(folder: Path) -> None:
    advice = offered(folder)
    advise(folder, "accept", advice, "--yes")
    # Where its lines end hangs on how long the folder's name is.
    assert ",backup:inframind.toml.bak-" in "".join(advise(folder, "show", advice).output.split())
    advise(folder, "revert", advice, "--yes")
    again = advise(folder, "revert", advice)
    assert (again.exit_code, "nothing to do" in again.output, "takes effect" in again.output) == (
        0,
        True,
        False,
    )
    refused = advise(folder, "accept", advice, "--yes")
    assert f"advise accept --again {advice[:12]}" in refused.stderr
    assert f"advise accept --again {advice[:8]}" in advise(folder, "show", advice).output
    done = advise(folder, "accept", advice, "--again", "--yes")
    assert done.exit_code == 0
    (rule,) = load_settings(folder / "inframind.toml").rules
    assert rule.advice != advice and rule.avoid_models == {"large"}
    assert f"the change of {advice[:8]} again" in advise(folder, "show", rule.advice).output


def test_that_a_deployment_lost_a_rule_is_told_as_that(folder: Path) -> None:
    advice, before = offered(folder), (folder / "inframind.toml").read_text()
    advise(folder, "accept", advice, "--yes")
    (folder / "inframind.toml").write_text(before + "\n[run]\nbudget_s = 5\n")
    assert "file: reverted; the file lacks its rules" in " ".join(
        advise(folder, "show", advice).output.split()
    )
    assert "taken back" not in advise(folder).output


def test_where_all_was_refused_it_says_how_to_accept_it_all_the_same(folder: Path) -> None:
    advice = offered(folder)
    advise(folder, "accept", advice, "--yes")
    advise(folder, "revert", advice, "--yes")
    for one in said(folder)["recommendations"]:
        if one["state"] == "open":
            advise(folder, "reject", one["recommendation_id"])
    out = " ".join(advise(folder).output.split())
    assert "1 taken back not long ago" in out and "advise accept --again ID" in out


def test_taking_one_back_says_through_what_its_change_stays_in_force(folder: Path) -> None:
    advice = offered(folder)
    advise(folder, "accept", advice, "--yes")
    file = folder / "inframind.toml"
    file.write_text(file.read_text() + '\n[[rules]]\nname = "ours"\navoid_models = ["large"]\n')
    done = advise(folder, "revert", advice, "--yes")
    assert "stays in force through the file's rule 'ours'" in done.output
    assert "takes effect" not in done.output


@pytest.mark.parametrize("wrong", ["nonsense", "abc"])
def test_a_malformed_id_is_told_how_ids_look_and_where_they_are(folder: Path, wrong: str) -> None:
    done = advise(folder, "show", wrong)
    assert done.exit_code == 2
    assert "hex digits of the recommendation's id; `inframind advise list` shows them" in done.stderr


def test_alternatives_are_said_to_be_and_what_is_unproven_comes_last(folder: Path) -> None:
    few = RoutingRule(name="few", most_agents=1)
    little = prediction(objection="no run shows it")
    three = (
        option(1, NO_DEBATE, kind="cheapest", title="Do not plan Debate"),
        option(2, few, kind="balanced", title="Plan no more than 1 agent"),
        option(3, NO_LARGE, predictions=(little,)),
    )
    at_office(folder, lambda office: office.keep(*three))
    made = said(folder)["recommendations"]
    assert made[-1]["kind"] == "model_switch"
    one, two = (found["recommendation_id"][:8] for found in made[:2])
    out = advise(folder).output
    assert out.count(f"{one} and {two} are alternatives: accept one, then look again") == 1
    advise(folder, "accept", one, "--yes")
    out = advise(folder).output
    assert f"alternative to an accepted one, so look at runs with that first: {two}" in out
    assert "are alternatives" not in out and f"inframind advise accept {two}" in out


def test_titles_are_wrapped_and_not_cut(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inframind.plugin.terminal.PIPED_WIDTH", 80)
    title = "Use medium-14b instead of small-3b and large-30b where the domain is knowledge"
    at_office(folder, lambda office: office.keep(option(1, NO_LARGE, title=title)))
    out = advise(folder).output
    assert "knowledge" in out and "…" not in out
    assert max(map(len, out.splitlines())) <= 80


def test_a_measurement_says_where_it_was_made_and_that_it_is_adjusted() -> None:
    facts = {
        "method": "canary", "before": 0.5, "after": 0.6, "change": 0.12, "low": 0.02, "high": 0.2,
        "before_labelled": 40, "after_labelled": 50,
    }  # fmt: skip
    event = AdviceEvent(recommendation_id="a" * 32, kind="measured", at_s=0.0, by="advisor", facts=facts)
    told = measured_text(event)
    assert "+12.0 points [+2.0, +20.0], adjusted for when each was dealt out, measured in the canary" in told


# What was analysed, and what came since -------------------------------------------------------------------


def answered(folder: Path, runs: int, *, first: int = 0, age_s: float = 0.0, configuration: str = "") -> None:
    """Runs of which every other one was right, the oldest of this age before those that there are."""

    async def put(office: Office) -> None:
        for number in range(first, first + runs):
            at_s = office.clock.wall_s() - age_s + number * 0.001
            said = verdict(number % 2 == 0, at_s)
            await office.store.put(run(number, at_s, configuration=configuration, outcomes=said))

    at_office(folder, put)


def read(folder: Path) -> tuple[int, int]:
    """Runs that the analysis read, and how many are newer."""
    found = said(folder)["analysis"]
    return found["runs"], found["newer_runs"]


def test_an_analysis_is_made_anew_when_runs_have_grown_by_half_and_says_how_many_are_newer(
    folder: Path,
) -> None:
    answered(folder, 21)
    assert read(folder) == (21, 0)
    answered(folder, 49, first=21)
    assert read(folder) == (21, 49)
    assert "49 newer runs; --fresh reads them" in advise(folder).output
    answered(folder, 1, first=70)
    assert read(folder) == (71, 0)
    assert "newer run" not in advise(folder).output


def test_an_analysis_is_made_anew_when_the_configuration_changed(folder: Path) -> None:
    old = at_office(folder, lambda office: office.configure(version="a"))
    new = at_office(folder, lambda office: office.configure(version="b"))
    answered(folder, 60, configuration=old.configuration_id)
    assert read(folder) == (60, 0)
    answered(folder, 1, first=60, configuration=old.configuration_id)
    assert read(folder) == (60, 1)
    answered(folder, 2, first=100, configuration=new.configuration_id)
    assert read(folder) == (60, 3)  # one of the newer ones is still of the old one
    answered(folder, 20, first=200, configuration=new.configuration_id)
    assert read(folder) == (83, 0)


def test_an_analysis_is_made_anew_when_something_was_accepted_or_taken_back(folder: Path) -> None:
    answered(folder, 60)
    advice = offered(folder)
    made_at_s = said(folder)["analysis"]["at_s"]
    assert said(folder)["analysis"]["at_s"] == made_at_s
    for word in ("accept", "revert"):
        advise(folder, word, advice, "--yes")
        anew = said(folder)["analysis"]
        assert (anew["runs"], anew["at_s"] > made_at_s) == (60, True)
        made_at_s = anew["at_s"]
        assert said(folder)["analysis"]["at_s"] == made_at_s


def test_an_analysis_by_a_clock_that_is_far_ahead_is_made_anew(folder: Path) -> None:
    answered(folder, 10)
    two_days_ahead = SystemClock().wall_s() + 2 * 86_400.0
    at_office(folder, lambda office: office.keep(at_s=two_days_ahead, stored=10))
    assert read(folder) == (10, 0)


def test_where_all_runs_are_too_old_it_names_the_setting_and_what_would_help(folder: Path) -> None:
    answered(folder, 3, age_s=45.5 * 86_400.0)
    out = " ".join(advise(folder).output.split())
    assert "none of the 3 runs in the store is of the last 30 days (advisor.days)" in out
    assert "`days = 76` under [advisor]" in out and "there are no runs" not in out
    file = folder / "inframind.toml"
    file.write_text(file.read_text() + "\n[advisor]\ndays = 76\n")
    assert read(folder) == (3, 0)


# What came of it ------------------------------------------------------------------------------------------


def measured(folder: Path, advice: str, **moved: tuple[float, float, float]) -> None:
    """That success rose by 12 points of 50, and what else moved, from 2.0 on."""
    further = {
        name: {"before": 2.0, "after": 2.0 + change, "change": change, "low": low, "high": high,
               "before_runs": 90, "after_runs": 70}
        for name, (change, low, high) in moved.items()
    }  # fmt: skip
    facts = {
        "method": "before and after", "before": 0.5, "after": 0.62, "change": 0.12, "low": 0.02, "high": 0.2,
        "before_labelled": 40, "after_labelled": 50, "improved": True, "together_with": [], **further,
    }  # fmt: skip
    event = AdviceEvent(recommendation_id=advice, kind="measured", at_s=0.0, by="advisor", facts=facts)
    at_office(folder, lambda office: office.graph.add_event(event))


def test_what_came_is_shown_beside_what_was_promised(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inframind.plugin.terminal.PIPED_WIDTH", 80)
    advice = offered(folder)
    assert "promise" not in advise(folder, "list").output
    advise(folder, "accept", advice, "--yes")
    measured(folder, advice, latency_s=(-0.5, -0.75, -0.25), cost=(-0.6, -0.8, -0.4))
    out = advise(folder, "show", advice).output
    table = out[out.index("measured  ") :]
    assert max(map(len, table.splitlines())) <= 80
    assert [" ".join(line.split()) for line in table.splitlines()] == [
        "measured without it with it change promised",
        "success 50.0% 62.0% +12.0 [+2.0, +20.0] +10.0 [+5.0, +15.0]",
        "latency 2 1.5 -0.50 [-0.75, -0.25] s not enough evidence",
        "cost 2 1.4 -30 [-40, -20] % not enough evidence",
        "promise kept: success rose by 12.0 points [2.0, 20.0]",
    ]
    story = said(folder, "show", advice)
    assert (story["promise"]["verdict"], story["promise"]["parts"][0]["promised"]) == (
        "kept",
        "success rises",
    )
    assert story["events"][-1]["facts"]["cost"]["change"] == -0.6


def test_the_list_says_of_what_was_measured_whether_the_promise_was_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inframind.plugin.terminal.PIPED_WIDTH", 80)
    advice = offered(folder)
    advise(folder, "accept", advice, "--yes")
    measured(folder, advice)
    listed = advise(folder, "list").output
    assert max(map(len, listed.splitlines())) <= 80
    assert "state     promise" in listed and "accepted  kept" in listed
    assert advise(folder, "show", advice).output.count("without it") == 0  # its event says all there is


def test_nothing_is_said_of_promises_before_anything_was_measured(folder: Path) -> None:
    advice = offered(folder)
    assert said(folder, "show", advice)["promise"] is None
    assert "promise " not in advise(folder, "show", advice).output


async def harm(office: Office) -> None:
    """What the mode ``process`` recommended, accepted ten times and measured to do harm."""
    shown, *_ = await office.desk().recommend()
    for number in range(10):
        made = replace(shown, recommendation_id=f"{number:032x}", chosen_by="process")
        await office.graph.add_recommendations([made])
        for kind, facts in (("accepted", {}), ("measured", {"change": -0.2, "low": -0.3, "high": -0.1})):
            await office.graph.add_event(
                AdviceEvent(
                    recommendation_id=made.recommendation_id,
                    kind=kind,
                    at_s=office.clock.wall_s(),
                    by="advisor",
                    facts=facts,
                )
            )


def test_that_the_mode_process_was_stopped_is_said_with_the_reason(folder: Path) -> None:
    analysed(folder)
    assert said(folder)["stopped"] == ""
    file = folder / "inframind.toml"
    file.write_text(file.read_text() + '\n[advisor]\nmode = "process"\n')
    at_office(folder, harm)
    assert said(folder)["stopped"].startswith("it does harm: success changed by -0.200")
    told = " ".join(advise(folder).output.split())
    assert "mode process was stopped: it does harm" in told and "`resumed_at` under [advisor]" in told
