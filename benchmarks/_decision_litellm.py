"""LiteLLM's own latency-based pick, in its own environment: prints one JSON object. Run by `decision.py`."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time

import litellm  # type: ignore[import-not-found]

DEPLOYMENTS = 5
MESSAGES = [{"role": "user", "content": "How many primes are there below one hundred?"}]


async def main(calls: int) -> None:
    litellm.suppress_debug_info = True
    target = {"model": "openai/m", "api_base": "http://127.0.0.1:1/v1", "api_key": "none"}
    router = litellm.Router(
        model_list=[{"model_name": "m", "litellm_params": target} for _ in range(DEPLOYMENTS)],
        routing_strategy="latency-based-routing",
    )
    taken_us = []
    for call in range(calls + calls // 5):
        began_ns = time.perf_counter_ns()
        await router.async_get_available_deployment(model="m", request_kwargs={}, messages=MESSAGES)
        if call >= calls // 5:
            taken_us.append((time.perf_counter_ns() - began_ns) / 1e3)
    print(json.dumps({"p50_us": statistics.median(taken_us)}))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
