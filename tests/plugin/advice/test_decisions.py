"""What a decision does, whoever decides at the same time, and whenever it is interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inframind.errors import AdviceMoved, ConfigError, StoreError, UnknownRecommendation
from inframind.plugin.advice.file_swap import swap
from inframind.plugin.advice.toml_edit import with_rules
from inframind.plugin.config import load_settings
from inframind.router.rules import RoutingRule
from inframind.traces.advice import AdviceEvent

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


@pytest.mark.parametrize("refused", ["reverted", "rejected"])
async def test_what_was_refused_is_accepted_again_under_an_id_of_its_own(
    office: Office, refused: str
) -> None:
    advice = await office.offered()
    if refused == "reverted":
        await office.desk().accept(advice, by="user:ann")
        await office.desk().revert(advice, by="user:ann")
    else:
        await office.desk().reject(advice, by="user:ann")
    with pytest.raises(AdviceMoved, match=f"advise accept --again {advice[:12]}"):
        await office.desk().accept(advice, by="user:ann")
    seen = await office.kinds()
    edit = await office.desk().acceptance(advice, again=True)
    assert await office.kinds() == seen
    names = []
    for _ in range(2):
        done = await office.desk().accept(advice, by="user:ann", again=True, edit=edit)
        made, old = done.story.recommendation, await office.graph.recommendation(advice)
        assert (made.title, made.predictions, done.story.standing) == (old.title, old.predictions, "accepted")
        assert [(rule.advice, rule.avoid_models) for rule in load_settings(office.file).rules] == [
            (made.recommendation_id, {"large"})
        ]
        names.append(made.recommendation_id)
        for own_id in (advice, made.recommendation_id):
            with pytest.raises(AdviceMoved, match="was accepted already"):
                await office.desk().accept(own_id, by="user:ann", again=True)
        await office.desk().revert(made.recommendation_id, by="user:ann")
        edit = None
    assert len({advice, *names}) == 3
    assert office.file.read_text() == PLAIN


async def test_two_who_accept_again_at_once_accept_once(office: Office) -> None:
    advice = await office.offered()
    await office.desk().reject(advice, by="user:ann")
    said = await asyncio.gather(
        *(office.desk().accept(advice, by="user:ann", again=True) for _ in range(2)), return_exceptions=True
    )
    assert sum(isinstance(one, (AdviceMoved, ConfigError)) for one in said) == 1
    assert await office.kinds() == ["shown", "rejected", "shown", "accepted"]
    assert len(load_settings(office.file).rules) == 1


async def test_what_a_deployment_lost_is_recommended_again_at_once(plain: Office) -> None:
    advice = await plain.offered()
    await plain.desk().accept(advice, by="user:ann")
    plain.file.write_text(PLAIN + "\n[run]\nbudget_s = 5\n")
    await plain.desk().tend()
    (made,) = await plain.desk().recommend()
    assert made.recommendation_id != advice and await plain.desk().hidden() == {}


async def test_what_is_accepted_beside_what_is_not_measured_yet_says_so(office: Office) -> None:
    await office.keep(option(1, NO_LARGE), option(2, NO_DEBATE, kind="cheapest"))
    first, second = (one.recommendation_id for one in await office.desk().recommend())
    done = await office.desk().accept(first, by="user:ann")
    assert done.together_with == ()
    (beside,) = await office.desk().unmeasured_beside(second)
    assert beside.recommendation.recommendation_id == first
    done = await office.desk().accept(second, by="user:ann")
    assert done.together_with == (first,)
    assert done.story.events[-1].facts["together_with"] == [first]


@pytest.mark.parametrize("why", ["measured", "predicted with it", "taken back"])
async def test_nothing_is_said_of_what_is_known_of_both_together(plain: Office, why: str) -> None:
    first = await plain.offered()
    await plain.desk().accept(first, by="user:ann")
    if why == "measured":
        await plain.graph.add_event(
            AdviceEvent(recommendation_id=first, kind="measured", at_s=0.0, by="advisor")
        )
    elif why == "taken back":
        await plain.desk().revert(first, by="user:ann")
    await plain.keep(option(2, NO_DEBATE), under=(first,) if why == "predicted with it" else ())
    (made,) = await plain.desk().recommend()
    assert await plain.desk().unmeasured_beside(made.recommendation_id) == ()
    assert (await plain.desk().accept(made.recommendation_id, by="user:ann")).together_with == ()


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


def _link(file: Path) -> None:
    file.rename(file.with_name("real.toml"))
    file.symlink_to("real.toml")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_link, "it is a link: name the file itself"),
        (lambda file: file.chmod(0o444), "it is read-only"),
        (lambda file: file.write_bytes(PLAIN.encode("utf-16")), "save it as UTF-8"),
        (lambda file: file.write_bytes(b"\xef\xbb\xbf" + PLAIN.encode()), "byte order mark"),
        (lambda file: file.unlink(), "cannot be read: No such file"),
    ],
)
async def test_a_file_that_cannot_be_edited_is_left_alone_and_nothing_is_noted(
    plain: Office, spoil: Callable[[Path], None], said: str
) -> None:
    advice = await plain.offered()
    desk = plain.desk()
    spoil(plain.file)
    before = {path: path.read_bytes() for path in plain.file.parent.iterdir()}
    with pytest.raises(ConfigError, match=said):
        await desk.accept(advice, by="user:ann")
    assert {path: path.read_bytes() for path in plain.file.parent.iterdir()} == before
    assert await plain.kinds() == ["shown"]


async def test_line_ends_of_another_system_are_kept_there_and_back(plain: Office) -> None:
    content = PLAIN.replace("\n", "\r\n").encode()
    plain.file.write_bytes(content)
    advice = await plain.offered()
    await plain.desk().accept(advice, by="user:ann")
    assert plain.file.read_bytes().count(b"\n") == plain.file.read_bytes().count(b"\r\n")
    await plain.desk().revert(advice, by="user:ann")
    assert plain.file.read_bytes() == content


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
