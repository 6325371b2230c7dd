"""A pacer learns when a round is worth its calls, from stored runs of which the truth is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inframind.errors import ConfigError
from inframind.router.actions import ADVANCE, STAY
from inframind.router.learning.pacing import PacerConfig, train_pacer
from inframind.router.learning.pacing_samples import LAST, PacingSamples
from inframind.router.pace_features import PACE_COLUMNS
from inframind.traces.records import Decision, Outcome, Step, Trajectory

TEAM = 3
Chance = Callable[[float, int], float]
"""Agreement after round 1 and rounds run, to the probability of a right answer."""


def pace_decision(
    number: int, *, stays: bool, agreement: float, stagnation: float = 0.0, may_stay: bool = True
) -> Decision:
    return Decision(
        decision_id=f"p{number}",
        kind="pace",
        made_s=float(number),
        policy="uniform",
        policy_version="1",
        features_version="1",
        actions=(STAY, ADVANCE),
        probabilities=(0.5, 0.5) if may_stay else (0.0, 1.0),
        masked=("" if may_stay else "too slow", ""),
        chosen=0 if stays else 1,
        probability=0.5 if may_stay else 1.0,
        choice={"pace": STAY if stays else ADVANCE, "round": number},
        seen={
            "remaining_s": 100.0 - 10 * number,
            "rounds_left": 3 - number,
            "team_size": TEAM,
            "agreement": agreement,
            "stagnation": stagnation,
            "round_q90_s": 5.0,
        },
    )


def call(step_id: int, *, number: int, kind: Any = "agent", answer: str = "") -> Step:
    return Step(
        step_id=step_id,
        node=kind,
        kind=kind,
        position=step_id % TEAM,
        round=number,
        role="Solver",
        parents=(),
        decision_id=f"s{step_id}",
        model="a",
        strategy="Plain",
        started_s=float(number),
        finished_s=float(number) + 0.5,
        answer=answer,
    )


def answers(agreement: float) -> list[str]:
    agreeing = round(agreement * TEAM)
    return ["7"] * agreeing + [str(place) for place in range(TEAM - agreeing)]


def run_of(
    name: str,
    agreements: Sequence[float],
    stays: Sequence[bool],
    *,
    solved: bool | None,
    latency_s: float = 9.0,
) -> Trajectory:
    """A run of ``len(agreements)`` rounds and a judge; the last round may have no decision."""
    said = [(number, text) for number, share in enumerate(agreements, 1) for text in answers(share)]
    steps = [call(place, number=number, answer=text) for place, (number, text) in enumerate(said)]
    steps.append(call(len(steps), number=len(agreements), kind="judge"))
    outcome = Outcome(feedback_id="f", key="solved", score=float(solved or False), recorded_at_s=0.0)
    return Trajectory(
        trace_id=name,
        question="How many?",
        arrived_at_s=0.0,
        budget_s=100.0,
        topology="Debate",
        team=("Solver",) * TEAM,
        rounds=len(agreements),
        decisions=tuple(
            pace_decision(number, stays=choice, agreement=agreements[number - 1])
            for number, choice in enumerate(stays, 1)
        ),
        steps=tuple(steps),
        latency_s=latency_s,
        outcomes=() if solved is None else (outcome,),
    )


def tossed_runs(chance: Chance, *, n: int = 400, seed: int = 0) -> list[Trajectory]:
    """Runs in which a coin chose at every decision, up to three rounds."""
    rng = np.random.default_rng(seed)
    runs = []
    for place in range(n):
        agreement = float(rng.choice([1 / 3, 2 / 3, 1.0]))
        stays: list[bool] = []
        while len(stays) < 2 and (not stays or stays[-1]):
            stays.append(bool(rng.random() < 0.5))
        rounds = 1 + sum(stays)
        solved = bool(rng.random() < chance(agreement, rounds))
        runs.append(run_of(f"{place:032x}", [agreement] * rounds, stays, solved=solved))
    return runs


def stay_probabilities(samples: PacingSamples, pacer: Any, *, number: int, agreement: float) -> list[float]:
    at = samples.features_SF[:, PACE_COLUMNS.index("round")] == number
    at &= np.isclose(samples.features_SF[:, PACE_COLUMNS.index("agreement")], agreement)
    return [pacer.stay_probability(row) for row in samples.features_SF[at]]


METHODS = pytest.mark.parametrize("method", ["direct", "policy_gradient"])


@METHODS
def test_it_advances_where_further_rounds_never_help(method: Any) -> None:
    samples = PacingSamples.of(tossed_runs(lambda agreement, rounds: agreement, n=800))
    trained = train_pacer(samples, PacerConfig(method=method, call_price=0.1))
    for agreement in (1 / 3, 2 / 3, 1.0):
        assert max(stay_probabilities(samples, trained.pacer, number=1, agreement=agreement)) < 0.2


@METHODS
def test_it_stays_where_a_round_helps_and_only_there(method: Any) -> None:
    """A second round mends what was disputed and ruins what was agreed; a third brings nothing."""

    def chance(agreement: float, rounds: int) -> float:
        if agreement == 1.0:
            return 0.9 if rounds == 1 else 0.6
        return 0.3 if rounds == 1 else 0.8

    samples = PacingSamples.of(tossed_runs(chance, n=600))
    pacer = train_pacer(samples, PacerConfig(method=method, call_price=0.02)).pacer
    assert min(stay_probabilities(samples, pacer, number=1, agreement=1 / 3)) > 0.8
    assert max(stay_probabilities(samples, pacer, number=1, agreement=1.0)) < 0.2
    assert max(stay_probabilities(samples, pacer, number=2, agreement=2 / 3)) < 0.5


@METHODS
def test_it_stays_for_the_sake_of_a_later_round_even_if_the_logs_seldom_got_there(method: Any) -> None:
    """Only the third round helps, and whoever wrote the logs seldom went there."""

    def chance(agreement: float, rounds: int) -> float:
        return 0.9 if rounds == 3 else 0.45

    rng = np.random.default_rng(3)
    runs = [
        run
        for run in tossed_runs(chance, n=1500)
        if run.rounds != 3 or rng.random() < 0.4  # what the logs hold of third rounds
    ]
    samples = PacingSamples.of(runs)
    pacer = train_pacer(samples, PacerConfig(method=method, call_price=0.02)).pacer
    assert min(stay_probabilities(samples, pacer, number=1, agreement=2 / 3)) > 0.5
    assert min(stay_probabilities(samples, pacer, number=2, agreement=2 / 3)) > 0.5


def test_a_limit_on_rounds_is_learned_with_not_cut_off_afterwards() -> None:
    """Only the third round helps: who may not run it has no reason to run the second."""
    samples = PacingSamples.of(tossed_runs(lambda agreement, rounds: 0.9 if rounds == 3 else 0.45, n=1000))
    config = PacerConfig(call_price=0.03)
    free, limited = (train_pacer(samples, replace(config, max_rounds=limit)).pacer for limit in (None, 2))
    assert min(stay_probabilities(samples, free, number=1, agreement=2 / 3)) > 0.8
    assert max(stay_probabilities(samples, limited, number=1, agreement=2 / 3)) < 0.5
    assert (free.max_rounds, limited.max_rounds) == (None, 2)


def test_a_dearer_call_buys_fewer_rounds() -> None:
    samples = PacingSamples.of(tossed_runs(lambda agreement, rounds: 0.4 + 0.15 * (rounds > 1)))
    shares = [train_pacer(samples, PacerConfig(call_price=price)).stay_share for price in (0.0, 0.03, 0.3)]
    assert shares[0] > shares[2]
    assert shares == sorted(shares, reverse=True)


def test_lateness_counts_as_failure() -> None:
    runs = [
        run_of(f"{place:032x}", [0.5] * (1 + stays), [stays], solved=True, latency_s=500.0 if stays else 9.0)
        for place in range(200)
        for stays in (place % 2 == 0,)
    ]
    trained = train_pacer(PacingSamples.of(runs), PacerConfig(call_price=0.0))
    assert trained.stay_share < 0.1


@pytest.mark.parametrize("method", ["direct", "policy_gradient", "phase"])
def test_the_same_seed_gives_the_same_weights_and_another_one_others(method: Any) -> None:
    samples = PacingSamples.of(tossed_runs(lambda agreement, rounds: agreement, n=60))

    def version(seed: int) -> str:
        return train_pacer(samples, PacerConfig(method=method, seed=seed, steps=20)).pacer.version

    assert version(0) == version(0)
    assert version(0) != version(1)


def test_phase_rewards_punish_leaving_before_anything_can_have_stagnated() -> None:
    samples = PacingSamples.of(tossed_runs(lambda agreement, rounds: 1.0 if rounds == 1 else 0.0))
    trained = train_pacer(samples, PacerConfig(method="phase"))
    assert min(stay_probabilities(samples, trained.pacer, number=1, agreement=2 / 3)) > 0.8
    assert trained.critic_log_loss is None


def test_samples_hold_what_followed_each_decision() -> None:
    run = run_of("a" * 32, [1 / 3, 2 / 3, 1.0], [True, True], solved=True)
    short = run_of("b" * 32, [1.0], [False], solved=False)
    samples = PacingSamples.of([run, short])
    assert samples.stays_S.tolist() == [True, True, False]
    assert samples.next_S.tolist() == [1, LAST, LAST]
    assert samples.calls_S.tolist() == [3, 4, 1]
    assert samples.sums_to_end(samples.calls_S).tolist() == [7, 4, 1]
    assert samples.solved_S.tolist() == [True, True, False]
    assert samples.improvement_S.tolist() == pytest.approx([1 / 3, 1 / 3, 0])
    assert samples.propensity_S.tolist() == [0.5, 0.5, 0.5]
    assert samples.longest_run == 2


def test_missing_feedback_is_not_a_failure() -> None:
    runs = [
        run_of("a" * 32, [1.0], [False], solved=None),
        run_of("b" * 32, [1.0], [False], solved=True),
    ]
    assert len(PacingSamples.of(runs)) == 1
    assert PacingSamples.of(runs, {"a" * 32: False}).solved_S.tolist() == [False]
    with pytest.raises(ConfigError, match="trajectories"):
        PacingSamples.of(runs[:1])


def test_a_verdict_by_trace_id_is_never_given_to_two_runs() -> None:
    run = run_of("a" * 32, [1.0], [False], solved=True)
    assert len(PacingSamples.of([run, run])) == 2
    with pytest.raises(ConfigError, match="each trace id once"):
        PacingSamples.of([run, run], {"a" * 32: True})


def test_decisions_that_all_went_one_way_teach_nothing() -> None:
    runs = [run_of(f"{place:032x}", [1.0], [False], solved=True) for place in range(9)]
    with pytest.raises(ConfigError, match="both actions"):
        train_pacer(PacingSamples.of(runs))


@pytest.mark.parametrize(
    "values",
    [
        {"method": "guess"},
        {"call_price": -1},
        {"temperature": 0},
        {"steps": 0},
        {"hidden": 0},
        {"max_rounds": 0},
    ],
)
def test_settings_out_of_range_are_refused_by_name(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        PacerConfig(**values)
