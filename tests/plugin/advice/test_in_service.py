"""Accepted recommendations on their way through the gate, in a store of each kind, with the learner that tends them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from inframind.advisor.recommending import Ranking, RankingConfig
from inframind.errors import RolloutMoved
from inframind.plugin.advice.stories import Stories
from inframind.plugin.advice.toml_edit import with_rules
from inframind.plugin.config import load_settings
from inframind.plugin.online.learner_state import LearnerState
from inframind.plugin.online.learning import LEARNER
from inframind.plugin.online.publishing import with_own
from inframind.router.guards.freezing import freeze, thaw
from inframind.router.policy_shelf import content_of, policy_of, version_of
from inframind.router.policy_shipped import shipped_policy

from .conftest import NO_DEBATE, NO_LARGE, Office, option


async def rules_of(office: Office, version: str) -> list[str]:
    """Advice in a version."""
    row = await office.shelf.policy(version)
    return [rule.advice for rule in policy_of(row, await office.shelf.policy_content(version)).rules]


async def until_it_ends(office: Office, *, better: bool) -> None:
    """Runs of both arms, and rounds of the learner, until nothing is tried any more."""
    learner = office.learner()
    for _ in range(40):
        await learner.once()
        rollout = await office.shelf.rollout()
        if not rollout.candidate:
            return
        tried = max(round(60 * rollout.share), 1 if rollout.share else 0)
        good, bad = (0.9, 0.4) if better else (0.4, 0.9)
        await office.serve(tried, rollout.candidate, "candidate", right=good)
        await office.serve(60 - tried, rollout.serving, "serving", right=bad)
        office.clock.pass_s(70.0)
    raise AssertionError("the gate never came to an end")


async def test_what_is_accepted_is_tried_promoted_measured_and_learned_from(online: Office) -> None:
    advice = await online.offered()
    await online.desk().accept(advice, by="user:ann")
    rollout = await online.shelf.rollout()
    assert (rollout.stage, rollout.serving) == ("shadow", "")
    assert await rules_of(online, rollout.candidate) == [advice]
    row = await online.shelf.policy(rollout.candidate)
    assert (row.created_by, row.parent, row.facts["advice"]) == ("advisor", "", advice)
    assert await online.kinds() == ["shown", "accepted", "proposed"]

    await until_it_ends(online, better=True)
    online.clock.pass_s(70.0)
    await online.learner().once()
    story = await online.desk().story(advice)
    assert [event.kind for event in story.events if event.kind != "measured"] == [
        "shown",
        "accepted",
        "proposed",
        "promoted",
    ]
    assert (await online.shelf.rollout()).serving == rollout.candidate
    measured = story.event("measured")
    assert measured is not None
    facts = measured.facts
    assert (facts["method"], facts["improved"]) == ("canary", True)
    assert facts["low"] < 0.5 < facts["high"]
    assert facts["before"] == pytest.approx(0.4, abs=0.05) and facts["after"] == pytest.approx(0.9, abs=0.05)

    ranking = Ranking(RankingConfig())
    await Stories(online.graph, ranking).read()
    (fate,) = ranking.history.decided()
    lesson = ranking.history.lesson(fate)
    assert lesson is not None
    assert (lesson.verdict, lesson.improved) == ("accepted", True)
    assert lesson.reliability_change == facts["change"]


async def test_what_does_harm_is_rolled_back_and_lies_in_the_file_without_effect(here: Office) -> None:
    advice = await here.offered()
    await here.desk().accept(advice, by="user:ann")
    await until_it_ends(here, better=False)
    await here.desk().tend()
    story = await here.desk().story(advice)
    assert (story.standing, (await here.shelf.rollout()).serving) == ("rolled back", "")
    measured = story.event("measured")
    assert measured is not None
    assert (measured.facts["high"] < 0.0, measured.facts["improved"]) == (True, False)
    (event,) = await here.events("rolled_back")
    assert event.by == "gate"
    settings = load_settings(here.file)
    assert ([rule.advice for rule in settings.rules], settings.own_rules()) == ([advice], ())
    assert await here.desk().tend() == []  # it is not proposed again
    await here.desk().revert(advice, by="user:ann")
    assert load_settings(here.file).rules == ()


async def test_two_that_are_accepted_are_tried_one_after_the_other_and_the_second_has_both(
    here: Office,
) -> None:
    await here.keep(option(1, NO_LARGE), option(2, NO_DEBATE, kind="cheapest"))
    first, second = [one.recommendation_id for one in await here.desk().recommend()]
    for advice in (first, second):
        await here.desk().accept(advice, by="user:ann")
    tried = (await here.shelf.rollout()).candidate
    assert await rules_of(here, tried) == [first]
    assert (await here.desk().story(second)).standing == "accepted"
    await here.happen(tried, "full", 1.0)
    assert [event.kind for event in await here.desk().tend()] == ["promoted", "proposed"]
    rollout = await here.shelf.rollout()
    assert await rules_of(here, rollout.candidate) == [first, second]


async def test_while_frozen_it_waits(here: Office) -> None:
    rollout = await here.shelf.rollout()
    now_s = here.clock.wall_s()
    await here.shelf.append(freeze(rollout, at_s=now_s, by="user:ann", reason="a holiday"), after=0)
    advice = await here.offered()
    await here.desk().accept(advice, by="user:ann")
    assert (await here.shelf.rollout()).candidate == ""
    rollout = await here.shelf.rollout()
    await here.shelf.append(thaw(rollout, at_s=now_s, by="user:ann", reason="back"), after=rollout.number)
    assert [event.kind for event in await here.desk().tend()] == ["proposed"]


async def test_what_another_version_was_promoted_over_has_come_to_its_end(here: Office) -> None:
    advice = await here.offered()
    await here.desk().accept(advice, by="user:ann")
    other = await by_hand(here, "another")
    await here.happen(other, "full", 1.0)
    (event,) = await here.desk().tend()
    assert (event.kind, event.by) == ("rolled_back", "user:ann")


# Taken back ------------------------------------------------------------------------------------------------


async def test_taking_back_what_serves_serves_without_it_at_once(online: Office) -> None:
    await online.keep(option(1, NO_LARGE), option(2, NO_DEBATE, kind="cheapest"))
    first, second = [one.recommendation_id for one in await online.desk().recommend()]
    for advice in (first, second):
        await online.desk().accept(advice, by="user:ann")
        await online.happen((await online.shelf.rollout()).candidate, "full", 1.0)
        await online.desk().tend()
    await online.desk().revert(first, by="user:ann")
    rollout = await online.shelf.rollout()
    assert (await rules_of(online, rollout.serving), rollout.candidate) == ([second], "")
    assert [rule.advice for rule in load_settings(online.file).rules] == [second]
    assert await online.desk().tend() == []


async def test_taking_back_what_is_tried_ends_the_trial_even_while_frozen(here: Office) -> None:
    advice = await here.offered()
    await here.desk().accept(advice, by="user:ann")
    rollout = await here.shelf.rollout()
    event = freeze(rollout, at_s=here.clock.wall_s(), by="user:ann", reason="a holiday")
    await here.shelf.append(event, after=rollout.number)
    await here.desk().revert(advice, by="user:ann")
    rollout = await here.shelf.rollout()
    assert (rollout.candidate, rollout.serving, rollout.frozen) == ("", "", True)
    assert await here.kinds() == ["shown", "accepted", "proposed", "reverted", "rolled_back"]


async def test_a_version_with_rules_that_were_taken_back_does_not_serve_for_long(here: Office) -> None:
    advice = await here.offered()
    await here.desk().accept(advice, by="user:ann")
    version = (await here.shelf.rollout()).candidate
    await here.desk().revert(advice, by="user:ann")
    await here.happen(version, "full", 1.0, by="user:bob")
    await here.desk().tend()
    assert await rules_of(here, (await here.shelf.rollout()).serving) == []


# Interrupted -----------------------------------------------------------------------------------------------


class _Dies:
    """The graph or the shelf, of which one method ends the process, before or after it has done its work."""

    def __init__(self, inner: Any, method: str, *, after: bool) -> None:
        self._inner, self._method, self._after = inner, method, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        return self._dying(method) if name == self._method else method

    def _dying(self, method: Any) -> Any:
        async def die(*args: Any, **named: Any) -> Any:
            if getattr(args[0], "kind", "") == "accepted":
                return await method(*args, **named)
            if self._after:
                await method(*args, **named)
            raise KeyboardInterrupt

        return die


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("method", ["add_policy", "append", "add_event"])
async def test_a_process_that_dies_on_the_way_into_service_leaves_nothing_undone(
    online: Office, method: str, after: bool
) -> None:
    advice = await online.offered()
    part, inner = ("graph", online.graph) if method == "add_event" else ("shelf", online.shelf)
    with pytest.raises(KeyboardInterrupt):
        await online.desk(**{part: _Dies(inner, method, after=after)}).accept(advice, by="user:ann")
    await online.desk().tend()
    assert await online.kinds() == ["shown", "accepted", "proposed"]
    rollout = await online.shelf.rollout()
    assert await rules_of(online, rollout.candidate) == [advice]
    assert rollout.number == 1


async def test_two_processes_that_tend_at_once_do_everything_once(online: Office) -> None:
    advice = await online.offered()
    edit = with_rules(
        online.file, [NO_LARGE.model_copy(update={"advice": advice}).to_plain()], advice=advice, title="t"
    )
    online.file.write_text(edit.after)
    desks = [online.desk(), online.desk()]
    for desk in desks:
        await desk.stories()
    for desk in desks:
        await desk.tend()
    assert await online.kinds() == ["shown", "accepted", "proposed"]
    assert (await online.shelf.rollout()).number == 1


async def test_a_rollout_that_moves_meanwhile_is_looked_at_again(here: Office) -> None:
    advice = await here.offered()
    moved = []

    class Moving:
        """The shelf, on which somebody else is faster once."""

        def __getattr__(self, name: str) -> Any:
            return getattr(here.shelf, name)

        async def append(self, event: Any, *, after: int) -> Any:
            if not moved:
                moved.append(True)
                raise RolloutMoved(after, after + 1)
            return await here.shelf.append(event, after=after)

    await here.desk(shelf=Moving()).accept(advice, by="user:ann")
    assert (await here.desk().story(advice)).standing == "on trial"


# Learning beside it ----------------------------------------------------------------------------------------


async def by_hand(office: Office, name: str) -> str:
    content = content_of(replace(shipped_policy(), facts={"name": name}))
    row = version_of(content, created_at_s=0.0, created_by="user:ann", facts={})
    return (await office.shelf.add_policy(row, content)).version


async def test_the_learner_goes_on_from_versions_that_differ_by_rules_alone(here: Office) -> None:
    base = await by_hand(here, "base")
    await here.happen(base, "full", 1.0)
    await here.keep(option(1, NO_LARGE), option(2, NO_DEBATE, kind="cheapest"))
    for made in await here.desk().recommend():
        await here.desk().accept(made.recommendation_id, by="user:ann")
        await here.happen((await here.shelf.rollout()).candidate, "full", 1.0)
        await here.desk().tend()
    state = LearnerState(learner=b"", base=base)
    rollout = await here.shelf.rollout()
    assert (await with_own(here.shelf, state, rollout)).lineage == (base, rollout.serving)
    stranger = LearnerState(learner=b"", base="f" * 64)
    assert (await with_own(here.shelf, stranger, rollout)).lineage == ("f" * 64,)


async def test_the_learner_does_not_begin_anew_when_rules_come_into_service(here: Office) -> None:
    await here.serve(8, "", "serving", right=0.5)
    here.clock.pass_s(10.0)
    await here.learner().once()
    before = await here.shelf.progress(LEARNER)
    advice = await here.offered()
    await here.desk().accept(advice, by="user:ann")
    await here.happen((await here.shelf.rollout()).candidate, "full", 1.0)
    await here.serve(8, "", "serving", right=0.5)
    here.clock.pass_s(10.0)
    await here.learner().once()
    after = await here.shelf.progress(LEARNER)
    assert before is not None and after is not None
    first, then = LearnerState.from_bytes(before.state), LearnerState.from_bytes(after.state)
    assert (first.labelled, then.labelled, then.fresh, then.base) == (8, 16, 16, "")


# Of two, one is taken back ---------------------------------------------------------------------------------


@pytest.mark.parametrize("frozen", [False, True])
async def test_what_is_tried_on_top_of_what_is_taken_back_is_tried_anew_without_it(
    here: Office, frozen: bool
) -> None:
    await here.keep(option(1, NO_LARGE), option(2, NO_DEBATE, kind="cheapest"))
    first, second = [one.recommendation_id for one in await here.desk().recommend()]
    await here.desk().accept(first, by="user:ann")
    await here.happen((await here.shelf.rollout()).candidate, "full", 1.0)
    await here.desk().accept(second, by="user:ann")
    both = (await here.shelf.rollout()).candidate
    assert await rules_of(here, both) == [first, second]
    rollout = await here.shelf.rollout()
    now_s = here.clock.wall_s()
    if frozen:
        event = freeze(rollout, at_s=now_s, by="user:ann", reason="a holiday")
        await here.shelf.append(event, after=rollout.number)
    await here.desk().revert(first, by="user:ann")
    if frozen:
        rollout = await here.shelf.rollout()
        assert (rollout.candidate, (await here.desk().story(second)).has("rolled_back")) == ("", False)
        event = thaw(rollout, at_s=now_s, by="user:ann", reason="back")
        await here.shelf.append(event, after=rollout.number)
        await here.desk().tend()
    rollout = await here.shelf.rollout()
    assert await rules_of(here, rollout.serving) == []
    assert await rules_of(here, rollout.candidate) == [second]
    assert (await here.desk().story(second)).standing == "on trial"
    await here.happen(rollout.candidate, "full", 1.0)
    await here.desk().tend()
    story = await here.desk().story(second)
    promoted = story.event("promoted")
    assert (story.standing, story.has("rolled_back")) == ("serves", False)
    assert promoted is not None and promoted.facts["version"] == rollout.candidate


async def test_what_a_person_no_longer_has_in_service_does_not_stand_as_if_it_served(here: Office) -> None:
    base = await by_hand(here, "base")
    await here.happen(base, "full", 1.0)
    advice = await here.offered()
    await here.desk().accept(advice, by="user:ann")
    await here.happen((await here.shelf.rollout()).candidate, "full", 1.0)
    await here.desk().tend()
    await here.happen(base, "full", 1.0, by="user:bob")
    await here.desk().tend()
    (event,) = await here.events("rolled_back")
    assert (event.by, (await here.desk().story(advice)).standing) == ("user:bob", "rolled back")
