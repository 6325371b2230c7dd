"""How much a policy changes, over decisions that were made."""

from __future__ import annotations

from typing import Any

import pytest

from inframind.errors import ConfigError
from inframind.router.actions import ExecutorAction, PlannerAction
from inframind.router.guards.change import Change, StepLimit, change_of
from inframind.router.policy import JustEnoughPolicy, UniformPolicy
from inframind.router.policy_fixed import Arm, FixedPolicy


def views(bench: Any, watcher: Any) -> list[Any]:
    decider = bench.decider(watcher, seed=0, exploration=0.1)
    for place in range(5):
        bench.play(decider, f"Question {place}?", budget_s=60.0)
    return [*watcher.plans, *watcher.steps]


def always(model: str) -> FixedPolicy:
    return FixedPolicy(Arm(PlannerAction("IO", 1), ExecutorAction(model, "Concise")))


def test_a_policy_does_not_differ_from_itself(shared_bench: Any, make_any_watcher: Any) -> None:
    seen = views(shared_bench, make_any_watcher(UniformPolicy()))
    change = change_of(JustEnoughPolicy(), JustEnoughPolicy(), seen)
    assert (change.decisions, change.changed, change.variation, change.moved) == (len(seen), 0.0, 0.0, 0.0)


def test_another_constant_moves_everything(shared_bench: Any, make_any_watcher: Any) -> None:
    watcher = make_any_watcher(UniformPolicy())
    views(shared_bench, watcher)
    change = change_of(always("b"), always("a"), watcher.steps)
    assert (change.changed, change.variation, change.moved) == (1.0, 1.0, 1.0)
    assert change.shares["a/Concise"] == (1.0, 0.0)
    assert change.shares["b/Concise"] == (0.0, 1.0)


def test_exploration_softens_a_change(shared_bench: Any, make_any_watcher: Any) -> None:
    watcher = make_any_watcher(UniformPolicy())
    views(shared_bench, watcher)
    change = change_of(always("b"), always("a"), watcher.steps, exploration=0.2)
    assert change.variation == pytest.approx(0.8)


def test_without_decisions_nothing_changes() -> None:
    assert change_of(UniformPolicy(), JustEnoughPolicy(), []).decisions == 0


@pytest.mark.parametrize(
    ("changed", "moved", "words"),
    [(0.6, 0.1, "60% of 10 decisions change"), (0.1, 0.6, "60% of choices go elsewhere"), (0.1, 0.1, "")],
)
def test_too_long_a_step_is_objected_to(changed: float, moved: float, words: str) -> None:
    change = Change(decisions=10, changed=changed, variation=0.0, moved=moved)
    objection = StepLimit().objection(change)
    assert objection.startswith(words)
    assert bool(objection) is bool(words)


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ConfigError):
        StepLimit(most_changed=0.0)
