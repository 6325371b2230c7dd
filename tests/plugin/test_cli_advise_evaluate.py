"""``inframind advise evaluate`` as a user meets it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from inframind.advisor.analysis import Analysis
from inframind.advisor.option import Option
from inframind.arena.candidates.folder import RESULTS
from inframind.arena.grading import RememberingGrader
from inframind.arena.scenario import Scenario, models_of_fleet
from inframind.arena.virtual_run import run_virtually
from inframind.graphs.assembly import Parts
from inframind.graphs.registry import TopologyRegistry
from inframind.plugin.cli import app
from inframind.router.decide import DecideConfig
from inframind.router.policy import UniformPolicy
from inframind.router.rules import RoutingRule
from inframind.simulator.items import generate_items
from inframind.traces.advice import Recommendation
from inframind.traces.outcome_graph import KeptAnalysis
from inframind.traces.outcome_graphs import graph_of
from inframind.traces.records import Outcome, Trajectory
from inframind.traces.store import open_store

CONFIG = """
[[endpoints]]
name = "llama-3.2-3b"
base_url = "http://127.0.0.1:9/v1"
model = "llama-3.2-3b"
size_b = 3.2
api_key_env = "NOT_SET_WHERE_THIS_RUNS"

[[endpoints]]
name = "llama-3.1-8b"
base_url = "http://127.0.0.1:9/v1"
model = "llama-3.1-8b"

[policy]
name = "uniform"
exploration = 0.5
max_team = 1
topologies = ["IO"]
"""
RULES = '[[rules]]\nname = "no Flash"\navoid_strategies = ["Flash"]\n'
SMALL = ["--on", "simulated", "--rates", "300", "--seeds", "1", "--questions", "6"]
FOUND = "abcdef012345" + "0" * 20


@pytest.fixture(scope="module")
def runs() -> tuple[Trajectory, ...]:
    models = models_of_fleet("h100")
    scenario = Scenario(
        profiles=models.profiles[:2],
        parameters=models.parameters,
        items=generate_items(60, seed=1),
        training_items=(),
        questions=450,
        rates_per_min=(120.0,),
        seeds=(0,),
    )
    parts = Parts(
        endpoints=(),
        registry=TopologyRegistry().only(("IO",)),
        decide=DecideConfig(exploration=0.5),
        max_team=1,
    )
    ran = run_virtually(
        scenario, UniformPolicy(), seed=0, rate_per_min=120.0, grader=RememberingGrader(), parts=parts
    )
    solved = {one.trace_id: one.solved for one in ran.episodes}
    now_s, kept = time.time(), tuple(ran.trajectories.values())
    return tuple(
        replace(
            run,
            arrived_at_s=now_s - 60 - place,
            outcomes=(
                Outcome(
                    feedback_id="g", key="solved", score=float(solved[run.trace_id]), recorded_at_s=now_s - 30
                ),
            ),
        )
        for place, run in enumerate(kept)
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "inframind.toml").write_text(CONFIG)
    (tmp_path / "flash.toml").write_text(RULES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fill(home: Path, runs: tuple[Trajectory, ...] = (), *, found: bool = False) -> None:
    """Keep traces and, where ``found``, a recommendation and an analysis."""

    async def put() -> None:
        async with open_store(f"sqlite:///{home / 'inframind.db'}") as store:
            for run in runs:
                await store.put(run)
            if found:
                await graph_of(store).add_recommendations([_recommendation()])
                kept = KeptAnalysis(at_s=1.0, configuration_id="c", document=_analysis().to_json())
                await graph_of(store).keep_analysis(kept)

    asyncio.run(put())


def _recommendation() -> Recommendation:
    return Recommendation(
        recommendation_id=FOUND,
        made_at_s=1.0,
        kind="cheapest",
        configuration_id="c",
        title="Leave out DeepThink",
        reason="it is dear",
        rules=({"name": "no DeepThink", "avoid_strategies": ["DeepThink"]},),
        predictions=(),
    )


def _analysis() -> Analysis:
    option = Option(
        option_id="0123456789ab",
        kind="cheapest",
        cluster_id="",
        domain="",
        rules=(RoutingRule(name="no Plain", avoid_strategies=frozenset({"Plain"})),),
        title="Leave out Plain",
        reason="it is plain",
        predictions=(),
        evidence=(),
    )
    return Analysis(
        at_s=1.0,
        configuration_id="c",
        runs=1,
        labelled=1,
        failures=0,
        since_s=0.0,
        until_s=1.0,
        options=(option,),
    )


def call(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["advise", "evaluate", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def summary(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["advise", "evaluate", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    read: dict[str, Any] = json.loads(result.stdout)
    return read


def test_rules_of_a_file_are_tried_on_recorded_runs(home: Path, runs: tuple[Trajectory, ...]) -> None:
    (home / "large.toml").write_text('[[rules]]\nname = "large"\nonly_models = ["llama-3.1-8b"]\n')
    fill(home, runs)
    found = summary("--rules", "large.toml", "--out", "out")
    (large,) = found["candidates"]
    assert (large["name"], large["source"]) == ("large", "large.toml")
    assert large["rules"] == [{"name": "large", "only_models": ["llama-3.1-8b"]}]
    success = large["changes"]["success"]
    assert success["low"] < success["change"] < success["high"]
    assert success["value"] == pytest.approx(found["baseline"]["values"]["success"] + success["change"])
    assert json.loads((home / "out" / "summary.json").read_text()) == found
    output = call("--rules", "large.toml", "--out", "out")
    assert "large.toml" in output
    assert "as it is" in output


def test_it_goes_on_with_the_runs_that_it_began_with(home: Path, runs: tuple[Trajectory, ...]) -> None:
    fill(home, runs[:200])
    first = summary("--rules", "flash.toml", "--out", "out")
    fill(home, runs)
    assert summary("--rules", "flash.toml", "--out", "out") == first
    said = " ".join(call("--rules", "flash.toml", "--out", "out").split())
    assert "with the 200 runs that it began with" in said
    assert "give another folder by --out" in said
    assert summary("--rules", "flash.toml", "--out", "anew") != first


def test_recommendations_and_what_the_latest_analysis_found_are_tried(
    home: Path, runs: tuple[Trajectory, ...]
) -> None:
    fill(home, runs[:50], found=True)
    named = summary(FOUND[:8], "--out", "named")["candidates"]
    assert [(one["name"], one["source"]) for one in named] == [("abcdef012345", "Leave out DeepThink")]
    latest = summary("--out", "latest")["candidates"]
    assert [(one["name"], one["source"]) for one in latest] == [("0123456789ab", "Leave out Plain")]
    assert latest[0]["standing"] == "unknown"
    assert "not enough evidence" in latest[0]["reason"]


def test_candidates_that_are_wrong_are_said_to_be_and_stop_nobody(home: Path) -> None:
    (home / "broken.toml").write_text("[[rules]\n")
    (home / "strange.toml").write_text("colour = 1\n")
    (home / "other.toml").write_text(CONFIG.replace("max_team = 1", "max_team = 9"))
    (home / "many.toml").write_text(
        '[[candidates]]\nname = "gone"\n[[candidates.rules]]\nname = "r"\navoid_models = ["gpt-9"]\n'
        '[[candidates]]\nname = "idle"\n[[candidates.rules]]\nname = "r"\n'
        "[[candidates]]\n"
    )
    files = [f"--rules={name}.toml" for name in ("broken", "strange", "other", "many", "flash")]
    found = {one["name"]: one for one in summary(*files, *SMALL)["candidates"]}
    assert found["flash"]["standing"] == "unknown"
    reasons = {name: one["reason"] for name, one in found.items() if one["standing"] == "invalid"}
    assert set(reasons) == {"broken", "strange", "other", "gone", "idle", "many 3"}
    for name, words in (
        ("broken", "cannot be read"),
        ("strange", "has colour: write [[rules]]"),
        ("other", "policy.max_team"),
        ("gone", "gpt-9"),
        ("idle", "avoids nothing"),
        ("many 3", "it has no name"),
    ):
        assert words in reasons[name]


def test_where_no_candidate_can_be_tried_it_fails(home: Path) -> None:
    (home / "strange.toml").write_text("colour = 1\n")
    assert "cannot be tried" in call("--rules", "strange.toml", *SMALL, code=1)


def test_a_grid_and_another_configuration_are_simulated(home: Path) -> None:
    (home / "other.toml").write_text(CONFIG.replace('name = "uniform"', 'name = "just_enough"'))
    found = summary("--grid", "models,only", "--rules", "other.toml", *SMALL)
    names = {one["name"] for one in found["candidates"]}
    assert names == {
        "without llama-3.2-3b",
        "without llama-3.1-8b",
        "only llama-3.2-3b",
        "only llama-3.1-8b",
        "only Concise",
        "only DeepThink",
        "only Flash",
        "only Plain",
        "other",
    }
    by_name = {one["name"]: one for one in found["candidates"]}
    assert by_name["without llama-3.2-3b"]["changes"] == by_name["only llama-3.1-8b"]["changes"]
    assert by_name["other"]["by_rate"]["300"]["offered"] == 6
    assert by_name["other"]["reason"] == "intervals need 3 seeds: there are 1"


def test_a_folder_of_another_evaluation_is_refused(home: Path) -> None:
    call("--rules", "flash.toml", *SMALL, "--out", "out")
    (home / "flash.toml").write_text(RULES.replace('["Flash"]', '["Plain"]'))
    output = call("--rules", "flash.toml", *SMALL, "--out", "out", code=2)
    assert "candidates.flash was" in output.replace("\n", " ")
    call("--rules", "flash.toml", *SMALL)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seeds", "2"], "it means nothing with --on traces"),
        (["--on", "simulated", "--runs", "5"], "it means nothing with --on simulated"),
        (["--by-domain"], "together with --grid"),
        (["--grid", "colours"], "use some of: models, only"),
        (["--rules", "flash.toml"], "use --on simulated"),
        (["--on", "simulated"], "let `inframind advise` look at the traces first"),
        (["ffffff"], "no recommendation"),
        (["--grid", "models", "--ray-address", "auto"], "together with engine ray"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_tried(home: Path, arguments: list[str], words: str) -> None:
    fill(home)
    assert words in " ".join(call(*arguments, code=2).split())


def test_ctrl_c_says_how_to_go_on_and_it_does(home: Path) -> None:
    arguments = ["advise", "evaluate", "--grid", "strategies", *SMALL, "--questions", "40", "--out", "cut"]
    results = home / "cut" / RESULTS
    with subprocess.Popen(
        [sys.executable, "-m", "inframind.plugin.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ},
    ) as process:
        deadline = time.monotonic() + 60
        while not results.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    if process.returncode:  # else it was done before it was told to stop
        assert process.returncode == 130
        assert "go on with: inframind advise evaluate --grid strategies" in " ".join(said.split())
    again = summary("--grid", "strategies", *SMALL, "--questions", "40", "--out", "cut")
    assert again == summary("--grid", "strategies", *SMALL, "--questions", "40", "--out", "whole")
