"""Speed and limits of one simulated replica."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inframind.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineProfile:
    """Speed and limits of one replica.

    Attributes:
        step_base_s: fixed seconds of a step.
        per_prefill_token_s: seconds per prompt token computed in a step.
        per_decode_token_s: seconds per sequence that decodes in a step.
        floor_s: least seconds of a step.
        queue_base_s: seconds between a request's arrival and its earliest scheduling.
        queue_per_input_token_s: further such seconds per prompt token.
        kv_blocks: KV memory, in blocks.
        block_size: tokens per block.
        max_num_seqs: most sequences in a batch.
        max_num_batched_tokens: token budget of a step (chunked prefill).
        max_model_len: most tokens of prompt and answer together.
        max_num_queued_reqs: most requests there at once, those in the batch included (as in vLLM, for all its
            name), or None for no limit.
        scheduling_policy: ``fcfs``, or ``priority`` (lower runs earlier, ties by arrival).
        prefix_cache: whether full prompt blocks are shared and kept.
    """

    step_base_s: float
    per_prefill_token_s: float
    per_decode_token_s: float
    floor_s: float = 0.0
    queue_base_s: float = 0.0
    queue_per_input_token_s: float = 0.0
    kv_blocks: int
    block_size: int = 16
    max_num_seqs: int = 16
    max_num_batched_tokens: int = 2048
    max_model_len: int = 16384
    max_num_queued_reqs: int | None = None
    scheduling_policy: Literal["fcfs", "priority"] = "fcfs"
    prefix_cache: bool = True

    def __post_init__(self) -> None:
        for name in ("block_size", "max_num_seqs", "max_model_len"):
            if getattr(self, name) < 1:
                raise ConfigError(name, getattr(self, name), "give at least 1")
        if max(self.floor_s, self.step_base_s) <= 0:
            raise ConfigError(
                "step_base_s", self.step_base_s, "a step must take time: give a positive number"
            )
        if self.kv_blocks * self.block_size < self.max_model_len:
            raise ConfigError("kv_blocks", self.kv_blocks, "must hold one request of max_model_len tokens")
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise ConfigError(
                "max_num_batched_tokens", self.max_num_batched_tokens, "must be at least max_num_seqs"
            )

    def step_s(self, prefill_tokens: int, decoding: int) -> float:
        """Seconds of a step that computes so many prompt tokens beside so many decoding sequences."""
        cost = self.per_prefill_token_s * prefill_tokens + self.per_decode_token_s * decoding
        return max(self.floor_s, self.step_base_s + cost)

    def queue_s(self, prompt_tokens: int) -> float:
        """Least seconds between arrival and scheduling."""
        return self.queue_base_s + self.queue_per_input_token_s * prompt_tokens
