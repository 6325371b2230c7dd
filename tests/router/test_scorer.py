"""The scorer that serves, in numpy, against the one that is trained, in torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.router.features import Features
from inframind.router.learning.networks import NetworkInput, NetworkShape, ScorerNetwork, rows_of
from inframind.router.scorer import Scorer, ScorerWeights, joined

STATE_NAMES = (("IO", "Debate"), ("math",))
CANDIDATE_NAMES = {"model": ("a", "b"), "strategy": ("Flash", "Plain", "DeepThink")}
MODELS, STRATEGIES = ("a", "b", "new"), ("Flash", "Plain", "Odd")


def network(seed: int, **values: Any) -> ScorerNetwork:
    given: dict[str, Any] = {
        "n_state": 4,
        "n_candidate": 3,
        "state_names": STATE_NAMES,
        "candidate_names": CANDIDATE_NAMES,
        "n_outputs": 2,
        "hidden": 7,
    }
    made = ScorerNetwork(NetworkShape(**{**given, **values}), torch.Generator().manual_seed(seed))
    with torch.no_grad():
        rng = torch.Generator().manual_seed(seed + 1)
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return made


def features(
    rng: np.random.Generator, n: int, names: tuple[str, ...] = ("IO", "math"), **size: int
) -> Features:
    nothing = np.zeros(n)
    return Features(
        state=rng.normal(size=size.get("state", 4)),
        state_names=names,
        candidates=rng.normal(size=(n, size.get("candidate", 3))),
        prior_logit=nothing,
        slack=nothing,
        work=nothing,
    )


def by_torch(made: ScorerNetwork, one: Features, names: Mapping[str, tuple[str, ...]]) -> Any:
    shape = made.shape
    state_rows = [
        rows_of(known, [name])[0] for known, name in zip(shape.state_names, one.state_names, strict=True)
    ]
    rows = np.array([rows_of(known, names[table]) for table, known in shape.candidate_names.items()]).T
    with torch.no_grad():
        out = made(
            NetworkInput(
                state=torch.tensor(one.state[None], dtype=torch.float32),
                state_rows=torch.tensor([state_rows]),
                candidates=torch.tensor(one.candidates[None], dtype=torch.float32),
                candidate_rows=torch.tensor(rows[None]),
            )
        )
    return out[0].numpy()


def by_numpy(weights: ScorerWeights, one: Features, names: Mapping[str, tuple[str, ...]]) -> Any:
    scorer = Scorer(weights)
    return scorer.score(one, scorer.fixed_part(names))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    pairs=st.lists(st.tuples(st.sampled_from(MODELS), st.sampled_from(STRATEGIES)), min_size=1, max_size=6),
    topology=st.sampled_from(["IO", "Debate", "Ring"]),
    domain=st.sampled_from(["math", "poetry"]),
)
def test_numpy_and_torch_agree(seed: int, pairs: list[tuple[str, str]], topology: str, domain: str) -> None:
    made = network(seed)
    names = {"model": tuple(one for one, _ in pairs), "strategy": tuple(other for _, other in pairs)}
    one = features(np.random.default_rng(seed), len(pairs), (topology, domain))
    assert by_numpy(made.weights(), one, names) == pytest.approx(by_torch(made, one, names), abs=1e-5)


def test_the_score_by_hand() -> None:
    weights = ScorerWeights(
        state=np.array([[2.0, -1.0]]),
        bias=np.array([0.5, 0.0]),
        candidate=np.array([[1.0, 1.0]]),
        state_tables=(np.array([[1.0, 0.0], [0.0, 0.0]]),),
        state_names=(("IO",),),
        candidate_tables=(np.array([[0.0, 4.0], [0.0, 0.0]]),),
        candidate_names={"model": ("a",)},
        out=np.array([[1.0], [10.0]]),
        out_bias=np.array([-1.0]),
    )
    nothing = np.zeros(2)
    one = Features(np.array([3.0]), ("IO",), np.array([[1.0], [-9.0]]), nothing, nothing, nothing)
    # a: relu(2*3 + 1 + 0.5 + 1, -3 + 1 + 4) = (8.5, 2); unknown: relu(7.5 - 9, -3 - 9) = (0, 0)
    assert by_numpy(weights, one, {"model": ("a", "new")}).tolist() == [[8.5 + 20 - 1], [-1.0]]


def test_a_name_that_is_not_known_counts_for_nothing() -> None:
    made = network(3)
    with torch.no_grad():
        for table in (*made.state_tables, *made.candidate_tables):
            table[0] = 0.0
    weights = made.weights()
    rng = np.random.default_rng(0)
    one = features(rng, 1, ("IO", "math"))
    strange = Features(one.state, ("Ring", "poetry"), one.candidates, *[np.zeros(1)] * 3)
    known = by_numpy(weights, one, {"model": ("a",), "strategy": ("Flash",)})
    unknown = by_numpy(weights, strange, {"model": ("new",), "strategy": ("Odd",)})
    assert known == pytest.approx(unknown)


def test_a_new_model_leaves_the_scores_of_the_others_as_they_are() -> None:
    weights, rng = network(5).weights(), np.random.default_rng(1)
    three = features(rng, 3)
    two = Features(three.state, three.state_names, three.candidates[:2], *[np.zeros(2)] * 3)
    before = by_numpy(weights, two, {"model": ("a", "b"), "strategy": ("Plain", "Plain")})
    after = by_numpy(weights, three, {"model": ("a", "b", "new"), "strategy": ("Plain",) * 3})
    assert after.shape == (3, 2) and after[:2] == pytest.approx(before)


def test_joined_scorers_give_the_outputs_of_both() -> None:
    one, other = network(1).weights(), network(2, n_outputs=1).weights()
    names = {"model": ("a", "new", "b"), "strategy": ("Plain", "Flash", "Odd")}
    seen = features(np.random.default_rng(2), 3)
    both = by_numpy(joined(one, other), seen, names)
    assert both == pytest.approx(np.hstack([by_numpy(one, seen, names), by_numpy(other, seen, names)]))


def test_an_untrained_network_says_nothing() -> None:
    made = ScorerNetwork(network(0).shape, torch.Generator().manual_seed(0))
    seen = features(np.random.default_rng(3), 2)
    assert not by_numpy(made.weights(), seen, {"model": ("a", "b"), "strategy": ("Plain",) * 2}).any()


def test_a_table_without_names_is_all_unknown() -> None:
    made = network(4, state_names=((),), candidate_names={"role": ()})
    seen, names = features(np.random.default_rng(4), 2, ("IO",)), {"role": ("Solver", "Checker")}
    assert by_numpy(made.weights(), seen, names) == pytest.approx(by_torch(made, seen, names), abs=1e-5)


def test_exported_weights_do_not_move_with_the_network() -> None:
    made = network(6)
    weights = made.weights()
    before = weights.out.copy()
    with torch.no_grad():
        made.out.add_(1.0)
    assert (weights.out == before).all()
