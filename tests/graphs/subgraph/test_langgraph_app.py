"""The example application as a LangGraph server meets it."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

APP = Path(__file__).resolve().parents[3] / "examples" / "langgraph_app"
blockbuster = pytest.importorskip("blockbuster", reason="needs blockbuster")


def test_the_clients_tool_accepts_it() -> None:
    pytest.importorskip("langgraph_cli", reason="needs langgraph-cli")
    command = [sys.executable, "-m", "langgraph_cli", "validate", "-c", "langgraph.json"]
    done = subprocess.run(command, cwd=APP, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def imported() -> ModuleType:
    """The module of the graph that ``langgraph.json`` names, imported as the server does it."""
    path, _, _ = json.loads((APP / "langgraph.json").read_text())["graphs"]["chat"]["path"].partition(":")
    spec = importlib.util.spec_from_file_location("langgraph_app_chat", APP / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_it_is_served_without_a_blocking_call_on_the_loop(
    serve: Any, say: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(say(lambda asked: "\\boxed{399}"))
    config = tmp_path / "inframind.toml"
    config.write_text(
        f'[[endpoints]]\nname = "e"\nbase_url = "{server.base_url}"\nmodel = "m"\nmetrics = false\n'
        '[traces]\nurl = "sqlite:///traces.db"\n'
    )
    monkeypatch.setenv("INFRAMIND_CONFIG", str(config))
    with blockbuster.blockbuster_ctx():
        module = await asyncio.to_thread(imported)
        graph = module.make_graph().copy(update={"checkpointer": InMemorySaver()})
        thread: Any = {"configurable": {"thread_id": "t"}}
        asked: Any = {"messages": [("user", "What is 19 * 21?")]}
        waiting = await graph.ainvoke(asked, thread, context={"budget_s": 20})
        assert waiting["__interrupt__"][0].value == {"answer": "\\boxed{399}"}
        await graph.ainvoke(Command(resume="And 19 * 22?"), thread, context={"budget_s": 20})
        state = await graph.ainvoke(Command(resume=""), thread)
        traces = await module.mind.store.list()
        await module.mind.aclose()
    assert [message.type for message in state["messages"]] == ["human", "ai", "human", "ai"]
    assert [(trace.status, trace.budget_s) for trace in traces] == [("ok", 20), ("ok", 20)]


def test_a_server_can_show_what_a_context_may_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "inframind.toml"
    config.write_text((APP / "inframind.toml").read_text())
    monkeypatch.setenv("INFRAMIND_CONFIG", str(config))
    module = imported()
    schema = module.make_graph().get_context_jsonschema()
    module.mind.close()
    assert {"budget_s", "domain", "topology", "team_size", "metadata"} <= set(schema["properties"])
