"""From whole traces to an analysis: what is found in runs of a model that is bad at one thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inframind.advisor.analysing import analyse
from inframind.advisor.analysis import Analysis
from inframind.advisor.options.reading import LogReader, is_for_choosing
from inframind.fleet.clock import Deadline
from inframind.fleet.endpoints import EndpointSpec, group_by_model
from inframind.fleet.snapshot import EndpointLoad, FleetSnapshot
from inframind.graphs.registry import TopologyRegistry
from inframind.router.actions import DEFAULT_STRATEGIES, ActionSpace, strategies_by_name
from inframind.router.decide import DecideConfig, Decider
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.policy import JustEnoughPolicy, Policy, UniformPolicy
from inframind.router.rulebook import RuleBook
from inframind.router.rules import RoutingRule
from inframind.router.views import Query, Slot
from inframind.traces.records import SOLVED_ONLY, Outcome, Step, Trajectory

ROLES = {"general": ("Solver", "Critic")}
BEGIN_S = 1_800_000_000.0
BUDGET_S = 60.0


class StillClock:
    def now_s(self) -> float:
        return 1000.0

    def wall_s(self) -> float:
        return BEGIN_S


class Application:
    """Chains of one or two calls; one model is wrong in one domain, whatever else it is good at."""

    def __init__(
        self, policy: Policy, runs: int, *, exploration: float = 0.0, bad: str = "m1", where: str = "math"
    ) -> None:
        specs = [
            EndpointSpec(name=f"{model}-0", base_url="http://gpu/v1", model=model)
            for model in ("m0", "m1", "m2")
        ]
        models = group_by_model(specs)
        strategies = strategies_by_name(
            [one for one in DEFAULT_STRATEGIES if one.name in ("Plain", "Concise")]
        )
        topologies = {name: TopologyRegistry().specs[name] for name in ("IO", "Chain")}
        self.actions = ActionSpace(
            models=models, strategies=strategies, topologies=topologies, roles=ROLES, max_team=2
        )
        self.policy, self.exploration, self.bad, self.where = policy, exploration, bad, where
        self.rng, clock = np.random.default_rng(0), StillClock()
        loads = {
            spec.name: EndpointLoad(
                endpoint=spec.name, model=spec.model, age_s=0.1, running=0.0, waiting=0.0, kv_cache_usage=0.0
            )
            for spec in specs
        }
        self.snapshot = FleetSnapshot(taken_s=1000.0, loads=loads)
        self.deadline = Deadline.after(BUDGET_S, clock)
        self.decider = Decider(
            self.actions,
            policy,
            LearnedLatencyModel(models, strategies),
            clock=clock,
            rng=np.random.default_rng(1),
            config=DecideConfig(exploration=exploration),
        )
        self.runs = [self._run(number) for number in range(runs)]

    def _run(self, number: int) -> Trajectory:
        domain = ("code", "math")[int(self.rng.integers(2))]
        query = Query(text="q" * 40, domain=domain, prompt_tokens=11)
        plan, decision = self.decider.plan(query, self.snapshot, self.deadline, decision_id=f"{number}-p")
        decisions, steps, chance = [decision], [], 0.95
        for place, role in enumerate(plan.team):
            slot = Slot(
                topology=plan.topology.name,
                role=role,
                position=place,
                team_size=len(plan.team),
                prompt_tokens=11,
            )
            name = f"{number}-{place}"
            choice, decided = self.decider.step(query, slot, self.snapshot, self.deadline, decision_id=name)
            is_bad = choice.model == self.bad and domain == self.where
            chance *= 0.4 if is_bad else 1.0
            decisions.append(decided)
            steps.append(_step(place, role, name, choice.model, choice.strategy))
        arrived_at_s = BEGIN_S + 60.0 * number
        solved = Outcome(
            feedback_id="g",
            key="solved",
            score=float(self.rng.random() < chance),
            recorded_at_s=arrived_at_s + 9,
        )
        return Trajectory(
            trace_id=f"{number:032x}",
            question=query.text,
            domain=domain,
            arrived_at_s=arrived_at_s,
            budget_s=BUDGET_S,
            topology=plan.topology.name,
            team=plan.team,
            rounds=1,
            decisions=tuple(decisions),
            steps=tuple(steps),
            answer="4",
            text="4",
            latency_s=2.0 * len(steps),
            outcomes=(solved,),
            cost=0.01 * len(steps),
        )

    def analysed(self, runs: Sequence[Trajectory] | None = None, **more: Any) -> Analysis:
        return analyse(
            self.runs if runs is None else runs,
            **{
                "actions": self.actions,
                "policy": self.policy,
                "rules": (),
                "configuration_id": "c" * 64,
                "keys": SOLVED_ONLY,
                "exploration": self.exploration,
                "previous": None,
                "now_s": BEGIN_S + 1e6,
                "rng": np.random.default_rng(0),
                **more,
            },
        )


def _step(place: int, role: str, decision_id: str, model: str, strategy: str) -> Step:
    return Step(
        step_id=place,
        node=f"agent-{place}",
        kind="agent",
        position=place,
        round=1,
        role=role,
        parents=(),
        decision_id=decision_id,
        model=model,
        strategy=strategy,
        endpoint=f"{model}-0",
        served_model=model,
        started_s=2.0 * place,
        finished_s=2.0 * place + 2.0,
        finish_reason="stop",
        text="4",
        answer="4",
    )


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
