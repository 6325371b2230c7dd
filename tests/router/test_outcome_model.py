from __future__ import annotations

import numpy as np
import pytest

from inframind.errors import ConfigError
from inframind.router.outcome_model import OutcomeConfig, OutcomeModel, Recorded, column_means, fit_outcomes

NAN = float("nan")


def two_kinds(n: int = 80) -> Recorded:
    """One column says which of two arms solves the question; a second one says what the second arm costs."""
    kind = np.arange(n) % 2
    dear = (np.arange(n) // 2) % 2
    columns = np.stack([kind, dear], axis=1).astype(float)
    quality = np.stack([kind == 0, kind == 1], axis=1).astype(float)
    return Recorded(
        columns=columns, n_text=0, quality=quality, cost=np.stack([np.ones(n), 2.0 + 2.0 * dear], axis=1)
    )


def fitted(recorded: Recorded) -> OutcomeModel:
    model, _ = fit_outcomes(recorded, OutcomeConfig(), np.random.default_rng(0))
    return model


def test_a_column_that_reveals_who_solves_is_learned() -> None:
    outlook = fitted(two_kinds()).predict(np.array([[0.0, 0.0], [1.0, 0.0]]))

    assert outlook.chance[0, 0] > 0.85 > 0.15 > outlook.chance[0, 1]
    assert outlook.chance[1, 1] > 0.85 > 0.15 > outlook.chance[1, 0]


def test_a_column_that_reveals_the_cost_is_learned() -> None:
    cost = fitted(two_kinds()).predict(np.array([[0.0, 0.0], [0.0, 1.0]])).cost

    assert cost[:, 0] == pytest.approx(1.0)
    assert cost[:, 1] == pytest.approx([2.0, 4.0], abs=0.4)


def test_the_outlook_on_training_questions_does_not_know_their_outcomes() -> None:
    rng = np.random.default_rng(5)
    recorded = Recorded(
        columns=rng.normal(size=(120, 40)),
        n_text=40,
        quality=(rng.random((120, 3)) < 0.5).astype(float),
        cost=np.ones((120, 3)),
    )

    _, outlook = fit_outcomes(recorded, OutcomeConfig(), rng)

    told = np.corrcoef(outlook.chance.ravel(), recorded.quality.ravel())[0, 1]
    assert told < 0.15


def test_arrays_hold_all_of_the_model() -> None:
    model, questions = fitted(two_kinds()), np.array([[0.3, 0.7], [1.0, 0.0]])

    again = OutcomeModel.from_arrays(model.to_arrays())

    np.testing.assert_array_equal(again.predict(questions).chance, model.predict(questions).chance)
    np.testing.assert_array_equal(again.predict(questions).cost, model.predict(questions).cost)


def test_outcomes_that_are_not_recorded_are_done_without() -> None:
    full = two_kinds()
    quality = full.quality.copy()
    quality[::8, 0] = NAN

    outlook = fitted(
        Recorded(
            columns=full.columns, n_text=0, quality=quality, cost=np.where(np.isnan(quality), NAN, full.cost)
        )
    ).predict(np.array([[0.0, 0.0]]))

    assert outlook.chance[0, 0] > 0.8


def test_an_arm_without_any_outcome_is_worth_nothing_and_costs_the_most() -> None:
    recorded = Recorded(
        columns=np.zeros((2, 1)),
        n_text=0,
        quality=np.array([[1.0, NAN], [0.0, NAN]]),
        cost=np.array([[3.0, NAN], [5.0, NAN]]),
    )

    assert recorded.mean_quality.tolist() == [0.5, 0.0]
    assert recorded.mean_cost.tolist() == [4.0, 4.0]
    assert column_means(np.array([[NAN], [NAN]]), default=7.0).tolist() == [7.0]


@pytest.mark.parametrize(
    "changes",
    [{"traits": ()}, {"text_penalties": (0.0,)}, {"other_penalty": 0.0}, {"head_penalty": 0.0}, {"folds": 1}],
)
def test_options_out_of_range_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        OutcomeConfig(**changes)  # type: ignore[arg-type]
