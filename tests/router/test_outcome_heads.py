from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.router.outcome_heads import fit_heads, sigmoid


def everyone(labels: np.ndarray) -> np.ndarray:
    return np.ones(labels.shape, dtype=bool)


def test_without_columns_a_head_is_the_share_of_solved_questions() -> None:
    labels = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])

    heads, _ = fit_heads(np.ones((4, 1)), labels, everyone(labels), 1.0)

    assert sigmoid(heads[:, 0]) == pytest.approx([0.75, 0.25], abs=1e-4)


def test_a_label_that_is_not_known_does_not_count() -> None:
    columns = np.column_stack([np.ones(6), [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]])
    labels = np.array([[0.0], [1.0], [0.0], [1.0], [1.0], [0.0]])
    known = np.array([[True]] * 5 + [[False]])

    heads, _ = fit_heads(columns, labels, known, 2.0)
    without, _ = fit_heads(columns[:5], labels[:5], known[:5], 2.0)

    np.testing.assert_allclose(heads, without, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_left_one_out_chances_are_close_to_those_of_a_fit_without_the_question(seed: int) -> None:
    rng = np.random.default_rng(seed)
    columns = np.column_stack([np.ones(60), rng.normal(size=(60, 2))])
    labels = (rng.random((60, 1)) < sigmoid(columns @ np.array([[0.3], [1.0], [-1.0]]))).astype(float)
    _, chance = fit_heads(columns, labels, everyone(labels), 4.0)
    rest = np.arange(60) != 7

    refitted, _ = fit_heads(columns[rest], labels[rest], everyone(labels[rest]), 4.0)

    assert chance[7] == pytest.approx(sigmoid(columns[7] @ refitted.T), abs=0.02)


def test_labels_between_0_and_1_are_shares() -> None:
    labels = np.full((5, 1), 0.4)

    _, chance = fit_heads(np.ones((5, 1)), labels, everyone(labels), 1.0)

    assert chance == pytest.approx(0.4, abs=1e-4)
