"""Processes of one seed, and processes that go elsewhere: what they draw, and which file they write."""

from __future__ import annotations

from pathlib import Path

import pytest

from inframind.plugin.mind import InfraMind
from inframind.router.rules import RoutingRule
from inframind.traces.store import open_store

from .conftest import NO_DEBATE, NO_LARGE, PLAIN, HandClock, Office, option

ALONE = RoutingRule(name="one agent", most_agents=1)
SEEDED = PLAIN + '\n[policy]\nname = "uniform"\nseed = 3\n'


async def drawn(tmp_path: Path, *, processes: int, name: str = "traces") -> list[tuple[str, ...]]:
    """Orders in which processes that start one after the other recommend the same three."""
    file = tmp_path / "inframind.toml"
    file.write_text(SEEDED)
    orders = []
    async with open_store(f"sqlite:///{tmp_path}/{name}.db") as store:
        clock = HandClock()
        await Office(file=file, store=store, clock=clock).keep(
            option(1, NO_LARGE), option(2, NO_DEBATE, kind="balanced"), option(3, ALONE, kind="cheapest")
        )
        for number in range(processes):
            async with InfraMind.from_config(file, store=store, clock=clock) as mind:
                made = await mind.advice.arecommend(segment=f"segment {number}")
            orders.append(tuple(one.kind for one in made))
    return orders


async def test_the_same_seed_and_history_give_the_same_order_and_another_history_another(
    tmp_path: Path,
) -> None:
    orders = await drawn(tmp_path, processes=8)
    assert await drawn(tmp_path, processes=8, name="again") == orders
    assert len(set(orders)) > 1


async def test_a_process_that_goes_elsewhere_edits_its_own_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder in (mine, other):
        folder.mkdir()
        (folder / "inframind.toml").write_text(SEEDED)
    async with open_store("memory:") as store:
        monkeypatch.chdir(mine)
        async with InfraMind.from_config("inframind.toml", store=store) as mind:
            monkeypatch.chdir(other)
            advice = await Office(file=mine / "inframind.toml", store=store).offered()
            decided = await mind.advice.aaccept(advice)
    assert decided.edit is not None and decided.edit.path == mine / "inframind.toml"
    assert advice in (mine / "inframind.toml").read_text()
    assert (other / "inframind.toml").read_text() == SEEDED
