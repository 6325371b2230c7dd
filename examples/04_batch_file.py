"""Answer a file of questions side by side, and export the traces as JSON lines.

Run: python examples/04_batch_file.py [QUESTIONS.jsonl]     (one {"question": ..., "answer": ...} per line)
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from inframind import InfraMind, InfraMindError, settings_from
from inframind.arena.playground import simulated_endpoints
from inframind.simulator.items import Item, generate_items, load_items
from inframind.traces.export import export_jsonl


def example_file(folder: Path) -> Path:
    path = folder / "questions.jsonl"
    lines = (json.dumps({"question": i.question, "answer": i.answer}) for i in generate_items(12, seed=1))
    path.write_text("\n".join(lines))
    return path


async def answer_all(mind: InfraMind, items: tuple[Item, ...], traces: Path) -> None:
    questions = [{"question": item.question, "question_id": item.item_id} for item in items]
    results = await mind.abatch(questions, budget_s=30, max_concurrency=8, return_exceptions=True)
    for item, result in zip(items, results, strict=True):
        said = result if isinstance(result, InfraMindError) else f"{result.answer} ({result.latency_s:.2f} s)"
        print(f"{item.question[:70]:<70} -> {said}")
    print(f"{await export_jsonl(mind.store, traces)} traces in {traces.name}")


async def main(folder: Path) -> None:
    items = load_items(Path(sys.argv[1]) if len(sys.argv) > 1 else example_file(folder))
    with simulated_endpoints(items) as endpoints:
        settings = settings_from({"endpoints": endpoints, "traces": {"url": "memory:"}})
        async with InfraMind(settings) as mind:
            await answer_all(mind, items, folder / "traces.jsonl")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(main(Path(temporary)))
