"""What asyncio itself keeps for a while after a run has ended, and how to have it let go."""

from __future__ import annotations

import asyncio
import gc


async def drop_cancelled_timers() -> None:
    """Have the loop let go of its cancelled timers, whose contexts hold runs: it does so once most are cancelled."""
    loop = asyncio.get_running_loop()
    for _ in range(1000):
        loop.call_later(3600, gc.collect).cancel()
    await asyncio.sleep(0)
