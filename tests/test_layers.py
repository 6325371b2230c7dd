"""The house rules: imports point one way, each heavy dependency has one home, and importing is cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import inframind

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "fleet": set(),
    "traces": {"fleet"},
    "rewards": {"fleet", "traces"},
    "router": {"fleet", "traces", "rewards"},
    "advisor": {"fleet", "traces", "rewards", "router"},
    "graphs": {"fleet", "traces", "rewards", "router"},
    "plugin": {"fleet", "traces", "rewards", "router", "advisor", "graphs"},
    "simulator": {"fleet", "rewards"},
    "arena": {"fleet", "traces", "rewards", "router", "advisor", "graphs", "simulator"},
}
HOMES = {
    "torch": {"router"},
    "safetensors": {"router"},
    "sqlalchemy": {"traces"},
    "aiosqlite": {"traces"},
    "sqlite3": {"traces"},
    "psycopg": {"traces"},
    "zstandard": {"traces"},
    "pyarrow": {"traces", "arena"},
    "ray": {"arena"},
    "sklearn": {"advisor"},
    "tomlkit": {"plugin"},
    "openai": {"fleet"},
    "math_verify": {"rewards"},
    "httptools": {"fleet"},
    "httpx": {"fleet"},
    "httpx2": {"fleet", "simulator"},
    "opentelemetry": {"fleet", "traces"},
    "langgraph": {"graphs", "plugin"},
    "langchain_core": {"graphs", "plugin"},
    "langchain": {"graphs", "plugin"},
    "uvicorn": {"simulator"},
    "starlette": {"simulator"},
    "typer": {"plugin", "arena"},
    "rich": {"plugin", "arena"},
    "pydantic_settings": {"plugin"},
}
LEARNERS = ("learning", "online", "published", "losses.py")
"""Parts of the router that may import torch; what serves does without."""
LAZY_GUESTS = {"arena", "simulator"}


def lazy_hosts(path: Path) -> bool:
    """Whether a module of the plugin may import the arena and the simulator, inside functions only."""
    inside = path.relative_to(ROOT / "plugin")
    return inside.parts[0] == "commands" or inside.stem.startswith(("cli", "demo"))


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Absolute dotted names that a module imports, and whether on import of the module itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    room = path.relative_to(ROOT).parts[0]
    lazy = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        is_eager = id(node) not in lazy
        if isinstance(node, ast.Import):
            yield from ((alias.name, is_eager) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield f"inframind.{room}", is_eager
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", is_eager
            if node.module == "inframind":
                yield from ((f"inframind.{alias.name}", is_eager) for alias in node.names)


def modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_point_one_way(room: str) -> None:
    wrong = []
    for path in modules(room):
        for name, is_eager in imports(path):
            parts = name.split(".")
            if parts[0] != "inframind" or len(parts) < 2 or parts[1] not in MAY_IMPORT or parts[1] == room:
                continue
            is_guest = room == "plugin" and parts[1] in LAZY_GUESTS and lazy_hosts(path)
            # What the command line alone loads may import its guests at once, being itself loaded lazily.
            is_command = is_guest and "commands" in path.parts
            if parts[1] not in MAY_IMPORT[room] and not is_command and not (is_guest and not is_eager):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_heavy_dependencies_stay_at_home(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(room)
        for name, _ in imports(path)
        if room not in HOMES.get(name.split(".")[0], {room})
    ]
    assert wrong == []


def test_torch_stays_with_what_learns() -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for path in modules("router")
        if path.relative_to(ROOT / "router").parts[0] not in LEARNERS
        and any(name.split(".")[0] == "torch" for name, _ in imports(path))
    ]
    assert wrong == []


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_are_imported_by_their_full_name(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(room)
        for name, _ in imports(path)
        if name.split(".")[0] in MAY_IMPORT
    ]
    assert wrong == []


def test_errors_are_a_leaf() -> None:
    found = {name.partition(".")[0] for name, _ in imports(ROOT / "src" / "inframind" / "errors.py")}
    assert found <= sys.stdlib_module_names


def test_every_room_is_linked_into_the_package() -> None:
    package = ROOT / "src" / "inframind"
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert rooms == set(MAY_IMPORT)
    for room in rooms:
        assert (package / room).is_symlink() and (package / room).resolve() == ROOT / room
        assert (package / room).readlink() == Path("../..") / room
    assert (package / "py.typed").exists()


def loaded_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sorted(sys.modules))"
    environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, timeout=60
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {
        "torch",
        "langgraph",
        "langchain_core",
        "openai",
        "sqlalchemy",
        "pydantic",
        "numpy",
        "httpx",
        "httpx2",
    }
    assert loaded_after("import inframind").isdisjoint(heavy)
    assert loaded_after("import inframind.errors").isdisjoint(heavy)


def test_asking_questions_loads_neither_simulator_nor_torch() -> None:
    code = "from inframind import InfraMind\nimport sys\nassert 'inframind.simulator' not in sys.modules"
    assert loaded_after(code).isdisjoint({"torch", "uvicorn", "starlette", "ray", "typer"})


@pytest.mark.parametrize("name", inframind.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(inframind, name).__name__ == name
    assert name in dir(inframind)


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Router"):
        inframind.Router  # noqa: B018
