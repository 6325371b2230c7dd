"""Runs one engine in real time, or in whatever time the event loop and the clock agree on.

The driver sleeps until the engine's next event and hands tokens to the streams that wait for them. It uses
the `Clock` and ``loop.call_at`` alone, so the same driver runs in virtual time under a loop whose clock jumps.

With ``speed`` 10, ten simulated seconds pass in each second of the clock. Every duration that the engine
reports is simulated.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from inframind.errors import ConfigError, RunError
from inframind.fleet.clock import Clock
from inframind.simulator.engine import Engine
from inframind.simulator.engine_records import EngineEvent, EngineRequest, Finished, FirstToken, RequestRecord


class EngineGone(RunError):
    """A request was aborted, or its driver was closed, while somebody waited for its tokens."""

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        super().__init__(f"the engine let go of request {request_id!r} before it was finished")


class TokenStream:
    """One request in flight; iterate over it for the number of tokens generated so far.

    Attributes:
        request: what was submitted.
        record: what became of it, once it is finished.
        generated: tokens so far, as of the last flush.
        is_live: whether progress between the first and the last token is wanted.
        is_gone: whether the engine let go of it before it was finished.
    """

    def __init__(
        self, driver: EngineDriver, request: EngineRequest, *, is_live: bool, news: asyncio.Event
    ) -> None:
        self.request = request
        self.record: RequestRecord | None = None
        self.generated = 0
        self.is_live = is_live
        self.is_gone = False
        self._driver = driver
        self._delivered = 0
        self._news = news

    def __aiter__(self) -> AsyncIterator[int]:
        return self

    async def __anext__(self) -> int:
        """Wait for further tokens; returns how many there are in all.

        Raises:
            EngineGone: the driver was closed, or the stream was.
        """
        while self.generated == self._delivered:
            if self.record is not None:
                raise StopAsyncIteration
            if self.is_gone:
                raise EngineGone(self.request.request_id)
            self._news.clear()
            await self._news.wait()
        self._delivered = self.generated
        return self._delivered

    async def finished(self) -> RequestRecord:
        """Wait for the last token.

        Raises:
            EngineGone: as above.
        """
        async for _ in self:
            pass
        if self.record is None:
            raise EngineGone(self.request.request_id)
        return self.record

    def close(self) -> None:
        """Abort the request unless it is finished; the engine forgets it."""
        if self.record is None and not self.is_gone:
            self._driver.abort(self.request.request_id)
            self.lose()

    # For the driver.

    def reach(self, generated: int, record: RequestRecord | None = None) -> None:
        """Note progress and wake whoever waits for it."""
        self.generated = generated
        self.record = record
        self._news.set()

    def lose(self) -> None:
        """The engine will never answer: wake whoever waits."""
        self.is_gone = True
        self._news.set()


class EngineDriver:
    """Passes time on to one engine and its tokens to the streams.

    Args:
        engine: fresh engine; its time axis begins when the driver is made.
        clock: must agree with the running loop's ``time()``.
        speed: simulated seconds per second of the clock.
        flush_interval_s: live streams hear of new tokens at most this often (clock seconds), besides the
            first token and the last. None for these two alone.
    """

    def __init__(
        self, engine: Engine, clock: Clock, *, speed: float = 1.0, flush_interval_s: float | None = 0.02
    ) -> None:
        if not speed > 0:
            raise ConfigError("speed", speed, "give a positive number of simulated seconds per second")
        self.engine = engine
        self.speed = speed
        self._clock = clock
        self._flush_interval_s = flush_interval_s
        self._origin_s = clock.now_s()
        self._flushed_s = 0.0
        self._streams: dict[str, TokenStream] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._armed_s: float | None = None

    @property
    def now_s(self) -> float:
        """Simulated seconds since the driver was made."""
        return (self._clock.now_s() - self._origin_s) * self.speed

    @property
    def in_flight(self) -> int:
        """Requests accepted and not finished."""
        return len(self._streams)

    def submit(
        self, request: EngineRequest, *, is_live: bool = True, news: asyncio.Event | None = None
    ) -> TokenStream | None:
        """Put a request to the engine.

        Args:
            request: as the engine takes it.
            is_live: whether progress between the first and the last token is wanted.
            news: set on progress; share one to wait for several streams at once.

        Returns:
            The stream of its tokens, or None when the queue is full.
        """
        if not self.engine.submit(request, self.now_s):
            return None
        stream = TokenStream(self, request, is_live=is_live, news=news or asyncio.Event())
        self._streams[request.request_id] = stream
        self._pass_time(self.now_s)
        return stream

    def abort(self, request_id: str) -> None:
        """Make the engine forget a request; unknown ids are ignored."""
        if self._streams.pop(request_id, None) is not None:
            self.engine.abort(request_id, self.now_s)
            self._pass_time(self.now_s)

    def sync(self) -> None:
        """Bring the engine up to the present, so that its gauges and counters can be read."""
        self._pass_time(self.now_s)

    def close(self) -> None:
        """Stop for good: every request in flight is lost."""
        if self._timer is not None:
            self._timer.cancel()
        for request_id, stream in self._streams.items():
            self.engine.abort(request_id, self.now_s)
            stream.lose()
        self._streams.clear()

    def _pass_time(self, now_s: float) -> None:
        for event in self.engine.advance_to(now_s):
            self._deliver(event)
        if self._flush_interval_s is not None and now_s >= self._next_flush_s():
            self._flush(now_s)
        self._arm()

    def _deliver(self, event: EngineEvent) -> None:
        """Tell a stream of its first token and its last."""
        if event.request_id not in self._streams:
            return
        if isinstance(event, FirstToken):
            self._streams[event.request_id].reach(1)
        elif isinstance(event, Finished):
            self._streams.pop(event.request_id).reach(event.record.output_tokens, event.record)

    def _flush(self, now_s: float) -> None:
        self._flushed_s = now_s
        for request_id, stream in self._streams.items():
            generated = self.engine.generated(request_id) if stream.is_live else 0
            if generated:
                stream.reach(generated)

    def _next_flush_s(self) -> float:
        """Earliest simulated instant of the next flush."""
        return self._flushed_s + (self._flush_interval_s or 0.0) * self.speed

    def _arm(self) -> None:
        """Set the timer for the next event, or for the next flush that will have something to tell."""
        target_s = self._target_s()
        if self._timer is not None:
            if target_s == self._armed_s:
                return
            self._timer.cancel()
        self._timer, self._armed_s = None, target_s
        if target_s is not None:
            at_s = self._origin_s + target_s / self.speed
            self._timer = asyncio.get_running_loop().call_at(at_s, self._wake, target_s)

    def _target_s(self) -> float | None:
        """When there is something to do next, in simulated seconds."""
        target_s = self.engine.next_event_s()
        if target_s is None or self._flush_interval_s is None:
            return target_s
        token_s = self.engine.next_token_s()
        if token_s is None or not self._has_live_streams():
            return target_s
        return min(target_s, max(token_s, self._next_flush_s()))

    def _has_live_streams(self) -> bool:
        return any(stream.is_live for stream in self._streams.values())

    def _wake(self, target_s: float) -> None:
        self._timer = None
        # Rounding on the way to the loop and back may land just short of the target; never go back for that.
        self._pass_time(max(self.now_s, target_s))
