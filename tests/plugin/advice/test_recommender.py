"""What is recommended to whom, under which ids, and what is not."""

from __future__ import annotations

import asyncio
import re

import pytest

from inframind.errors import ConfigError
from inframind.plugin.advice.toml_edit import with_rules
from inframind.router.rules import RoutingRule
from inframind.traces.store import open_store

from .conftest import NO_DEBATE, NO_LARGE, PLAIN, Office, option


async def test_what_is_recommended_is_kept_as_shown_and_what_is_in_force_does_not_come_again(
    office: Office,
) -> None:
    await office.keep(option(1, NO_LARGE), option(2, NO_DEBATE, kind="cheapest"))
    desk = office.desk()
    made = await desk.recommend(segment="cost")
    assert {one.kind for one in made} == {"model_switch", "cheapest"}
    assert [story.recommendation for story in await desk.shown(segment="cost")] == list(made)
    assert await desk.shown(segment="quality") == ()
    switch = next(one for one in made if one.kind == "model_switch")
    await desk.accept(switch.recommendation_id, by="user:ann")
    assert [one.kind for one in await desk.recommend(segment="cost")] == ["cheapest"]
    assert [one.kind for one in await desk.recommend(segment="quality", most=1)] == ["cheapest"]


async def test_what_was_shown_before_the_latest_analysis_is_not_shown_again(plain: Office) -> None:
    await plain.offered()
    plain.clock.pass_s(60.0)
    await plain.keep(option(2, NO_DEBATE))
    assert await plain.desk().shown() == ()


async def test_of_two_with_the_same_rules_one_can_be_accepted(office: Office) -> None:
    same = NO_LARGE.model_copy(update={"name": "another name"})
    await office.keep(option(1, NO_LARGE))
    (twin,) = await office.desk().recommend(segment="cost")
    await office.keep(option(2, same, kind="cheapest"))
    (made,) = await office.desk().recommend(segment="quality")
    await office.desk().accept(made.recommendation_id, by="user:ann")
    assert await office.desk().shown(segment="cost") == ()
    told = await office.desk().story(twin.recommendation_id)
    assert (told.standing, told.through) == ("in force", made.recommendation_id[:12])
    before = office.file.read_text()
    for decide in (office.desk().acceptance, lambda own_id: office.desk().accept(own_id, by="user:ann")):
        with pytest.raises(ConfigError, match=f"in force already through {made.recommendation_id[:12]}"):
            await decide(twin.recommendation_id)
    assert office.file.read_text() == before
    await office.desk().revert(made.recommendation_id, by="user:ann")
    done = await office.desk().accept(twin.recommendation_id, by="user:ann")
    assert done.story.through == ""


async def test_what_somebody_wrote_into_the_file_is_in_force(plain: Office) -> None:
    await plain.keep(option(1, NO_LARGE), option(2, NO_DEBATE, kind="cheapest"))
    made = {one.kind: one.recommendation_id for one in await plain.desk().recommend()}
    plain.file.write_text(PLAIN + '\n[[rules]]\nname = "ours"\navoid_models = ["large"]\n')
    assert [one.recommendation.kind for one in await plain.desk().shown()] == ["cheapest"]
    with pytest.raises(ConfigError, match="through the file's rule 'ours'"):
        await plain.desk().accept(made["model_switch"], by="user:ann")
    assert [one.kind for one in await plain.desk().recommend()] == ["cheapest"]


async def test_what_serves_both_rules_of_one_is_not_what_one_of_them_does(plain: Office) -> None:
    await plain.keep(option(1, NO_LARGE))
    (one,) = await plain.desk().recommend()
    both = await plain.offered(NO_LARGE, NO_DEBATE)
    await plain.desk().accept(one.recommendation_id, by="user:ann")
    assert (await plain.desk().story(both)).standing == "open"


async def test_what_was_rolled_back_is_not_in_force_and_its_twin_may_be_tried(here: Office) -> None:
    await here.keep(option(1, NO_LARGE))
    (twin,) = await here.desk().recommend(segment="cost")
    (made,) = await here.desk().recommend(segment="quality")
    await here.desk().accept(made.recommendation_id, by="user:ann")
    assert (await here.desk().story(twin.recommendation_id)).standing == "in force"
    await here.happen((await here.shelf.rollout()).candidate, "rolled_back")
    await here.desk().tend()
    assert (await here.desk().story(twin.recommendation_id)).standing == "open"


async def test_what_is_not_shown_is_counted_by_why_not(plain: Office) -> None:
    strategy = RoutingRule(name="s", avoid_strategies=frozenset({"Flash"}))
    await plain.keep(
        option(1, NO_LARGE), option(2, NO_DEBATE, kind="cheapest"), option(3, strategy, domain="code")
    )
    assert await plain.desk().hidden() == {}
    desk = plain.desk()
    made = {one.title: one.recommendation_id for one in await desk.recommend(most=9)}
    made |= {one.title: one.recommendation_id for one in await desk.recommend(segment="x", domain="math")}
    await desk.accept(made["Change number 1"], by="user:ann")
    await desk.reject(made["Change number 2"], by="user:ann")
    segment = (await desk.story(made["Change number 2"])).recommendation.segment
    assert await desk.hidden(segment=segment, domain="math") == {
        "in force already": 1, "rejected not long ago": 1, "for another domain": 1,
    }  # fmt: skip
    with pytest.raises(ConfigError, match="there are code, general, knowledge, math"):
        await desk.hidden(domain="cod")
    with pytest.raises(ConfigError, match="there are code"):
        await desk.recommend(domain="cod")


async def test_segments_that_are_shared_are_one(plain: Office) -> None:
    plain.file.write_text(PLAIN + '\n[advisor]\nsegments = "shared"\n')
    await plain.keep(option(1, NO_LARGE))
    (made,) = await plain.desk().recommend(segment="cost")
    assert made.segment == ""


async def test_without_an_analysis_nothing_is_recommended(plain: Office) -> None:
    desk = plain.desk()
    assert (await desk.recommend(), await desk.analysis(), await desk.stories()) == ((), None, ())


async def test_what_was_shown_is_told_by_the_analysis_and_not_by_clocks(office: Office) -> None:
    office.clock.pass_s(600.0)
    await office.keep(option(1, NO_LARGE), option(2, NO_DEBATE, kind="cheapest"))
    office.clock.pass_s(-600.0)
    made = await office.desk().recommend()
    for _ in range(3):
        office.clock.pass_s(60.0)
        assert [story.recommendation for story in await office.desk().shown()] == list(made)
        assert await office.desk().recommend() == made
    assert len(await office.desk().stories()) == 2


async def test_what_was_shown_for_a_domain_is_not_what_was_shown_for_all(plain: Office) -> None:
    code = RoutingRule(name="s", avoid_strategies=frozenset({"Flash"}))
    await plain.keep(option(1, NO_LARGE), option(2, code, kind="cheapest", domain="code"))
    of_all = await plain.desk().recommend()
    (of_math,) = await plain.desk().recommend(domain="math")
    assert {one.kind for one in of_all} == {"model_switch", "cheapest"}
    assert [story.recommendation for story in await plain.desk().shown()] == list(of_all)
    assert [story.recommendation for story in await plain.desk().shown(domain="math")] == [of_math]
    assert await plain.desk().shown(domain="code") == ()


async def test_what_nobody_decided_on_is_found_however_much_was_shown_since(
    plain: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inframind.plugin.advice.stories.RECENT", 1)
    first = await plain.offered()
    rejected = await plain.offered(NO_DEBATE)
    await plain.offered(NO_LARGE, NO_DEBATE)
    desk = plain.desk()
    await desk.reject(rejected, by="user:ann")
    told = await plain.desk().story(first)
    assert (told.standing, [event.kind for event in told.events]) == ("open", ["shown"])
    by_hand = with_rules(plain.file, told.recommendation.rules, advice=first, title="by hand").after
    plain.file.write_text(by_hand)
    assert [event.kind for event in await plain.desk().tend()] == ["accepted"]
    standings = [story.standing for story in await plain.desk().stories()]
    assert standings == ["accepted", "rejected", "open"]


# Ids -------------------------------------------------------------------------------------------------------


async def test_the_same_seed_makes_the_same_ids_whatever_was_analysed_meanwhile(
    plain: Office,
) -> None:
    async with open_store("memory:") as other_store:
        other = Office(file=plain.file, store=other_store)
        desks = plain.desk(), other.desk()
        await desks[1].analyse()
        for office in (plain, other):
            await office.keep(option(1, NO_LARGE), option(2, NO_DEBATE, kind="cheapest"))
        made = [[one.recommendation_id for one in await desk.recommend()] for desk in desks]
    assert made[0] == made[1]
    assert len({*made[0]}) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in made[0])


async def test_a_process_that_starts_anew_with_the_same_seed_takes_no_id_that_is_taken(
    office: Office,
) -> None:
    first = await office.offered(NO_LARGE)
    second = await office.offered(NO_DEBATE)
    assert first != second
    rules = {
        story.recommendation.recommendation_id: story.recommendation.rules[0]
        for story in await office.desk().stories()
    }
    assert rules[first]["avoid_models"] == ["large"]
    assert rules[second]["avoid_topologies"] == ["Debate"]


async def test_of_two_processes_with_the_same_seed_at_once_both_show_what_is_kept(office: Office) -> None:
    await office.keep(option(1, NO_LARGE), option(2, NO_DEBATE, kind="cheapest"))
    desks = office.desk(), office.desk()
    for desk in desks:
        await desk.stories()
    made = await asyncio.gather(desks[0].recommend(segment="cost"), desks[1].recommend(segment="quality"))
    kept = {one.recommendation_id: one for one in await office.graph.recommendations()}
    assert all(kept[one.recommendation_id] == one for some in made for one in some)
