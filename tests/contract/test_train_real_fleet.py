"""``inframind train`` on a fleet that is called over HTTP, in real time: simulated always, real vLLM on demand.

The real servers' random model is right about nothing, and its training still has to come to its end; what it learns
is not asked here. Trainings run in processes of their own, as a user's do, so that one can be killed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.contract.vllm_servers import (
    ALIAS,
    API_KEY,
    MAX_MODEL_LEN,
    MAX_NUM_SEQS,
    MODEL,
    has_real_target,
    real_base_urls,
)

from inframind.arena.scenario import endpoint_tables, fleet_specs
from inframind.arena.training.run_folder import read_history
from inframind.plugin.commands.write_config import write_endpoints
from inframind.router.actions import DEFAULT_STRATEGIES
from inframind.router.policy_file import load_policy
from inframind.simulator.fleet import SimulatedFleetProcess
from inframind.simulator.items import generate_items, load_items
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.prompt_reading import AnswerKey

RUN_FILES = {
    "config.json", "curves.jsonl", "summary.json", "report.html",
    "policy.safetensors", "last.safetensors", "state.safetensors",
}  # fmt: skip
KEY_VARIABLE = "TINY_API_KEY"
MAX_TOKENS = 16
"""Of every answer of the real servers."""
PATIENCE_S = 300.0
"""How long a training may take before something is wrong with it: ten times what it does on two busy cores."""


@pytest.fixture
def items(tmp_path: Path) -> Path:
    path = tmp_path / "items.jsonl"
    rows = [{"problem": item.question, "answer": item.answer} for item in generate_items(24, 5)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture(params=["simulated", pytest.param("vllm", marks=pytest.mark.vllm)])
def config(request: pytest.FixtureRequest, items: Path, tmp_path: Path) -> Iterator[Path]:
    """A configuration of two servers of two models, of which neither is said to be the better one."""
    path = tmp_path / "fleet.toml"
    if request.param == "vllm":
        if not has_real_target():
            pytest.skip("needs real vLLM servers: run `make test-vllm`")
        write_config(path, real_endpoints(), short_strategies())
        yield path
        return
    specs = fleet_specs(["llama-3.2-3b", "llama-3.1-8b"])
    model = LatentDifficultyModel(AnswerKey(load_items(items)))
    with SimulatedFleetProcess(specs, model, seed=1, speed=50.0) as fleet:
        write_config(path, endpoint_tables(specs, fleet.base_urls))
        yield path


def write_config(path: Path, endpoints: Sequence[Mapping[str, Any]], more: str = "") -> None:
    """Write a configuration that leaves it open which model is good, so that a short training asks both."""
    write_endpoints(path, [{**endpoint, "quality": 0.5} for endpoint in endpoints])
    with path.open("a") as file:
        file.write(more)


def real_endpoints() -> list[dict[str, Any]]:
    """The real pair, taken for servers of two models."""
    urls = real_base_urls()
    common = {"size_b": 1, "context_length": MAX_MODEL_LEN, "max_num_seqs": MAX_NUM_SEQS}
    fcfs = {"name": "fcfs", "base_url": urls["fcfs"], "model": MODEL, "api_key_env": KEY_VARIABLE}
    priority = {"name": "priority", "base_url": urls["priority"], "model": ALIAS, "priority": True}
    return [{**common, **fcfs}, {**common, **priority}]


def short_strategies() -> str:
    """The default strategies with little room for answers, as TOML."""
    tables = []
    for strategy in DEFAULT_STRATEGIES:
        short = strategy.model_copy(
            update={"max_tokens": MAX_TOKENS, "expected_output_tokens": MAX_TOKENS}
        ).model_dump(exclude={"extra"})
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in short.items()]
        tables.append("\n[[strategies]]\n" + "".join(lines))
    return "".join(tables)


def started(*arguments: str) -> subprocess.Popen[str]:
    """An ``inframind train`` that runs."""
    command = [sys.executable, "-m", "inframind.plugin.cli", "train", *arguments]
    environment = os.environ | {KEY_VARIABLE: API_KEY}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def finished(child: subprocess.Popen[str]) -> str:
    """What a training printed that came to its end."""
    try:
        said, _ = child.communicate(timeout=PATIENCE_S)
    finally:
        child.kill()
    assert child.returncode == 0, said
    return said


def on(config: Path, items: Path, run: Path, *, epochs: int) -> Sequence[str]:
    """Arguments of a training of two sweeps and 12 runs an epoch."""
    return [
        "--config", str(config), "--items", str(items), "--out", str(run), "--epochs", str(epochs),
        "--rates", "600,1200", "--scale", "0.075", "--budgets", "fixed:60",
    ]  # fmt: skip


def test_a_training_runs_to_its_end(config: Path, items: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    said = finished(started(*on(config, items, run, epochs=2)))
    assert "policy.safetensors" in said
    assert {path.name for path in run.iterdir()} == RUN_FILES
    history = read_history(run)
    assert [(one.epoch, one.runs) for one in history] == [(0, 12), (1, 24)]
    models = json.loads((run / "config.json").read_text())["facts"]["models"]
    assert {model for one in history for model in one.models} == set(models)
    assert load_policy(run / "policy.safetensors").weights.latency is not None


def test_a_killed_training_goes_on_without_losing_or_repeating_an_epoch(
    config: Path, items: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    child = started(*on(config, items, run, epochs=3))
    try:
        wait_for(run / "state.safetensors", child)  # written last: the epoch's line is in the curves by then
    finally:
        child.kill()
        child.communicate(timeout=PATIENCE_S)
    before = (run / "curves.jsonl").read_text().splitlines()
    assert 1 <= len(before) < 3
    assert not (run / "summary.json").exists()

    said = finished(started("--resume", "--out", str(run)))
    assert f"going on after epoch {len(before)}" in said
    assert (run / "curves.jsonl").read_text().splitlines()[: len(before)] == before
    assert [(one.epoch, one.runs) for one in read_history(run)] == [(0, 12), (1, 24), (2, 36)]
    assert {path.name for path in run.iterdir()} == RUN_FILES


def wait_for(path: Path, child: subprocess.Popen[str]) -> None:
    """Return as soon as a training has written a file."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert child.poll() is None, finished(child)
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
