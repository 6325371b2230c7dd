"""Faults that a simulated server can be told to have, while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from inframind.errors import ConfigError


class Fault(StrEnum):
    """One way of going wrong. All but the first concern ``/v1/chat/completions`` alone."""

    REFUSE = "refuse"
    """Every connection is closed before a reply, /health and /metrics included: the process is gone."""
    GARBAGE = "garbage"
    """200 with a body that is not JSON."""
    STALL = "stall"
    """The first token comes, then nothing until the client gives up."""
    DROP = "drop"
    """The first token comes, then the connection is closed."""
    DIE = "die"
    """The engine dies after the first token: 500, or an error inside the stream."""
    TOO_MANY_REQUESTS = "too_many_requests"
    """429."""
    UNAVAILABLE = "unavailable"
    """503, as when the queue is full."""


@dataclass(slots=True)
class FaultPlan:
    """Which fault the next requests meet.

    Attributes:
        fault: the present fault, or None.
        times: requests that will still meet it, or None for all until it is cleared.
        met: how many requests have met each fault so far.
    """

    fault: Fault | None = None
    times: int | None = None
    met: dict[Fault, int] = field(default_factory=dict)

    def inject(self, fault: Fault, *, times: int | None = None) -> None:
        """Let the next ``times`` requests (None: all) meet ``fault``; replaces what was injected before."""
        if times is not None and times < 1:
            raise ConfigError("times", times, "give at least 1, or None for all requests")
        self.fault, self.times = fault, times

    def clear(self) -> None:
        """Be healthy again; requests that stall already go on stalling."""
        self.fault, self.times = None, None

    def take(self, *, among: frozenset[Fault]) -> Fault | None:
        """The fault that this request meets, if it is one of ``among``."""
        fault = self.fault
        if fault is None or fault not in among:
            return None
        self.met[fault] = self.met.get(fault, 0) + 1
        if self.times is not None:
            self.times -= 1
            if not self.times:
                self.clear()
        return fault


EVERY_ROUTE = frozenset({Fault.REFUSE})
CHAT_ONLY = frozenset(Fault) - EVERY_ROUTE
