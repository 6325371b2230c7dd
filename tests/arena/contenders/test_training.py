"""The training grid is what the simulated fleet would have answered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from langchain_core.messages import HumanMessage

from inframind.arena.contenders.training import record_grid
from inframind.arena.grading import RememberingGrader
from inframind.arena.scenario import endpoint_tables, fleet_specs
from inframind.fleet.endpoints import EndpointSpec, group_by_model
from inframind.graphs.assembly import Parts, assemble
from inframind.graphs.portal import Portal
from inframind.graphs.prompts import PromptBuilder
from inframind.graphs.routed import build_routed_graph
from inframind.graphs.state import RouteContext
from inframind.rewards.graders import MathGrader
from inframind.router.actions import PlannerAction
from inframind.router.policy_fixed import Arm, FixedPolicy
from inframind.simulator.items import generate_items
from inframind.simulator.model import SimReply, SimRequest
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.prompt_reading import AnswerKey
from inframind.simulator.virtual import VirtualClock, run_in_virtual_time
from inframind.simulator.virtual_fleet import VirtualFleet
from inframind.traces.memory import MemoryStore
from inframind.traces.records import Trajectory

ITEMS = generate_items(3, seed=11)
OUTCOMES = LatentDifficultyModel(AnswerKey(ITEMS))
SPECS = fleet_specs(["llama-3.2-3b", "deepseek-r1-32b"])
SEED = 4


def parts() -> Parts:
    urls = {spec.name: f"http://{spec.name}.virtual.invalid/v1" for spec in SPECS}
    return Parts(endpoints=[EndpointSpec.model_validate(table) for table in endpoint_tables(SPECS, urls)])


def record(outcomes: Any = OUTCOMES, items: Any = ITEMS, seed: int = SEED) -> Any:
    actions = parts().action_space(group_by_model(parts().endpoints))
    return record_grid(
        items, actions, outcomes, prompts=PromptBuilder(parts().roles), grader=RememberingGrader(), seed=seed
    )


def asked(item: Any, action: Any) -> Trajectory:
    """The stored run of a fixed single call on the virtual fleet."""
    store, found = MemoryStore(), list[Trajectory]()

    async def main(clock: VirtualClock) -> None:
        fleet = VirtualFleet(SPECS, OUTCOMES, clock=clock, seed=SEED)
        policy = FixedPolicy(Arm(PlannerAction("IO", 1), action))
        services = assemble(parts(), policy, store, clock=clock, rng=np.random.default_rng(0), wire=fleet)
        graph = build_routed_graph(services, parts().registry, Portal()).compile()
        context = RouteContext(budget_s=600.0, domain="math", question_id=item.item_id, trace_id="0" * 32)
        await graph.ainvoke({"messages": [HumanMessage(item.question)]}, context=context)
        found.append(await store.get("0" * 32))
        await services.fleet.aclose()
        fleet.close()

    run_in_virtual_time(main)
    return found[0]


@pytest.mark.parametrize("label", ["llama-3.2-3b/Flash", "llama-3.2-3b/Plain", "deepseek-r1-32b/DeepThink"])
def test_the_fleet_answers_as_recorded(label: str) -> None:
    grid = record()
    actions = parts().action_space(group_by_model(parts().endpoints))
    place = actions.executor_labels.index(label)

    for row, item in enumerate(ITEMS):
        (step,) = asked(item, actions.executor_actions[place]).steps
        assert step.completion_tokens == grid.output_tokens[row, place]
        assert MathGrader().grade(step.text, item.answer).solved == grid.solved[row, place]


def test_the_same_seed_gives_the_same_grid_and_another_another() -> None:
    one, two, other = record(), record(), record(seed=SEED + 1)

    assert (one.solved == two.solved).all() and (one.output_tokens == two.output_tokens).all()
    assert (one.output_tokens != other.output_tokens).any()
    assert one.items == ITEMS and one.solved.shape == (3, 8) and one.solved.dtype == np.bool_


def test_solved_shares_are_those_of_the_latent_model() -> None:
    items = generate_items(150, seed=12)
    outcomes = LatentDifficultyModel(AnswerKey(items))
    actions = parts().action_space(group_by_model(parts().endpoints))

    grid = record(outcomes, items)

    for place, action in enumerate(actions.executor_actions):
        role = actions.roles_for("math")[0]
        truth = [outcomes.solo_probability(item, action.model, action.strategy, role=role) for item in items]
        assert grid.solved[:, place].mean() == pytest.approx(np.mean(truth), abs=0.12)


class Verbose:
    """Thinks for 3000 tokens, then answers after 3000 more."""

    def reply(self, request: SimRequest) -> SimReply:
        return SimReply(text=" so" * 3000 + f" \\boxed{{{ITEMS[0].answer}}}", reasoning=" so" * 3000)


def test_answers_are_cut_at_the_strategys_limit_and_graded_so() -> None:
    grid = record(Verbose(), ITEMS[:1])

    # Flash, Concise, Plain and DeepThink allow 256, 768, 2048 and 4096, and a model that thinks 2048 more.
    assert grid.output_tokens[0, :4].tolist() == [256, 768, 2048, 4096]
    assert grid.output_tokens[0, 4:].tolist() == [2304, 2816, 4096, 6005]
    assert not grid.solved[0, :7].any()


def test_no_questions_make_an_empty_grid() -> None:
    assert record(items=()).solved.shape == (0, 8)
