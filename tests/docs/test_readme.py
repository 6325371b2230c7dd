"""What the README shows is run: every Python block, and every `inframind` command of its console blocks."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from inframind.arena.scenario import endpoint_tables, fleet_specs
from inframind.plugin.commands.write_config import write_endpoints
from inframind.simulator.fleet import SimulatedFleetProcess
from inframind.simulator.model import ToolCaller
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.prompt_reading import AnswerKey

SMALL = ["--questions", "4", "--seeds", "1", "--rates", "300"]
"""What evaluations are cut down to here: the README's take minutes."""

MY_MODULE = """
from inframind.router.policy import UniformPolicy

class MyPolicy(UniformPolicy):
    name = "mine"
"""

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.removeprefix("$ ")
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ inframind")
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the configuration of a simulated fleet that runs."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "my_module.py").write_text(MY_MODULE)
    write_tables(folder)
    specs = fleet_specs()
    model = ToolCaller(speaker=LatentDifficultyModel(AnswerKey()))
    with SimulatedFleetProcess(specs, model, speed=50) as fleet:
        write_endpoints(folder / "inframind.toml", endpoint_tables(specs, fleet.base_urls))
        yield folder


def write_tables(folder: Path) -> None:
    """Recorded answers: with the names that need no options, and with others."""
    rows = [
        (f"q{q}", model, int(model == "large" or q % 2)) for q in range(20) for model in ("small", "large")
    ]
    columns = {"question_id": 0, "model": 1, "is_solved": 2}
    table = pa.table({name: [row[place] for row in rows] for name, place in columns.items()})
    parquet.write_table(
        table.append_column("seconds", pa.array([1.0] * len(rows))), folder / "outcomes.parquet"
    )
    lines = [f"{question},{model},{solved},{1 + solved}" for question, model, solved in rows]
    (folder / "mine.csv").write_text("\n".join(["question_id,model,correct,took", *lines]))


def run(command: list[str], folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", PYTHON_BLOCKS, ids=range(len(PYTHON_BLOCKS)))
def test_python_block_runs(block: str, folder: Path) -> None:
    run([sys.executable, "-W", "error", "-c", block], folder)


@pytest.mark.parametrize("command", [c for c in COMMANDS if " simulate " not in c])
def test_console_command_runs(command: str, folder: Path) -> None:
    is_large = " evaluate " in command and "--replay" not in command and "--list" not in command
    arguments = [*shlex.split(command, comments=True)[1:], *(SMALL if is_large else [])]
    run([sys.executable, "-m", "inframind.plugin.cli", *arguments], folder)


def test_readme_shows_python_and_commands() -> None:
    assert len(PYTHON_BLOCKS) >= 3
    assert len(COMMANDS) >= 3
