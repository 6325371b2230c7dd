from __future__ import annotations

import numpy as np
import pytest

from inframind.errors import ConfigError
from inframind.router.cascade import Cascade, CascadeConfig, candidate_arms, fit_cascade
from inframind.router.outcome_model import Outlook, Recorded
from inframind.router.replies import Replies

NAN = float("nan")
SMALL, LARGE = 0, 1
FREE, FAIR, DEAR = 0, 1, 2
PRICES = np.array([1e-4, 0.05, 1.0])
N = 120


def is_easy(n: int = N) -> np.ndarray:
    return np.arange(n) % 2 == 0


def lengths_tell() -> tuple[Recorded, Outlook, Replies]:
    """The small arm costs 1 and solves the easy half, with short replies there; the large one costs 5, solves all."""
    easy = is_easy()
    quality = np.stack([easy, np.ones(N)], axis=1).astype(float)
    cost = np.tile([1.0, 5.0], (N, 1))
    tokens = np.stack([np.where(easy, 20.0, 400.0), np.full(N, 100.0)], axis=1)
    return known(quality, cost), nothing_read(quality, cost), Replies(amounts={"tokens": tokens})


def known(quality: np.ndarray, cost: np.ndarray) -> Recorded:
    return Recorded(columns=np.zeros((len(quality), 1)), n_text=0, quality=quality, cost=cost)


def nothing_read(quality: np.ndarray, cost: np.ndarray) -> Outlook:
    """What is expected when questions say nothing."""
    shape = quality.shape
    return Outlook(
        traits=np.zeros((len(quality), 1)),
        chance=np.broadcast_to(quality.mean(axis=0), shape),
        cost=np.broadcast_to(cost.mean(axis=0), shape),
    )


def fitted(depth: int = 2) -> tuple[Cascade, Outlook, Replies]:
    recorded, outlook, replies = lengths_tell()
    cascade = fit_cascade(recorded, outlook, replies, PRICES, CascadeConfig(depth=depth))
    return cascade, outlook, replies


def decide(cascade: Cascade, price: int, called: tuple[int, ...], **changes: np.ndarray) -> np.ndarray:
    _, outlook, replies = lengths_tell()
    allowed = changes.get("allowed", np.ones((N, 2), dtype=bool))
    return cascade.decide(price, called, outlook, replies, allowed)


def test_the_small_arm_is_asked_first_and_the_large_one_where_the_reply_is_long() -> None:
    cascade, _, _ = fitted()

    assert set(decide(cascade, FAIR, ())) == {SMALL}
    after = decide(cascade, FAIR, (SMALL,))
    assert (after[is_easy()] == SMALL).all()
    assert (after[~is_easy()] == LARGE).all()


def test_after_the_last_call_the_arm_that_is_most_likely_right_answers() -> None:
    cascade, _, _ = fitted()

    assert (decide(cascade, FAIR, (SMALL, LARGE))[~is_easy()] == LARGE).all()


def test_where_cost_weighs_much_the_small_arm_answers_all() -> None:
    cascade, _, _ = fitted()

    assert set(decide(cascade, DEAR, ())) == {SMALL}
    assert set(decide(cascade, DEAR, (SMALL,))) == {SMALL}


def test_a_cascade_of_one_call_takes_the_arm_that_is_best_on_the_whole() -> None:
    cascade, _, _ = fitted(depth=1)

    assert set(decide(cascade, FREE, ())) == {LARGE}
    assert set(decide(cascade, DEAR, ())) == {SMALL}
    assert set(decide(cascade, FREE, (LARGE,))) == {LARGE}


def test_an_arm_that_is_not_allowed_is_not_called() -> None:
    cascade, _, _ = fitted()
    allowed = np.tile([True, False], (N, 1))

    assert set(decide(cascade, FREE, (), allowed=allowed)) == {SMALL}
    assert set(decide(cascade, FREE, (SMALL,), allowed=allowed)) == {SMALL}


def test_replies_of_arms_that_were_not_called_make_no_difference() -> None:
    cascade, outlook, replies = fitted()
    seen = replies.unseen()
    seen.amounts["tokens"][:, SMALL] = replies.amounts["tokens"][:, SMALL]
    allowed = np.ones((N, 2), dtype=bool)

    for called in ((), (SMALL,)):
        blind = cascade.decide(FAIR, called, outlook, seen, allowed)
        assert blind.tolist() == decide(cascade, FAIR, called).tolist()


def test_two_small_arms_that_agree_spare_the_large_one() -> None:
    """Arms 0 and 1 give the same answer exactly where both are right; arm 2 is always right and costs 10."""
    easy = is_easy()
    quality = np.stack([easy, easy, np.ones(N)], axis=1).astype(float)
    cost = np.tile([1.0, 1.0, 10.0], (N, 1))
    answers = np.stack([np.zeros(N), np.where(easy, 0, 1), np.where(easy, 0, 2)], axis=1).astype(np.int64)
    replies, outlook = Replies(amounts={}, answers=answers), nothing_read(quality, cost)
    price = np.array([0.03])
    cascade = fit_cascade(known(quality, cost), outlook, replies, price, CascadeConfig(depth=3))

    after = cascade.decide(0, (0, 1), outlook, replies, np.ones((N, 3), dtype=bool))

    assert set(after[~easy]) == {2}
    assert 2 not in set(after[easy])


def test_arrays_and_document_hold_all_of_the_cascade() -> None:
    cascade, _, _ = fitted()

    again = Cascade.from_arrays(cascade.to_arrays(), cascade.to_document())

    assert again.config == cascade.config
    for price in range(len(PRICES)):
        for called in cascade.states:
            assert decide(again, price, called).tolist() == decide(cascade, price, called).tolist()


def test_candidates_are_the_arms_least_below_the_hull() -> None:
    quality = np.array([[0.2, 0.6, 0.5, 0.8, 0.1]])
    cost = np.array([[1.0, 2.0, 2.0, 4.0, 5.0]])

    assert candidate_arms(known(quality, cost), 3) == (0, 1, 3)
    assert candidate_arms(known(quality, cost), 4) == (0, 1, 2, 3)


@pytest.mark.parametrize("changes", [{"depth": 0}, {"depth": 4}, {"candidates": 0}, {"penalty": 0.0}])
def test_options_out_of_range_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        CascadeConfig(**changes)  # type: ignore[arg-type]
