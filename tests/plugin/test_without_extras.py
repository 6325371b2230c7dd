"""The core without its extras: everything but the simulated servers imports and works."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IMPORT_NAMES = {"opentelemetry-sdk": "opentelemetry"}
NEED_AN_EXTRA = {
    "inframind.plugin.decision_model": "langchain-core>=1.8",
    "inframind.plugin.middleware": "inframind[langchain]",
    "inframind.traces.otel": "inframind[otel]",
}
"""Modules that stand on an extra, and say so when it is not there."""
BEHIND_THEM = {"inframind.traces.otel_metrics"}


def extra_modules() -> set[str]:
    """Import names of everything that only an extra brings."""
    lines = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    names = {line.split("[")[0].split(">")[0].split("=")[0].strip() for line in lines}
    return {IMPORT_NAMES.get(name, name).replace("-", "_") for name in names - {"inframind"}}


def run_without_extras(code: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter in which no extra can be imported or found."""
    hide = (
        "import sys\n"
        f"HIDDEN = {extra_modules()!r}\n"
        "class Hiding:\n"
        "    def __init__(self, finder): self.finder = finder\n"
        "    def __getattr__(self, name): return getattr(self.finder, name)\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        hidden = name.partition('.')[0] in HIDDEN\n"
        "        return None if hidden else self.finder.find_spec(name, path, target)\n"
        "sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path if hasattr(finder, 'find_spec')]\n"
    )
    return subprocess.run(
        [sys.executable, "-c", hide + code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""},
        timeout=120,
    )


def test_extras_are_hidden_from_the_interpreter_of_these_tests(tmp_path: Path) -> None:
    assert {"starlette", "uvicorn", "langchain"} <= extra_modules()
    assert "No module named 'starlette'" in run_without_extras("import starlette", tmp_path).stderr


def test_every_room_but_the_simulator_imports_without_extras(tmp_path: Path) -> None:
    code = (
        "import importlib, pkgutil, inframind\n"
        "names = [m.name for m in pkgutil.walk_packages(inframind.__path__, 'inframind.')]\n"
        "rooms = ('fleet', 'traces', 'rewards', 'router', 'graphs', 'plugin')\n"
        "ours = [n for n in names if n.split('.')[1] in rooms and '.commands.' not in n]\n"
        f"ours = [n for n in ours if n not in {NEED_AN_EXTRA.keys() | BEHIND_THEM!r}]\n"
        "for name in ours:\n"
        "    if not name.endswith('symbolic_worker'):\n"
        "        importlib.import_module(name)\n"
        "print(*sorted({n.split('.')[1] for n in ours}))\n"
    )
    done = run_without_extras(code, tmp_path)
    assert done.stderr == ""
    assert done.stdout.split() == ["fleet", "graphs", "plugin", "rewards", "router", "traces"]


@pytest.mark.parametrize(("module", "extra"), NEED_AN_EXTRA.items())
def test_what_stands_on_an_extra_says_which(module: str, extra: str, tmp_path: Path) -> None:
    done = run_without_extras(f"import {module}", tmp_path)
    assert f"pip install '{extra}'" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments", [["init"], ["doctor", "--help"], ["run", "--help"], ["traces", "--help"]]
)
def test_commands_that_need_no_simulator_work_without_extras(arguments: list[str], tmp_path: Path) -> None:
    code = f"sys.argv = ['inframind', *{arguments!r}]\nfrom inframind.plugin.cli import main\nmain()"
    done = run_without_extras(code, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["demo"], ["simulate"]])
def test_commands_that_need_the_simulator_say_what_to_install(arguments: list[str], tmp_path: Path) -> None:
    code = f"sys.argv = ['inframind', *{arguments!r}]\nfrom inframind.plugin.cli import main\nmain()"
    done = run_without_extras(code, tmp_path)
    assert done.returncode == 2, done.stderr
    assert "inframind[simulator]" in done.stderr and "Traceback" not in done.stderr
