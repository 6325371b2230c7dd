"""The main job: every question through each of the six topologies, over HTTP, on the simulated fleet.

Counts failed episodes and traces whose calls or serial depth differ from their `TopologySpec`; both must be none.
Accuracy and latency are the simulated fleet's, and say nothing about real models.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _common import Bench, arguments, percentile

from inframind import InfraMind, InfraMindError, settings_from
from inframind.arena.results.episodes import Rate
from inframind.arena.scenario import endpoint_tables, fleet_specs
from inframind.graphs.registry import TopologyRegistry
from inframind.rewards.graders import MathGrader
from inframind.router.topology import expected_graph
from inframind.simulator.fleet import SimulatedFleetProcess
from inframind.simulator.items import Item, generate_items, load_items
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.prompt_reading import AnswerKey

SPECS = TopologyRegistry().specs
BUDGET_S = 600.0


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What became of one topology's questions."""

    failed: int
    deviating: int
    calls: int
    solved: Rate
    solved_by_string: int
    latency_s: Sequence[float]
    wall_s: float


async def run_topology(mind: InfraMind, name: str, items: Sequence[Item], speed: float) -> Tally:
    questions = [
        {"question": item.question, "question_id": item.item_id, "domain": item.domain} for item in items
    ]
    began = time.perf_counter()
    results = await mind.abatch(
        questions, topology=name, budget_s=BUDGET_S, max_concurrency=24, return_exceptions=True
    )
    wall_s = time.perf_counter() - began
    traces = [await mind.atrace(r.trace_id) for r in results if not isinstance(r, InfraMindError)]
    grader = MathGrader()
    verdicts = [
        grader.grade(result.text, item.answer)
        for result, item in zip(results, items, strict=True)
        if not isinstance(result, InfraMindError)
    ]
    deviating = 0
    for trace in traces:
        wanted = expected_graph(SPECS[name], trace)
        deviating += (len(trace.steps), trace.serial_depth) != (wanted.calls, wanted.depth)
    return Tally(
        failed=len(results) - len(traces) + sum(trace.status != "ok" for trace in traces),
        deviating=deviating,
        calls=sum(len(trace.steps) for trace in traces),
        solved=Rate(hits=sum(verdict.solved for verdict in verdicts), trials=len(items)),
        solved_by_string=sum(verdict.string_equal for verdict in verdicts),
        latency_s=[trace.latency_s * speed for trace in traces],
        wall_s=wall_s,
    )


async def run_all(
    items: Sequence[Item], base_urls: dict[str, str], seed: int, speed: float
) -> dict[str, Tally]:
    settings = settings_from(
        {
            "endpoints": endpoint_tables(fleet_specs(), base_urls),
            "policy": {"name": "uniform", "seed": seed, "max_team": 4},
            "traces": {"url": "memory:"},
        }
    )
    async with InfraMind(settings) as mind:
        return {name: await run_topology(mind, name, items, speed) for name in SPECS}


def report(bench: Bench, tallies: dict[str, Tally], items: int) -> None:
    for name, tally in tallies.items():
        low, high = tally.solved.interval
        note = f"95 % interval {low:.2f} to {high:.2f}; by string alone {tally.solved_by_string / items:.3f}"
        bench.add_figure(f"{name}_accuracy", tally.solved.value, "share", note)
        bench.add_figure(f"{name}_latency_p50_s", percentile(tally.latency_s, 50), "s", "simulated seconds")
        bench.add_figure(f"{name}_calls_per_question", tally.calls / items)
        bench.add_figure(f"{name}_wall_s", tally.wall_s, "s")
    bench.add_figure("questions", items)
    bench.add_bar("failed_episodes", sum(tally.failed for tally in tallies.values()), 0)
    bench.add_bar("traces_off_spec", sum(tally.deviating for tally in tallies.values()), 0)


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], seed=1)
    parser.add_argument(
        "--items", type=Path, help="JSONL with problem or question, and answer; default: generated"
    )
    parser.add_argument("--questions", type=int, default=131, help="how many (default 131)")
    parser.add_argument("--speed", type=float, default=50.0, help="simulated seconds per second (default 50)")
    options = parser.parse_args()
    loaded = load_items(options.items) if options.items else generate_items(options.questions, options.seed)
    rng = np.random.default_rng(options.seed)
    count = min(len(loaded), 40 if options.quick else options.questions)
    items = [loaded[place] for place in rng.permutation(len(loaded))[:count]]
    bench = Bench(
        title="Every question through every topology", packages=("langgraph", "openai"), seed=options.seed
    )
    model = LatentDifficultyModel(AnswerKey(items))
    with SimulatedFleetProcess(fleet_specs(), model, seed=options.seed, speed=options.speed) as fleet:
        tallies = asyncio.run(run_all(items, dict(fleet.base_urls), options.seed, options.speed))
    report(bench, tallies, len(items))
    bench.print(as_json=options.json)


if __name__ == "__main__":
    main()
