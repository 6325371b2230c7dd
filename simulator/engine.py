"""A continuous-batching engine as a pure state machine: no clock, no event loop, no chance.

An engine runs steps back to back while it has work. One step takes::

    max(floor_s, step_base_s + per_prefill_token_s * prefill_tokens + per_decode_token_s * decoding_sequences)

and gives one token to every decoding sequence and to every one whose prompt is complete. What goes into a
step is settled when it begins, as in vLLM's scheduler: decodes first, then prefills in chunks under the token
budget, then waiting requests while there are slots, budget, and KV blocks for the whole prompt of the next. Out of
blocks, the sequence that comes last in the queue's order is preempted and later recomputed.

While the batch does not change, steps are equal, so the engine jumps over as many as it can: its cost grows
with calls, not tokens. Time inside is an integer number of nanoseconds: ``k`` steps at once and ``k`` single
steps then end at exactly the same instant, and it does not matter how often anybody looks.

A step that could begin at instant ``t`` is composed only when time has moved past ``t``; so all requests that
arrive at one instant meet in one step, in whatever order they are submitted.

Departures from vLLM: the per-token output overhead of the fits is left out (it overlaps with the GPU, and
most rows have it at zero); a request waits for its fitted queue overhead before it may be scheduled, and that
counts as waiting; generated tokens are not added to the prefix cache.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable
from heapq import heapify, heappop, heappush

from inframind.simulator.engine_profile import EngineProfile
from inframind.simulator.engine_records import (
    EngineEvent,
    EngineRequest,
    EngineStats,
    Finished,
    FirstToken,
    Preempted,
    Scheduled,
)
from inframind.simulator.kv_cache import BlockPool
from inframind.simulator.sequence import NS, Growth, Run, Sequence


class Engine:
    """One replica. Times passed in must not decrease; an earlier one counts as the latest seen."""

    def __init__(self, profile: EngineProfile) -> None:
        self.profile = profile
        self.stats = EngineStats()
        self._pool = BlockPool(profile.kv_blocks)
        self._now_ns = 0
        self._boundary_ns = 0
        self._run: Run | None = None
        self._slowdown = 1.0
        self._sequences: dict[str, Sequence] = {}
        self._arriving: list[tuple[int, int, Sequence]] = []
        self._waiting: list[tuple[tuple[int, int], Sequence]] = []
        self._running: list[Sequence] = []
        self._submitted = 0
        self._events: list[EngineEvent] = []

    # What anybody may read.

    @property
    def num_running(self) -> int:
        """Sequences in the batch."""
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        """Requests accepted and not in the batch."""
        return len(self._waiting) + len(self._arriving)

    @property
    def kv_usage(self) -> float:
        """Share of KV blocks held by sequences, 0 to 1."""
        return self._pool.usage

    def generated(self, request_id: str) -> int:
        """Tokens that a request in flight has got so far, as of the last advance."""
        return self._sequences[request_id].generated

    def next_event_s(self) -> float | None:
        """When to look again: no event happens before it. None when there is nothing to do."""
        if self._run is not None:
            return (self._run.start_ns + self._run.steps * self._run.duration_ns) / NS
        begin_ns = self._next_begin_ns()
        return None if begin_ns is None else (begin_ns + 1) / NS

    def next_token_s(self) -> float | None:
        """When the step in progress ends, or None when no step is in progress."""
        return None if self._run is None else (self._run.start_ns + self._run.duration_ns) / NS

    # What drives the engine.

    def submit(self, request: EngineRequest, now_s: float) -> bool:
        """Accept a request, or refuse it because the queue is full.

        Returns:
            Whether it was accepted.

        Raises:
            ValueError: its id is in use, or its sizes cannot be served by this profile.
        """
        self._settle(now_s)
        self._check(request)
        if self._is_queue_full():
            self.stats.rejections += 1
            return False
        self._submitted += 1
        urgency = request.priority if self.profile.scheduling_policy == "priority" else 0
        ready_ns = self._now_ns + round(self.profile.queue_s(request.prompt_tokens) * NS)
        sequence = Sequence(request, (urgency, self._submitted), self._now_ns, ready_ns)
        self._sequences[request.request_id] = sequence
        heappush(self._arriving, (ready_ns, self._submitted, sequence))
        if self._run is not None and len(self._running) < self.profile.max_num_seqs:
            self._run.shorten_to(ready_ns)
        return True

    def abort(self, request_id: str, now_s: float) -> None:
        """Forget a request; one in the batch leaves when the step in progress ends. Ignores unknown ids."""
        self._settle(now_s)
        sequence = self._sequences.pop(request_id, None)
        if sequence is None:
            return
        sequence.aborted = True
        if self._run is not None and sequence in self._running:
            self._run.shorten_to(self._run.start_ns)
            return
        self._running = [other for other in self._running if other is not sequence]
        self._pool.release(sequence.holding)
        self._arriving = [entry for entry in self._arriving if entry[-1] is not sequence]
        self._waiting = [entry for entry in self._waiting if entry[-1] is not sequence]
        heapify(self._arriving)
        heapify(self._waiting)

    def slow_down(self, factor: float, now_s: float) -> bool:
        """From the next step on, steps take ``factor`` times what the profile says; whether that is news."""
        if factor == self._slowdown:
            return False
        self._settle(now_s)
        self._slowdown = factor
        if self._run is not None:
            self._run.shorten_to(self._now_ns)
        return True

    def advance_to(self, now_s: float) -> list[EngineEvent]:
        """Let time pass up to and including ``now_s``; returns what happened since the last call."""
        self._settle(now_s)
        events, self._events = self._events, []
        return events

    # How time passes.

    def _settle(self, now_s: float) -> None:
        self._now_ns = max(self._now_ns, round(now_s * NS))
        while True:
            if self._run is None and not self._begin():
                return
            run = self._run
            if run is None:
                continue
            done = min(run.steps, (self._now_ns - run.start_ns) // run.duration_ns)
            if done:
                self._complete(run, done)
            if self._run is not None:
                return

    def _next_begin_ns(self) -> int | None:
        """When the next step can begin, given that none is in progress."""
        if self._running or self._waiting:
            return self._boundary_ns
        return max(self._boundary_ns, self._arriving[0][0]) if self._arriving else None

    def _begin(self) -> bool:
        """Compose the next step if its time has come; returns whether it had."""
        begin_ns = self._next_begin_ns()
        if begin_ns is None or begin_ns >= self._now_ns:
            return False
        self._boundary_ns = begin_ns
        self._drop_aborted()
        self._welcome()
        prefilling, preempted = self._grow_running()
        if not preempted:
            prefilling += self._admit(self._budget_left(prefilling))
        self._run = self._compose(prefilling)
        return True

    def _complete(self, run: Run, steps: int) -> None:
        """Finish ``steps`` steps of the run: hand out tokens, find who is done."""
        end_ns = run.start_ns + steps * run.duration_ns
        self._count(run, steps)
        for sequence in run.decoding:
            sequence.generated += steps
            sequence.computed += steps
            sequence.last_token_ns = end_ns
            self._cover(sequence, sequence.computed)
        for sequence in run.prefilling:
            sequence.computed += sequence.chunk
            if sequence.computed == sequence.target:
                self._end_prefill(sequence, end_ns)
        run.start_ns, run.steps = end_ns, run.steps - steps
        if run.steps:
            for sequence in run.decoding:
                self._cover(sequence, sequence.computed + 1)
            return
        self._run, self._boundary_ns = None, end_ns
        self._finish_complete(end_ns)

    def _count(self, run: Run, steps: int) -> None:
        decoding = len(run.decoding)
        ending = [s for s in run.prefilling if s.computed + s.chunk == s.target]
        computed = sum(s.request.prompt_tokens - s.cached_tokens for s in ending if s.first_token_ns < 0)
        self.stats.generation_tokens += decoding * steps
        if decoding or ending:
            self.stats.iteration_tokens.observe(decoding + len(ending) + computed, steps)
        if decoding:
            self.stats.inter_token_s.observe(run.duration_ns / NS, decoding * steps)

    def _end_prefill(self, sequence: Sequence, at_ns: int) -> None:
        """The last prompt token is computed: the step gives a token as well."""
        sequence.generated += 1
        self.stats.generation_tokens += 1
        if sequence.first_token_ns < 0:
            sequence.first_token_ns = at_ns
            self.stats.prompt_tokens += sequence.request.prompt_tokens
            self.stats.cached_prompt_tokens += sequence.cached_tokens
            ttft_s = (at_ns - sequence.arrived_ns) / NS
            self.stats.first_token_s.observe(ttft_s)
            if not sequence.aborted:
                self._events.append(FirstToken(sequence.request.request_id, at_ns / NS, ttft_s))
        else:
            self.stats.inter_token_s.observe((at_ns - sequence.last_token_ns) / NS)
        sequence.last_token_ns = at_ns

    def _finish_complete(self, at_ns: int) -> None:
        """Let go of the sequences that have all their tokens."""
        still_running = []
        for sequence in self._running:
            if sequence.generated < sequence.request.output_tokens:
                still_running.append(sequence)
                continue
            self._pool.release(sequence.holding)
            if not sequence.aborted:
                request_id = sequence.request.request_id
                del self._sequences[request_id]
                self._events.append(Finished(request_id, at_ns / NS, sequence.record(at_ns)))
        self._running = still_running

    # How a step is composed.

    def _drop_aborted(self) -> None:
        for sequence in self._running:
            if sequence.aborted:
                self._pool.release(sequence.holding)
        self._running = [sequence for sequence in self._running if not sequence.aborted]

    def _welcome(self) -> None:
        """Queue the requests whose overhead is over."""
        while self._arriving and self._arriving[0][0] <= self._boundary_ns:
            sequence = heappop(self._arriving)[-1]
            heappush(self._waiting, (sequence.rank, sequence))

    def _grow_running(self) -> tuple[list[Sequence], bool]:
        """Give the running sequences the blocks of their next tokens: decodes first, then prefill chunks.

        Returns:
            The sequences that prefill in this step, and whether any was preempted.
        """
        before = self.stats.preemptions
        for sequence in [s for s in self._running if s.computed >= s.target]:
            self._secure(sequence, sequence.computed + 1)
        prefilling: list[Sequence] = []
        for sequence in [s for s in self._running if s.computed < s.target]:
            chunk = min(sequence.target - sequence.computed, self._budget_left(prefilling))
            if chunk and self._secure(sequence, sequence.computed + chunk):
                self._plan_chunk(sequence, chunk)
                prefilling.append(sequence)
        return [s for s in prefilling if s.holding.blocks], self.stats.preemptions > before

    def _secure(self, sequence: Sequence, tokens: int) -> bool:
        """Hold blocks for so many tokens, preempting others if need be; False if it was preempted itself."""
        while sequence.holding.blocks:
            need = self._blocks(tokens) - sequence.holding.blocks
            if need <= self._pool.available:
                self._pool.take(sequence.holding, max(0, need))
                return True
            self._preempt(max(self._running, key=lambda other: other.rank))
        return False

    def _preempt(self, sequence: Sequence) -> None:
        """Take everything from a sequence and queue it again; it keeps its tokens and recomputes their KV."""
        self._pool.release(sequence.holding)
        self._running.remove(sequence)
        sequence.computed, sequence.chunk, sequence.published = 0, 0, 0
        sequence.target = sequence.request.prompt_tokens + sequence.generated
        sequence.preemptions += 1
        self.stats.preemptions += 1
        heappush(self._waiting, (sequence.rank, sequence))
        self._events.append(Preempted(sequence.request.request_id, self._boundary_ns / NS))

    def _budget_left(self, prefilling: list[Sequence]) -> int:
        decoding = sum(sequence.computed >= sequence.target for sequence in self._running)
        return self.profile.max_num_batched_tokens - decoding - sum(s.chunk for s in prefilling)

    def _admit(self, budget: int) -> list[Sequence]:
        """Move waiting requests into the batch, in their order, until slots, budget or blocks run out."""
        admitted: list[Sequence] = []
        while self._waiting and budget and len(self._running) < self.profile.max_num_seqs:
            sequence = self._waiting[0][1]
            hits = self._cached_prefix(sequence)
            start = len(hits) * self.profile.block_size
            chunk = min(sequence.target - start, budget)
            # All of its tokens must fit, not the first chunk alone: vLLM's scheduler_reserve_full_isl.
            if not self._pool.fits(hits, self._blocks(sequence.target) - len(hits)):
                break
            heappop(self._waiting)
            self._pool.adopt(sequence.holding, hits)
            self._pool.take(sequence.holding, self._blocks(start + chunk) - len(hits))
            self._enter(sequence, start, chunk)
            admitted.append(sequence)
            budget -= chunk
        return admitted

    def _cached_prefix(self, sequence: Sequence) -> tuple[Hashable, ...]:
        """Keys of the leading blocks that are cached; at least one token is always left to compute."""
        if not self.profile.prefix_cache:
            return ()
        keys = sequence.request.block_keys[: (sequence.target - 1) // self.profile.block_size]
        return keys[: self._pool.match(keys)]

    def _enter(self, sequence: Sequence, cached: int, chunk: int) -> None:
        """Note a sequence's entry into the batch with ``cached`` tokens computed already."""
        sequence.computed = cached
        sequence.published = cached // self.profile.block_size
        if sequence.scheduled_ns < 0:
            sequence.scheduled_ns, sequence.cached_tokens = self._boundary_ns, cached
            if self.profile.prefix_cache:
                self.stats.prefix_queries += sequence.request.prompt_tokens
                self.stats.prefix_hits += cached
        self._running.append(sequence)
        self._plan_chunk(sequence, chunk)
        self._events.append(Scheduled(sequence.request.request_id, self._boundary_ns / NS, cached))

    def _plan_chunk(self, sequence: Sequence, chunk: int) -> None:
        """Set the tokens to compute in this step; their full prompt blocks can be shared at once."""
        sequence.chunk = chunk
        if not self.profile.prefix_cache:
            return
        full = (sequence.computed + chunk) // self.profile.block_size
        keys = sequence.request.block_keys[sequence.published : full]
        fresh = self._pool.publish(sequence.holding, keys)
        sequence.published += len(keys)
        if not sequence.preemptions:
            sequence.created_tokens += fresh * self.profile.block_size

    def _compose(self, prefilling: list[Sequence]) -> Run | None:
        decoding = [sequence for sequence in self._running if sequence.computed >= sequence.target]
        prefill_tokens = sum(sequence.chunk for sequence in prefilling)
        if not decoding and not prefilling:
            return None
        step_s = self._slowdown * self.profile.step_s(prefill_tokens, len(decoding))
        duration_ns = max(1, round(step_s * NS))
        steps = 1 if prefilling else self._equal_steps(decoding)
        run = Run(self._boundary_ns, duration_ns, steps, decoding, prefilling)
        if self._arriving and len(self._running) < self.profile.max_num_seqs:
            run.shorten_to(self._arriving[0][0])
        return run

    def _equal_steps(self, decoding: list[Sequence]) -> int:
        """How many steps the batch can take before a sequence finishes or the blocks run out."""
        steps = min(sequence.request.output_tokens - sequence.generated for sequence in decoding)
        if len(decoding) * (steps // self.profile.block_size + 1) <= self._pool.available:
            return steps
        return max(
            1,
            bisect_right(
                range(1, steps + 1), self._pool.available, key=Growth(self.profile.block_size, decoding)
            ),
        )

    # Small arithmetic.

    def _blocks(self, tokens: int) -> int:
        return -(-tokens // self.profile.block_size)

    def _cover(self, sequence: Sequence, tokens: int) -> None:
        """Hold blocks for so many tokens, which are known to be available."""
        need = -(-tokens // self.profile.block_size) - sequence.holding.blocks
        if need > 0:
            self._pool.take(sequence.holding, need)

    def _is_queue_full(self) -> bool:
        limit = self.profile.max_num_queued_reqs
        return limit is not None and self.num_waiting + self.num_running >= limit

    def _check(self, request: EngineRequest) -> None:
        if request.request_id in self._sequences:
            raise ValueError(
                f"request_id {request.request_id!r} is already in flight: give each request its own"
            )
        if request.prompt_tokens < 1 or request.output_tokens < 1:
            raise ValueError(f"request {request.request_id!r}: give at least one prompt and one output token")
        if request.prompt_tokens + request.output_tokens > self.profile.max_model_len:
            raise ValueError(
                f"request {request.request_id!r} exceeds max_model_len {self.profile.max_model_len}"
            )
