"""Labels for traces that nobody labelled: calibrated probabilities at half weight, or none where they drift.

An imputed label stands in for ``solved`` in the critics' loss; rewards, and the actors they teach, never see it.
Whoever has too few fresh labels to be checked, or fails the check, gets weight 0: no labels, no imputing.

B = calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inframind.errors import ConfigError
from inframind.router.learning.calibration import Calibration, ScoredCalls, Scorer
from inframind.router.learning.quality import Response
from inframind.router.learning.ridge_logistic import Array

__all__ = [
    "IMPUTED_WEIGHT",
    "DriftConfig",
    "DriftReport",
    "GroupDrift",
    "ImputedLabels",
    "check_drift",
    "impute_labels",
]

IMPUTED_WEIGHT = 0.5
"""Of an imputed label beside a real one's 1."""

Kind = Literal["all", "band", "model", "strategy"]
_BANDS = ("unlikely", "open", "likely")
"""Thirds of the calls by calibrated probability: a slope that is off shows here and nowhere else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftConfig:
    """When calibrated probabilities are still believed."""

    bound: float = 0.1
    """Largest difference between the mean probability and the share solved, in a group."""
    fewest: int = 30
    """Fresh labels that a group needs before it is believed at all."""
    deviations: float = 2.0
    """Standard errors that a difference must also exceed to count: 30 labels are off by 0.1 by chance alone."""

    def __post_init__(self) -> None:
        if not 0 < self.bound < 1:
            raise ConfigError("drift.bound", self.bound, "use a share in (0, 1), such as 0.1")
        if self.fewest < 1:
            raise ConfigError("drift.fewest", self.fewest, "use at least 1")
        if self.deviations < 0:
            raise ConfigError("drift.deviations", self.deviations, "use 0 or a positive number")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDrift:
    """How far off one group is.

    Attributes:
        kind: what makes the group.
        name: which one, or "" for all calls.
        labels: fresh labels in it.
        error: mean probability less the share solved; positive when it is overrated.
        allowed: largest absolute error that is believed.
        refusal: why nothing is imputed for it, or "".
    """

    kind: Kind
    name: str
    labels: int
    error: float
    allowed: float
    refusal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """What fresh labels say about a calibration.

    Attributes:
        groups: all calls, thirds by probability, each model, each strategy.
    """

    groups: tuple[GroupDrift, ...]

    def refusal(self, response: Response) -> str:
        """Why no label is imputed for this response, or ""."""
        own: tuple[tuple[Kind, str], ...] = (("model", response.model), ("strategy", response.strategy))
        refusals = {(group.kind, group.name): group.refusal for group in self.groups}
        of_everyone = [group.refusal for group in self.groups if group.kind in ("all", "band")]
        of_its_own = [refusals.get(key, f"{key[0]} {key[1]} has no fresh labels") for key in own]
        return next(filter(None, of_everyone + of_its_own), "")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImputedLabels:
    """Soft labels.

    Attributes:
        solved_B: calibrated probability of having solved, in [0, 1]; also where the weight is 0.
        weight_B: weight of each beside a real label's 1.
        refusals: why calls have weight 0, with how many there are.
    """

    solved_B: Array
    weight_B: Array
    refusals: Mapping[str, int]


def check_drift(
    calibration: Calibration,
    calls: ScoredCalls,
    solved_B: Sequence[bool] | NDArray[np.bool_],
    config: DriftConfig,
) -> DriftReport:
    """Compare a calibration with labels that it was not fitted to: the most recent ones.

    A group drifts where mean probability and share solved differ by more than ``bound`` and by more than
    ``deviations`` standard errors of the share.

    Raises:
        ValueError: not one label per call.
    """
    labels_B = np.asarray(solved_B, dtype=np.float64)
    if labels_B.shape != calls.scores_B.shape:
        raise ValueError(
            f"solved_B is {labels_B.shape}, scores_B is {calls.scores_B.shape}: give one label each"
        )
    chance_B = calibration.probabilities(calls)
    return DriftReport(
        groups=tuple(
            _drift(kind, name, chance_B[inside_B], labels_B[inside_B], config)
            for kind, name, inside_B in _groups(calls, chance_B)
        )
    )


def impute_labels(
    unlabelled: Sequence[Response],
    scorer: Scorer,
    calibration: Calibration,
    drift: DriftReport,
    *,
    weight: float = IMPUTED_WEIGHT,
) -> ImputedLabels:
    """Soft labels for responses without any, to be used as labels and never as a bonus.

    Args:
        unlabelled: final responses of traces without an outcome.
        scorer: judges them.
        calibration: turns scores into probabilities.
        drift: fresh check of this very calibration; whatever it refuses has weight 0.
        weight: of an imputed label beside a real one's 1, in (0, 1].

    Raises:
        ConfigError: the weight is not a share.
    """
    if not 0 < weight <= 1:
        raise ConfigError("imputation.weight", weight, "use a share in (0, 1], such as 0.5")
    refused = [drift.refusal(response) for response in unlabelled]
    reasons = sorted({reason for reason in refused if reason})
    return ImputedLabels(
        solved_B=calibration.probabilities(ScoredCalls.of(unlabelled, scorer)),
        weight_B=np.array([0.0 if reason else weight for reason in refused]),
        refusals={reason: refused.count(reason) for reason in reasons},
    )


def _groups(calls: ScoredCalls, chance_B: Array) -> Iterator[tuple[Kind, str, NDArray[np.bool_]]]:
    """Kind and name of each group, and which calls are in it (B)."""
    yield "all", "", np.ones(len(chance_B), dtype=np.bool_)
    third_B = np.argsort(np.argsort(chance_B, kind="stable")) * len(_BANDS) // max(len(chance_B), 1)
    for third, band in enumerate(_BANDS):
        yield "band", band, third_B == third
    for model in sorted(set(calls.models)):
        yield "model", model, np.array([model == called for called in calls.models])
    for strategy in sorted(set(calls.strategies)):
        yield "strategy", strategy, np.array([strategy == called for called in calls.strategies])


def _drift(kind: Kind, name: str, chance_B: Array, labels_B: Array, config: DriftConfig) -> GroupDrift:
    labels = len(labels_B)
    error = float((chance_B - labels_B).mean()) if labels else 0.0
    deviation = float(np.sqrt((chance_B * (1 - chance_B)).sum())) / max(labels, 1)
    allowed = max(config.bound, config.deviations * deviation)
    group = f"{kind} {name}".strip()
    refusal = ""
    if labels < config.fewest:
        refusal = f"{group} has {labels} fresh labels, not {config.fewest}"
    elif abs(error) > allowed:
        refusal = f"{group} is off by {error:+.2f}, more than {allowed:.2f}"
    return GroupDrift(kind=kind, name=name, labels=labels, error=error, allowed=allowed, refusal=refusal)
