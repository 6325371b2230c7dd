"""Error bodies as vLLM 0.32 sends them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """A refusal with an HTTP status and a JSON body; caught at the door and nowhere else."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        self.status, self.body = status, body
        super().__init__(f"HTTP {status}")


def error_body(message: str, kind: str, param: str | None, code: int) -> dict[str, Any]:
    """The envelope of every error but the unauthorised one."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def invalid_field(kind: str, location: str, message: str, given: str, **context: str) -> ApiError:
    """400 from the schema check of the body; ``given`` describes the input without repeating it."""
    detail: dict[str, Any] = {"type": kind, "loc": location, "msg": message, "input": given}
    if context:
        detail["ctx"] = context
    text = f"1 validation error:\n  {detail}"
    return ApiError(400, error_body(text, "Bad Request", location, 400))


def bad_request(message: str, param: str, value: object = None) -> ApiError:
    """400 from the checks after the schema."""
    suffix = f"(parameter={param})" if value is None else f"(parameter={param}, value={value})"
    return ApiError(400, error_body(f"{message} {suffix}", "BadRequestError", param, 400))


def unknown_model(model: object, served: str) -> ApiError:
    """404 for a model that is not served here."""
    text = f"The model `{model}` does not exist. Valid aliases: {served}."
    return ApiError(404, error_body(text, "NotFoundError", "model", 404))


UNAUTHORIZED = {"error": "Unauthorized"}

QUEUE_FULL = error_body(
    "The engine is currently busy and cannot accept new requests. "
    "Please try again later or on a different instance.",
    "Service Unavailable",
    None,
    503,
)

ENGINE_DIED = error_body(
    "EngineCore encountered an issue. See stack trace (above) for the root cause.",
    "InternalServerError",
    None,
    500,
)

TOO_MANY_REQUESTS = error_body("Too many requests.", "Too Many Requests", None, 429)
