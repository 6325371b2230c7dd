"""Endpoints: what is refused and why, and what replicas have in common."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from inframind.errors import ConfigError
from inframind.fleet.endpoints import EndpointSpec, default_quality, group_by_model
from inframind.fleet.snapshot import EndpointLoad, FleetSnapshot

BASE: dict[str, Any] = {"name": "a", "base_url": "http://gpu:8000/v1", "model": "m"}


def spec(**values: Any) -> EndpointSpec:
    return EndpointSpec.model_validate({**BASE, **values})


@pytest.mark.parametrize(
    ("values", "where", "said"),
    [
        ({"base_url": "gpu:8000"}, "base_url", "full URL such as"),
        ({"base_url": "ftp://gpu/v1"}, "base_url", "full URL such as"),
        ({"base_url": "http:///v1"}, "base_url", "full URL such as"),
        ({"base_url": "http://user:hunter2@gpu/v1"}, "base_url", "no credentials in the URL"),
        ({"metrics_url": "gpu/metrics"}, "metrics_url", "full URL such as"),
        ({"name": ""}, "name", "at least 1"),
        ({"model": ""}, "model", "at least 1"),
        ({"size_b": 0}, "size_b", "greater than 0"),
        ({"quality": 1.0}, "quality", "less than 1"),
        ({"max_concurrency": 0}, "max_concurrency", "greater than 0"),
        ({"price_output_usd_per_mtok": -1}, "price_output_usd_per_mtok", "greater than or equal to 0"),
        ({"capabilities": ["telepathy"]}, "capabilities", "'tools', 'json', 'vision' or 'reasoning'"),
        ({"colour": "red"}, "colour", "not permitted"),
    ],
)
def test_an_impossible_field_is_named(values: dict[str, Any], where: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        spec(**values)
    first = caught.value.errors()[0]
    assert first["loc"][0] == where and said in first["msg"]
    assert "hunter2" not in str(caught.value)


def test_a_key_is_in_no_text_about_the_endpoint() -> None:
    shown = spec(api_key="sk-hidden")
    assert shown.api_key is not None and shown.api_key.get_secret_value() == "sk-hidden"
    with pytest.raises(ValidationError) as caught:
        spec(api_key="sk-hidden", size_b="big")
    for text in (
        repr(shown),
        str(shown),
        shown.model_dump_json(),
        str(shown.model_dump()),
        str(caught.value),
    ):
        assert "sk-hidden" not in text


@pytest.mark.parametrize(
    ("values", "scrape_url"),
    [
        ({}, "http://gpu:8000/metrics"),
        ({"base_url": "http://gpu:8000/v1/"}, "http://gpu:8000/metrics"),
        ({"base_url": "https://host/proxy"}, "https://host/proxy/metrics"),
        ({"metrics_url": "http://other:9/m"}, "http://other:9/m"),
        ({"metrics": False, "metrics_url": "http://other:9/m"}, None),
    ],
)
def test_where_metrics_are_read(values: dict[str, Any], scrape_url: str | None) -> None:
    assert spec(**values).scrape_url == scrape_url


def test_replicas_are_one_model_with_what_all_of_them_can() -> None:
    facts = group_by_model(
        [
            spec(name="a1", context_length=8192, capabilities=["tools", "json"], max_concurrency=4),
            spec(name="b", model="other", quality=0.9),
            spec(name="a2", context_length=4096, capabilities=["tools"], max_concurrency=2),
        ]
    )
    assert list(facts) == ["m", "other"]
    assert facts["m"].endpoints == ("a1", "a2")
    assert (facts["m"].context_length, facts["m"].slots) == (4096, 6)
    assert facts["m"].capabilities == {"tools"}
    assert facts["m"].quality == pytest.approx(8 / 14) and facts["other"].quality == 0.9


@pytest.mark.parametrize(("size_b", "quality"), [(3.0, 1 / 3), (8.0, 4 / 7), (14.0, 0.7), (32.0, 32 / 38)])
def test_quality_by_size(size_b: float, quality: float) -> None:
    assert default_quality(size_b) == pytest.approx(quality)


@pytest.mark.parametrize(
    ("endpoints", "field"),
    [
        ([], "endpoints"),
        ([spec(), spec()], "endpoints.name"),
        ([spec(), spec(name="b", size_b=9)], "endpoints.size_b"),
        ([spec(), spec(name="b", quality=0.5)], "endpoints.quality"),
        ([spec(), spec(name="b", price_output_usd_per_mtok=1)], "endpoints.price_output_usd_per_mtok"),
    ],
)
def test_a_fleet_that_contradicts_itself_is_refused(endpoints: list[EndpointSpec], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        group_by_model(endpoints)
    assert caught.value.field == field and caught.value.fix


def load(name: str, **values: Any) -> EndpointLoad:
    return EndpointLoad(**{"endpoint": name, "model": "m", "max_concurrency": 10, **values})


@pytest.mark.parametrize(
    ("values", "occupancy"),
    [
        ({}, 0.0),
        ({"in_flight": 5}, 0.5),
        ({"running": 3.0, "waiting": 1.0, "in_flight": 2, "age_s": 0.1}, 0.4),
        ({"running": 3.0, "waiting": 1.0, "in_flight": 8, "waiting_here": 4, "age_s": 0.1}, 1.2),
    ],
)
def test_occupancy_counts_what_is_known_to_be_there(values: dict[str, Any], occupancy: float) -> None:
    assert load("a", **values).occupancy == pytest.approx(occupancy)


def test_the_least_loaded_replica_is_one_that_may_be_called() -> None:
    loads = [
        load("idle", breaker="open"),
        load("busy", in_flight=9),
        load("half", breaker="half_open", in_flight=3),
    ]
    snapshot = FleetSnapshot(taken_s=0.0, loads={each.endpoint: each for each in loads})
    least = snapshot.least_loaded("m")
    assert least is not None and least.endpoint == "half"
    assert snapshot.least_loaded("unknown") is None
