"""Whether what is promised of a rule is what deciding under it brings, and what is said where nothing can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from tests.advisor.options.application import Application

from inframind.advisor.options.config import AnalysisConfig
from inframind.advisor.options.effect import Effects
from inframind.advisor.options.predicting import predictions_of
from inframind.advisor.options.reading import LogReader
from inframind.advisor.options.whole import effect_of_change, under_rules
from inframind.router.policy import JustEnoughPolicy, UniformPolicy
from inframind.router.rulebook import RuleBook
from inframind.router.rules import RoutingRule
from inframind.router.viewer import static_columns
from inframind.router.views import Query
from inframind.traces.advice import METRICS
from inframind.traces.records import SOLVED_ONLY, Decision, Outcome, Trajectory

CONCISE = RoutingRule(name="short answers", avoid_strategies={"Plain"})
COST = METRICS.index("cost")
EXPLORATION = 0.5


@pytest.fixture(scope="module")
def teams() -> Application:
    """Its planner takes more agents where no step alone is good enough: without ``Plain`` none is."""
    qualities = sorted(set(static_columns(Application(UniformPolicy(), 0).actions)[0].tolist()))
    floor = (qualities[-1] + qualities[-2]) / 2
    return Application(JustEnoughPolicy(quality_floor=floor), 1500, exploration=EXPLORATION)


def reader_of(application: Application) -> LogReader:
    return LogReader(
        application.actions,
        application.policy,
        RuleBook((), application.actions),
        keys=SOLVED_ONLY,
        exploration=application.exploration,
        choosing_share=0.4,
        is_careful=True,
    )


def mean_cost(application: Application, *rules: RoutingRule) -> float:
    """Of a run that is decided under some rules: a cent for each agent."""
    decider = application.decider.with_rules(rules)
    _, decision = decider.plan(
        Query(text="q" * 40, domain="math", prompt_tokens=11),
        application.snapshot,
        application.deadline,
        decision_id="p",
    )
    sizes = [int(label.rpartition("/")[2]) for label in decision.actions]
    return 0.01 * float(np.dot(sizes, decision.probabilities))


def test_a_rule_about_steps_changes_plans_as_deciding_under_it_does(teams: Application) -> None:
    truth = mean_cost(teams, CONCISE) - mean_cost(teams)
    assert truth > 0.002
    logs, config = reader_of(teams).read(teams.runs), AnalysisConfig()
    book = RuleBook((), teams.actions)
    alone = Effects(logs, teams.actions, book, {}, config.support).of(
        CONCISE, is_choosing=False, asks_again=True
    )
    together = effect_of_change(under_rules(logs, [CONCISE], book, teams.actions), logs, config.support)
    for effect in (alone, together):
        cost = predictions_of(effect, 0.05, config)[COST]
        assert cost.is_enough
        assert 0 < cost.low < truth < cost.high
    assert alone.change_M == pytest.approx(together.change_M)


def test_a_rule_for_a_role_leaves_plans_as_they_are(teams: Application) -> None:
    rule = RoutingRule(name="critics", avoid_strategies={"Plain"}, when={"roles": {"Critic"}})
    logs, config = reader_of(teams).read(teams.runs), AnalysisConfig()
    effect = Effects(logs, teams.actions, RuleBook((), teams.actions), {}, config.support).of(
        rule, is_choosing=False, asks_again=True
    )
    with_critic = sum(run.team.count("Critic") > 0 for run in teams.runs)
    assert 0 < effect.affected < with_critic < len(teams.runs)


def test_a_greedy_decider_is_foreseen_to_take_its_best_alone() -> None:
    uniform = Application(UniformPolicy(), 40)
    reader = LogReader(
        uniform.actions,
        uniform.policy,
        RuleBook((), uniform.actions),
        keys=SOLVED_ONLY,
        exploration=0.0,
        choosing_share=0.4,
        greedy=True,
    )
    steps = reader.read(uniform.runs).steps
    assert (steps.now_NC.max(axis=1) == 1.0).all()
    assert steps.now_NC.argmax(axis=1) == pytest.approx(0)


# Notes -----------------------------------------------------------------------------------------------------


def graded(run: Trajectory, solved: bool | None) -> Trajectory:
    said = Outcome(
        feedback_id="g", key="solved", score=float(bool(solved)), recorded_at_s=run.arrived_at_s + 9
    )
    return replace(run, outcomes=() if solved is None else (said,))


@pytest.fixture(scope="module")
def uniform() -> Application:
    return Application(UniformPolicy(), 600)


@pytest.mark.parametrize(("heard", "said"), [(False, "says wrong"), (True, "says right")])
def test_whoever_hears_one_side_alone_is_promised_no_success(
    uniform: Application, heard: bool, said: str
) -> None:
    runs = [graded(run, run.solved if run.solved is heard else None) for run in uniform.runs]
    found = uniform.analysed(runs)
    assert any(said in note and "Record feedback" in note for note in found.notes)
    for option in found.options:
        success = option.prediction("success")
        assert success is not None
        assert "no like has a verdict" in success.objection
        assert option.kind == "model_switch" or not success.is_enough


def test_verdicts_on_nearly_all_runs_are_believed_whatever_they_say(uniform: Application) -> None:
    runs = [graded(run, place % 50 > 0 or None) for place, run in enumerate(uniform.runs)]
    assert not any("Record feedback" in note for note in uniform.analysed(runs).notes)


def test_whoever_never_explored_is_told_what_to_set(uniform: Application) -> None:
    fixed = Application(JustEnoughPolicy(), 120)
    (told,) = [note for note in fixed.analysed().notes if "policy.exploration" in note]
    assert "policy.exploration = 0.1" in told
    assert not any("policy.exploration" in note for note in uniform.analysed().notes)


def without(runs: Sequence[Trajectory], model: str) -> list[Trajectory]:
    """Those that did not call a model, as if it had been too slow at every call."""
    free = [run for run in runs if all(step.model != model for step in run.steps)]
    return [replace(run, decisions=tuple(narrowed(one, model) for one in run.decisions)) for run in free]


def narrowed(decision: Decision, model: str) -> Decision:
    if decision.kind != "step":
        return decision
    masked = tuple("deadline" if label.startswith(f"{model}/") else "" for label in decision.actions)
    chances = [0.0 if out else one for one, out in zip(decision.probabilities, masked, strict=True)]
    shared = tuple(one / sum(chances) for one in chances)
    return replace(decision, masked=masked, probabilities=shared, probability=shared[decision.chosen])


def drift_in(application: Application, runs: Sequence[Trajectory]) -> list[str]:
    return [note for note in application.analysed(runs).notes if "on offer" in note]


def test_models_that_were_not_on_offer_in_the_beginning_are_told_of(uniform: Application) -> None:
    runs = uniform.runs
    (told,) = drift_in(uniform, [*without(runs[:400], "m2"), *runs[400:]])
    assert "m2 (0%, now 100%). " in told
    assert "m0" not in told
    assert "advisor.last" in told


def test_models_that_are_on_offer_as_ever_are_not_told_of(uniform: Application) -> None:
    runs = uniform.runs
    assert not drift_in(uniform, runs)
    assert not drift_in(uniform, without(runs, "m2"))
    assert not drift_in(uniform, [*without(runs[:15], "m2"), *runs[15:]])


def test_whoever_has_few_runs_or_few_verdicts_is_told_how_many_are_needed(uniform: Application) -> None:
    few_verdicts = [
        graded(run, run.solved if place % 20 == 0 else None) for place, run in enumerate(uniform.runs)
    ]
    for runs in (uniform.runs[:50], few_verdicts):
        assert any("some hundred are needed" in note for note in uniform.analysed(runs).notes)
    assert not any("some hundred" in note for note in uniform.analysed().notes)
