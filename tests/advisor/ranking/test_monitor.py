from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
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
        news.append(News(of=str(number), at_s=float(number), reward=float(accepted)))
        if accepted and rng.random() < measured:
            change = float(np.clip(rng.normal(gain, 0.08), -1, 1))
            news.append(News(of=str(number), at_s=number + 0.5, reliability_change=change))
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
    assert stop.rise is not None and stop.rise.now > stop.rise.before
    assert stop.gain_high < 0.03
    assert str(stop) == (
        f"rewards rose from {stop.rise.before:.2f} to {stop.rise.now:.2f} (z = {stop.rise.z:.1f}) while success "
        f"changed by {stop.gain:+.3f}, at most {stop.gain_high:+.3f}, in {stop.measured} measurements of what was "
        "applied; +0.030 is the least that is worth it"
    )


def test_more_news_do_not_take_a_stop_back() -> None:
    gamed = played(2, accept=(0.4, 0.9), gain=0.0)
    stop = first_stop(gamed, MonitorConfig())
    honest = [
        replace(one, of=f"later-{one.of}", at_s=1e4 + one.at_s)
        for one in played(3, accept=(0.9, 0.9), gain=0.2)
    ]
    assert stop is not None
    assert first_stop([*gamed, *honest], MonitorConfig()) == stop


def test_after_a_person_let_it_go_on_only_later_news_count() -> None:
    gamed = played(4, accept=(0.4, 0.9), gain=0.0)
    assert first_stop(gamed, MonitorConfig(), resumed_at_s=gamed[-1].at_s) is None
    again = [replace(one, of=f"later-{one.of}", at_s=1e4 + one.at_s) for one in gamed]
    stop = first_stop([*gamed, *again], MonitorConfig(), resumed_at_s=gamed[-1].at_s)
    assert stop is not None and stop.at_s > 1e4


def test_news_are_verdicts_and_measurements_of_the_mode_s_own_recommendations(bench: Any) -> None:
    mine, other, refused = (bench.recommendation(chosen_by=by) for by in ("process", "thompson", "process"))
    events = [
        bench.event(mine, "accepted", 1.0),
        bench.event(other, "accepted", 2.0),
        bench.event(refused, "rejected", 3.0),
        bench.event(mine, "measured", 9.0, change=-0.1, low=-0.2, high=0.1),
    ]
    his, hers = mine.recommendation_id, refused.recommendation_id
    assert news_of(History.of([mine, other, refused], events), "process") == (
        News(of=his, at_s=1.0, reward=1.0),
        News(of=hers, at_s=3.0, reward=0.0),
        News(of=his, at_s=9.0, reliability_change=-0.1, error=pytest.approx(0.15 / 1.95996, rel=1e-4)),
    )


def test_news_are_in_the_order_of_their_events_and_later_ones_change_none(bench: Any) -> None:
    made = [bench.recommendation(chosen_by="process") for _ in range(2)]
    events = [
        bench.event(made[0], "accepted", 5.0),
        bench.event(made[1], "accepted", 1.0),  # another machine's clock
        bench.event(made[0], "measured", 6.0, change=0.1),
        bench.event(made[0], "measured", 7.0, change=0.2),
        bench.event(made[0], "reverted", 8.0),
        bench.event(made[0], "measured", 9.0, change=0.3),
        bench.event(made[1], "rolled_back", 10.0, unproven=True),
        bench.event(made[1], "reverted", 11.0),
    ]
    events = [replace(event, number=number) for number, event in enumerate(events, start=1)]
    told = [news_of(History.of(made, reversed(events[:end])), "process") for end in range(len(events) + 1)]
    assert [(one.at_s, one.reward, one.reliability_change) for one in told[-1]] == [
        (5.0, 1.0, None),
        (1.0, 1.0, None),
        (6.0, None, 0.1),
        (7.0, None, 0.2),
        (8.0, 0.0, None),  # taken back: a verdict as well; nobody takes back what was set aside
    ]
    assert all(later[: len(sooner)] == sooner for sooner, later in pairwise(told))


# Harm -----------------------------------------------------------------------------------------------------


def measured(*changes: float, error: float = 0.1) -> list[News]:
    return [
        News(of=str(place), at_s=float(place), reliability_change=change, error=error)
        for place, change in enumerate(changes)
    ]


def test_harm_stops_it_though_everybody_has_always_accepted_everything() -> None:
    news = [
        one
        for place, found in enumerate(measured(*[-0.1] * 1000))
        for one in (News(of=found.of, at_s=place - 0.5, reward=1.0), found)
    ]
    stop = first_stop(news, MonitorConfig())
    assert stop is not None and stop.rise is None
    assert (stop.measured, stop.gain) == (10, pytest.approx(-0.1))
    assert str(stop) == (
        f"it does harm: success changed by -0.100, at most {stop.gain_high:+.3f}, in 10 measurements of what was "
        "applied"
    )


def test_great_harm_stops_it_after_five_measurements_and_never_before() -> None:
    config = MonitorConfig()
    assert first_stop(measured(*[-0.9] * 4, error=0.01), config) is None
    stop = first_stop(measured(*[-0.2] * 5), config)
    assert stop is not None and stop.measured == 5


def test_what_is_measured_again_counts_once_as_it_was_found_last() -> None:
    config = MonitorConfig()
    early = measured(*[-0.08] * 5)
    assert first_stop(early, config) is None
    again = [replace(one, at_s=10.0 + one.at_s, error=0.02) for one in early]
    stop = first_stop([*early, *again], config)
    assert stop is not None and (stop.measured, stop.gain) == (5, pytest.approx(-0.08))
    better = [replace(one, reliability_change=0.0) for one in again]
    assert first_stop([*early, *better, *better], config) is None


def test_one_that_is_known_exactly_does_not_speak_for_all_others() -> None:
    sure = News(of="sure", at_s=9.0, reliability_change=-0.03, error=0.001)
    assert first_stop([*measured(0.1, 0.1, 0.1, 0.1), sure], MonitorConfig()) is None


@pytest.mark.parametrize("spread", [0.0, 0.05, 0.15])
def test_what_does_no_harm_is_hardly_ever_stopped_for_it_however_often_it_is_measured(spread: float) -> None:
    config = MonitorConfig(measured=60)
    stops = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        news = []
        for number in range(60):
            true, seen, of = rng.normal(0.0, spread), 0.0, 0
            for more in (40, 20, 30, 60):  # labelled runs, each time half as many more
                seen += rng.normal(true * more, (0.5 * more) ** 0.5)
                of += more
                news.append(
                    News(of=str(number), at_s=0.0, reliability_change=seen / of, error=(0.5 / of) ** 0.5)
                )
        stops += first_stop(news, config) is not None
    assert stops <= 5


def test_what_was_measured_before_a_person_let_it_go_on_counts_no_more_when_measured_again() -> None:
    known = measured(*[-0.3] * 6)
    again = [replace(one, at_s=100.0) for one in known]
    assert first_stop([*known, *again], MonitorConfig(), resumed_at_s=50.0) is None
    new = [replace(one, of=f"new-{one.of}") for one in again]
    assert first_stop([*known, *new], MonitorConfig(), resumed_at_s=50.0) is not None


def test_nothing_known_stops_nothing() -> None:
    assert first_stop((), MonitorConfig(), resumed_at_s=-math.inf) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"least_measured": 1},
        {"harm_level": 0.5},
        {"window": 1},
        {"measured": 61},
        {"stride": 0},
        {"rise_level": 0.5},
        {"gain_level": 0.0},
    ],
)
def test_tests_that_could_not_be_passed_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        MonitorConfig(**wrong)
