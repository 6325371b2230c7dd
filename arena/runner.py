"""Sends a workload, open loop: questions arrive when they are due, whatever has become of the earlier ones.

A closed loop, which waits for answers, slows down with the system under test and so never sees it overloaded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from inframind.arena.results.episodes import Answer, Episode
from inframind.errors import DeadlineExceeded, InfraMindError
from inframind.fleet.clock import Clock
from inframind.simulator.items import Item

Solve = Callable[[Item, float], Awaitable[Answer]]
"""A contender: answers a question within a budget in seconds, or raises an `InfraMindError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A question that has arrived.

    Attributes:
        index: 0-based, in the order of arrival.
        item: the question.
        arrived_s: planned arrival, in seconds after the start.
        budget_s: seconds that it has.
    """

    index: int
    item: Item
    arrived_s: float
    budget_s: float


OnEvent = Callable[[Offer | Episode], None]
"""Told of each arrival and of each end, as they happen."""


async def run_workload(
    solve: Solve,
    items: Sequence[Item],
    arrivals_s: Sequence[float],
    budgets_s: Sequence[float],
    clock: Clock,
    on_event: OnEvent,
) -> list[Episode]:
    """Send every question when it is due and wait for all of them.

    Args:
        solve: the contender.
        items: questions, in order of arrival.
        arrivals_s: planned arrival of each, ascending, in seconds after the start.
        budgets_s: latency budget of each, in seconds.
        clock: must agree with the running loop.
        on_event: told of each `Offer` when it is sent and of each `Episode` when it ends.

    Returns:
        One episode per item, in order of arrival: whatever was offered is accounted for. An exception that is
        not an `InfraMindError` is a defect, not an outcome: it ends the workload.
    """
    start_s = clock.now_s()
    tasks: list[asyncio.Task[Episode]] = []
    offers = [
        Offer(index=index, item=item, arrived_s=float(arrived_s), budget_s=float(budget_s))
        for index, (item, arrived_s, budget_s) in enumerate(zip(items, arrivals_s, budgets_s, strict=True))
    ]
    async with asyncio.TaskGroup() as group:
        for offer in offers:
            await asyncio.sleep(max(0.0, start_s + offer.arrived_s - clock.now_s()))
            on_event(offer)
            tasks.append(group.create_task(_run_one(solve, offer, start_s, clock, on_event)))
    return [task.result() for task in tasks]


async def _run_one(solve: Solve, offer: Offer, start_s: float, clock: Clock, on_event: OnEvent) -> Episode:
    sent_s = clock.now_s()
    lag_s = max(0.0, sent_s - start_s - offer.arrived_s)
    try:
        answer = await solve(offer.item, offer.budget_s)
    except InfraMindError as error:
        episode = _unanswered(offer, lag_s, clock.now_s() - sent_s, error)
    else:
        episode = _answered(offer, lag_s, answer)
    on_event(episode)
    return episode


def _answered(offer: Offer, lag_s: float, answer: Answer) -> Episode:
    latency_s = lag_s + answer.latency_s
    return Episode(
        **_offered(offer),
        status="late" if answer.is_late or latency_s > offer.budget_s else "ok",
        latency_s=latency_s,
        lag_s=lag_s,
        solved=answer.solved,
        topology=answer.topology,
        model=answer.model,
        strategy=answer.strategy,
        calls=answer.calls,
        trace_id=answer.trace_id,
    )


def _unanswered(offer: Offer, lag_s: float, elapsed_s: float, error: InfraMindError) -> Episode:
    ran_out = isinstance(error, DeadlineExceeded)
    return Episode(
        **_offered(offer),
        status="late" if ran_out else "failed",
        latency_s=lag_s + elapsed_s,
        lag_s=lag_s,
        error=f"{type(error).__name__}: {error}",
        trace_id=error.trace_id if isinstance(error, DeadlineExceeded) else "",
    )


def _offered(offer: Offer) -> dict[str, Any]:
    return {
        "index": offer.index,
        "item_id": offer.item.item_id,
        "level": offer.item.level,
        "arrived_s": offer.arrived_s,
        "budget_s": offer.budget_s,
    }
