"""The fleet's load as one reading: what was scraped, how old it is, and what we ourselves have in flight."""

from __future__ import annotations

from collections.abc import KeysView, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from inframind.fleet.breaker import BreakerState


@dataclass(slots=True, kw_only=True)
class EndpointLoad:
    """Load of one endpoint. What is not known is None with no age, never a zero.

    Made for every endpoint at every decision, so its fields are read-only to the type checker alone: a frozen
    dataclass takes three times as long to make.

    Attributes:
        endpoint: name.
        model: model that it serves.
        breaker: state of its breaker.
        in_flight: our own calls there now.
        in_flight_tokens: output tokens that our calls there are still expected to produce.
        waiting_here: our own calls that wait for one of our slots.
        max_concurrency: our slots there.
        age_s: seconds since the scraped values were read, or None when there are none.
        running: requests in the engine's batch, from any client.
        waiting: requests in the engine's queue, from any client.
        kv_cache_usage: share of the KV cache in use, 0 to 1.
        sent_since: our own calls sent there after the reading.
        ended_since: our own calls that ended after the reading.
    """

    endpoint: Final[str]
    model: Final[str]
    breaker: Final[BreakerState] = "closed"
    in_flight: Final[int] = 0
    in_flight_tokens: Final[int] = 0
    waiting_here: Final[int] = 0
    max_concurrency: Final[int] = 64
    age_s: Final[float | None] = None
    running: Final[float | None] = None
    waiting: Final[float | None] = None
    kv_cache_usage: Final[float | None] = None
    sent_since: Final[int] = 0
    ended_since: Final[int] = 0

    @property
    def is_available(self) -> bool:
        """Whether its breaker lets calls through."""
        return self.breaker != "open"

    @property
    def requests_now(self) -> float:
        """Requests in the engine now, dead-reckoned: the reading, and what we sent and got back since.

        Never fewer than our own calls in flight, which are all that is known where there is no reading.
        """
        return sum(self.engine_now)

    @property
    def engine_now(self) -> tuple[float, float]:
        """Requests in the engine's batch and in its queue now, dead-reckoned.

        An engine with a queue is full: the batch keeps its size while the queue lasts, and what we send joins
        the queue. An engine without one takes what we send into its batch.
        """
        running, waiting = self.running or 0.0, self.waiting or 0.0
        net_sent = 0 if self.age_s is None else self.sent_since - self.ended_since
        requests = running + waiting + net_sent
        if requests < self.in_flight:
            requests = float(self.in_flight)
        if not waiting:
            return requests, 0.0
        if running > requests:
            running = requests
        return running, requests - running

    @property
    def running_now(self) -> float:
        """Requests in the engine's batch now, see `engine_now`."""
        return self.engine_now[0]

    @property
    def waiting_now(self) -> float:
        """Requests in the engine's queue now, see `engine_now`."""
        return self.engine_now[1]

    @property
    def occupancy(self) -> float:
        """Requests known to be there (running, queued, or ours on the way) per slot of ours."""
        return (self.requests_now + self.waiting_here) / self.max_concurrency

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a decision's ``seen``."""
        return {
            "breaker": self.breaker,
            "in_flight": self.in_flight,
            "waiting_here": self.waiting_here,
            "max_concurrency": self.max_concurrency,
            "age_s": self.age_s,
            "running": self.running,
            "waiting": self.waiting,
            "kv_cache_usage": self.kv_cache_usage,
            "sent_since": self.sent_since,
            "ended_since": self.ended_since,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSnapshot:
    """Load of every endpoint at one instant.

    Attributes:
        taken_s: when, on the clock's monotonic axis.
        loads: by endpoint name, in configuration order.
    """

    taken_s: float
    loads: Mapping[str, EndpointLoad]
    _best: Mapping[str, EndpointLoad] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        best: dict[str, EndpointLoad] = {}
        for load in self.loads.values():
            if load.breaker != "open":
                rival = best.setdefault(load.model, load)
                if rival is not load and load.occupancy < rival.occupancy:
                    best[load.model] = load
        object.__setattr__(self, "_best", best)

    @property
    def callable_models(self) -> KeysView[str]:
        """Models with a replica whose breaker lets calls through."""
        return self._best.keys()

    def least_loaded(self, model: str) -> EndpointLoad | None:
        """The available replica with the lowest occupancy, or None when every breaker is open."""
        return self._best.get(model)
