"""Exploration: propensities that sum to one, a floor, and limits on share and loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inframind.errors import ConfigError
from inframind.router.offsets import Offsets
from inframind.router.online.config import ExplorationConfig
from inframind.router.online.exploring import ExploringPolicy
from inframind.router.policy_file import StoredPolicy


def exploring(
    stored: StoredPolicy, bench: Any, *, logit: float = 0.0, spread: float = 0.5, **values: Any
) -> ExploringPolicy:
    """Strategy Plain of model b is better by ``logit``; of all it is as little known as ``spread``."""
    offsets = Offsets(
        logit={"b/Plain": logit},
        spread=dict.fromkeys(bench.actions.executor_labels, spread),
        fresh=frozenset(values.pop("fresh", ())),
    )
    policy = replace(stored, weights=replace(stored.weights, offsets=offsets)).bind(bench.actions)
    return ExploringPolicy(policy, bench.actions, ExplorationConfig(**values))


def test_every_allowed_candidate_has_a_share_and_they_add_up_to_one(stored: StoredPolicy, bench: Any) -> None:
    policy = exploring(stored, bench, floor=0.04)
    for view, weights in (
        (bench.step_view(), policy.step(bench.step_view()).weights),
        (bench.plan_view(), policy.plan(bench.plan_view()).weights),
    ):
        n = int(view.allowed.sum())
        assert weights.sum() == pytest.approx(1.0)
        assert weights[view.allowed].min() >= 0.04 / n / 2 - 1e-12
        assert (weights[~view.allowed] == 0).all()


def test_without_doubt_only_the_floor_is_explored(stored: StoredPolicy, bench: Any) -> None:
    weights = exploring(stored, bench, logit=2.0, spread=0.0, floor=0.01).step(bench.step_view()).weights
    assert 0.99 < weights.max() < 0.99 + 0.01 / len(weights) * 2


def test_weights_are_in_the_order_of_worth_for_whoever_fails_over(stored: StoredPolicy, bench: Any) -> None:
    policy, view = exploring(stored, bench, logit=1.0, spread=0.0), bench.step_view()
    order = policy.policy.step_worth(view).logits.argsort(kind="stable")
    assert (np.diff(policy.step(view).weights[order]) >= 0).all()


def test_more_doubt_is_more_exploration_within_the_share(stored: StoredPolicy, bench: Any) -> None:
    given = {"logit": 1.0, "floor": 0.0, "share": 0.2, "loss": 1.0}
    shares = [
        1 - exploring(stored, bench, spread=spread, **given).step(bench.step_view()).weights.max()
        for spread in (0.05, 0.2, 0.4, 3.0)
    ]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(0.2)


def test_the_expected_loss_of_a_decision_is_bounded(stored: StoredPolicy, bench: Any) -> None:
    view = bench.step_view()
    policy = exploring(stored, bench, logit=1.0, spread=1.0, floor=0.0, share=0.5, loss=0.003)
    worth, weights = policy.policy.step_worth(view).worth, policy.step(view).weights
    assert weights.dot(worth.max() - worth) == pytest.approx(0.003)


def test_a_fresh_model_may_cost_more_within_its_own_share(stored: StoredPolicy, bench: Any) -> None:
    given = {"logit": 1.0, "spread": 1.0, "floor": 0.0, "share": 0.05, "loss": 0.0001, "fresh_share": 0.3}
    weights = exploring(stored, bench, fresh=("a",), **given).step(bench.step_view()).weights
    n = len(bench.strategies)
    assert weights[:n].sum() == pytest.approx(0.3)
    known = np.delete(weights[n:], weights[n:].argmax())
    assert known.sum() < 0.01


def test_it_decides_who_it_is_by_the_policy_that_it_serves(stored: StoredPolicy, bench: Any) -> None:
    policy = exploring(stored, bench)
    assert (policy.name, policy.version) == (policy.policy.name, policy.policy.version)
    view = bench.pace_view()
    assert (policy.pace(view).weights == policy.policy.pace(view).weights).all()


@pytest.mark.parametrize(
    "values", [{"floor": 0.1, "share": 0.05}, {"share": 1.5}, {"loss": -0.1}, {"fresh_runs": -1}]
)
def test_contradictory_exploration_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="exploration"):
        ExplorationConfig(**values)
