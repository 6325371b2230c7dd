"""Our errors as LangChain's: each class is both, so that generic handlers and our own both catch it.

An error keeps everything on the way: its fields, its cause, and the note that names its trace. What LangChain asks of
an error is whether the same call may succeed later; a timeout may, although no other candidate was worth trying.
"""

from __future__ import annotations

import re

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)

from inframind.errors import (
    DeadlineExceeded,
    EndpointError,
    EndpointOverloaded,
    EndpointProtocolError,
    EndpointRejected,
    EndpointServerError,
    EndpointTimeout,
    EndpointUnauthorized,
    EndpointUnreachable,
    FleetExhausted,
    InfraMindError,
    UnknownModel,
)


class CallTimedOut(ModelTimeoutError, EndpointTimeout):
    """No complete answer before the call's timeout."""


class CallUnreachable(ModelConnectionError, EndpointUnreachable):
    """The connection was refused, reset or closed."""


class CallRateLimited(ModelRateLimitError, EndpointOverloaded):
    """429."""


class CallOverloaded(ModelAPIError, EndpointOverloaded):
    """503: the endpoint's queue is full."""


class CallServerError(ModelAPIError, EndpointServerError):
    """Any other 5xx, and an error inside a stream."""


class CallProtocolError(ModelAPIError, EndpointProtocolError):
    """The reply was not what an OpenAI-compatible server sends."""


class CallRejected(ModelInvalidRequestError, EndpointRejected):
    """400, 422 and the like."""


class CallTooLong(ContextOverflowError, EndpointRejected):
    """400: the prompt does not fit into the model's context."""


class CallNotFound(ModelNotFoundError, EndpointRejected):
    """404: the endpoint does not have that model."""


class CallUnauthorized(ModelAuthenticationError, EndpointUnauthorized):
    """401."""


class CallForbidden(ModelPermissionDeniedError, EndpointUnauthorized):
    """403."""


class FleetRateLimited(ModelRateLimitError, FleetExhausted):
    """Every candidate said 429."""


class FleetUnreachable(ModelConnectionError, FleetExhausted):
    """No candidate could be reached."""


class FleetFailed(ModelAPIError, FleetExhausted):
    """Every candidate failed, each in its way."""


class BudgetSpent(ModelTimeoutError, DeadlineExceeded):
    """The run's hard budget is spent."""


class ModelUnknown(ModelNotFoundError, UnknownModel):
    """No endpoint of the fleet serves that model."""


_FOR_CLASS: dict[type[InfraMindError], type[InfraMindError]] = {
    EndpointTimeout: CallTimedOut,
    EndpointUnreachable: CallUnreachable,
    EndpointServerError: CallServerError,
    EndpointProtocolError: CallProtocolError,
    DeadlineExceeded: BudgetSpent,
    UnknownModel: ModelUnknown,
}

_TOO_LONG = re.compile(r"maximum context length|context_length_exceeded|context window", re.IGNORECASE)


def as_langchain(error: InfraMindError) -> InfraMindError:
    """The same error as one of LangChain's too; itself where LangChain has no name for it."""
    kind = _class_for(error)
    if kind is None:
        return error
    same: InfraMindError = kind.__new__(kind, *error.args)
    vars(same).update(vars(error))
    same.__cause__, same.__context__ = error.__cause__, error.__context__
    same.__suppress_context__ = error.__suppress_context__
    return same.with_traceback(error.__traceback__)


def _class_for(error: InfraMindError) -> type[InfraMindError] | None:
    if isinstance(error, FleetExhausted):
        return _for_fleet(error.failures)
    if isinstance(error, EndpointOverloaded):
        return CallRateLimited if error.status == 429 else CallOverloaded
    if isinstance(error, EndpointUnauthorized):
        return CallForbidden if error.status == 403 else CallUnauthorized
    if isinstance(error, EndpointRejected):
        return _for_rejected(error)
    return _FOR_CLASS.get(type(error))


def _for_fleet(failures: tuple[EndpointError, ...]) -> type[InfraMindError]:
    if failures and all(failure.status == 429 for failure in failures):
        return FleetRateLimited
    if failures and all(isinstance(failure, EndpointUnreachable) for failure in failures):
        return FleetUnreachable
    return FleetFailed


def _for_rejected(error: EndpointRejected) -> type[InfraMindError]:
    if error.status == 404:
        return CallNotFound
    return CallTooLong if _TOO_LONG.search(error.detail) else CallRejected
