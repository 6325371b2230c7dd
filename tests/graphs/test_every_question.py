"""The main job on real input: questions of a file through each topology, over HTTP, on the simulated fleet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from inframind.arena.scenario import endpoint_tables, fleet_specs
from inframind.graphs.registry import TopologyRegistry
from inframind.plugin.config import settings_from
from inframind.plugin.mind import InfraMind
from inframind.router.topology import call_name, expected_graph
from inframind.simulator.fleet import SimulatedFleetProcess
from inframind.simulator.items import Item, generate_items, load_items
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.prompt_reading import AnswerKey

SPECS = TopologyRegistry().specs
VALIDATION = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "math" / "validation.jsonl"
BUDGET_S = 600.0


def questions(source: str) -> tuple[Item, ...]:
    if source == "generated":
        return generate_items(24, seed=5)
    if not VALIDATION.exists():
        pytest.skip("needs ../shared/data/math")
    return load_items(VALIDATION)


@pytest.fixture(scope="module", params=["generated", "validation"])
def served(request: pytest.FixtureRequest) -> Any:
    """Questions, and the endpoints of five models that know them."""
    items = questions(request.param)
    specs = fleet_specs()
    with SimulatedFleetProcess(specs, LatentDifficultyModel(AnswerKey(items)), seed=1, speed=200.0) as fleet:
        yield items, endpoint_tables(specs, fleet.base_urls)


@pytest.fixture
async def mind(served: Any) -> AsyncIterator[InfraMind]:
    """A router that chooses team, model and strategy at random, so that everything is tried."""
    policy = {"name": "uniform", "seed": 1, "max_team": 4}
    settings = settings_from({"endpoints": served[1], "policy": policy, "traces": {"url": "memory:"}})
    async with InfraMind(settings) as mind:
        yield mind


@pytest.mark.parametrize("name", SPECS)
async def test_no_episode_fails_and_every_trace_is_what_its_spec_says(
    served: Any, mind: InfraMind, name: str
) -> None:
    items = served[0]
    asked = [{"question": i.question, "question_id": i.item_id, "domain": i.domain} for i in items]
    results: list[Any] = await mind.abatch(asked, topology=name, budget_s=BUDGET_S)
    traces = [await mind.atrace(result.trace_id) for result in results]
    assert [trace.question_id for trace in traces] == [item.item_id for item in items]
    for trace in traces:
        assert (trace.status, trace.error, trace.topology) == ("ok", "", name)
        assert [step.error for step in trace.steps if step.error] == []
        assert {(skip.node, skip.reason) for skip in trace.skips} <= {("judge", "agreement")}
        wanted = expected_graph(SPECS[name], trace)
        assert (len(trace.steps), trace.serial_depth) == (wanted.calls, wanted.depth)
        names = {
            step.step_id: "judge" if step.kind == "judge" else call_name(step.position, step.round)
            for step in trace.steps
        }
        ran = {(names[parent], names[step.step_id]) for step in trace.steps for parent in step.parents}
        assert (set(names.values()), ran) == (set(wanted.nodes), set(wanted.edges))
        assert all(step.completion_tokens and step.served_model for step in trace.steps)
