"""What a decision does, whoever decides at the same time, and whenever it is interrupted."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Any

import pytest

from inframind.errors import AdviceMoved, ConfigError, StoreError, UnknownRecommendation
from inframind.plugin.advice.file_swap import swap
from inframind.plugin.advice.toml_edit import with_rules
from inframind.plugin.config import load_settings
from inframind.router.rules import RoutingRule
from inframind.traces.advice import AdviceEvent
from inframind.traces.store import open_store

from .conftest import NO_DEBATE, NO_LARGE, PLAIN, Office, option


async def test_accepting_writes_the_rules_keeps_a_copy_and_says_so(office: Office) -> None:
    advice = await office.offered(NO_LARGE, NO_DEBATE)
    done = await office.desk().accept(advice[:8], by="user:ann")
    rules = load_settings(office.file).rules
    assert [(rule.name, rule.advice) for rule in rules] == [
        (f"advice-{advice[:12]}", advice),
        (f"advice-{advice[:12]}-2", advice),
    ]
    assert (rules[0].avoid_models, rules[1].avoid_topologies) == ({"large"}, {"Debate"})
    assert done.backup is not None and done.backup.read_text() == PLAIN
    assert await office.kinds() == ["shown", "accepted"]
    (event,) = await office.events("accepted")
    assert (event.by, event.facts["file"], event.facts["backup"]) == (
        "user:ann",
        str(office.file),
        done.backup.name,
    )
    assert done.story.standing == "accepted"


async def test_what_is_decided_cannot_be_decided_again(plain: Office) -> None:
    advice = await plain.offered()
    await plain.desk().reject(advice, by="user:ann", reason="we need it")
    for decide in ("accept", "reject"):
        with pytest.raises(AdviceMoved, match="was rejected already"):
            await getattr(plain.desk(), decide)(advice, by="user:bob")
    with pytest.raises(ConfigError, match="never accepted"):
        await plain.desk().revert(advice, by="user:bob")
    assert plain.file.read_text() == PLAIN
    assert (await plain.events("rejected"))[0].facts["reason"] == "we need it"


async def test_reverting_gives_the_very_file_back_and_may_be_done_twice(office: Office) -> None:
    advice = await office.offered()
    await office.desk().accept(advice, by="user:ann")
    for _ in range(2):
        done = await office.desk().revert(advice, by="user:ann")
    assert office.file.read_text() == PLAIN
    assert await office.kinds() == ["shown", "accepted", "reverted"]
    assert done.story.standing == "reverted"


async def test_what_was_taken_back_and_stands_in_the_file_again_can_be_taken_out_again(
    plain: Office,
) -> None:
    advice = await plain.offered()
    await plain.desk().accept(advice, by="user:ann")
    accepted = plain.file.read_text()
    await plain.desk().revert(advice, by="user:ann")
    plain.file.write_text(accepted)
    await plain.desk().revert(advice, by="user:ann")
    assert plain.file.read_text() == PLAIN


async def test_a_rule_that_speaks_of_what_there_is_not_is_never_written(plain: Office) -> None:
    advice = await plain.offered(RoutingRule(name="gone", avoid_models=frozenset({"huge"})))
    with pytest.raises(ConfigError, match="huge"):
        await plain.desk().accept(advice, by="user:ann")
    assert (plain.file.read_text(), await plain.kinds()) == (PLAIN, ["shown"])


async def test_what_an_application_may_add_in_code_hides_nothing_else_that_there_is_not(
    plain: Office,
) -> None:
    own = PLAIN + '\n[[rules]]\nname = "own"\navoid_topologies = ["Ring"]\n'
    plain.file.write_text(own)
    gone = await plain.offered(RoutingRule(name="gone", avoid_models=frozenset({"huge"})))
    with pytest.raises(ConfigError, match="huge"):
        await plain.desk().accept(gone, by="user:ann")
    assert plain.file.read_text() == own
    await plain.desk().accept(await plain.offered(NO_LARGE), by="user:ann")
    assert next(rule.name for rule in load_settings(plain.file).rules) == "own"


async def test_rules_that_the_environment_would_hide_are_not_written(
    plain: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    advice = await plain.offered()
    before = plain.file.read_text()
    monkeypatch.setenv("INFRAMIND_RULES", "[]")
    with pytest.raises(ConfigError, match="INFRAMIND_RULES"):
        await plain.desk().accept(advice, by="user:ann")
    assert (plain.file.read_text(), await plain.kinds()) == (before, ["shown"])


async def test_what_was_agreed_to_is_not_written_over_a_file_that_changed_since(plain: Office) -> None:
    advice = await plain.offered()
    edit = await plain.desk().acceptance(advice)
    plain.file.write_text(PLAIN + "\n[run]\nbudget_s = 5\n")
    with pytest.raises(ConfigError, match="changed meanwhile"):
        await plain.desk().accept(advice, by="user:ann", edit=edit)
    assert await plain.kinds() == ["shown"]


async def test_without_a_file_and_without_a_rollout_nothing_can_be_accepted(plain: Office) -> None:
    advice = await plain.offered()
    with pytest.raises(ConfigError, match="without \\[online\\]"):
        await plain.desk(file=False).accept(advice, by="user:ann")
    with pytest.raises(UnknownRecommendation):
        await plain.desk().accept("abcdef", by="user:ann")


# Interrupted -----------------------------------------------------------------------------------------------


async def test_a_process_that_died_after_writing_the_file_has_accepted(plain: Office) -> None:
    advice = await plain.offered()
    edit = await plain.desk().acceptance(advice)
    assert edit is not None
    copy = swap(edit.path, edit.before, edit.after, at_s=plain.clock.wall_s())
    events = await plain.desk().tend()
    assert [(event.kind, event.by) for event in events] == [("accepted", "file")]
    assert events[0].facts["backup"] == copy.name
    assert await plain.desk().tend() == []
    assert load_settings(plain.file).rules[0].advice == advice


async def test_a_process_that_died_after_taking_rules_out_has_reverted(plain: Office) -> None:
    advice = await plain.offered()
    await plain.desk().accept(advice, by="user:ann")
    edit = await plain.desk().reversal(advice)
    assert edit is not None
    copy = swap(edit.path, edit.before, edit.after, at_s=plain.clock.wall_s() + 1)
    events = await plain.desk().tend()
    assert [(event.kind, event.facts["backup"]) for event in events] == [("reverted", copy.name)]
    assert await plain.desk().tend() == []


async def test_a_decision_by_hand_names_no_copy(plain: Office) -> None:
    advice = await plain.offered()
    await plain.desk().accept(advice, by="user:ann")
    plain.file.write_text(PLAIN + "\n[run]\nbudget_s = 5\n")
    (event,) = await plain.desk().tend()
    assert (event.kind, "backup" in event.facts) == ("reverted", False)


async def test_rules_in_the_file_of_another_application_are_nobodys_business(plain: Office) -> None:
    await plain.offered()
    rule = NO_LARGE.model_copy(update={"advice": "f" * 32}).to_plain()
    plain.file.write_text(with_rules(plain.file, [rule], advice="f" * 32, title="t").after)
    assert await plain.desk().tend() == []


async def test_of_two_who_decide_at_once_the_file_says_what_the_first_one_said(office: Office) -> None:
    advice = await office.offered()

    class Slow:
        """The graph, before whose first acceptance somebody else's rejection comes."""

        def __getattr__(self, name: str) -> Any:
            return getattr(office.graph, name)

        async def add_event(self, event: AdviceEvent) -> AdviceEvent:
            if event.kind == "accepted":
                rejected = replace(event, kind="rejected", by="user:bob")
                await office.graph.add_event(rejected)
            return await office.graph.add_event(event)

    desk = office.desk(graph=Slow())
    with pytest.raises(AdviceMoved, match="was rejected already"):
        await desk.accept(advice, by="user:ann")
    assert office.file.read_text() == PLAIN
    assert await office.kinds() == ["shown", "rejected"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", ["accepted", "reverted"])
async def test_a_process_that_dies_between_file_and_event_has_decided_once(
    office: Office, kind: str, after: bool
) -> None:
    advice = await office.offered()

    class Dies:
        """The graph, at which the process ends before or after an event is kept."""

        def __getattr__(self, name: str) -> Any:
            return getattr(office.graph, name)

        async def add_event(self, event: AdviceEvent) -> AdviceEvent:
            if event.kind != kind or after:
                done = await office.graph.add_event(event)
            if event.kind == kind:
                raise KeyboardInterrupt
            return done

    if kind == "reverted":
        await office.desk().accept(advice, by="user:ann")
    desk = office.desk(graph=Dies())
    with pytest.raises(KeyboardInterrupt):
        await (desk.accept if kind == "accepted" else desk.revert)(advice, by="user:ann")
    await office.desk().tend()
    await office.desk().tend()
    happened = ["shown", "accepted", "reverted"]
    assert await office.kinds() == happened[: happened.index(kind) + 1]
    assert [rule.advice for rule in load_settings(office.file).rules] == [advice] * (kind == "accepted")


async def test_two_who_accept_at_once_accept_once(office: Office) -> None:
    advice = await office.offered()
    desk = office.desk()
    for desks in ([desk, desk], [office.desk(), office.desk()]):
        said = await asyncio.gather(
            *(one.accept(advice, by="user:ann") for one in desks), return_exceptions=True
        )
        refused = [one for one in said if isinstance(one, (AdviceMoved, ConfigError))]
        assert len(refused) == (1 if desks[0] is desk else 2)
    assert await office.kinds() == ["shown", "accepted"]
    assert [rule.advice for rule in load_settings(office.file).rules] == [advice]


async def test_whoever_accepts_while_another_rejects_the_file_says_what_the_store_says(
    office: Office,
) -> None:
    advice = await office.offered()
    said = await asyncio.gather(
        office.desk().accept(advice, by="user:ann"),
        office.desk().reject(advice, by="user:bob"),
        return_exceptions=True,
    )
    assert sum(isinstance(one, AdviceMoved) for one in said) == 1
    *_, last = await office.kinds()
    assert len(load_settings(office.file).rules) == (last == "accepted")


async def test_a_file_that_an_editor_has_emptied_for_a_moment_takes_nothing_back(plain: Office) -> None:
    advice = await plain.offered()
    await plain.desk().accept(advice, by="user:ann")
    desk, accepted = plain.desk(), plain.file.read_text()
    plain.file.write_text("")
    with pytest.raises(ConfigError, match="endpoints"):
        await desk.tend()
    plain.file.write_text(accepted)
    assert await desk.tend() == []
    assert (await desk.story(advice)).standing == "accepted"


async def test_what_lies_beside_the_file_under_the_name_of_a_copy_stops_nobody(plain: Office) -> None:
    advice = await plain.offered()
    edit = await plain.desk().acceptance(advice)
    assert edit is not None
    plain.file.with_name(f"{plain.file.name}.bak-zip").write_bytes(b"\xff\xfe")
    plain.file.with_name(f"{plain.file.name}.bak-old").mkdir()
    copy = swap(edit.path, edit.before, edit.after, at_s=plain.clock.wall_s())
    (event,) = await plain.desk().tend()
    assert (event.kind, event.facts["backup"]) == ("accepted", copy.name)


async def test_the_change_that_another_one_would_make_is_not_written(plain: Office) -> None:
    await plain.keep(option(1, NO_LARGE), option(2, NO_DEBATE, kind="cheapest"))
    first, second = [one.recommendation_id for one in await plain.desk().recommend()]
    edit = await plain.desk().acceptance(first)
    with pytest.raises(ConfigError, match="look at the change again"):
        await plain.desk().accept(second, by="user:ann", edit=edit)
    assert plain.file.read_text() == PLAIN


async def test_a_store_that_fails_after_the_file_was_written_loses_nothing(plain: Office) -> None:
    advice = await plain.offered()

    class Broken:
        """The graph, which cannot be written."""

        def __getattr__(self, name: str) -> Any:
            return getattr(plain.graph, name)

        async def add_event(self, event: Any) -> Any:
            raise StoreError("add_event", "the disk is full")

    with pytest.raises(StoreError, match="disk is full"):
        await plain.desk(graph=Broken()).accept(advice, by="user:ann")
    await plain.desk().tend()
    assert (await plain.desk().story(advice)).standing == "accepted"


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


# Recommending ----------------------------------------------------------------------------------------------


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
