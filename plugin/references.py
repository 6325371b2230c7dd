"""What feedback is about: a run's trace, a message, a run's id or a thread, as the caller has it."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from langchain_core.messages import AIMessage

from inframind.errors import ConfigError, UnknownTrace
from inframind.traces.aliases import run_alias, thread_alias
from inframind.traces.prefix import check_prefix
from inframind.traces.store import TraceStore

_UUID = r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}"
_RUN_ID = re.compile(_UUID)
# langchain-core calls an answer after the model's run, "-<n>" after the place among several answers.
_MESSAGE_ID = re.compile(rf"(?:(?:lc_)?run-{{1,2}})?({_UUID})(?:-\d+)?")
_HEX = re.compile(r"[0-9a-fA-F]{1,32}")
_TRACE_ID_DIGITS = 32
_FORMS = (
    "give a trace id or its first six or more hex digits, a message or its id (lc_run--<uuid>), or a run's UUID; "
    "a thread by name, as thread_id="
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackTarget:
    """What feedback is about, said in exactly one way.

    Attributes:
        trace_id: the run's trace: all 32 hex digits, or six or more that only one stored trace begins with.
        message: an answer of a routed model or graph.
        message_id: its id: ``lc_run--<uuid>``, ``lc_run--<uuid>-0``, or the bare UUID.
        run_id: a run's UUID, of the application's run or of one call of a model in it.
        thread_id: a thread: its latest run that is known here. It cannot be early: which run was meant would be
            decided by what happens to run next.

    Raises:
        ConfigError: none or several are given, or one is not of its form.
    """

    trace_id: str | None = None
    message: AIMessage | None = None
    message_id: str | None = None
    run_id: uuid.UUID | str | None = None
    thread_id: str | None = None

    def __post_init__(self) -> None:
        names = ("trace_id", "message", "message_id", "run_id", "thread_id")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) != 1:
            value = ", ".join(given) or None
            raise ConfigError("feedback", value, f"say once what it is about: {' or '.join(names)}")
        self.reference()

    @classmethod
    def of(cls, what: AIMessage | uuid.UUID | str) -> FeedbackTarget:
        """Tell by its form what a reference is.

        Raises:
            ConfigError: it has none of the forms.
        """
        if isinstance(what, AIMessage):
            return cls(message=what)
        if isinstance(what, uuid.UUID):
            return cls(run_id=what)
        if not isinstance(what, str):
            raise ConfigError("feedback", type(what).__name__, _FORMS)
        if _HEX.fullmatch(what):
            return cls(trace_id=what)
        if _MESSAGE_ID.fullmatch(what):
            return cls(message_id=what)
        raise ConfigError("feedback", what[:80], _FORMS)

    def reference(self) -> str:
        """A trace id (or its beginning), or an alias, as the trace store takes them."""
        if self.trace_id is not None:
            return check_prefix(self.trace_id)
        if self.message is not None:
            return _message_reference(self.message)
        if self.message_id is not None:
            return run_alias(_message_run("message_id", self.message_id))
        if self.run_id is not None:
            return run_alias(_run(self.run_id))
        return thread_alias(_thread(self.thread_id))

    async def resolve(self, store: TraceStore) -> str:
        """The trace id, or the name under which feedback waits until its trace comes.

        Raises:
            UnknownTrace: a thread without a known run, or digits that no stored trace begins with.
            ConfigError: digits that several stored traces begin with.
        """
        reference = self.reference()
        if self.trace_id is not None:
            is_whole = len(reference) == _TRACE_ID_DIGITS
            return (
                await store.trace_of(reference) or reference if is_whole else await store.resolve(reference)
            )
        known = await store.trace_of(reference)
        if known is None and self.thread_id is not None:
            raise UnknownTrace(reference)
        return known or reference


def _message_reference(message: AIMessage) -> str:
    """The trace that a routed answer names, or else the run that wrote it."""
    routed = message.response_metadata.get("inframind")
    trace_id = routed.get("trace_id") if isinstance(routed, dict) else None
    if trace_id is not None:
        if not isinstance(trace_id, str) or len(trace_id) != _TRACE_ID_DIGITS:
            raise ConfigError(
                'message.response_metadata["inframind"]["trace_id"]', trace_id, "give the message as it came"
            )
        return check_prefix(trace_id)
    return run_alias(_message_run("message.id", message.id))


def _message_run(field: str, message_id: str | None) -> uuid.UUID:
    found = _MESSAGE_ID.fullmatch(message_id) if isinstance(message_id, str) else None
    if found is None:
        raise ConfigError(
            field, message_id, "give an answer's id as LangChain makes them, lc_run--<uuid>, or its UUID"
        )
    return uuid.UUID(found[1])


def _run(run_id: uuid.UUID | str) -> uuid.UUID:
    if isinstance(run_id, uuid.UUID):
        return run_id
    if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id):
        raise ConfigError("run_id", run_id, "give a UUID, such as the run_id of the config or of a tracker")
    return uuid.UUID(run_id)


def _thread(thread_id: str | None) -> str:
    if not isinstance(thread_id, str) or not thread_id:
        raise ConfigError("thread_id", thread_id, "give the thread's name, as in config['configurable']")
    return thread_id
