from __future__ import annotations

import numpy as np
import pytest

from inframind.arena.online.judging import judge_world, moving_average, recovery
from inframind.errors import ConfigError

BEFORE, AFTER = 4, 40


def curve(*pieces: tuple[int, float]) -> np.ndarray:
    return np.concatenate([np.full(length, value) for length, value in pieces])


def test_recovery_is_the_end_of_the_first_window_that_has_regained_three_quarters() -> None:
    # The gap is 0.4, so that a mean shortfall of 0.1 is enough: three of four requests of the window without any.
    shortfall = curve((10, 0.4), (30, 0.0))
    assert recovery(shortfall, 0.4, window=4, step=1) == 13
    assert recovery(shortfall, 0.4, window=4, step=4) == 16
    assert recovery(shortfall, 0.4, window=8, step=1) == 16


def test_whoever_knows_at_once_has_recovered_after_one_window() -> None:
    assert recovery(np.zeros(40), 0.4, window=20, step=4) == 20


def test_recovery_that_never_comes_is_none() -> None:
    assert recovery(curve((40, 0.11)), 0.4, window=4, step=1) is None
    assert recovery(np.zeros(10), 0.4, window=20, step=4) is None


def success(*pieces: tuple[int, float]) -> np.ndarray:
    """Two seeds alike."""
    return np.tile(curve((BEFORE, 1.0), *pieces), (2, 1))


def judged() -> dict[str, np.ndarray]:
    return {
        "frozen": success((40, 0.0)),
        "retrained": success((40, 1.0)),
        "late": success((20, 0.0), (20, 1.0)),
        "oracle": success((40, 1.0)),
    }


def test_frozen_regains_nothing_and_the_oracle_everything_at_once() -> None:
    verdicts = judge_world(judged(), BEFORE, window=10, step=5).verdicts
    assert verdicts["frozen"].recovery is None
    assert verdicts["oracle"].recovery == 10
    assert verdicts["late"].recovery == 30
    assert verdicts["late"].recoveries == (30, 30)


def test_regret_counts_what_was_lost_against_the_reference() -> None:
    one = judge_world(judged(), BEFORE, window=10, step=5)
    assert one.gap == 1.0
    assert [one.verdicts[name].regret.mean for name in one.verdicts] == [40.0, 0.0, 20.0, 0.0]
    assert one.shortfall["late"].sum(axis=1).tolist() == [20.0, 20.0]


def test_losses_are_against_the_frozen_policy() -> None:
    given = {
        "frozen": success((40, 0.5)),
        "retrained": success((40, 0.5)),
        "clumsy": success((10, 0.0), (30, 0.75)),
    }
    verdict = judge_world(given, BEFORE, window=10, step=5).verdicts["clumsy"]
    assert verdict.loss.mean == pytest.approx((10 * 0.5 - 30 * 0.25) / 40)
    assert verdict.worst_loss == pytest.approx(0.5)
    assert verdict.loss_before.mean == 0.0
    assert np.isnan(verdict.loss.half)


def test_intervals_are_over_seeds() -> None:
    given = {name: curve.copy() for name, curve in judged().items()}
    given = {name: np.vstack([both, both[:1]]) for name, both in given.items()}
    given["late"][2, BEFORE:] = 1.0
    regret = judge_world(given, BEFORE, window=10, step=5).verdicts["late"].regret
    assert regret.mean == pytest.approx(40 / 3)
    assert regret.half == pytest.approx(4.302652729911275 * np.std([20.0, 20.0, 0.0], ddof=1) / np.sqrt(3))


def test_what_is_at_stake_stands_in_for_the_gap() -> None:
    verdicts = judge_world(judged(), BEFORE, window=10, step=5, at_stake=4.0).verdicts
    assert verdicts["frozen"].recovery == 10


def test_what_is_regained_counts_from_the_promised_request_on() -> None:
    one = judge_world(judged(), BEFORE, window=10, step=5, promised=10)
    regained = {name: verdict.regained for name, verdict in one.verdicts.items()}
    assert regained == {"frozen": 0.0, "retrained": 1.0, "late": pytest.approx(1 - 10 / 30), "oracle": 1.0}
    assert np.isnan(judge_world(judged(), BEFORE, window=10, step=5).verdicts["late"].regained)


def test_without_a_reference_the_frozen_policy_stands_in() -> None:
    given = judged()
    del given["retrained"]
    assert judge_world(given, BEFORE, window=10, step=5).verdicts["late"].regret.mean == -20.0


def test_the_frozen_policy_has_to_play() -> None:
    with pytest.raises(ConfigError, match="play 'frozen' too"):
        judge_world({"retrained": success((40, 1.0))}, BEFORE, window=10, step=5)


def test_moving_averages_are_over_full_windows() -> None:
    assert moving_average(np.array([1.0, 2.0, 3.0, 6.0]), 2).tolist() == [1.5, 2.5, 4.5]
