from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from inframind.advisor.analysis import Analysis
from inframind.advisor.ranking.history import History
from inframind.advisor.ranking.unranked import Unranked
from inframind.advisor.recommending import recommend
from inframind.arena.advice.offers import Offers
from inframind.arena.advice.people import SEGMENTS, TASTES, Person, crowd, person_of
from inframind.errors import ConfigError
from inframind.traces.advice import KINDS, Metric, Prediction, Recommendation, RecommendationKind

NOW_S = 1_700_000_000.0


def promise(
    metric: Metric, change: float, *, before: float = 0.5, half: float = 0.0, why: str = ""
) -> Prediction:
    return Prediction(
        metric=metric,
        before=before,
        change=change,
        low=change - half,
        high=change + half,
        runs=1000,
        affected=200,
        effective_size=150.0,
        method="drawn",
        objection=why,
    )


def made(
    kind: RecommendationKind, predictions: Sequence[Prediction], rule: dict[str, object] | None = None
) -> Recommendation:
    return Recommendation(
        recommendation_id="1" * 32,
        made_at_s=NOW_S,
        kind=kind,
        configuration_id="2" * 64,
        title="t",
        reason="r",
        rules=({"name": "a", **(rule or {"avoid_strategies": ["Flash"]})},),
        predictions=tuple(predictions),
    )


def somebody(segment: str) -> Person:
    return Person(name="p", taste=next(taste for taste in TASTES if taste.segment == segment))


def test_one_in_five_says_nothing_whatever_is_recommended() -> None:
    people = crowd(np.random.default_rng(1))
    silent = [person for person in people if not person.attentive]
    assert Counter(person.segment for person in people) == dict.fromkeys(SEGMENTS, 5)
    assert Counter(person.segment for person in silent) == dict.fromkeys(SEGMENTS, 1)
    wonder = made("balanced", [promise("success", 0.5), promise("cost", -0.5)])
    assert {person.chance(wonder) for person in silent} == {0.0}


def test_segments_differ_in_what_they_want() -> None:
    cheaper = made("cheapest", [promise("cost", -0.4, before=1.0)])
    better = made("highest_performance", [promise("success", 0.1), promise("cost", 0.4, before=1.0)])
    assert somebody("thrifty").chance(cheaper) > 0.9 > 0.1 > somebody("thrifty").chance(better)
    assert somebody("performance").chance(better) > 0.9 > 0.1 > somebody("performance").chance(cheaper)


def test_the_wary_want_no_other_models() -> None:
    promised = [promise("success", 0.1)]
    stays = made("balanced", promised)
    moves = made("balanced", promised, {"avoid_models": ["large"]})
    wary, other = somebody("wary"), somebody("even-minded")
    assert wary.utility(stays) - wary.utility(moves) == pytest.approx(2.0)
    assert other.utility(stays) == other.utility(moves)


def test_what_is_not_sure_counts_half_and_what_lacks_evidence_not_at_all() -> None:
    person = somebody("performance")
    nothing = person.utility(made("balanced", []))
    sure = person.utility(made("balanced", [promise("success", 0.1, half=0.05)]))
    unsure = person.utility(made("balanced", [promise("success", 0.1, half=0.2)]))
    unknown = person.utility(made("balanced", [promise("success", 0.1, why="too few runs")]))
    assert sure - nothing == pytest.approx(2 * (unsure - nothing))
    assert unknown == nothing


def test_people_of_a_segment_that_is_not_there_are_refused() -> None:
    with pytest.raises(ConfigError, match="segment"):
        person_of("hasty", np.random.default_rng(0))


def test_every_offer_has_all_four_kinds_of_an_application_of_its_own() -> None:
    offers = Offers(np.random.default_rng(3))
    first, second = offers.draw(NOW_S), offers.draw(NOW_S)
    for analysis in (first, second):
        assert [option.kind for option in analysis.options] == list(KINDS)
        assert Analysis.from_json(analysis.to_json()) == analysis
    assert first.configuration_id != second.configuration_id
    assert not {option.rules for option in first.options} & {option.rules for option in second.options}


def test_about_a_third_of_what_attentive_people_are_shown_in_any_order_is_accepted() -> None:
    rng = np.random.default_rng(4)
    people, offers = [person for person in crowd(rng) if person.attentive], Offers(rng)
    chances = []
    for turn in range(400):
        shown = recommend(
            offers.draw(NOW_S),
            History(),
            Unranked(),
            draws=1,
            now_s=NOW_S,
            rng=rng,
            new_id=lambda: rng.bytes(16).hex(),
        )
        chances.append(np.mean([people[turn % len(people)].chance(one) for one in shown]))
    assert 0.27 < float(np.mean(chances)) < 0.40
