from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.arena.arrivals import BurstyArrivals, LoadState, RecordedArrivals
from inframind.arena.workload import Arrivals, PoissonArrivals, arrivals_from
from inframind.errors import ConfigError, InvalidItems

AZURE = Path(__file__).resolve().parents[2].parent / "shared/data/arrivals/azure_2023_conversation.csv"
RATE_PER_MIN = 60.0
TRACE_S = np.array([0.0, 1.0, 1.5, 4.0, 9.0])
"""Five arrivals and a period of 11.25 s."""


def three_moods() -> BurstyArrivals:
    return BurstyArrivals(
        (
            LoadState(rate_per_min=0, mean_dwell_s=10),
            LoadState(rate_per_min=30, mean_dwell_s=20),
            LoadState(rate_per_min=240, mean_dwell_s=5),
        )
    )


ARRIVALS = {
    "poisson": PoissonArrivals(RATE_PER_MIN),
    "bursty": BurstyArrivals.around(RATE_PER_MIN, burst_ratio=8, burst_s=5),
    "recorded": RecordedArrivals(TRACE_S, RATE_PER_MIN),
}
every_kind = pytest.mark.parametrize("arrivals", ARRIVALS.values(), ids=ARRIVALS)


@every_kind
@given(n=st.integers(0, 40), seed=st.integers(0, 2**32))
def test_as_many_as_asked_for_come_in_order(arrivals: Arrivals, n: int, seed: int) -> None:
    offsets_s = arrivals.draw(n, np.random.default_rng(seed))

    assert offsets_s.shape == (n,)
    assert (np.diff(offsets_s, prepend=0.0) >= 0).all()


@every_kind
def test_the_same_generator_state_gives_the_same_arrivals(arrivals: Arrivals) -> None:
    one, two, other = (arrivals.draw(50, np.random.default_rng(seed)) for seed in (7, 7, 8))

    assert (one == two).all()
    assert (one != other).any()


@every_kind
def test_the_mean_rate_is_the_one_asked_for(arrivals: Arrivals) -> None:
    offsets_s = arrivals.draw(30_000, np.random.default_rng(11))

    assert 60 * 30_000 / offsets_s[-1] == pytest.approx(RATE_PER_MIN, rel=0.04)


def test_the_mean_rate_of_bursts_weighs_states_by_their_dwell_times() -> None:
    assert three_moods().mean_rate_per_min == pytest.approx((0 * 10 + 30 * 20 + 240 * 5) / 35)


def test_states_without_arrivals_are_passed_through() -> None:
    offsets_s = three_moods().draw(200_000, np.random.default_rng(5))

    assert 60 * 200_000 / offsets_s[-1] == pytest.approx(three_moods().mean_rate_per_min, rel=0.03)


@given(
    rate=st.floats(0.1, 1000),
    ratio=st.floats(1.01, 100),
    share=st.floats(0.01, 0.99),
    burst_s=st.floats(0.1, 1000),
)
def test_bursts_keep_the_mean_rate(rate: float, ratio: float, share: float, burst_s: float) -> None:
    arrivals = BurstyArrivals.around(rate, burst_ratio=ratio, burst_share=share, burst_s=burst_s)
    calm, burst = arrivals.states

    assert arrivals.mean_rate_per_min == pytest.approx(rate)
    assert burst.rate_per_min / calm.rate_per_min == pytest.approx(ratio)
    assert burst.mean_dwell_s / (burst.mean_dwell_s + calm.mean_dwell_s) == pytest.approx(share)


def test_bursts_make_gaps_uneven() -> None:
    offsets_s = BurstyArrivals.around(60, burst_ratio=10).draw(20_000, np.random.default_rng(2))

    gaps_s = np.diff(offsets_s)
    assert gaps_s.std() / gaps_s.mean() > 1.3


def test_a_recording_is_played_faster_to_reach_the_rate() -> None:
    arrivals = RecordedArrivals(TRACE_S, rate_per_min=2 * 60 * 5 / 11.25, start_s=0.0)

    assert arrivals.period_s == 11.25
    assert arrivals.draw(5, np.random.default_rng(0)).tolist() == [0.0, 0.5, 0.75, 2.0, 4.5]


def test_a_recording_goes_round_after_one_mean_gap() -> None:
    arrivals = RecordedArrivals(TRACE_S + 100.0, rate_per_min=60 * 5 / 11.25, start_s=1.2)

    offsets_s = arrivals.draw(7, np.random.default_rng(0))

    assert offsets_s == pytest.approx([0.3, 2.8, 7.8, 10.05, 11.05, 11.55, 14.05])


def test_a_recording_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("seconds,prompt_tokens\n0,10\n3,20\n4,30\n")

    assert RecordedArrivals.read(path, 30, start_s=0).draw(3, np.random.default_rng(0)).tolist() == [0, 3, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time\n1\n", "line 1: has no column 'seconds'"),
        ("", "no column 'seconds'"),
        ("seconds\n1\nsoon\n", "line 3: seconds = 'soon' is not a finite number"),
        ("seconds,x\n1,2\nnan,3\n", "line 3: seconds = 'nan'"),
        ("seconds\n5\n5\n", "no two different arrivals"),
        ("seconds\n", "no two different arrivals"),
    ],
)
def test_a_recording_that_cannot_be_played_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)

    with pytest.raises(InvalidItems, match=message):
        RecordedArrivals.read(path, 30)


def test_a_missing_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidItems, match=r"nowhere\.csv: cannot be read"):
        arrivals_from(f"recorded:{tmp_path / 'nowhere.csv'}", 30)


@pytest.mark.parametrize("start_s", [-1, 11.25, float("nan")])
def test_a_start_outside_the_recording_is_refused(start_s: float) -> None:
    with pytest.raises(ConfigError, match=r"within the recording of 11\.25 seconds"):
        RecordedArrivals(TRACE_S, 30, start_s)


def test_arrivals_are_read_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "a@b.csv"
    path.write_text("seconds\n0\n3\n4\n")
    recorded = arrivals_from(f"recorded:{path}", 30)
    started = arrivals_from(f"recorded:{path}@2.5", 30)

    assert arrivals_from("poisson", 30) == PoissonArrivals(30)
    assert arrivals_from("bursty", 30) == BurstyArrivals.around(30)
    assert arrivals_from("bursty:ratio=6,share=0.1,dwell=9", 30) == BurstyArrivals.around(
        30, burst_ratio=6, burst_share=0.1, burst_s=9
    )
    assert isinstance(recorded, RecordedArrivals) and recorded.start_s is None
    assert isinstance(started, RecordedArrivals) and started.start_s == 2.5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "uniform",
        "poisson:3",
        "bursty:speed=3",
        "bursty:ratio=fast",
        "bursty:ratio",
        "recorded",
        "recorded:",
    ],
)
def test_unknown_arrivals_are_answered_with_the_known_ones(text: str) -> None:
    with pytest.raises(ConfigError, match="give poisson, bursty, bursty:ratio=4"):
        arrivals_from(text, 30)


@pytest.mark.parametrize(
    ("text", "field"),
    [("bursty:ratio=1", "ratio"), ("bursty:share=1", "share"), ("bursty:dwell=0", "dwell")],
)
def test_bursts_out_of_range_are_refused(text: str, field: str) -> None:
    with pytest.raises(ConfigError, match=f"^{field} = "):
        arrivals_from(text, 30)


@pytest.mark.parametrize("text", ["poisson", "bursty"])
def test_a_rate_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="rate = 0: give a positive number of questions a minute"):
        arrivals_from(text, 0)


def test_one_state_is_no_burst() -> None:
    with pytest.raises(ConfigError, match="at least two"):
        BurstyArrivals((LoadState(rate_per_min=1, mean_dwell_s=1),))


def test_something_has_to_arrive() -> None:
    with pytest.raises(ConfigError, match="let something arrive"):
        BurstyArrivals((LoadState(rate_per_min=0, mean_dwell_s=1),) * 2)


@pytest.mark.parametrize(("rate", "dwell_s"), [(-1, 1), (float("inf"), 1), (1, 0), (1, float("inf"))])
def test_impossible_states_are_refused(rate: float, dwell_s: float) -> None:
    with pytest.raises(ConfigError):
        LoadState(rate_per_min=rate, mean_dwell_s=dwell_s)


@pytest.mark.skipif(not AZURE.exists(), reason="needs ../shared/data/arrivals")
def test_a_production_trace_keeps_its_rhythm_at_another_rate() -> None:
    arrivals = RecordedArrivals.read(AZURE, rate_per_min=60)

    offsets_s = arrivals.draw(19_366, np.random.default_rng(0))

    gaps_s = np.diff(offsets_s)
    assert gaps_s.mean() == pytest.approx(1.0, rel=1e-3)
    assert gaps_s.std() / gaps_s.mean() == pytest.approx(1.09, abs=0.005)
