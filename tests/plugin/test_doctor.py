"""`inframind doctor` as an operator meets it: a table, a fix for each fault, an exit code."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from inframind.plugin.cli import app
from inframind.simulator.engine_profile import EngineProfile
from inframind.simulator.fleet import SimulatedFleetProcess
from inframind.simulator.model import EchoModel
from inframind.simulator.server import ServerSpec

PROFILE = EngineProfile(
    step_base_s=0.001, per_prefill_token_s=0.0, per_decode_token_s=0.0, kv_blocks=512, max_model_len=8192
)
SPECS = (
    ServerSpec(name="open", model="tiny", profile=PROFILE),
    ServerSpec(name="locked", model="tiny", profile=PROFILE, api_key="sesame"),
)


@pytest.fixture(scope="module")
def fleet() -> Iterator[SimulatedFleetProcess]:
    with SimulatedFleetProcess(SPECS, EchoModel()) as fleet:
        yield fleet


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "inframind.toml"


def endpoint(name: str, base_url: str, *more: str) -> str:
    lines = (f'name = "{name}"', f'base_url = "{base_url}"', 'model = "tiny"', *more)
    return "\n".join(["[[endpoints]]", *lines, ""])


def doctor(config: Path, *tables: str) -> Result:
    config.write_text("\n".join(tables))
    return CliRunner().invoke(app, ["doctor", "--config", str(config)])


def row(result: Result, *words: str) -> str:
    """The one line of the table that has all these words."""
    (line,) = [line for line in result.stdout.splitlines() if all(word in line for word in words)]
    return line


def test_a_healthy_fleet_and_store_exit_0(fleet: SimulatedFleetProcess, config: Path) -> None:
    result = doctor(config, endpoint("a", fleet.base_urls["open"]))

    assert result.exit_code == 0, result.stdout
    assert "10 checks: 0 failed, 0 with a warning" in result.stdout
    assert "written in" in row(result, "trace store", "ok")


def test_one_fault_among_many_endpoints_is_found_and_exits_1(
    fleet: SimulatedFleetProcess, config: Path
) -> None:
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{nobody_listens.getsockname()[1]}/v1"
        result = doctor(config, endpoint("up", fleet.base_urls["open"]), endpoint("down", down))

    assert result.exit_code == 1
    assert "start the server" in row(result, "down", "reachable", "fail")
    assert "1 failed" in result.stdout


def test_a_wrong_key_is_found_and_never_printed(
    fleet: SimulatedFleetProcess, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKED_KEY", "swordfish")

    result = doctor(config, endpoint("a", fleet.base_urls["locked"], 'api_key_env = "LOCKED_KEY"'))

    assert result.exit_code == 1
    assert "refused, HTTP 401" in row(result, "api key", "fail")
    assert "swordfish" not in result.output


def test_a_key_that_is_not_set_is_one_fault_beside_the_other_checks(
    fleet: SimulatedFleetProcess, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOCKED_KEY", raising=False)

    result = doctor(
        config,
        endpoint("a", fleet.base_urls["locked"], 'api_key_env = "LOCKED_KEY"'),
        endpoint("b", fleet.base_urls["open"]),
    )

    assert result.exit_code == 1
    assert "set this environment variable" in row(result, "api key", "fail")
    assert "11 checks: 1 failed" in result.stdout


def test_a_wrong_model_and_missing_metrics_are_each_a_fault_with_a_fix(
    fleet: SimulatedFleetProcess, config: Path
) -> None:
    url = fleet.base_urls["open"]
    table = endpoint("a", url, f'metrics_url = "{url}/nothing"').replace('"tiny"', '"gpt"')

    result = doctor(config, table)

    assert result.exit_code == 1
    assert "'tiny'" in row(result, "model", "fail")
    assert "set metrics_url to" in row(result, "metrics", "fail", "HTTP 404")


def test_replicas_that_contradict_each_other_are_a_fault(fleet: SimulatedFleetProcess, config: Path) -> None:
    url = fleet.base_urls["open"]

    result = doctor(config, endpoint("a", url, "size_b = 3"), endpoint("b", url, "size_b = 8"))

    assert result.exit_code == 1
    assert "give every replica of 'tiny' the same size_b" in row(result, "fleet", "replicas", "fail")


def test_a_store_that_cannot_be_opened_is_a_fault(fleet: SimulatedFleetProcess, config: Path) -> None:
    traces = '[traces]\nurl = "sqlite:///missing/folder/t.db"\n'

    result = doctor(config, endpoint("a", fleet.base_urls["open"]), traces)

    assert result.exit_code == 1
    assert "fail" in row(result, "trace store", "store")


def test_an_unknown_key_in_the_file_is_an_error_not_a_check(config: Path) -> None:
    result = doctor(config, endpoint("a", "http://127.0.0.1:9/v1", "sizeb = 3"))

    assert result.exit_code == 2
    assert result.stderr.startswith("ConfigError: endpoints.0.sizeb = 3: unknown key")


def test_a_postgresql_that_is_down_is_not_taken_for_a_folder(
    fleet: SimulatedFleetProcess, config: Path
) -> None:
    url = 'url = "postgresql://ann@127.0.0.1:1/inframind"'
    result = doctor(config, endpoint("a", fleet.base_urls["open"]), "[traces]", url)

    said = " ".join(result.stdout.split())
    assert result.exit_code == 1 and "folder" not in said
    assert "PostgreSQL" in said and "reachable" in said
