"""What a `ChatInfraMind` is made of: its fields, the fleet behind it, and what LangChain asks about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from langchain_core.language_models import BaseChatModel, ModelProfile
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import BaseMessage
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, model_validator

from inframind.errors import ConfigError
from inframind.plugin.calls.asked import AUTO, PLAIN
from inframind.plugin.chat.asking import unknown_parameter
from inframind.plugin.chat.profile import profile_of
from inframind.plugin.chat.shared import KEY_VARIABLE, GivenMind, SharedMind, shared_mind, source_of
from inframind.plugin.chat.tools import as_tools
from inframind.plugin.mind import InfraMind
from inframind.router.latency import estimate_tokens

_NAMES_THE_MIND = ("config", "endpoints", "mind", "api_key")


class ChatFields(BaseChatModel):
    """What `ChatInfraMind` says of itself before it makes a call."""

    model_config = ConfigDict(
        extra="forbid", populate_by_name=True, arbitrary_types_allowed=True, protected_namespaces=()
    )

    config: str | Path | None = None
    """Configuration file; ``INFRAMIND_CONFIG``, or ``inframind.toml``, where nothing names the fleet."""
    endpoints: Mapping[str, str | Mapping[str, Any]] | None = None
    """Instead of a file: base URLs by model name, or by model name what an endpoint's table in the file says. They are
    shown as they are, so a key is named there: ``api_key_env`` or ``api_key_file``."""
    mind: InfraMind | None = Field(default=None, exclude=True, repr=False)
    """Instead of a file: an `InfraMind`."""
    api_key: SecretStr | None = None
    """Key for all ``endpoints`` (default: ``INFRAMIND_API_KEY``)."""

    model_name: str = Field(default=AUTO, alias="model")
    """A model by name; ``auto`` lets the router choose."""
    strategy: str = PLAIN
    """``Plain`` sends prompts as they are. A strategy's name, or ``auto``, adds its instruction to a user's plain text
    where there are no tools and no response format."""
    role: str = ""
    """Role of the caller, for the router and the trace."""
    budget_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds that a call should take, where no run says so; decisions aim at it, nothing is cut off."""

    temperature: float | None = None
    """Sampling temperature."""
    max_tokens: int | None = None
    """Longest answer in tokens."""
    timeout: float | None = Field(default=None, gt=0)
    """Seconds after which a call fails, failing over included."""
    stop: list[str] | str | None = None
    """Strings that end the answer."""
    seed: int | None = None
    """Sampling seed."""
    streaming: bool | None = None
    """True streams `invoke` too, for whoever listens to tokens; False never streams."""
    max_retries: int | None = None
    """Accepted, and not used: the one retry layer is the fleet's (``[fleet] max_attempts``, ``passes``)."""
    extra_body: dict[str, Any] | None = None
    """Further fields of the request's body."""
    default_headers: dict[str, str] | None = Field(default=None, repr=False)
    """Further headers."""

    _behind: SharedMind | GivenMind = PrivateAttr()

    @model_validator(mode="before")
    @classmethod
    def _teach(cls, values: Any) -> Any:
        """Say what to write instead of a parameter that does not exist."""
        if isinstance(values, dict):
            known = [*cls.model_fields, "model"]
            for name in values:
                if name not in known:
                    raise unknown_parameter(name, known)
        return values

    def model_post_init(self, context: Any, /) -> None:
        """Find the fleet; a configuration that is wrong is told here, not by the first call."""
        self._behind = self._find_mind()
        _ = self._behind.models

    def _find_mind(self) -> SharedMind | GivenMind:
        if self.mind is None:
            return shared_mind(source_of(self.config, self.endpoints, self.api_key))
        if self.config is not None or self.endpoints is not None or self.api_key is not None:
            raise ConfigError(
                "mind", "InfraMind", "it has its endpoints and keys: give no config, endpoints or api_key"
            )
        return GivenMind(self.mind)

    def close(self) -> None:
        """Close the fleet behind this model, and behind all models of the same configuration."""
        self._behind.close()

    async def aclose(self) -> None:
        """`close`, on the running loop."""
        await self._behind.aclose()

    @property
    def _llm_type(self) -> str:
        return "inframind-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        names = ("model_name", "strategy", "role", "temperature", "max_tokens", "stop", "seed", "extra_body")
        return {name: getattr(self, name) for name in names}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "inframind"
        if not stop and self.stop:
            params["ls_stop"] = [self.stop] if isinstance(self.stop, str) else self.stop
        return params

    def _resolve_model_profile(self) -> ModelProfile:
        return profile_of(self._behind.models, self.model_name)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """True: it is made again from its fields, keys left out."""
        return True

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Where LangChain's loader finds the class."""
        return ["inframind", "plugin", "chat"]

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Fields that are never written out, by the variable that holds them."""
        return {"api_key": KEY_VARIABLE}

    def to_json(self) -> Any:
        """The fields; a given mind cannot be written out."""
        return super().to_json() if self.mind is None else self.to_json_not_implemented()

    def get_num_tokens(self, text: str) -> int:
        """An estimate from the text's length: the fleet's models have different tokenizers."""
        return estimate_tokens([text])

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """An estimate from the texts' lengths, and those of the tools' definitions."""
        return estimate_tokens(
            [*(str(message.text) for message in messages), *map(str, as_tools(tools or ()))]
        )

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy; it finds its fleet anew where the update names another."""
        copied = super().model_copy(update=update, deep=deep)
        if update and any(name in update for name in _NAMES_THE_MIND):
            copied._behind = copied._find_mind()
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        if self.mind is not None:
            memo[id(self.mind)] = self.mind
        return super().__deepcopy__(memo)

    def __getstate__(self) -> dict[Any, Any]:
        self._behind.__reduce__()
        return super().__getstate__()
