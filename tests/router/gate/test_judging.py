"""What becomes of a candidate, from the shadow to all runs, and back from anywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inframind.errors import ConfigError
from inframind.router.confidence import Interval
from inframind.router.gate.brief import Brief, Foretold
from inframind.router.gate.config import GateConfig
from inframind.router.gate.evidence import Evidence
from inframind.router.gate.judging import judge, propose
from inframind.router.gate.runs import RunColumns
from inframind.router.gate.verdicts import Verdict
from inframind.traces.shelf import UNPROVEN, Rollout, rollout_after

OLD, NEW = "a" * 64, "c" * 64
CONFIG = GateConfig(most_runs=3000)


class Trial:
    """A roll-out in which outcomes of both versions are drawn batch by batch, and the gate is asked after each."""

    def __init__(self, config: GateConfig = CONFIG, *, seed: int = 0, **world: float) -> None:
        self.config, self.world, self.rng = config, world, np.random.default_rng(seed)
        self.rollout = rollout_after(Rollout(serving=OLD), propose(Rollout(serving=OLD), NEW, now_s=0.0))
        self.evidence = Evidence(version=NEW)
        self.told: list[Verdict] = []

    def step(self, *, now_s: float = 0.0, **more: Any) -> Verdict:
        self.evidence = self.evidence.plus(self.batch())
        verdict = judge(self.rollout, self.evidence, self.config, now_s=now_s, **more)
        if verdict.event is not None:
            self.told.append(verdict)
            self.rollout = rollout_after(self.rollout, replace(verdict.event, number=self.rollout.number + 1))
        return verdict

    def play(self, batches: int = 200) -> str:
        for _ in range(batches):
            if not self.rollout.candidate:
                break
            self.step()
        return self.told[-1].act

    def batch(self, n: int = 50) -> RunColumns:
        world = {"gain": 0.0, "late": 0.0, "failing": 0.0, "graded": 1.0, "silent": 0.0, **self.world}
        share = self.rollout.share
        tried = self.rng.random(n) < share
        concerned = (
            self.rng.random(n) < world["concerned"] if "concerned" in world else np.ones(n, dtype=bool)
        )
        solved = self.rng.random(n) < 0.7 + world["gain"] / world.get("concerned", 1.0) * tried * concerned
        failed = self.rng.random(n) < 0.01 + world["failing"] * tried
        spilt = world.get("spilt", 0.0) * ~concerned
        on_time = (self.rng.random(n) >= 0.05 + (world["late"] + spilt) * tried) & ~failed
        unheard = world.get("unheard", 0.0) * concerned
        return RunColumns(
            is_candidate=tried.astype(float),
            share=np.full(n, share),
            on_time=on_time.astype(float),
            solved=np.where(
                self.rng.random(n) < world["graded"] - world["silent"] * tried - unheard, solved, np.nan
            ),
            failed=failed.astype(float),
            latency_s=np.ones(n),
            expected=np.full(n, np.nan),
            concerned=concerned.astype(float),
        )


def test_a_better_candidate_climbs_every_rung_and_serves_all_runs() -> None:
    trial = Trial(gain=0.1)
    assert trial.play() == "settle"
    assert trial.rollout == Rollout(number=trial.rollout.number, serving=NEW, before=OLD)
    events = [verdict.event for verdict in trial.told]
    assert [(event.stage, event.share) for event in events if event] == [
        ("canary", 0.1),
        ("ramp", 0.25),
        ("ramp", 0.5),
        ("ramp", 0.95),
        ("full", 1.0),
    ]


def test_without_a_holdback_a_proven_candidate_serves_all_runs_at_once() -> None:
    trial = Trial(replace(CONFIG, holdback=0.0), gain=0.1)
    assert trial.play() == "promote"
    assert trial.rollout.serving == NEW


def test_a_worse_candidate_is_ended_and_nothing_else_changes() -> None:
    trial = Trial(gain=-0.15)
    assert trial.play() == "roll_back"
    assert trial.rollout == Rollout(number=trial.rollout.number, serving=OLD)
    assert "it solves less in time" in trial.told[-1].reason


def test_a_candidate_that_fails_more_is_ended_without_any_label() -> None:
    trial = Trial(failing=0.1, graded=0.0)
    assert trial.play() == "roll_back"
    assert "it fails more often" in trial.told[-1].reason


def test_a_candidate_that_is_late_more_is_ended_without_any_label() -> None:
    trial = Trial(late=0.15, graded=0.0)
    assert trial.play() == "roll_back"
    assert "it is late more often" in trial.told[-1].reason


def test_a_little_lateness_within_what_is_borne_is_no_alarm_without_labels() -> None:
    trial = Trial(replace(CONFIG, most_late=0.1, most_runs=100_000), late=0.05, graded=0.0)
    assert {trial.step().act for _ in range(100)} <= {"wait", "advance"}


def test_too_few_labels_for_a_trial_are_said_to_be_so_with_what_would_do() -> None:
    trial = Trial(GateConfig(least_chance=0.5), graded=0.05)
    assert trial.play() == "roll_back"
    assert "5% of runs in time are graded; trials of " in trial.told[-1].reason


def test_nothing_is_promoted_without_labels() -> None:
    trial = Trial(graded=0.0)
    assert trial.play() == "roll_back"
    assert "not enough evidence" in trial.told[-1].reason


def test_nothing_is_promoted_when_grades_reach_one_version_more_than_the_other() -> None:
    trial = Trial(GateConfig(most_runs=3000, least_labels=10), gain=0.2, silent=0.7)
    reasons = [trial.step().reason for _ in range(40)]
    assert "grades do not reach both alike" in reasons[-1]
    assert trial.rollout.share == 0.5


def test_a_candidate_that_used_up_its_runs_is_ended() -> None:
    config = GateConfig(most_runs=1000, least_chance=1e-9)
    trial = Trial(config)
    assert trial.play() == "roll_back"
    assert "not enough evidence after 1000 runs" in trial.told[-1].reason


def test_a_candidate_that_can_hardly_be_proven_any_more_is_ended_early() -> None:
    trial = Trial(GateConfig(least_chance=0.4), gain=-0.03)
    assert trial.play() == "roll_back"
    assert "not enough evidence to come" in trial.told[-1].reason
    assert trial.evidence.runs < 5000


def test_a_stage_that_takes_too_long_is_ended() -> None:
    trial = Trial()
    assert trial.step(now_s=CONFIG.most_s).act == "wait"
    verdict = trial.step(now_s=CONFIG.most_s + 86_400)
    assert verdict.reason == "cccccccc: not enough evidence after 15.0 days as shadow"


def test_what_recorded_runs_foresee_ends_a_shadow_and_no_canary() -> None:
    bad = Interval(-0.2, -0.05)
    assert Trial().step(foreseen=bad).act == "roll_back"
    trial = Trial()
    while trial.rollout.stage == "shadow":
        trial.step()
    assert trial.step(foreseen=bad).act == "wait"


def test_what_recorded_runs_foresee_promotes_nobody() -> None:
    trial = Trial()
    for _ in range(20):
        assert trial.step(foreseen=Interval(0.2, 0.4)).act in ("wait", "advance")
    assert trial.rollout.serving == OLD


def test_a_promise_that_only_the_candidate_breaks_ends_it() -> None:
    promise = replace(CONFIG, least_on_time=0.9, most_late=1.0)
    trial = Trial(promise, late=0.15)
    assert trial.play() == "roll_back"
    assert "where 90.0% is promised" in trial.told[-1].reason


def test_a_promise_that_both_break_is_not_the_candidates_doing() -> None:
    trial = Trial(replace(CONFIG, least_on_time=0.99, most_failed=0.001), gain=0.1)
    assert trial.play() == "settle"


def test_while_frozen_the_gate_says_what_it_would_do_and_does_not() -> None:
    trial = Trial(gain=-0.3)
    while trial.rollout.stage == "shadow":
        trial.step()
    trial.rollout = replace(trial.rollout, frozen=True)
    verdicts = [trial.step() for _ in range(80)]
    assert all(verdict.event is None for verdict in verdicts)
    assert verdicts[-1].act == "roll_back"
    assert verdicts[-1].reason.startswith("frozen; else roll back: cccccccc: it solves less in time")


def test_a_share_that_a_person_chose_needs_proof_all_the_same() -> None:
    trial = Trial(gain=-0.3)
    trial.rollout = replace(trial.rollout, stage="ramp", share=0.7)
    assert trial.play() == "roll_back"


def test_the_share_of_the_promoted_given_by_a_person_is_no_proof() -> None:
    trial = Trial()
    trial.rollout = replace(trial.rollout, stage="ramp", share=0.95)
    assert [trial.step(by="user:ann").act for _ in range(10)] == ["wait"] * 10
    assert trial.step(by="gate").act == "settle"


def test_what_a_person_gave_the_share_of_the_promoted_settles_when_it_is_proven() -> None:
    trial = Trial(gain=0.2)
    trial.rollout = replace(trial.rollout, stage="ramp", share=0.5)
    for _ in range(20):
        trial.evidence = trial.evidence.plus(trial.batch())
    trial.rollout = replace(trial.rollout, share=0.95)
    while trial.step(by="user:ann").act == "wait":
        pass
    assert [verdict.act for verdict in trial.told] == ["settle"]


def test_figures_are_numbers_that_json_can_say() -> None:
    trial = Trial(gain=0.1)
    trial.play()
    for verdict in trial.told:
        json.dumps(dict(verdict.figures), allow_nan=False)
    last = trial.told[-1].figures
    assert last["lower"] > -0.01
    assert last["n"] == trial.evidence.runs


def test_the_same_evidence_gives_the_same_verdict() -> None:
    one, other = Trial(gain=0.05, seed=4), Trial(gain=0.05, seed=4)
    one.play(), other.play()
    assert [verdict.event for verdict in one.told] == [verdict.event for verdict in other.told]


def test_only_what_is_being_tried_is_judged() -> None:
    with pytest.raises(ConfigError, match="is being tried"):
        judge(Rollout(serving=OLD), Evidence(version=NEW), CONFIG, now_s=0.0)
    shadow = rollout_after(Rollout(), propose(Rollout(), NEW, now_s=0.0))
    with pytest.raises(ConfigError, match="is being tried"):
        judge(shadow, Evidence(version=OLD), CONFIG, now_s=0.0)


@pytest.mark.parametrize(
    ("rollout", "field"),
    [
        (Rollout(frozen=True), "rollout.frozen"),
        (Rollout(candidate=OLD, stage="canary", share=0.1), "rollout.candidate"),
        (Rollout(serving=NEW), "version"),
    ],
)
def test_a_version_is_proposed_only_where_it_can_be_tried(rollout: Rollout, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        propose(rollout, NEW, now_s=0.0)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epsilon", 0.0),
        ("delta", 1.0),
        ("ramp_shares", (0.05,)),
        ("ramp_shares", ()),
        ("holdback", 0.5),
        ("most_runs", 600),
        ("most_late", -0.1),
        ("least_labels", 0),
    ],
)
def test_what_cannot_be_meant_is_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        GateConfig(**{name: value})  # type: ignore[arg-type]
    assert caught.value.field in (f"gate.{name}", "gate.ramp_shares")


def test_a_rung_is_climbed_without_figures_that_say_nothing_yet() -> None:
    trial = Trial(gain=0.1)
    while trial.rollout.share < 0.25:
        trial.step()
    reason, figures = trial.told[-1].reason, trial.told[-1].figures
    assert reason.endswith("without a sign of harm (too early to tell how good it is); on to 25%")
    assert figures["upper"] > 0.2


# What recorded runs vouch for ------------------------------------------------------------------------------

VOUCHED = Brief(foretold=Foretold(change=0.0, low=-0.006, high=0.006, runs=1000))
DOUBTED = Brief(foretold=Foretold(change=-0.004, low=-0.011, high=0.003, runs=1000))


def ends(brief: Brief, n: int = 24, config: GateConfig = CONFIG, **world: float) -> list[Verdict]:
    """How trials of a candidate end: what let it serve, or what ended it."""
    found = []
    for seed in range(n):
        trial = Trial(config, seed=seed, **world)
        while trial.rollout.candidate and not any(told.act == "promote" for told in trial.told):
            trial.step(brief=brief)
        found.append(trial.told[-1])
    return found


def test_what_is_as_good_as_what_serves_is_let_in_when_recorded_runs_vouch_for_it() -> None:
    plain, vouched = ends(Brief()), ends(VOUCHED)
    assert sum(one.act == "promote" for one in plain) < 8
    assert sum(one.act == "promote" for one in vouched) > 14
    reasons = [one.reason for one in vouched if one.act == "promote"]
    assert any("recorded runs vouch for it, and 3000 runs showed no sign of harm" in one for one in reasons)


def test_what_recorded_runs_do_not_vouch_for_needs_its_own_proof() -> None:
    assert [one.act for one in ends(DOUBTED)] == [one.act for one in ends(Brief())]


def test_nobody_vouches_for_what_is_seen_to_do_harm() -> None:
    for told in ends(VOUCHED, 10, late=0.15):
        assert "it is late more often" in told.reason
        assert UNPROVEN not in told.figures
    harmful = ends(VOUCHED, gain=-0.15)
    assert {one.act for one in harmful} == {"roll_back"}
    assert all(UNPROVEN not in one.figures for one in harmful)


def test_an_estimate_below_what_is_borne_sets_aside_what_was_vouched_for() -> None:
    aside = [one for one in ends(VOUCHED, gain=-0.03) if UNPROVEN in one.figures]
    assert aside
    for told in aside:
        assert told.figures["improvement"] < -0.01
        assert "not enough evidence after 3000 runs: recorded runs vouch for it, but" in told.reason
        assert (told.event is not None) and told.event.figures[UNPROVEN] == 1.0
        assert told.figures["foretold_lower"] == -0.006


def test_nothing_is_vouched_in_without_grades() -> None:
    for told in ends(VOUCHED, 3, graded=0.0):
        assert told.act == "roll_back"
        assert "0 of 100 graded runs" in told.reason


def test_what_ends_without_proof_says_so_and_what_ends_for_harm_does_not() -> None:
    assert all(told.figures[UNPROVEN] == 1.0 for told in ends(Brief(), 5, graded=0.0))
    trial = Trial()
    assert UNPROVEN in trial.step(now_s=CONFIG.most_s + 86_400).figures


# Where a candidate concerns some runs alone ----------------------------------------------------------------


def local(evidence: Evidence | None = None, **world: float) -> Trial:
    """A candidate that decides a fifth of the runs otherwise."""
    trial = Trial(GateConfig(), concerned=0.2, **world)  # type: ignore[arg-type]
    trial.evidence = evidence or Evidence.begin(NEW, is_local=True)
    return trial


def test_what_differs_for_some_runs_alone_is_proven_by_those() -> None:
    told, blind = [], []
    for seed in range(12):
        told.append(local(gain=0.01, seed=seed).play())
        blind.append(local(Evidence.begin(NEW), gain=0.01, seed=seed).play())
    assert told.count("settle") > 9
    assert blind.count("settle") < 6


def test_harm_where_it_concerns_is_seen_before_it_is_seen_among_all() -> None:
    told, blind = 0, 0
    for seed in range(6):
        trial, other = (
            local(Evidence.begin(NEW, is_local=one), gain=-0.06, seed=seed) for one in (True, False)
        )
        trial.play(), other.play()
        assert "it solves less in time" in trial.told[-1].reason
        told, blind = told + trial.evidence.runs, blind + other.evidence.runs
    assert told < 0.75 * blind


def test_harm_where_it_should_not_concern_is_seen_too() -> None:
    trial = local(spilt=0.15, graded=0.0)
    assert trial.play() == "roll_back"
    assert "it is late more often" in trial.told[-1].reason


def test_nothing_is_proven_where_the_runs_it_concerns_are_not_graded() -> None:
    trial = local(gain=0.02, unheard=1.0)
    assert trial.play() == "roll_back"
    assert UNPROVEN in trial.told[-1].figures
    assert trial.evidence.graded > 1000


# Busy applications -----------------------------------------------------------------------------------------


def test_runs_that_were_served_while_grades_were_waited_for_do_not_use_up_a_trial() -> None:
    trial = Trial(GateConfig(most_runs=3000), gain=0.1)
    for share in (0.0, 0.1, 0.25):
        trial.rollout = replace(trial.rollout, share=share, stage="ramp" if share > 0.2 else "canary")
        for _ in range(80):
            trial.evidence = trial.evidence.plus(trial.batch())
    assert trial.evidence.runs == 12_000
    trial.rollout = replace(trial.rollout, share=0.25)
    assert trial.play() == "settle"
