from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inframind.arena.replay.contenders import Answered, Asked, Consult, Mixture
from inframind.arena.replay.desk import Desk
from inframind.arena.replay.environment import ReplayOptions, answered
from inframind.arena.replay.learned import Learned, LearnedConfig, LearnProgress, learn_router, train_on_table
from inframind.arena.replay.learned_router import LearnedRouter
from inframind.arena.replay.play import replay, replay_file
from inframind.arena.replay.table import ReplayTable
from inframind.arena.workload import FixedBudget
from inframind.errors import ConfigError

OUTCOMES = Path(__file__).resolve().parents[3].parent / "shared/data/outcomes"
FAST = ReplayOptions(seeds=(0,), resamples=5, budgets=None)
CONFIG = LearnedConfig(prices=(0.001, 0.1, 0.3, 3.0), window=1)
N = 120


def table(quality: NDArray[np.float64], cost: list[float], **changes: object) -> ReplayTable:
    n, arms = quality.shape
    plain = ReplayTable(
        name="tiny",
        question_ids=tuple(f"q{index}" for index in range(n)),
        questions=("how many are there",) * n,
        strata=("",) * n,
        arms=tuple("abcdefgh"[:arms]),
        quality=quality,
        cost=np.tile(cost, (n, 1)),
        context=np.empty((n, arms, 0)),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def text_tells() -> ReplayTable:
    """Arm a solves sums, arm b solves proofs, arm c solves both at eight times the cost."""
    is_sum = np.arange(N) % 2 == 0
    quality = np.stack([is_sum, ~is_sum, np.ones(N)], axis=1).astype(float)
    texts = tuple("add these numbers" if one else "prove this theorem" for one in is_sum)
    return table(quality, [1.0, 1.0, 8.0], questions=texts)


def length_tells() -> ReplayTable:
    """Arm a is right half of the time, and brief where it is; arm b is always right at five times the cost."""
    easy = np.arange(N) % 2 == 0
    quality = np.stack([easy, np.ones(N)], axis=1).astype(float)
    tokens = np.stack([np.where(easy, 20.0, 300.0), np.full(N, 100.0)], axis=1)
    return table(quality, [1.0, 5.0], completion_tokens=tokens)


def least_cost(result: object, name: str) -> float:
    front = result.standing(name).front  # type: ignore[attr-defined]
    assert front
    return float(front.cost_shares[0.02])


def test_a_text_that_tells_who_solves_saves_the_dear_arm() -> None:
    result = replay(text_tells(), [Learned(config=CONFIG), Mixture()], FAST)

    assert least_cost(result, "learned") == pytest.approx(1 / 8, abs=0.01)
    assert least_cost(result, "mixture") > 0.9


def test_a_reply_that_tells_whether_it_is_right_saves_half_of_the_dear_calls() -> None:
    result = replay(length_tells(), [Learned(config=CONFIG), Mixture()], FAST)

    assert least_cost(result, "learned") == pytest.approx((1 + 5 * 0.5) / 5, abs=0.06)
    assert least_cost(result, "mixture") > 0.95


def test_all_calls_are_paid_for() -> None:
    result = replay(length_tells(), [Learned(config=CONFIG)], FAST)

    scores = result.standing("learned").scores
    assert all(score.cost and score.cost.value >= 1.0 for score in scores)
    thrifty = scores[-1]
    assert thrifty.cost and thrifty.quality
    assert (thrifty.cost.value, thrifty.shares) == (1.0, {"a": 1.0})


def test_calls_in_turn_take_the_sum_of_their_seconds() -> None:
    """Either arm is in time, both are not: what arm a's reply tells comes too late to be of use."""
    timed = replace(length_tells(), seconds=np.full((N, 2), 6.0))

    result = replay(timed, [Learned(config=CONFIG)], replace(FAST, budgets=FixedBudget(10), cost="cost"))

    headline = result.standing("learned").headline
    assert headline.on_time_success and headline.latency_mean_s
    assert (headline.on_time_success.value, headline.latency_mean_s) == (1.0, 6.0)


def test_the_same_seed_learns_the_same() -> None:
    first, second = (replay(length_tells(), [Learned(config=CONFIG)], FAST) for _ in range(2))

    assert first == second


def test_what_test_questions_hold_makes_no_difference_to_what_is_learned() -> None:
    known = answered(length_tells())
    half, rest = np.arange(0, N // 2), np.arange(N // 2, N)

    def chosen(judged: Answered) -> list[list[int]]:
        router, _ = learn_router(known.take(half), CONFIG, np.random.default_rng(0))
        desk = Desk(len(CONFIG.prices), judged.replies, judged.asked.allowed)
        return router.consult(judged.asked, desk, np.random.default_rng(0)).tolist()

    judged = known.take(rest)
    assert chosen(judged) == chosen(replace(judged, quality=1.0 - judged.quality))


def test_a_question_without_any_of_the_cascades_arms_is_given_what_is_recorded() -> None:
    known = answered(length_tells())
    router, _ = learn_router(known, CONFIG, np.random.default_rng(0))
    allowed = np.array([[False, True], [False, False]])
    asked = replace(known.take(np.array([0, 1])).asked, allowed=allowed)

    chosen = router.consult(
        asked, Desk(4, known.replies.take(np.array([0, 1])), allowed), np.random.default_rng(0)
    )

    assert chosen.tolist() == [[1, -1]] * 4


def test_training_reports_its_steps_and_what_it_saw_inside() -> None:
    steps: list[LearnProgress] = []

    router, report = train_on_table(length_tells(), CONFIG, seed=1, on_progress=steps.append)

    assert [(step.done, step.total) for step in steps] == [(number, 6) for number in range(1, 7)]
    assert (report.questions, report.arms, router.arms) == (N, 2, ("a", "b"))
    assert (report.best_quality, report.best_cost) == (1.0, 5.0)
    assert report.cost_share(0.02) == pytest.approx(0.7, abs=0.05)
    assert report.calls[-1] == 1
    assert report.knob_within(1.0) == 3


def test_arrays_and_document_hold_all_of_the_router() -> None:
    known = answered(length_tells())
    router, _ = learn_router(known, CONFIG, np.random.default_rng(0))

    again = LearnedRouter.from_arrays(router.to_arrays(), router.to_document())

    def chosen(one: LearnedRouter) -> list[list[int]]:
        desk = Desk(len(CONFIG.prices), known.replies, known.asked.allowed)
        return one.consult(known.asked, desk, np.random.default_rng(0)).tolist()

    assert chosen(again) == chosen(router)


def test_without_a_cost_there_is_nothing_to_weigh() -> None:
    with pytest.raises(ConfigError, match="cost = None"):
        train_on_table(replace(length_tells(), cost=None, completion_tokens=None), CONFIG)


def test_too_few_questions_for_the_folds_are_refused() -> None:
    few = length_tells().take(np.arange(9), np.arange(2))

    with pytest.raises(ConfigError, match="questions = 9: record at least 10"):
        train_on_table(few, CONFIG)


@pytest.mark.parametrize(
    "changes",
    [
        {"prices": ()},
        {"prices": (0.0,)},
        {"cascades": ()},
        {"folds": 1},
        {"window": 2},
        {"standard_errors": -1.0},
    ],
)
def test_options_out_of_range_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        LearnedConfig(**changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Thief:
    """Answers with a reply that it did not buy."""

    name: str = "thief"
    knobs: tuple[float, ...] = (0.0,)

    def learn(self, train: Answered, rng: np.random.Generator) -> Consult:
        def consult(asked: Asked, desk: Desk, rng: np.random.Generator) -> NDArray[np.int64]:
            return np.zeros((1, len(asked.question_ids)), dtype=np.int64)

        return consult


def test_an_answer_that_was_not_bought_is_a_defect() -> None:
    with pytest.raises(ValueError, match="thief answered with a reply that it did not buy"):
        replay(length_tells(), [Thief()], FAST)


@pytest.mark.skipif(not OUTCOMES.exists(), reason="needs ../shared/data/outcomes")
def test_recorded_topologies_are_routed_below_the_mixtures_cost() -> None:
    result = replay_file(
        OUTCOMES / "medagents/hard_topologies.parquet",
        contenders=["learned", "mixture"],
        options=replace(FAST, seeds=(0, 1)),
    )

    assert least_cost(result, "learned") < least_cost(result, "mixture")
