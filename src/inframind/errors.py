"""Every exception that InfraMind raises, in one tree. This module imports nothing of ours.

::

    InfraMindError
    ├── CallerError                 the call is wrong: fix the call and try again
    │   ├── ConfigError             a setting is missing, unknown or contradictory
    │   ├── UnknownModel            no endpoint serves that model
    │   ├── UnknownTopology         no topology is registered under that name
    │   ├── InvalidQuestion         empty, too large, or not text
    │   ├── InvalidBudget           a budget must be a positive, finite number of seconds
    │   ├── InvalidItems            a file of questions cannot be read
    │   ├── UnknownTrace            the store holds no trace under that id
    │   ├── UnknownPolicy           no policy version of that name is on the shelf
    │   ├── UnknownConfiguration    no configuration of that id was ever used
    │   ├── UnknownRecommendation   no recommendation of that id was ever made
    │   ├── CheckpointError         a file of learned weights is damaged, or does not fit
    │   └── StoreClosed             the store was used after it was closed
    └── RunError                    the call was right, the run went wrong
        ├── DeadlineExceeded        the budget ran out before there was any answer
        ├── FleetExhausted          every candidate endpoint failed
        ├── StoreError              a trace could not be read or written
        ├── Overtaken               somebody else changed what was about to be changed
        │   ├── RolloutMoved            the roll-out has gone on since it was read
        │   ├── LearnerMoved            another process has committed as the same learner
        │   └── AdviceMoved             a recommendation was decided on already
        └── EndpointError           one endpoint failed one call
            ├── EndpointTimeout         no (complete) answer before the deadline
            ├── EndpointUnreachable     connection refused, reset or closed
            ├── EndpointOverloaded      429 or 503: the endpoint asks us to go elsewhere
            ├── EndpointServerError     any other 5xx, and errors sent inside a stream
            ├── EndpointProtocolError   the reply is not what an OpenAI-compatible server sends
            ├── EndpointRejected        400, 404, 422 ...: the endpoint refuses this very request
            └── EndpointUnauthorized    401 or 403: the key is missing or wrong

Only the ``EndpointError`` classes with ``is_retryable`` move on to another candidate; the rest would fail
everywhere in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


def _meant(given: str, known: Iterable[str]) -> str:
    """A question that names what was probably meant, or ""; small letters count as capital ones."""
    by_small = {name.casefold(): name for name in known}
    near = get_close_matches(given.casefold(), by_small, n=1)
    return f"did you mean {by_small[near[0]]!r}? " if near else ""


class InfraMindError(Exception):
    """Base of everything that InfraMind raises on purpose.

    Attributes:
        trace_id: the run that this error ended, or "" when there was none; `about_trace` sets it.
    """

    trace_id: str = ""

    def about_trace(self, trace_id: str) -> None:
        """Say which run this error ended; the traceback then says how to look at it."""
        if not self.trace_id:
            self.add_note(f"trace {trace_id}: see `inframind explain {trace_id}`")
        self.trace_id = trace_id


class CallerError(InfraMindError):
    """The caller's mistake: retrying the same call cannot help."""


class RunError(InfraMindError):
    """The run's misfortune: the same call may succeed later."""


class ConfigError(CallerError):
    """A setting is missing, unknown or contradictory.

    Attributes:
        field: dotted path of the setting, such as ``endpoints.0.base_url``.
        value: what was given, as text; secrets are never put here.
        fix: one sentence saying what to write instead.
    """

    def __init__(self, field: str, value: object, fix: str) -> None:
        self.field, self.value, self.fix = field, value, fix
        super().__init__(f"{field} = {value!r}: {fix}")


class UnknownModel(CallerError):
    """No endpoint of the fleet serves that model."""

    def __init__(self, model: str, known: tuple[str, ...]) -> None:
        self.model, self.known = model, known
        super().__init__(
            f"no endpoint serves model {model!r}; {_meant(model, known)}"
            f"this fleet serves {', '.join(known) or 'none'}"
        )


class UnknownTopology(CallerError):
    """No topology is registered under that name."""

    def __init__(self, topology: str, known: tuple[str, ...]) -> None:
        self.topology, self.known = topology, known
        super().__init__(
            f"unknown topology {topology!r}; {_meant(topology, known)}choose one of: auto, {', '.join(known)}"
        )


class InvalidQuestion(CallerError):
    """The question is empty, too large, or not text."""

    def __init__(self, problem: str, fix: str) -> None:
        self.problem, self.fix = problem, fix
        super().__init__(f"question {problem}: {fix}")


class InvalidBudget(CallerError):
    """A latency budget must be a positive, finite number of seconds."""

    def __init__(self, budget_s: object) -> None:
        self.budget_s = budget_s
        super().__init__(f"budget_s = {budget_s!r}: give a positive, finite number of seconds, such as 20")


class InvalidItems(CallerError):
    """A file of questions cannot be read.

    Attributes:
        path: the file.
        line: 1-based line number, or None when the file as a whole is at fault.
    """

    def __init__(self, path: str, line: int | None, problem: str, fix: str) -> None:
        self.path, self.line, self.problem, self.fix = path, line, problem, fix
        where = f"{path}, line {line}" if line else path
        super().__init__(f"{where}: {problem}; {fix}")


class UnknownTrace(CallerError):
    """The store holds no trace under that id."""

    def __init__(self, trace_id: str) -> None:
        self.trace_id = trace_id
        super().__init__(f"no trace {trace_id!r} in the store; `inframind traces list` shows what there is")


class CheckpointError(CallerError):
    """A file of learned weights is damaged, or does not fit what is to use it.

    Attributes:
        path: the file.
        what: what is wrong with it.
        fix: what to do about it.
    """

    def __init__(self, path: str, what: str, fix: str) -> None:
        self.path, self.what, self.fix = path, what, fix
        super().__init__(f"checkpoint {path}: {what}; {fix}")


class UnknownPolicy(CallerError):
    """No policy version of that name is on the shelf."""

    def __init__(self, version: str) -> None:
        super().__init__(f"no policy version {version!r}; `inframind policies list` shows them")
        self.version = version


class UnknownConfiguration(CallerError):
    """No configuration of that id was ever used."""

    def __init__(self, configuration_id: str) -> None:
        super().__init__(f"no configuration {configuration_id!r}; `inframind configs list` shows them")
        self.configuration_id = configuration_id


class UnknownRecommendation(CallerError):
    """No recommendation of that id was ever made."""

    def __init__(self, recommendation_id: str) -> None:
        super().__init__(f"no recommendation {recommendation_id!r}; `inframind advise list` shows them")
        self.recommendation_id = recommendation_id


class StoreClosed(CallerError):
    """The store was used after it was closed."""

    def __init__(self) -> None:
        super().__init__("the trace store is closed, or its InfraMind is; keep it open while its graphs run")


class DeadlineExceeded(RunError):
    """The budget ran out before there was any answer to give."""

    def __init__(self, trace_id: str, budget_s: float, elapsed_s: float) -> None:
        self.trace_id, self.budget_s, self.elapsed_s = trace_id, budget_s, elapsed_s
        super().__init__(
            f"no answer within {budget_s:.3g} s (trace {trace_id}, {elapsed_s:.3g} s elapsed); "
            f"give a larger budget, or see `inframind explain {trace_id}` for where the time went"
        )


class FleetExhausted(RunError):
    """Every candidate endpoint failed.

    Attributes:
        failures: the last error of each endpoint that was tried, in order; empty when none could be tried.
    """

    def __init__(
        self, failures: tuple[EndpointError, ...], *, reason: str = "every candidate failed"
    ) -> None:
        self.failures, self.reason = failures, reason
        tried = "; ".join(str(failure) for failure in failures) or "none was available"
        super().__init__(f"{reason}: {tried}; `inframind doctor` checks every endpoint")


class StoreError(RunError):
    """A trace could not be read or written."""

    def __init__(self, operation: str, detail: str) -> None:
        self.operation, self.detail = operation, detail
        super().__init__(f"trace store, {operation}: {detail}")


class StoreUnavailable(StoreError):
    """The storage takes nothing, whatever it is given: it is out of reach, full, locked or read-only."""


class Overtaken(RunError):
    """Somebody else changed what this process was about to change; nothing was done."""


class RolloutMoved(Overtaken):
    """The roll-out has gone on since it was read."""

    def __init__(self, after: int, last: int) -> None:
        super().__init__(f"the roll-out is at event {last}, not {after}: read it again and decide anew")
        self.after, self.last = after, last


class LearnerMoved(Overtaken):
    """Another process has committed as the same learner, or learned one of the lessons."""

    def __init__(self, learner: str, detail: str) -> None:
        super().__init__(
            f"learner {learner!r} was overtaken: {detail}; load its progress and go on from there"
        )
        self.learner, self.detail = learner, detail


class AdviceMoved(Overtaken):
    """A recommendation was decided on already."""

    def __init__(self, recommendation_id: str, kind: str, earlier: str) -> None:
        again = f"; `inframind advise accept --again {recommendation_id[:12]}` accepts the same change anew"
        super().__init__(
            f"recommendation {recommendation_id[:12]} was {earlier} already, and cannot be {kind}; "
            f"`inframind advise show {recommendation_id[:12]}` tells its story"
            + (again if kind == "accepted" and earlier != "accepted" else "")
        )
        self.recommendation_id, self.kind, self.earlier = recommendation_id, kind, earlier


class EndpointError(RunError):
    """One endpoint failed one call.

    Attributes:
        endpoint: name of the endpoint, as configured.
        elapsed_s: seconds from sending the request to the failure.
        detail: what the endpoint or the network said, without secrets.
        status: HTTP status code, or None when there was no reply.
        partial_text: the part of the answer that had arrived, or "".
        earlier: failures of the same call that had already moved on to another candidate.
    """

    is_retryable: ClassVar[bool] = False
    counts_against_endpoint: ClassVar[bool] = False
    fix: ClassVar[str] = ""

    def __init__(
        self,
        endpoint: str,
        elapsed_s: float,
        detail: str,
        *,
        status: int | None = None,
        partial_text: str = "",
    ) -> None:
        self.endpoint, self.elapsed_s, self.detail = endpoint, elapsed_s, detail
        self.status, self.partial_text = status, partial_text
        self.earlier: tuple[EndpointError, ...] = ()
        code = f" (HTTP {status})" if status else ""
        fix = f"; {self.fix}" if self.fix else ""
        super().__init__(f"endpoint {endpoint!r}{code} after {elapsed_s:.3g} s: {detail}{fix}")


class EndpointTimeout(EndpointError):
    """No complete answer before the deadline. Not retryable: the time is gone."""

    def __init__(self, endpoint: str, elapsed_s: float, deadline_s: float, *, partial_text: str = "") -> None:
        self.deadline_s = deadline_s
        super().__init__(
            endpoint, elapsed_s, f"no complete answer within {deadline_s:.3g} s", partial_text=partial_text
        )


class EndpointUnreachable(EndpointError):
    """Connection refused, reset or closed."""

    is_retryable = True
    counts_against_endpoint = True


class EndpointOverloaded(EndpointError):
    """429 or 503: the endpoint asks us to go elsewhere. It is busy, not broken."""

    is_retryable = True


class EndpointServerError(EndpointError):
    """Any other 5xx, and an error that the server sends inside a stream."""

    is_retryable = True
    counts_against_endpoint = True


class EndpointProtocolError(EndpointError):
    """The reply is not what an OpenAI-compatible server sends: garbage, or a body cut short."""

    is_retryable = True
    counts_against_endpoint = True


class EndpointRejected(EndpointError):
    """400, 404, 422 and the like: the endpoint refuses this very request."""

    fix = "`inframind doctor` compares the configuration with what the server has"


class EndpointUnauthorized(EndpointError):
    """401 or 403: the key is missing or wrong."""

    fix = "set api_key_env or api_key_file of this endpoint; `inframind doctor` tries it"
