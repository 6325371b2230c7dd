"""The configuration: what is read, what is refused, and what is never shown."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest

from inframind.errors import ConfigError
from inframind.plugin.config import load_settings, settings_from

ENDPOINT: dict[str, Any] = {"name": "e", "base_url": "http://gpu/v1", "model": "m"}
SECRET = "sk-very-secret-0123456789"


def with_endpoint(**values: Any) -> dict[str, Any]:
    return {"endpoints": [{**ENDPOINT, **values}]}


def everything_said(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


def test_a_minimal_file_gives_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "inframind.toml"
    path.write_text('[[endpoints]]\nname = "e"\nbase_url = "http://gpu/v1"\nmodel = "m"\n')
    settings = load_settings(path)
    assert (settings.run.budget_s, settings.policy.name, settings.fleet.passes) == (60.0, "just_enough", 2)
    assert [spec.name for spec in settings.endpoint_specs()] == ["e"]
    assert [strategy.name for strategy in settings.all_strategies()] == [
        "Flash",
        "Concise",
        "Plain",
        "DeepThink",
    ]
    assert settings.fleet_config().breaker.open_s == 2.0 and settings.decide_config().exploration == 0.0


def test_every_section_reaches_its_part() -> None:
    settings = settings_from(
        {
            **with_endpoint(max_concurrency=3),
            "run": {"budget_s": 5, "domain": "math", "max_question_chars": 10},
            "policy": {"exploration": 0.25},
            "fleet": {"passes": 3, "breaker": {"failure_threshold": 9}},
            "strategies": [{"name": "Plain", "max_tokens": 7, "expected_output_tokens": 2}],
        }
    )
    assert settings.run_defaults().budget_s == 5.0 and settings.run_defaults().max_question_chars == 10
    assert settings.decide_config().exploration == 0.25
    assert (settings.fleet_config().passes, settings.fleet_config().breaker.failure_threshold) == (3, 9)
    assert {s.name: s.max_tokens for s in settings.all_strategies()}["Plain"] == 7
    assert len(settings.all_strategies()) == 4 and settings.endpoint_specs()[0].max_concurrency == 3


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        ({}, "endpoints", "required"),
        ({"endpoints": []}, "endpoints", "at least 1"),
        ({**with_endpoint(), "runn": {}}, "runn", "unknown section [runn]; did you mean [run]?"),
        (
            {**with_endpoint(), "polcy": {"seed": 1}},
            "polcy",
            "unknown section [polcy]; did you mean [policy]?",
        ),
        ({"endpoint": [{}]}, "endpoint", "unknown section [[endpoint]]; did you mean [[endpoints]]?"),
        ({**with_endpoint(), "roles_fil": "x"}, "roles_fil", "unknown key; did you mean 'roles_file'?"),
        (
            {**with_endpoint(), "strategies": [{"name": "Bullets", "max_tokens": 9}]},
            "strategies.Bullets.expected_output_tokens",
            "this key is required",
        ),
        ({**with_endpoint(), "strategies": [{}]}, "strategies.1.name", "this key is required"),
        ({**with_endpoint(), "run": {"budget": 5}}, "run.budget", "did you mean 'budget_s'"),
        ({**with_endpoint(), "run": {"budget_s": 0}}, "run.budget_s", "greater than 0"),
        ({**with_endpoint(), "run": {"budget_s": float("inf")}}, "run.budget_s", "finite"),
        ({**with_endpoint(), "run": {"budget_s": "soon"}}, "run.budget_s", "valid number"),
        ({**with_endpoint(), "run": {"domain": "law"}}, "run.domain", "'math'"),
        ({**with_endpoint(), "policy": {"name": "best"}}, "policy.name", "'uniform' or 'learned'"),
        ({**with_endpoint(), "policy": {"exploration": 2}}, "policy.exploration", "less than or equal to 1"),
        ({**with_endpoint(), "policy": {"max_team": 7}}, "policy.max_team", "less than or equal to 6"),
        (with_endpoint(base_url="gpu"), "endpoints.0.base_url", "full URL"),
        (with_endpoint(model=None), "endpoints.0.model", "valid string"),
        ({"endpoints": [{"name": "e", "model": "m"}]}, "endpoints.0.base_url", "required"),
        (with_endpoint(api_key_env="X", api_key_file="y"), "endpoints.0", "contradict each other"),
        ({**with_endpoint(), "run": {"budget_s": 0, "bogus": 1}}, "run.budget_s", "(1 more problem)"),
    ],
)
def test_a_wrong_value_is_named_with_its_place_and_what_to_write(
    values: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_from(values)
    assert caught.value.field == field and said in caught.value.fix


@pytest.mark.parametrize(
    ("values", "method", "field"),
    [
        ({"policy": {"greedy": True, "exploration": 0.1}}, "decide_config", "policy.exploration"),
        ({"fleet": {"breaker": {"open_s": 99.0}}}, "fleet_config", "breaker.open_s"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    values: dict[str, Any], method: str, field: str
) -> None:
    settings = settings_from({**with_endpoint(), **values})
    with pytest.raises(ConfigError) as caught:
        getattr(settings, method)()
    assert caught.value.field == field


def test_the_environment_overrides_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFRAMIND_RUN__BUDGET_S", "20")
    monkeypatch.setenv("INFRAMIND_FLEET__BREAKER__FAILURE_THRESHOLD", "7")
    monkeypatch.setenv("INFRAMIND_POLICY__SEED", "3")
    settings = settings_from({**with_endpoint(), "run": {"budget_s": 5, "domain": "math"}})
    assert (settings.run.budget_s, settings.run.domain) == (20.0, "math")
    assert (settings.fleet.breaker.failure_threshold, settings.policy.seed) == (7, 3)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("INFRAMIND_RUN__BUDGET_S", "soon", "run.budget_s"),
        ("INFRAMIND_RUN__BUDGET", "5", "run.budget"),
        ("INFRAMIND_ENDPOINTS", "not json", "environment"),
    ],
)
def test_a_wrong_variable_is_a_config_error(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=said):
        settings_from(with_endpoint())


def test_a_key_from_a_variable_or_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOME_KEY", SECRET)
    (tmp_path / "key").write_text(f"{SECRET}\n")
    (tmp_path / "c.toml").write_text(
        '[[endpoints]]\nname = "a"\nbase_url = "http://gpu/v1"\nmodel = "m"\napi_key_env = "SOME_KEY"\n'
        '[[endpoints]]\nname = "b"\nbase_url = "http://gpu/v1"\nmodel = "m"\napi_key_file = "key"\n'
    )
    settings = load_settings(tmp_path / "c.toml")
    for spec in settings.endpoint_specs():
        assert spec.api_key is not None and spec.api_key.get_secret_value() == SECRET
        assert SECRET not in repr(spec) + str(spec) + spec.model_dump_json()
    assert SECRET not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"api_key_env": "INFRAMIND_TEST_NOT_SET"}, "endpoints.e.api_key_env"),
        ({"api_key_file": "/nonexistent/key"}, "endpoints.e.api_key_file"),
    ],
)
def test_a_key_that_is_missing_is_said_so(values: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_from(with_endpoint(**values)).endpoint_specs()
    assert caught.value.field == field


def test_an_empty_key_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("\n")
    with pytest.raises(ConfigError, match="the file is empty"):
        settings_from(with_endpoint(api_key_file=str(tmp_path / "key"))).endpoint_specs()


@pytest.mark.parametrize(
    "values",
    [
        with_endpoint(api_key=SECRET, size_b="big"),
        with_endpoint(api_key=SECRET, api_key_env="X"),
        with_endpoint(api_key=[SECRET]),
        with_endpoint(apikey=SECRET),
        with_endpoint(token=SECRET),
        with_endpoint(base_url=f"http://user:{SECRET}@gpu/v1"),
        with_endpoint(metrics_url=f"http://user:{SECRET}@gpu/metrics"),
        {**with_endpoint(api_key=SECRET), "run": {"budget_s": -1}},
        {"endpoints": {"api_key": SECRET}},
        {**with_endpoint(), "rules": [{"name": "r", "api_token": SECRET}]},
        {**with_endpoint(), "rules": [{"name": "r", "extra": {"key": SECRET}}]},
    ],
)
def test_a_secret_is_in_no_error_and_in_no_traceback(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_from(values)
    assert SECRET not in everything_said(caught.value)


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        'roles_file = "more/roles.toml"\n[traces]\nurl = "sqlite:///data/t.db"\n'
        '[[endpoints]]\nname = "a"\nbase_url = "http://gpu/v1"\nmodel = "m"\napi_key_file = "keys/a"\n'
    )
    settings = load_settings(tmp_path / "c.toml")
    assert settings.roles_file == tmp_path / "more" / "roles.toml"
    assert settings.traces.url == f"sqlite:///{tmp_path}/data/t.db"
    assert settings.endpoints[0].api_key_file == tmp_path / "keys" / "a"


def test_absolute_paths_stay_and_the_given_mapping_is_left_alone(tmp_path: Path) -> None:
    values = {**with_endpoint(api_key_file="key"), "traces": {"url": f"sqlite:///{tmp_path}/t.db"}}
    for _ in range(2):
        settings = settings_from(values, base=Path("relative"))
        assert settings.endpoints[0].api_key_file == Path("relative/key")
        assert settings.traces.url == f"sqlite:///{tmp_path}/t.db"
    assert values["endpoints"][0]["api_key_file"] == "key"


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no such file"), (b"[[endpoints", "not valid TOML"), (b"\xff\xfe", "cannot be read")],
)
def test_a_file_that_cannot_be_read_is_a_config_error(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "c.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        load_settings(path)
