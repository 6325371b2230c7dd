"""From graded and ungraded runs to imputed labels: trains the predictor, calibrates it, checks it, asks it.

    imputer = fit_imputer(seen, solved, encoder=encoder, seed=0)
    learner.learn(new, solved_of_new, progress, imputed=imputer.impute(ungraded).solved)

What comes out is a label for the critics, or a column of the state; never a bonus in a reward. Graded runs are used
oldest first: some train the predictor, the next calibrate it, the latest check that calibration. Labels are few, so
what is used in the end is calibrated with the latest ones too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from inframind.errors import ConfigError
from inframind.router.encoder import Encoder
from inframind.router.learning.calibration import (
    Calibration,
    CalibrationConfig,
    ScoredCalls,
    Scorer,
    fit_calibration,
)
from inframind.router.learning.imputation import DriftConfig, DriftReport, check_drift, impute_labels
from inframind.router.learning.quality import QualityConfig, Response
from inframind.router.learning.quality_samples import final_response, response_of, samples_of
from inframind.router.learning.quality_training import train_quality
from inframind.traces.records import Outcome, Trajectory

__all__ = ["Imputation", "Imputer", "ImputingConfig", "calibrate_imputer", "fit_imputer"]


@dataclass(frozen=True, kw_only=True)
class ImputingConfig:
    """How labels are imputed."""

    trained: float = 0.5
    """Share of the graded runs, the oldest, that train the predictor; none where there is a predictor already."""
    checked: float = 0.5
    """Share of the other graded runs, the latest, that check it; those between calibrate it first."""
    quality: QualityConfig = field(default_factory=QualityConfig)
    """Of the predictor."""
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    """Of its calibration per model and strategy."""
    drift: DriftConfig = field(default_factory=DriftConfig)
    """Of the check."""

    def __post_init__(self) -> None:
        for name in ("trained", "checked"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(
                    f"imputing.{name}",
                    getattr(self, name),
                    "use a share in (0, 1): no part does without runs",
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Imputation:
    """Labels for runs that nobody graded.

    Attributes:
        solved: probability that the answer is right, by trace id, where it is believed; for `RoutingLearner.learn`.
        refusals: why runs have none, with how many there are.
    """

    solved: Mapping[str, float]
    refusals: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Imputer:
    """A scorer, its calibration, and what fresh labels say about both."""

    scorer: Scorer
    """Judges answers."""
    calibration: Calibration
    """Turns scores into probabilities; fitted to all labels that the scorer was not trained on."""
    drift: DriftReport
    """Whom the calibration is believed of: how well the earlier labels foretold the latest."""

    def impute(self, ungraded: Sequence[Trajectory]) -> Imputation:
        """Labels for runs without any.

        A run that found no answer has not solved its question: its probability is 0, if its last call's model and
        strategy are believed of (or else failures alone would speak for those). A run without any call has none.
        """
        called = [run for run in ungraded if run.steps]
        labels = impute_labels(
            [_last_response(run) for run in called], self.scorer, self.calibration, self.drift
        )
        believed = {
            run.trace_id: 0.0 if final_response(run) is None else share
            for run, share, weight in zip(
                called, labels.solved_B.tolist(), labels.weight_B.tolist(), strict=True
            )
            if weight
        }
        silent = len(ungraded) - len(called)
        return Imputation(
            solved=believed, refusals={**labels.refusals, **({"no call was made": silent} if silent else {})}
        )


def fit_imputer(
    trajectories: Sequence[Trajectory],
    solved: Mapping[str, bool],
    config: ImputingConfig | None = None,
    *,
    encoder: Encoder,
    seed: int,
) -> Imputer:
    """Train a predictor on graded runs, then `calibrate_imputer` it with later ones.

    Args:
        trajectories: finished runs in the order in which they came.
        solved: whether each run's answer is right, by trace id; runs that are not in it are left out. A judge's score
            among a run's outcomes trains the predictor in its place.
        config: how labels are imputed.
        encoder: of questions and answers.
        seed: of the predictor's training.

    Raises:
        ConfigError: none of the runs that train the predictor has a label and an answer.
    """
    config = config or ImputingConfig()
    graded = _graded(trajectories, solved)
    n_trained = int(config.trained * len(graded))
    predictor = train_quality(samples_of(graded[:n_trained]), config.quality, seed=seed, encoder=encoder)
    return calibrate_imputer(predictor, graded[n_trained:], solved, config)


def calibrate_imputer(
    scorer: Scorer,
    trajectories: Sequence[Trajectory],
    solved: Mapping[str, bool],
    config: ImputingConfig | None = None,
) -> Imputer:
    """Calibrate a scorer per model and strategy, and check it on the latest labels.

    Args:
        scorer: judges answers; must not have been trained on these runs.
        trajectories: finished runs in the order in which they came.
        solved: whether each run's answer is right, by trace id; runs that are not in it are left out.
        config: how labels are imputed.
    """
    config = config or ImputingConfig()
    graded = _graded(trajectories, solved)
    first_checked = len(graded) - int(config.checked * len(graded))
    earlier = fit_calibration(*_final_calls(graded[:first_checked], scorer), config.calibration)
    drift = check_drift(earlier, *_final_calls(graded[first_checked:], scorer), config.drift)
    calibration = fit_calibration(*_final_calls(graded, scorer), config.calibration)
    return Imputer(scorer=scorer, calibration=calibration, drift=drift)


def _graded(trajectories: Sequence[Trajectory], solved: Mapping[str, bool]) -> list[Trajectory]:
    """Those with a label, which is their latest outcome."""
    return [
        replace(run, outcomes=(*run.outcomes, _outcome(solved[run.trace_id])))
        for run in trajectories
        if run.trace_id in solved
    ]


def _outcome(solved: bool) -> Outcome:
    return Outcome(feedback_id="label", key="solved", score=float(solved), recorded_at_s=0.0)


def _final_calls(graded: Sequence[Trajectory], scorer: Scorer) -> tuple[ScoredCalls, NDArray[np.bool_]]:
    """Final answers, and whether they are right; runs without any say nothing about the scorer."""
    responses = [(final_response(run), bool(run.solved)) for run in graded]
    answers = [response for response, _ in responses if response is not None]
    labels = [solved for response, solved in responses if response is not None]
    return ScoredCalls.of(answers, scorer), np.array(labels, dtype=np.bool_)


def _last_response(run: Trajectory) -> Response:
    return final_response(run) or response_of(run, run.steps[-1])
