"""How many runs a second the online learner learns from, and how large what it keeps is.

    python benchmarks/online_learner.py --json

Runs of six calls and a judge over five models, read back from their stored form; every run has a label. The clock is
the process's own CPU time, so that neighbours on the machine count less. The policy is the one that comes with the
package.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from _common import Bench, arguments

from inframind.fleet.clock import Deadline, SystemClock
from inframind.fleet.endpoints import EndpointSpec, group_by_model
from inframind.fleet.snapshot import EndpointLoad, FleetSnapshot
from inframind.graphs.registry import TopologyRegistry
from inframind.router.actions import DEFAULT_STRATEGIES, ActionSpace, strategies_by_name
from inframind.router.decide import Decider
from inframind.router.latency import estimate_tokens
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.online.learner import OnlineLearner
from inframind.router.online.protocol import Label, LabelledRun
from inframind.router.policy import UniformPolicy
from inframind.router.policy_shipped import shipped_policy
from inframind.router.views import Query, Slot
from inframind.traces.codec import decode, encode
from inframind.traces.records import Step, Trajectory

SIZES_B = {
    "llama-3.2-3b": 3.2,
    "llama-3.1-8b": 8.0,
    "qwen2.5-coder-14b": 14.8,
    "mistral-small-24b": 23.6,
    "deepseek-r1-32b": 32.8,
}
AGENTS = 5
"""And a judge: six calls a run."""
BUDGET_S = 60.0
LEAST_PER_S = 1000.0
DUE = 64
"""Runs that one lesson has."""


class Writer:
    """Writes runs as the decider makes them, without calling anybody."""

    def __init__(self, seed: int) -> None:
        specs = [
            EndpointSpec(name=f"{name}-0", base_url="http://gpu/v1", model=name, size_b=size)
            for name, size in SIZES_B.items()
        ]
        self.models, self.strategies = group_by_model(specs), strategies_by_name(DEFAULT_STRATEGIES)
        registry = TopologyRegistry()
        self.actions = ActionSpace(
            models=self.models,
            strategies=self.strategies,
            topologies=registry.specs,
            roles={"general": ("Solver", "Critic", "Checker")},
        )
        self._clock, self._rng = SystemClock(), np.random.default_rng(seed)
        latency = LearnedLatencyModel(self.models, self.strategies)
        self._decider = Decider(
            self.actions, UniformPolicy(), latency, clock=self._clock, rng=np.random.default_rng(seed)
        )

    def run(self, number: int) -> Trajectory:
        """One run of `AGENTS` agents and a judge."""
        text = f"How many primes are below {number + 100}?"
        query = Query(text=text, prompt_tokens=estimate_tokens([text]))
        deadline, snapshot = Deadline.after(BUDGET_S, self._clock), self._snapshot()
        plan, first = self._decider.plan(
            query, snapshot, deadline, decision_id=f"{number}-plan", topology="Debate", team_size=AGENTS
        )
        decisions, steps = [first], []
        for place in range(AGENTS + 1):
            slot = Slot(
                topology="Debate",
                kind="judge" if place == AGENTS else "agent",
                position=place % AGENTS,
                team_size=AGENTS,
                role=plan.team[place % AGENTS],
                prompt_tokens=query.prompt_tokens,
            )
            choice, decision = self._decider.step(
                query, slot, snapshot, deadline, decision_id=f"{number}-{place}"
            )
            decisions.append(decision)
            steps.append(_step(place, slot, choice.model, choice.strategy, decision.decision_id))
        return Trajectory(
            trace_id=f"{number:032x}",
            question=text,
            arrived_at_s=float(number),
            budget_s=BUDGET_S,
            topology="Debate",
            team=plan.team,
            rounds=1,
            decisions=tuple(decisions),
            steps=tuple(steps),
            final_step_id=AGENTS,
            latency_s=2.0,
        )

    def _snapshot(self) -> FleetSnapshot:
        loads = {
            f"{model}-0": EndpointLoad(
                endpoint=f"{model}-0",
                model=model,
                age_s=0.1,
                running=float(self._rng.integers(8)),
                waiting=0.0,
                kv_cache_usage=0.2,
            )
            for model in self.models
        }
        return FleetSnapshot(taken_s=self._clock.now_s(), loads=loads)


def _step(place: int, slot: Slot, model: str, strategy: str, decision_id: str) -> Step:
    return Step(
        step_id=place,
        node=slot.kind,
        kind="judge" if slot.kind == "judge" else "agent",
        position=slot.position,
        round=1,
        role=slot.role,
        parents=(),
        decision_id=decision_id,
        model=model,
        strategy=strategy,
        endpoint=f"{model}-0",
        served_model=model,
        started_s=0.0,
        finished_s=1.0,
        text="The answer is 7.",
        answer="7",
    )


def lessons(texts: Sequence[bytes], seed: int) -> list[LabelledRun]:
    """Stored runs, read back, with labels."""
    rng = np.random.default_rng(seed)
    return [LabelledRun(run=decode(text), label=Label(solved=float(rng.random() < 0.7))) for text in texts]


def main() -> None:
    options = arguments("runs a second that the online learner learns from").parse_args()
    bench = Bench(title="Learning while serving", packages=("numpy",), seed=options.seed)
    n = 512 if options.quick else 4096
    writer = Writer(options.seed)
    texts = [encode(writer.run(number)) for number in range(n)]
    learner = OnlineLearner(shipped_policy(), writer.actions)

    started_s = time.process_time()
    runs = lessons(texts, options.seed)
    reading_s = time.process_time() - started_s
    started_s = time.process_time()
    for first in range(0, n, DUE):
        learner.learn(runs[first : first + DUE])
    learning_s = time.process_time() - started_s

    bench.add_figure("decoding_per_s", n / reading_s, "runs/s")
    bench.add_bar("learning_per_s", n / learning_s, LEAST_PER_S, "runs/s", direction="at least")
    unheard = [replace(run, label=None) for run in runs]
    started_s = time.process_time()
    learner.learn(unheard)
    bench.add_figure("unlabelled_per_s", n / (time.process_time() - started_s), "runs/s")
    started_s = time.process_time()
    state = learner.state()
    bench.add_figure("state_kib", len(state) / 1024, "KiB", "the policy that it began with included")
    bench.add_figure("state_ms", (time.process_time() - started_s) * 1e3, "ms")
    started_s = time.process_time()
    learner.behaviour()
    bench.add_figure("behaviour_ms", (time.process_time() - started_s) * 1e3, "ms")
    bench.print(as_json=options.json)


if __name__ == "__main__":
    main()
