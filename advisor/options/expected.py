"""What was to be expected of a run before it was decided: subtracted, so that what remains is what decisions did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inframind.advisor.options.logs import Array, Coded, Mask
from inframind.traces.records import Trajectory

_RIDGE = 1.0


def expectations(
    runs: Sequence[Trajectory],
    tokens: Sequence[int],
    value_RM: Array,
    weight_RM: Array,
    is_choosing_R: Mask,
) -> tuple[Array, Array]:
    """By the question alone, and by the question and the plan (R, M) each.

    Ridge regressions on the runs that changes are found on: so that those that predictions come from are expected by
    what is known from elsewhere.
    """
    if not runs:
        return np.zeros(value_RM.shape), np.zeros(value_RM.shape)
    asked_RK = np.column_stack(
        [
            _one_hot([run.domain for run in runs]),
            np.log1p([run.budget_s for run in runs]),
            np.log1p(tokens),
        ]
    )
    planned_RK = np.column_stack(
        [
            asked_RK,
            _one_hot([run.topology for run in runs]),
            [float(len(run.team)) for run in runs],
        ]
    )
    return (
        regressed(asked_RK, value_RM, weight_RM, is_choosing_R),
        regressed(planned_RK, value_RM, weight_RM, is_choosing_R),
    )


def regressed(columns_RK: Array, value_RM: Array, weight_RM: Array, is_fitted_R: Mask) -> Array:
    """Linear expectation of each value (R, M), fitted to some of the runs; their mean where columns say nothing."""
    expected_RM = np.zeros(value_RM.shape)
    spread_K = columns_RK.std(axis=0)
    scaled_RK = (columns_RK - columns_RK.mean(axis=0)) / np.where(spread_K > 0, spread_K, 1.0)
    for metric in range(value_RM.shape[1]):
        weight_R = weight_RM[:, metric] * is_fitted_R
        total = weight_R.sum()
        if total == 0:
            continue
        center = float(weight_R @ value_RM[:, metric]) / total
        mean_K = weight_R @ scaled_RK / total
        centered_RK = scaled_RK - mean_K
        normal_KK = (centered_RK * weight_R[:, None]).T @ centered_RK + _RIDGE * np.eye(len(mean_K))
        terms_K = np.linalg.solve(normal_KK, centered_RK.T @ (weight_R * (value_RM[:, metric] - center)))
        expected_RM[:, metric] = center + centered_RK @ terms_K
    return expected_RM


def _one_hot(names: Sequence[str]) -> Array:
    coded = Coded.of(names)
    return np.eye(len(coded.names))[coded.code_N]
