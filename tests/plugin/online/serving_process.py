"""A process that serves, for tests: answers, and says what serves, as lines on standard input ask it to."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from inframind.errors import StoreError
from inframind.plugin.mind import InfraMind


async def ask(mind: InfraMind, questions: int) -> dict[str, Any]:
    """Answer questions side by side, and grade them; which versions decided, and what was refused."""

    async def one(number: int) -> str:
        result = await mind.ainvoke(f"question {number}", topology="IO", team_size=1)
        await mind.afeedback(result.trace_id, solved=result.answer == "right")
        return result.trace_id

    done = await asyncio.gather(*map(one, range(questions)), return_exceptions=True)
    traces = [await mind.atrace(one) for one in done if isinstance(one, str)]
    refused = [str(one) for one in done if isinstance(one, StoreError)]
    other = [repr(one) for one in done if isinstance(one, BaseException) and not isinstance(one, StoreError)]
    versions = sorted({decision.policy_version for trace in traces for decision in trace.decisions})
    return {"answered": len(traces), "versions": versions, "refused": refused, "other": other}


async def main(config: str) -> None:
    loop = asyncio.get_running_loop()
    async with InfraMind.from_config(config) as mind:
        print(json.dumps({"ready": True}), flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            said = await ask(mind, int(line)) if line.strip() != "0" else {}
            online = mind.online
            if online is not None:
                said["serving"] = online.lineup.serving.version
                said["others"] = {one.name: one.serving for one in online.replicas}
            print(json.dumps(said), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
