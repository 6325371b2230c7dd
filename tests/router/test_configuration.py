"""What a decider decides with, under a hash that is the same in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from inframind.router.actions import StrategySpec
from inframind.router.configuration import document_of
from inframind.router.policy import JustEnoughPolicy, UniformPolicy
from inframind.router.rules import RoutingRule

ROOT = Path(__file__).resolve().parents[2]
NO_A = RoutingRule(name="no-a", avoid_models=frozenset({"a"}))


def test_it_says_what_may_be_chosen_and_who_chooses(bench: Any) -> None:
    decider = bench.decider(UniformPolicy(), exploration=0.25).with_rules([NO_A])

    document = decider.configuration.document

    assert list(document["models"]) == ["a", "b"]
    assert document["models"]["b"]["size_b"] == 32.0
    assert document["models"]["a"]["endpoints"] == ["a-0"]
    assert document["strategies"]["Flash"]["max_tokens"] == 256
    assert document["strategies"]["Flash"]["temperature"] == 0.2
    assert document["topologies"]["Debate"]["max_rounds"] >= 2
    assert document["roles"]["math"] == ["Solver", "Checker"]
    assert (document["max_team"], document["tools"], document["role_texts"]) == (6, [], {})
    assert document["rules"] == [{"name": "no-a", "avoid_models": ["a"]}]
    assert document["policy"] == {
        "name": "uniform",
        "version": UniformPolicy().version,
        "exploration": 0.25,
        "greedy": False,
        "deadline_quantile": 0.9,
    }


def test_it_says_what_costs_are_in(make_bench: Any) -> None:
    priced = {"price_output_usd_per_mtok": 2.0}
    assert document_of(make_bench(a=priced, b={}).decider())["cost_unit"] == "size"
    assert document_of(make_bench(a=priced, b=priced).decider())["cost_unit"] == "usd"


def test_it_holds_neither_addresses_nor_keys(make_bench: Any) -> None:
    bench = make_bench(a={"base_url": "http://gpu-7.internal:8000/v1", "api_key": "sk-secret"})
    said = orjson.dumps(document_of(bench.decider())).decode()
    assert "gpu-7" not in said and "8000" not in said and "sk-secret" not in said


def test_it_holds_no_secrets_of_further_body_fields(bench: Any) -> None:
    extra = {
        "api_key": "sk-secret",
        "stop_token_ids": [7],
        "router": [{"authToken": "sk-secret", "effort": "low"}],
    }
    plain = StrategySpec(name="Plain", max_tokens=64, expected_output_tokens=8, extra=extra)
    bench.actions = replace(bench.actions, strategies={"Plain": plain})
    kept = document_of(bench.decider())["strategies"]["Plain"]["extra"]
    assert kept == {"stop_token_ids": [7], "router": [{"effort": "low"}]}


def test_it_is_worked_out_once_for_a_decider(bench: Any) -> None:
    decider = bench.decider()
    assert decider.configuration is decider.configuration


@pytest.mark.parametrize(
    "other",
    [
        lambda bench: bench.decider(UniformPolicy()),
        lambda bench: bench.decider(exploration=0.1),
        lambda bench: bench.decider(greedy=True),
        lambda bench: bench.decider(deadline_quantile=0.5),
        lambda bench: bench.decider().with_rules([NO_A]),
        lambda bench: bench.decider().with_policy(JustEnoughPolicy(quality_floor=0.1)),
    ],
)
def test_another_way_to_decide_is_another_configuration(bench: Any, other: Any) -> None:
    one = bench.decider()
    before = one.configuration.configuration_id
    assert other(bench).configuration.configuration_id != before
    assert one.configuration.configuration_id == before


def test_another_version_of_a_policy_is_of_one_family(bench: Any) -> None:
    one = bench.decider(JustEnoughPolicy(quality_floor=0.1)).configuration
    other = bench.decider(JustEnoughPolicy(quality_floor=0.2)).configuration
    assert one.configuration_id != other.configuration_id
    assert one.family == other.family


def test_a_policy_that_is_replaced_is_described_anew(bench: Any) -> None:
    decider = bench.decider()
    before = decider.configuration
    decider.policy = UniformPolicy()
    assert decider.configuration.document["policy"]["name"] == "uniform"
    assert decider.configuration.configuration_id != before.configuration_id


DESCRIBE = """
import numpy as np
from inframind.fleet.clock import SystemClock
from inframind.fleet.endpoints import EndpointSpec, group_by_model
from inframind.graphs.registry import TopologyRegistry
from inframind.router.actions import ActionSpace, DEFAULT_STRATEGIES, strategies_by_name
from inframind.router.decide import Decider
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.policy import JustEnoughPolicy
from inframind.router.rules import Circumstances, RoutingRule
names = {names}
specs = [EndpointSpec(name=name + "-0", base_url="http://gpu/v1", model=name, size_b=8.0,
                      capabilities=["tools", "json", "vision"]) for name in names]
models, strategies = group_by_model(specs), strategies_by_name(DEFAULT_STRATEGIES)
actions = ActionSpace(models=models, strategies=strategies, topologies=TopologyRegistry().specs,
                      roles={{"general": ("Helper",)}})
rules = [RoutingRule(name="r", when=Circumstances(domains=frozenset({{"math", "code", "general"}})),
                     avoid_strategies=frozenset({{"Flash", "Concise", "Plain"}}))]
decider = Decider(actions, JustEnoughPolicy(), LearnedLatencyModel(models, strategies), clock=SystemClock(),
                  rng=np.random.default_rng(0)).with_rules(rules)
print(decider.configuration.configuration_id)
"""


def described(names: list[str], hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE.format(names=names)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONHASHSEED": hash_seed},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_its_id_is_the_same_in_every_process_and_order() -> None:
    (only,) = {described(["a", "b", "c"], "1"), described(["c", "a", "b"], "2")}
    assert len(only) == 64
