from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from functools import cache

import pytest

from inframind.arena.advice.defects import (
    CAP_TOKENS,
    CUT,
    DEFECTS,
    NIGHT,
    ROLE,
    STRATEGY,
    TIRED,
    Planted,
    defect_named,
    hours_overlap,
)
from inframind.arena.advice.relay import LAPS, RELAY
from inframind.arena.advice.season import MIDNIGHT_S, ServedSeason, serve_season
from inframind.errors import ConfigError
from inframind.router.latency_state import LatencyState
from inframind.router.policy_shipped import shipped_policy
from inframind.router.rules import Circumstances, RoutingRule
from inframind.traces.memory import MemoryStore
from inframind.traces.query import TraceQuery
from inframind.traces.records import Trajectory

RUNS = 48


@cache
def served(name: str, cured: bool = False) -> tuple[ServedSeason, list[Trajectory]]:
    return serve(name, (planted(name).cure,) if cured else ())


def serve(name: str, rules: tuple[RoutingRule, ...] = ()) -> tuple[ServedSeason, list[Trajectory]]:
    store = MemoryStore(max_traces=10_000, through_codec=False)
    season = serve_season(defect_named(name), store, seed=1, runs=RUNS, rules=rules)

    return season, asyncio.run(all_of(store))


async def all_of(store: MemoryStore) -> list[Trajectory]:
    return [run async for run in store.iter(TraceQuery(oldest_first=True))]


def planted(name: str) -> Planted:
    found = defect_named(name).planted
    assert found is not None
    return found


def test_a_season_comes_out_the_same_every_time_and_visits_every_hour() -> None:
    one, runs = served("control")
    other, _ = serve("control")
    assert one.success.tolist() == other.success.tolist()
    assert Counter(one.hours.tolist()) == dict.fromkeys(range(24), RUNS // 24)
    arrived = sorted({int((run.arrived_at_s - MIDNIGHT_S) // 3600) for run in runs})
    assert arrived == list(range(24))


def test_a_service_that_goes_on_forecasts_by_what_it_has_learned() -> None:
    def forecast(known: LatencyState | None) -> tuple[float, ...]:
        store = MemoryStore(max_traces=10_000, through_codec=False)
        serve_season(defect_named("truncation"), store, seed=2, runs=24, day=1, known=known)
        return next(
            one for one in asyncio.run(all_of(store))[0].decisions if one.kind == "step"
        ).latency_q90_s

    day_before, _ = served("truncation")
    assert forecast(day_before.latency) != forecast(None)
    assert forecast(shipped_policy().latency) == forecast(None)


def test_where_nothing_forecasts_nothing_is_learned() -> None:
    assert served("night")[0].latency is None
    assert served("control")[0].latency is not None


def test_some_runs_are_labelled_and_all_have_propensities() -> None:
    season, runs = served("control")
    labelled = [run for run in runs if run.solved is not None]
    assert RUNS / 3 < len(labelled) < RUNS
    assert len(season.solved) == RUNS
    assert all(0 < decision.probability <= 1 for run in runs for decision in run.decisions)
    assert any(decision.probability < 1 for run in runs for decision in run.decisions)


def test_a_server_that_cuts_answers_says_so() -> None:
    _, runs = served("truncation")
    cut = [step for run in runs for step in run.steps if step.finish_reason == "length"]
    assert cut
    assert {step.endpoint for step in cut} == {CUT}
    assert {step.completion_tokens for step in cut} == {CAP_TOKENS}


def test_a_slow_server_is_slow_at_night_alone() -> None:
    season, _ = served("night")
    at_night = (season.hours >= NIGHT[0]) | (season.hours < NIGHT[1])
    assert season.on_time[~at_night].mean() > season.on_time[at_night].mean() + 0.3


def test_a_wasteful_topology_makes_more_calls_than_it_says() -> None:
    _, runs = served("waste")
    relays = [run for run in runs if run.topology == RELAY.name and run.status == "ok"]
    assert {len(run.steps) for run in relays} & {LAPS * 2}
    assert RELAY.calls(2) == 2


@pytest.mark.parametrize("name", [name for name in DEFECTS if name != "control"])
def test_the_cure_is_followed_and_helps(name: str) -> None:
    ill, _ = served(name)
    well, runs = served(name, cured=True)
    assert well.success.mean() > ill.success.mean()
    used = {(step.role, step.strategy) for run in runs for step in run.steps}
    if name == "contradiction":
        assert (ROLE, STRATEGY) not in used
    if name == "truncation":
        assert CUT not in {step.model for run in runs for step in run.steps}
    if name == "waste":
        assert RELAY.name not in {run.topology for run in runs}


@pytest.mark.parametrize("name", [name for name in DEFECTS if name != "control"])
def test_a_cure_is_about_what_is_planted_and_another_rule_is_not(name: str) -> None:
    found = planted(name)
    assert found.forbids(found.cure)
    assert not found.forbids(RoutingRule(name="other", avoid_topologies=frozenset({"Debate"})))


def test_hours_name_the_night_when_they_mostly_agree() -> None:
    night = planted("night")
    assert night.is_named_by({"endpoint": TIRED, "hour_utc": "23-6"})
    assert not night.is_named_by({"endpoint": TIRED, "hour_utc": "10-20"})
    assert not night.is_named_by({"endpoint": TIRED})
    assert hours_overlap((22, 6), (22, 2)) == 0.5
    by_day = planted("night").cure.model_copy(update={"when": Circumstances(hours_utc=(8, 20))})
    assert not night.forbids(by_day)


def test_a_strategy_alone_does_not_name_a_contradiction() -> None:
    found = planted("contradiction")
    assert found.is_named_by({"strategy": STRATEGY, "role": ROLE, "domain": "math"})
    assert not found.is_named_by({"strategy": STRATEGY})
    assert not found.forbids(found.cure.model_copy(update={"when": Circumstances()}))


def test_a_world_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="world"):
        defect_named("moonlight")


def test_worlds_can_be_changed_like_any_record() -> None:
    world = replace(defect_named("truncation"), most_tokens={})
    assert all(spec.max_output_tokens is None for spec in world.specs())
