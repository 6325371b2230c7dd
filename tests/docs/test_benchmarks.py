"""What every benchmark promises: it stands alone, has the shared options, and prints one object as its last line."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
BENCHMARKS = sorted(path for path in FOLDER.glob("*.py") if not path.name.startswith("_"))


@pytest.fixture(scope="module")
def common() -> Any:
    spec = importlib.util.spec_from_file_location("benchmarks_common", FOLDER / "_common.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def run(script: Path, *options: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(script), *options],
        capture_output=True,
        text=True,
        check=True,
        cwd=cwd,
        timeout=120,
    )
    return done.stdout


@pytest.mark.parametrize("script", BENCHMARKS, ids=lambda path: path.stem)
def test_each_has_the_shared_options_and_runs_from_any_folder(script: Path, tmp_path: Path) -> None:
    text = run(script, "--help", cwd=tmp_path)
    assert {"--quick", "--json"} <= set(text.replace(",", " ").replace("]", " ").replace("[", " ").split())


def test_the_last_line_is_one_object_with_figures_and_bars(
    common: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = common.Bench(title="t", packages=("numpy",), seed=3)
    bench.add_figure("calls", 7)
    bench.add_bar("slow_us", 160.0, 150.0, "us")
    bench.add_bar("share", 0.9, 0.5, direction="at least")
    bench.print(as_json=True)
    *_, last = capsys.readouterr().out.splitlines()
    assert json.loads(last) == {
        "figures": {"calls": 7.0, "slow_us": 160.0, "share": 0.9},
        "bars": {
            "slow_us": {"value": 160.0, "limit": 150.0, "holds": False},
            "share": {"value": 0.9, "limit": 0.5, "holds": True},
        },
    }


def test_the_table_names_machine_versions_seed_and_broken_bars(
    common: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = common.Bench(title="t", packages=("numpy",), seed=41)
    bench.add_bar("slow_us", 160.0, 150.0, "us")
    bench.print(as_json=False)
    shown = capsys.readouterr().out
    assert "cores" in shown and "numpy 2" in shown.replace("numpy 1", "numpy 2") and "41" in shown
    (row,) = [line for line in shown.splitlines() if "slow_us" in line]
    assert "at most 150" in row and "NO" in row
    assert not shown.rstrip().endswith("}")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_that_json_cannot_hold_is_no_silent_null(common: Any, value: float) -> None:
    bench = common.Bench(title="t")
    bench.add_figure("x", value)
    with pytest.raises(ValueError, match="JSON compliant"):
        bench.to_json()


def test_the_main_job_s_benchmark_takes_a_file_and_keeps_its_bars(tmp_path: Path) -> None:
    items = tmp_path / "items.jsonl"
    lines = [{"problem": f"What is {n} + {n + 1}?", "answer": str(2 * n + 1)} for n in range(3)]
    items.write_text("\n".join(map(json.dumps, lines)))
    options = ("--json", "--quick", "--items", str(items), "--speed", "300")
    last = json.loads(run(FOLDER / "topologies.py", *options, cwd=tmp_path).splitlines()[-1])
    assert last["figures"]["questions"] == 3
    assert last["bars"] == {
        name: {"value": 0.0, "limit": 0.0, "holds": True} for name in ("failed_episodes", "traces_off_spec")
    }


def test_parts_of_the_advisor_s_benchmark_are_run_alone_and_named_in_their_figures(tmp_path: Path) -> None:
    options = ("--only", "files", "--quick", "--json", "--out", str(tmp_path))
    last = json.loads(run(FOLDER / "advisor.py", *options, cwd=tmp_path).splitlines()[-1])
    assert set(last["bars"]) == {"files/valid"}
    assert {name.partition("/")[0] for name in last["figures"]} == {"files"}
