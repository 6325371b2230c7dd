from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inframind.arena.advice.defects import CUT, defect_named
from inframind.arena.advice.people import TASTES, Person
from inframind.arena.advice.season import ServedSeason, serve_season
from inframind.arena.advice.trial import Trial, TrialConfig, best_liked, run_trial
from inframind.router.latency_state import LatencyState
from inframind.traces.advice import Prediction, Recommendation
from inframind.traces.memory import MemoryStore

PERSON = Person(name="p", taste=next(taste for taste in TASTES if taste.segment == "performance"))


@pytest.fixture(scope="module")
def trial() -> Trial:
    """Long enough for a large defect to be seen."""
    return run_trial(
        defect_named("truncation"),
        PERSON,
        seed=2,
        config=TrialConfig(before=480, after=48, earlier=48, with_cure=True),
    )


def made(number: int, gain: float) -> Recommendation:
    promised = Prediction(
        metric="success",
        before=0.5,
        change=gain,
        low=gain - 0.01,
        high=gain + 0.01,
        runs=100,
        affected=50,
        effective_size=100.0,
        method="drawn",
    )
    return Recommendation(
        recommendation_id=f"{number:032x}",
        made_at_s=0.0,
        kind="model_switch",
        configuration_id="",
        title=f"number {number}",
        reason="",
        rules=({"name": f"r{number}", "avoid_models": ["a"]},),
        predictions=(promised,),
    )


def test_a_large_defect_is_found_and_named_by_model(trial: Trial) -> None:
    assert trial.naming_place == 0
    assert trial.analysis.clusters[0].main_trait.get("model", CUT) == CUT
    assert trial.analysis.runs == len(trial.before.success) == 480


def test_gains_are_of_the_same_requests_with_and_without(trial: Trial) -> None:
    assert trial.cured is not None
    assert len(trial.twin.success) == len(trial.after.success) == len(trial.cured.success) == 48
    assert trial.cure_gain == pytest.approx(trial.cured.success.mean() / trial.twin.success.mean() - 1)
    assert trial.cure_gain > 0
    if trial.accepted is None:
        assert trial.gain == 0.0


def test_the_day_after_begins_with_what_was_learned_on_the_day_before(trial: Trial) -> None:
    def twin(known: LatencyState | None) -> list[bool]:
        store = MemoryStore(max_traces=1, through_codec=False)
        served = serve_season(trial.world, store, seed=500_002, runs=48, day=1, known=known)
        return served.success.tolist()

    assert trial.before.latency is not None
    assert trial.twin.success.tolist() == twin(trial.before.latency) != twin(None)


def test_a_gain_is_relative() -> None:
    def season(successes: int) -> ServedSeason:
        solved = np.arange(10) < successes
        return ServedSeason(solved=solved, on_time=np.ones(10, np.bool_), hours=np.zeros(10, np.int64))

    base = season(4)
    one = Trial(
        world=defect_named("control"),
        seed=0,
        before=base,
        analysis=None,  # type: ignore[arg-type]
        analysing_s=0.0,
        recommended=(),
        accepted=None,
        twin=base,
        after=season(5),
    )
    assert one.gain == pytest.approx(0.25)
    assert np.isnan(one.cure_gain)
    assert one.naming_place is None


def test_what_came_is_held_against_the_promise_as_far_as_either_is_known() -> None:
    def after(successes: int) -> ServedSeason:
        solved = np.arange(400) < successes
        return ServedSeason(solved=solved, on_time=np.ones(400, np.bool_), hours=np.zeros(400, np.int64))

    one = Trial(
        world=defect_named("control"),
        seed=0,
        before=after(100),
        analysis=None,  # type: ignore[arg-type]
        analysing_s=0.0,
        recommended=(),
        accepted=made(1, 0.25),
        twin=after(100),
        after=after(200),
    )
    assert one.change == (pytest.approx(0.25), pytest.approx(0.25**0.5 * 0.75**0.5 / 399**0.5))
    assert one.is_kept
    assert replace(one, after=after(184)).is_kept
    assert replace(one, after=after(215)).is_kept
    assert not replace(one, after=after(180)).is_kept
    assert not replace(one, after=after(221)).is_kept
    assert replace(one, accepted=None).is_kept is None


def test_people_take_what_they_like_best_if_they_would_accept_it_at_all() -> None:
    small, large = made(1, 0.01), made(2, 0.2)
    assert best_liked(PERSON, [small, large], mood=0.5) is large
    assert best_liked(PERSON, [small], mood=0.5) is None
    assert best_liked(PERSON, [], mood=0.0) is None
    assert best_liked(replace(PERSON, attentive=False), [large], mood=0.0) is None
