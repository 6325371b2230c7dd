"""What watching has shown, per node."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
from rich.console import Console

from inframind.fleet.endpoints import EndpointSpec, group_by_model
from inframind.plugin.graphs.observed import Observed, ObservedNode, observed
from inframind.traces.records import Decision, Step, Trajectory

MODELS = group_by_model(
    EndpointSpec(
        name=name,
        base_url="http://localhost:1/v1",
        model=name,
        price_input_usd_per_mtok=price / 10,
        price_output_usd_per_mtok=price,
    )
    for name, price in (("small", 1.0), ("large", 10.0))
)


def shadow(step_id: int, model: str) -> dict[str, Any]:
    labels = ("small/Plain", "large/Plain")
    chosen = labels.index(f"{model}/Plain")
    decision = Decision(
        decision_id=f"t-shadow-{step_id}",
        kind="step",
        made_s=0.0,
        policy="shadow:just_enough",
        policy_version="1",
        features_version="1",
        actions=labels,
        probabilities=(1.0 - chosen, float(chosen)),
        masked=("", ""),
        latency_q50_s=(0.5, 2.0),
        latency_q90_s=(1.0, 4.0),
        chosen=chosen,
        probability=1.0,
        choice={"model": model, "strategy": "Plain"},
    )
    return {"step_id": step_id, **{name: getattr(decision, name) for name in Decision.__dataclass_fields__}}


def step(step_id: int, node: str, model: str, *, took_s: float = 1.0, error: str = "") -> Step:
    return Step(
        step_id=step_id,
        node=node,
        kind="agent",
        position=0,
        round=1,
        role="",
        parents=(),
        decision_id="",
        model=model,
        strategy="Plain",
        started_s=0.0,
        finished_s=took_s,
        prompt_tokens=1000,
        completion_tokens=None if error else 100,
        error=error,
    )


def trace(*calls: tuple[Step, str]) -> Trajectory:
    return Trajectory(
        trace_id="0" * 32,
        question="q",
        arrived_at_s=0.0,
        budget_s=60.0,
        steps=tuple(one for one, _ in calls),
        metadata={"mode": "observe", "shadow": [shadow(one.step_id, ours) for one, ours in calls]},
    )


async def summed(*traces: Trajectory) -> Observed:
    async def all_of_them() -> AsyncIterator[Trajectory]:
        for one in traces:
            yield one

    return await observed(all_of_them(), MODELS)


async def test_a_node_says_how_often_and_what_we_would_have_chosen_instead() -> None:
    result = await summed(
        trace((step(0, "plan", "large", took_s=4.0), "small"), (step(1, "draft", "large"), "large")),
        trace((step(0, "plan", "large", took_s=1.0), "small"), (step(1, "plan", "small"), "small")),
    )
    plan, draft = result.nodes
    assert (result.runs, result.unknown_models, plan.node, draft.node) == (2, (), "plan", "draft")
    assert (plan.calls, plan.failed, plan.other_share) == (3, 0, pytest.approx(2 / 3))
    assert plan.instead == (("large", "small", 2),)
    assert (plan.latency_s, plan.predicted_change_s) == (pytest.approx(2.0), pytest.approx(-1.25))
    assert (draft.other_share, draft.instead, draft.predicted_change_s) == (0.0, (), 0.0)


async def test_the_change_is_a_part_of_what_was_measured() -> None:
    slow = step(0, "n", "large", took_s=40.0)
    (node,) = (await summed(trace((slow, "small"), (step(1, "n", "large", error="E"), "small")))).nodes
    assert (node.latency_s, node.predicted_change_s) == (40.0, pytest.approx(40.0 * (0.5 / 2.0 - 1)))


async def test_a_line_sums_it_up() -> None:
    result = await summed(
        trace((step(0, "plan", "large", took_s=8.0), "small"), (step(1, "draft", "small"), "large")),
        trace((step(0, "plan", "large"), "small"), (step(1, "draft", "large"), "large")),
    )
    assert result.summary() == (
        "2 runs, 4 calls: 75 % would have gone to another model, "
        "predicted 0.938 s less per call than the 2.75 s it took, cost -29%"
    )
    assert (await summed()).summary() == "No call of a model was heard"
    unknown = await summed(trace((step(0, "n", "gpt-x"), "small")))
    assert unknown.summary() == "1 run, 1 call: 100 % would have gone to another model"


async def test_cost_is_that_of_the_same_tokens() -> None:
    (node,) = (await summed(trace((step(0, "n", "large"), "small")))).nodes
    assert node.cost_usd == pytest.approx((1000 * 1 + 100 * 10) / 1e6)
    assert node.predicted_change_usd == pytest.approx((1000 * 0.1 + 100 * 1 - 2000) / 1e6)


async def test_what_cannot_be_told_is_none() -> None:
    result = await summed(
        trace((step(0, "n", "gpt-x"), "small"), (step(1, "n", "gpt-x", error="E"), "small"))
    )
    (node,) = result.nodes
    assert result.unknown_models == ("gpt-x",)
    assert (node.calls, node.failed, node.latency_s, node.other_share) == (2, 1, 1.0, 1.0)
    assert (node.predicted_change_s, node.cost_usd, node.predicted_change_usd) == (None, None, None)


async def test_traces_that_were_not_watched_are_passed_over() -> None:
    routed = Trajectory(
        trace_id="1" * 32, question="q", arrived_at_s=0.0, budget_s=9.0, steps=(step(0, "n", "small"),)
    )
    assert await summed(routed) == Observed(runs=0, nodes=(), unknown_models=())


def test_the_table_shows_a_line_per_node() -> None:
    node = ObservedNode(
        node="plan",
        calls=3,
        failed=1,
        other_share=2 / 3,
        instead=(("large", "small", 2),),
        latency_s=1.5,
        predicted_change_s=-1.25,
        cost_usd=2.0,
        predicted_change_usd=-1.5,
    )
    page = io.StringIO()
    Console(file=page, width=140).print(Observed(runs=1, nodes=(node,), unknown_models=()).table())
    line = page.getvalue().splitlines()[-1].split()
    assert line == ["plan", "3", "1", "67%", "large", "->", "small", "1.50", "s", "-1.25", "s", "-75%"]
