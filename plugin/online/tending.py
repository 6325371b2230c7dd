"""Jobs beside the requests: what ends one of them unexpectedly is said, and after a while it begins anew."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from inframind.errors import ConfigError, StoreClosed
from inframind.fleet.clock import Clock

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TendConfig:
    """How patiently a job is started again.

    Raises:
        ConfigError: a wait that is not positive, or a longest one below the first.
    """

    first_wait_s: float = 1.0
    """Wait in seconds after a first failure; doubles with each."""
    max_wait_s: float = 60.0
    """Longest wait; a job that ran for so long before it failed begins with the first wait again."""

    def __post_init__(self) -> None:
        if not 0 < self.first_wait_s <= self.max_wait_s < float("inf"):
            raise ConfigError("first_wait_s", self.first_wait_s, f"use a number in (0, {self.max_wait_s:g}]")


DEFAULT_TENDING = TendConfig()
_DOUBLINGS = 30
"""Enough for any wait; two to the power of a thousand is no float."""


async def tend(name: str, job: Callable[[], Awaitable[None]], *, clock: Clock, config: TendConfig) -> None:
    """Run a job until it returns, is cancelled, or the store is closed; whatever else ends it is waited out.

    Args:
        name: what it does, for the log.
        job: starts it.
        clock: time.
        config: how patiently.
    """
    failures = 0
    while True:
        began_s = clock.now_s()
        [ended] = await asyncio.gather(job(), return_exceptions=True)
        if ended is None or isinstance(ended, (StoreClosed, asyncio.CancelledError)):
            return
        failures = 0 if clock.now_s() - began_s >= config.max_wait_s else failures
        wait_s = min(config.first_wait_s * 2.0 ** min(failures, _DOUBLINGS), config.max_wait_s)
        failures += 1
        _log.error(
            "%s has failed and begins anew in %g s; serving goes on as it is: %s",
            name,
            wait_s,
            ended,
            exc_info=ended,
        )
        await asyncio.sleep(wait_s)
