"""The command line without any server: help, errors, the example configuration."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from inframind import __version__
from inframind.plugin.cli import app
from inframind.plugin.config import (
    BreakerSection,
    EndpointSection,
    FleetSection,
    PolicySection,
    RunSection,
    TracesSection,
    load_settings,
)
from inframind.plugin.config_advisor import AdvisorSection
from inframind.router.actions import StrategySpec
from inframind.router.rules import Circumstances, RoutingRule

CLI = CliRunner()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "inframind.toml"
    path.write_text('[[endpoints]]\nname = "a"\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "m"\n')
    return path


def test_help_loads_neither_torch_nor_langgraph() -> None:
    script = (
        "import sys; sys.argv = ['inframind', '--help']\n"
        "from inframind.plugin.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'langgraph', 'numpy', 'pydantic', 'sqlalchemy', 'openai'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert "demo" in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        "init", "doctor", "demo", "simulate", "run", "explain", "feedback",
        "traces list", "traces show", "traces export",
    ],
)  # fmt: skip
def test_every_command_explains_itself_by_example(command: str) -> None:
    result = CLI.invoke(app, [*command.split(), "--help"], env={"COLUMNS": "200"})

    assert result.exit_code == 0
    assert f"inframind {command}" in result.stdout


def test_the_version_is_the_packages() -> None:
    assert CLI.invoke(app, ["--version"]).stdout == f"inframind {__version__}\n"


# init ------------------------------------------------------------------------------------------------------


def test_init_writes_a_configuration_that_loads(tmp_path: Path) -> None:
    path = tmp_path / "new.toml"

    result = CLI.invoke(app, ["init", str(path)])

    assert result.exit_code == 0
    settings = load_settings(path)
    assert [endpoint.name for endpoint in settings.endpoints] == ["small-0", "large-0"]


@pytest.mark.parametrize(
    "section",
    [
        EndpointSection,
        RunSection,
        PolicySection,
        FleetSection,
        BreakerSection,
        TracesSection,
        StrategySpec,
        RoutingRule,
        Circumstances,
        AdvisorSection,
    ],
)
def test_the_example_shows_every_key_there_is(tmp_path: Path, section: type[BaseModel]) -> None:
    path = tmp_path / "new.toml"
    CLI.invoke(app, ["init", str(path)])
    shown = {line.lstrip("# ").partition(" =")[0] for line in path.read_text().splitlines() if " = " in line}

    hidden = {
        "api_key",
        "breaker",
        "when",
    }  # a key belongs into no file; [fleet.breaker], [rules.when] are tables

    assert set(section.model_fields) - hidden <= shown


def test_the_example_also_loads_with_every_commented_key(tmp_path: Path) -> None:
    path = tmp_path / "new.toml"
    CLI.invoke(app, ["init", str(path)])
    excluded = (
        "api_key_file",
        "roles_file",
        "content_key_env",
        "resumed_at",
    )  # one of two that exclude each other, a file that is not there, and keys that need another mode
    lines = []
    for line in path.read_text().splitlines():
        bare = line.removeprefix("# ")
        is_key = " = " in bare and bare.split(" = ")[0].isidentifier() and not bare.startswith(excluded)
        lines.append(bare if is_key or bare.startswith(("[[strategies]]", "[[rules]]", "[rules")) else line)
    path.write_text("\n".join(lines))

    settings = load_settings(path)

    assert settings.strategies[0].name == "Bullets"
    assert [rule.name for rule in settings.rules] == ["small model stays off code", "small teams"]
    assert settings.rules[0].when.hours_utc == (22, 6)
    assert settings.endpoints[0].api_key_env == "SMALL_API_KEY"


def test_init_never_loses_a_file_unless_forced(config: Path) -> None:
    before = config.read_text()

    refused = CLI.invoke(app, ["init", str(config)])

    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert config.read_text() == before
    assert CLI.invoke(app, ["init", str(config), "--force"]).exit_code == 0
    assert config.read_text() != before


def test_init_into_a_missing_folder_says_so(tmp_path: Path) -> None:
    result = CLI.invoke(app, ["init", str(tmp_path / "no" / "x.toml")])

    assert result.exit_code == 2
    assert "cannot be written: No such file or directory" in result.stderr


def test_the_package_runs_as_the_command_line() -> None:
    command = [sys.executable, "-m", "inframind", "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == f"inframind {__version__}\n"


# Errors ----------------------------------------------------------------------------------------------------


def test_an_error_is_one_line_on_stderr(config: Path) -> None:
    config.write_text(config.read_text() + "\n[run]\nbudgets = 3\n")

    result = CLI.invoke(app, ["run", "Why?", "--config", str(config)])

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "ConfigError: run.budgets = 3: unknown key; did you mean 'budget_s'?\n"


def test_debug_lets_the_error_through(tmp_path: Path) -> None:
    result = CLI.invoke(app, ["--debug", "run", "Why?", "--config", str(tmp_path / "none.toml")])

    assert type(result.exception).__name__ == "ConfigError"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Why?", "--budget", "-1"], "InvalidBudget: budget_s = -1.0"),
        (["Why?", "--budget", "nan"], "InvalidBudget"),
        (["   "], "InvalidQuestion: question is empty"),
        (["Why?", "--topology", "Ring"], "UnknownTopology: unknown topology 'Ring'; choose one of: auto, IO"),
    ],
)
def test_a_wrong_call_exits_2_and_teaches(config: Path, arguments: list[str], message: str) -> None:
    result = CLI.invoke(app, ["run", *arguments, "--config", str(config)])

    assert result.exit_code == 2
    assert result.stderr.startswith(message)


def test_a_fleet_that_is_down_exits_1(config: Path) -> None:
    result = CLI.invoke(app, ["run", "Why?", "--config", str(config), "--budget", "5"])

    assert result.exit_code == 1
    assert "FleetExhausted" in result.stderr
    assert "inframind doctor" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--questions", "3", "--budget-min", "9", "--budget-max", "3"], "budget-max = 3.0"),
        (["--rate", "0"], "rate = 0.0"),
        (["--speed", "0"], "speed = 0.0"),
    ],
)
def test_an_impossible_demo_is_refused_before_anything_starts(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = CLI.invoke(app, ["demo", "--out", str(tmp_path / "out"), *arguments])

    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_file_of_questions_that_is_not_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    items = tmp_path / "items.jsonl"
    items.write_bytes(b'{"question": "1+1?", "answer": "2"}\n{"question": "\xff", "answer": "2"}\n')

    result = CLI.invoke(app, ["demo", "--items", str(items), "--out", str(tmp_path / "out")])

    assert result.exit_code == 2
    assert result.stderr.startswith(f"InvalidItems: {items}, line 2: not UTF-8")


def test_an_unknown_model_is_answered_with_those_that_can_be_simulated() -> None:
    result = CLI.invoke(app, ["simulate", "-m", "gpt"])

    assert result.exit_code == 2
    assert "llama-3.2-3b" in result.stderr
