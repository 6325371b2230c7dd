from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inframind.advisor.ranking.features import Tally
from inframind.advisor.ranking.history import History
from inframind.traces.advice import AdviceEvent, Recommendation

DAY_S = 86_400.0
PAUSE_S = 7 * DAY_S


def ids(fates: Any) -> list[str]:
    return [fate.recommendation.recommendation_id for fate in fates]


def told(bench: Any) -> tuple[list[Recommendation], list[AdviceEvent]]:
    """Every way in which a recommendation can end, in two segments."""
    made = [
        bench.recommendation(kind, segment=segment, made_at_s=100.0 * number)
        for number, (kind, segment) in enumerate(
            [
                ("cheapest", "a"),
                ("balanced", "a"),
                ("balanced", "b"),
                ("model_switch", "b"),
                ("cheapest", "b"),
            ]
        )
    ]
    events = [bench.event(one, "shown", one.made_at_s) for one in made]
    events += [
        bench.event(made[0], "accepted", 10.0),
        bench.event(made[0], "measured", 20.0, change=0.1, low=-0.1),
        bench.event(made[0], "measured", 30.0, change=0.2, low=0.1),
        bench.event(made[1], "rejected", 110.0),
        bench.event(made[2], "accepted", 210.0),
        bench.event(made[2], "reverted", 400.0),
        bench.event(made[3], "accepted", 310.0),
        bench.event(made[3], "rolled_back", 350.0, by="gate"),
    ]
    return made, events


def seen(history: History, made: list[Recommendation]) -> list[Any]:
    return [
        [history.fate(one.recommendation_id) for one in made],
        [(one.recommendation_id, one.verdict, one.at_s, one.improved) for one in history.lessons()],
        history.tally(segment="a"),
        history.tally(kind="balanced", switches=True),
        ids(history.open()),
    ]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 13))
def test_any_order_any_portions_and_duplicates_come_to_the_same(bench: Any, random: Any, cut: int) -> None:
    made, events = told(bench)
    expected = seen(History.of(made, events), made)
    shuffled, recommendations = random.sample(events, len(events)), random.sample(made, len(made))
    history = History()
    history.add(recommendations[:2], shuffled[:cut])
    history.add((), shuffled[cut:])
    history.add(recommendations, shuffled[:4])
    assert seen(history, made) == expected


def test_what_changed_is_named_and_nothing_is_news_twice(bench: Any) -> None:
    made, events = told(bench)
    history = History()
    assert history.add((), events) == frozenset()
    assert history.add(made) == {one.recommendation_id for one in made}
    assert history.add(made, events) == frozenset()
    again = bench.event(made[0], "measured", 40.0, change=0.3, low=0.2)
    assert history.add((), [again]) == {made[0].recommendation_id}


def test_verdicts_are_a_person_s_last_word_and_not_the_gate_s(bench: Any) -> None:
    made, events = told(bench)
    history = History.of(made, events)
    fates = [history.fate(one.recommendation_id) for one in made]
    assert [fate.verdict for fate in fates] == ["accepted", "rejected", "rejected", "accepted", None]
    assert [fate.is_in_force for fate in fates] == [True, False, False, False, False]
    assert [fate.decided_at_s for fate in fates[:4]] == [10.0, 110.0, 400.0, 310.0]
    assert ids(history.decided()) == [made[place].recommendation_id for place in (0, 1, 3, 2)]


def test_the_latest_measurement_counts(bench: Any) -> None:
    made, events = told(bench)
    lesson = next(iter(History.of(made, events).lessons()))
    assert (lesson.recommendation_id, lesson.reliability_change, lesson.improved) == (
        made[0].recommendation_id,
        0.2,
        True,
    )
    assert lesson.at_s == 30.0


@pytest.mark.parametrize("facts", [{}, {"change": "large"}, {"change": float("nan")}, {"change": 1.5}])
def test_a_measurement_that_cannot_be_read_is_none(bench: Any, facts: dict[str, Any]) -> None:
    made = bench.recommendation()
    events = [bench.event(made, "accepted", 1.0), bench.event(made, "measured", 2.0, **facts)]
    assert History.of([made], events).lessons()[0].reliability_change is None


def test_improvement_is_what_is_said_or_an_interval_above_nothing(bench: Any) -> None:
    made = bench.recommendation()
    facts: list[tuple[dict[str, Any], bool]] = [
        ({"change": 0.1, "low": 0.01}, True),
        ({"change": 0.1, "low": -0.01}, False),
        ({"change": 0.1}, False),
        ({"change": 0.1, "low": -0.01, "improved": True}, True),
    ]
    for said, improved in facts:
        events = [bench.event(made, "accepted", 1.0), bench.event(made, "measured", 2.0, **said)]
        assert History.of([made], events).lessons()[0].improved is improved


def test_the_undecided_are_open_until_something_newer_is_shown_a_patience_later(bench: Any) -> None:
    old, soon, other = (
        bench.recommendation(segment=segment, made_at_s=at_s)
        for segment, at_s in (("a", 0.0), ("a", DAY_S - 1), ("b", 9 * DAY_S))
    )
    history = History(patience_s=DAY_S)
    history.add([old, soon, other], [bench.event(one, "shown", one.made_at_s) for one in (old, soon, other)])
    assert ids(history.open()) == [one.recommendation_id for one in (old, soon, other)]
    assert history.lessons() == ()
    newer = bench.recommendation(segment="a", made_at_s=DAY_S)
    history.add([newer], [bench.event(newer, "shown", DAY_S)])
    assert ids(history.ignored()) == [old.recommendation_id]
    assert [lesson.verdict for lesson in history.lessons()] == ["ignored"]


def test_what_was_never_shown_nor_decided_is_neither_open_nor_ignored(bench: Any) -> None:
    history = History.of([bench.recommendation()], ())
    assert (history.open(), history.ignored(), history.lessons()) == ((), (), ())


def test_verdicts_are_counted_by_segment_kind_and_switch(bench: Any) -> None:
    made, events = told(bench)
    history = History.of(made, events)
    assert history.tally() == Tally(2, 2)
    assert history.tally(segment="a") == Tally(1, 1)
    assert history.tally(segment="b", kind="balanced") == Tally(0, 1)
    assert history.tally(switches=True) == Tally(2, 2)
    assert history.tally(switches=False) == Tally()
    assert (Tally().leaning, Tally(3, 0).leaning, Tally(0, 3).leaning) == pytest.approx((0.0, 0.6, -0.6))


def test_those_made_together_share_a_number(bench: Any) -> None:
    one, two = (bench.recommendation(segment="a", made_at_s=5.0) for _ in range(2))
    late, other = bench.recommendation(segment="a", made_at_s=6.0), bench.recommendation(made_at_s=5.0)
    history = History.of([one, two, late, other], ())
    groups = [history.fate(made.recommendation_id).group for made in (one, two, late, other)]
    assert groups[0] == groups[1]
    assert len(set(groups)) == 3


@pytest.mark.parametrize("otherwise", [{"features_version": "advice-0"}, {"features": (1.0, 2.0)}])
def test_what_was_seen_through_other_columns_is_counted_and_not_learned(
    bench: Any, otherwise: dict[str, Any]
) -> None:
    made = bench.recommendation(**otherwise)
    history = History.of([made], [bench.event(made, "accepted", 1.0)])
    assert history.lessons() == ()
    assert history.tally() == Tally(1, 0)


def test_rules_that_cannot_be_read_are_not_well_formed(bench: Any) -> None:
    made = bench.recommendation(rules=({"name": "empty"},))
    lesson = History.of([made], [bench.event(made, "rejected", 1.0)]).lessons()[0]
    assert not lesson.well_formed
    assert np.array_equal(lesson.features_D, made.features)


def objection(history: History, bench: Any, made: Recommendation, **more: Any) -> str:
    known = {"segment": "a", "now_s": 100 * DAY_S, "pause_s": PAUSE_S, **more}
    predictions = known.pop("predictions", made.predictions)
    return history.objection(history.fate(made.recommendation_id).change, predictions, **known)


def test_what_is_in_force_is_not_recommended_to_anybody(bench: Any) -> None:
    made = bench.recommendation(segment="a")
    history = History.of([made], [bench.event(made, "accepted", 1.0)])
    assert (
        objection(history, bench, made) == objection(history, bench, made, segment="b") == "accepted before"
    )


def test_what_a_segment_rejected_comes_back_to_it_after_a_pause_and_with_other_predictions(
    bench: Any,
) -> None:
    made = bench.recommendation(segment="a")
    news = (bench.prediction("success", 0.2),)
    history = History.of([made], [bench.event(made, "rejected", 0.0)])
    assert objection(history, bench, made, now_s=PAUSE_S - 1, predictions=news) == "rejected not long ago"
    assert objection(history, bench, made) == "rejected, and its predictions are what they were"
    assert objection(history, bench, made, now_s=PAUSE_S, predictions=news) == ""
    assert objection(history, bench, made, segment="b", now_s=1.0) == ""


@pytest.mark.parametrize(("kind", "word"), [("reverted", "taken back"), ("rolled_back", "rolled back")])
def test_what_was_undone_pauses_for_everybody(bench: Any, kind: str, word: str) -> None:
    made = bench.recommendation(segment="a")
    history = History.of([made], [bench.event(made, "accepted", 0.0), bench.event(made, kind, 1.0)])
    assert objection(history, bench, made, segment="b", now_s=2.0) == f"{word} not long ago"
    assert objection(history, bench, made, predictions=(bench.prediction("success", 0.2),)) == ""


def test_what_was_set_aside_for_want_of_evidence_comes_back_after_a_pause_or_with_other_predictions(
    bench: Any,
) -> None:
    made = bench.recommendation(segment="a")
    ended = bench.event(made, "rolled_back", 1.0, by="gate", unproven=True)
    history = History.of([made], [bench.event(made, "accepted", 0.0), ended])
    assert objection(history, bench, made, now_s=PAUSE_S) == "set aside not long ago"
    assert objection(history, bench, made, segment="b", now_s=2.0) == "set aside not long ago"
    assert objection(history, bench, made, now_s=PAUSE_S + 1) == ""
    news = (bench.prediction("success", 0.2),)
    assert objection(history, bench, made, now_s=2.0, predictions=news) == ""


@pytest.mark.parametrize("is_taken_out", [False, True])
def test_what_was_set_aside_nobody_refused(bench: Any, is_taken_out: bool) -> None:
    made = bench.recommendation(segment="a")
    events = [
        bench.event(made, "accepted", 0.0),
        bench.event(made, "rolled_back", 1.0, by="gate", unproven=True),
        *([bench.event(made, "reverted", 2.0)] if is_taken_out else []),
    ]
    history = History.of([made], events)
    fate = history.fate(made.recommendation_id)
    assert fate is not None
    assert (fate.verdict, fate.is_in_force, fate.undone_at_s, fate.set_aside_at_s) == (
        "accepted", False, None, 1.0,
    )  # fmt: skip
    assert [lesson.verdict for lesson in history.lessons()] == ["accepted"]
    assert history.tally() == Tally(1, 0)


def test_a_refusal_outweighs_that_another_was_set_aside(bench: Any) -> None:
    made, later = bench.recommendation(segment="a"), bench.recommendation(segment="a", made_at_s=50.0)
    events = [
        bench.event(made, "accepted", 0.0),
        bench.event(made, "rolled_back", 1.0, by="gate", unproven=True),
        bench.event(later, "rejected", 51.0),
    ]
    history = History.of([made, later], events)
    assert objection(history, bench, made, now_s=52.0) == "rejected not long ago"


def test_what_the_file_was_merely_seen_to_lack_nobody_refused(bench: Any) -> None:
    made = bench.recommendation(segment="a")
    events = [bench.event(made, "accepted", 0.0), bench.event(made, "reverted", 1.0, by="file")]
    history = History.of([made], events)
    fate = history.fate(made.recommendation_id)
    assert fate is not None
    assert (fate.verdict, fate.is_in_force, fate.undone_at_s, fate.lost_at_s) == (
        "accepted",
        False,
        None,
        1.0,
    )
    assert history.tally() == Tally(1, 0)
    assert objection(history, bench, made, now_s=2.0) == ""


def test_a_revert_that_was_interrupted_is_one(bench: Any) -> None:
    made = bench.recommendation(segment="a")
    taken_out = bench.event(made, "reverted", 1.0, by="file", backup="inframind.toml.bak-1")
    history = History.of([made], [bench.event(made, "accepted", 0.0), taken_out])
    assert history.tally() == Tally(0, 1)
    assert objection(history, bench, made, now_s=2.0) == "taken back not long ago"


def test_who_accepts_again_what_they_refused_has_changed_their_mind(bench: Any) -> None:
    made, again = bench.recommendation(segment="a"), bench.recommendation(segment="a", made_at_s=50.0)
    events = [
        bench.event(made, "accepted", 0.0),
        bench.event(made, "reverted", 1.0),
        bench.event(again, "accepted", 51.0),
    ]
    history = History.of([made, again], events)
    assert objection(history, bench, made, now_s=52.0) == "accepted before"
    history.add(events=[bench.event(again, "reverted", 53.0, by="file")])
    assert objection(history, bench, made, now_s=54.0) == ""
