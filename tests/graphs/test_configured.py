"""Configurations are kept once, beside the traces that name them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import numpy as np
import pytest

from inframind.errors import StoreError
from inframind.fleet.clock import SystemClock
from inframind.fleet.endpoints import EndpointSpec
from inframind.fleet.pool import Fleet
from inframind.graphs.assembly import Parts
from inframind.graphs.configured import Configured
from inframind.graphs.roles import default_roles, merge_roles
from inframind.router.decide import Decider
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.policy import JustEnoughPolicy, UniformPolicy
from inframind.traces.configurations import Configuration
from inframind.traces.memory import MemoryStore
from inframind.traces.outcome_graph import OutcomeGraph
from inframind.traces.store import TraceStore

SPEC = EndpointSpec(name="e0", base_url="http://127.0.0.1:9/v1", model="m0")


@pytest.fixture
def decider() -> Decider:
    actions = Parts(endpoints=[SPEC]).action_space(Fleet([SPEC]).models)
    latency = LearnedLatencyModel(actions.models, actions.strategies)
    return Decider(actions, JustEnoughPolicy(), latency, clock=SystemClock(), rng=np.random.default_rng(0))


async def kept(store: MemoryStore) -> list[str]:
    return [one.configuration.configuration_id for one in await store.graph.configurations()]


async def test_what_was_seen_is_kept_once(decider: Decider) -> None:
    store = MemoryStore()
    configured = Configured(store, SystemClock())
    name = configured.see(decider)
    assert configured.is_news
    await configured.keep()
    assert configured.see(decider) == name == decider.configuration.configuration_id
    assert not configured.is_news
    assert await kept(store) == [name]


def test_a_role_that_is_told_something_else_is_another_role() -> None:
    models, catalogue = Fleet([SPEC]).models, merge_roles(default_roles())
    judge = catalogue["Judge"].model_copy(update={"prompt": "Praise."})
    other = merge_roles(default_roles(), [judge])
    one, two = (
        Parts(endpoints=[SPEC], roles=roles).action_space(models).role_texts for roles in (catalogue, other)
    )
    assert {name for name in one if one[name] != two[name]} == {"Judge"}
    assert catalogue["Judge"].prompt not in one.values()


async def test_another_policy_is_another_configuration(decider: Decider) -> None:
    store = MemoryStore()
    configured = Configured(store, SystemClock())
    names = {configured.see(decider), configured.see(decider.with_policy(UniformPolicy()))}
    await configured.keep()
    assert set(await kept(store)) == names and len(names) == 2


async def test_the_tools_of_a_run_are_part_of_its_configuration(decider: Decider) -> None:
    store = MemoryStore()
    configured = Configured(store, SystemClock())
    name = configured.see(decider, frozenset({"search", "add"}))
    assert name == configured.see(decider, frozenset({"add", "search"})) != configured.see(decider)
    await configured.keep()
    found = await store.graph.configuration(name)
    assert found.configuration.document["tools"] == ["add", "search"]


@pytest.mark.parametrize("error", [StoreError("write", "the disk is full"), asyncio.CancelledError()])
async def test_what_could_not_be_kept_is_news_again(decider: Decider, error: BaseException) -> None:
    class FullAtFirst:
        """A graph whose first write fails."""

        def __init__(self, graph: OutcomeGraph) -> None:
            self._graph, self._has_failed = graph, False

        async def add_configuration(self, configuration: Configuration, *, at_s: float) -> None:
            if not self._has_failed:
                self._has_failed = True
                raise error
            await self._graph.add_configuration(configuration, at_s=at_s)

    store = MemoryStore()
    graph = store.graph
    cast(Any, store).graph = FullAtFirst(graph)
    configured = Configured(store, SystemClock())
    name = configured.see(decider)
    with pytest.raises(type(error)):
        await configured.keep()
    assert configured.is_news
    await configured.keep()
    cast(Any, store).graph = graph
    assert await kept(store) == [name]


async def test_a_store_of_another_make_keeps_none(decider: Decider) -> None:
    configured = Configured(cast(TraceStore, object()), SystemClock())
    assert configured.see(decider)
    await configured.keep()
    assert not configured.is_news
