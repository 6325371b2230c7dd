"""From whole traces to an analysis: what is found in runs of a model that is bad at one thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from tests.advisor.options.application import Application

from inframind.advisor.analysis import Analysis
from inframind.advisor.options.choosing import Bucket, Chooser
from inframind.advisor.options.config import AnalysisConfig
from inframind.advisor.options.effect import Effects
from inframind.advisor.options.logs import Logs
from inframind.advisor.options.reading import LogReader, is_for_choosing
from inframind.router.ope.estimate import SupportRule
from inframind.router.policy import JustEnoughPolicy, UniformPolicy
from inframind.router.recorded_views import WAITED
from inframind.router.rulebook import RuleBook
from inframind.router.rules import RoutingRule
from inframind.traces.advice import METRICS
from inframind.traces.records import SOLVED_ONLY, Decision, Trajectory


@pytest.fixture(scope="module")
def application() -> Application:
    return Application(UniformPolicy(), 900)


@pytest.fixture(scope="module")
def analysis(application: Application) -> Analysis:
    return application.analysed()


def avoids_the_bad_one(rule: RoutingRule) -> bool:
    is_there = not rule.when.domains or "math" in rule.when.domains
    return is_there and ("m1" in rule.avoid_models or bool(rule.only_models - {"m1"}))


def test_the_model_that_fails_is_named_and_what_replacing_it_would_bring(analysis: Analysis) -> None:
    answers = [option for option in analysis.options if option.cluster_id]
    best = next(option for option in answers if option.kind == "model_switch")
    assert avoids_the_bad_one(best.rules[0])
    assert best.rules[0].when.domains == {"math"}
    success = best.prediction("success")
    assert success is not None and success.is_enough
    assert success.low > 0.05
    assert "m1" in best.title and "domain is math" in best.title
    assert "points" in best.reason and "decisions in effect" in best.reason
    assert [one.metric for one in best.predictions] == ["success", "solved", "on_time", "latency_s", "cost"]


def test_evidence_are_failures_that_did_what_the_change_avoids(
    application: Application, analysis: Analysis
) -> None:
    by_id = {run.trace_id: run for run in application.runs}
    best = next(option for option in analysis.options if option.kind == "model_switch")
    assert len(best.evidence) == 5
    for trace_id in best.evidence:
        run = by_id[trace_id]
        assert run.solved is False
        assert run.domain == "math"
        assert any(step.model not in (best.rules[0].only_models or {"m0", "m2"}) for step in run.steps)


def test_options_are_well_formed_and_told_apart(application: Application, analysis: Analysis) -> None:
    rules = [rule for option in analysis.options for rule in option.rules]
    assert rules
    RuleBook(list({rule.name: rule for rule in rules}.values()), application.actions)
    ids = [option.option_id for option in analysis.options]
    assert len(set(ids)) == len(ids)
    assert all(len(one) == 12 and int(one, 16) >= 0 for one in ids)
    purposes = [(option.kind, option.cluster_id) for option in analysis.options]
    assert len(set(purposes)) == len(purposes)
    assert Analysis.from_json(analysis.to_json()) == analysis


def test_the_same_runs_say_the_same_in_any_order(application: Application, analysis: Analysis) -> None:
    again = application.analysed(application.runs[::-1])
    assert [one.option_id for one in again.options] == [one.option_id for one in analysis.options]


def test_the_same_runs_keep_their_part_in_every_analysis() -> None:
    shares = [is_for_choosing(f"{place:032x}", 0.4) for place in range(4000)]
    assert np.mean(shares) == pytest.approx(0.4, abs=0.03)


def test_what_is_in_force_brings_nothing_more(application: Application, analysis: Analysis) -> None:
    rule = RoutingRule(name="accepted", when={"domains": {"math"}}, avoid_models={"m1"}, advice="a" * 32)
    after = application.analysed(rules=(rule,))
    again = [one for option in after.options for one in option.rules if one.avoid_models == {"m1"}]
    assert not [one for one in again if one.when.domains in (frozenset(), frozenset({"math"}))]


def test_rules_in_force_may_speak_of_roles_that_no_domain_seats() -> None:
    rule = RoutingRule(name="own", when={"roles": {"Translator"}}, avoid_models={"m1"})
    assert Application(UniformPolicy(), 20, bad="m1").analysed(rules=(rule,)).runs == 20


def test_a_policy_that_never_explored_leaves_nothing_but_a_suspicion() -> None:
    """It goes by chance between plans alone; which model is worth more nobody knows."""
    fixed = Application(JustEnoughPolicy(), 400, bad="m0", where="math")
    found = fixed.analysed()
    assert all(not one.is_enough for option in found.options for one in option.predictions)
    assert len(found.options) <= 1


def test_a_greedy_policy_is_asked_what_it_would_do_instead() -> None:
    explored = Application(JustEnoughPolicy(), 150, exploration=0.5)
    reader = LogReader(
        explored.actions,
        explored.policy,
        RuleBook((), explored.actions),
        keys=SOLVED_ONLY,
        exploration=0.5,
        choosing_share=0.4,
    )
    steps = reader.read(explored.runs).steps
    assert steps.now_NC == pytest.approx(steps.logged_NC)
    left_NC = steps.allowed_NC.copy()
    rows = np.arange(len(steps))
    left_NC[rows, steps.logged_NC.argmax(axis=1)] = False
    again_NC = steps.ask_again(rows, left_NC)
    assert again_NC.sum(axis=1) == pytest.approx(1.0)
    assert (again_NC.max(axis=1) > 0.5).all()
    assert not again_NC[~left_NC].any()


def read(application: Application, runs: Sequence[Trajectory]) -> Logs:
    reader = LogReader(
        application.actions,
        application.policy,
        RuleBook((), application.actions),
        keys=SOLVED_ONLY,
        exploration=0.0,
        choosing_share=0.4,
    )
    return reader.read(runs)


def test_what_was_decided_after_a_run_lay_still_is_of_the_hour_it_was_decided_at(
    application: Application,
) -> None:
    def lain(decision: Decision) -> Decision:
        waited = {WAITED: 3 * 3600.0} if decision.kind == "step" else {}
        return replace(decision, seen={**decision.seen, **waited})

    runs = [replace(run, decisions=tuple(map(lain, run.decisions))) for run in application.runs[:20]]
    before, after = read(application, application.runs[:20]), read(application, runs)
    assert (after.steps.hour_N == (before.steps.hour_N + 3) % 24).all()
    assert (after.plans.hour_N == before.plans.hour_N).all()


def test_costs_of_all_runs_are_at_the_prices_of_today(application: Application) -> None:
    """A thousand tokens of a model without a price cost its size in millionths each, whatever they were kept with."""
    size_b = application.actions.models["m0"].size_b

    def counted(run: Trajectory, cost: float | None) -> Trajectory:
        steps = tuple(replace(step, served_model="m0", completion_tokens=1000) for step in run.steps)
        return replace(run, steps=steps, cost=cost)

    first, second, third = application.runs[:3]
    logs = read(application, [counted(first, 1e-5), counted(second, 80.0), replace(third, cost=7.0)])
    today = [size_b * 1e-3 * len(run.steps) for run in (first, second)]
    assert logs.value_RM[:, METRICS.index("cost")].tolist() == pytest.approx([*today, 7.0])


def test_late_runs_of_other_domains_tell_what_those_of_a_domain_cost(application: Application) -> None:
    """Of a call that was cut short nobody knows the cost; in math all late ones were."""

    def late(run: Trajectory, number: int) -> Trajectory:
        cost = None if run.domain == "math" else 10.0 + number
        return replace(run, status="late", latency_s=90.0, cost=cost)

    runs = [late(run, number) if number % 4 == 0 else run for number, run in enumerate(application.runs[:80])]
    logs, place = read(application, runs), METRICS.index("cost")
    assert not logs.is_blind_RM[:, place].any()
    is_late_R = np.array([run.status == "late" for run in runs])
    in_math_R = np.array([run.domain == "math" for run in runs])
    told = set(logs.value_RM[is_late_R & ~in_math_R, place])
    assert set(logs.value_RM[is_late_R & in_math_R, place]) <= told
    assert len(set(logs.value_RM[is_late_R & in_math_R, place])) > 1
    none = [replace(run, cost=None) if run.status == "late" else run for run in runs]
    assert read(application, none).is_blind_RM[is_late_R, place].all()


def test_how_many_runs_have_no_verdict_is_told_once(application: Application) -> None:
    runs = [replace(run, outcomes=()) if place == 0 else run for place, run in enumerate(application.runs)]
    (told,) = (note for note in application.analysed(runs).notes if "known" in note or "verdict" in note)
    assert told == "1 of 900 runs were in time and have no verdict: they may be wrong"


def test_a_suspicion_names_what_the_pattern_is_named_by(application: Application, analysis: Analysis) -> None:
    """Though what else sets it apart may do so by more standard errors, by chance."""
    cluster = analysis.clusters[0]
    assert cluster.main_trait["endpoint"] == "m1-0"
    logs = read(application, application.runs)
    config = AnalysisConfig(support=SupportRule(least_effective_size=1e6))
    servers = {model: facts.endpoints for model, facts in application.actions.models.items()}
    effects = Effects(logs, application.actions, RuleBook((), application.actions), servers, config.support)
    named, other = RoutingRule(name="a", avoid_models={"m1"}), RoutingRule(name="b", only_models={"m0"})
    bucket = Bucket(cluster, None, {named: 3.5, other: 9.0})
    found = Chooser(effects, config, np.random.default_rng(0)).unproven(bucket)
    assert found is not None and found.effect.rule == named


def test_runs_of_other_choices_and_without_verdict_are_told_of(application: Application) -> None:
    unlabelled = [replace(run, outcomes=()) if run.domain == "code" else run for run in application.runs]
    narrower = replace(application.actions, models=dict(list(application.actions.models.items())[:2]))
    told = " ".join(application.analysed(unlabelled).notes)
    assert "success there is not known" in told and "in code" in told
    none = application.analysed(actions=narrower)
    assert none.options == ()
    assert "nothing is predicted from them" in " ".join(none.notes)


def test_no_runs_are_an_analysis_too(application: Application) -> None:
    empty = application.analysed([])
    assert (empty.runs, empty.options, empty.clusters) == (0, (), ())


def test_a_defect_that_was_mended_by_another_configuration_is_promised_nothing_about(
    application: Application,
) -> None:
    old, new = "a" * 64, "b" * 64
    mended = Application(UniformPolicy(), 300, bad="none")
    runs = [replace(run, configuration=old) for run in application.runs]
    runs += [
        replace(
            run, trace_id=f"{10_000 + place:032x}", configuration=new, arrived_at_s=run.arrived_at_s + 60_000
        )
        for place, run in enumerate(mended.runs)
    ]
    documents = {
        name: {"models": {"m0": {"size_b": 8}, "m1": {"size_b": size_b}, "m2": {"size_b": 8}}}
        for name, size_b in ((old, 8), (new, 14))
    }
    unaware = mended.analysed(runs, configuration_id=new)
    assert any(avoids_the_bad_one(rule) for option in unaware.options for rule in option.rules)
    found = mended.analysed(runs, configuration_id=new, documents=documents)
    assert (found.runs, found.clusters) == (300, ())
    assert "900 of 1,200 runs are set aside" in found.notes[0] and "model m1" in found.notes[0]
    promised = [
        option.prediction("success") for option in found.options if avoids_the_bad_one(option.rules[0])
    ]
    assert not [one for one in promised if one is not None and one.is_enough and one.low > 0]
