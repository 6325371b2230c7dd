"""Log odds of calls that were made, against what the serving policy says of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inframind.router.features import Sight
from inframind.router.online.call_odds import CallOdds
from inframind.router.policy_learned import LearnedPolicy, Valuation
from inframind.router.query_model import QueryModel


@pytest.mark.parametrize("sees_load", [True, False])
@pytest.mark.parametrize("uses_prior", [True, False])
def test_it_is_what_the_serving_policy_says(
    bench: Any, make_weights: Any, sees_load: bool, uses_prior: bool
) -> None:
    policy = LearnedPolicy(
        make_weights(bench),
        bench.actions,
        QueryModel(),
        valuation=Valuation(uses_prior=uses_prior),
        sight=Sight(sees_load=sees_load),
    )
    views = [
        bench.step_view(budget_s=5.0),
        bench.step_view(depth_left=2, agreement=0.5, kind="judge", role="Judge"),
        bench.step_view(budget_s=300.0, load={"a": {"running": 30.0, "waiting": 4.0}}),
    ]
    for place in (0, 3, 6):
        solved = np.array([policy.step_worth(view).solved[place] for view in views])
        odds = CallOdds(policy).of(views, [place] * len(views))
        assert odds == pytest.approx(np.log(solved / (1 - solved)), abs=1e-9)
