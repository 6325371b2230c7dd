"""What a change did to reliability: said with an interval, never without enough runs, and again when more come."""

from __future__ import annotations

import pytest

from inframind.plugin.advice.measuring import Measurement, is_news, of_before_and_after
from inframind.plugin.advice.rules import named_rules
from inframind.traces.outcome_graph import RunFigures

from .conftest import NO_DEBATE, NO_LARGE, Office, option, run, verdict


async def accepted(office: Office) -> tuple[str, str]:
    """Ids of a recommendation that was accepted after 40 runs of which half were right, and of what serves since."""
    old = await office.configure(NO_DEBATE, version="v1")
    await served(office, old.configuration_id, 40, right=0.5)
    await office.keep(option(1, NO_LARGE), configuration_id=old.configuration_id)
    office.clock.pass_s(10.0)
    (made,) = await office.desk().recommend()
    await office.desk().accept(made.recommendation_id, by="user:ann")
    new = await office.configure(NO_DEBATE, *named_rules(made), version="v1")
    office.clock.pass_s(10.0)
    return made.recommendation_id, new.configuration_id


async def served(office: Office, configuration: str, n: int, *, right: float) -> None:
    for place in range(n):
        office.clock.pass_s(1.0)
        at_s = office.clock.wall_s()
        is_right = int((place + 1) * right) > int(place * right)
        number = next(office.runs)
        await office.store.put(
            run(number, at_s, configuration=configuration, outcomes=verdict(is_right, at_s))
        )


async def test_without_a_rollout_runs_before_and_after_are_compared_by_configuration(office: Office) -> None:
    advice, new = await accepted(office)
    assert await office.desk().tend() == []  # nothing to compare yet
    await served(office, new, 20, right=0.9)
    assert await office.desk().tend() == []
    await served(office, new, 20, right=0.9)
    other = await office.configure(version="v7")  # of another family
    await served(office, other.configuration_id, 100, right=0.0)
    (event,) = await office.desk().tend()
    assert (event.kind, event.recommendation_id, event.by) == ("measured", advice, "advisor")
    facts = dict(event.facts)
    assert (facts["method"], facts["before_labelled"], facts["after_labelled"]) == (
        "before and after",
        40,
        40,
    )
    assert (facts["before"], facts["after"]) == (0.5, 0.9)
    assert facts["change"] == pytest.approx(0.4)
    assert (facts["improved"], facts["low"] > 0.2, facts["high"] < 0.6) == (True, True, True)


async def test_what_was_changed_beside_it_is_not_its_merit(plain: Office) -> None:
    old = await plain.configure(version="v1")
    await served(plain, old.configuration_id, 40, right=0.2)
    await plain.keep(option(1, NO_LARGE), configuration_id=old.configuration_id)
    (made,) = await plain.desk().recommend()
    between = await plain.configure(NO_DEBATE, version="v1")  # somebody's own rule, before it was accepted
    await served(plain, between.configuration_id, 40, right=0.8)
    plain.clock.pass_s(1.0)
    await plain.desk().accept(made.recommendation_id, by="user:ann")
    new = await plain.configure(NO_DEBATE, *named_rules(made), version="v1")
    await served(plain, new.configuration_id, 40, right=0.8)
    (event,) = await plain.desk().tend()
    assert (event.facts["before"], event.facts["change"], event.facts["improved"]) == (0.8, 0.0, False)
    assert event.facts["together_with"] == []


async def test_where_other_settings_changed_with_it_nothing_can_be_said(plain: Office) -> None:
    old = await plain.configure(version="v1")
    await served(plain, old.configuration_id, 40, right=0.2)
    await plain.keep(option(1, NO_LARGE), configuration_id=old.configuration_id)
    (made,) = await plain.desk().recommend()
    await plain.desk().accept(made.recommendation_id, by="user:ann")
    new = await plain.configure(*named_rules(made), version="v1", exploration=0.3)
    await served(plain, new.configuration_id, 40, right=0.9)
    assert await plain.desk().tend() == []


async def test_of_two_that_came_into_effect_at_once_each_says_that_it_was_not_alone(plain: Office) -> None:
    old = await plain.configure(version="v1")
    await served(plain, old.configuration_id, 40, right=0.2)
    two = option(1, NO_LARGE), option(2, NO_DEBATE, kind="cheapest")
    await plain.keep(*two, configuration_id=old.configuration_id)
    first, second = await plain.desk().recommend()
    for made in (first, second):
        await plain.desk().accept(made.recommendation_id, by="user:ann")
    new = await plain.configure(*named_rules(first), *named_rules(second), version="v1")
    await served(plain, new.configuration_id, 40, right=0.8)
    events = await plain.desk().tend()
    assert {event.recommendation_id: event.facts["together_with"] for event in events} == {
        first.recommendation_id: [second.recommendation_id],
        second.recommendation_id: [first.recommendation_id],
    }


async def test_it_is_measured_again_when_half_as_many_more_came_and_never_after_it_was_taken_back(
    plain: Office,
) -> None:
    advice, new = await accepted(plain)
    await served(plain, new, 40, right=0.9)
    assert len(await plain.desk().tend()) == 1
    await served(plain, new, 19, right=0.0)
    assert await plain.desk().tend() == []
    await served(plain, new, 1, right=0.0)
    (again,) = await plain.desk().tend()
    assert (again.facts["after_labelled"], again.facts["after"]) == (60, pytest.approx(0.6))
    await plain.desk().revert(advice, by="user:ann")
    await served(plain, new, 60, right=0.0)
    assert await plain.desk().tend() == []


async def test_a_process_looks_at_the_same_recommendation_once_a_minute(plain: Office) -> None:
    _, new = await accepted(plain)
    desk = plain.desk()
    await desk.tend()
    await served(plain, new, 40, right=0.9)
    plain.clock.at_s -= 40.0  # so little time has passed
    assert await desk.tend() == []
    plain.clock.pass_s(60.0)
    assert [event.kind for event in await desk.tend()] == ["measured"]


async def test_long_after_it_was_accepted_nothing_is_measured_any_more(plain: Office) -> None:
    _, new = await accepted(plain)
    await served(plain, new, 40, right=0.9)
    plain.clock.pass_s(31 * 86_400.0)
    assert await plain.desk().tend() == []


@pytest.mark.parametrize(("labelled", "is_enough"), [(29, False), (30, True)])
def test_too_few_labelled_runs_say_nothing(labelled: int, is_enough: bool) -> None:
    few = RunFigures(runs=100, labelled=labelled, success=10)
    many = RunFigures(runs=100, labelled=100, success=50)
    assert (of_before_and_after(few, many) is not None) is is_enough
    assert (of_before_and_after(many, few) is not None) is is_enough


def test_no_difference_is_no_improvement() -> None:
    same = RunFigures(runs=100, labelled=100, success=50)
    found = of_before_and_after(same, same)
    assert found is not None
    assert (found.change, found.improved) == (0.0, False)
    assert is_news(found, None) and not is_news(found, found.to_facts())
    assert isinstance(found, Measurement)
