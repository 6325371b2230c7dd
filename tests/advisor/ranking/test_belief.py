from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inframind.advisor.ranking.belief import OWN, Posterior, PriorConfig, Scale
from inframind.advisor.ranking.features import COLUMNS
from inframind.advisor.ranking.lessons import Table
from inframind.advisor.ranking.protocol import Array
from inframind.advisor.ranking.thompson import ThompsonConfig, ThompsonSampling
from inframind.errors import ConfigError

NOISE, KNOWN = 0.9, 7.0
HALF = Scale(0.7, 0.6, 1.0)


def dense(lessons: list[Any], scale: Scale, segments: list[str]) -> tuple[Array, Array, Array, Array]:
    """All weights side by side, w and then each segment's d: design, rewards, prior variances."""
    prior_D, prior_E = PriorConfig().precisions(scale)
    table = Table.of(lessons)
    design = np.zeros((len(lessons), len(COLUMNS) + len(segments) * len(OWN)))
    design[:, : len(COLUMNS)] = table.features_BD
    for row, lesson in enumerate(lessons):
        first = len(COLUMNS) + segments.index(lesson.segment) * len(OWN)
        design[row, first : first + len(OWN)] = table.features_BD[row, OWN]
    variances = np.concatenate([1 / prior_D, *[1 / prior_E for _ in segments]])
    return design, table.rewards_B, variances, table.features_BD


def beforehand(scale: Scale, segments: list[str]) -> Array:
    """Means of all weights."""
    return np.concatenate([PriorConfig().means(scale), np.zeros(len(segments) * len(OWN))])


def closed_form(lessons: list[Any], scale: Scale, segments: list[str]) -> tuple[Array, Array, float]:
    """Mean and covariance of all weights, and the log density of the rewards: a Student's t, up to a constant."""
    design, rewards, variances, _ = dense(lessons, scale, segments)
    around = beforehand(scale, segments)
    above = rewards - design @ around
    spread = NOISE**2 * np.eye(len(rewards)) + design @ np.diag(variances) @ design.T
    distance = float(above @ np.linalg.solve(spread, above))
    covariance = np.linalg.inv(design.T @ design / NOISE**2 + np.diag(1 / variances))
    mean = around + covariance @ design.T @ above / NOISE**2
    density = -np.linalg.slogdet(spread)[1] / 2 - (KNOWN + len(rewards)) / 2 * math.log1p(distance / KNOWN)
    return mean, covariance * (KNOWN + distance) / (KNOWN + len(rewards)), float(density)


def believed(lessons: list[Any], *scales: Scale) -> ThompsonSampling:
    bandit = ThompsonSampling(
        ThompsonConfig(prior=PriorConfig(scales=scales), noise=NOISE, noise_known=KNOWN)
    )
    bandit.learn(lessons)
    return bandit


def test_means_and_covariances_are_those_of_the_closed_form(bench: Any) -> None:
    lessons = bench.random_lessons(np.random.default_rng(1), 60)
    segments = sorted({lesson.segment for lesson in lessons})
    design = dense(lessons, HALF, segments)[0]
    mean, covariance, _ = closed_form(lessons, HALF, segments)
    found: Posterior = believed(lessons, HALF).belief.posteriors[0]
    for place, segment in enumerate(segments):
        here = [row for row, lesson in enumerate(lessons) if lesson.segment == segment]
        asked = Table.of([lessons[row] for row in here]).features_BD
        np.testing.assert_allclose(found.means(asked, place), design[here] @ mean, atol=1e-9)
        np.testing.assert_allclose(
            found.covariance(asked, place), design[here] @ covariance @ design[here].T, atol=1e-9
        )


def test_a_segment_without_lessons_has_what_is_shared_and_may_deviate_as_any(bench: Any) -> None:
    lessons = bench.random_lessons(np.random.default_rng(2), 40, segments=2)
    everybody = ["segment-0", "segment-1", "nobody"]
    design, _, _, features = dense(lessons, HALF, everybody)
    mean, covariance, _ = closed_form(lessons, HALF, everybody)
    asked = np.zeros((len(features), design.shape[1]))
    asked[:, : len(COLUMNS)], asked[:, -len(OWN) :] = features, features[:, OWN]
    found = believed(lessons, HALF).belief.posteriors[0]
    np.testing.assert_allclose(found.means(features, None), asked @ mean, atol=1e-9)
    np.testing.assert_allclose(found.covariance(features, None), asked @ covariance @ asked.T, atol=1e-9)


def test_scales_are_as_likely_as_they_make_the_rewards(bench: Any) -> None:
    lessons = bench.random_lessons(np.random.default_rng(3), 50)
    scales = (Scale(0.1, 0.1, 1.0), Scale(1.0, 0.5, 3.0))
    segments = sorted({lesson.segment for lesson in lessons})
    logs = [math.log(scale.chance) + closed_form(lessons, scale, segments)[2] for scale in scales]
    expected = np.exp(np.array(logs) - max(logs))
    np.testing.assert_allclose(
        believed(lessons, *scales).belief.chances, expected / expected.sum(), rtol=1e-9
    )


def test_draws_have_the_posterior_s_mean_and_covariance(bench: Any) -> None:
    lessons = bench.random_lessons(np.random.default_rng(4), 30, segments=1)
    belief = believed(lessons, HALF).belief
    asked = Table.of(lessons[:3]).features_BD
    drawn = belief.draws(asked, "segment-0", 40_000, np.random.default_rng(5))
    posterior = belief.posteriors[0]
    np.testing.assert_allclose(drawn.mean(axis=0), posterior.means(asked, 0), atol=0.02)
    np.testing.assert_allclose(np.cov(drawn.T), posterior.covariance(asked, 0), atol=0.02)


def test_curiosity_scales_deviations_and_leaves_means(bench: Any) -> None:
    lessons = bench.random_lessons(np.random.default_rng(4), 30, segments=1)
    belief = believed(lessons, HALF).belief
    asked = Table.of(lessons[:3]).features_BD
    wide, narrow = (
        belief.draws(asked, "segment-0", 50, np.random.default_rng(6), curiosity=factor)
        for factor in (1, 0.5)
    )
    means = belief.means(asked, "segment-0")
    np.testing.assert_allclose(narrow - means, (wide - means) / 2, atol=1e-12)


def test_before_any_lesson_what_promises_more_is_liked_more_and_nothing_else(bench: Any) -> None:
    belief = ThompsonSampling().belief
    scales = PriorConfig().scales
    total = sum(scale.chance for scale in scales)
    assert belief.chances.tolist() == pytest.approx([scale.chance / total for scale in scales])
    doubt = scales[0].chance / total
    assert belief.doubt == pytest.approx(doubt)
    asked = np.stack(
        [
            bench.columns("cheapest", success_gain=0.5, cost_gain=-0.2),
            bench.columns("balanced", pattern_1=1.0, success_sure=1.0, segment_kind=-1.0),
        ]
    )
    promised = (1 - doubt) * (0.5 * 0.6 - 0.2 * 0.6)
    assert belief.means(asked, "anybody") == pytest.approx([promised, 0.0])


def test_a_promise_that_is_rejected_again_and_again_is_not_liked(bench: Any) -> None:
    gains = np.random.default_rng(8).uniform(-1, 1, 200)
    lessons = [
        bench.lesson("rejected" if gain > 0 else "accepted", values={"success_gain": float(gain)})
        for gain in gains
    ]
    asked = np.stack([bench.columns(success_gain=gain) for gain in (0.5, -0.5)])
    promising, frugal = believed(lessons, *PriorConfig().scales).belief.means(asked, "")
    assert promising < frugal - 0.5


def test_the_more_it_is_in_doubt_whether_anything_matters_the_wider_draws_are(bench: Any) -> None:
    lessons = bench.random_lessons(np.random.default_rng(4), 30, segments=1)
    sure = believed(lessons, HALF).belief
    asked = Table.of(lessons[:3]).features_BD
    means = sure.means(asked, "segment-0")

    def away(doubt: float, curiosity: float) -> Array:
        belief = replace(sure, doubt=doubt)
        return belief.draws(asked, "segment-0", 20, np.random.default_rng(6), curiosity=curiosity) - means

    np.testing.assert_allclose(away(0.5, 0.2), 0.6 * away(0.0, 1.0), atol=1e-12)
    np.testing.assert_allclose(away(1.0, 0.2), away(0.0, 1.0), atol=1e-12)


@pytest.mark.parametrize("wrong", [{"scales": ()}, {"scales": (Scale(0.0, 1.0, 1.0),)}, {"spread": 0.0}])
def test_priors_that_say_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="prior"):
        PriorConfig(**wrong)
