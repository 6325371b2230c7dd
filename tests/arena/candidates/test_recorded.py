"""Candidates on recorded runs: what the advisor would say of each, whoever asks, and however many."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inframind.advisor.options.config import AnalysisConfig
from inframind.advisor.options.effect import Effects
from inframind.advisor.options.predicting import predictions_of
from inframind.advisor.options.reading import LogReader
from inframind.arena.candidates.campaign import Plan, evaluate_candidates
from inframind.arena.candidates.candidate import AS_IT_IS, Candidate, Setup, without_addresses
from inframind.arena.candidates.folder import CandidateFolder
from inframind.arena.candidates.grid import grid_of
from inframind.arena.candidates.kept_runs import RUNS, keep_runs, read_runs
from inframind.arena.candidates.recorded import RecordedTraffic
from inframind.arena.candidates.results import Job
from inframind.arena.candidates.verdict import standings_of
from inframind.arena.engines import EngineConfig
from inframind.arena.grading import RememberingGrader
from inframind.arena.scenario import Scenario, models_of_fleet
from inframind.arena.virtual_run import run_virtually
from inframind.errors import ConfigError
from inframind.graphs.assembly import Parts
from inframind.router.decide import DecideConfig
from inframind.router.ope.estimate import SupportRule
from inframind.router.policy import JustEnoughPolicy, UniformPolicy
from inframind.router.rules import Circumstances, RoutingRule
from inframind.simulator.items import generate_items
from inframind.traces.advice import Prediction
from inframind.traces.records import SOLVED_ONLY, Outcome, ToolCall, Trajectory

EXPLORATION = 0.5
EASY = AnalysisConfig(support=SupportRule(least_effective_size=5.0, most_unsupported=0.5))


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    models = models_of_fleet("h100")
    return Scenario(
        profiles=models.profiles[:2],
        parameters=models.parameters,
        items=generate_items(80, seed=5),
        training_items=(),
        questions=80,
        rates_per_min=(60.0,),
        seeds=(0,),
    )


@pytest.fixture(scope="module")
def baseline(scenario: Scenario) -> Setup:
    nowhere = {spec.name: "http://gpu.invalid/v1" for spec in scenario.specs()}
    return Setup(
        parts=Parts(
            endpoints=without_addresses(scenario.endpoints(nowhere)),
            decide=DecideConfig(exploration=EXPLORATION),
            max_team=2,
        ),
        policy=UniformPolicy(),
    )


@pytest.fixture(scope="module")
def runs(scenario: Scenario, baseline: Setup) -> tuple[Trajectory, ...]:
    ran = run_virtually(
        scenario,
        UniformPolicy(),
        seed=0,
        rate_per_min=60.0,
        grader=RememberingGrader(),
        parts=baseline.parts,
    )
    solved = {one.trace_id: one.solved for one in ran.episodes}
    return tuple(labelled(run, solved=solved[run.trace_id]) for run in ran.trajectories.values())


def labelled(run: Trajectory, *, solved: bool) -> Trajectory:
    outcome = Outcome(feedback_id="g", key="solved", score=float(solved), recorded_at_s=run.arrived_at_s)
    return replace(run, outcomes=(outcome,))


@pytest.fixture(scope="module")
def traffic(baseline: Setup, runs: tuple[Trajectory, ...]) -> RecordedTraffic:
    return RecordedTraffic(baseline=baseline, config=EASY).with_runs(runs)


def asked(traffic: RecordedTraffic, candidate: Candidate) -> tuple[Prediction, ...]:
    return traffic.play(candidate, Job(candidate=candidate.name)).predictions


def rule(name: str = "r", **asks: object) -> RoutingRule:
    return RoutingRule.model_validate({"name": name, **asks})


def test_one_rule_is_predicted_as_the_advisor_predicts_it(
    traffic: RecordedTraffic, baseline: Setup, runs: Sequence[Trajectory]
) -> None:
    no_flash = rule(avoid_strategies={"Flash"})
    actions = baseline.actions
    book = baseline.parts.rule_book(actions)
    logs = LogReader(
        actions,
        UniformPolicy(),
        book,
        keys=SOLVED_ONLY,
        exploration=EXPLORATION,
        choosing_share=EASY.choosing_share,
    ).read(runs)
    servers = {model: facts.endpoints for model, facts in actions.models.items()}
    effect = Effects(logs, actions, book, servers, EASY.support).of(
        no_flash, is_choosing=False, asks_again=True
    )
    assert asked(traffic, Candidate(name="no Flash", rules=(no_flash,))) == predictions_of(effect, 0.05, EASY)
    assert effect.affected > 0


def test_rules_together_are_what_one_rule_that_says_both_is(traffic: RecordedTraffic) -> None:
    both = rule("both", avoid_strategies={"Flash", "Concise"})
    apart = (rule("one", avoid_strategies={"Flash"}), rule("two", avoid_strategies={"Concise"}))
    together = asked(traffic, Candidate(name="apart", rules=apart))
    alone = asked(traffic, Candidate(name="both", rules=(both,)))
    for one, other in zip(together, alone, strict=True):
        assert one.affected == other.affected > 0
        assert one.change == pytest.approx(other.change, abs=1e-12)
        assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-12)


def test_rules_apply_where_they_say(traffic: RecordedTraffic, runs: Sequence[Trajectory]) -> None:
    domains = sorted({run.domain for run in runs})
    elsewhere = Circumstances(domains=frozenset({"code", "math", "knowledge", "general"} - set(domains)))
    apart = tuple(
        RoutingRule(name=name, when=elsewhere, avoid_strategies=frozenset({name}))
        for name in ("Flash", "Plain")
    )
    for one in asked(traffic, Candidate(name="elsewhere", rules=apart)):
        assert one.affected == 0
        assert one.objection == f"it concerns none of the {one.runs} runs that predictions come from"


def test_the_configuration_itself_changes_nothing(traffic: RecordedTraffic, baseline: Setup) -> None:
    for same in (Candidate(name=AS_IT_IS), Candidate(name="copy", setup=baseline)):
        for one in asked(traffic, same):
            assert (one.affected, one.change, one.low, one.high) == (0, 0.0, 0.0, 0.0)


def test_another_policy_over_the_same_choices_is_predicted(traffic: RecordedTraffic, baseline: Setup) -> None:
    other = Candidate(name="just enough", setup=replace(baseline, policy=JustEnoughPolicy()))
    success = asked(traffic, other)[0]
    assert success.affected > 0
    assert success.change != 0.0


@pytest.mark.parametrize("what", ["choices", "lengths", "servers", "servers of another"])
def test_what_recorded_runs_cannot_say_sends_to_simulated_ones(
    what: str, traffic: RecordedTraffic, baseline: Setup
) -> None:
    name = baseline.parts.endpoints[0].name
    servers = (rule("s", avoid_endpoints={name}), rule("t", avoid_strategies={"Flash"}))
    longer = [one.model_copy(update={"max_tokens": 4000}) for one in baseline.parts.strategies]
    candidate = {
        "lengths": Candidate(
            name="x", setup=replace(baseline, parts=replace(baseline.parts, strategies=longer))
        ),
        "choices": Candidate(name="x", setup=replace(baseline, parts=replace(baseline.parts, max_team=1))),
        "servers": Candidate(name="x", rules=servers),
        "servers of another": Candidate(
            name="x", setup=replace(baseline, parts=replace(baseline.parts, rules=servers))
        ),
    }[what]
    with pytest.raises(ConfigError, match="try it on simulated traffic"):
        asked(traffic, candidate)


def test_a_candidate_that_cannot_be_asked_about_fails_alone(traffic: RecordedTraffic, tmp_path: Path) -> None:
    name = traffic.baseline.parts.endpoints[0].name
    odd = Candidate(
        name="odd", rules=(rule("s", avoid_endpoints={name}), rule("t", avoid_strategies={"Flash"}))
    )
    plan = Plan.of([odd, *grid_of(["strategies"], traffic.baseline.actions)], traffic)
    done = evaluate_candidates(plan, CandidateFolder.opened(tmp_path, plan.document()))
    standings = {one.name: one.standing for one in standings_of(plan, done).verdicts}
    assert standings["odd"] == "failed"
    assert len(standings) == 5
    assert "failed" not in {standing for name, standing in standings.items() if name != "odd"}


def test_results_do_not_depend_on_processes(traffic: RecordedTraffic, tmp_path: Path) -> None:
    plan = Plan.of(grid_of(["models", "strategies", "topologies"], traffic.baseline.actions), traffic)
    here = evaluate_candidates(plan, CandidateFolder.opened(tmp_path / "here", plan.document()))
    there = evaluate_candidates(
        plan, CandidateFolder.opened(tmp_path / "there", plan.document()), engine=EngineConfig(workers=2)
    )
    assert here == there
    assert len(here) == 1 + 2 + 4 + 6


def test_what_was_read_stays_in_its_process(traffic: RecordedTraffic) -> None:
    candidate = Candidate(name="no Flash", rules=(rule(avoid_strategies={"Flash"}),))
    before = asked(traffic, candidate)
    there = pickle.loads(pickle.dumps(traffic))
    assert asked(there, candidate) == before


def test_runs_are_kept_as_they_were(runs: tuple[Trajectory, ...], tmp_path: Path) -> None:
    assert read_runs(tmp_path) is None
    keep_runs(tmp_path, runs)
    kept = read_runs(tmp_path)
    assert kept is not None and [run.trace_id for run in kept] == [run.trace_id for run in runs]
    assert [run.question for run in kept] == [run.question for run in runs]
    assert {path.name for path in tmp_path.iterdir()} == {RUNS}
    assert (tmp_path / RUNS).stat().st_mode & 0o077 == 0
    (tmp_path / RUNS).write_bytes((tmp_path / RUNS).read_bytes()[:-400])
    with pytest.raises(ConfigError, match=RUNS):
        read_runs(tmp_path)


def test_what_no_evaluation_reads_is_not_kept_and_changes_no_prediction(
    traffic: RecordedTraffic, runs: tuple[Trajectory, ...], tmp_path: Path
) -> None:
    comment = Outcome(feedback_id="c", key="note", value="VALUE", comment="COMMENT", recorded_at_s=1e9)
    told = tuple(
        replace(
            run,
            answer="ANSWER",
            text="TEXT",
            error_detail="DETAIL",
            metadata={"user": "METADATA"},
            steps=tuple(
                replace(
                    step,
                    text="DRAFT",
                    answer="ANSWER",
                    error_detail="DETAIL",
                    attempts=tuple(replace(attempt, detail="DETAIL") for attempt in step.attempts),
                )
                for step in run.steps
            ),
            tools=(
                ToolCall(
                    call_id="", name="t", step_id=None, started_s=0, finished_s=1, error_detail="DETAIL"
                ),
            ),
            outcomes=(*run.outcomes, comment),
        )
        for run in runs
    )
    keep_runs(tmp_path, told)
    kept = read_runs(tmp_path)
    assert kept is not None
    text = gzip.decompress((tmp_path / RUNS).read_bytes()).decode()
    for word in ("ANSWER", "TEXT", "DRAFT", "DETAIL", "METADATA", "COMMENT", "VALUE"):
        assert word not in text
    assert runs[0].question in text
    candidate = Candidate(name="no Flash", rules=(rule(avoid_strategies={"Flash"}),))
    assert asked(traffic.with_runs(kept), candidate) == asked(traffic.with_runs(told), candidate)


def test_a_grid_over_the_only_one_of_a_kind_says_so(baseline: Setup) -> None:
    name, facts = next(iter(baseline.actions.models.items()))
    one = replace(baseline.actions, models={name: facts})
    with pytest.raises(ConfigError, match=r"grid.*'models'.*no candidates.*models: 1"):
        grid_of(["models"], one)


def test_a_grid_tries_every_change_of_a_kind(baseline: Setup) -> None:
    actions = baseline.actions
    names = [one.name for one in grid_of(["only", "agents"], actions)]
    kept = [*actions.models, *sorted(actions.strategies), *sorted(actions.topologies)]
    assert names == [*(f"only {name}" for name in kept), "one agent alone"]
    alone = next(one for one in grid_of(["only"], actions) if one.name == "only Plain")
    assert alone.rules[0].avoid_strategies == set(actions.strategies) - {"Plain"}
    by_domain = grid_of(["strategies"], actions, domains=("", "math"))
    assert len(by_domain) == 8
    assert by_domain[-1].rules[0].when.domains == {"math"}
    assert len({one.digest for one in by_domain}) == 8
    with pytest.raises(ConfigError, match="grid"):
        grid_of(["colours"], actions)


def test_equal_rules_have_equal_digests_in_any_order() -> None:
    names = [f"m{number}" for number in np.random.default_rng(0).permutation(20)]
    one = Candidate(name="one", rules=(rule(avoid_models=frozenset(names)),))
    other = Candidate(name="other", rules=(rule(avoid_models=frozenset(sorted(names)), advice="a" * 32),))
    assert one.digest == other.digest
