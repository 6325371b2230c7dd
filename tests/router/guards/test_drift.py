"""Has the world changed? Seldom a false alarm, soon a true one, and since when."""

from __future__ import annotations

import json

import numpy as np
import pytest

from inframind.errors import ConfigError
from inframind.router.guards.drift import DriftConfig, DriftDetector, DriftWatch
from inframind.router.guards.streams import streams_of
from inframind.router.online.protocol import Label
from inframind.traces.records import Decision, Step, Trajectory


def coins(rng: np.random.Generator, n: int, share: float) -> list[float]:
    return (rng.random(n) < share).astype(float).tolist()


def test_fifty_thousand_values_of_a_world_that_stays_give_no_alarm() -> None:
    rng = np.random.default_rng(0)
    streams = {
        "solved": coins(rng, 20_000, 0.7),
        "failed": coins(rng, 15_000, 0.01),
        "prompt_tokens": rng.lognormal(4.0, 1.0, 15_000).tolist(),
    }
    for name, values in streams.items():
        detector = DriftDetector(name)
        assert not any(detector.add(value) for value in values)


@pytest.mark.parametrize(("now", "most"), [(0.4, 400), (0.95, 500)])
def test_a_shift_is_found_soon_with_its_time_and_size(now: float, most: int) -> None:
    rng = np.random.default_rng(1)
    detector = DriftDetector("solved")
    for value in coins(rng, 3000, 0.7):
        assert detector.add(value) is None
    for place, value in enumerate(coins(rng, most, now)):
        drift = detector.add(value, at_s=100.0 + place)
        if drift is not None:
            break
    assert drift is not None
    assert abs(drift.since - 2000) < 100
    assert drift.now == pytest.approx(now, abs=0.1)
    assert drift.usual == pytest.approx(0.7, abs=0.05)
    assert str(drift).startswith("solved: 0.")


def test_outliers_are_no_drift() -> None:
    rng = np.random.default_rng(2)
    detector = DriftDetector("tokens")
    values = rng.lognormal(4.0, 1.0, 6000)
    values[2000::500] = 1e12
    assert not any(detector.add(value) for value in values.tolist())


def test_what_never_happened_before_is_noticed_within_a_few() -> None:
    detector = DriftDetector("failed")
    for _ in range(2000):
        assert detector.add(0.0) is None
    found = [place for place in range(20) if detector.add(1.0) is not None]
    assert 2 <= found[0] <= 10


def test_a_shift_within_the_tolerance_is_borne() -> None:
    rng = np.random.default_rng(3)
    detector = DriftDetector("solved", DriftConfig(tolerance=0.3))
    assert not any(detector.add(value) for value in [*coins(rng, 1000, 0.7), *coins(rng, 4000, 0.62)])


def test_a_detector_goes_on_from_json() -> None:
    rng = np.random.default_rng(4)
    before, after = coins(rng, 1500, 0.7), coins(rng, 300, 0.2)
    one = DriftDetector("solved")
    for value in before:
        one.add(value)
    other = DriftDetector.from_json("solved", json.loads(json.dumps(one.to_json())))
    assert [one.add(value) for value in after] == [other.add(value) for value in after]


def test_a_detector_that_still_learns_what_is_usual_goes_on_from_json() -> None:
    one = DriftDetector("solved")
    for value in coins(np.random.default_rng(4), 300, 0.7):
        one.add(value)
    other = DriftDetector.from_json("solved", json.loads(json.dumps(one.to_json())))
    assert not other.is_ready
    assert other.to_json() == one.to_json()


def test_a_watch_reports_each_stream_once_until_its_change_is_accepted() -> None:
    rng = np.random.default_rng(5)
    watch = DriftWatch()
    for value in coins(rng, 1200, 0.9):
        assert not watch.add({"solved": value, "budget_s": 20.0})
    found = [
        drift for value in coins(rng, 600, 0.3) for drift in watch.add({"solved": value, "budget_s": 20.0})
    ]
    assert [drift.name for drift in found] == ["solved"]
    assert list(watch.drifted) == ["solved"]
    watch.accept("solved")
    assert not [drift for value in coins(rng, 3000, 0.3) for drift in watch.add({"solved": value})]


def test_a_watch_forgets_streams_that_went_out_of_use() -> None:
    rng = np.random.default_rng(6)
    watch = DriftWatch(DriftConfig(reference=100), most=2)
    for value in coins(rng, 400, 0.9):
        watch.add({"policy/1": value, "policy/2": value})
    watch.add({"policy/2": 1.0, "policy/3": 1.0})
    assert [drift.name for _ in range(100) for drift in watch.add({"policy/2": 0.0})] == ["policy/2"]
    assert not [
        drift for _ in range(100) for drift in watch.add({"policy/1": 0.0})
    ]  # learns anew what is usual


def test_a_value_that_is_no_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="finite"):
        DriftDetector("x").add(float("nan"))


@pytest.mark.parametrize("wrong", [{"reference": 10}, {"tolerance": 1.0}, {"patience": 1.0}])
def test_what_cannot_be_meant_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        DriftConfig(**wrong)  # type: ignore[arg-type]


def test_a_run_is_watched_by_what_was_asked_and_by_who_served_it() -> None:
    decision = Decision(
        decision_id="d",
        kind="step",
        made_s=0.0,
        policy="learned",
        policy_version="v1",
        features_version="1",
        actions=("a/Concise",),
        probabilities=(1.0,),
        masked=("",),
        chosen=0,
        probability=1.0,
        choice={},
    )
    step = Step(
        step_id=0,
        node="agent",
        kind="agent",
        position=0,
        round=1,
        role="Solver",
        parents=(),
        decision_id="d",
        model="a",
        strategy="Concise",
        served_model="a",
        started_s=0.0,
        finished_s=1.0,
    )
    run = Trajectory(
        trace_id="0" * 32,
        question="How far?",
        domain="math",
        arrived_at_s=0.0,
        budget_s=9.0,
        latency_s=2.0,
        decisions=(decision,),
        steps=(step,),
        final_step_id=0,
    )
    streams = streams_of(run, Label(solved=1.0))
    assert streams["budget_s"] == 9.0
    assert (streams["domain/math"], streams["domain/code"]) == (1.0, 0.0)
    assert streams["solved/policy/v1"] == streams["on_time/model/a"] == 1.0
    assert not any(name.startswith("solved") for name in streams_of(run))
