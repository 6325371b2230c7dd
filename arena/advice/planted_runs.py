"""Made-up runs with known defects, for whatever reads runs: thousands in a second, without a fleet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from inframind.advisor.cluster import TraitName
from inframind.advisor.failure import FailureKind
from inframind.traces.records import Outcome, Step, Trajectory

MIDNIGHT_S = 1_750_032_000.0
"""2025-06-16 00:00 UTC."""
ENDPOINTS = {
    "qwen-7b": ("gpu-1", "gpu-2"),
    "qwen-14b": ("gpu-3", "gpu-4"),
    "llama-8b": ("gpu-5", "gpu-6"),
    "mistral-24b": ("gpu-7",),
}
STRATEGIES = ("Plain", "Flash", "Concise", "DeepThink")
ROLES = {
    "math": ("Analyst", "Solver", "Critic"),
    "code": ("Programmer", "Tester", "Critic"),
    "general": ("Writer", "Expert", "Critic"),
}
SIZES = {"IO": (1, 1), "CoT": (1, 1), "Chain": (2, 3), "Debate": (2, 3), "Reflection": (1, 1)}
_BY_CHANCE: tuple[FailureKind, ...] = ("wrong",) * 6 + ("late",) * 3 + ("failed",)
_SUBJECTS = ("primes", "sorting", "triangles", "parsers", "history", "tides", "grammar", "interest", "queues")


def step(step_id: int = 0, **values: Any) -> Step:
    """A step that went well, but for what is given."""
    usual: dict[str, Any] = {
        "node": "agent",
        "kind": "agent",
        "position": step_id,
        "round": 1,
        "role": "Solver",
        "parents": (),
        "decision_id": f"d{step_id}",
        "model": "qwen-7b",
        "strategy": "Plain",
        "endpoint": "gpu-1",
        "started_s": float(step_id),
        "finished_s": float(step_id + 1),
        "finish_reason": "stop",
    }
    return Step(step_id=step_id, **{**usual, **values})


def run(number: int, *, solved: bool | None = True, steps: Sequence[Step] = (), **values: Any) -> Trajectory:
    """A run in time, solved unless said otherwise."""
    usual: dict[str, Any] = {
        "trace_id": f"{number:032x}",
        "question": f"question {number}",
        "arrived_at_s": MIDNIGHT_S + 60.0 * number,
        "budget_s": 30.0,
        "topology": "IO",
        "team": ("Solver",),
        "steps": tuple(steps) or (step(),),
        "latency_s": 5.0,
        "outcomes": () if solved is None else (verdict(solved),),
    }
    return Trajectory(**{**usual, **values})


def verdict(solved: bool) -> Outcome:
    """What a grader says."""
    return Outcome(feedback_id="grade", key="solved", score=float(solved), recorded_at_s=MIDNIGHT_S)


@dataclass(frozen=True)
class Defect:
    """Something that makes runs fail.

    Attributes:
        kind: how they fail.
        hits: which runs have it.
        rate: share of those that fail, of whatever cause.
        truncates: the model whose answers are cut in those that fail, or "".
        trait: what the main trait of a pattern says that names it.
    """

    kind: FailureKind
    hits: Callable[[Trajectory], bool]
    rate: float = 0.6
    truncates: str = ""
    trait: Mapping[TraitName, str] = field(default_factory=dict)


def hour_of(run: Trajectory) -> int:
    """Hour of arrival, UTC."""
    return int(run.arrived_at_s // 3600) % 24


def some(test: Callable[[Step], bool]) -> Callable[[Trajectory], bool]:
    """Whether some step of a run passes a test."""
    return lambda run: any(test(step) for step in run.steps)


def _at_night(run: Trajectory) -> bool:
    return (hour_of(run) >= 22 or hour_of(run) < 6) and any(step.endpoint == "gpu-3" for step in run.steps)


TRUNCATES = Defect(
    "wrong", some(lambda step: step.model == "qwen-7b"), truncates="qwen-7b", trait={"model": "qwen-7b"}
)
CONTRADICTS = Defect(
    "wrong",
    some(lambda step: step.role == "Critic" and step.strategy == "Flash"),
    trait={"role": "Critic", "strategy": "Flash"},
)
SLOW_AT_NIGHT = Defect("late", _at_night, trait={"endpoint": "gpu-3", "hour_utc": "22-6"})
WASTES = Defect("late", lambda run: run.topology == "Debate", trait={"topology": "Debate"})
DEFECTS = {
    "truncates": TRUNCATES,
    "contradicts": CONTRADICTS,
    "slow at night": SLOW_AT_NIGHT,
    "wastes": WASTES,
}


def make_runs(
    count: int,
    rng: np.random.Generator,
    defects: Sequence[Defect] = (),
    *,
    base: float = 0.25,
    labelled: float = 1.0,
    days: int = 7,
    since_s: float = MIDNIGHT_S,
    prefix: int = 0,
    agents: int | None = None,
    pick_model: Callable[[np.random.Generator, Trajectory], str] | None = None,
) -> list[Trajectory]:
    """Runs of four models, five topologies and three domains, of which a share fails without any cause.

    Args:
        count: how many.
        rng: the chance in them.
        defects: what makes more of them fail.
        base: share that fails without a defect: six tenths wrong, three late, one failed.
        labelled: share of the runs in time with a verdict.
        days: over which they arrive evenly.
        since_s: from when on.
        prefix: makes their trace ids differ from those of others.
        agents: of every run, each with one step; as many as its topology has without.
        pick_model: model of each step of a run; evenly without.
    """
    plain = [
        _planned(number, rng, since_s + rng.random() * days * 86_400, prefix, agents)
        for number in range(count)
    ]
    return [
        _ended(_with_steps(run, rng, pick_model), rng, defects, base=base, labelled=labelled) for run in plain
    ]


def _pick(rng: np.random.Generator, names: Sequence[str]) -> str:
    return names[int(rng.integers(len(names)))]


def _planned(
    number: int, rng: np.random.Generator, arrived_s: float, prefix: int, agents: int | None
) -> Trajectory:
    domain = _pick(rng, tuple(ROLES))
    topology = _pick(rng, tuple(SIZES))
    low, high = SIZES[topology] if agents is None else (agents, agents)
    team = tuple(_pick(rng, ROLES[domain]) for _ in range(int(rng.integers(low, high + 1))))
    words = " ".join(_pick(rng, _SUBJECTS) for _ in range(int(rng.integers(3, 40))))
    return run(
        number + (prefix << 64),
        question=f"What about {words}?",
        domain=domain,
        arrived_at_s=arrived_s,
        budget_s=float(np.exp(rng.uniform(np.log(5), np.log(300)))),
        topology=topology,
        team=team,
    )


def _with_steps(
    run: Trajectory,
    rng: np.random.Generator,
    pick_model: Callable[[np.random.Generator, Trajectory], str] | None,
) -> Trajectory:
    steps = []
    for step_id, role in enumerate(run.team):
        model = pick_model(rng, run) if pick_model else _pick(rng, tuple(ENDPOINTS))
        endpoint, strategy = _pick(rng, ENDPOINTS[model]), _pick(rng, STRATEGIES)
        steps.append(step(step_id, model=model, endpoint=endpoint, strategy=strategy, role=role))
    return replace(run, steps=tuple(steps))


def _ended(
    run: Trajectory, rng: np.random.Generator, defects: Sequence[Defect], *, base: float, labelled: float
) -> Trajectory:
    """Each defect and each failure without a cause strikes by itself; no answer hides late, and late hides wrong."""
    strikes = [
        defect for defect in defects if defect.hits(run) and rng.random() < (defect.rate - base) / (1 - base)
    ]
    kinds: set[FailureKind] = {defect.kind for defect in strikes}
    if rng.random() < base:
        kinds.add(_BY_CHANCE[int(rng.integers(len(_BY_CHANCE)))])
    cut = {defect.truncates for defect in strikes if defect.truncates}
    steps = tuple(replace(step, finish_reason="length") if step.model in cut else step for step in run.steps)
    if "failed" in kinds:
        return replace(run, steps=steps, status="failed", error="FleetExhausted", outcomes=())
    took = run.budget_s * (rng.uniform(1.05, 3.0) if "late" in kinds else rng.uniform(0.1, 0.9))
    return replace(run, steps=steps, latency_s=took, outcomes=_graded("wrong" not in kinds, rng, labelled))


def _graded(solved: bool, rng: np.random.Generator, labelled: float) -> tuple[Outcome, ...]:
    return (verdict(solved),) if rng.random() < labelled else ()
