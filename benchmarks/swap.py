"""What a hot swap costs requests, and what learning beside them does: runs with and without, on one event loop.

A server in a process of its own answers at once, so that a run's latency is what this package adds. Runs follow each
other closely; versions are published beside them, and loaded and swapped by the background loop of the mind.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

from _common import Bench, arguments, percentile

from inframind.fleet.clock import SystemClock
from inframind.plugin.config import Settings, settings_from
from inframind.plugin.mind import InfraMind
from inframind.router.policy_shelf import content_of, getting_ready, version_of
from inframind.router.policy_shipped import shipped_policy
from inframind.traces.shelf import RolloutEvent, Shelf
from inframind.traces.shelves import shelf_of

LIMIT_MS = 5.0
MODELS = ("qwen-3b", "qwen-7b", "qwen-14b", "qwen-32b", "qwen-72b")
PAUSE_S = 0.05
_END = object()
LANES = 2


@dataclass(frozen=True, slots=True)
class Taken:
    """One run: when it began, and how long it took, in seconds."""

    began_s: float
    took_s: float

    def overlaps(self, window: tuple[float, float]) -> bool:
        return self.began_s < window[1] and self.began_s + self.took_s > window[0]


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    bench = Bench(title="hot swap of a policy", packages=("inframind", "numpy"), seed=options.seed)
    with answering_server() as base_url:
        asyncio.run(measure(bench, base_url, swaps=10 if options.quick else 40))
        asyncio.run(beside_learning(bench, base_url, runs=100 if options.quick else 400))
    bench.print(as_json=options.json)


def settings_of(base_url: str, seed: int | None, **online: object) -> Settings:
    endpoints = [{"name": m, "model": m, "base_url": base_url, "metrics": False} for m in MODELS]
    policy = {"name": "learned", "seed": seed, "exploration": 0.05}
    section = {"enabled": True, "report_s": 1.0, **online}
    return settings_from(
        {"endpoints": endpoints, "online": section, "policy": policy, "traces": {"url": "memory:"}}
    )


async def beside_learning(bench: Bench, base_url: str, *, runs: int) -> None:
    """Graded runs, with nobody who learns from them and with a learner in the same process."""
    medians: dict[str, float] = {}
    for learner in ("off", "in-process"):
        async with InfraMind(settings_of(base_url, bench.seed, learner=learner, poll_s=0.5)) as mind:
            took_ms = [1000 * took_s async for took_s in graded(mind, runs)][runs // 10 :]
        name = f"learner_{learner.replace('-', '_')}"
        for share, label in ((50.0, "p50"), (99.0, "p99"), (100.0, "max")):
            bench.add_figure(f"{name}_{label}_ms", percentile(took_ms, share), "ms")
        medians[learner] = percentile(took_ms, 50)
    bench.add_figure("added_by_learning_p50_ms", medians["in-process"] - medians["off"], "ms")


async def graded(mind: InfraMind, runs: int) -> AsyncIterator[float]:
    """How long each run took, in seconds; it is graded afterwards."""
    for number in range(runs):
        began_s = time.perf_counter()
        result = await mind.ainvoke("How many primes are below 100?", topology="IO", team_size=1)
        yield time.perf_counter() - began_s
        await mind.afeedback(result.trace_id, solved=number % 3 > 0)


async def measure(bench: Bench, base_url: str, *, swaps: int) -> None:
    async with InfraMind(settings_of(base_url, bench.seed)) as mind:
        taken: list[Taken] = []
        lanes = [asyncio.create_task(lane(mind, taken)) for _ in range(LANES)]
        shelf = shelf_of(mind.store)
        await asyncio.sleep(0.5)  # what is slow the first time is slow before anything is measured
        taken.clear()
        first = await window(asyncio.sleep(swaps * PAUSE_S))
        quiet, busy = [], []
        for number in range(swaps):
            content = content_of(replace(shipped_policy(), facts={"number": number}))
            await asyncio.sleep(PAUSE_S)
            busy.append(await window(swapped(mind, shelf, content)))
            await asyncio.sleep(PAUSE_S)
            quiet.append(await window(asyncio.sleep(busy[-1][1] - busy[-1][0])))
        last = await window(asyncio.sleep(swaps * PAUSE_S))
        add_pieces(bench, mind, content)
        for task in lanes:
            task.cancel()
        await asyncio.gather(*lanes, return_exceptions=True)
    report(bench, taken, {"before": first, "after": last}, quiet, busy)


async def lane(mind: InfraMind, taken: list[Taken]) -> None:
    """One run after the other."""
    while True:
        began_s = time.perf_counter()
        await mind.ainvoke("How many primes are below 100?", topology="IO", team_size=1)
        taken.append(Taken(began_s, time.perf_counter() - began_s))


async def window(work: object) -> tuple[float, float]:
    """Begin and end of some work."""
    began_s = time.perf_counter()
    await work  # type: ignore[misc]
    return began_s, time.perf_counter()


async def swapped(mind: InfraMind, shelf: Shelf, content: bytes) -> None:
    """Publish a version, and wait until it serves."""
    version = version_of(content, created_at_s=time.time(), created_by="benchmark", facts={})
    await shelf.add_policy(version, content)
    event = RolloutEvent(
        at_s=time.time(), version=version.version, stage="full", share=1.0, by="user:bench", reason="a swap"
    )
    await shelf.append(event, after=(await shelf.rollout()).number)
    while mind.online is None or mind.online.lineup.serving.version != version.version:  # noqa: ASYNC110  # in another thread
        await asyncio.sleep(0.002)


def report(
    bench: Bench,
    taken: Sequence[Taken],
    spans: Mapping[str, tuple[float, float]],
    quiet: Sequence[tuple[float, float]],
    busy: Sequence[tuple[float, float]],
) -> None:
    """Figures, and the bar: how much longer a run is that meets a swap than one in a window as long without."""
    named = {name: [run for run in taken if run.overlaps(span)] for name, span in spans.items()}
    named["during"] = [run for run in taken if any(run.overlaps(one) for one in busy)]
    named["between"] = [run for run in taken if any(run.overlaps(one) for one in quiet)]
    for name in ("before", "during", "between", "after"):
        took_ms = [1000 * run.took_s for run in named[name]]
        bench.add_figure(f"{name}_runs", len(took_ms))
        for share, label in ((50.0, "p50"), (99.0, "p99"), (100.0, "max")):
            bench.add_figure(f"{name}_{label}_ms", percentile(took_ms, share), "ms")
    bench.add_figure("swaps", len(busy))
    bench.add_figure(
        "load_and_swap_p50_ms", percentile([1000 * (end - begin) for begin, end in busy], 50), "ms"
    )
    medians = {
        name: percentile([1000 * run.took_s for run in named[name]], 50) for name in ("during", "between")
    }
    bench.add_bar("added_to_a_run_p50_ms", medians["during"] - medians["between"], LIMIT_MS, "ms")


def add_pieces(bench: Bench, mind: InfraMind, content: bytes) -> None:
    """Processor time of each piece of a load: what a request that falls together with it can lose to it."""
    version = version_of(content, created_at_s=time.time(), created_by="benchmark", facts={})
    beside = mind.calls.services.versions.configured.decider
    longest_ms, sums_ms = [], []
    for _ in range(20):
        pieces = getting_ready(version, content, beside, mind.fleet.snapshot(), SystemClock())
        took_ms = list(piece_times_ms(pieces))
        longest_ms.append(max(took_ms))
        sums_ms.append(sum(took_ms))
    bench.add_figure("load_cpu_p50_ms", percentile(sums_ms, 50), "ms")
    bench.add_bar("longest_piece_cpu_ms", percentile(longest_ms, 50), LIMIT_MS, "ms")


def piece_times_ms(pieces: Iterator[None]) -> Iterator[float]:
    """Processor time of each piece, the last one included."""
    goes_on = True
    while goes_on:
        began_s = time.thread_time()
        goes_on = next(pieces, _END) is not _END
        yield 1000 * (time.thread_time() - began_s)


# A server that answers at once --------------------------------------------------------------------------------


@contextmanager
def answering_server() -> Iterator[str]:
    """Base URL of a chat server in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/v1"
    finally:
        process.terminate()
        process.join()


def serve(parent: Connection) -> None:
    """Answer every chat request with the same words."""

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        parent.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            break
        length = next(
            int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        )
        asked = json.loads(await reader.readexactly(length))
        choice = {"index": 0, "message": {"role": "assistant", "content": "25"}, "finish_reason": "stop"}
        page = {"id": "r", "model": asked["model"], "choices": [choice], "usage": usage}
        if asked.get("stream"):
            delta = {"index": 0, "delta": {"content": "25"}, "finish_reason": "stop"}
            parts = ({**page, "choices": [delta], "usage": None}, {**page, "choices": []})
            body = (
                b"".join(b"data: " + json.dumps(part).encode() + b"\n\n" for part in parts)
                + b"data: [DONE]\n\n"
            )
            kind = b"text/event-stream"
        else:
            body, kind = json.dumps(page).encode(), b"application/json"
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n%s" % (kind, len(body), body)
        )
        await writer.drain()
    writer.close()


if __name__ == "__main__":
    main()
