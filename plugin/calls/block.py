"""A run of an application as a block of its code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Token
from types import TracebackType

from inframind.plugin.calls.scope import RunScope, current_scope


class RunBlock:
    """What `InfraMind.run` gives: ``with`` or ``async with`` begins the run, and its end ends the run.

    Enter it once. ``async with`` has stored the trace when it ends; so has ``with``, unless an event loop runs, which
    it does not hold up: then the trace is stored soon after.

    Args:
        begin: opens the run.
        finish: ends it where nobody can await.
        afinish: ends it, and has stored its trace when it returns.
    """

    def __init__(
        self,
        begin: Callable[[], RunScope],
        finish: Callable[[RunScope, BaseException | None], None],
        afinish: Callable[[RunScope, BaseException | None], Awaitable[None]],
    ) -> None:
        self._begin, self._finish, self._afinish = begin, finish, afinish
        self._entered: tuple[RunScope, Token[RunScope | None]] | None = None

    def __enter__(self) -> RunScope:
        if self._entered is not None:
            raise RuntimeError("this run has begun already; call run() again for another")
        scope = self._begin()
        self._entered = scope, current_scope.set(scope)
        return scope

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish(self._leave(), error)

    async def __aenter__(self) -> RunScope:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._afinish(self._leave(), error)

    def _leave(self) -> RunScope:
        """Code that follows is outside the run, whatever becomes of its trace."""
        if self._entered is None:
            raise RuntimeError("this run has not begun; write `with mind.run():`")
        scope, token = self._entered
        current_scope.reset(token)
        return scope
