"""``inframind observe`` and ``inframind traces observed``: a program that knows nothing of us, watched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from inframind.arena.playground import simulated_endpoints
from inframind.plugin.commands.write_config import write_endpoints

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from langchain_core.language_models import FakeListChatModel
from langgraph.graph import START, MessagesState, StateGraph

model = FakeListChatModel(responses=["four"])
node = lambda state: {"messages": [model.invoke(state["messages"])]}
graph = StateGraph(MessagesState).add_node("answer", node).add_edge(START, "answer").compile()
print(sys.argv[1:], graph.invoke({"messages": [("user", "What is 2 + 2?")]})["messages"][-1].text)
"""


def inframind(folder: Path, *arguments: str) -> str:
    return ran(folder, *arguments).stdout


def ran(folder: Path, *arguments: str, is_well: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "inframind.plugin.cli", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "", "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0 or not is_well, done.stderr
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(PROGRAM)
    with simulated_endpoints(models=["llama-3.2-3b", "llama-3.1-8b"]) as endpoints:
        write_endpoints(tmp_path / "inframind.toml", endpoints)
    return tmp_path


def test_a_program_is_watched_and_then_shown(folder: Path) -> None:
    assert "No run was watched yet" in inframind(folder, "traces", "observed")
    watched = ran(folder, "observe", "app.py", "--port", "80")
    said = "1 run, 1 call: 100 % would have gone to another model"
    assert watched.stdout == "['--port', '80'] four\n"
    assert watched.stderr == f"inframind observe: {said}. More: inframind traces observed\n"
    shown = inframind(folder, "traces", "observed")
    assert "answer" in shown and f"{said}\n" in shown


def test_a_program_that_calls_no_model_is_told_so_however_it_ends(folder: Path) -> None:
    (folder / "app.py").write_text("import sys; sys.exit('stopped')")
    done = ran(folder, "observe", "app.py", is_well=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "inframind observe: No call of a model was heard. More: inframind traces observed",
        "stopped",
    ]
