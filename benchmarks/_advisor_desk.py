"""How long a recommendation takes at the desk, with many traces in the store and a history of advice behind it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _advisor_store import DAY_S, NOW_S, SQLITE, Filling, copy_of, filled
from _common import Bench, percentile
from _store_traces import fresh_schema, postgres_server
from rich.console import Console

from inframind.advisor.ranking.unranked import Unranked
from inframind.advisor.recommending import History, recommend
from inframind.arena.advice.defects import DefectWorld, defect_named
from inframind.arena.advice.offers import Offers
from inframind.arena.advice.people import SEGMENTS, crowd
from inframind.arena.advice.trial import actions_of
from inframind.plugin.advice.assembly import advice_desk
from inframind.plugin.advice.desk import AdviceDesk
from inframind.plugin.config import settings_from
from inframind.traces.advice import AdviceEvent, Recommendation
from inframind.traces.outcome_graph import OutcomeGraph
from inframind.traces.outcome_graphs import graph_of
from inframind.traces.store import TraceStore, open_store

OLD, VERDICTS, EVERY = 300, 200, 5
"""Recommendations of the past, how many of them are decided on already, and after how many one more is."""
BAR_MS = 100.0


class Then:
    """A clock that runs from `NOW_S` on."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    def now_s(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self._began_s

    def wall_s(self) -> float:
        """Seconds since the Unix epoch."""
        return NOW_S + self.now_s()


@dataclass(frozen=True, kw_only=True)
class Timed:
    """What was timed: an analysis, the first recommendation of a fresh desk, all others, those of them since whose
    last one nobody has decided on anything, and those that were shown to the same people before."""

    analysis_s: float
    cold_ms: float
    warm_ms: Sequence[float]
    quiet_ms: Sequence[float]
    again_ms: Sequence[float]
    shown: float


def report_desk(
    bench: Bench, console: Console, seed: int, *, quick: bool, store: Path, postgres: bool, traces: int
) -> None:
    """Fill the store unless it is filled, analyse, and recommend many times."""
    times = 100 if quick else 500
    store.parent.mkdir(parents=True, exist_ok=True)
    _time(bench, console, "sqlite", f"{SQLITE}{store.resolve()}", traces, times, seed)
    if postgres:
        with postgres_server() as (uri, _):
            _time(bench, console, "postgresql", fresh_schema(uri), traces, times, seed)


def _time(bench: Bench, console: Console, name: str, url: str, traces: int, times: int, seed: int) -> None:
    world = defect_named("truncation")
    kept = filled(url, Filling(world=world, traces=traces, seed=seed), console)
    with copy_of(url) as copied:
        timed = asyncio.run(_measure(copied, world, times, seed))
    p50, p99 = percentile(timed.warm_ms, 50), percentile(timed.warm_ms, 99)
    bench.add_figure(f"desk/{name}/traces", kept)
    bench.add_figure(f"desk/{name}/analysis", timed.analysis_s, "s", "of the latest 5,000 runs")
    bench.add_figure(f"desk/{name}/first", timed.cold_ms, "ms", "of a fresh desk")
    bench.add_figure(f"desk/{name}/p50", p50, "ms", f"{times} times, {timed.shown:.1f} shown at a time")
    bench.add_bar(f"desk/{name}/p99", p99, BAR_MS, "ms")
    bench.add_figure(
        f"desk/{name}/p99, no news", percentile(timed.quiet_ms, 99), "ms", "nothing was decided in between"
    )
    bench.add_figure(f"desk/{name}/p99, again", percentile(timed.again_ms, 99), "ms", "shown before")


# A past ----------------------------------------------------------------------------------------------------


async def _add_past(graph: OutcomeGraph, rng: np.random.Generator) -> None:
    """Recommendations of former days, most of them decided on by people."""
    people, offers = [one for one in crowd(rng) if one.attentive], Offers(rng)
    for place in range(OLD):
        at_s, person = NOW_S - DAY_S * (1 + (OLD - place) / 20), people[place % len(people)]
        made = recommend(
            offers.draw(at_s), History(), Unranked(), segment=person.segment, most=1, draws=1, now_s=at_s, rng=rng,
            new_id=lambda: rng.bytes(16).hex(),
        )  # fmt: skip
        await graph.add_recommendations(made)
        if place < VERDICTS:
            await graph.add_event(
                _verdict(made[0], accepts=rng.random() < person.chance(made[0]), at_s=at_s + 60)
            )


def _verdict(made: Recommendation, *, accepts: bool, at_s: float) -> AdviceEvent:
    return AdviceEvent(
        recommendation_id=made.recommendation_id,
        kind="accepted" if accepts else "rejected",
        at_s=at_s,
        by="user",
    )


# Measuring -------------------------------------------------------------------------------------------------


async def _measure(url: str, world: DefectWorld, times: int, seed: int) -> Timed:
    async with _desk(url, world, seed) as (desk, store):
        await _add_past(graph_of(store), np.random.default_rng(seed))
        began_s = time.perf_counter()
        await desk.analyse()
        analysis_s = time.perf_counter() - began_s
    async with _desk(url, world, seed) as (desk, store):
        undecided = await _undecided(graph_of(store))
        began_s = time.perf_counter()
        await desk.recommend(segment=SEGMENTS[0])
        cold_ms = 1e3 * (time.perf_counter() - began_s)
        warm_ms, quiet_ms, again_ms, shown = [], [], [], []
        for number in range(times):
            is_news = number % EVERY == 0 and bool(undecided)
            if is_news:
                await graph_of(store).add_event(
                    _verdict(undecided.pop(), accepts=number % 3 == 0, at_s=NOW_S + number)
                )
            # Who was shown the same before is shown it again: a group of its own has new ones made, and kept.
            asking = f"{SEGMENTS[number % len(SEGMENTS)]}-{number}"
            for times_ms in (warm_ms, again_ms):
                began_s = time.perf_counter()
                made = await desk.recommend(segment=asking)
                times_ms.append(1e3 * (time.perf_counter() - began_s))
            quiet_ms += [] if is_news else warm_ms[-1:]
            shown.append(len(made))
    return Timed(
        analysis_s=analysis_s,
        cold_ms=cold_ms,
        warm_ms=warm_ms,
        quiet_ms=quiet_ms,
        again_ms=again_ms,
        shown=float(np.mean(shown)),
    )


async def _undecided(graph: OutcomeGraph) -> list[Recommendation]:
    """Of the past, without a verdict yet."""
    decided = {
        event.recommendation_id
        for event in await graph.advice_events()
        if event.kind in ("accepted", "rejected")
    }
    old = await graph.recommendations()
    return [one for one in old if one.made_at_s < NOW_S and one.recommendation_id not in decided]


@asynccontextmanager
async def _desk(url: str, world: DefectWorld, seed: int) -> AsyncIterator[tuple[AdviceDesk, TraceStore]]:
    urls = {spec.name: "http://nowhere.invalid/v1" for spec in world.specs()}
    endpoints = [
        {"name": spec.name, "base_url": spec.base_url, "model": spec.model}
        for spec in world.scenario.endpoints(urls)
    ]
    settings = settings_from({"endpoints": endpoints, "policy": {"name": "uniform"}})
    async with open_store(url) as store:
        yield (
            advice_desk(
                settings,
                store,
                clock=Then(),
                rng=np.random.default_rng(seed),
                actions=actions_of(world),
            ),
            store,
        )
