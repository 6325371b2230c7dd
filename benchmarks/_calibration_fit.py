"""How the fitted numbers of ``simulator/reference.toml`` were found: random search on the MATH rows alone.

A trial changes one to three of fourteen knobs by a log-normal factor; a better trial is kept. The loss of a row is
``3 * huber(log error of the mean) + 0.2 * sum of huber(log error)`` over five percentiles; the three cost rates of
MasRouter weigh ``3 ** -0.5`` each, so that no system dominates. Two weak terms hold mean answers of MasRouter's calls
near what its token columns say: about 1200 tokens for the reasoning model, about 560 for the others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from inframind.arena.calibration.replay import SizedWorkflow, draw_workflows, replay_workflows, summarise
from inframind.arena.calibration.rows import PublishedRow
from inframind.simulator.profiles import ModelProfile
from inframind.simulator.reference import ReferenceFleet, RoleFacts

Knobs = Mapping[str, float]

RATES_PER_MIN = (10.0, 30.0, 200.0)
AGENT_TOKENS = {True: 1200.0, False: 560.0}
"""Mean tokens of MasRouter's calls to the reasoning model (True) and to the others."""

_FULL_BATCH = 16
_BATCHING_COST = 1.25
_OTHER_STEP_MS = {
    "llama-3.2-3b": 4.0,
    "llama-3.1-8b": 6.0,
    "qwen2.5-coder-14b": 10.0,
    "mistral-small-24b": 13.0,
}


def knobs_of(fleet: ReferenceFleet) -> Knobs:
    """The fourteen fitted numbers of a fleet."""
    reasoning, other = (fleet.lengths.median_tokens[family] for family in ("reasoning", "other"))
    roles = fleet.benchmarks["math"].roles
    return {
        "reasoning_step_ms": _full_step_ms(fleet.profiles["deepseek-r1-32b"]),
        "other_scale": _full_step_ms(fleet.profiles["qwen2.5-coder-14b"]) / 10.0,
        "slowdown": fleet.slowdown_per_busy_neighbour,
        "reasoning_question": reasoning["question"],
        "reasoning_node": reasoning["node"],
        "reasoning_agent": reasoning["agent"],
        "reasoning_aggregate": reasoning["aggregate"],
        "reasoning_decision": reasoning["decision"],
        "other_question": other["question"],
        "other_node": other["node"],
        "other_agent": other["agent"],
        "other_decision": other["decision"],
        "sigma": fleet.lengths.sigma,
        "second_calls": sum(r.weight for r in roles if r.answers_twice) / sum(r.weight for r in roles),
    }


def fleet_of(knobs: Knobs, fleet: ReferenceFleet) -> ReferenceFleet:
    """A fleet with other fitted numbers, as far as MATH goes."""
    steps_ms = {name: knobs["other_scale"] * ms for name, ms in _OTHER_STEP_MS.items()}
    steps_ms["deepseek-r1-32b"] = knobs["reasoning_step_ms"]
    lengths = replace(
        fleet.lengths,
        sigma=knobs["sigma"],
        median_tokens={
            "reasoning": {
                **{kind: knobs[f"reasoning_{kind}"] for kind in ("question", "node", "agent", "aggregate")},
                "review": knobs["reasoning_decision"],
                "decision": knobs["reasoning_decision"],
            },
            "other": {
                **{kind: knobs[f"other_{kind}"] for kind in ("question", "node", "agent")},
                **dict.fromkeys(("review", "decision", "aggregate"), knobs["other_decision"]),
            },
        },
    )
    roles = (
        RoleFacts(name="MathSolver", weight=1 - knobs["second_calls"]),
        RoleFacts(name="ProgrammingExpert", weight=knobs["second_calls"], answers_twice=True),
    )
    return replace(
        fleet,
        profiles={name: _with_step(profile, steps_ms[name]) for name, profile in fleet.profiles.items()},
        slowdown_per_busy_neighbour=knobs["slowdown"],
        lengths=lengths,
        benchmarks={**fleet.benchmarks, "math": replace(fleet.benchmarks["math"], roles=roles)},
    )


def loss(knobs: Knobs, base: ReferenceFleet, rows: Sequence[PublishedRow], seed: int) -> float:
    """How far a fleet is from the published MATH rows at three rates."""
    fleet = fleet_of(knobs, base)
    total, weights = 0.0, 0.0
    tokens: dict[bool, list[float]] = {True: [], False: []}
    for row in rows:
        if row.benchmark != "math" or row.rate_per_min not in RATES_PER_MIN:
            continue
        workflows = draw_workflows(row, fleet, seed)
        weight = 3**-0.5 if row.system == "mas" else 1.0
        total += weight * _row_loss(row, fleet, workflows)
        weights += weight
        if row.system == "mas":
            for is_reasoning, found in tokens.items():
                found.append(_mean_tokens(workflows, fleet, is_reasoning=is_reasoning))
    held = sum(math.log(np.mean(found) / AGENT_TOKENS[which]) ** 2 for which, found in tokens.items())
    return total / weights + 0.3 * held


def search(
    base: ReferenceFleet, rows: Sequence[PublishedRow], *, seed: int, duration_s: float
) -> Iterator[tuple[float, Knobs]]:
    """The start and every improvement on it, until the time is over."""
    rng = np.random.default_rng(seed)
    knobs = knobs_of(base)
    steps = dict.fromkeys(knobs, 0.07)
    best = loss(knobs, base, rows, seed)
    yield best, knobs
    end_s = time.monotonic() + duration_s
    while time.monotonic() < end_s:
        changed = [str(name) for name in rng.choice(list(knobs), size=rng.integers(1, 4), replace=False)]
        trial = {**knobs, **{n: knobs[n] * math.exp(steps[n] * rng.standard_normal()) for n in changed}}
        found = loss(trial, base, rows, seed)
        for name in changed:
            steps[name] = steps[name] * 1.15 if found < best else max(0.01, steps[name] * 0.95)
        if found < best:
            best, knobs = found, trial
            yield best, knobs


def _row_loss(row: PublishedRow, fleet: ReferenceFleet, workflows: Sequence[SizedWorkflow]) -> float:
    predicted = summarise([replay_workflows(row, fleet, workflows)])
    percentiles = (
        _huber(math.log(predicted.percentiles_s[p] / row.percentiles_s[p])) for p in row.percentiles_s
    )
    return 3 * _huber(math.log(predicted.mean_s / row.mean_s)) + 0.2 * sum(percentiles)


def _huber(error: float) -> float:
    return min(error * error, 0.4 * abs(error))


def _mean_tokens(workflows: Sequence[SizedWorkflow], fleet: ReferenceFleet, *, is_reasoning: bool) -> float:
    tokens = [
        n
        for workflow in workflows
        for call, n in zip(workflow.plan.calls, workflow.output_tokens, strict=True)
        if fleet.profiles[call.model].is_reasoning == is_reasoning
    ]
    return float(np.mean(tokens))


def _full_step_ms(profile: ModelProfile) -> float:
    return 1e3 * profile.engine.step_s(0, _FULL_BATCH)


def _with_step(profile: ModelProfile, full_step_ms: float) -> ModelProfile:
    """The same model with a step of so many milliseconds for 16 sequences, 1 / 1.25 of it for one."""
    lone_s = full_step_ms / 1e3 / _BATCHING_COST
    per_sequence_s = (full_step_ms / 1e3 - lone_s) / (_FULL_BATCH - 1)
    engine = replace(profile.engine, step_base_s=lone_s - per_sequence_s, per_decode_token_s=per_sequence_s)
    return replace(profile, engine=engine)
