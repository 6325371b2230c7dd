"""What a change did: said with an interval, never without enough runs, and again when more come."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from inframind.plugin.advice.counterparts import compared, with_means
from inframind.plugin.advice.measuring import Measurement, is_news, of_before_and_after
from inframind.plugin.advice.rules import named_rules
from inframind.plugin.commands.advise_words import measured_text
from inframind.traces.advice import AdviceEvent
from inframind.traces.configurations import configuration_of
from inframind.traces.outcome_graph import ConfigurationSummary, RunFigures

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


async def served(office: Office, configuration: str, n: int, *, right: float, **other: Any) -> None:
    for place in range(n):
        office.clock.pass_s(1.0)
        at_s = office.clock.wall_s()
        is_right = int((place + 1) * right) > int(place * right)
        number = next(office.runs)
        await office.store.put(
            run(number, at_s, configuration=configuration, outcomes=verdict(is_right, at_s), **other)
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
    assert (of_before_and_after([(few, many)]) is not None) is is_enough
    assert (of_before_and_after([(many, few)]) is not None) is is_enough


def test_no_difference_is_no_improvement() -> None:
    same = RunFigures(runs=100, labelled=100, success=50)
    found = of_before_and_after([(same, same)])
    assert found is not None
    assert (found.change, found.improved) == (0.0, False)
    assert is_news(found, None) and not is_news(found, found.to_facts())
    assert isinstance(found, Measurement)


# Beside success -------------------------------------------------------------------------------------------


async def test_time_and_cost_are_measured_beside_success_and_kept_with_the_margin(office: Office) -> None:
    office.file.write_text(office.file.read_text() + "\n[advisor]\nmargin = 0.02\n")
    old = await office.configure(version="v1")
    for latency_s, cost in ((4.0, 1.0), (8.0, 3.0)):
        await served(office, old.configuration_id, 20, right=0.5, latency_s=latency_s, cost=cost)
    await office.keep(option(1, NO_LARGE, kind="cheapest"), configuration_id=old.configuration_id)
    office.clock.pass_s(10.0)
    (made,) = await office.desk().recommend()
    await office.desk().accept(made.recommendation_id, by="user:ann")
    new = await office.configure(*named_rules(made), version="v1")
    office.clock.pass_s(10.0)
    for latency_s, cost in ((3.0, 0.5), (12.0, None)):
        await served(office, new.configuration_id, 20, right=0.5, latency_s=latency_s, cost=cost)
    (event,) = await office.desk().tend()
    facts = event.facts
    assert (facts["margin"], facts["change"]) == (0.02, -0.25)  # 12 s is late
    assert {name: facts["on_time"][name] for name in ("before", "after", "change")} == {
        "before": 1.0, "after": 0.5, "change": -0.5,
    }  # fmt: skip
    latency_s, cost = facts["latency_s"], facts["cost"]
    assert (latency_s["before"], latency_s["after"], latency_s["change"]) == (6.0, 7.5, 1.5)
    assert (latency_s["before_runs"], latency_s["after_runs"]) == (40, 40)
    # Welch: sd 2 and 4.5 (times sqrt(40/39)), 40 runs each, 53.8 degrees of freedom: t = 2.0051.
    assert latency_s["high"] - 1.5 == pytest.approx(1.5812, abs=1e-3)
    assert (cost["before"], cost["after"], cost["change"]) == (2.0, 0.5, -1.5)
    assert (cost["before_runs"], cost["after_runs"]) == (40, 20)
    # The new costs do not spread: Student's interval of the old ones, t = 2.0227 at 39 degrees.
    assert cost["low"] + 1.5 == pytest.approx(-2.0227 / 39**0.5, abs=1e-4)


async def test_in_a_canary_the_runs_that_were_dealt_out_are_compared(here: Office) -> None:
    old = await here.configure(version="v1")
    await here.keep(option(1, NO_LARGE), configuration_id=old.configuration_id)
    (made,) = await here.desk().recommend()
    await here.desk().accept(made.recommendation_id, by="user:ann")
    new = await here.configure(*named_rules(made), version="v2")
    candidate = (await here.shelf.rollout()).candidate
    serving: dict[str, Any] = {"configuration": old.configuration_id, "right": 0.5}
    here.clock.pass_s(10.0)
    await here.serve(40, "", "serving", latency_s=9.0, cost=99.0, **serving)  # in the shadow
    here.clock.pass_s(10.0)
    await here.happen(candidate, "canary", 0.5)
    here.clock.pass_s(10.0)
    await here.serve(40, "", "serving", latency_s=4.0, cost=2.0, **serving)
    await here.serve(
        40, candidate, "candidate", right=0.5, configuration=new.configuration_id, latency_s=3.0, cost=1.0
    )
    here.clock.pass_s(70.0)
    (event,) = await here.desk().tend()
    facts = event.facts
    assert (facts["method"], facts["margin"]) == ("canary", 0.01)
    exact = {"before": 4.0, "after": 3.0, "change": -1.0, "low": -1.0, "high": -1.0}
    assert facts["latency_s"] == {**exact, "before_runs": 40, "after_runs": 40}
    assert (facts["cost"]["change"], facts["cost"]["before"]) == (-1.0, 2.0)
    on_time = facts["on_time"]
    assert (on_time["before"], on_time["after"]) == (1.0, 1.0)
    assert on_time["low"] < 0.0 < on_time["high"]
    assert (on_time["before_runs"], on_time["after_runs"]) == (
        80,
        40,
    )  # the gate knows those of the shadow apart


async def test_what_hours_do_in_a_canary_that_grows_is_no_merit_of_the_change(here: Office) -> None:
    old = await here.configure(version="v1")
    await here.keep(option(1, NO_LARGE), configuration_id=old.configuration_id)
    (made,) = await here.desk().recommend()
    await here.desk().accept(made.recommendation_id, by="user:ann")
    new = await here.configure(*named_rules(made), version="v2")
    candidate = (await here.shelf.rollout()).candidate
    for share, runs, latency_s in ((0.05, 10, 8.0), (0.5, 90, 2.0)):  # slow by day, fast by night
        here.clock.pass_s(10.0)
        await here.happen(candidate, "canary", share)
        here.clock.pass_s(10.0)
        others: dict[str, Any] = {
            "configuration": old.configuration_id,
            "right": 0.5,
            "latency_s": latency_s,
            "cost": 2.0,
        }
        await here.serve(100 - runs, "", "serving", **others)
        mine: dict[str, Any] = {
            "configuration": new.configuration_id,
            "right": 0.5,
            "latency_s": latency_s,
            "cost": 1.0,
        }
        await here.serve(runs, candidate, "candidate", **mine)
    here.clock.pass_s(70.0)
    (event,) = await here.desk().tend()
    latency_s, cost = event.facts["latency_s"], event.facts["cost"]
    assert (latency_s["before"], latency_s["after"], latency_s["change"]) == (5.0, 5.0, 0.0)
    assert (cost["change"], cost["before_runs"], cost["after_runs"]) == (-1.0, 100, 100)


async def test_a_trial_whose_runs_name_no_configuration_says_nothing_of_cost(here: Office) -> None:
    await here.desk().accept(await here.offered(), by="user:ann")
    candidate = (await here.shelf.rollout()).candidate
    await here.happen(candidate, "canary", 0.5)
    for version, arm in ((candidate, "candidate"), ("", "serving")):
        await here.serve(40, version, arm, right=0.5, cost=1.0)
    here.clock.pass_s(70.0)
    (event,) = await here.desk().tend()
    assert "on_time" in event.facts and not {"latency_s", "cost"} & {*event.facts}


ADVICE = "a" * 32
FORTY = RunFigures(
    runs=40, on_time=40, labelled=40, success=20, solved=20, priced=40, cost=1.0, latency_s=1.0
)


def summary(unit: str, *, advised: bool) -> ConfigurationSummary:
    rules = [{"name": "r", "avoid_models": ["large"], "advice": ADVICE}] if advised else []
    made = configuration_of({"cost_unit": unit, "rules": rules, "policy": {"name": "p", "version": "1"}})
    return ConfigurationSummary(configuration=made, first_s=0.0, last_s=0.0, figures=FORTY)


def test_costs_in_different_units_are_neither_added_nor_compared() -> None:
    usd = [summary("usd", advised=advised) for advised in (False, True)]
    size = [summary("size", advised=advised) for advised in (False, True)]
    both = compared([usd[0], size[0]], [usd[1], size[1]], ADVICE)
    assert both is not None and both.latency_s is not None and both.cost is None
    assert (both.before_labelled, both.latency_s.before_runs) == (80, 80)
    one = compared([usd[0], size[0]], [usd[1]], ADVICE)
    assert one is not None and one.cost is not None and one.cost.before_runs == 40
    assert with_means(both, [[*usd, size[0]]], ADVICE).cost is not None


# Of several families --------------------------------------------------------------------------------------


def served_by(tool: str, labelled: int, right: int, *, advised: bool) -> ConfigurationSummary:
    rules = [{"name": "r", "avoid_models": ["large"], "advice": ADVICE}] if advised else []
    made = configuration_of({"tools": [tool], "rules": rules, "policy": {"name": "p", "version": "1"}})
    figures = RunFigures(
        runs=labelled, on_time=right, labelled=labelled, success=right, latency_s=100 - 100 * right / labelled
    )
    return ConfigurationSummary(configuration=made, first_s=0.0, last_s=0.0, figures=figures)


def test_a_mix_that_moves_to_what_is_easy_is_no_improvement() -> None:
    """Both become worse, and most runs move from the hard ones to the easy ones."""
    before = [served_by("search", 100, 90, advised=False), served_by("code", 400, 120, advised=False)]
    after = [served_by("search", 400, 352, advised=True), served_by("code", 100, 29, advised=True)]
    found = compared(before, after, ADVICE)
    assert found is not None and found.on_time is not None and found.latency_s is not None
    assert (found.before, found.after, found.change) == pytest.approx((0.6, 0.585, -0.015))
    assert found.low < -0.015 < found.high and not found.improved
    assert (found.on_time.change, found.latency_s.change) == pytest.approx((-0.015, 1.5))
    assert (found.latency_s.before, found.latency_s.after) == pytest.approx((40.0, 41.5))
    assert (found.families, found.left_out, found.before_labelled) == (2, 0, 500)


def test_what_only_served_afterwards_is_held_against_nothing() -> None:
    before = [served_by("search", 100, 90, advised=False)]
    hard = served_by("code", 400, 120, advised=True)
    found = compared(before, [served_by("search", 40, 36, advised=True), hard], ADVICE)
    assert found is not None
    assert (found.before, found.after, found.change) == pytest.approx((0.9, 0.9, 0.0))
    assert (found.families, found.left_out, found.after_labelled) == (1, 1, 40)
    assert compared(before, [served_by("search", 29, 20, advised=True), hard], ADVICE) is None


def test_in_a_trial_families_are_compared_with_their_own_kind_as_well() -> None:
    search, code = (served_by(tool, 50, 25, advised=False) for tool in ("search", "code"))
    found = of_before_and_after([(FORTY, FORTY)])
    assert found is not None
    slow = served_by("code", 90, 9, advised=True)  # 90 s
    quick = served_by("search", 10, 9, advised=True)  # 10 s; 50 s before, both
    latency_s = with_means(found, [[search, code, slow, quick]], ADVICE).latency_s
    assert latency_s is not None
    weights = 50 * 10 / 60, 50 * 90 / 140
    assert latency_s.change == pytest.approx((-40 * weights[0] + 40 * weights[1]) / sum(weights))
    assert latency_s.after - latency_s.before == pytest.approx(latency_s.change)


def test_a_measurement_says_of_how_many_families_it_is() -> None:
    facts = {
        "method": "before and after", "before": 0.5, "after": 0.6, "change": 0.1, "low": 0.02, "high": 0.2,
        "before_labelled": 40, "after_labelled": 50, "families": 2, "left_out": 1,
    }  # fmt: skip
    event = AdviceEvent(recommendation_id="a" * 32, kind="measured", at_s=0.0, by="advisor", facts=facts)
    words = "of 2 families of configurations that served before and after (1 more that served only with it left out)"
    assert words in measured_text(event)
    alone = replace(event, facts={**facts, "families": 1, "left_out": 0})
    assert "famil" not in measured_text(alone)
