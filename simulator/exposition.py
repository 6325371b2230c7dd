"""``/metrics`` in the names, labels and buckets of vLLM 0.32.

Counters live where they are counted (in the engine, and in `RequestTallies`); a scrape only reads them. Left
out, because a simulated engine has nothing true to say: FLOP and byte estimates, KV block lifetimes, LoRA,
tool-parser counts, the ``http_*`` series, and the Python process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from inframind.simulator.engine import Engine
from inframind.simulator.engine_records import INTER_TOKEN_BOUNDS_S, RequestRecord
from inframind.simulator.speech import FinishReason
from inframind.simulator.tally import Tally

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LENGTHS = None
"""Stands for `length_bounds`, which depend on the server."""
_PHASE_BOUNDS_S = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0),
    *(60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
)

# What a request adds when it finishes: name, help, bounds.
_REQUEST_HISTOGRAMS: dict[str, tuple[str, tuple[float, ...] | None]] = {
    "vllm:request_prompt_tokens": ("Number of prefill tokens processed.", _LENGTHS),
    "vllm:request_generation_tokens": ("Number of generation tokens processed.", _LENGTHS),
    "vllm:request_max_num_generation_tokens": ("Length of a request's longest answer.", _LENGTHS),
    "vllm:request_params_n": ("The n request parameter.", (1, 2, 5, 10, 20)),
    "vllm:request_params_max_tokens": ("The max_tokens request parameter.", _LENGTHS),
    "vllm:request_time_per_output_token_seconds": (
        "Mean time per output token of a request.",
        INTER_TOKEN_BOUNDS_S,
    ),
    "vllm:e2e_request_latency_seconds": ("Arrival to last token.", _PHASE_BOUNDS_S),
    "vllm:request_queue_time_seconds": ("Arrival to first scheduling.", _PHASE_BOUNDS_S),
    "vllm:request_inference_time_seconds": ("First scheduling to last token.", _PHASE_BOUNDS_S),
    "vllm:request_prefill_time_seconds": ("First scheduling to first token.", _PHASE_BOUNDS_S),
    "vllm:request_decode_time_seconds": ("First token to last token.", _PHASE_BOUNDS_S),
    "vllm:request_num_preemptions": ("Preemptions of a request.", (1, 2, 3, 4, 5, 10, 20)),
    "vllm:request_prefill_kv_computed_tokens": ("Prefill tokens that were not cached.", _LENGTHS),
}

_FINISH_REASONS = ("stop", "length", "abort", "error", "repetition")


def length_bounds(max_model_len: int) -> tuple[float, ...]:
    """Bounds of a server's histograms of request lengths: 1, 2, 5, 10, 20, ..., while they are possible lengths."""
    steps = (step * 10**power for power in range(len(str(max_model_len))) for step in (1, 2, 5))
    return tuple(bound for bound in steps if bound <= max_model_len)


class RequestTallies:
    """Histograms and counts of the requests that finished. An aborted one leaves no trace here.

    Args:
        max_model_len: most tokens of prompt and answer together.
    """

    def __init__(self, max_model_len: int) -> None:
        lengths = length_bounds(max_model_len)
        self.histograms = {
            name: Tally(lengths if bounds is _LENGTHS else bounds)
            for name, (_, bounds) in _REQUEST_HISTOGRAMS.items()
        }
        self.finished = dict.fromkeys(_FINISH_REASONS, 0)

    def record_request(self, records: Sequence[RequestRecord]) -> None:
        """Count a request, once all its answers are complete."""
        longest = max(record.output_tokens for record in records)
        self._observe("vllm:request_params_n", len(records))
        self._observe("vllm:request_max_num_generation_tokens", longest)

    def record_answer(self, record: RequestRecord, reason: FinishReason, max_tokens: int) -> None:
        """Count one complete answer; a tool call is a stop to the engine."""
        self.finished["length" if reason == "length" else "stop"] += 1
        self._observe("vllm:request_params_max_tokens", max_tokens)
        self._observe("vllm:request_prompt_tokens", record.prompt_tokens)
        self._observe("vllm:request_generation_tokens", record.output_tokens)
        self._observe("vllm:e2e_request_latency_seconds", record.finished_s - record.arrived_s)
        self._observe("vllm:request_queue_time_seconds", record.queue_s)
        self._observe("vllm:request_inference_time_seconds", record.prefill_s + record.decode_s)
        self._observe("vllm:request_prefill_time_seconds", record.prefill_s)
        self._observe("vllm:request_decode_time_seconds", record.decode_s)
        self._observe("vllm:request_num_preemptions", record.preemptions)
        self._observe("vllm:request_prefill_kv_computed_tokens", record.prompt_tokens - record.cached_tokens)
        self._observe("vllm:request_time_per_output_token_seconds", record.time_per_output_token_s or 0.0)

    def _observe(self, name: str, value: float) -> None:
        self.histograms[name].observe(value)


class EngineCollector(Collector):
    """Turns one engine and its tallies into metric families at each scrape."""

    def __init__(self, engine: Engine, tallies: RequestTallies, model_name: str, created_s: float) -> None:
        self._engine, self._tallies = engine, tallies
        self._model_name, self._created_s = model_name, created_s

    def collect(self) -> Iterator[Metric]:
        """All families, as of the engine's last advance."""
        yield from self._gauges()
        yield from self._counters()
        yield from self._histograms()
        yield self._cache_config()

    def _gauges(self) -> Iterator[Metric]:
        engine = self._engine
        yield self._gauge("vllm:num_requests_running", "Requests in the batch.", {"": engine.num_running})
        yield self._gauge("vllm:num_requests_waiting", "Requests waiting.", {"": engine.num_waiting})
        yield self._gauge(
            "vllm:num_requests_waiting_by_reason",
            "Requests waiting, by reason.",
            {"capacity": engine.num_waiting, "deferred": 0},
            label="reason",
        )
        yield self._gauge(
            "vllm:engine_sleep_state",
            "Whether the engine is awake.",
            {"awake": 1, "weights_offloaded": 0, "discard_all": 0},
            label="sleep_state",
        )
        yield self._gauge("vllm:kv_cache_usage_perc", "KV-cache usage, 0 to 1.", {"": engine.kv_usage})

    def _counters(self) -> Iterator[Metric]:
        stats = self._engine.stats
        yield self._counter("vllm:prefix_cache_queries", "Tokens looked up.", {"": stats.prefix_queries})
        yield self._counter("vllm:prefix_cache_hits", "Tokens found.", {"": stats.prefix_hits})
        for cache in ("external_prefix_cache", "mm_cache"):
            yield self._counter(f"vllm:{cache}_queries", "None: there is no such cache.", {"": 0})
            yield self._counter(f"vllm:{cache}_hits", "None: there is no such cache.", {"": 0})
        yield self._counter("vllm:num_preemptions", "Preemptions.", {"": stats.preemptions})
        yield self._counter("vllm:prompt_tokens", "Prefill tokens.", {"": stats.prompt_tokens})
        yield self._counter(
            "vllm:prompt_tokens_by_source",
            "Prompt tokens by source.",
            {
                "local_compute": stats.prompt_tokens - stats.cached_prompt_tokens,
                "local_cache_hit": stats.cached_prompt_tokens,
                "external_kv_transfer": 0,
            },
            label="source",
        )
        cached = stats.cached_prompt_tokens
        yield self._counter("vllm:prompt_tokens_cached", "Cached prompt tokens.", {"": cached})
        yield self._counter(
            "vllm:prompt_tokens_cached_by_source",
            "Cached prompt tokens by tier.",
            {"device": cached, "host": 0, "p2p": 0, "disk": 0, "external_unspecified": 0},
            label="source",
        )
        yield self._counter("vllm:generation_tokens", "Generated tokens.", {"": stats.generation_tokens})
        finished = self._tallies.finished
        yield self._counter("vllm:request_success", "Requests by end.", finished, label="finished_reason")
        yield self._rejections()

    def _histograms(self) -> Iterator[Metric]:
        stats = self._engine.stats
        yield self._histogram("vllm:iteration_tokens_total", "Tokens per step.", stats.iteration_tokens)
        yield self._histogram("vllm:time_to_first_token_seconds", "Time to first token.", stats.first_token_s)
        yield self._histogram("vllm:inter_token_latency_seconds", "Time between tokens.", stats.inter_token_s)
        for name, tally in self._tallies.histograms.items():
            yield self._histogram(name, _REQUEST_HISTOGRAMS[name][0], tally)

    def _rejections(self) -> Metric:
        """Refusals happen before an engine is chosen, hence the missing label."""
        family = CounterMetricFamily(
            "vllm:admission_rejections", "Requests refused by a queue limit.", labels=("model_name", "reason")
        )
        refused = {"max_num_queued_reqs": self._engine.stats.rejections, "max_num_queued_tokens": 0}
        for reason, count in refused.items():
            family.add_metric((self._model_name, reason), count, created=self._created_s)
        return family

    def _cache_config(self) -> Metric:
        profile = self._engine.profile
        facts = {
            "block_size": profile.block_size,
            "enable_prefix_caching": profile.prefix_cache,
            "engine": 0,
            "kv_cache_size_tokens": profile.kv_blocks * profile.block_size,
            "num_gpu_blocks": profile.kv_blocks,
        }
        family = GaugeMetricFamily("vllm:cache_config_info", "KV cache settings.", labels=list(facts))
        family.add_metric([str(value) for value in facts.values()], 1)
        return family

    def _labels(self, label: str) -> list[str]:
        return ["engine", "model_name", *([label] if label else [])]

    def _values(self, value: str) -> list[str]:
        return ["0", self._model_name, *([value] if value else [])]

    def _gauge(self, name: str, text: str, values: dict[str, float], label: str = "") -> Metric:
        family = GaugeMetricFamily(name, text, labels=self._labels(label))
        for value, reading in values.items():
            family.add_metric(self._values(value), reading)
        return family

    def _counter(self, name: str, text: str, values: dict[str, int], label: str = "") -> Metric:
        family = CounterMetricFamily(name, text, labels=self._labels(label))
        for value, count in values.items():
            family.add_metric(self._values(value), count, created=self._created_s)
        return family

    def _histogram(self, name: str, text: str, tally: Tally) -> Metric:
        family = HistogramMetricFamily(name, text, labels=self._labels(""))
        labels = dict(zip(self._labels(""), self._values(""), strict=True))
        family.add_metric(self._values(""), list(tally.cumulative()), sum_value=tally.total)
        family.add_sample(f"{name}_created", labels, self._created_s)
        return family


def make_registry(collector: EngineCollector) -> CollectorRegistry:
    """A registry of this server alone; servers in one process share nothing."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return registry


def render(registry: CollectorRegistry) -> bytes:
    """The text format that vLLM serves."""
    return generate_latest(registry)
