from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from inframind.arena.results.episodes import Call, Episode
from inframind.arena.results.tables import Bound, Evaluation, LoadSample, Run

MODELS = ("qwen-1.5b", "qwen-7b", "qwen-32b")
STRATEGIES = ("Plain", "CoT", "Deep")
TOPOLOGIES = ("IO", "CoT", "Debate", "Reflect")
CONTENDERS = (
    ("ours", "learned", 0.80, 260.0),
    ("random", "blind", 0.45, 120.0),
    ("knn", "heuristic", 0.66, 180.0),
    ("just-enough", "heuristic", 0.62, 230.0),
    ("always-small", "constant", 0.48, 400.0),
    ("always-large", "constant", 0.72, 60.0),
    ("oracle", "oracle", 0.90, 300.0),
)
"""Name, family, accuracy without load, and the arrival rate per minute that it can carry."""

Synthetic = Callable[..., Evaluation]


def _calls(rng: np.random.Generator, rate: float) -> tuple[Call, ...]:
    model = MODELS[int(rng.choice(3, p=_mix(rate)))]
    strategy = STRATEGIES[int(rng.integers(3))]
    return tuple(
        Call(model=model, strategy=strategy, completion_tokens=int(rng.integers(50, 800)))
        for _ in range(rng.integers(1, 4))
    )


def _mix(rate: float) -> tuple[float, float, float]:
    small = min(0.7, 0.2 + rate / 500)
    return small, 0.25, 0.75 - small


def _episode(
    index: int,
    item: int,
    budget_s: float,
    rate: float,
    skill: float,
    capacity: float,
    rng: np.random.Generator,
) -> Episode:
    load = rate / capacity
    latency_s = float(rng.lognormal(1.3 + min(2.5, load**2), 0.7))
    is_failed = rng.random() < 0.01
    calls = () if is_failed else _calls(rng, rate)
    return Episode(
        index=index,
        item_id=f"item-{item}",
        level=1 + item % 5,
        arrived_s=index * 60 / rate,
        budget_s=budget_s,
        status="failed" if is_failed else "ok" if latency_s <= budget_s else "late",
        latency_s=latency_s,
        solved=not is_failed and bool(rng.random() < skill * (1 - 0.15 * min(1.0, load))),
        error="FleetExhausted: every candidate failed" if is_failed else "",
        topology="" if is_failed else TOPOLOGIES[int(rng.integers(4))],
        model=calls[-1].model if calls else "",
        strategy=calls[-1].strategy if calls else "",
        calls=calls,
        trace_id=f"{rng.integers(2**60):016x}",
    )


def _timeline(
    rate: float, capacity: float, length_s: float, rng: np.random.Generator
) -> tuple[LoadSample, ...]:
    samples = []
    for t_s in np.arange(0.0, length_s, 5.0):
        for endpoint, model in enumerate(MODELS):
            demand = 12 * rate / capacity * (0.6 + 0.4 * endpoint) * rng.lognormal(0, 0.3)
            running = min(8, int(demand))
            samples.append(
                LoadSample(
                    t_s=float(t_s),
                    endpoint=f"{model}-0",
                    running=running,
                    waiting=int(max(0.0, demand - 8)),
                    slots=8,
                )
            )
    return tuple(samples)


def make_evaluation(
    *,
    contenders: Sequence[tuple[str, str, float, float]] = CONTENDERS,
    seeds: int = 3,
    rates: Sequence[float] = (10, 100, 300),
    questions: int = 40,
) -> Evaluation:
    """All contenders on the same questions and budgets, with results as noisy functions of the arrival rate."""
    runs = []
    for c, (name, family, skill, capacity) in enumerate(contenders):
        for seed in range(seeds):
            for rate in rates:
                shared = np.random.default_rng([seed, int(rate)])
                items = shared.integers(200, size=questions)
                budgets_s = np.exp(shared.uniform(np.log(5), np.log(300), questions))
                rng = np.random.default_rng([seed, int(rate), c])
                episodes = tuple(
                    _episode(i, int(items[i]), float(budgets_s[i]), rate, skill, capacity, rng)
                    for i in range(questions)
                )
                runs.append(
                    Run(
                        contender=name,
                        family=family,
                        seed=seed,
                        rate_per_min=rate,
                        episodes=episodes,
                        timeline=_timeline(rate, capacity, questions * 60 / rate, rng),
                    )
                )
    return Evaluation(
        runs=tuple(runs),
        facts={"command": "inframind evaluate --seeds 3", "machine": "2 cores", "seeds": seeds, "speed": 1.5},
        bounds=tuple(Bound(name="best of all", rate_per_min=rate, on_time_success=0.97) for rate in rates),
    )


@pytest.fixture
def synthetic() -> Synthetic:
    return make_evaluation
