"""Ask for advice where one server cuts its answers short, take it, and see what it changes.

Three models answer 1,200 questions in virtual time; the server of the largest has a limit on every answer. Nobody
tells the advisor: it reads the traces. Run: python examples/12_advice.py     (needs inframind[advisor,arena])
"""

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path

from inframind import InfraMind, InfraMindError
from inframind.arena.grading import RememberingGrader
from inframind.arena.scenario import endpoint_tables, fleet_specs
from inframind.plugin.commands.write_config import write_endpoints
from inframind.simulator.items import Item, generate_items
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.prompt_reading import AnswerKey
from inframind.simulator.virtual import VirtualClock, run_in_virtual_time
from inframind.simulator.virtual_fleet import VirtualFleet

SMALL, MIDDLE, CUT = "llama-3.1-8b", "qwen2.5-coder-14b", "mistral-small-24b"
LIMITS = {CUT: 100}
SPECS = [
    replace(spec, max_output_tokens=LIMITS.get(spec.model)) for spec in fleet_specs((SMALL, MIDDLE, CUT))
]
URLS = {spec.name: f"http://{spec.name}.virtual.invalid/v1" for spec in SPECS}
ROUTING = """
[policy]
name = "uniform"    # does everything often enough to learn from; yours needs some exploration
topologies = ["IO", "CoT"]
max_team = 1
seed = 7
"""


async def answer(mind: InfraMind, item: Item, grader: RememberingGrader, at_s: float) -> bool:
    """One question at its time, and whether it was solved within its budget; the trace is told."""
    await asyncio.sleep(at_s)
    try:
        result = await mind.ainvoke(item.question, domain=item.domain, budget_s=60)
    except InfraMindError:
        return False
    solved = grader.is_right(result.text, item)
    await mind.afeedback(result.trace_id, solved=solved)
    return solved and result.on_time


async def serve(clock: VirtualClock, config: Path, *, questions: int, seed: int, advises: bool) -> None:
    items, grader = tuple(generate_items(questions, seed=seed)), RememberingGrader()
    fleet = VirtualFleet(SPECS, LatentDifficultyModel(AnswerKey(items)), clock=clock, seed=seed)
    async with InfraMind.from_config(config, clock=clock, wire=fleet) as mind:
        asked = [answer(mind, item, grader, 2.0 * place) for place, item in enumerate(items)]
        solved = await asyncio.gather(*asked)
        print(f"{sum(solved) / len(solved):.1%} of {len(solved)} questions solved in time")
        if advises:
            await take_advice(mind)


async def take_advice(mind: InfraMind) -> None:
    for cluster in (await mind.advice.aanalyse()).clusters:
        print(f"  pattern: {cluster.label}: {cluster.size} runs, {cluster.share:.0%} of all failures")
    made = await mind.advice.arecommend(segment="quality")
    for one in made:
        print(f"  {one.recommendation_id[:8]} {one.kind}: {one.title}")
    best = max(made, key=lambda one: one.prediction("success").change)
    decided = await mind.advice.aaccept(best.recommendation_id, by="example")
    print(decided.edit.diff())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        config = Path(temporary) / "inframind.toml"
        write_endpoints(config, endpoint_tables(SPECS, URLS))
        config.write_text(config.read_text() + ROUTING)
        run_in_virtual_time(lambda clock: serve(clock, config, questions=1200, seed=1, advises=True))
        run_in_virtual_time(lambda clock: serve(clock, config, questions=400, seed=2, advises=False))
