"""The mind behind a chat model: given, or built on first use and shared by all models of one configuration.

Models come and go (LangChain copies them for every override), but what is known of a fleet's load, and how many calls
it has in flight, must be known once. So models of one configuration find each other here, and what they share goes
with the last of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from pydantic import SecretStr

from inframind.errors import ConfigError
from inframind.fleet.endpoints import ModelFacts, group_by_model
from inframind.plugin.config import Settings, load_settings, settings_from
from inframind.plugin.mind import InfraMind

CONFIG_VARIABLE, KEY_VARIABLE = "INFRAMIND_CONFIG", "INFRAMIND_API_KEY"
DEFAULT_CONFIG = "inframind.toml"


class Source(Protocol):
    """Where a configuration comes from; sources that are equal share one mind."""

    def load(self) -> Settings:
        """The configuration. Raises ConfigError."""
        ...


@dataclass(frozen=True, slots=True)
class FileSource:
    """A TOML file, by its absolute path."""

    path: str

    def load(self) -> Settings:
        """The file's settings. Raises ConfigError."""
        return load_settings(self.path)


@dataclass(frozen=True, slots=True)
class EndpointsSource:
    """Endpoints that are named in code.

    Attributes:
        endpoints: their fields as JSON, which unlike a mapping can be compared.
        api_key: sent to all of them.
    """

    endpoints: str
    api_key: SecretStr | None = None

    def load(self) -> Settings:
        """Settings with these endpoints, and defaults otherwise. Raises ConfigError."""
        settings = settings_from({"endpoints": json.loads(self.endpoints)})
        if self.api_key is None:
            return settings
        endpoints = tuple(spec.model_copy(update={"api_key": self.api_key}) for spec in settings.endpoints)
        return settings.model_copy(update={"endpoints": endpoints})


def source_of(
    config: str | os.PathLike[str] | None,
    endpoints: Mapping[str, str | Mapping[str, Any]] | None,
    api_key: SecretStr | None,
) -> Source:
    """The source that a model's fields name; ``INFRAMIND_CONFIG`` or ``inframind.toml`` where they name none.

    Raises:
        ConfigError: fields that contradict each other.
    """
    if endpoints is not None:
        if config is not None:
            raise ConfigError("endpoints", sorted(endpoints), "give config or endpoints, not both")
        listed = [_endpoint(model, what) for model, what in endpoints.items()]
        return EndpointsSource(json.dumps(listed, sort_keys=True), api_key or _key_from_environment())
    if api_key is not None:
        fix = "a configured endpoint has its own api_key_env or api_key_file; api_key goes with endpoints="
        raise ConfigError("api_key", "...", fix)
    path = config or os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG
    return FileSource(os.path.abspath(path))  # noqa: PTH100 (resolving asks the disk, on somebody's event loop)


def _endpoint(model: str, what: str | Mapping[str, Any]) -> dict[str, Any]:
    """An endpoint of the configuration from ``{model: url}`` or ``{model: {"base_url": url, ...}}``."""
    fields = {"base_url": what} if isinstance(what, str) else dict(what)
    if "api_key" in fields:
        fix = "name it by api_key_env or api_key_file here, or give api_key= for all: endpoints are shown as they are"
        raise ConfigError(f"endpoints.{model}.api_key", "...", fix)
    return {"name": model, "model": model, **fields}


def _key_from_environment() -> SecretStr | None:
    key = os.environ.get(KEY_VARIABLE)
    return SecretStr(key) if key else None


class SharedMind:
    """A configuration, and the mind that is built from it when it is first needed; another in a fork of the process.

    Args:
        source: where the configuration comes from.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._built: tuple[int, InfraMind] | None = None
        self._inherited: list[InfraMind] = []

    @cached_property
    def settings(self) -> Settings:
        """The configuration. Raises ConfigError."""
        return self._source.load()

    @property
    def models(self) -> Mapping[str, ModelFacts]:
        """The models that the endpoints serve."""
        return group_by_model(self.settings.endpoints)

    def mind(self) -> InfraMind:
        """The mind; reads files and loads a policy the first time."""
        with self._lock:
            mind = self._own()
            if mind is None:
                mind = InfraMind(self.settings)
                self._built = os.getpid(), mind
        return mind

    async def amind(self) -> InfraMind:
        """`mind`, without holding the running loop up."""
        mind = self._own()
        return await asyncio.to_thread(self.mind) if mind is None else mind

    def close(self) -> None:
        """Close the mind, if it was built; a later call builds another."""
        mind = self._taken()
        if mind is not None:
            mind.close()

    async def aclose(self) -> None:
        """`close`, on the running loop."""
        mind = self._taken()
        if mind is not None:
            await mind.aclose()

    def _own(self) -> InfraMind | None:
        """The mind, where this process built it: a fork has none of its threads."""
        if self._built is None:
            return None
        process_id, mind = self._built
        if process_id == os.getpid():
            return mind
        # Neither used nor collected, which would close what the other process has open.
        self._inherited.append(mind)
        self._built = None
        return None

    def _taken(self) -> InfraMind | None:
        with self._lock:
            mind, self._built = self._own(), None
        return mind

    def __reduce__(self) -> tuple[Any, ...]:
        return shared_mind, (self._source,)

    def __deepcopy__(self, memo: dict[int, Any]) -> SharedMind:
        return self


class GivenMind:
    """A mind that somebody else made, and closes."""

    def __init__(self, mind: InfraMind) -> None:
        self._mind = mind

    @property
    def models(self) -> Mapping[str, ModelFacts]:
        """The models that the endpoints serve."""
        return self._mind.fleet.models

    def mind(self) -> InfraMind:
        """The mind."""
        return self._mind

    async def amind(self) -> InfraMind:
        """The mind."""
        return self._mind

    def close(self) -> None:
        """Nothing: it is its maker's to close."""

    async def aclose(self) -> None:
        """Nothing: it is its maker's to close."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a chat model made with mind= cannot be pickled; make it with config= or endpoints=")

    def __deepcopy__(self, memo: dict[int, Any]) -> GivenMind:
        return self


_shared: weakref.WeakValueDictionary[Source, SharedMind] = weakref.WeakValueDictionary()
_shared_lock = threading.Lock()


def shared_mind(source: Source) -> SharedMind:
    """The one that models of this source share."""
    with _shared_lock:
        found = _shared.get(source)
        if found is None:
            found = _shared[source] = SharedMind(source)
        return found
