"""Applications that are watched without an edit, as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import inframind
from inframind.plugin.graphs.shadow import shadows_of
from inframind.traces.store import open_store

SOURCE = Path(inframind.__file__).parents[1]
APPLICATION = """
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langgraph.graph import START, MessagesState, StateGraph
{imports}
model = FakeListChatModel(responses=["an answer"])
builder = StateGraph(MessagesState).add_node("n", lambda state: {{"messages": [model.invoke(state["messages"])]}})
graph = builder.add_edge(START, "n").compile(name="theirs")
print(graph.invoke({{"messages": [("user", "How many?")]}})["messages"][-1].text)
"""
CONFIG = """
[[endpoints]]
name = "e0"
base_url = "http://127.0.0.1:9/v1"
model = "m0"
metrics = false

[traces]
url = "sqlite:///traces.db"
"""
WATCHED_ON_IMPORT = "import inframind"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "inframind.toml").write_text(CONFIG, encoding="utf-8")
    return tmp_path


def run(place: Path, program: str, *arguments: str, observe: str | None = None) -> tuple[str, str]:
    """Standard output and error of a program that ends well."""
    (place / "app.py").write_text(program, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    environment.pop("INFRAMIND_OBSERVE", None)
    if observe:
        environment["INFRAMIND_OBSERVE"] = observe
    command = [sys.executable, *(arguments or ("app.py",))]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


async def seen(place: Path) -> list[tuple[str, str, str]]:
    async with open_store(f"sqlite:///{place / 'traces.db'}") as store:
        traces = [trace async for trace in store.iter()]
        for trace in traces:
            assert [one.decision.policy for one in shadows_of(trace).values()] == ["shadow:just_enough"]
            assert type(shadows_of(trace)[0].decision.actions) is tuple
        return [
            (str(trace.metadata["graph"]), step.node, step.text) for trace in traces for step in trace.steps
        ]


async def test_the_variable_watches_an_application_that_imports_us(place: Path) -> None:
    program = APPLICATION.format(imports=WATCHED_ON_IMPORT)
    said, complained = run(place, program, observe="inframind.toml")
    assert (said, complained) == ("an answer\n", "")
    assert await seen(place) == [("theirs", "n", "an answer")]


def test_nothing_is_watched_without_the_variable(place: Path) -> None:
    assert run(place, APPLICATION.format(imports=WATCHED_ON_IMPORT)) == ("an answer\n", "")
    assert not (place / "traces.db").exists()


def test_a_wrong_file_is_logged_and_the_application_goes_on(place: Path) -> None:
    said, complained = run(place, APPLICATION.format(imports=WATCHED_ON_IMPORT), observe="missing.toml")
    assert said == "an answer\n"
    assert (
        "INFRAMIND_OBSERVE" in complained and "missing.toml" in complained and "Traceback" not in complained
    )


@pytest.mark.parametrize("arguments", ["['app.py', 'an argument']", "['-m', 'app', 'an argument']"])
async def test_a_launcher_watches_an_application_that_does_not_know_us(place: Path, arguments: str) -> None:
    program = APPLICATION.format(imports="import sys; print(sys.argv[1:], __name__)")
    launch = (
        "from inframind.plugin.graphs.by_environment import run_script; "
        f"run_script({arguments}, 'inframind.toml')"
    )
    said, complained = run(place, program, "-c", launch)
    assert (said, complained) == ("['an argument'] __main__\nan answer\n", "")
    assert await seen(place) == [("theirs", "n", "an answer")]


def test_asking_imports_no_langchain_where_nothing_is_to_be_watched(place: Path) -> None:
    program = (
        f"{WATCHED_ON_IMPORT}\nimport sys; print(sorted({{'torch', 'langchain_core'}} & set(sys.modules)))"
    )
    assert run(place, program)[0] == "[]\n"
