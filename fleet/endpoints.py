"""What an endpoint is: a frozen, typed description of one OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from inframind.errors import ConfigError

Capability = Literal["tools", "json", "vision", "reasoning"]


def _require_http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("write a full URL such as http://gpu-0:8000/v1")
    if parts.username or parts.password:
        raise ValueError("put no credentials in the URL; use api_key_env or api_key_file")
    return url.rstrip("/")


HttpUrl = Annotated[str, AfterValidator(_require_http_url)]


class EndpointSpec(BaseModel):
    """One OpenAI-compatible server. Several with the same ``model`` are replicas of that model.

    Raises:
        pydantic.ValidationError: an unknown, missing or impossible field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(min_length=1, max_length=100)
    """Unique name, shown in traces and errors."""
    base_url: HttpUrl
    """Where the OpenAI-compatible API lives, usually ending in ``/v1``."""
    model: str = Field(min_length=1)
    """Model name as the server knows it."""
    api_key: SecretStr | None = None
    """Bearer token, or None for a server without one. Never shown."""
    context_length: int = Field(default=8192, gt=0)
    """Tokens that prompt and answer may take together."""
    size_b: float = Field(default=8.0, gt=0)
    """Parameters in billions; the physical latency prior and the default quality come from it."""
    quality: float | None = Field(default=None, gt=0, lt=1)
    """Expected share of typical questions solved with the plain prompt; None derives it from ``size_b``."""
    price_input_usd_per_mtok: float = Field(default=0.0, ge=0)
    """Dollars per million prompt tokens."""
    price_output_usd_per_mtok: float = Field(default=0.0, ge=0)
    """Dollars per million output tokens."""
    capabilities: frozenset[Capability] = frozenset()
    """What the server can do beyond chat."""
    max_concurrency: int = Field(default=64, gt=0)
    """Calls that we keep in flight there at once; more wait on our side, most urgent first."""
    max_num_seqs: int | None = Field(default=None, gt=0)
    """Requests that the engine batches at once (vLLM's ``--max-num-seqs``); None takes ``max_concurrency`` for it."""
    priority: bool = False
    """Whether it runs with ``--scheduling-policy priority``; only then is ``priority`` sent."""
    connect_timeout_s: float = Field(default=5.0, gt=0)
    """Seconds to wait for a connection before moving on to another endpoint."""
    read_timeout_s: float | None = Field(default=None, gt=0)
    """Longest silence in seconds before moving on; None waits for the deadline, as deep queues need."""
    metrics_url: HttpUrl | None = None
    """Prometheus page; None derives ``/metrics`` beside the API's ``/v1``."""
    metrics: bool = True
    """Whether to read load metrics at all (False for engines that have none)."""

    @property
    def root_url(self) -> str:
        """The server's root: ``base_url`` without its ``/v1``."""
        return self.base_url.removesuffix("/v1")

    @property
    def chat_url(self) -> str:
        """Where chat calls go."""
        return f"{self.base_url}/chat/completions"

    @property
    def scrape_url(self) -> str | None:
        """Where load metrics are read, or None."""
        if not self.metrics:
            return None
        return self.metrics_url or f"{self.root_url}/metrics"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What all replicas of one model have in common.

    Attributes:
        model: model name.
        size_b: parameters in billions.
        quality: expected share of typical questions solved with the plain prompt, in (0, 1).
        context_length: the smallest of the replicas, in tokens.
        price_input_usd_per_mtok: dollars per million prompt tokens.
        price_output_usd_per_mtok: dollars per million output tokens.
        capabilities: what every replica can do.
        slots: calls that all replicas together take at once.
        engine_slots: requests that all engines together batch at once.
        endpoints: names of the replicas, in configuration order.
    """

    model: str
    size_b: float
    quality: float
    context_length: int
    price_input_usd_per_mtok: float
    price_output_usd_per_mtok: float
    capabilities: frozenset[Capability]
    slots: int
    engine_slots: int
    endpoints: tuple[str, ...]


def default_quality(size_b: float) -> float:
    """Prior share of typical questions solved, from the number of parameters alone.

    ``q = s / (s + 6)`` with ``s`` in billions: 3 B 0.33, 8 B 0.57, 14 B 0.70, 32 B 0.84. A shape between the
    MATH and GSM8K rates recorded for open models of 2 to 72 B; state ``quality`` in the configuration, or let
    the policy learn it, wherever better is known.
    """
    return size_b / (size_b + 6.0)


def group_by_model(endpoints: Iterable[EndpointSpec]) -> Mapping[str, ModelFacts]:
    """Facts of every model that the endpoints serve, in order of first appearance.

    Raises:
        ConfigError: no endpoint, a name used twice, or replicas that contradict each other.
    """
    endpoints = tuple(endpoints)
    if not endpoints:
        raise ConfigError(
            "endpoints", [], "configure at least one endpoint; `inframind init` writes an example"
        )
    _require_unique_names(endpoints)
    replicas: dict[str, list[EndpointSpec]] = {}
    for endpoint in endpoints:
        replicas.setdefault(endpoint.model, []).append(endpoint)
    return {model: _facts_of(model, group) for model, group in replicas.items()}


def _require_unique_names(endpoints: tuple[EndpointSpec, ...]) -> None:
    names = [endpoint.name for endpoint in endpoints]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError("endpoints.name", name, "give every endpoint its own name")


def _facts_of(model: str, replicas: list[EndpointSpec]) -> ModelFacts:
    for field in ("size_b", "quality", "price_input_usd_per_mtok", "price_output_usd_per_mtok"):
        values = sorted({str(getattr(replica, field)) for replica in replicas})
        if len(values) > 1:
            raise ConfigError(
                f"endpoints.{field}", values, f"give every replica of {model!r} the same {field}"
            )
    first = replicas[0]
    return ModelFacts(
        model=model,
        size_b=first.size_b,
        quality=default_quality(first.size_b) if first.quality is None else first.quality,
        context_length=min(replica.context_length for replica in replicas),
        price_input_usd_per_mtok=first.price_input_usd_per_mtok,
        price_output_usd_per_mtok=first.price_output_usd_per_mtok,
        capabilities=frozenset.intersection(*(replica.capabilities for replica in replicas)),
        slots=sum(replica.max_concurrency for replica in replicas),
        engine_slots=sum(replica.max_num_seqs or replica.max_concurrency for replica in replicas),
        endpoints=tuple(replica.name for replica in replicas),
    )
