"""One request inside the engine, and a run of equal steps. For `inframind.simulator.engine` alone."""

from __future__ import annotations

from inframind.simulator.engine_records import EngineRequest, RequestRecord
from inframind.simulator.kv_cache import Holding

NS = 1_000_000_000


class Sequence:
    """One request: ``computed`` tokens have their KV; once that reaches ``target``, it decodes."""

    __slots__ = (
        "aborted",
        "arrived_ns",
        "cached_tokens",
        "chunk",
        "computed",
        "created_tokens",
        "first_token_ns",
        "generated",
        "holding",
        "last_token_ns",
        "preemptions",
        "published",
        "rank",
        "ready_ns",
        "request",
        "scheduled_ns",
        "target",
    )

    def __init__(self, request: EngineRequest, rank: tuple[int, int], arrived_ns: int, ready_ns: int) -> None:
        self.request = request
        self.rank = rank
        self.arrived_ns, self.ready_ns = arrived_ns, ready_ns
        self.scheduled_ns, self.first_token_ns, self.last_token_ns = -1, -1, -1
        self.holding = Holding()
        self.generated, self.computed, self.chunk = 0, 0, 0
        self.target = request.prompt_tokens
        self.published, self.cached_tokens, self.created_tokens = 0, 0, 0
        self.preemptions = 0
        self.aborted = False

    def record(self, finished_ns: int) -> RequestRecord:
        """What became of it, once it has all its tokens."""
        return RequestRecord(
            arrived_s=self.arrived_ns / NS,
            scheduled_s=self.scheduled_ns / NS,
            first_token_s=self.first_token_ns / NS,
            finished_s=finished_ns / NS,
            prompt_tokens=self.request.prompt_tokens,
            cached_tokens=self.cached_tokens,
            created_cache_tokens=self.created_tokens,
            output_tokens=self.generated,
            preemptions=self.preemptions,
        )


class Run:
    """``steps`` equal steps, the first of which began at ``start_ns``."""

    __slots__ = ("decoding", "duration_ns", "prefilling", "start_ns", "steps")

    def __init__(
        self,
        start_ns: int,
        duration_ns: int,
        steps: int,
        decoding: list[Sequence],
        prefilling: list[Sequence],
    ) -> None:
        self.start_ns, self.duration_ns, self.steps = start_ns, duration_ns, steps
        self.decoding, self.prefilling = decoding, prefilling

    def shorten_to(self, at_ns: int) -> None:
        """End with the first step boundary at or after ``at_ns``, but never before the step in progress."""
        self.steps = min(self.steps, max(1, -(-(at_ns - self.start_ns) // self.duration_ns)))


class Growth:
    """Blocks that a batch needs on top of what it holds, as a function of the number of steps."""

    __slots__ = ("_block_size", "_decoding")

    def __init__(self, block_size: int, decoding: list[Sequence]) -> None:
        self._block_size, self._decoding = block_size, decoding

    def __call__(self, steps: int) -> int:
        """Further blocks after so many steps."""
        return sum(-(-(s.computed + steps) // self._block_size) - s.holding.blocks for s in self._decoding)
