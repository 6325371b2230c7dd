"""``inframind train`` and ``inframind demo --train`` as a user meets them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inframind.arena.replay.router_file import load_router
from inframind.arena.scenario import fleet_specs
from inframind.arena.training.run_folder import read_history
from inframind.errors import CheckpointError
from inframind.plugin.cli import app
from inframind.plugin.commands.demo_train import DemoTraining, demo_training
from inframind.plugin.commands.evaluate import Scale
from inframind.plugin.terminal import out
from inframind.router.policy_file import load_policy
from inframind.router.published.policy_file import load_published
from inframind.simulator.items import generate_items

RUN_FILES = {
    "config.json", "curves.jsonl", "summary.json", "report.html",
    "policy.safetensors", "last.safetensors", "state.safetensors",
}  # fmt: skip


def call(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def items(tmp_path: Path) -> Path:
    path = tmp_path / "items.jsonl"
    rows = [
        {"problem": item.question, "answer": item.answer, "level": item.level}
        for item in generate_items(24, 5)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def small(items: Path, *more: str) -> list[str]:
    return ["train", "--items", str(items), "--fleet", "h100", "--epochs", "2", "--rates", "60,300",
            "--scale", "0.1", *more]  # fmt: skip


def test_a_training_writes_a_run_folder_that_can_be_evaluated(items: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    output = call(*small(items, "--out", str(run)))
    assert {path.name for path in run.iterdir()} == RUN_FILES
    assert [one.runs for one in read_history(run)] == [12, 24]
    assert "epoch 2, 24 runs:" in output
    assert f"inframind evaluate -c trained:{run},knn-on-time" in output.replace("\n", "")
    assert load_policy(run / "policy.safetensors").facts["training_questions"] == 12

    judged = call(
        "evaluate", "-c", f"trained:{run},best-constant", "--items", str(items), "--fleet", "h100",
        "--rates", "120", "--seeds", "1", "--questions", "6", "--out", str(tmp_path / "evaluation"),
    )  # fmt: skip
    assert "trained:" in judged


def test_the_same_seed_gives_the_same_policy(items: Path, tmp_path: Path) -> None:
    policies = []
    for name in ("one", "two"):
        call(*small(items, "--seed", "3", "--out", str(tmp_path / name)))
        policies.append((tmp_path / name / "policy.safetensors").read_bytes())
    assert policies[0] == policies[1]


def test_the_reward_its_parameters_and_the_price_are_kept(items: Path, tmp_path: Path) -> None:
    call(
        *small(items, "--reward", "additive", "--parameter", "penalty=2", "--price", "0.5"),
        *("--out", str(tmp_path / "run")),
    )
    learner = json.loads((tmp_path / "run" / "config.json").read_text())["learner"]
    assert learner["reward"] == {"name": "additive", "parameters": {"penalty": 2.0}}
    assert learner["valuation"]["price"] == 0.5


def test_the_published_learner_is_trained_too(items: Path, tmp_path: Path) -> None:
    call(*small(items, "--learner", "published", "--out", str(tmp_path / "run")))
    assert load_published(tmp_path / "run" / "policy.safetensors").models == tuple(
        spec.model for spec in fleet_specs()
    )


def test_quick_is_three_short_epochs(items: Path, tmp_path: Path) -> None:
    call("train", "--quick", "--rates", "300", "--items", str(items), "--out", str(tmp_path / "run"))
    assert [one.runs for one in read_history(tmp_path / "run")] == [16, 32, 48]


def heed_interrupts() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so would its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_training_that_was_stopped_goes_on_to_the_same_policy(
    items: Path, tmp_path: Path, stop: signal.Signals
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    arguments = [word if word != "2" else "4" for word in small(items)]
    command = [sys.executable, "-m", "inframind.plugin.cli", *arguments, "--out", str(parts)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=heed_interrupts)
    while not (parts / "state.safetensors").exists():
        assert child.poll() is None
        time.sleep(0.02)
    os.kill(child.pid, stop)
    said, _ = child.communicate(timeout=60)
    if stop is signal.SIGINT:
        assert f"train --resume --out {parts}" in said.replace("\n", "")
        assert child.returncode == 130
    assert not (parts / "summary.json").exists()

    assert "going on after epoch" in call("train", "--resume", "--out", str(parts))
    call(*arguments, "--out", str(whole))
    for name in RUN_FILES:
        assert (parts / name).read_bytes() == (whole / name).read_bytes(), name


def test_a_training_does_not_go_on_with_other_questions(items: Path, tmp_path: Path) -> None:
    call(*small(items, "--out", str(tmp_path / "run")))
    (tmp_path / "run" / "summary.json").unlink()
    items.write_text(items.read_text() + '\n{"problem": "What is $1 + 1$?", "answer": "2"}')
    output = call("train", "--resume", "--out", str(tmp_path / "run"), code=2)
    assert "its questions have changed: start anew" in output


def test_a_training_does_not_go_on_with_another_learner(items: Path, tmp_path: Path) -> None:
    call(*small(items, "--out", str(tmp_path / "run")))
    (tmp_path / "run" / "summary.json").unlink()
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["learner"]["hidden"] += 1
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    output = call("train", "--resume", "--out", str(tmp_path / "run"), code=2)
    assert "resume.learner" in output
    assert "it is not what it was" in output


def test_a_finished_training_is_neither_overwritten_nor_resumed(items: Path, tmp_path: Path) -> None:
    call(*small(items, "--out", str(tmp_path / "run")))
    assert "a finished training is in it" in call(*small(items, "--out", str(tmp_path / "run")), code=2)
    assert "this training is finished" in call("train", "--resume", "--out", str(tmp_path / "run"), code=2)


def recorded(path: Path) -> Path:
    lines = [f"q{q},large,1,10\nq{q},small,{q % 2},1" for q in range(40)]
    path.write_text("\n".join(["question_id,arm,solved,seconds", *lines]))
    return path


def test_recorded_tables_are_learned_from(tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    tables.mkdir()
    recorded(tables / "first.csv")
    recorded(tables / "second.csv")
    output = call("train", "--replay", str(tables), "--out", str(tmp_path / "routers"))
    assert "best arm" in output
    assert load_router(tmp_path / "routers" / "first.safetensors").arms == ("large", "small")
    assert (tmp_path / "routers" / "second.safetensors").exists()
    again = call("train", "--replay", str(tables), "--out", str(tmp_path / "routers"), code=2)
    assert "there is a router already" in again


def test_a_policy_is_no_router_of_a_table(items: Path, tmp_path: Path) -> None:
    call(*small(items, "--out", str(tmp_path / "run")))
    with pytest.raises(CheckpointError, match="no router of a recorded table"):
        load_router(tmp_path / "run" / "policy.safetensors")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--reward", "glory"], "use one of: on_time, additive, signed"),
        (["--parameter", "much"], "write NAME=NUMBER"),
        (["--parameter", "colour=1"], "on_time takes: w"),
        (["--learner", "published", "--price", "1"], "the published learner has its own"),
        (["--learner", "published", "--reward", "signed"], "the published learner has its own"),
        (["--price", "-1"], "at least 0"),
        (["--scale", "0"], "give a positive number"),
        (["--rates", "-5"], "give a positive rate"),
        (["--rates", "fast"], "give numbers, such as 10,100,300"),
        (["--budgets", "plenty"], "loguniform"),
        (["--arrivals", "sometimes"], "poisson"),
        (["--items", "missing.jsonl"], "missing.jsonl"),
        (["--config", "missing.toml"], "no such file"),
        (["--config", "some.toml", "--fleet", "h100"], "--config names a fleet"),
        (["--cost", "tokens"], "give it with --replay"),
        (["--replay", "table.csv", "--epochs", "3"], "it means nothing with --replay"),
        (["--replay", "missing.csv"], "missing.csv"),
        (["--resume", "--seed", "1"], "a training goes on as it was begun"),
        (["--resume"], "there is no training in this folder"),
    ],
)
def test_wrong_options_say_what_to_write_instead(arguments: list[str], words: str, tmp_path: Path) -> None:
    output = call("train", *arguments, "--out", str(tmp_path / "run"), code=2)
    assert words in output
    assert not (tmp_path / "run").exists()


def test_a_folder_without_tables_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    output = call("train", "--replay", str(tmp_path / "empty"), "--out", str(tmp_path / "out"), code=2)
    assert "there is no table in this folder" in output


def test_the_demo_trains_evaluates_and_writes_both_reports(items: Path, tmp_path: Path) -> None:
    options = DemoTraining(
        out=tmp_path,
        items_file=items,
        epochs=1,
        scale=0.05,
        judged=Scale(rates_per_min=(120.0,), seeds=1, questions=6),
    )
    pages = [*demo_training(options, out(), opens=False), *demo_training(options, out(), opens=False)]
    assert [page.relative_to(tmp_path).as_posix() for page in pages] == [
        "evaluation/report.html",
        "training-1/report.html",
        "evaluation/report.html",
        "training-2/report.html",
    ]
    summary = (tmp_path / "evaluation" / "summary.json").read_text()
    for name in ("knn-on-time", "just-enough", "best-constant", "random"):
        assert f'"{name}"' in summary


def test_options_of_the_other_demo_are_refused() -> None:
    assert "it means nothing with --train" in call("demo", "--train", "--rate", "10", code=2)
    assert "give it together with --train" in call("demo", "--open", code=2)
