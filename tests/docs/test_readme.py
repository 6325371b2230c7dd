"""What the README shows is run: every Python block, and every `inframind` command of its console blocks."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from inframind.arena.scenario import endpoint_tables, fleet_specs
from inframind.plugin.commands.write_config import write_endpoints
from inframind.simulator.fleet import SimulatedFleetProcess
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.prompt_reading import AnswerKey

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
    specs = fleet_specs()
    with SimulatedFleetProcess(specs, LatentDifficultyModel(AnswerKey()), speed=50) as fleet:
        write_endpoints(folder / "inframind.toml", endpoint_tables(specs, fleet.base_urls), force=False)
        yield folder


def run(command: list[str], folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", PYTHON_BLOCKS, ids=range(len(PYTHON_BLOCKS)))
def test_python_block_runs(block: str, folder: Path) -> None:
    run([sys.executable, "-W", "error", "-c", block], folder)


@pytest.mark.parametrize("command", [c for c in COMMANDS if " simulate " not in c])
def test_console_command_runs(command: str, folder: Path) -> None:
    run([sys.executable, "-m", "inframind.plugin.cli", *shlex.split(command)[1:]], folder)


def test_readme_shows_python_and_commands() -> None:
    assert len(PYTHON_BLOCKS) >= 3
    assert len(COMMANDS) >= 3
