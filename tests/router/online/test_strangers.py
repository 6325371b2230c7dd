"""What is expected of models that come."""

from __future__ import annotations

import math
from typing import Any

import pytest

from inframind.router.actions import ActionSpace
from inframind.router.online.strangers import expected_offsets
from inframind.router.query_model import configured_logit

LEVELS = {"Flash": -1.0, "Concise": -0.5, "Plain": 0.5, "DeepThink": 0.0}
SLOPE = 0.5


@pytest.fixture
def actions(make_bench: Any) -> ActionSpace:
    sizes = {"a": 3.0, "b": 8.0, "c": 32.0, "new": 14.0}
    return make_bench(**{name: {"size_b": size} for name, size in sizes.items()}).actions


def ability(actions: ActionSpace, label: str) -> float:
    """On a line in what the configuration says of the model, with a level for each strategy."""
    model, _, strategy = label.partition("/")
    quality = actions.models[model].quality
    return LEVELS[strategy] + SLOPE * math.log(quality / (1 - quality))


def known_of(actions: ActionSpace, models: str) -> dict[str, float]:
    return {label: ability(actions, label) for label in actions.executor_labels if label[0] in models}


def test_a_stranger_is_expected_where_known_models_of_its_kind_are(actions: ActionSpace) -> None:
    offsets = expected_offsets(actions, known_of(actions, "abc"))
    assert {action.model for action in offsets} == {"new"}
    for action, offset in offsets.items():
        expected = ability(actions, action.label)
        assert configured_logit(actions, action) + offset == pytest.approx(expected)


def test_two_known_models_say_nothing_of_a_third(actions: ActionSpace) -> None:
    assert expected_offsets(actions, known_of(actions, "ab")) == {}


def test_without_strangers_there_is_nothing_to_expect(actions: ActionSpace) -> None:
    assert expected_offsets(actions, known_of(actions, "abcn")) == {}
