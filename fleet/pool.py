"""The fleet as one thing to call: picks a replica, keeps the limits, fails over inside the deadline."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace

import numpy as np

from inframind.errors import (
    ConfigError,
    EndpointError,
    EndpointTimeout,
    EndpointUnreachable,
    FleetExhausted,
    UnknownModel,
)
from inframind.fleet.breaker import Breaker, BreakerConfig, Permit
from inframind.fleet.client import TimedClient, foreign_error, is_refused
from inframind.fleet.clock import Clock, Deadline, SystemClock
from inframind.fleet.endpoints import EndpointSpec, ModelFacts, group_by_model
from inframind.fleet.limits import ConcurrencyLimit
from inframind.fleet.messages import Attempt, ChatRequest, Completion, Delta, OnDelta
from inframind.fleet.metrics import MetricsScraper
from inframind.fleet.own_calls import OwnCalls
from inframind.fleet.snapshot import EndpointLoad, FleetSnapshot
from inframind.fleet.wire import HttpWire, Wire

LOYALTY = 0.25
"""Share of its slots by which a replica with a warm prefix cache may be busier than another and still be preferred."""


@dataclass(frozen=True, kw_only=True)
class FleetConfig:
    """How the fleet is called and watched."""

    scrape_interval_s: float = 0.5
    """Seconds between two readings of an endpoint's metrics page."""
    max_attempts: int = 6
    """Most tries of one call, over all candidates and passes."""
    passes: int = 2
    """How often the list of candidates is gone through while only retryable errors come back."""
    backoff_s: float = 0.2
    """Wait before the second pass; doubles with each, with full jitter."""
    breaker: BreakerConfig = field(default_factory=BreakerConfig)
    """When to stop sending to an endpoint."""

    def __post_init__(self) -> None:
        for name in ("scrape_interval_s", "max_attempts", "passes", "backoff_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"fleet.{name}", getattr(self, name), "use a positive number")


class _Endpoint:
    """One endpoint's moving parts."""

    def __init__(self, spec: EndpointSpec, config: FleetConfig) -> None:
        self.spec = spec
        self.breaker = Breaker(config.breaker)
        self.limit = ConcurrencyLimit(spec.max_concurrency)
        self.in_flight_tokens = 0
        self.own_calls = OwnCalls()


class Fleet:
    """Endpoints, their load, and one way to call them.

    Args:
        endpoints: what there is; several with one model are its replicas.
        clock: time.
        rng: chance (backoff jitter, scrape jitter).
        config: retries, breaker and scraping.
        wire: how the endpoints are reached; real sockets unless given.

    Raises:
        ConfigError: no endpoint, double names, or replicas that contradict each other.
    """

    def __init__(
        self,
        endpoints: Sequence[EndpointSpec],
        *,
        clock: Clock | None = None,
        rng: np.random.Generator | None = None,
        config: FleetConfig | None = None,
        wire: Wire | None = None,
    ) -> None:
        self.models: Mapping[str, ModelFacts] = group_by_model(endpoints)
        self.clock = clock or SystemClock()
        self._config = config or FleetConfig()
        self._rng = rng if rng is not None else np.random.default_rng()
        self._endpoints = {spec.name: _Endpoint(spec, self._config) for spec in endpoints}
        specs = {spec.name: spec for spec in endpoints}
        wire = wire or HttpWire()
        self._client = TimedClient(specs, self.clock, wire)
        sources = {spec.name: wire.metrics_source(spec, self.clock) for spec in endpoints}
        self._scraper = MetricsScraper(
            {name: source for name, source in sources.items() if source is not None},
            clock=self.clock,
            rng=self._rng,
            interval_s=self._config.scrape_interval_s,
        )
        self._watched_by: asyncio.AbstractEventLoop | None = None

    @property
    def endpoints(self) -> tuple[EndpointSpec, ...]:
        """Every endpoint, in configuration order."""
        return tuple(endpoint.spec for endpoint in self._endpoints.values())

    def snapshot(self) -> FleetSnapshot:
        """The load now. Waits for nothing: the scraper writes readings, this reads them."""
        now_s = self.clock.now_s()
        loads = {name: self._load(endpoint, now_s) for name, endpoint in self._endpoints.items()}
        return FleetSnapshot(taken_s=now_s, loads=loads)

    async def watch(self, *, first_readings_s: float = 0.0) -> None:
        """Begin to read load metrics in the running loop, unless that is being done already.

        Args:
            first_readings_s: wait so long at most for one reading of every endpoint. 0 waits for nothing, and the
                first decisions then know only our own calls: right for a server, wrong for a single question.

        The reader outlives whoever asks first, so it starts from an empty context instead of holding on to a
        caller's context variables.
        """
        loop = asyncio.get_running_loop()
        if self._watched_by not in (None, loop) and not self._watched_by.is_closed():
            return
        self._watched_by = loop
        if first_readings_s:
            with suppress(TimeoutError):
                async with asyncio.timeout(first_readings_s):
                    await self._scraper.scrape_once()
        await asyncio.create_task(self._scraper.start(), context=contextvars.Context())

    async def aclose(self) -> None:
        """Release what the running loop uses: its connections, and the metrics reader if it runs there."""
        if self._watched_by is asyncio.get_running_loop():
            self._watched_by = None
            await self._scraper.aclose()
        await self._client.aclose()

    def note_outcome(self, endpoint: str, error: BaseException | None, *, sent_s: float) -> None:
        """Be told how a call ended that another client sent to an endpoint, so that its breaker knows.

        An answer closes the breaker. What a call of ours would have moved on for counts against the endpoint: 429 and
        503, too, because that client cannot go elsewhere by itself. Where nobody listens, one failure is enough.
        Errors that say nothing of the endpoint (400, 401, 404, a cancelled call, the application's own) change nothing.

        Args:
            endpoint: its name.
            error: what the call failed with; None for an answer.
            sent_s: when the call was sent, on the clock's monotonic axis.

        Raises:
            KeyError: there is no such endpoint.
        """
        breaker, now_s = self._endpoints[endpoint].breaker, self.clock.now_s()
        if error is None:
            breaker.record_success()
            return
        ours = foreign_error(error, endpoint, now_s - sent_s)
        if ours is not None and ours.is_retryable:
            unreachable = isinstance(ours, EndpointUnreachable)
            breaker.record_reported(sent_s, now_s, unreachable=unreachable, opens=is_refused(error))

    def attempts_of(self, failures: Sequence[EndpointError]) -> tuple[Attempt, ...]:
        """Plain records of failed tries, for a trace."""
        return tuple(
            Attempt(
                endpoint=failure.endpoint,
                model=self._endpoints[failure.endpoint].spec.model,
                error=type(failure).__name__,
                detail=failure.detail,
                elapsed_s=failure.elapsed_s,
            )
            for failure in failures
        )

    async def complete(
        self,
        request: ChatRequest,
        models: Sequence[str],
        deadline: Deadline,
        *,
        priority: int = 0,
        on_delta: OnDelta | None = None,
        prefer: str = "",
        avoid: Collection[str] = (),
    ) -> Completion:
        """One answer from the first model that gives one, before the deadline.

        429, 5xx, connection and protocol errors move on to the model's next replica, then to the next model;
        400, 401 and 404 do not, because they would come back. Once a piece of the answer has been handed to
        ``on_delta`` an error is final. After a whole pass of retryable errors there is another, after a wait.

        Args:
            request: what to ask.
            models: candidates, best first.
            deadline: total, over all tries.
            priority: lower is sooner, on our side and on servers that schedule by priority.
            on_delta: awaited with each piece of the answer.
            prefer: endpoint whose prefix cache holds the prompt's beginning; of its model's replicas it is tried
                first, unless it is much busier than another.
            avoid: endpoints that are tried only when no other of any candidate is left.

        Raises:
            UnknownModel: a candidate that no endpoint serves.
            EndpointTimeout: the deadline came; carries what had arrived of the answer.
            EndpointError: a try failed in a way that no other candidate would mend.
            FleetExhausted: every candidate failed, or none could be tried.
        """
        self._require_known(models)
        witness = _Witness(on_delta) if on_delta else None
        failures: list[EndpointError] = []
        for number in range(self._config.passes):
            if len(failures) >= self._config.max_attempts:
                break
            if number:
                await self._back_off(number, deadline)
            for endpoint in self._ranked(models, prefer, avoid):
                if len(failures) >= self._config.max_attempts:
                    break
                try:
                    completion = await self._try(endpoint, request, deadline, priority, witness)
                except EndpointError as error:
                    if not error.is_retryable or (witness and witness.has_seen):
                        error.earlier = tuple(failures)
                        raise
                    failures.append(error)
                else:
                    return self._with_attempts(completion, failures)
        reason = "every candidate failed" if failures else "the breaker of every candidate is open"
        raise FleetExhausted(tuple(failures), reason=reason)

    def _with_attempts(self, completion: Completion, failures: Sequence[EndpointError]) -> Completion:
        if not failures:
            return completion
        return replace(completion, attempts=self.attempts_of(failures))

    async def _try(
        self,
        endpoint: _Endpoint,
        request: ChatRequest,
        deadline: Deadline,
        priority: int,
        on_delta: OnDelta | None,
    ) -> Completion:
        async with self._slot(endpoint, priority, deadline):
            permit = endpoint.breaker.admit(self.clock.now_s())
            if permit is None:
                raise EndpointUnreachable(endpoint.spec.name, 0.0, "its breaker opened while the call waited")
            with self._verdict(endpoint, permit, request.expected_output_tokens):
                return await self._client.complete(
                    request, endpoint.spec.name, deadline, priority=priority, on_delta=on_delta
                )

    @asynccontextmanager
    async def _slot(self, endpoint: _Endpoint, priority: int, deadline: Deadline) -> AsyncIterator[None]:
        if not endpoint.limit.acquire_now():
            await self._wait_for_slot(endpoint, priority, deadline)
        try:
            yield
        finally:
            endpoint.limit.release()

    async def _wait_for_slot(self, endpoint: _Endpoint, priority: int, deadline: Deadline) -> None:
        asked_s = self.clock.now_s()
        try:
            async with asyncio.timeout(deadline.remaining_s(self.clock)) as timer:
                await endpoint.limit.acquire(priority)
        except TimeoutError as error:
            if not timer.expired():
                raise
            waited_s = self.clock.now_s() - asked_s
            raise EndpointTimeout(endpoint.spec.name, waited_s, deadline.budget_s) from error

    @contextmanager
    def _verdict(self, endpoint: _Endpoint, permit: Permit, expected_output_tokens: int) -> Iterator[None]:
        """Count the call's tokens while it runs, and tell the breaker how it ended."""
        endpoint.in_flight_tokens += expected_output_tokens
        endpoint.own_calls.note_sent(self.clock.now_s())
        try:
            yield
        except EndpointError as error:
            if error.counts_against_endpoint:
                unreachable = isinstance(error, EndpointUnreachable)
                endpoint.breaker.record_failure(permit, self.clock.now_s(), unreachable=unreachable)
            else:
                endpoint.breaker.record_abandoned(permit)
            raise
        except BaseException:
            endpoint.breaker.record_abandoned(permit)
            raise
        else:
            endpoint.breaker.record_success()
        finally:
            endpoint.in_flight_tokens -= expected_output_tokens
            endpoint.own_calls.note_ended(self.clock.now_s())

    def _ranked(self, models: Sequence[str], prefer: str, avoid: Collection[str]) -> Iterator[_Endpoint]:
        """Endpoints to try: models in the order given, and in that order once more those to be avoided."""
        for model in models:
            yield from self._replicas(
                [name for name in self.models[model].endpoints if name not in avoid], prefer
            )
        for model in models if avoid else ():
            yield from self._replicas(
                [name for name in self.models[model].endpoints if name in avoid], prefer
            )

    def _replicas(self, names: Iterable[str], prefer: str) -> list[_Endpoint]:
        """Those that may be called now, free and least occupied ones first."""
        now_s = self.clock.now_s()
        replicas = [self._endpoints[name] for name in names]
        return sorted(
            (replica for replica in replicas if replica.breaker.allows(now_s)),
            key=lambda replica: (
                replica.limit.is_full,
                self._load(replica, now_s).occupancy - (LOYALTY if replica.spec.name == prefer else 0.0),
            ),
        )

    async def _back_off(self, number: int, deadline: Deadline) -> None:
        longest_s = self._config.backoff_s * 2 ** (number - 1)
        wait_s = longest_s * float(self._rng.random())
        await asyncio.sleep(max(0.0, min(wait_s, deadline.remaining_s(self.clock))))

    def _require_known(self, models: Sequence[str]) -> None:
        for model in models:
            if model not in self.models:
                raise UnknownModel(model, tuple(self.models))

    def _load(self, endpoint: _Endpoint, now_s: float) -> EndpointLoad:
        spec, limit, breaker = endpoint.spec, endpoint.limit, endpoint.breaker
        age_s = running = waiting = kv_cache_usage = None
        sent_since = ended_since = 0
        reading = self._scraper.readings.get(spec.name)
        if reading is not None:
            breaker.record_seen(reading.at_s)
            age_s, metrics = now_s - reading.at_s, reading.metrics
            running, waiting, kv_cache_usage = metrics.running, metrics.waiting, metrics.kv_cache_usage
            sent_since, ended_since = endpoint.own_calls.since(reading.at_s, now_s)
        return EndpointLoad(
            endpoint=spec.name,
            model=spec.model,
            breaker=breaker.state(now_s),
            in_flight=limit.held,
            in_flight_tokens=endpoint.in_flight_tokens,
            waiting_here=limit.waiting,
            max_concurrency=spec.max_concurrency,
            age_s=age_s,
            running=running,
            waiting=waiting,
            kv_cache_usage=kv_cache_usage,
            sent_since=sent_since,
            ended_since=ended_since,
        )


class _Witness:
    """Passes pieces of an answer on, and remembers whether anybody has seen one."""

    def __init__(self, on_delta: OnDelta) -> None:
        self._on_delta = on_delta
        self.has_seen = False

    async def __call__(self, delta: Delta) -> None:
        self.has_seen = True
        await self._on_delta(delta)
