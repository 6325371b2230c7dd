from __future__ import annotations

import io

import numpy as np
from rich.console import Console

from inframind.arena.replay.board import best_constants, print_replay
from inframind.arena.replay.play import ReplayOptions, replay
from inframind.arena.replay.table import ReplayTable
from inframind.arena.workload import FixedBudget

NAN = float("nan")


def two_kinds(*, timed: bool = False) -> ReplayTable:
    return ReplayTable(
        name="recorded.csv",
        question_ids=tuple(map(str, range(20))),
        questions=("add",) * 10 + ("prove",) * 10,
        strata=("easy",) * 10 + ("hard",) * 10,
        arms=("big", "small", "tiny"),
        quality=np.array([[1.0, 1.0, 1.0]] * 10 + [[1.0, 0.0, 0.0]] * 10),
        cost=np.array([[4.0, 1.0, NAN]] * 20),
        seconds=np.array([[8.0, 2.0, 1.0]] * 20) if timed else None,
        context=np.empty((20, 3, 0)),
    )


def printed(table: ReplayTable, options: ReplayOptions, constants: int = 5, width: int = 160) -> list[str]:
    text = io.StringIO()
    print_replay(replay(table, options=options), Console(file=text, width=width), constants=constants)
    return [" ".join(line.replace("│", " ").split()) for line in text.getvalue().splitlines()]


def test_a_replay_is_printed_with_its_figures() -> None:
    lines = printed(two_kinds(), ReplayOptions(seeds=(0,), resamples=1))

    assert lines[0] == (
        "recorded.csv: 20 questions, 2 arms, 100% of the pairs recorded; 1 splits, 50% to learn from; cost: cost"
    )
    assert any(
        line.startswith("best_constant 100.0 [100.0, 100.0] +0.0 [+0.0, +0.0] 0.0 1.00 - -") for line in lines
    )
    assert any(line.startswith("oracle 100.0") and " 0.62 " in line for line in lines)
    assert "hard 100.0" in " ".join(lines)
    assert "left out, since cost or seconds are not recorded: tiny" in lines


def test_budgets_bring_their_columns() -> None:
    lines = printed(two_kinds(timed=True), ReplayOptions(seeds=(0,), resamples=1, budgets=FixedBudget(5)))

    assert any("on-time-success" in line for line in lines)
    (big,) = (line for line in lines if line.startswith("always big"))
    assert big.startswith("always big 0.0 [0.0, 0.0] -50.0 [")
    assert big.endswith(" 100.0 8.0 8.0 0.0")


def test_a_narrow_terminal_goes_without_intervals() -> None:
    options = ReplayOptions(seeds=(0,), resamples=1, budgets=FixedBudget(5))

    lines = printed(two_kinds(timed=True), options, width=80)

    assert any(
        line.startswith("best_constant 50.0 +0.0 0.0 1.00") and line.endswith(" 100.0") for line in lines
    )


def test_only_the_best_constants_are_printed_and_they_come_in_order() -> None:
    options = ReplayOptions(seeds=(0,), resamples=1)

    assert [standing.name for standing in best_constants(replay(two_kinds(), options=options), 2)] == [
        "always big",
        "always small",
    ]
    assert sum(line.startswith("always") for line in printed(two_kinds(), options, constants=1)) == 1
