"""The demo's exit code says whether the main job worked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inframind.errors import ConfigError
from inframind.plugin.cli import app
from inframind.plugin.commands.demo import DemoOptions

FAST = ("--rate", "1200", "--speed", "50", "--budget-min", "20", "--budget-max", "30")


def test_a_topology_that_there_is_not_is_refused_before_anything_starts(tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["demo", "--topology", "Ring", "--questions", "2", "--speed", "50", "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, out.exists()) == (2, False)
    assert result.stderr.startswith("UnknownTopology: unknown topology 'Ring'")


@pytest.mark.parametrize(("field", "value"), [("policy", "coin"), ("exploration", 1.5), ("speed", 0.0)])
def test_wrong_options_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field):
        DemoOptions(**{field: value})  # type: ignore[arg-type]


def test_a_question_that_fails_is_counted_and_makes_the_exit_code_1(tmp_path: Path) -> None:
    items = tmp_path / "items.jsonl"
    problems = ("What is $3 + 4$?", "What is $3 + 4$?" + " " * 400_000)
    items.write_text("\n".join(json.dumps({"problem": problem, "answer": "7"}) for problem in problems))
    arguments = ["demo", "--items", str(items), *FAST, "--topology", "IO", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert "1 failed" in result.stdout
    assert "1 x InvalidQuestion" in result.stdout
    assert result.exit_code == 1, result.output


def test_the_help_says_what_the_exit_codes_mean() -> None:
    shown = " ".join(CliRunner().invoke(app, ["demo", "--help"]).stdout.split())
    assert "1 a question failed; 2 an option is wrong" in shown
