"""What goes into an engine and what comes out: requests, events, records and counters."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TypeAlias

from inframind.simulator.tally import Tally

ITERATION_TOKEN_BOUNDS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
INTER_TOKEN_BOUNDS_S = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5),
    *(0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
)
FIRST_TOKEN_BOUNDS_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """Work for the engine: sizes only, no text.

    Attributes:
        request_id: unique among the requests in flight.
        prompt_tokens: at least 1.
        output_tokens: at least 1; the answer is known beforehand.
        block_keys: keys of the prompt's full blocks (`inframind.simulator.tokens.prefix_keys`), or empty.
        priority: lower runs earlier, under the ``priority`` policy only.
    """

    request_id: str
    prompt_tokens: int
    output_tokens: int
    block_keys: tuple[Hashable, ...] = ()
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """What became of a finished request; all times in seconds on the engine's axis.

    Attributes:
        arrived_s: when it was submitted.
        scheduled_s: when it first entered a batch.
        first_token_s: when its first token came.
        finished_s: when its last token came.
        prompt_tokens: prompt length.
        cached_tokens: prompt tokens found in the prefix cache when it was first scheduled.
        created_cache_tokens: prompt tokens that it added to the prefix cache.
        output_tokens: tokens generated.
        preemptions: how often it was preempted.
    """

    arrived_s: float
    scheduled_s: float
    first_token_s: float
    finished_s: float
    prompt_tokens: int
    cached_tokens: int
    created_cache_tokens: int
    output_tokens: int
    preemptions: int

    @property
    def queue_s(self) -> float:
        """Seconds from arrival to the first batch."""
        return self.scheduled_s - self.arrived_s

    @property
    def prefill_s(self) -> float:
        """Seconds from the first batch to the first token."""
        return self.first_token_s - self.scheduled_s

    @property
    def decode_s(self) -> float:
        """Seconds from the first token to the last."""
        return self.finished_s - self.first_token_s

    @property
    def time_per_output_token_s(self) -> float | None:
        """Mean seconds between tokens, or None for a single one."""
        return self.decode_s / (self.output_tokens - 1) if self.output_tokens > 1 else None


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A request entered a batch (again, after a preemption)."""

    request_id: str
    at_s: float
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class FirstToken:
    """A request got its first token, ``ttft_s`` seconds after its arrival."""

    request_id: str
    at_s: float
    ttft_s: float


@dataclass(frozen=True, slots=True)
class Preempted:
    """A request lost its blocks and went back to the queue."""

    request_id: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Finished:
    """A request got its last token."""

    request_id: str
    at_s: float
    record: RequestRecord


EngineEvent: TypeAlias = Scheduled | FirstToken | Preempted | Finished


@dataclass(slots=True)
class EngineStats:
    """Counters since the engine began; they only grow.

    Attributes:
        prompt_tokens: prompt tokens of requests whose prefill is complete, cached ones included.
        cached_prompt_tokens: how many of those came from the prefix cache.
        generation_tokens: tokens generated, those of aborted requests included.
        prefix_queries: prompt tokens looked up in the prefix cache.
        prefix_hits: how many of those were there.
        preemptions: sequences preempted.
        rejections: requests refused because the queue was full.
        iteration_tokens: tokens per step that gave any: those given, and the whole computed prompt of each request
            that got its first one. As in vLLM, a step of nothing but unfinished prefill is not counted.
        first_token_s: seconds from arrival to first token.
        inter_token_s: seconds between two tokens of one sequence.
    """

    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    generation_tokens: int = 0
    prefix_queries: int = 0
    prefix_hits: int = 0
    preemptions: int = 0
    rejections: int = 0
    iteration_tokens: Tally = field(default_factory=lambda: Tally(ITERATION_TOKEN_BOUNDS))
    first_token_s: Tally = field(default_factory=lambda: Tally(FIRST_TOKEN_BOUNDS_S))
    inter_token_s: Tally = field(default_factory=lambda: Tally(INTER_TOKEN_BOUNDS_S))
