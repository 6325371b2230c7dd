"""The pacer as it is served: exact numbers, masks, storage, and the policy that it is lent to."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from inframind.errors import ConfigError
from inframind.router.pace_features import PACE_COLUMNS
from inframind.router.pacer import LearnedPacer, PacedPolicy, PacerOf
from inframind.router.policy import JustEnoughPolicy, UniformPolicy
from inframind.router.views import PaceView, Query

QUESTION = Query(text="How many?", domain="math", prompt_tokens=3)
F = len(PACE_COLUMNS)


def pacer_by_agreement(*, greedy: bool = False) -> LearnedPacer:
    """Log-odds of STAY: 2 - 4 tanh((agreement - 0.5) / 0.25)."""
    w1_HF = np.zeros((2, F))
    w1_HF[0, PACE_COLUMNS.index("agreement")] = 1.0
    return LearnedPacer(
        mean_F=np.full(F, 0.5),
        scale_F=np.full(F, 4.0),
        w1_HF=w1_HF,
        b1_H=np.zeros(2),
        w2_H=np.array([-4.0, 1.0]),
        b2=2.0,
        greedy=greedy,
    )


def view_of(bench: Any, **values: Any) -> PaceView:
    given = {"query": QUESTION, "remaining_s": 20.0, "round_q90_s": 2.0, "team_size": 3}
    return bench.pace_view(**{**given, **values})


@pytest.mark.parametrize("agreement", [0.0, 0.5, 1.0])
def test_weights_are_the_networks_probabilities(bench: Any, agreement: float) -> None:
    found = pacer_by_agreement().propose(view_of(bench, agreement=agreement)).weights
    stay = 1 / (1 + math.exp(-(2 - 4 * math.tanh((agreement - 0.5) * 4))))
    assert found.tolist() == pytest.approx([stay, 1 - stay])


def test_a_greedy_pacer_puts_all_weight_on_the_likelier_action(bench: Any) -> None:
    pacer = pacer_by_agreement(greedy=True)
    assert pacer.propose(view_of(bench, agreement=0.0)).weights.tolist() == [1, 0]
    assert pacer.propose(view_of(bench, agreement=1.0)).weights.tolist() == [0, 1]


def test_a_column_that_never_varied_in_training_has_no_say(bench: Any) -> None:
    pacer = pacer_by_agreement()
    scale_F = pacer.scale_F.copy()
    scale_F[PACE_COLUMNS.index("agreement")] = 0.0
    deaf = replace(pacer, scale_F=scale_F)
    low, high = (deaf.propose(view_of(bench, agreement=a)).weights.tolist() for a in (0.0, 1.0))
    assert low == high


def test_a_pacer_with_a_limit_never_stays_beyond_it(bench: Any) -> None:
    pacer = replace(pacer_by_agreement(greedy=True), max_rounds=2)
    weights = [pacer.propose(view_of(bench, agreement=0.0, round=done)).weights.tolist() for done in (1, 2)]
    assert weights == [[1, 0], [0, 1]]


def test_what_is_masked_is_never_chosen(bench: Any) -> None:
    decider = bench.decider(PacedPolicy(JustEnoughPolicy(), pacer_by_agreement(greedy=True)))
    for budget_s, round_number, stays in [(60.0, 1, True), (1e-6, 1, False), (60.0, 3, False)]:
        found, decision = decider.pace(
            QUESTION,
            bench.actions.topology("Debate"),
            round_number=round_number,
            agreement=0.0,
            stagnation=0.0,
            snapshot=bench.snapshot(),
            deadline=bench.within(budget_s),
            decision_id="d",
            team_size=3,
        )
        assert (found, decision.probability) == (stays, 1.0)


@pytest.mark.parametrize("max_rounds", [None, 2])
def test_a_pacer_survives_storage_as_safetensors(bench: Any, max_rounds: int | None) -> None:
    pacer = replace(pacer_by_agreement(), max_rounds=max_rounds)
    found = LearnedPacer.from_arrays(load(save(pacer.to_arrays())))
    view = view_of(bench, agreement=0.3)
    assert found.propose(view).weights.tolist() == pacer.propose(view).weights.tolist()
    assert (found.version, found.max_rounds) == (pacer.version, max_rounds)


def test_other_weights_are_another_version() -> None:
    pacer = pacer_by_agreement()
    assert replace(pacer, b2=2.5).version != pacer.version
    assert replace(pacer, max_rounds=2).version != pacer.version
    assert replace(pacer, greedy=True).version == pacer.version


def test_a_limit_below_one_round_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_rounds"):
        replace(pacer_by_agreement(), max_rounds=0)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("w1_HF", np.zeros((2, F + 1))),
        ("mean_F", np.zeros(F - 1)),
        ("w2_H", np.zeros(3)),
        ("b2", np.zeros(2)),
    ],
)
def test_arrays_of_another_shape_are_refused_by_name(name: str, array: Any) -> None:
    arrays = {**pacer_by_agreement().to_arrays(), name: array}
    with pytest.raises(ConfigError, match=rf"pacer\.{name}"):
        LearnedPacer.from_arrays(arrays)


def test_a_missing_array_is_named() -> None:
    arrays = pacer_by_agreement().to_arrays()
    del arrays["b1_H"]
    with pytest.raises(ConfigError, match="b1_H"):
        LearnedPacer.from_arrays(arrays)


class Recorded:
    """Says which method was asked."""

    name, version = "inner", "4"

    def __getattr__(self, method: str) -> Any:
        return lambda view: (method, view)


def test_a_paced_policy_asks_the_inner_one_for_all_but_the_pace(bench: Any) -> None:
    pacer = pacer_by_agreement()
    inner: Any = Recorded()
    policy: Any = PacedPolicy(inner, pacer)
    assert [policy.plan(1), policy.role(2), policy.step(3)] == [("plan", 1), ("role", 2), ("step", 3)]
    view = view_of(bench)
    assert policy.pace(view).weights.tolist() == pacer.propose(view).weights.tolist()
    assert (policy.name, policy.version) == ("inner+learned", f"4+{pacer.version}")


def test_a_policys_pacing_can_be_lent_to_another(bench: Any) -> None:
    policy = PacedPolicy(UniformPolicy(), PacerOf(JustEnoughPolicy()))
    assert policy.pace(view_of(bench, agreement=1.0)).weights.tolist() == [0, 1]
    assert policy.name == "uniform+just_enough"
