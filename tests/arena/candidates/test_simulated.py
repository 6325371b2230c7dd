"""Candidates on simulated servers like those of a configuration."""

from __future__ import annotations

import pytest

from inframind.arena.candidates.candidate import AS_IT_IS, Candidate, Setup, without_addresses
from inframind.arena.candidates.own_fleet import on_own_fleet, stand_in
from inframind.arena.candidates.results import Job, PlayedFigures
from inframind.arena.candidates.simulated import SimulatedTraffic
from inframind.arena.scenario import Scenario, models_of_fleet
from inframind.errors import ConfigError
from inframind.fleet.endpoints import EndpointSpec
from inframind.graphs.assembly import Parts
from inframind.router.decide import DecideConfig
from inframind.router.policy import UniformPolicy
from inframind.router.rules import Circumstances, RoutingRule
from inframind.simulator.items import generate_items

MODELS = models_of_fleet("h100")


def endpoint(name: str, model: str, size_b: float, **more: object) -> EndpointSpec:
    return EndpointSpec.model_validate(
        {"name": name, "base_url": "http://gpu.invalid/v1", "model": model, "size_b": size_b, **more}
    )


SERVERS = (
    endpoint("small-0", "acme/tiny", 3.0, price_output_usd_per_mtok=0.1),
    endpoint("small-1", "acme/tiny", 3.0, price_output_usd_per_mtok=0.1),
    endpoint("large-0", "acme/huge", 30.0, price_output_usd_per_mtok=2.0, max_num_seqs=4, priority=True),
)


def scenario() -> Scenario:
    return Scenario(
        profiles=MODELS.profiles,
        parameters=MODELS.parameters,
        items=generate_items(20, seed=2),
        training_items=(),
        questions=12,
        rates_per_min=(120.0,),
        seeds=(0,),
    )


@pytest.fixture
def traffic() -> SimulatedTraffic:
    parts = Parts(endpoints=without_addresses(SERVERS), decide=DecideConfig(exploration=0.2), max_team=2)
    return SimulatedTraffic(baseline=Setup(parts=parts, policy=UniformPolicy()), scenario=scenario())


def played(traffic: SimulatedTraffic, candidate: Candidate) -> PlayedFigures:
    (job,) = traffic.jobs(candidate)
    figures = traffic.play(candidate, job).figures
    assert figures is not None
    return figures


def with_rule(**asks: object) -> Candidate:
    return Candidate(name="new", rules=(RoutingRule.model_validate({"name": "r", **asks}),))


@pytest.mark.parametrize(
    ("model", "size_b", "profile"),
    [
        ("acme/tiny", 3.0, "llama-3.2-3b"),
        ("acme/huge", 30.0, "deepseek-r1-32b"),
        ("acme/middle", 12.0, "qwen2.5-coder-14b"),
        ("llama-3.1-8b", 70.0, "llama-3.1-8b"),
    ],
)
def test_a_model_is_simulated_by_its_own_profile_or_that_of_nearest_size(
    model: str, size_b: float, profile: str
) -> None:
    assert stand_in(endpoint("x", model, size_b), MODELS.profiles).name == profile


def test_servers_are_those_of_the_configuration() -> None:
    fleet = on_own_fleet(scenario(), SERVERS)
    small, other, large = fleet.specs()
    assert [small.name, other.name, large.name] == ["small-0", "small-1", "large-0"]
    assert (small.profile.max_model_len, small.profile.scheduling_policy) == (8192, "fcfs")
    assert (large.profile.max_num_seqs, large.profile.scheduling_policy) == (4, "priority")
    assert not large.is_reasoning
    tiny, huge = (fleet.parameters.model_traits(name) for name in ("acme/tiny", "acme/huge"))
    assert tiny.skill < huge.skill
    addresses = {spec.name: f"http://{spec.name}.invalid/v1" for spec in fleet.specs()}
    assert [one.base_url for one in fleet.endpoints(addresses)] == list(addresses.values())


def test_what_changes_nothing_gives_the_same_figures(traffic: SimulatedTraffic) -> None:
    never = with_rule(when=Circumstances(domains=frozenset({"code"})), avoid_models={"acme/huge"})
    assert played(traffic, never) == played(traffic, Candidate(name=AS_IT_IS))


def test_runs_that_rules_apply_to_are_counted(traffic: SimulatedTraffic) -> None:
    assert played(traffic, with_rule(avoid_models={"acme/huge"})).applied == 12
    assert (
        played(traffic, with_rule(when={"min_prompt_tokens": 10**6}, avoid_models={"acme/huge"})).applied == 0
    )
    some = played(traffic, with_rule(avoid_endpoints={"small-1"})).applied
    assert some is not None and 0 < some <= 12
    parts = Parts(endpoints=without_addresses(SERVERS[:2]), max_team=1)
    other = Candidate(name="small", setup=Setup(parts=parts, policy=UniformPolicy()))
    assert played(traffic, other).applied is None


def test_rules_change_who_answers_and_what_it_costs(traffic: SimulatedTraffic) -> None:
    before = played(traffic, Candidate(name=AS_IT_IS))
    small = played(traffic, with_rule(only_models={"acme/tiny"}))
    assert before.offered == small.offered == 12
    assert before.cost is not None
    assert small.cost is not None
    assert 0 < small.cost < before.cost / 2


def test_another_configuration_is_played_on_servers_of_its_own(traffic: SimulatedTraffic) -> None:
    parts = Parts(endpoints=without_addresses(SERVERS[:2]), max_team=1)
    alone = Candidate(name="small", setup=Setup(parts=parts, policy=UniformPolicy()))
    one = played(traffic, alone)
    assert one.cost is not None
    assert one.cost == pytest.approx(0.1e-6 * one.completion_tokens, rel=0.2)


def test_rules_for_the_night_are_sent_to_recorded_runs(traffic: SimulatedTraffic) -> None:
    night = with_rule(when={"hours_utc": (22, 6)}, avoid_models={"acme/huge"})
    with pytest.raises(ConfigError, match="try it on recorded traffic"):
        played(traffic, night)


def test_facts_name_who_stands_in(traffic: SimulatedTraffic) -> None:
    assert traffic.facts()["stand_ins"] == {"acme/tiny": "llama-3.2-3b", "acme/huge": "deepseek-r1-32b"}


def test_a_job_without_a_workload_is_a_mistake(traffic: SimulatedTraffic) -> None:
    with pytest.raises(ValueError, match="recorded"):
        traffic.play(Candidate(name=AS_IT_IS), Job(candidate=AS_IT_IS))


def test_a_configuration_keeps_no_keys() -> None:
    keyed = endpoint("x", "m", 3.0, api_key="secret")
    with pytest.raises(ConfigError) as caught:
        Setup(parts=Parts(endpoints=(keyed,)), policy=UniformPolicy())
    assert "secret" not in str(caught.value)
    (bare,) = without_addresses([keyed])
    assert bare.api_key is None
    assert "gpu" not in bare.base_url
