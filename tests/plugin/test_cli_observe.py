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
    done = subprocess.run(
        [sys.executable, "-m", "inframind.plugin.cli", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "", "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(PROGRAM)
    with simulated_endpoints(models=["llama-3.2-3b", "llama-3.1-8b"]) as endpoints:
        write_endpoints(tmp_path / "inframind.toml", endpoints, force=False)
    return tmp_path


def test_a_program_is_watched_and_then_shown(folder: Path) -> None:
    assert "No run was watched yet" in inframind(folder, "traces", "observed")
    assert inframind(folder, "observe", "app.py", "--port", "80") == "['--port', '80'] four\n"
    shown = inframind(folder, "traces", "observed")
    assert "answer" in shown and "1 run\n" in shown
