"""The handful of load figures that we need from a vLLM ``/metrics`` page, read in one pass.

A page is 50-90 KB of which we need 16 numbers, several times a second, from every endpoint. One regular
expression finds exactly those samples; a full parser (prometheus_client's) builds every sample of the page and
costs more than 100 times as much. The tests hold the two together.

Names have changed across vLLM versions; each figure lists its names, the newest first, and is read under the
first one that the page has (a version in between exposes both: adding them would count twice). Names are matched
whole, so ``num_requests_waiting_by_reason``, ``_created`` and ``_bucket`` series are not mistaken for anything.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineMetrics:
    """Load figures of one server, summed over its engines (data parallelism) and model names.

    None means that the page has no such series, or that its value was not a finite number. It never means 0.
    Counters and histogram sums count from the start of the server.

    Attributes:
        running: requests in execution batches.
        waiting: requests in the queue.
        kv_cache_usage: share of the KV cache in use, 0 to 1; the mean over engines, each having its own cache.
        num_preemptions: requests preempted so far.
        prompt_tokens: prompt tokens processed so far.
        generation_tokens: output tokens so far.
        prefix_cache_queries: tokens looked up in the prefix cache so far.
        prefix_cache_hits: of these, tokens found.
        ttft_sum_s: total time to first token, in seconds.
        ttft_count: requests in that total.
        itl_sum_s: total time between tokens (token-weighted), in seconds.
        itl_count: gaps in that total.
        queue_time_sum_s: total time in the queue, in seconds.
        queue_time_count: requests in that total.
        e2e_sum_s: total latency, in seconds.
        e2e_count: requests in that total.
        engines: series of ``num_requests_running``: one per engine and model name; 0 when there is none.
    """

    running: float | None = None
    waiting: float | None = None
    kv_cache_usage: float | None = None
    num_preemptions: float | None = None
    prompt_tokens: float | None = None
    generation_tokens: float | None = None
    prefix_cache_queries: float | None = None
    prefix_cache_hits: float | None = None
    ttft_sum_s: float | None = None
    ttft_count: float | None = None
    itl_sum_s: float | None = None
    itl_count: float | None = None
    queue_time_sum_s: float | None = None
    queue_time_count: float | None = None
    e2e_sum_s: float | None = None
    e2e_count: float | None = None
    engines: int = 0

    @property
    def present(self) -> frozenset[str]:
        """Names of the figures that the page had."""
        return frozenset(name for name in _NAMES_BY_FIELD if getattr(self, name) is not None)


def _counter(*names: str) -> tuple[str, ...]:
    return tuple(name + suffix for name in names for suffix in ("_total", ""))


_NAMES_BY_FIELD: dict[str, tuple[str, ...]] = {
    "running": ("num_requests_running",),
    "waiting": ("num_requests_waiting",),
    "kv_cache_usage": ("kv_cache_usage_perc", "gpu_cache_usage_perc"),
    "num_preemptions": _counter("num_preemptions"),
    "prompt_tokens": _counter("prompt_tokens"),
    "generation_tokens": _counter("generation_tokens"),
    "prefix_cache_queries": _counter("prefix_cache_queries", "gpu_prefix_cache_queries"),
    "prefix_cache_hits": _counter("prefix_cache_hits", "gpu_prefix_cache_hits"),
    "ttft_sum_s": ("time_to_first_token_seconds_sum",),
    "ttft_count": ("time_to_first_token_seconds_count",),
    "itl_sum_s": ("inter_token_latency_seconds_sum", "time_per_output_token_seconds_sum"),
    "itl_count": ("inter_token_latency_seconds_count", "time_per_output_token_seconds_count"),
    "queue_time_sum_s": ("request_queue_time_seconds_sum",),
    "queue_time_count": ("request_queue_time_seconds_count",),
    "e2e_sum_s": ("e2e_request_latency_seconds_sum",),
    "e2e_count": ("e2e_request_latency_seconds_count",),
}


def _any_of(words: Iterable[str]) -> str:
    """A regular expression for exactly these words, as a tree of their common beginnings.

    A plain alternation is tried word by word on every line of the page; the tree gives most lines up after a
    character or two. Where a word is the beginning of another, the longer is tried first.
    """
    endings: dict[str, list[str]] = defaultdict(list)
    for word in words:
        endings[word[:1]].append(word[1:])
    branches = [re.escape(first) + _any_of(rest) if first else "" for first, rest in endings.items()]
    branches.sort(key=len, reverse=True)  # the empty ending last
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"


# Possessive quantifiers (++, *+): a line that does not match is left at once, without backtracking.
_LABELS = rb'\{[^"\n}]*+(?:"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"[^"\n}]*+)*+\}'
_NAMES = _any_of(name for names in _NAMES_BY_FIELD.values() for name in names).encode()
_SAMPLE = re.compile(rb"\nvllm:(" + _NAMES + b")(?:" + _LABELS + rb")?+[ \t]++(\S++)")
_FIELDS = tuple((field, tuple(name.encode() for name in names)) for field, names in _NAMES_BY_FIELD.items())


def parse_metrics(page: bytes) -> EngineMetrics:
    """Read a page in the Prometheus text format; anything that is no such page gives no figures."""
    samples: dict[bytes, list[bytes]] = defaultdict(list)
    for name, value in _SAMPLE.findall(b"\n" + page):
        samples[name].append(value)
    series = {field: _first_present(samples, names) for field, names in _FIELDS}
    figures = {field: _sum(values) for field, values in series.items()}
    if figures["kv_cache_usage"] is not None:
        figures["kv_cache_usage"] /= len(series["kv_cache_usage"])
    return EngineMetrics(**figures, engines=len(series["running"]))


def _first_present(samples: dict[bytes, list[bytes]], names: tuple[bytes, ...]) -> list[bytes]:
    """The values under the newest name that the page has."""
    for name in names:
        if name in samples:
            return samples[name]
    return []


def _sum(values: list[bytes]) -> float | None:
    """None for no values, and where a part of the sum is not a finite number."""
    if not values:
        return None
    try:
        total = sum(map(float, values))
    except ValueError:
        return None
    return total if math.isfinite(total) else None
