"""The configuration: one TOML file, overridden by ``INFRAMIND_...`` variables. The only reader of either."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from inframind.errors import ConfigError
from inframind.fleet.breaker import BreakerConfig
from inframind.fleet.endpoints import EndpointSpec
from inframind.fleet.pool import FleetConfig
from inframind.graphs.outbox import OutboxConfig
from inframind.graphs.services import RunDefaults
from inframind.plugin.config_advisor import AdvisorSection
from inframind.plugin.config_errors import config_error
from inframind.plugin.config_online import OnlineSection
from inframind.plugin.config_section import Section as _Section
from inframind.router.actions import DEFAULT_STRATEGIES, StrategySpec
from inframind.router.decide import DecideConfig
from inframind.router.gate.config import GateConfig
from inframind.router.rulebook import require_own_names
from inframind.router.rules import RoutingRule
from inframind.router.topology import MAX_TEAM_SIZE
from inframind.traces.group_commit import DEFAULT_LIMITS, WriteLimits
from inframind.traces.spans import SpanConfig

ENV_PREFIX = "INFRAMIND_"


class EndpointSection(EndpointSpec):
    """An endpoint as it is written in the file: the key comes from a variable or a file."""

    api_key_env: str | None = None
    """Environment variable that holds the API key."""
    api_key_file: Path | None = None
    """File that holds the API key, and nothing else."""

    @model_validator(mode="after")
    def _one_key(self) -> EndpointSection:
        given = [name for name in ("api_key", "api_key_env", "api_key_file") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} contradict each other; keep one")
        return self

    def to_spec(self) -> EndpointSpec:
        """The endpoint with its key read.

        Raises:
            ConfigError: the variable is not set, or the file cannot be read.
        """
        values = {name: getattr(self, name) for name in EndpointSpec.model_fields}
        return EndpointSpec.model_validate({**values, "api_key": self._read_key()})

    def _read_key(self) -> SecretStr | None:
        if self.api_key_env:
            key = os.environ.get(self.api_key_env, "")
            if not key:
                field = f"endpoints.{self.name}.api_key_env"
                raise ConfigError(field, self.api_key_env, "set this environment variable")
            return SecretStr(key)
        if self.api_key_file:
            return SecretStr(self._read_key_file(self.api_key_file))
        return self.api_key

    def _read_key_file(self, path: Path) -> str:
        field = f"endpoints.{self.name}.api_key_file"
        try:
            key = path.expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(field, str(path), f"cannot be read: {error}") from error
        if not key:
            raise ConfigError(field, str(path), "the file is empty")
        return key


class RunSection(_Section):
    """What applies to a question where its caller says nothing."""

    budget_s: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    """Latency budget in seconds."""
    domain: Literal["auto", "math", "code", "knowledge", "general"] = "auto"
    """Domain, or ``auto`` to guess it from the question."""
    max_question_chars: int = Field(default=400_000, gt=0)
    """Longer questions are refused."""


class PolicySection(_Section):
    """Who decides."""

    name: Literal["just_enough", "uniform", "learned"] = "just_enough"
    """Policy."""
    path: Path | None = None
    """File of a trained policy, as ``inframind train`` wrote it; None takes the one that comes with the package. Only
    for ``learned``."""
    deadline_quantile: float | None = None
    """What is predicted to be late is masked, by this quantile (0.5 or 0.9); None is 0.5 for ``learned``, which weighs
    the risk itself, and 0.9 otherwise."""
    quality_floor: float | None = Field(default=None, ge=0, lt=1)
    """Share of questions a call should solve; only for ``just_enough``."""
    exploration: float = Field(default=0.0, ge=0, le=1)
    """Share of decisions drawn uniformly from what is allowed, so that traces can be learned from."""
    greedy: bool = False
    """Evaluation mode: always the best candidate."""
    seed: int | None = None
    """Seed of all chance; None takes a fresh one. For experiments, each with a store of its own: processes that begin
    with the same one draw the same trace ids, and the later one's traces take the place of the earlier one's."""
    max_team: int = Field(default=MAX_TEAM_SIZE, ge=1, le=MAX_TEAM_SIZE)
    """Largest team that is planned."""
    topologies: tuple[str, ...] = ()
    """Topologies to choose from; empty means all."""


class BreakerSection(_Section):
    """When an endpoint that keeps failing is left alone."""

    failure_threshold: int = Field(default=3, ge=1)
    """Consecutive failures that open the breaker."""
    open_s: float = Field(default=2.0, gt=0)
    """Seconds before the first trial."""
    max_open_s: float = Field(default=60.0, gt=0)
    """Longest wait between trials."""


class FleetSection(_Section):
    """How the fleet is called and watched."""

    scrape_interval_s: float = Field(default=0.5, gt=0)
    """Seconds between two readings of an endpoint's metrics page."""
    max_attempts: int = Field(default=6, ge=1)
    """Most tries of one call."""
    passes: int = Field(default=2, ge=1)
    """How often the list of candidates is gone through."""
    backoff_s: float = Field(default=0.2, gt=0)
    """Wait before the second pass."""
    breaker: BreakerSection = BreakerSection()
    """When an endpoint is left alone."""


class TracesSection(_Section):
    """Where traces are kept."""

    url: str = "sqlite:///inframind.db"
    """``memory:``, ``sqlite:///path`` or ``postgresql://user@host/database``."""
    content: Literal["store", "hash"] = "store"
    """Whether the texts of questions and answers are stored, or only digests of them, which nobody can read and nothing
    be trained on; routing is learned from either."""
    content_key_env: str | None = None
    """With ``hash``: environment variable of a secret of 16 bytes or more, the same for all processes."""
    max_waiting: int = Field(default=DEFAULT_LIMITS.max_waiting, ge=1)
    """Traces and feedback that may wait to be written at once."""
    when_full: Literal["block", "refuse"] = DEFAULT_LIMITS.when_full
    """Whether more than that wait for room, or are refused with an error."""
    when_down: Literal["answer", "raise"] = "answer"
    """What a run does whose trace the store does not take: answer, and keep the trace in memory until it does
    (``max_waiting`` of them; further ones are lost, which is logged and counted); or raise the store's error."""
    patience_s: float = Field(default=OutboxConfig.patience_s, gt=0)
    """Seconds that an answer waits for its trace to be stored, where ``when_down`` is ``answer``."""
    retention_days: float | None = Field(default=None, gt=0)
    """What ``inframind traces prune`` keeps; nothing is deleted by itself."""

    def write_limits(self) -> WriteLimits:
        """For the store."""
        return WriteLimits(max_waiting=self.max_waiting, when_full=self.when_full)

    def outbox_config(self) -> OutboxConfig:
        """For what the store does not take."""
        return OutboxConfig(patience_s=self.patience_s, most=self.max_waiting)

    @model_validator(mode="after")
    def _key_for_digests(self) -> TracesSection:
        if self.content == "hash" and not self.content_key_env:
            raise ValueError(
                'content = "hash" needs a secret: name its environment variable in content_key_env'
            )
        if self.content == "store" and self.content_key_env:
            raise ValueError('content_key_env means nothing with content = "store"; leave one out')
        return self

    def content_key(self) -> bytes | None:
        """The secret for digests, or None where texts are stored.

        Raises:
            ConfigError: the variable is not set.
        """
        if not self.content_key_env:
            return None
        key = os.environ.get(self.content_key_env, "")
        if not key:
            raise ConfigError("traces.content_key_env", self.content_key_env, "set this environment variable")
        return key.encode()


class OtelSection(_Section):
    """Runs as OpenTelemetry spans and metrics, through the providers that the application has set up."""

    enabled: bool = False
    """Whether finished runs are exported; needs ``inframind[otel]``."""
    content: bool = False
    """Whether questions, answers, comments and error messages are shown."""
    provider: str = Field(default="vllm", min_length=1)
    """``gen_ai.provider.name``: who serves the models."""


class FeedbackSection(_Section):
    """What feedback means."""

    solved_keys: Mapping[str, float] = Field(default_factory=dict)
    """Keys beside ``solved`` that say whether a run was solved, each with the least score that means yes, most telling
    first: ``{thumbs = 0.5}``."""


class Settings(BaseSettings):
    """Everything that can be configured. Unknown keys are errors.

    ``INFRAMIND_RUN__BUDGET_S=20`` overrides ``[run] budget_s``; two underscores separate section and key.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    endpoints: tuple[EndpointSection, ...] = Field(min_length=1)
    """What serves."""
    strategies: tuple[StrategySpec, ...] = ()
    """Prompt strategies of your own; one with the name of a default replaces it."""
    roles_file: Path | None = None
    """TOML file with more roles."""
    rules: tuple[RoutingRule, ...] = ()
    """What is not to be chosen, and when; of two that leave nothing together, the earlier one counts."""
    run: RunSection = RunSection()
    """Defaults of a run."""
    policy: PolicySection = PolicySection()
    """Who decides."""
    fleet: FleetSection = FleetSection()
    """How the fleet is called."""
    traces: TracesSection = TracesSection()
    """Where traces are kept."""
    otel: OtelSection = OtelSection()
    """What OpenTelemetry sees."""
    feedback: FeedbackSection = FeedbackSection()
    """What feedback means."""
    online: OnlineSection = OnlineSection()
    """Learning from production."""
    advisor: AdvisorSection = AdvisorSection()
    """Recommendations."""

    @model_validator(mode="after")
    def _online_fits(self) -> Settings:
        """Refuse at once what could not learn, or would serve what nobody meant."""
        policy = self.policy
        self.online.require_fitting(policy.name, policy.exploration, self.traces.url)
        self.advisor.require_fitting(self.online.learner)
        require_own_names(self.rules)
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file."""
        return env_settings, init_settings

    def endpoint_specs(self) -> tuple[EndpointSpec, ...]:
        """Endpoints with their keys read."""
        return tuple(endpoint.to_spec() for endpoint in self.endpoints)

    def all_strategies(self) -> tuple[StrategySpec, ...]:
        """Default strategies, replaced and extended by the file's."""
        by_name = {strategy.name: strategy for strategy in (*DEFAULT_STRATEGIES, *self.strategies)}
        return tuple(by_name.values())

    def own_rules(self) -> tuple[RoutingRule, ...]:
        """Rules that the configured policy serves under.

        With ``[online]`` those that came from a recommendation are left out: a version carries them, and the roll-out
        says which runs that serves.
        """
        return tuple(rule for rule in self.rules if not (self.online.enabled and rule.advice))

    def run_defaults(self) -> RunDefaults:
        """For the graphs."""
        return RunDefaults(**self.run.model_dump())

    def decide_config(self) -> DecideConfig:
        """For the router."""
        policy = self.policy
        quantile = policy.deadline_quantile or (0.5 if policy.name == "learned" else 0.9)
        return DecideConfig(exploration=policy.exploration, greedy=policy.greedy, deadline_quantile=quantile)

    def fleet_config(self) -> FleetConfig:
        """For the fleet."""
        values = self.fleet.model_dump(exclude={"breaker"})
        return FleetConfig(**values, breaker=BreakerConfig(**self.fleet.breaker.model_dump()))

    def gate_config(self) -> GateConfig:
        """For the gate."""
        return self.online.gate.to_config()

    def span_config(self) -> SpanConfig:
        """For the exporter."""
        urls = {endpoint.name: urlsplit(endpoint.base_url) for endpoint in self.endpoints}
        ports = {"http": 80, "https": 443}
        servers = {name: (url.hostname or "", url.port or ports[url.scheme]) for name, url in urls.items()}
        return SpanConfig(content=self.otel.content, provider=self.otel.provider, servers=servers)


def load_settings(path: Path | str) -> Settings:
    """Settings from a TOML file and the environment.

    Relative paths inside the file (keys, roles, the trace store) are relative to the file's folder.

    Raises:
        ConfigError: no such file, not TOML, an unknown or impossible key.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError("config", str(path), "no such file; `inframind init` writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("config", str(path), f"cannot be read: {error}") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("config", str(path), f"not valid TOML: {error}") from error
    return settings_from(values, base=path.parent)


def settings_from(values: Mapping[str, Any], *, base: Path | None = None) -> Settings:
    """Settings from a mapping of the file's form and the environment.

    Raises:
        ConfigError: an unknown or impossible key; names the first one, counts the others.
    """
    try:
        settings = Settings(**_anchored(dict(values), base) if base else values)
    except ValidationError as error:
        raise config_error(error, values, type_of=Settings, env_prefix=ENV_PREFIX) from error
    except SettingsError as error:
        raise ConfigError("environment", f"{ENV_PREFIX}...", f"{error}; write JSON there") from error
    return settings


def _anchored(values: dict[str, Any], base: Path) -> dict[str, Any]:
    """The mapping with its relative paths made relative to ``base``."""
    if isinstance(values.get("roles_file"), str):
        values["roles_file"] = str(base / values["roles_file"])
    policy = values.get("policy")
    if isinstance(policy, dict) and isinstance(policy.get("path"), str):
        values["policy"] = {**policy, "path": str(base / policy["path"])}
    traces = values.get("traces", {})
    url = str(traces.get("url", TracesSection().url)) if isinstance(traces, dict) else ""
    if url.startswith("sqlite:///"):
        values["traces"] = {**traces, "url": f"sqlite:///{base / url.removeprefix('sqlite:///')}"}
    if isinstance(values.get("endpoints"), list | tuple):
        values["endpoints"] = [_with_anchored_key(endpoint, base) for endpoint in values["endpoints"]]
    return values


def _with_anchored_key(endpoint: object, base: Path) -> object:
    if not isinstance(endpoint, dict) or not isinstance(endpoint.get("api_key_file"), str):
        return endpoint
    return {**endpoint, "api_key_file": str(base / Path(endpoint["api_key_file"]).expanduser())}
