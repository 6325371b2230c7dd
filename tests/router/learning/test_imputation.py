"""Imputed labels: an overrating predictor is not believed, and neither is a calibration that drifts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from inframind.errors import ConfigError
from inframind.router.encoder import HashingEncoder
from inframind.router.learning.calibration import Calibration, CalibrationConfig, ScoredCalls, fit_calibration
from inframind.router.learning.imputation import DriftConfig, DriftReport, check_drift, impute_labels
from inframind.router.learning.quality import QualityConfig, QualitySample, Response
from inframind.router.learning.quality_training import train_quality

ABILITY = {"3b": -1.0, "8b": -0.3, "14b": 0.3, "32b": 1.0}
HELP = {"Flash": -0.3, "Concise": 0.0, "DeepThink": 0.3}
OVERRATED_BY = 2.2
AS_IS = Calibration(slope=1.0, intercept=0.0)


def logistic(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-logits))


@dataclass(frozen=True)
class Judged:
    """A scorer that looks the score up."""

    score_of: Mapping[str, float]

    def scores(self, responses: Sequence[Response]) -> NDArray[np.float64]:
        return np.array([self.score_of[response.text] for response in responses])


@dataclass(frozen=True)
class Calls:
    """Answers with their true chance to be right, and a scorer that overrates the smallest model."""

    responses: list[Response]
    chances: NDArray[np.float64]
    solved: NDArray[np.bool_]
    scorer: Judged

    def scored(self, part: slice) -> ScoredCalls:
        return ScoredCalls.of(self.responses[part], self.scorer)

    def share_of(self, model: str, values: NDArray[np.float64], part: slice) -> float:
        return float(values[[response.model == model for response in self.responses[part]]].mean())


LABELLED, FRESH, UNLABELLED = slice(0, 600), slice(600, 1200), slice(1200, 6000)


def world(seed: int = 0, overrated_by: float = OVERRATED_BY) -> Calls:
    rng = np.random.default_rng(seed)
    count = UNLABELLED.stop
    models = rng.choice(list(ABILITY), count).tolist()
    strategies = rng.choice(list(HELP), count).tolist()
    known = np.array([ABILITY[m] + HELP[s] for m, s in zip(models, strategies, strict=True)])
    logits = known + rng.normal(0, 1.2, count)
    bias = overrated_by * np.array([model == "3b" for model in models])
    scores = 10 * logistic(logits + rng.normal(0, 0.5, count) + bias)
    responses = [
        Response(question="q", text=f"{number}", model=model, strategy=strategy)
        for number, (model, strategy) in enumerate(zip(models, strategies, strict=True))
    ]
    solved = rng.random(count) < logistic(logits)
    scorer = Judged({response.text: value for response, value in zip(responses, scores, strict=True)})
    return Calls(responses, logistic(logits), solved, scorer)


def calibrated(calls: Calls, config: CalibrationConfig) -> Calibration:
    return fit_calibration(calls.scored(LABELLED), calls.solved[LABELLED], config)


def drift(calls: Calls, calibration: Calibration, config: DriftConfig | None = None) -> DriftReport:
    return check_drift(calibration, calls.scored(FRESH), calls.solved[FRESH], config or DriftConfig())


@pytest.mark.parametrize("seed", range(3))
def test_a_model_overrated_by_2_logits_is_imputed_at_its_true_share(seed: int) -> None:
    calls = world(seed)
    truth = calls.share_of("3b", calls.chances[UNLABELLED], UNLABELLED)

    def imputed(calibration: Calibration) -> float:
        labels = impute_labels(
            calls.responses[UNLABELLED], calls.scorer, calibration, drift(calls, calibration)
        )
        return calls.share_of("3b", labels.solved_B, UNLABELLED)

    per_pair = imputed(calibrated(calls, CalibrationConfig()))
    global_platt = imputed(calibrated(calls, CalibrationConfig(by_name=False)))
    raw = imputed(AS_IS)
    assert per_pair == pytest.approx(truth, abs=0.06)
    assert global_platt > truth + 0.15
    assert raw > truth + 0.3


def test_the_overrated_model_gets_no_labels_from_a_calibration_blind_to_it() -> None:
    calls = world()
    blind = calibrated(calls, CalibrationConfig(by_name=False))
    labels = impute_labels(calls.responses[UNLABELLED], calls.scorer, blind, drift(calls, blind))
    assert calls.share_of("3b", labels.weight_B, UNLABELLED) == 0.0
    assert any("model 3b is off by +0." in reason for reason in labels.refusals)


def test_a_calibration_that_holds_gives_every_call_half_a_label() -> None:
    calls = world()
    good = calibrated(calls, CalibrationConfig())
    labels = impute_labels(calls.responses[UNLABELLED], calls.scorer, good, drift(calls, good))
    assert (labels.weight_B == 0.5).all()
    assert labels.refusals == {}
    assert ((labels.solved_B > 0) & (labels.solved_B < 1)).all()


def test_the_weight_is_the_callers() -> None:
    calls = world()
    good = calibrated(calls, CalibrationConfig())
    asked = calls.responses[UNLABELLED][:5]
    labels = impute_labels(asked, calls.scorer, good, drift(calls, good), weight=0.25)
    assert labels.weight_B.tolist() == [0.25] * 5
    with pytest.raises(ConfigError, match=r"imputation\.weight"):
        impute_labels(asked, calls.scorer, good, drift(calls, good), weight=1.5)


def test_a_model_without_fresh_labels_gets_none_imputed() -> None:
    calls = world()
    good = calibrated(calls, CalibrationConfig())
    report = drift(calls, good)
    known = calls.responses[UNLABELLED.start]
    new = Response(question="q", text=known.text, model="new", strategy="Flash")
    labels = impute_labels([known, new], calls.scorer, good, report)
    assert labels.weight_B.tolist() == [0.5, 0.0]
    assert labels.refusals == {"model new has no fresh labels": 1}


def test_labels_too_few_to_check_refuse_everything() -> None:
    calls = world()
    good = calibrated(calls, CalibrationConfig())
    report = check_drift(good, calls.scored(slice(0, 20)), calls.solved[:20], DriftConfig(fewest=30))
    labels = impute_labels(calls.responses[:3], calls.scorer, good, report)
    assert labels.weight_B.tolist() == [0.0, 0.0, 0.0]
    assert labels.refusals == {"all has 20 fresh labels, not 30": 3}


def test_a_predictor_that_has_changed_since_it_was_calibrated_is_refused() -> None:
    before, after = world(0), world(0, overrated_by=0.0)
    labels = impute_labels(
        after.responses[UNLABELLED],
        after.scorer,
        calibrated(before, CalibrationConfig()),
        drift(after, calibrated(before, CalibrationConfig())),
    )
    assert after.share_of("3b", labels.weight_B, UNLABELLED) == 0.0


def test_a_slope_that_is_off_is_refused_although_every_mean_is_right() -> None:
    # Two thirds are scored at 1 and at 9 of 10 and solve half; means agree for all, for models, for strategies.
    scores = [1.0, 5.0, 9.0] * 100
    calls = ScoredCalls(np.array(scores), ("a",) * 300, ("Flash",) * 300)
    labels = [number % 2 == 0 for number in range(100) for _ in range(3)]
    report = check_drift(AS_IS, calls, labels, DriftConfig())
    assert {group.name: bool(group.refusal) for group in report.groups} == {
        "": False,
        "unlikely": True,
        "open": False,
        "likely": True,
        "a": False,
        "Flash": False,
    }
    assert report.refusal(Response(question="q", text="t", model="a", strategy="Flash")) != ""


def test_a_groups_error_and_bound_are_worked_out_by_hand() -> None:
    calls = ScoredCalls(np.full(100, 5.0), ("a",) * 100, ("Flash",) * 100)
    solved = [number < 39 for number in range(100)]
    strict = check_drift(AS_IS, calls, solved, DriftConfig(bound=0.1, deviations=2.0)).groups[0]
    lenient = check_drift(AS_IS, calls, solved, DriftConfig(bound=0.1, deviations=3.0)).groups[0]
    assert (strict.labels, strict.error, strict.allowed) == (100, pytest.approx(0.11), pytest.approx(0.1))
    assert strict.refusal == "all is off by +0.11, more than 0.10"
    assert (lenient.allowed, lenient.refusal) == (pytest.approx(0.15), "")


@pytest.mark.parametrize("values", [{"bound": 0.0}, {"fewest": 0}, {"deviations": -1.0}])
def test_a_check_that_cannot_work_names_the_field(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"drift.{next(iter(values))}"):
        DriftConfig(**values)  # type: ignore[arg-type]


def test_a_predictor_trained_by_a_judge_with_a_favourite_is_mended_by_labels() -> None:
    calls = world(4)
    responses = [
        Response(question="q", text=f"part {round(chance * 9)}", model=r.model, strategy=r.strategy)
        for r, chance in zip(calls.responses, calls.chances, strict=True)
    ]
    judged = calls.scorer.scores(calls.responses)
    taught = [QualitySample(response=r, score=s) for r, s in zip(responses, judged, strict=True)][UNLABELLED]
    config = QualityConfig(hidden=(16,), embedding=4, epochs=8)
    predictor = train_quality(taught, config, seed=0, encoder=HashingEncoder(16))
    labelled, fresh = (ScoredCalls.of(responses[part], predictor) for part in (LABELLED, FRESH))
    calibration = fit_calibration(labelled, calls.solved[LABELLED], CalibrationConfig())
    report = check_drift(calibration, fresh, calls.solved[FRESH], DriftConfig())
    labels = impute_labels(responses[UNLABELLED], predictor, calibration, report)
    truth = calls.share_of("3b", calls.chances[UNLABELLED], UNLABELLED)
    raw = calls.share_of("3b", predictor.scores(responses[UNLABELLED]) / 10, UNLABELLED)
    assert raw > truth + 0.25
    assert calls.share_of("3b", labels.solved_B, UNLABELLED) == pytest.approx(truth, abs=0.06)
    assert (labels.weight_B == 0.5).all()
