"""`mind.advice`: from an application's own runs to a rule in its file, and what the learner makes of it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inframind.errors import AdviceMoved, ConfigError
from inframind.plugin.advice.assembly import advice_desk
from inframind.plugin.advice.desk import AdviceDesk
from inframind.plugin.advice.tender import AdviceTender
from inframind.plugin.config import load_settings, settings_from
from inframind.plugin.mind import InfraMind
from inframind.plugin.online.assembly import learner_service
from inframind.plugin.online.learning import LearnerService
from inframind.router.policy_shelf import content_of, policy_of, version_of
from inframind.router.policy_shipped import shipped_policy
from inframind.router.rules import RoutingRule
from inframind.traces.outcome_graphs import graph_of
from inframind.traces.shelf import RolloutEvent
from inframind.traces.store import open_store

from .conftest import NO_DEBATE, NO_LARGE, PLAIN, HandClock, Office, option

SETTINGS = {"policy": {"name": "learned", "exploration": 0.5, "seed": 1}}
M1_IS_OUT = RoutingRule(name="no m1", avoid_models=frozenset({"m1"}))


async def answer(mind: InfraMind, questions: int) -> None:
    """Runs, each graded by whether it says that it is right."""
    for number in range(questions):
        result = await mind.ainvoke(f"question {number}", topology="IO", team_size=1)
        await mind.afeedback(result.trace_id, solved=result.answer == "right")


def learning_beside(
    mind: InfraMind, *, publish_every: int, batch: int
) -> tuple[Office, AdviceDesk, LearnerService]:
    """A desk without a file and a learner, at a mind's store, as if ``[online]`` were enabled there."""
    online = {
        "enabled": True, "learner": "in-process", "publish_every": publish_every, "batch": batch,
        "gate": {"settle_s": 0.001, "alarm_s": 0.001},
    }  # fmt: skip
    values = {**mind.settings.model_dump(), "online": online, "traces": {"url": "memory:"}}
    settings, clock, actions = settings_from(values), HandClock(), mind.calls.services.decider.actions
    desk = advice_desk(settings, mind.store, clock=clock, rng=np.random.default_rng(0), actions=actions)
    learner = learner_service(settings, mind.store, actions, holder="a test", clock=clock)
    return Office(file=Path("none"), store=mind.store, clock=clock), desk, learner


@pytest.fixture
async def mind(make_mind: Any, say: Any) -> InfraMind:
    """Of two models, of which the second is always wrong."""
    store = open_store("memory:")
    made: InfraMind = await make_mind(
        say(lambda asked: "right"), say(lambda asked: "wrong"), settings=SETTINGS, store=store
    )
    return made


async def test_what_always_fails_is_found_in_an_applications_own_runs_and_a_way_out_is_recommended(
    mind: InfraMind,
) -> None:
    await answer(mind, 120)
    analysis = await mind.advice.aanalyse()
    assert (analysis.runs, analysis.labelled) == (120, 120)
    assert analysis.configuration_id
    assert any(name in analysis.clusters[0].label for name in ("m1", "e1"))  # all that m1 has
    best, *_ = await mind.advice.arecommend(segment="quality")
    assert "m1" in best.title and best.evidence
    assert best.configuration_id == analysis.configuration_id
    with pytest.raises(ConfigError, match="without \\[online\\]"):
        await mind.advice.aaccept(best.recommendation_id)
    assert (await mind.advice.areject(best.recommendation_id, by="user:ann")).standing == "rejected"
    assert [story.standing for story in await mind.advice.astories()].count("rejected") == 1


async def test_minds_of_one_seed_name_their_recommendations_alike_and_their_runs_otherwise(
    make_mind: Any, say: Any
) -> None:
    named, ran = [], []
    for _ in range(2):
        store = open_store("memory:")
        made: InfraMind = await make_mind(say(lambda asked: "right"), settings=SETTINGS, store=store)
        ran.append((await made.ainvoke("a question", topology="IO", team_size=1)).trace_id)
        await Office(file=Path("none"), store=store).keep(option(1, M1_IS_OUT))
        named.append([one.recommendation_id for one in await made.advice.arecommend()])
    assert named[0] == named[1]
    assert ran[0] == ran[1] != named[0][0]


def test_without_an_event_loop_and_with_a_file_it_is_the_same(tmp_path: Path) -> None:
    file = tmp_path / "inframind.toml"
    file.write_text('[[endpoints]]\nname = "e"\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "m1"\n')
    with InfraMind.from_config(file) as mind:
        assert (mind.advice.recommend(), mind.advice.stories(), mind.advice.tend()) == ((), (), [])
        analysis = mind.advice.analyse(last=10)
        assert (analysis.runs, analysis.options) == (0, ())
        assert mind.advice.file == file


def test_what_a_service_asks_for_at_each_visit_is_kept_once(tmp_path: Path) -> None:
    file = tmp_path / "inframind.toml"
    file.write_text(PLAIN + '\n[traces]\nurl = "sqlite:///traces.db"\n')
    with InfraMind.from_config(file) as mind:
        assert (mind.advice.analysis(), mind.advice.shown()) == (None, ())
        office = Office(file=file, store=mind.store, clock=HandClock())
        analysis = asyncio.run(office.keep(option(1, NO_LARGE), option(2, NO_DEBATE, kind="cheapest")))
        assert mind.advice.analysis() == analysis
        first, *others = (mind.advice.recommend(segment="cost") for _ in range(5))
        assert all(one == first for one in others)
        assert [story.recommendation for story in mind.advice.shown(segment="cost")] == list(first)
        assert mind.advice.shown() == ()
        assert len(mind.advice.stories()) == 2
        mind.advice.reject(first[0].recommendation_id)
        assert mind.advice.recommend(segment="cost") == first[1:]
        assert len(mind.advice.recommend(segment="cost", domain="math")) == 1
        assert len(mind.advice.stories()) == 3
        for none in (0, -1):
            with pytest.raises(ConfigError, match="ask for at least 1"):
                mind.advice.recommend(most=none)


def test_of_many_threads_that_accept_at_once_one_does(tmp_path: Path) -> None:
    file = tmp_path / "inframind.toml"
    file.write_text(PLAIN + '\n[traces]\nurl = "sqlite:///traces.db"\n')
    with InfraMind.from_config(file) as mind:
        asyncio.run(Office(file=file, store=mind.store, clock=HandClock()).keep(option(1, NO_LARGE)))
        (made,) = mind.advice.recommend()

        def accept(name: str) -> bool:
            try:
                mind.advice.accept(made.recommendation_id, by=name)
            except AdviceMoved:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(accept, "abcd")) == [False, False, False, True]
    assert [rule.advice for rule in load_settings(file).rules] == [made.recommendation_id]


async def test_what_the_learner_publishes_has_the_rules_of_what_serves(
    make_mind: Any, say: Any, mind: InfraMind
) -> None:
    office, desk, learner = learning_beside(mind, publish_every=10, batch=8)
    clock, shelf = office.clock, office.shelf
    await office.keep(option(1, M1_IS_OUT))
    (made,) = await desk.recommend()
    await desk.accept(made.recommendation_id, by="user:ann")
    version = (await shelf.rollout()).candidate
    event = RolloutEvent(at_s=clock.wall_s(), version=version, stage="full", by="user:ann", reason="a test")
    await shelf.append(event, after=1)
    await answer(mind, 24)
    await learner.once()
    candidate = (await shelf.rollout()).candidate
    row = await shelf.policy(candidate)
    assert (row.created_by, row.parent) == ("learner", version)
    rules = policy_of(row, await shelf.policy_content(candidate)).rules
    assert [(rule.advice, rule.avoid_models) for rule in rules] == [(made.recommendation_id, {"m1"})]


async def test_what_a_person_accepted_is_tried_before_what_was_learned_meanwhile(mind: InfraMind) -> None:
    office, desk, learner = learning_beside(mind, publish_every=4, batch=4)
    clock, shelf = office.clock, office.shelf
    content = content_of(shipped_policy())
    row = version_of(content, created_at_s=0.0, created_by="user:ann", facts={})
    other = (await shelf.add_policy(row, content)).version
    await office.happen(other, "shadow")
    await office.keep(option(1, M1_IS_OUT))
    (made,) = await desk.recommend()
    await desk.accept(made.recommendation_id, by="user:ann")
    await learner.once()
    await answer(mind, 16)
    await office.happen(other, "rolled_back")
    clock.pass_s(10.0)
    await learner.once()
    candidate = (await shelf.rollout()).candidate
    row = await shelf.policy(candidate)
    assert (row.created_by, row.facts.get("advice")) == ("advisor", made.recommendation_id)


async def test_whoever_tends_analyses_when_the_latest_analysis_is_too_old(here: Office) -> None:
    desk, graph = here.desk(), graph_of(here.store)
    tender = AdviceTender(desk, here.clock, analyse_every_s=100.0)
    numbers = []
    for passed_s in (0.0, 50.0, 60.0):
        here.clock.pass_s(passed_s)
        tender.tend()
        await tender.finish()
        latest = await graph.latest_analysis()
        numbers.append(latest.number if latest else 0)
    assert numbers == [1, 1, 2]


async def test_an_analysis_is_about_what_serves_not_about_what_is_tried(here: Office) -> None:
    serving, tried = await here.configure(), await here.configure(NO_LARGE)
    await here.offered()
    await here.desk().accept((await here.desk().stories())[0].recommendation.recommendation_id, by="user:ann")
    candidate = (await here.shelf.rollout()).candidate
    await here.happen(candidate, "canary", 0.5)
    await here.serve(30, "", "serving", right=0.5, configuration=serving.configuration_id)
    await here.serve(30, candidate, "candidate", right=0.5, configuration=tried.configuration_id)
    assert (await here.desk().analyse()).configuration_id == serving.configuration_id


@pytest.mark.parametrize(
    ("section", "field"),
    [
        ("analyse_every_s = 5.0", "advisor.analyse_every_s"),
        ("resumed_at = 2026-01-31T09:00:00Z", "advisor.resumed_at"),
        ("most = 0", "advisor.most"),
        ('segments = "some"', "advisor.segments"),
        ("spam = 1", "advisor.spam"),
    ],
)
def test_settings_that_mean_nothing_are_refused(tmp_path: Path, section: str, field: str) -> None:
    file = tmp_path / "inframind.toml"
    file.write_text(
        f'[[endpoints]]\nname = "e"\nbase_url = "http://gpu/v1"\nmodel = "m"\n[advisor]\n{section}\n'
    )
    with pytest.raises(ConfigError) as caught:
        load_settings(file)
    assert caught.value.field == field
