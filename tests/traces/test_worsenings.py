"""What got worse for sure: of many groups at once, hardly ever one that stayed the same."""

from __future__ import annotations

import numpy as np
import pytest

from inframind.traces.figures import GroupKey, Tally, worsenings
from inframind.traces.newcombe import share_difference


def tallies(
    rng: np.random.Generator, groups: int, *, success: float, runs: int = 80
) -> dict[GroupKey, Tally]:
    """Groups of each kind, all alike."""
    found = {}
    for group in range(groups):
        on_time, solved = int(rng.binomial(runs, 0.9)), int(rng.binomial(runs, success))
        found[f"c{group}", f"t{group}", f"d{group}"] = Tally(
            runs=runs, on_time=on_time, labelled=runs, solved=solved, success=min(solved, on_time)
        )
    return found


def test_where_nothing_changes_hardly_anything_is_found_however_many_groups_there_are() -> None:
    rng = np.random.default_rng(1)
    looks = [worsenings(tallies(rng, 20, success=0.7), tallies(rng, 20, success=0.7)) for _ in range(300)]
    assert sum(bool(found) for found in looks) <= 0.05 * len(looks)


def test_a_loss_is_found_among_many_groups_with_the_interval_that_decided() -> None:
    rng = np.random.default_rng(1)
    before, after = (tallies(rng, 20, success=0.7) for _ in range(2))
    key = ("c3", "t3", "d3")
    before[key] = Tally(runs=80, on_time=80, labelled=80, solved=70, success=70)
    after[key] = Tally(runs=80, on_time=80, labelled=80, solved=30, success=30)
    found = worsenings(before, after)
    assert {(one.by, one.metric) for one in found} == {
        (by, metric) for by in ("configuration", "topology", "domain") for metric in ("solved", "success")
    }
    expected = share_difference(30, 80, 70, 80, missed=0.05 / (60 * 3))
    assert [one.difference for one in found] == [expected] * 6
    assert expected.low < share_difference(30, 80, 70, 80).low


@pytest.mark.parametrize("others", [0, 40])
def test_groups_without_enough_runs_are_not_counted(others: int) -> None:
    few = {
        (f"x{n}", f"x{n}", f"x{n}"): Tally(runs=9, on_time=9, labelled=9, solved=9, success=9)
        for n in range(others)
    }
    before = {("c", "", ""): Tally(runs=40, on_time=40, labelled=40, solved=30, success=30), **few}
    after = {("c", "", ""): Tally(runs=40, on_time=20, labelled=40, solved=30, success=30), **few}
    (one,) = worsenings(before, after)
    assert (one.by, one.metric) == ("configuration", "on_time")
    assert one.difference == share_difference(20, 40, 40, 40, missed=0.05 / 3)
