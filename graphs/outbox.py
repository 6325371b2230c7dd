"""Writes that the storage does not take: answers go out without them, and they are made again until it does.

While all is well a write is made at once, and is durable before its caller goes on. The first one that the storage
refuses, or takes too long for, is kept in memory, and so are all that follow until the last of them is made: nobody
waits for a storage that is known to be away. When there is no more room they are lost, aloud: callers asked for
answers, and the storage has been away for long.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType

from inframind.errors import ConfigError, StoreClosed, StoreUnavailable
from inframind.graphs.portal import Portal

_log = logging.getLogger(__name__)

Make = Callable[[], Awaitable[None]]
_AT_ONCE = 64
"""Kept writes that are made side by side."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_NAMED = 5
"""Writes that are named in the log where many are lost."""


@dataclass(frozen=True, kw_only=True)
class OutboxConfig:
    """How long callers wait for the storage, and how much is kept without it.

    Raises:
        ConfigError: a number out of its range.
    """

    patience_s: float = 2.0
    """Seconds that a write may take before its caller goes on without it."""
    most: int = 10_000
    """Writes kept at once, each of some kilobytes; further ones are lost."""
    last_orders_s: float = 10.0
    """Seconds that closing waits for what is kept."""

    def __post_init__(self) -> None:
        if not 0 < self.patience_s < float("inf"):
            raise ConfigError("traces.patience_s", self.patience_s, "use a positive number of seconds")
        if self.most < 1:
            raise ConfigError("traces.max_waiting", self.most, "give a positive number of writes")


class Outbox:
    """Keeps what a storage does not take now. Safe from several threads and event loops.

    Args:
        config: how long callers wait, and how much is kept.
    """

    def __init__(self, config: OutboxConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._emptied = threading.Condition(self._lock)
        self._kept: dict[Hashable, Make] = {}
        self._is_working = self._is_closed = False
        self._made = self._lost = 0
        self._portal = Portal()

    @property
    def waiting(self) -> int:
        """Number of writes that are kept."""
        return len(self._kept)

    @property
    def lost(self) -> int:
        """Number of writes that were lost so far, for want of room or because they could not be made."""
        return self._lost

    async def write(self, key: Hashable, make: Make, light: Callable[[], Make] | None = None) -> None:
        """Make a write, or keep it where the storage is away.

        Args:
            key: what is written; a later write of the same takes the place of one that is kept.
            make: makes it; making it twice must do no more than once.
            light: gives another that does the same and holds less memory, for being kept.

        Raises:
            InfraMindError: what ``make`` raises for another reason than that the storage is away.
        """
        if self._kept:
            self._keep(key, (light or (lambda: make))())
            return
        try:
            # A write that is cancelled by this may be made all the same, and then once more: the same.
            async with asyncio.timeout(self._config.patience_s):
                await make()
        except (StoreUnavailable, TimeoutError) as error:
            self._keep(key, (light or (lambda: make))(), error)

    def close(self) -> None:
        """Wait some seconds for what is kept to be written; what cannot be is lost, and logged. Blocks."""
        with self._lock:
            self._is_closed = True
            self._emptied.wait_for(lambda: not self._kept, timeout=self._config.last_orders_s)
        self._portal.close()
        if self._kept:
            self._lost += len(self._kept)
            named = ", ".join(str(key) for key in islice(self._kept, _NAMED))
            text = "%d writes are lost, the trace store does not take them and the process ends: %s"
            _log.error(text, len(self._kept), named if len(self._kept) <= _NAMED else f"{named}, ...")

    def _keep(self, key: Hashable, make: Make, error: BaseException | None = None) -> None:
        with self._lock:
            if self._is_closed:
                raise StoreClosed
            has_room = key in self._kept or len(self._kept) < self._config.most
            if has_room:
                self._kept[key] = make
            begins, self._is_working = not self._is_working, True
        if begins:
            self._say_that_it_is_away(error)
            self._portal.spawn(self._work())
        if not has_room:
            self._lose(key)

    def _say_that_it_is_away(self, error: BaseException | None) -> None:
        reason = str(error or "others wait")
        if isinstance(error, TimeoutError):
            reason = f"a write took longer than traces.patience_s, {self._config.patience_s:g} s"
        text = "the trace store does not take writes: answers go out, and up to %d traces wait in memory (%s)"
        _log.warning(text, self._config.most, reason)

    def _lose(self, key: Hashable, error: BaseException | None = None) -> None:
        with self._lock:
            self._lost += 1
        if error is not None:
            _log.error("a write is lost, %s: %s", key, error, exc_info=error)
        elif self._lost & (self._lost - 1) == 0:  # 1, 2, 4, 8, ...: there may be thousands
            _log.error("%d writes are lost so far: no more may wait, see traces.max_waiting", self._lost)

    async def _work(self) -> None:
        """Make what is kept, until nothing is."""
        pause_s = _FIRST_PAUSE_S
        while batch := self._next_batch():
            results = await asyncio.gather(*(make() for make in batch.values()), return_exceptions=True)
            for (key, make), error in zip(batch.items(), results, strict=True):
                if not isinstance(error, StoreUnavailable):
                    self._done(key, make, error)
            if any(isinstance(error, StoreUnavailable) for error in results):
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _next_batch(self) -> Mapping[Hashable, Make]:
        """The next writes to make; none, and the work is over."""
        with self._lock:
            batch = dict(islice(self._kept.items(), _AT_ONCE))
            if not batch:
                made, self._made, self._is_working = self._made, 0, False
                self._emptied.notify_all()
        if not batch:
            _log.warning("the trace store takes writes again: %d that waited are made", made)
        return MappingProxyType(batch)

    def _done(self, key: Hashable, make: Make, error: BaseException | None) -> None:
        """Let go of a write that is made, or never can be, unless another took its place meanwhile."""
        if error is not None:
            self._lose(key, error)
        with self._lock:
            self._made += error is None
            if self._kept.get(key) is make:
                del self._kept[key]
