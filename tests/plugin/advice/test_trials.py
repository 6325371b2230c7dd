"""Accepted recommendations before the real judge: what is let in, what is rolled back, and what is set aside."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from inframind.fleet.clock import SystemClock
from inframind.plugin.advice.stories import Story
from inframind.plugin.cli import app
from inframind.plugin.commands.doctor_advice import accepted_advice
from inframind.plugin.config import load_settings
from inframind.router.rules import Circumstances
from inframind.traces.advice import Prediction
from inframind.traces.shelf import UNPROVEN, RolloutEvent
from inframind.traces.store import open_store

from .conftest import NO_DEBATE, ONLINE, Office, option, prediction

DAY_S = 86_400.0
SAME = prediction(change=0.0, low=-0.01, high=0.01)
"""That it loses no more than a point is sure, by recorded runs."""
UNKNOWN = prediction(
    change=0.0, low=-0.3, high=0.3, objection="12 decisions in effect, at least 50 are needed"
)
CHEAPER = prediction(metric="cost", before=1.0, change=-0.3, low=-0.35, high=-0.25)
ONLY_MATH = NO_DEBATE.model_copy(update={"when": Circumstances(domains=frozenset({"math"}))})


@pytest.fixture
def careful(here: Office) -> Office:
    """Whose gate asks for more than 600 runs can show by themselves."""
    here.file.write_text(ONLINE.replace("epsilon = 0.1", "epsilon = 0.02\nmost_runs = 600"))
    return here


async def accepted(office: Office, success: Prediction, *rules: Any) -> str:
    await office.keep(option(1, *(rules or (NO_DEBATE,)), kind="cheapest", predictions=(success, CHEAPER)))
    (made,) = await office.desk().recommend()
    await office.desk().accept(made.recommendation_id, by="user:ann")
    return made.recommendation_id


async def tried(office: Office, advice: str, *, right: float, elsewhere: float = 0.0) -> Story:
    """The story when its trial is over: of its runs so many are right, and seven of ten of the others.

    Args:
        office: where.
        advice: its id.
        right: share of its own runs.
        elsewhere: share of runs that are about code.
    """
    learner = office.learner()
    for _ in range(40):
        await learner.once()
        rollout = await office.shelf.rollout()
        if not rollout.candidate:
            break
        for domain, n in (("math", round(60 * (1 - elsewhere))), ("code", round(60 * elsewhere))):
            own = max(round(n * rollout.share), 1 if rollout.share and n else 0)
            share = right if domain == "math" else 0.7
            await office.serve(own, rollout.candidate, "candidate", right=share, domain=domain)
            await office.serve(n - own, rollout.serving, "serving", right=0.7, domain=domain)
        office.clock.pass_s(70.0)
    await office.desk().tend()
    return await office.desk().story(advice)


async def test_what_is_cheaper_and_as_good_is_promoted(careful: Office) -> None:
    advice = await accepted(careful, SAME)
    row = await careful.shelf.policy((await careful.shelf.rollout()).candidate)
    assert row.facts["foretold"] == {"change": 0.0, "low": -0.01, "high": 0.01, "runs": 500}
    story = await tried(careful, advice, right=0.7)
    assert story.standing == "serves"
    promotion = next(event for event in await careful.shelf.events() if event.share == 0.95)
    assert "recorded runs vouch for it, and 660 runs showed no sign of harm" in promotion.reason


async def test_what_was_vouched_for_and_does_harm_is_rolled_back_and_counts_as_refused(
    careful: Office,
) -> None:
    advice = await accepted(careful, SAME)
    story = await tried(careful, advice, right=0.2)
    (event,) = await careful.events("rolled_back")
    assert (story.standing, event.is_unproven) == ("rolled back", False)
    assert "it solves less in time" in event.facts["reason"]
    careful.clock.pass_s(8 * DAY_S)
    await careful.keep(option(2, NO_DEBATE, kind="cheapest", predictions=(SAME, CHEAPER)))
    assert await careful.desk().recommend() == ()
    assert await careful.desk().hidden() == {"rolled back, and its predictions are what they were": 1}


async def test_what_nobody_vouches_for_is_set_aside_and_recommended_again(careful: Office) -> None:
    advice = await accepted(careful, UNKNOWN)
    story = await tried(careful, advice, right=0.7)
    (event,) = await careful.events("rolled_back")
    assert (story.standing, story.is_set_aside, event.is_unproven) == ("set aside", True, True)
    assert story.runs_tried == event.facts["runs"] >= 200

    await careful.keep(option(2, NO_DEBATE, kind="cheapest", predictions=(UNKNOWN, CHEAPER)))
    assert await careful.desk().recommend() == ()
    assert await careful.desk().hidden() == {"set aside not long ago": 1}
    careful.clock.pass_s(8 * DAY_S)
    await careful.keep(option(3, NO_DEBATE, kind="cheapest", predictions=(UNKNOWN, CHEAPER)))
    (again,) = await careful.desk().recommend()
    await careful.desk().accept(again.recommendation_id, by="user:ann")
    assert (await careful.desk().story(again.recommendation_id)).standing == "on trial"


async def test_what_was_set_aside_and_is_vouched_for_since_comes_back_at_once(careful: Office) -> None:
    await tried(careful, await accepted(careful, UNKNOWN), right=0.7)
    advice = await accepted(careful, SAME)
    assert (await tried(careful, advice, right=0.7)).standing == "serves"


async def test_taking_what_was_set_aside_out_of_the_file_is_no_rejection(careful: Office) -> None:
    advice = await accepted(careful, UNKNOWN)
    await tried(careful, advice, right=0.7)
    await careful.desk().revert(advice, by="user:ann")
    assert load_settings(careful.file).rules == ()
    careful.clock.pass_s(8 * DAY_S)
    await careful.keep(option(2, NO_DEBATE, kind="cheapest", predictions=(UNKNOWN, CHEAPER)))
    assert len(await careful.desk().recommend()) == 1


async def test_a_rule_for_a_domain_is_judged_by_its_questions(careful: Office) -> None:
    advice = await accepted(careful, UNKNOWN, ONLY_MATH)
    row = await careful.shelf.policy((await careful.shelf.rollout()).candidate)
    assert row.facts["concerns"] == [{"domains": ["math"]}]
    story = await tried(careful, advice, right=0.95, elsewhere=0.5)
    assert story.standing == "serves"
    promotion = next(event for event in await careful.shelf.events() if event.share == 0.95)
    assert promotion.figures["concerned"] == promotion.figures["n"] / 2


async def test_what_was_tried_beside_what_was_rolled_back_is_tried_anew(careful: Office) -> None:
    first = await accepted(careful, SAME)
    await careful.happen((await careful.shelf.rollout()).candidate, "full", 1.0)
    second = await accepted(careful, SAME, ONLY_MATH)
    serving = (await careful.shelf.rollout()).serving
    await careful.happen(serving, "rolled_back", by="gate")
    await careful.desk().tend()
    assert (await careful.desk().story(first)).standing == "rolled back"
    assert (await careful.desk().story(second)).standing == "on trial"
    assert (await careful.shelf.policy((await careful.shelf.rollout()).candidate)).parent == ""


# Told ------------------------------------------------------------------------------------------------------


async def _set_aside(file: Path) -> str:
    """The id of a recommendation that was set aside after 5,000 runs."""
    async with open_store(load_settings(file).traces.url) as store:
        office = Office(file=file, store=store)
        office.clock.at_s = SystemClock().wall_s() - 60.0
        advice = await accepted(office, UNKNOWN)
        rollout = await office.shelf.rollout()
        ended = RolloutEvent(
            at_s=office.clock.wall_s(), version=rollout.candidate, stage="rolled_back", by="gate",
            reason="not enough evidence after 5000 runs", figures={"n": 5000.0, UNPROVEN: 1.0},
        )  # fmt: skip
        await office.shelf.append(ended, after=rollout.number)
        await office.desk().tend()
        return advice


def test_people_read_that_it_was_set_aside_and_why(tmp_path: Path) -> None:
    file = tmp_path / "inframind.toml"
    file.write_text(ONLINE)
    advice = asyncio.run(_set_aside(file))
    for words in (["list"], ["show", advice]):
        done = CliRunner().invoke(app, ["advise", *words, "--config", str(file)])
        said = " ".join(done.output.split())
        assert "set aside: not enough evidence in 5,000 runs" in said
        assert "rolled back" not in said
        assert "rejected" not in said
    (finding,) = asyncio.run(accepted_advice(load_settings(file), SystemClock()))
    assert finding.level == "warn"
    assert "set aside, not enough evidence in 5,000 runs; its rules in the file do nothing" in finding.found
    assert f"advise revert {advice[:12]}" in finding.fix
