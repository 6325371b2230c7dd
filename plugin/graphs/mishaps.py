"""Errors of our own while we watch somebody's application: they stay here."""

from __future__ import annotations

import logging
from types import TracebackType

_log = logging.getLogger("inframind.graphs")


class Mishaps:
    """Counts errors instead of letting them through, and logs the first. Use as ``with mishaps:``, any number deep.

    Args:
        where: what is being done, for the log.
        let_through: errors that tell the application that it asked for something impossible.

    Attributes:
        count: errors so far.
    """

    def __init__(self, where: str, let_through: tuple[type[Exception], ...] = ()) -> None:
        self._where, self._let_through = where, let_through
        self.count = 0

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Keep an error, unless it is the application's, or one that ends it."""
        if not isinstance(error, Exception) or isinstance(error, self._let_through):
            return False
        self.count += 1
        if self.count == 1:
            _log.error(
                "%s failed; the application goes on. Later errors are counted only",
                self._where,
                exc_info=error,
            )
        return True
