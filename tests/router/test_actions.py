"""The action space: what there is to choose from."""

from __future__ import annotations

from typing import Any

import pytest

from inframind.errors import ConfigError, UnknownTopology
from inframind.router.actions import DEFAULT_STRATEGIES, ActionSpace, strategies_by_name


def test_actions_are_models_times_strategies_models_outermost(bench: Any) -> None:
    assert bench.actions.executor_labels == (
        *("a/Flash", "a/Concise", "a/Plain", "a/DeepThink"),
        *("b/Flash", "b/Concise", "b/Plain", "b/DeepThink"),
    )


def space(bench: Any, **values: Any) -> ActionSpace:
    parts = {name: getattr(bench.actions, name) for name in ("models", "strategies", "topologies", "roles")}
    return ActionSpace(**{**parts, **values})


@pytest.mark.parametrize(
    ("max_team", "count", "chains"),
    [(1, 6, ["Chain/1"]), (2, 9, ["Chain/2"]), (6, 33, [f"Chain/{n}" for n in range(2, 7)])],
)
def test_plans_begin_at_each_topologys_smallest_team(
    bench: Any, max_team: int, count: int, chains: list[str]
) -> None:
    labels = [action.label for action in space(bench, max_team=max_team).planner_actions]
    assert len(labels) == count and [label for label in labels if label.startswith("Chain")] == chains


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"models": {}}, "models"),
        ({"strategies": {}}, "strategies"),
        ({"topologies": {}}, "topologies"),
        ({"roles": {}}, "roles"),
        ({"roles": {"math": ("Solver",)}}, "roles"),
        ({"max_team": 0}, "max_team"),
        ({"max_team": 7}, "max_team"),
    ],
)
def test_nothing_to_choose_from_is_refused(bench: Any, values: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        space(bench, **values)
    assert caught.value.field == field


def test_a_domain_without_roles_uses_the_general_ones(bench: Any) -> None:
    assert bench.actions.roles_for("math") == ("Solver", "Checker")
    assert bench.actions.roles_for("law") == ("Helper",)


def test_unknown_topologies_and_double_strategies_are_refused(bench: Any) -> None:
    with pytest.raises(UnknownTopology):
        bench.actions.topology("Ring")
    with pytest.raises(ConfigError, match=r"strategies\.name"):
        strategies_by_name([*DEFAULT_STRATEGIES, DEFAULT_STRATEGIES[0]])
