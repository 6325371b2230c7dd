from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inframind.advisor.ranking.belief import OWN, PriorConfig, Scale
from inframind.advisor.ranking.features import COLUMNS
from inframind.advisor.ranking.lessons import Table
from inframind.advisor.ranking.supervised import SupervisedConfig, SupervisedRanker
from inframind.errors import ConfigError
from inframind.router.learning.ridge_logistic import RidgeLogistic, logistic
from inframind.traces.advice import KINDS

TASTES = {
    "thrifty": ("cheapest", "balanced", "model_switch", "highest_performance"),
    "fast": ("highest_performance", "model_switch", "balanced", "cheapest"),
    "steady": ("balanced", "cheapest", "highest_performance", "model_switch"),
}


def fitted(lessons: Any, **config: Any) -> SupervisedRanker:
    ranker = SupervisedRanker(SupervisedConfig(**config))
    ranker.learn(lessons)
    return ranker


def test_the_fit_is_that_of_one_regression_over_all_columns_side_by_side(bench: Any) -> None:
    lessons = bench.random_lessons(np.random.default_rng(1), 80)
    scale = Scale(0.8, 0.5, 1.0)
    prior = PriorConfig(scales=(scale,), spread=2.0)
    segments = sorted({lesson.segment for lesson in lessons})
    table = Table.of(lessons)
    design = np.zeros((80, len(COLUMNS) + len(segments) * len(OWN)))
    design[:, : len(COLUMNS)] = table.features_BD
    for row, lesson in enumerate(lessons):
        first = len(COLUMNS) + segments.index(lesson.segment) * len(OWN)
        design[row, first : first + len(OWN)] = table.features_BD[row, OWN]
    shared, own = prior.precisions(scale)
    ridge = np.concatenate([shared, *[own for _ in segments]])
    around = np.concatenate([prior.means(scale), np.zeros(len(segments) * len(OWN))])
    weights = RidgeLogistic(design, table.accepted_B, ridge, around).fit()
    ranker = fitted(lessons, prior=prior)
    for segment in segments:
        here = [row for row, lesson in enumerate(lessons) if lesson.segment == segment]
        np.testing.assert_allclose(
            ranker.acceptance(table.features_BD[here], segment), logistic(design[here] @ weights), atol=1e-5
        )


def test_ten_labels_of_each_segment_order_the_four_kinds_as_it_does(bench: Any) -> None:
    verdicts = (
        ("accepted",) * 3,
        ("accepted", "accepted", "rejected"),
        ("accepted", "rejected"),
        ("rejected",) * 2,
    )
    lessons = [
        bench.lesson(verdict, kind, segment=segment)
        for segment, order in TASTES.items()
        for kind, said in zip(order, verdicts, strict=True)
        for verdict in said
    ]
    ranker = fitted(lessons)
    asked = np.stack([bench.columns(kind) for kind in KINDS])
    for segment, order in TASTES.items():
        chances = ranker.acceptance(asked, segment)
        assert [KINDS[place] for place in np.argsort(-chances)] == list(order)


def test_what_was_ignored_leaves_no_trace(bench: Any) -> None:
    lessons = bench.random_lessons(np.random.default_rng(2), 20)
    asked = np.stack([bench.columns(kind) for kind in KINDS])
    ignored = [bench.lesson("ignored", kind) for kind in KINDS]
    assert (
        fitted([*lessons, *ignored]).acceptance(asked, "").tolist()
        == fitted(lessons).acceptance(asked, "").tolist()
    )


def test_any_order_of_lessons_gives_the_same_fit(bench: Any) -> None:
    lessons = bench.random_lessons(np.random.default_rng(3), 25)
    asked = np.stack([bench.columns(kind) for kind in KINDS])
    one, other = fitted(lessons), SupervisedRanker()
    for lesson in reversed(lessons):
        other.learn([lesson])
    assert one.acceptance(asked, "segment-1").tolist() == other.acceptance(asked, "segment-1").tolist()


def test_labels_older_than_the_latest_so_many_are_forgotten(bench: Any) -> None:
    old = [bench.lesson("rejected", "cheapest") for _ in range(10)]
    new = [bench.lesson("accepted", "cheapest") for _ in range(10)]
    asked = bench.columns("cheapest")[None]
    assert fitted([*old, *new], most_lessons=10).acceptance(asked, "") == fitted(new).acceptance(asked, "")


def test_without_labels_acceptance_is_a_coin(bench: Any) -> None:
    assert fitted([]).acceptance(bench.columns()[None], "anybody").tolist() == [0.5]


@pytest.mark.parametrize("wrong", [{"most_lessons": 9}, {"curiosity": 0.0}])
def test_a_ranker_that_could_not_learn_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        SupervisedConfig(**wrong)
