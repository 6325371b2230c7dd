"""A clock that tests can move on, and calls as an application makes them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from inframind.plugin.calls.asked import AskedCall


class MovableClock:
    """The machine's clock, and what a test adds to it."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now_s(self) -> float:
        return time.monotonic() + self.ahead_s

    def wall_s(self) -> float:
        return time.time() + self.ahead_s


def asking(text: str = "How many?", **values: Any) -> AskedCall:
    return AskedCall(messages=[{"role": "user", "content": text}], question=text, **values)


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def ask() -> Callable[..., AskedCall]:
    """``ask("text", model=...)``: a call with one user message."""
    return asking
