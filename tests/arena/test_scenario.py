from __future__ import annotations

import pytest

from inframind.arena.scenario import endpoint_tables, fleet_specs, models_of_fleet
from inframind.errors import ConfigError
from inframind.plugin.config import settings_from


def test_all_five_models_are_served_unless_some_are_named() -> None:
    assert [spec.name for spec in fleet_specs()] == [
        "llama-3.2-3b", "llama-3.1-8b", "qwen2.5-coder-14b", "mistral-small-24b", "deepseek-r1-32b",
    ]  # fmt: skip
    assert [spec.model for spec in fleet_specs(["llama-3.1-8b"])] == ["llama-3.1-8b"]


def test_replicas_share_a_model_and_have_names_of_their_own() -> None:
    specs = fleet_specs(["llama-3.1-8b"], replicas=2, scheduling_policy="fcfs")

    assert [(spec.name, spec.model) for spec in specs] == [
        ("llama-3.1-8b-0", "llama-3.1-8b"),
        ("llama-3.1-8b-1", "llama-3.1-8b"),
    ]
    assert {spec.profile.scheduling_policy for spec in specs} == {"fcfs"}


def test_the_tables_of_a_fleet_are_a_valid_configuration() -> None:
    specs = fleet_specs(replicas=2)
    urls = {spec.name: f"http://127.0.0.1:{9000 + port}/v1" for port, spec in enumerate(specs)}

    settings = settings_from({"endpoints": endpoint_tables(specs, urls), "traces": {"url": "memory:"}})

    assert [endpoint.base_url for endpoint in settings.endpoints] == list(urls.values())
    assert all(endpoint.priority for endpoint in settings.endpoints)


def test_an_unknown_model_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"models = 'gpt'.*llama-3\.2-3b"):
        fleet_specs(["gpt"])


def test_a_fleet_needs_a_replica() -> None:
    with pytest.raises(ConfigError, match="at least one server"):
        fleet_specs(replicas=0)


def test_the_reference_fleet_is_slower_and_wordier_than_the_other() -> None:
    reference, h100 = models_of_fleet("reference"), models_of_fleet("h100")
    names = [profile.name for profile in reference.profiles]
    assert names == [profile.name for profile in h100.profiles]
    for name in names:
        ours, theirs = reference.parameters.model_traits(name), h100.parameters.model_traits(name)
        assert (ours.skill, ours.size_b) == (theirs.skill, theirs.size_b)
        assert ours.verbosity > theirs.verbosity or ours.thinking_tokens > theirs.thinking_tokens


def test_a_fleet_that_does_not_exist_is_answered_with_those_that_do() -> None:
    with pytest.raises(ConfigError, match=r"fleet = 'tpu'.*reference, h100"):
        models_of_fleet("tpu")
