"""``inframind evaluate`` as a user meets it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from inframind.arena.contenders.contender import Contender, Setting
from inframind.arena.results.archive import read_evaluation
from inframind.plugin.cli import app
from inframind.router.policy import Policy, UniformPolicy

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


def test_the_summary_alone_is_printed_as_json_and_read_again(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    result = CliRunner().invoke(app, ["evaluate", *SMALL, "--json", "--out", str(folder)])
    assert result.exit_code == 0, result.output
    assert result.stdout == (folder / "summary.json").read_text()
    assert "just-enough" in result.stderr
    (folder / "report.html").unlink()
    again = CliRunner().invoke(app, ["evaluate", "--read", str(folder), "--json"])
    assert again.stdout == result.stdout
    assert "best-constant" in call("--read", str(folder))
    assert (folder / "report.html").exists()


def test_a_replay_is_printed_as_json(recorded: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["evaluate", "--replay", str(recorded), "--json", "--out", str(tmp_path)]
    )
    assert result.stdout == (tmp_path / "replay.json").read_text()


def test_questions_come_in_a_mix_that_shifts_and_wait_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    call(
        *SMALL, "--mix", "levels=1", "--then", "0.5:levels=5", "--scheduling", "fcfs", "--out", str(tmp_path)
    )
    evaluation = read_evaluation(tmp_path)
    for run in evaluation.runs:
        assert [episode.level for episode in run.episodes] == [1] * 4 + [5] * 4
    assert evaluation.facts["mix"] == "levels=1, then 0.5:levels=5"
    assert evaluation.facts["scheduling"] == "fcfs"


def test_a_question_that_a_file_repeats_is_taken_once(tmp_path: Path) -> None:
    items = tmp_path / "items.jsonl"
    texts = [
        "What is $1 + 1$?",
        "What is $2 + 2$?",
        "What is $1 + 1$?",
        "What is $3 + 3$?",
        "What is $1 + 1$?",
    ]
    items.write_text("\n".join(json.dumps({"problem": text, "answer": "2"}) for text in texts))
    output = call(*SMALL, "--items", str(items), "--out", str(tmp_path / "out"))
    assert f"{items}: 2 repeated questions dropped" in output.replace("\n", "")
    facts = json.loads((tmp_path / "out" / "summary.json").read_text())["facts"]
    assert (facts["training questions"], facts["questions"]) == (2, "1, of which 8 are asked in a run")


def test_a_recorded_table_is_replayed(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    rows = [f"q{q},large,1,10\nq{q},small,{q % 2},1" for q in range(20)]
    table.write_text("\n".join(["question_id,model,was_right,seconds", *rows]))
    output = call(
        "--replay",
        str(table),
        "--column",
        "solved=was_right",
        "--budgets",
        "none",
        "--seeds",
        "2",
        "--out",
        str(tmp_path),
    )
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
        (["--mix", "hard"], "write levels=1,2,3"),
        (["--mix", "levels=9"], "there are levels 1, 2, 3, 4, 5; domains math; subjects"),
        (["--then", "levels=5"], "such as 0.5:levels=4,5"),
        (["--read", "nowhere"], "there is no finished evaluation"),
        (["--read", "nowhere", "--out", "else"], "it means nothing with --read"),
        (["--read", "nowhere", "--replay", "table.csv"], "it means nothing with --read"),
        (["--items", "missing.jsonl"], "missing.jsonl"),
        (["--replay", "missing.parquet"], "missing.parquet"),
    ],
)
def test_a_wrong_call_is_explained_in_one_line(arguments: list[str], words: str) -> None:
    assert words in call(*arguments, code=2)


class _Breaks:
    """Fails, or is interrupted, after it was made some times: once for rehearsal, then for each workload."""

    def __init__(self, error: BaseException, after: int) -> None:
        self._error, self._after, self._made = error, after, 0

    def __call__(self, setting: Setting) -> Policy:
        self._made += 1
        if self._made > self._after:
            raise self._error
        return UniformPolicy()


def _named(name: str, make: Callable[[Setting], Policy]) -> Contender:
    """A contender whose name is not the one that it is imported by."""
    return Contender(name=name, family="heuristic", summary="breaks", make=make)


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (ZeroDivisionError("mine"), 1)])
def test_what_was_finished_before_the_end_is_kept(
    error: BaseException, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        sys.modules, "my_policies", SimpleNamespace(breaks=_named("mine", _Breaks(error, after=3)))
    )
    named = ["-c", "just-enough,my_policies:breaks", "--rates", "120,300", "--seeds", "3", "--questions", "8"]
    output = call(*named, "--out", str(tmp_path), code=code)
    assert "cut short: 2 of 6 workloads" in output
    evaluation = read_evaluation(tmp_path)
    assert {(run.seed, run.rate_per_min) for run in evaluation.runs} == {(0, 120.0), (0, 300.0)}
    assert evaluation.facts["cut short"] == "2 of 6 workloads (seed and rate)"
    assert (tmp_path / "report.html").exists()


def test_where_no_workload_was_finished_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = _Breaks(ZeroDivisionError("mine"), after=1)
    monkeypatch.setitem(sys.modules, "my_policies", SimpleNamespace(broken=broken))
    output = call("-c", "just-enough,my_policies:broken", *SMALL[:6], "--out", str(tmp_path), code=1)
    assert "0 of 2 workloads (seed and rate) done, nothing was written" in output
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    table = tmp_path / "table.csv"
    rows = [f"q{q},large,1,10\nq{q},small,{q % 2},1" for q in range(20)]
    table.write_text("\n".join(["question_id,model,solved,seconds", *rows]))
    return table


def test_a_replay_is_written_down(recorded: Path, tmp_path: Path) -> None:
    call("--replay", str(recorded), "--seeds", "1", "--out", str(tmp_path / "new" / "out"))
    folder = tmp_path / "new" / "out"
    assert {path.name for path in folder.iterdir()} == {"replay.json", "standings.parquet"}
    document = json.loads((folder / "replay.json").read_text())
    assert document["arms"] == ["large", "small"]
    assert [one["name"] for one in document["standings"]][:: len(document["standings"]) - 1] == [
        "best_constant",
        "oracle",
    ]
    rows = pq.read_table(folder / "standings.parquet").to_pylist()
    assert len(rows) == sum(len(one["scores"]) for one in document["standings"])
    assert rows[0]["quality"] == document["standings"][0]["scores"][0]["quality"]["value"]


def test_a_replay_is_played_by_those_who_are_named(recorded: Path, tmp_path: Path) -> None:
    call("--replay", str(recorded), "-c", "always small,oracle", "-c", "random", "--out", str(tmp_path))
    standings = json.loads((tmp_path / "replay.json").read_text())["standings"]
    assert [one["name"] for one in standings] == ["best_constant", "always small", "random", "oracle"]


def test_an_own_contender_is_replayed_by_its_import_name(recorded: Path, tmp_path: Path) -> None:
    call(
        "--replay", str(recorded), "-c", "inframind.arena.replay.contenders:Cheapest", "--out", str(tmp_path)
    )
    standings = json.loads((tmp_path / "replay.json").read_text())["standings"]
    assert [one["name"] for one in standings] == ["best_constant", "cheapest", "oracle"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("nobody", "always small"), ("nowhere:me", "nowhere"), ("json:loads", "name a ReplayContender")],
)
def test_a_replay_names_who_could_take_part(recorded: Path, name: str, words: str) -> None:
    assert words in call("--replay", str(recorded), "-c", name, code=2)


@pytest.mark.parametrize(
    "option",
    [
        ["--rates", "10"],
        ["--questions", "5"],
        ["--arrivals", "poisson"],
        ["--items", "mine.jsonl"],
        ["--fleet", "reference"],
        ["--replicas", "1"],
        ["--workers", "1"],
        ["--quick"],
        ["--mix", "levels=1"],
        ["--then", "0.5:levels=1"],
        ["--scheduling", "fcfs"],
        ["--list"],
    ],
)
def test_an_option_of_the_simulated_fleet_means_nothing_in_a_replay(
    recorded: Path, option: list[str]
) -> None:
    output = call("--replay", str(recorded), *option, code=2)
    assert f"{option[0]} = " in output
    assert "it means nothing with --replay" in output


@pytest.mark.parametrize(
    "option",
    [["--benchmark", "math"], ["--column", "solved=right"], ["--price", "a=1"], ["--cost", "tokens"]],
)
def test_an_option_of_a_replay_needs_one(option: list[str]) -> None:
    output = call(*option, code=2)
    assert f"{option[0]} = " in output
    assert "give it together with --replay TABLE" in output
