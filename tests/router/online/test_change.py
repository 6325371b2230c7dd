"""Noticing changes: of one model, of all, and of none."""

from __future__ import annotations

import numpy as np
import pytest

from inframind.errors import ConfigError
from inframind.router.online.change import Alarm, ChangeDetector
from inframind.router.online.config import ChangeConfig


def test_an_alarm_comes_when_surprises_beyond_the_allowance_add_up() -> None:
    detector = ChangeDetector(ChangeConfig(allowance=0.5, threshold=4.0, least_threshold=2.0))
    alarms = [detector.watch(-1.5, {"a": 1.0}) for _ in range(5)]
    assert alarms == [None, None, None, None, Alarm("a", is_shared=False)]


def test_it_begins_anew_after_an_alarm() -> None:
    detector = ChangeDetector(ChangeConfig(allowance=0.5, threshold=4.0, least_threshold=2.0))
    alarms = [detector.watch(2.5, {"a": 1.0}) for _ in range(6)]
    assert [alarm is not None for alarm in alarms] == [False, False, True, False, False, True]


def test_a_small_share_in_a_run_is_a_small_suspicion() -> None:
    detector = ChangeDetector(ChangeConfig(allowance=0.5, threshold=4.0, least_threshold=2.0))
    alarms = [detector.watch(-1.5, {"a": 0.75, "b": 0.25}) for _ in range(6)]
    assert alarms[-1] == Alarm("a", is_shared=True)
    assert alarms[:-1] == [None] * 5


def test_when_others_surprise_likewise_it_is_nobody_s_own_change() -> None:
    detector = ChangeDetector(ChangeConfig(allowance=0.5, threshold=6.0))
    for _ in range(8):
        detector.watch(-1.0, {"b": 1.0})
    alarms = [detector.watch(-1.5, {"a": 1.0}) for _ in range(7)]
    assert alarms[-1] == Alarm("a", is_shared=True)


def test_steady_traffic_hardly_ever_alarms() -> None:
    rng = np.random.default_rng(0)
    detector = ChangeDetector(ChangeConfig())
    solved = rng.random(4000) < 0.8
    surprises = (solved - 0.8) / 0.4
    assert sum(detector.watch(float(one), {"a": 1.0}) is not None for one in surprises) <= 4


def test_where_one_run_in_ten_has_a_label_fewer_labels_are_enough() -> None:
    detector = ChangeDetector(ChangeConfig(allowance=0.5, threshold=7.0, least_threshold=4.0))
    # 7 + log(0.1) is 4.7: five surprises of 1 beyond the allowance.
    alarms = [detector.watch(-1.5, {"a": 1.0}, 0.1) for _ in range(5)]
    assert [alarm is not None for alarm in alarms] == [False, False, False, False, True]


def test_it_goes_on_from_its_state() -> None:
    config = ChangeConfig(allowance=0.5, threshold=4.0, least_threshold=2.0)
    detector = ChangeDetector(config)
    for _ in range(4):
        detector.watch(-1.5, {"a": 1.0})
    again = ChangeDetector.restored(config, detector.state())
    assert again.watch(-1.5, {"a": 1.0}) == Alarm("a", is_shared=False)


@pytest.mark.parametrize(
    "values", [{"threshold": 0.0}, {"widening": -1.0}, {"allowance": -0.1}, {"least_threshold": 8.0}]
)
def test_contradictory_thresholds_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="change"):
        ChangeConfig(**values)
