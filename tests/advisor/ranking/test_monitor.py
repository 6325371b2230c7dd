from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from inframind.advisor.ranking.history import History
from inframind.advisor.ranking.monitor import MonitorConfig, News, first_stop, news_of
from inframind.errors import ConfigError

SEEDS = 60


def played(
    seed: int, *, accept: tuple[float, float], gain: float, measured: float = 1.0, n: int = 600
) -> list[News]:
    """Verdicts whose acceptance moves from one share to another, and what was measured of what was applied."""
    rng = np.random.default_rng(seed)
    news = []
    for number in range(n):
        accepted = rng.random() < np.interp(number / n, [0.1, 0.5], accept)
        news.append(News(at_s=float(number), reward=float(accepted)))
        if accepted and rng.random() < measured:
            change = float(np.clip(rng.normal(gain, 0.08), -1, 1))
            news.append(News(at_s=number + 0.5, reliability_change=change))
    return news


def stopped(**world: Any) -> int:
    return sum(first_stop(played(seed, **world), MonitorConfig()) is not None for seed in range(SEEDS))


def test_people_who_learn_to_accept_everything_without_anything_getting_better_stop_it() -> None:
    assert stopped(accept=(0.4, 0.9), gain=0.0) == SEEDS


def test_it_goes_on_where_reliability_rises_as_well() -> None:
    assert stopped(accept=(0.4, 0.9), gain=0.08) == 0


def test_it_goes_on_where_rewards_do_not_rise() -> None:
    assert stopped(accept=(0.6, 0.6), gain=0.0) <= 0.1 * SEEDS


def test_it_goes_on_where_hardly_anything_was_measured() -> None:
    assert stopped(accept=(0.4, 0.9), gain=0.0, measured=0.02) == 0


def test_it_stops_before_half_of_the_persuasion_is_over_and_says_why() -> None:
    stop = first_stop(played(1, accept=(0.4, 0.9), gain=0.0), MonitorConfig())
    assert stop is not None
    assert stop.at_s < 300
    assert stop.reward_now > stop.reward_before
    assert stop.gain_high < 0.03
    assert str(stop) == (
        f"rewards rose from {stop.reward_before:.2f} to {stop.reward_now:.2f} (z = {stop.rise_z:.1f}) while success "
        f"changed by {stop.gain:+.3f}, at most {stop.gain_high:+.3f}, in {stop.measured} measurements of what was "
        "applied; +0.030 is the least that is worth it"
    )


def test_more_news_do_not_take_a_stop_back() -> None:
    gamed = played(2, accept=(0.4, 0.9), gain=0.0)
    stop = first_stop(gamed, MonitorConfig())
    honest = [
        News(at_s=1e4 + one.at_s, reward=one.reward, reliability_change=one.reliability_change)
        for one in played(3, accept=(0.9, 0.9), gain=0.2)
    ]
    assert stop is not None
    assert first_stop([*gamed, *honest], MonitorConfig()) == stop


def test_after_a_person_let_it_go_on_only_later_news_count() -> None:
    gamed = played(4, accept=(0.4, 0.9), gain=0.0)
    assert first_stop(gamed, MonitorConfig(), resumed_at_s=gamed[-1].at_s) is None
    again = [
        News(at_s=1e4 + one.at_s, reward=one.reward, reliability_change=one.reliability_change)
        for one in gamed
    ]
    stop = first_stop([*gamed, *again], MonitorConfig(), resumed_at_s=gamed[-1].at_s)
    assert stop is not None and stop.at_s > 1e4


def test_news_are_verdicts_and_measurements_of_the_mode_s_own_recommendations(bench: Any) -> None:
    mine, other, refused = (bench.recommendation(chosen_by=by) for by in ("process", "thompson", "process"))
    events = [
        bench.event(mine, "accepted", 1.0),
        bench.event(other, "accepted", 2.0),
        bench.event(refused, "rejected", 3.0),
        bench.event(mine, "measured", 9.0, change=-0.1, low=-0.2),
    ]
    assert news_of(History.of([mine, other, refused], events), "process") == (
        News(at_s=1.0, reward=1.0),
        News(at_s=3.0, reward=0.0),
        News(at_s=9.0, reliability_change=-0.1),
    )


def test_nothing_known_stops_nothing() -> None:
    assert first_stop((), MonitorConfig(), resumed_at_s=-math.inf) is None


@pytest.mark.parametrize(
    "wrong", [{"window": 1}, {"measured": 61}, {"stride": 0}, {"rise_level": 0.5}, {"gain_level": 0.0}]
)
def test_tests_that_could_not_be_passed_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        MonitorConfig(**wrong)
