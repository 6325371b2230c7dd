"""How long an answer may be: what the strategy says, and room to think for those that think."""

from __future__ import annotations

from typing import Any

import pytest

from inframind.graphs.agent import MIN_OUTPUT_TOKENS, THINKING_TOKENS
from inframind.plugin.config import settings_from
from inframind.plugin.mind import InfraMind

LIMITS = {"Flash": 50, "Concise": 60, "Plain": 70, "DeepThink": 80}
STRATEGIES = [{"name": name, "max_tokens": n, "expected_output_tokens": 5} for name, n in LIMITS.items()]


async def busy(wire: Any) -> None:
    await wire.fail(503)


async def limits_of(servers: list[Any], **thinker: Any) -> list[list[tuple[str, int]]]:
    """Strategy and ``max_tokens`` of what each server was asked, the second of which serves a reasoning model."""
    endpoints = [
        {"name": f"e{i}", "base_url": server.base_url, "model": f"m{i}", "metrics": False}
        for i, server in enumerate(servers)
    ]
    endpoints[1] |= {"capabilities": ["reasoning"], **thinker}
    settings = settings_from(
        {
            "endpoints": endpoints,
            "policy": {"name": "uniform", "seed": 3},
            "strategies": STRATEGIES,
            "traces": {"url": "memory:"},
        }
    )
    async with InfraMind(settings) as mind:
        await mind.ainvoke("How many?", budget_s=60, topology="Debate", team_size=3)
    return [[(one.step["strategy"], one.body["max_tokens"]) for one in server.asked] for server in servers]


@pytest.mark.parametrize("first_is_busy", [False, True])
async def test_room_to_think_is_for_the_model_that_is_called_and_thinks(
    serve: Any, say: Any, first_is_busy: bool
) -> None:
    talking = say(lambda asked: f"\\boxed{{{asked.step['position']}}}")
    servers = [await serve(busy if first_is_busy else talking), await serve(talking)]
    plain, thinking = await limits_of(servers)
    assert plain and all(limit == LIMITS[strategy] for strategy, limit in plain)
    assert thinking and all(limit == LIMITS[strategy] + THINKING_TOKENS for strategy, limit in thinking)


async def test_a_small_context_shortens_the_answers_of_its_own_model_only(serve: Any, say: Any) -> None:
    talking = say(lambda asked: f"\\boxed{{{asked.step['position']}}}")
    plain, thinking = await limits_of([await serve(busy), await serve(talking)], context_length=1000)
    assert all(limit == LIMITS[strategy] for strategy, limit in plain)
    assert thinking and all(MIN_OUTPUT_TOKENS <= limit < 1000 for _, limit in thinking)
