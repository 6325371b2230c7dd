"""Virtual time: an event loop whose clock jumps to the next thing that is due instead of waiting for it.

Everything that asks the loop or the `Clock` for time runs unchanged: timeouts, sleeps, engines, deadlines. Hours of
a fleet's life pass in seconds, and in the same order on every run.

Work that leaves the loop by its ``run_in_executor`` (`asyncio.to_thread` included) takes no virtual time: until it is
back, the clock stands still. Nothing else may leave the loop: the clock does not know of sockets, subprocesses and
threads of one's own, and moves on without waiting for them.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

from inframind.errors import ConfigError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

EPOCH_S = 1_700_000_000.0
"""Wall-clock reading at virtual time 0 unless given: a fixed day, so that records compare between runs."""
LOOKS_PER_POLL = 64
"""How seldom the system is asked for news while nothing is outside the loop."""
STANDSTILL_S = 30.0
"""Real seconds after which a loop with nothing to do gives up."""


class VirtualClock:
    """A `Clock` that stands still until its loop moves it.

    Args:
        epoch_s: seconds since the Unix epoch at virtual time 0.
    """

    def __init__(self, epoch_s: float = EPOCH_S) -> None:
        self._epoch_s = epoch_s
        self._now_s = 0.0

    def now_s(self) -> float:
        """Virtual seconds since the clock was made."""
        return self._now_s

    def wall_s(self) -> float:
        """Virtual seconds since the Unix epoch."""
        return self._epoch_s + self._now_s

    def advance(self, seconds: float) -> None:
        """Move on.

        Raises:
            ConfigError: backwards.
        """
        if not seconds >= 0:
            raise ConfigError("seconds", seconds, "time only moves forward")
        self._now_s += seconds


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on a `VirtualClock`.

    Attributes:
        clock: moved by this loop, and by nothing else.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self._out = 0
        super().__init__(_JumpingSelector(clock, lambda: self._out > 0))
        self.clock = clock

    def time(self) -> float:
        """The clock's time."""
        return self.clock.now_s()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """As usual; the clock stands still until the thread is done."""
        future: asyncio.Future[T] = super().run_in_executor(executor, func, *args)
        self._out += 1
        future.add_done_callback(self._back)
        return future

    def _back(self, _: object) -> None:
        self._out -= 1


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for a timer, moves time to it."""

    def __init__(self, clock: VirtualClock, is_work_out: Callable[[], bool]) -> None:
        super().__init__()
        self._clock, self._is_work_out = clock, is_work_out
        self._looks = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or (timeout > 0 and self._is_work_out()):
            return self._wait()
        if timeout > 0:
            self._clock.advance(timeout)
        self._looks += 1
        # Asking the system costs as much as the loop itself, and only a thread's end could have an answer.
        if self._is_work_out() or self._looks % LOOKS_PER_POLL == 0:
            return super().select(0)
        return []

    def _wait(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait in real time for what is outside the loop.

        Raises:
            RuntimeError: nothing is due, and nothing comes.
        """
        ready = super().select(STANDSTILL_S)
        if not ready and not self._is_work_out():
            raise RuntimeError(
                f"virtual time stands still: no timer is set, and for {STANDSTILL_S:g} s nothing came from outside"
            )
        return ready


def run_in_virtual_time(
    main: Callable[[VirtualClock], Coroutine[Any, Any, T]], *, epoch_s: float = EPOCH_S
) -> T:
    """Run ``main(clock)`` to its end on a loop of its own, as `asyncio.run` would, but without waiting.

    Raises:
        RuntimeError: called from a running loop, or nothing is left that could ever happen.
    """
    clock = VirtualClock(epoch_s)
    results: list[T] = []

    async def keep_result() -> None:
        results.append(await main(clock))

    # The runner's task must not hold the result: restoring the signal handler makes Python write out the task.
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        runner.run(keep_result())
    return results[0]
