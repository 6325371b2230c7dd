"""The command line against a simulated fleet that `inframind simulate` itself serves."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner, Result

from inframind.plugin.cli import app
from inframind.plugin.config import load_settings

CLI = CliRunner()
QUESTION = "How many primes are below 100?"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The configuration that a running `inframind simulate` wrote; stopping it with Ctrl-C must be clean."""
    path = tmp_path_factory.mktemp("fleet") / "sim.toml"
    command = [
        sys.executable, "-m", "inframind.plugin.cli", "simulate",
        "-m", "llama-3.2-3b", "-m", "deepseek-r1-32b", "--replicas", "2", "--speed", "50",
        "--write-config", str(path),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        served = next((line for line in process.stdout if "serving" in line), None)
        assert served, process.stderr.read()
        yield path
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr.read() == ""


def inframind(config: Path, *arguments: str) -> Result:
    result = CLI.invoke(app, [*arguments, "--config", str(config)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def answered(config: Path) -> dict[str, object]:
    """What `run --json` printed for one question."""
    result = inframind(config, "run", QUESTION, "--budget", "20", "--topology", "Debate", "--json")
    assert result.exit_code == 0, result.stderr
    printed: dict[str, object] = json.loads(result.stdout)
    return printed


@pytest.fixture
def trace_id(answered: dict[str, object]) -> str:
    return str(answered["trace_id"])


def test_the_written_configuration_has_every_replica(config: Path) -> None:
    settings = load_settings(config)

    assert [(endpoint.name, endpoint.model, endpoint.priority) for endpoint in settings.endpoints] == [
        ("llama-3.2-3b-0", "llama-3.2-3b", True),
        ("llama-3.2-3b-1", "llama-3.2-3b", True),
        ("deepseek-r1-32b-0", "deepseek-r1-32b", True),
        ("deepseek-r1-32b-1", "deepseek-r1-32b", True),
    ]


def test_doctor_finds_a_simulated_fleet_healthy(config: Path) -> None:
    result = inframind(config, "doctor")

    assert result.exit_code == 0, result.stdout
    assert "37 checks: 0 failed, 0 with a warning" in result.stdout


def test_run_json_is_one_object_with_the_fields_of_a_result(answered: dict[str, object]) -> None:
    assert list(answered) == [
        "answer", "text", "status", "topology", "team", "rounds", "latency_s", "budget_s", "trace_id", "decisions",
    ]  # fmt: skip
    assert answered["topology"] == "Debate"
    assert answered["budget_s"] == 20.0
    assert answered["answer"]


def test_run_in_a_pipe_prints_its_steps_the_answer_and_the_trace(config: Path) -> None:
    result = inframind(config, "run", QUESTION, "--topology", "Reflection", "--team-size", "2")

    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("plan: Reflection with ")
    assert re.search(r"step 0: \w+ 1, round 1, [\w.-]+/\w+: started\n", result.stdout)
    assert re.search(r"step 1: \w+ 2, round 1, [\w.-]+/\w+: \d+\.\d+ s  ", result.stdout)
    assert "\\boxed{" in result.stdout
    assert re.search(r"\nin time: [\d.]+ s of 60.0 s; Reflection, 2 agent\(s\)", result.stdout)
    assert re.search(r"\ntrace [0-9a-f]{32}\n$", result.stdout)


def test_a_run_that_ends_without_an_answer_names_its_trace_which_is_kept(config: Path) -> None:
    result = inframind(config, "run", QUESTION, "--budget", "0.0001")

    assert result.exit_code == 1
    assert result.stderr.startswith("DeadlineExceeded: no answer within 0.0001 s")
    trace = re.search(r"trace ([0-9a-f]{32})", result.stderr)
    assert trace is not None
    assert inframind(config, "traces", "show", trace[1]).exit_code == 0


def test_explain_shows_the_decisions_of_a_trace_by_its_prefix(config: Path, trace_id: str) -> None:
    result = inframind(config, "explain", trace_id[:8])

    assert result.exit_code == 0, result.stderr
    assert trace_id in result.stdout
    assert "Topology and team: Debate/" in result.stdout
    assert "Model and strategy: " in result.stdout
    assert "reading's age" in result.stdout


def test_traces_are_listed_newest_first_and_filtered(config: Path, trace_id: str) -> None:
    listed = inframind(config, "traces", "list", "--topology", "Debate", "--since", "1h")
    nothing = inframind(config, "traces", "list", "--status", "cancelled")

    assert trace_id[:12] in listed.stdout
    assert "primes" in listed.stdout
    assert nothing.stdout == "no traces match\n"


def test_a_trace_shown_as_json_is_the_stored_record(config: Path, trace_id: str) -> None:
    shown = json.loads(inframind(config, "traces", "show", trace_id, "--json").stdout)

    assert (shown["trace_id"], shown["question"]) == (trace_id, QUESTION)
    assert shown["steps"] and shown["decisions"]


def test_an_export_holds_one_trace_a_line(config: Path, trace_id: str, tmp_path: Path) -> None:
    target = tmp_path / "traces.jsonl"

    result = inframind(config, "traces", "export", str(target), "--topology", "Debate")

    traces = [json.loads(line) for line in target.read_text().splitlines()]
    assert result.stdout.startswith(f"{len(traces)} traces written to")
    assert trace_id in [trace["trace_id"] for trace in traces]
    assert {trace["topology"] for trace in traces} == {"Debate"}


def test_feedback_is_recorded_and_replaced_by_saying_it_again(config: Path, trace_id: str) -> None:
    first = inframind(config, "feedback", trace_id[:10], "--solved")
    inframind(config, "feedback", trace_id, "--not-solved", "--comment", "25, not 24")
    inframind(config, "feedback", trace_id, "--key", "helpful", "--score", "0.5")

    outcomes = json.loads(inframind(config, "traces", "show", trace_id, "--json").stdout)["outcomes"]
    assert first.stdout == f"solved = 1 recorded on {trace_id}\n"
    assert [(outcome["key"], outcome["score"]) for outcome in outcomes] == [("solved", 0.0), ("helpful", 0.5)]
    assert trace_id[:12] in inframind(config, "traces", "list", "--not-solved").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --solved or --not-solved, or --key"),
        (["--solved", "--key", "x"], "give either --solved or --not-solved, or --key"),
        (["--key", "x"], "give --score, --value or --comment"),
        (["--solved", "--score", "1"], "go with --key"),
    ],
)
def test_contradictory_feedback_is_refused(
    config: Path, trace_id: str, arguments: list[str], message: str
) -> None:
    result = inframind(config, "feedback", trace_id, *arguments)

    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize("command", [["explain"], ["traces", "show"], ["feedback", "--solved"]])
def test_an_unknown_trace_points_to_the_list(config: Path, command: list[str]) -> None:
    result = inframind(config, *command, "f00dfeed")

    assert result.exit_code == 2
    assert result.stderr.startswith("UnknownTrace: no trace 'f00dfeed'")


def test_a_time_that_is_none_is_answered_with_examples(config: Path) -> None:
    result = inframind(config, "traces", "list", "--since", "yesterday")

    assert result.exit_code == 2
    assert "2h, 7d" in result.stderr


def test_reading_a_store_that_is_not_there_does_not_create_it(config: Path, tmp_path: Path) -> None:
    result = inframind(config, "traces", "list", "--store", str(tmp_path / "typo.db"))

    assert result.exit_code == 2
    assert "no such file" in result.stderr
    assert not (tmp_path / "typo.db").exists()


def test_the_first_decision_of_a_single_question_knows_the_load(config: Path, trace_id: str) -> None:
    trace = json.loads(inframind(config, "traces", "show", trace_id, "--json").stdout)
    loads = trace["decisions"][0]["seen"]["loads"]
    assert len(loads) == 4 and all(load["age_s"] is not None for load in loads.values())


def test_a_callers_mistake_is_in_no_statistics(config: Path, answered: dict[str, object]) -> None:
    before = inframind(config, "traces", "list", "--json").stdout
    for wrong in (("--topology", "debate"), ("--domain", "math", "--topology", "Foo")):
        assert inframind(config, "run", QUESTION, *wrong).exit_code == 2
    assert inframind(config, "traces", "list", "--json").stdout == before


def test_a_port_that_is_taken_is_named(config: Path) -> None:
    taken = urlsplit(load_settings(config).endpoints[0].base_url).port

    result = CLI.invoke(app, ["simulate", "-m", "llama-3.2-3b", "--port-base", str(taken)])

    assert result.exit_code == 2
    assert f"port {taken}: Address already in use" in result.stderr


def test_a_configuration_is_not_overwritten_by_a_second_fleet(config: Path) -> None:
    before = config.read_text()

    result = CLI.invoke(app, ["simulate", "-m", "llama-3.2-3b", "--write-config", str(config)])

    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert config.read_text() == before
