from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from inframind.advisor.ranking.belief import OWN, Posterior, PriorConfig, Scale
from inframind.advisor.ranking.features import COLUMNS
from inframind.advisor.ranking.lessons import Table
from inframind.advisor.ranking.protocol import Array
from inframind.advisor.ranking.thompson import ThompsonConfig, ThompsonSampling
from inframind.errors import ConfigError

NOISE = 0.9
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


def log_density(design: Array, rewards: Array, variances: Array) -> float:
    covariance = NOISE**2 * np.eye(len(rewards)) + design @ np.diag(variances) @ design.T
    log_volume = np.linalg.slogdet(2 * math.pi * covariance)[1]
    return float(-(log_volume + rewards @ np.linalg.solve(covariance, rewards)) / 2)


def believed(lessons: list[Any], *scales: Scale) -> ThompsonSampling:
    bandit = ThompsonSampling(ThompsonConfig(prior=PriorConfig(scales=scales), noise=NOISE))
    bandit.learn(lessons)
    return bandit


def test_means_and_covariances_are_those_of_the_closed_form(bench: Any) -> None:
    lessons = bench.random_lessons(np.random.default_rng(1), 60)
    segments = sorted({lesson.segment for lesson in lessons})
    design, rewards, variances, _ = dense(lessons, HALF, segments)
    covariance = np.linalg.inv(design.T @ design / NOISE**2 + np.diag(1 / variances))
    mean = covariance @ design.T @ rewards / NOISE**2
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
    design, rewards, variances, features = dense(lessons, HALF, ["segment-0", "segment-1", "nobody"])
    covariance = np.linalg.inv(design.T @ design / NOISE**2 + np.diag(1 / variances))
    mean = covariance @ design.T @ rewards / NOISE**2
    asked = np.zeros((len(features), design.shape[1]))
    asked[:, : len(COLUMNS)], asked[:, -len(OWN) :] = features, features[:, OWN]
    found = believed(lessons, HALF).belief.posteriors[0]
    np.testing.assert_allclose(found.means(features, None), asked @ mean, atol=1e-9)
    np.testing.assert_allclose(found.covariance(features, None), asked @ covariance @ asked.T, atol=1e-9)


def test_scales_are_as_likely_as_they_make_the_rewards(bench: Any) -> None:
    lessons = bench.random_lessons(np.random.default_rng(3), 50)
    scales = (Scale(0.1, 0.1, 1.0), Scale(1.0, 0.5, 3.0))
    segments = sorted({lesson.segment for lesson in lessons})
    logs = [math.log(scale.chance) + log_density(*dense(lessons, scale, segments)[:3]) for scale in scales]
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


def test_before_any_lesson_everything_is_as_beforehand() -> None:
    belief = ThompsonSampling().belief
    asked = np.ones((2, len(COLUMNS)))
    assert belief.means(asked, "anybody").tolist() == [0, 0]
    scales = PriorConfig().scales
    total = sum(scale.chance for scale in scales)
    assert belief.chances.tolist() == pytest.approx([scale.chance / total for scale in scales])


@pytest.mark.parametrize("wrong", [{"scales": ()}, {"scales": (Scale(0.0, 1.0, 1.0),)}, {"spread": 0.0}])
def test_priors_that_say_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="prior"):
        PriorConfig(**wrong)
