"""``inframind evaluate`` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inframind.plugin.cli import app

SMALL = ["--rates", "120,300", "--seeds", "1", "--questions", "8", "-c", "just-enough,best-constant"]


def call(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["evaluate", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_it_prints_a_table_and_writes_tables_and_a_report(tmp_path: Path) -> None:
    output = call(*SMALL, "--out", str(tmp_path / "new" / "folder"))
    for name in ("just-enough", "best-constant"):
        assert name in output
    folder = tmp_path / "new" / "folder"
    names = {path.name for path in folder.iterdir()}
    assert names == {"episodes.parquet", "calls.parquet", "load.parquet", "summary.json", "report.html"}
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["facts"]["seeds"] == 1
    assert str(folder / "report.html") in output.replace("\n", "")


def test_items_of_a_file_are_asked_and_learned_from_in_halves(tmp_path: Path) -> None:
    items = tmp_path / "items.jsonl"
    lines = [json.dumps({"problem": f"What is ${n} + {n}$?", "answer": str(2 * n)}) for n in range(10)]
    items.write_text("\n".join(lines))
    call(*SMALL, "--items", str(items), "--fleet", "h100", "--out", str(tmp_path / "out"))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["facts"]["training questions"] == 5


def test_a_recorded_table_is_replayed(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    rows = [f"q{q},large,1,10\nq{q},small,{q % 2},1" for q in range(20)]
    table.write_text("\n".join(["question_id,model,was_right,seconds", *rows]))
    output = call("--replay", str(table), "--column", "solved=was_right", "--budgets", "none", "--seeds", "2")
    assert "always large" in output
    assert "oracle" in output


def test_the_list_shows_who_there_is() -> None:
    output = call("--list")
    for name in ("oracle", "knn", "fixed:", "by default"):
        assert name in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-c", "nobody"], "contender = 'nobody'"),
        (["--rates", "fast"], "give numbers, such as 10,100,300"),
        (["--rates", "-5"], "positive number of questions a minute"),
        (["--arrivals", "sometimes"], "poisson"),
        (["--budgets", "plenty"], "loguniform"),
        (["--items", "missing.jsonl"], "missing.jsonl"),
        (["--replay", "missing.parquet"], "missing.parquet"),
    ],
)
def test_a_wrong_call_is_explained_in_one_line(arguments: list[str], words: str) -> None:
    assert words in call(*arguments, code=2)
