"""Which errors a graph's own retries can help with."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from langchain_core.exceptions import ModelError
from langgraph.types import RetryPolicy

from inframind.errors import (
    DeadlineExceeded,
    EndpointRejected,
    EndpointUnauthorized,
    InfraMindError,
    RunError,
)

_FINAL = (EndpointRejected, EndpointUnauthorized, DeadlineExceeded)
_WORTH_RETRYING = (408, 429)
_as_langgraph_judges = cast(Callable[[Exception], bool], RetryPolicy().retry_on)


def retry_on(error: Exception) -> bool:
    """For ``RetryPolicy(retry_on=inframind.retry_on)``: whether the same node may succeed later.

    Timeouts, lost connections, 429 and 5xx may; 400, 401, 403, 404, a spent budget and a caller's mistake will not.
    LangGraph's own default retries every error of a model's SDK, refusals included. Errors of other kinds are judged
    as LangGraph judges them.
    """
    if isinstance(error, InfraMindError):
        return isinstance(error, RunError) and not isinstance(error, _FINAL)
    if isinstance(error, ModelError):
        return error.is_retryable
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return status in _WORTH_RETRYING or status >= 500
    return _as_langgraph_judges(error)
