from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inframind.arena.online.judging import judge_world
from inframind.arena.online.ledger import Cell, Ledger
from inframind.arena.online.report import JudgedWorld, render_online_report, write_online_report
from inframind.arena.online.season import Season
from inframind.arena.online.worlds import world_named


def season(shares: tuple[float, float], seed: int) -> Season:
    rng = np.random.default_rng(seed)
    solved = np.concatenate([rng.random(64) < shares[0], rng.random(128) < shares[1]])
    return Season(
        solved=solved,
        on_time=np.ones(192, dtype=np.bool_),
        models=tuple("small" if right else "" for right in solved),
        lessons=({"at": 64.0, "surprise": 0.5},),
    )


@pytest.fixture
def one() -> JudgedWorld:
    world = replace(world_named("a"), before=64, after=128)
    shares = {"frozen": (0.8, 0.5), "retrained": (0.8, 0.75), "online": (0.8, 0.7)}
    seasons = {name: [season(share, seed) for seed in range(3)] for name, share in shares.items()}
    success = {
        name: np.array([each.on_time_success for each in played], np.float64)
        for name, played in seasons.items()
    }
    return JudgedWorld(
        world=world,
        judged=judge_world(success, 64, window=32, step=8, promised=64),
        success=success,
        models={name: [each.models for each in played] for name, played in seasons.items()},
    )


def test_a_page_holds_every_contender_and_nothing_from_elsewhere(one: JudgedWorld, tmp_path: Path) -> None:
    write_online_report([one], tmp_path / "new" / "report.html", facts={"seeds": 3})
    page = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    data = json.loads(re.findall(r'id="report-data">(.*?)</script>', page, re.DOTALL)[0])

    assert [entry["name"] for entry in data["contenders"]] == ["frozen", "retrained", "online"]
    assert [plot["name"] for plot in data["plots"]] == ["regret", "success", "mix"]
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "$" not in markup
    assert not re.findall(r'(?:src|href)="https?://', markup)


def test_regret_curves_end_at_the_regret_of_the_table(one: JudgedWorld) -> None:
    page = render_online_report([one], facts={})
    data = json.loads(re.findall(r'id="report-data">(.*?)</script>', page, re.DOTALL)[0])
    lines = {trace["name"]: trace for trace in data["plots"][0]["views"]["0"]["traces"] if "name" in trace}
    for name, verdict in one.judged.verdicts.items():
        assert lines[name]["y"][-1] == pytest.approx(verdict.regret.mean, rel=1e-3)
        assert lines[name]["x"][-1] == 128.0


def test_seasons_come_back_from_disk_as_they_were(tmp_path: Path) -> None:
    ledger, cell, kept = Ledger(tmp_path / "seasons"), Cell("a", "frozen", 3), season((0.8, 0.5), 3)
    assert cell not in ledger
    ledger.keep(cell, kept)
    found = ledger.season(cell)

    assert cell in ledger
    assert (found.solved == kept.solved).all()
    assert (found.on_time == kept.on_time).all()
    assert (found.models, found.lessons) == (kept.models, kept.lessons)


def test_contenders_that_lack_a_seed_are_left_out(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for cell in (Cell("a", "frozen", 0), Cell("a", "frozen", 1), Cell("a", "online", 0)):
        ledger.keep(cell, season((0.8, 0.5), cell.seed))
    success = ledger.successes("a", ("frozen", "online"), (0, 1))
    assert list(success) == ["frozen"]
    assert success["frozen"].shape == (2, 192)
