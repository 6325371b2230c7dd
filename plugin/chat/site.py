"""Where in a LangGraph application a chat model is called: read from the model's run and from the running node."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    BaseCallbackHandler,
    BaseCallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config

from inframind.errors import ConfigError
from inframind.graphs.identity import current_execution
from inframind.plugin.calls.runs import Runs
from inframind.plugin.calls.site import OWN_METADATA, TRACE_METADATA, CallSite, node_name
from inframind.traces.secret_names import names_secret

_NOT_THE_CALLERS = ("langgraph_", "ls_", "lc_", "checkpoint_", "__", "inframind")
_PLAIN = (str, int, float, bool)
_OWN_KEYS = ("role", "strategy", "model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One run of a chat model, as LangChain tells of it.

    Attributes:
        run_id: of the model's run.
        parent_run_id: of what called the model.
        metadata: of the run, the graph's and the node's included.
        handlers: who listens.
    """

    run_id: uuid.UUID | None = None
    parent_run_id: uuid.UUID | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    handlers: Sequence[BaseCallbackHandler] = ()

    @classmethod
    def of_run(cls, manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun) -> Caller:
        """The caller whose run has begun."""
        return cls(
            run_id=manager.run_id,
            parent_run_id=manager.parent_run_id,
            metadata=manager.metadata,
            handlers=manager.handlers,
        )

    @classmethod
    def of_config(cls, config: RunnableConfig | None = None) -> Caller:
        """The caller whose run is about to begin under this config, or under the running node's."""
        config = ensure_config() if config is None else config
        callbacks = config.get("callbacks")
        manager = callbacks if isinstance(callbacks, BaseCallbackManager) else None
        return cls(
            run_id=config.get("run_id"),
            parent_run_id=manager.parent_run_id if manager else None,
            metadata=config.get("metadata") or {},
            handlers=manager.handlers if manager else cast(Sequence[BaseCallbackHandler], callbacks or ()),
        )

    @property
    def message_id(self) -> str | None:
        """Id of the message that comes of the run, as LangChain builds it."""
        return f"lc_run--{self.run_id}" if self.run_id else None

    @property
    def own(self) -> Mapping[str, str]:
        """What the node's author says to us: ``metadata={"inframind": {"role": ..., "strategy": ..., "model": ...}}``.

        Raises:
            ConfigError: another key, or not text.
        """
        own = self.metadata.get(OWN_METADATA) or {}
        if not isinstance(own, Mapping):
            raise ConfigError(
                f"metadata.{OWN_METADATA}", type(own).__name__, "write a mapping of role, strategy, model"
            )
        for key, value in own.items():
            if key not in _OWN_KEYS or not isinstance(value, str):
                raise ConfigError(
                    f"metadata.{OWN_METADATA}.{key}", value, "write role, strategy or model, each as text"
                )
        return own


def site_of(caller: Caller, runs: Runs, role: str = "") -> CallSite:
    """The place of a call; read it in the caller's thread, before anything hops to another.

    Args:
        caller: the model's run.
        runs: the runs of the mind that is asked.
        role: role that the call, the node or the model names.

    Raises:
        ConfigError: metadata that speaks to us, and says what cannot be.
    """
    metadata, execution = caller.metadata, current_execution()
    thread_id = execution.thread_id if execution else None
    return CallSite(
        node=node_name(metadata),
        role=role,
        thread_id=str(thread_id or metadata.get("thread_id") or ""),
        task_id=execution.task_id if execution else "",
        execution=execution,
        trace_id=_trace_id(metadata, execution.run_id if execution else None),
        call_id=caller.run_id.hex if caller.run_id else "",
        scope=runs.around(caller.handlers, caller.run_id, caller.parent_run_id),
        metadata=_plain(metadata),
    )


def _trace_id(metadata: Mapping[str, Any], root_run_id: object) -> str:
    named = metadata.get(TRACE_METADATA)
    if named is None:
        return _hex(root_run_id) or ""
    trace_id = _hex(named)
    if trace_id is None:
        raise ConfigError(f"metadata.{TRACE_METADATA}", named, "write 32 hex digits, such as uuid4().hex")
    return trace_id


def _hex(value: object) -> str | None:
    try:
        return uuid.UUID(str(value)).hex
    except ValueError:
        return None


def _plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What the application itself put there, as far as a trace can keep it, and but for secrets."""
    return {
        key: value
        for key, value in metadata.items()
        if isinstance(value, _PLAIN) and not key.startswith(_NOT_THE_CALLERS) and not names_secret(key)
    }
