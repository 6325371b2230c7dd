from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from inframind.arena.replay.contenders import (
    ABSTAIN,
    Always,
    Answered,
    Asked,
    Choose,
    Mixture,
    ReplayContender,
    Uniform,
)
from inframind.arena.replay.play import ReplayOptions, replay, replay_file, standard_contenders
from inframind.arena.replay.results import ReplayResult
from inframind.arena.replay.table import ReplayTable
from inframind.arena.workload import FixedBudget
from inframind.errors import ConfigError

DATA = Path(__file__).resolve().parents[3].parent / "shared/data/outcomes"
NAN = float("nan")
Floats = NDArray[np.float64]
FAST = ReplayOptions(seeds=(0, 1), resamples=20)


def table(
    quality: Floats,
    *,
    cost: Floats | None = None,
    seconds: Floats | None = None,
    strata: tuple[str, ...] | None = None,
    questions: tuple[str, ...] | None = None,
) -> ReplayTable:
    n, arms = quality.shape
    return ReplayTable(
        name="tiny",
        question_ids=tuple(f"q{index}" for index in range(n)),
        questions=questions or (None,) * n,
        strata=strata or ("",) * n,
        arms=tuple("abcdefgh"[:arms]),
        quality=quality,
        cost=cost,
        seconds=seconds,
        context=np.empty((n, arms, 0)),
    )


def two_kinds() -> ReplayTable:
    """Arm a costs 1 and solves the easy half, arm b costs 4 and solves all; every split has both halves alike."""
    return table(
        np.array([[1.0, 1.0]] * 10 + [[0.0, 1.0]] * 10),
        cost=np.array([[1.0, 4.0]] * 20),
        strata=("easy",) * 10 + ("hard",) * 10,
        questions=("add two small numbers",) * 10 + ("prove this theorem",) * 10,
    )


def figures(result: ReplayResult, name: str) -> tuple[float, float, float, float]:
    score = result.standing(name).headline
    assert score.quality and score.cost and score.regret and score.versus_best
    return score.quality.value, score.cost.value, score.regret.value, score.versus_best.value


def test_a_table_worked_out_by_hand() -> None:
    result = replay(two_kinds(), options=ReplayOptions(resamples=20))

    assert (result.goal, result.cost, result.questions, result.recorded) == ("quality", "cost", 20, 1.0)
    assert figures(result, "best_constant") == (1.0, 4.0, 0.0, 0.0)
    assert figures(result, "always a") == figures(result, "cheapest") == (0.5, 1.0, 0.5, -0.5)
    assert figures(result, "oracle") == (1.0, 2.5, 0.0, 0.0)
    assert result.standing("oracle").headline.shares == {"a": 0.5, "b": 0.5}
    assert result.standing("cheapest").headline.by_stratum == {"easy": 1.0, "hard": 0.0}
    assert [standing.name for standing in result.standings] == [
        "best_constant", "random", "cheapest", "mixture", "best_per_benchmark", "knn", "just_enough",
        "always a", "always b", "oracle",
    ]  # fmt: skip


def test_fronts_worked_out_by_hand() -> None:
    result = replay(two_kinds(), options=ReplayOptions(targets=(0.02, 0.05), resamples=20))

    mixture, oracle = result.standing("mixture").front, result.standing("oracle").front
    assert mixture and oracle
    assert mixture.cost_shares == pytest.approx({0.02: (4 - 0.02 * 6) / 4, 0.05: (4 - 0.05 * 6) / 4})
    assert mixture.mean_value == pytest.approx(0.75)
    assert oracle.cost_shares == pytest.approx({0.02: (2.5 - 0.02 * 3) / 4, 0.05: (2.5 - 0.05 * 3) / 4})
    assert oracle.mean_value == pytest.approx((1.5 * 0.75 + 1.5 * 1.0) / 3)


def test_whoever_reads_the_question_finds_the_cheap_arm_for_easy_ones() -> None:
    result = replay(two_kinds(), options=ReplayOptions(resamples=20))

    assert figures(result, "just_enough")[0] == 1.0
    front = result.standing("knn").front
    assert front and front.cost_shares[0.02] == pytest.approx((2.5 - 0.02 * 3) / 4)


def test_an_arm_is_masked_where_it_is_not_recorded() -> None:
    quality = np.array([[1.0, NAN, 0.0], [NAN, 1.0, 0.0]] * 6)

    result = replay(table(quality), options=FAST)

    assert result.recorded == pytest.approx(2 / 3)
    assert result.standing("always a").headline.coverage == pytest.approx(0.5, abs=0.34)
    assert result.standing("best_constant").headline.quality
    assert result.standing("best_constant").headline.coverage == 1.0
    oracle = result.standing("oracle").headline
    assert oracle.quality and oracle.quality.value == 1.0
    assert "c" not in oracle.shares


def test_an_arm_does_not_shine_by_answering_easy_questions_alone() -> None:
    easy, hard, hopeless = [1.0, 1.0, 0.0], [1.0, NAN, 0.0], [0.0, NAN, 0.0]
    quality = np.array([easy, easy, hard, hard, hopeless] * 8)
    assert np.nanmean(quality[:, 1]) > np.nanmean(quality[:, 0])

    result = replay(table(quality), options=FAST)

    assert result.standing("best_constant").headline.shares == {"a": 1.0}


def test_answers_beyond_the_budget_do_not_count() -> None:
    quality = np.array([[0.5, 1.0]] * 8)
    seconds = np.array([[1.0, 20.0]] * 8)

    result = replay(
        table(quality, seconds=seconds), options=ReplayOptions(budgets=FixedBudget(10), resamples=20)
    )

    best, slow = result.standing("best_constant").headline, result.standing("always b").headline
    assert (result.goal, result.cost) == ("on_time_success", "seconds")
    assert best.shares == {"a": 1.0}
    assert slow.quality and slow.on_time_success and slow.slo_attainment and slow.regret
    assert (slow.quality.value, slow.on_time_success.value, slow.slo_attainment.value) == (1.0, 0.0, 0.0)
    assert (slow.regret.value, slow.latency_mean_s, slow.latency_p95_s) == (0.5, 20.0, 20.0)


def test_without_budgets_time_does_not_count() -> None:
    seconds = np.array([[1.0, 20.0]] * 8)
    options = replace(FAST, budgets=None)

    result = replay(table(np.array([[0.5, 1.0]] * 8), seconds=seconds), options=options)

    best = result.standing("best_constant").headline
    assert (result.goal, best.shares, best.slo_attainment) == ("quality", {"b": 1.0}, None)
    assert best.cost and best.cost.value == 20.0


def test_arms_without_the_cost_that_is_asked_for_are_left_out_and_named() -> None:
    cost = np.array([[1.0, NAN, 2.0]] * 6)

    result = replay(table(np.ones((6, 3)), cost=cost), options=FAST)

    assert (result.arms, result.left_out) == (("a", "c"), ("b",))
    assert replay(table(np.ones((6, 3)), cost=cost), options=replace(FAST, cost="none")).left_out == ()


def test_the_same_seeds_give_the_same_result() -> None:
    assert replay(two_kinds(), options=FAST) == replay(two_kinds(), options=FAST)
    assert replay(two_kinds(), options=FAST) != replay(two_kinds(), options=replace(FAST, seeds=(3, 4)))


def test_an_interval_holds_its_figure() -> None:
    result = replay(two_kinds(), options=ReplayOptions(resamples=200))

    quality = result.standing("always a").headline.quality
    assert quality and quality.low < quality.value < quality.high
    assert quality.low == pytest.approx(0.27, abs=0.06)


@dataclass(frozen=True)
class Watcher:
    """Keeps what it is shown, and chooses what it is told to."""

    choice: int
    shown: list[tuple[Answered, Asked]]
    name: str = "watcher"
    knobs: tuple[float, ...] = (0.0,)

    def fit(self, train: Answered, rng: np.random.Generator) -> Choose:
        def choose(asked: Asked, rng: np.random.Generator) -> NDArray[np.int64]:
            self.shown.append((train, asked))
            return np.full((1, len(asked.question_ids)), self.choice)

        return choose


def test_everyone_learns_on_one_half_and_is_asked_the_other_and_all_get_the_same_split() -> None:
    first, second = Watcher(0, []), Watcher(0, [], name="another")

    replay(two_kinds(), [first, second], FAST)

    for (train, asked), (other_train, other_asked) in zip(first.shown, second.shown, strict=True):
        assert set(train.asked.question_ids) | set(asked.question_ids) == {f"q{index}" for index in range(20)}
        assert len(train.asked.question_ids) == len(asked.question_ids) == 10
        assert sorted(train.asked.strata) == ["easy"] * 5 + ["hard"] * 5
        assert train.asked.question_ids == other_train.asked.question_ids
        assert asked.question_ids == other_asked.question_ids


def test_all_seeds_draw_budgets_of_their_own_and_everyone_gets_the_same() -> None:
    first, second = Watcher(0, []), Watcher(0, [], name="another")
    timed = replace(two_kinds(), seconds=np.ones((20, 2)))

    replay(timed, [first, second], FAST)

    budgets = [asked.budgets_s for _, asked in first.shown]
    assert budgets[0] is not None and budgets[1] is not None
    assert (budgets[0] >= 5).all() and (budgets[0] <= 300).all()
    assert not set(budgets[0]) & set(budgets[1])
    np.testing.assert_array_equal(budgets, [asked.budgets_s for _, asked in second.shown])


def test_a_choice_that_is_not_recorded_is_a_defect() -> None:
    quality = np.array([[1.0, NAN, 1.0], [1.0, 1.0, 1.0]] * 4)

    for arm in (1, 3, -2):
        with pytest.raises(ValueError, match=rf"watcher chose arm {arm} for question .*not recorded"):
            replay(table(quality), [Watcher(arm, [])], FAST)


def test_a_contender_chooses_once_per_knob_and_question() -> None:
    with pytest.raises(ValueError, match=r"shape \(1, 10\): give one per knob and question, \(2, 10\)"):
        replay(two_kinds(), [Watcher(0, [], knobs=(0.0, 1.0))], FAST)


def test_to_abstain_costs_coverage_and_nothing_else() -> None:
    score = replay(two_kinds(), [Watcher(ABSTAIN, [])], FAST).standing("watcher").headline

    assert (score.coverage, score.quality, score.regret, score.shares) == (0.0, None, None, {})


def test_contenders_need_names_of_their_own() -> None:
    with pytest.raises(ConfigError, match="contenders = 'random': give each contender a name"):
        replay(two_kinds(), [Uniform(), Uniform()], FAST)


def test_a_table_with_one_arm_leaves_nothing_to_choose() -> None:
    with pytest.raises(ConfigError, match="at least 2 questions and 2 arms"):
        replay(table(np.ones((4, 1))), options=FAST)


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": ()}, {"seeds": (1, 1)}, {"seeds": (-1,)}, {"train_share": 0.0}, {"train_share": 1.0},
        {"targets": (1.0,)}, {"resamples": 0},
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        ReplayOptions(**changes)  # type: ignore[arg-type]


def test_without_cost_or_text_those_who_need_them_stay_away() -> None:
    plain = table(np.array([[0.0, 1.0]] * 6))

    assert [contender.name for contender in standard_contenders(plain, FAST)] == [
        "random",
        "always a",
        "always b",
    ]


@st.composite
def tables(draw: st.DrawFn) -> ReplayTable:
    n, arms = draw(st.integers(2, 12)), draw(st.integers(2, 4))
    grid = {"dtype": np.float64, "shape": (n, arms)}
    quality = draw(arrays.arrays(**grid, elements=st.sampled_from([0.0, 0.5, 1.0, 1.0, NAN])))
    quality[0], quality[1] = 1.0, 0.0
    amounts = st.integers(0, 40).map(float)
    return table(
        quality,
        cost=draw(arrays.arrays(**grid, elements=amounts)),
        seconds=draw(st.none() | arrays.arrays(**grid, elements=amounts)),
        strata=tuple(draw(st.lists(st.sampled_from("xy"), min_size=n, max_size=n))),
        questions=tuple(draw(st.lists(st.sampled_from(["a b", "b c", "c"]), min_size=n, max_size=n))),
    )


@settings(max_examples=40, deadline=None)
@given(tables())
def test_nobody_beats_the_oracle_and_nobody_chooses_what_is_not_recorded(tiny: ReplayTable) -> None:
    result = replay(tiny, options=ReplayOptions(seeds=(0,), resamples=5))

    for standing in result.standings:
        for score in standing.scores:
            assert score.regret is None or score.regret.value >= 0
            assert score.regret is None or score.regret.low >= 0
            assert standing.name.startswith("always") or score.coverage == 1.0
            assert sum(score.shares.values()) == pytest.approx(1.0 if score.coverage else 0.0)
    oracle = result.standing("oracle").headline.regret
    assert oracle and oracle.value == 0


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data/outcomes")
def test_recorded_strategies_of_two_models_are_replayed() -> None:
    result = replay_file(
        DATA / "concise_cot/outcomes.parquet",
        strata=["sat-math", "lsat-rc"],
        price_per_token={"gpt-35-turbo": 1.0, "gpt-4": 20.0},
        options=FAST,
    )

    by_name = {standing.name: standing.headline.quality for standing in result.standings}
    oracle, best, chance = (by_name[name] for name in ("oracle", "best_constant", "random"))
    assert (result.questions, len(result.arms), result.cost) == (200, 24, "cost")
    assert oracle and best and chance and oracle.value > best.value > chance.value


def test_a_contender_of_ones_own_takes_part() -> None:
    own: ReplayContender = Always("b")

    result = replay(two_kinds(), [own, Mixture(knobs=(0.0, 1.0))], FAST)

    assert [len(standing.scores) for standing in result.standings[1:3]] == [1, 2]
