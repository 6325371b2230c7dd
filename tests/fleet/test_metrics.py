"""The one-pass reading of a metrics page agrees with a full parser, on real, old and random pages."""

from __future__ import annotations

import csv
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from inframind.fleet.metrics import EngineMetrics, parse_metrics

FIXTURES = Path(__file__).resolve().parents[2].parent / "shared" / "fixtures" / "vllm"
needs_fixtures = pytest.mark.skipif(not FIXTURES.exists(), reason="needs ../shared/fixtures/vllm")
PAGES = sorted(FIXTURES.glob("*/metrics/*.prom"))

# figure -> names of its series, the newest first; written down apart from the code under test
SERIES = {
    "running": ["num_requests_running"],
    "waiting": ["num_requests_waiting"],
    "kv_cache_usage": ["kv_cache_usage_perc", "gpu_cache_usage_perc"],
    "num_preemptions": ["num_preemptions_total"],
    "prompt_tokens": ["prompt_tokens_total"],
    "generation_tokens": ["generation_tokens_total"],
    "prefix_cache_queries": ["prefix_cache_queries_total", "gpu_prefix_cache_queries_total"],
    "prefix_cache_hits": ["prefix_cache_hits_total", "gpu_prefix_cache_hits_total"],
    "ttft_sum_s": ["time_to_first_token_seconds_sum"],
    "ttft_count": ["time_to_first_token_seconds_count"],
    "itl_sum_s": ["inter_token_latency_seconds_sum", "time_per_output_token_seconds_sum"],
    "itl_count": ["inter_token_latency_seconds_count", "time_per_output_token_seconds_count"],
    "queue_time_sum_s": ["request_queue_time_seconds_sum"],
    "queue_time_count": ["request_queue_time_seconds_count"],
    "e2e_sum_s": ["e2e_request_latency_seconds_sum"],
    "e2e_count": ["e2e_request_latency_seconds_count"],
}


def read_with_a_full_parser(page: bytes) -> dict[str, Any]:
    samples: dict[str, list[float]] = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append(sample.value)
    figures: dict[str, Any] = {"engines": len(samples.get("vllm:num_requests_running", []))}
    for figure, names in SERIES.items():
        values = next((samples[f"vllm:{name}"] for name in names if f"vllm:{name}" in samples), None)
        total = None if values is None else sum(values)
        if total is not None and values is not None and figure == "kv_cache_usage":
            total /= len(values)
        figures[figure] = total if total is not None and math.isfinite(total) else None
    return figures


@needs_fixtures
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_real_pages_read_as_a_full_parser_reads_them(path: Path) -> None:
    page = path.read_bytes()
    assert asdict(parse_metrics(page)) == read_with_a_full_parser(page)


@needs_fixtures
def test_page_under_load_says_what_was_running() -> None:
    metrics = parse_metrics((FIXTURES / "0.32.0/metrics/metrics_under_load.prom").read_bytes())
    assert (metrics.running, metrics.waiting, metrics.engines) == (7.0, 8.0, 1)


@needs_fixtures
def test_two_engines_are_summed() -> None:
    metrics = parse_metrics((FIXTURES / "0.32.0/metrics/metrics_dp2_under_load.prom").read_bytes())
    assert (metrics.running, metrics.generation_tokens, metrics.engines) == (12.0, 192.0 + 387.0, 2)
    assert metrics.kv_cache_usage == 0.0007325112928824318


@needs_fixtures
def test_page_without_vllm_series_has_no_figures_rather_than_zeros() -> None:
    page = (FIXTURES / "0.32.0/metrics/metrics_disable_log_stats.prom").read_bytes()
    assert parse_metrics(page) == EngineMetrics()


def drift() -> dict[str, set[str]]:
    """Registered names by version."""
    if not FIXTURES.exists():
        return {}
    rows = list(csv.reader((FIXTURES / "metric_name_drift.csv").read_text().splitlines()))
    return {
        version: {r[0] for r in rows[1:] if r[column]} for column, version in enumerate(rows[0]) if column
    }


def page_with(names: set[str]) -> bytes:
    """A page of exactly these registered metrics, each of a kind of its own, with values that tell them apart."""
    registry = CollectorRegistry()
    labels = {"engine": "0", "model_name": "m"}
    for number, name in enumerate(sorted(names), start=1):
        if "_seconds" in name or name == "vllm:iteration_tokens_total":
            Histogram(name, f"{name} {{x}} 1.0", list(labels), registry=registry).labels(**labels).observe(
                number
            )
        elif f"{name.removeprefix('vllm:')}_total" in {n for all_names in SERIES.values() for n in all_names}:
            Counter(name, f"{name} 3.0", list(labels), registry=registry).labels(**labels).inc(number)
        else:
            Gauge(name, name, list(labels), registry=registry).labels(**labels).set(number)
    return generate_latest(registry)


@needs_fixtures
@pytest.mark.parametrize("version", list(drift()))
def test_every_version_s_names_are_read(version: str) -> None:
    names = drift()[version]
    page = page_with(names)
    metrics = parse_metrics(page)
    assert asdict(metrics) == read_with_a_full_parser(page)
    always = {"running", "waiting", "kv_cache_usage", "num_preemptions", "prompt_tokens", "generation_tokens"}
    always |= {
        "prefix_cache_queries",
        "prefix_cache_hits",
        "ttft_sum_s",
        "ttft_count",
        "itl_sum_s",
        "itl_count",
    }
    always |= {"queue_time_sum_s", "queue_time_count"}
    assert metrics.present >= always


awkward = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ['"', "\\", "}", "{", "\n", "} 9\n", 'a="b",c="d"} 1', "vllm:num_requests_running 5", " ", "\\n"]
)
values = st.floats(allow_nan=True, allow_infinity=True)


@settings(max_examples=60, deadline=None)
@given(
    label_values=st.lists(st.tuples(awkward, awkward), min_size=1, max_size=3, unique=True),
    numbers=st.lists(values, min_size=1, max_size=5),
    amounts=st.lists(st.floats(0, 1e12), min_size=1, max_size=5),
    bare=st.booleans(),
    help_text=awkward,
)
def test_random_pages_read_as_a_full_parser_reads_them(
    label_values: list[tuple[str, str]],
    numbers: list[float],
    amounts: list[float],
    bare: bool,
    help_text: str,
) -> None:
    registry = CollectorRegistry()
    label_names = [] if bare else ["engine", "model_name"]
    gauges = [
        Gauge(f"vllm:{name}", help_text, label_names, registry=registry)
        for name in (
            "num_requests_running",
            "num_requests_waiting",
            "kv_cache_usage_perc",
            "gpu_cache_usage_perc",
        )
    ]
    counters = [
        Counter(f"vllm:{name}", help_text, label_names, registry=registry)
        for name in ("prompt_tokens", "prompt_tokens_by_source", "gpu_prefix_cache_hits", "num_preemptions")
    ]
    histogram = Histogram("vllm:time_to_first_token_seconds", help_text, label_names, registry=registry)
    for n, labels in enumerate([()] if bare else label_values):
        for k, gauge in enumerate(gauges):
            (gauge.labels(*labels) if labels else gauge).set(numbers[(n + k) % len(numbers)])
        for k, counter in enumerate(counters):
            (counter.labels(*labels) if labels else counter).inc(amounts[(n + k) % len(amounts)])
        (histogram.labels(*labels) if labels else histogram).observe(amounts[n % len(amounts)])
    page = generate_latest(registry)
    assert asdict(parse_metrics(page)) == read_with_a_full_parser(page)


@pytest.mark.parametrize(
    ("page", "running"),
    [
        (b"vllm:num_requests_running 3", 3.0),
        (b"vllm:num_requests_running{} 3\n", 3.0),
        (b'vllm:num_requests_running{a="b"}\t3.5e0\r\n', 3.5),
        (b'vllm:num_requests_running{a="}"} 3 1700000000000\n', 3.0),
        (b'vllm:num_requests_running{a="\\"} 9"} 3\n', 3.0),
        (b'vllm:num_requests_running{a="1"} 1\nvllm:num_requests_running{a="2"} 2\n', 3.0),
        (b"# HELP vllm:num_requests_running 3\n", None),
        (b"# vllm:num_requests_running 3\n", None),
        (b" vllm:num_requests_running 3\n", None),
        (b"other:num_requests_running 3\n", None),
        (b"vllm:num_requests_running_by_reason 3\n", None),
        (b"vllm:num_requests_running_total 3\n", None),
        (b"vllm:num_requests_running\n", None),
        (b"vllm:num_requests_running{\n", None),
        (b'vllm:num_requests_running{a="b} 3\n', None),
        (b"vllm:num_requests_running NaN\n", None),
        (b"vllm:num_requests_running +Inf\n", None),
        (b'vllm:num_requests_running{a="1"} 1\nvllm:num_requests_running{a="2"} NaN\n', None),
        (b"vllm:num_requests_running many\n", None),
        (b"", None),
        (b"<html>\n<body>vllm:num_requests_running 3</body>", None),
        (b"\xff\x00\nvllm:num_requests_running 3\n\xfe", 3.0),
    ],
)
def test_samples_are_told_from_what_looks_like_them(page: bytes, running: float | None) -> None:
    assert parse_metrics(page).running == running


def test_a_figure_under_two_names_is_counted_once_under_the_newer() -> None:
    page = b"vllm:gpu_cache_usage_perc 0.9\nvllm:kv_cache_usage_perc 0.5\nvllm:prompt_tokens 7\n"
    metrics = parse_metrics(page)
    assert (metrics.kv_cache_usage, metrics.prompt_tokens) == (0.5, 7.0)


def test_created_and_bucket_series_are_ignored() -> None:
    page = (
        b"vllm:prompt_tokens_created 1.7e9\n"
        b'vllm:time_to_first_token_seconds_bucket{le="1"} 4\n'
        b"vllm:time_to_first_token_seconds_created 1.7e9\n"
        b'vllm:num_requests_waiting_by_reason{reason="capacity"} 4\n'
    )
    assert parse_metrics(page) == EngineMetrics()


def test_several_model_names_are_summed_and_cache_use_is_averaged() -> None:
    page = (
        b'vllm:num_requests_running{engine="0",model_name="a"} 1\n'
        b'vllm:num_requests_running{engine="0",model_name="b"} 4\n'
        b'vllm:kv_cache_usage_perc{engine="0",model_name="a"} 0.25\n'
        b'vllm:kv_cache_usage_perc{engine="0",model_name="b"} 0.75\n'
    )
    metrics = parse_metrics(page)
    assert (metrics.running, metrics.kv_cache_usage, metrics.engines) == (5.0, 0.5, 2)
    assert metrics.present == {"running", "kv_cache_usage"}
