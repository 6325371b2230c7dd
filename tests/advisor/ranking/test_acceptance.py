"""Hidden people in three segments, one in five of whom never says anything."""

from __future__ import annotations

from typing import Any

import numpy as np

from inframind.advisor.ranking.changes import rules_of, switches_model
from inframind.advisor.ranking.takeover import TakeoverConfig
from inframind.advisor.recommending import Ranking, RankingConfig
from inframind.traces.advice import Recommendation

SEEDS = range(2)
LABELLED, INTERACTIONS, JUDGED = 10, 200, 100
PROMISES = {
    "cheapest": {"success": 0.0, "latency_s": 0.0, "cost": -0.2},
    "highest_performance": {"success": 0.06, "latency_s": 0.02, "cost": 0.1},
    "balanced": {"success": 0.03, "latency_s": -0.05, "cost": -0.05},
    "model_switch": {"success": 0.05, "latency_s": 0.0, "cost": 0.0},
}
UNRANKED = RankingConfig(takeover=TakeoverConfig(labels=10**9), draws=1)


def chance(segment: str, made: Recommendation) -> float:
    """With which probability somebody of a segment accepts it; nobody who ranks knows this."""
    success, cost = (made.prediction(metric).change for metric in ("success", "cost"))
    wants = {
        "thrifty": -12 * cost - 1,
        "fast": 60 * success - 2,
        "wary": 2
        - 5 * switches_model(rules_of(made.rules))
        - 30 * max(cost, 0)
        - 15 * abs(success - 0.03) / 0.03,
    }
    return float(1 / (1 + np.exp(-2 * wants[segment])))


def application(bench: Any, rng: np.random.Generator) -> Any:
    options = []
    for number, (kind, promised) in enumerate(PROMISES.items()):
        model = {"avoid_models": frozenset({f"m{rng.integers(10**9)}"})}
        rule = bench.rule(
            **model if number % 2 else {"avoid_strategies": frozenset({f"s{rng.integers(10**9)}"})}
        )
        predictions = tuple(
            bench.prediction(metric, change + 0.01 * float(rng.normal()), half=0.03)
            for metric, change in promised.items()
        )
        options.append(bench.option(kind, rules=(rule,), predictions=predictions))
    return bench.analysis(tuple(options))


def accepted(bench: Any, config: RankingConfig, seed: int) -> float:
    """Share of the last interactions in which the first recommendation would have been accepted."""
    rng, people = np.random.default_rng(seed), np.random.default_rng(seed + 1000)
    ranking, segments, came = Ranking(config), ("thrifty", "fast", "wary"), []
    for number in range(LABELLED * len(segments) + INTERACTIONS):
        segment, at_s = segments[number % len(segments)], 3600.0 * number
        made = ranking.recommend(
            application(bench, people), segment=segment, now_s=at_s, rng=rng, new_id=bench.new_id
        )
        likes = people.random() < chance(segment, made[0])
        events = [bench.event(one, "shown", at_s) for one in made]
        is_attentive = people.random() < 0.8 or number < LABELLED * len(segments)
        if is_attentive:
            events.append(bench.event(made[0], "accepted" if likes else "rejected", at_s + 60))
        ranking.add(made, events)
        came.append(likes)
    return float(np.mean(came[-JUDGED:]))


def test_twice_as_much_is_accepted_as_in_any_order(bench: Any) -> None:
    ranked = np.mean([accepted(bench, RankingConfig(draws=1), seed) for seed in SEEDS])
    unranked = np.mean([accepted(bench, UNRANKED, seed) for seed in SEEDS])
    assert 0.2 < unranked < 0.5
    assert ranked >= 1.8 * unranked
