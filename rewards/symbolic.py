"""Symbolic equality of two answers, in bounded time, from any thread.

The library ``math-verify`` decides. It must not run in this process: its time limit is a SIGALRM, which
only the main thread may set, and no signal interrupts a single huge integer operation such as
``9^{9^{9^{9}}}``. So one worker process, started on first use and reused, answers one question at a time;
when it is not back within the limit it is killed, the question counts as undecided, and the next one starts
a new worker.

Why a plain program on pipes and not `multiprocessing`: spawned children of the latter import the caller's
``__main__`` again, which breaks unguarded scripts and notebooks, and its pools cannot kill one stuck child.
The worker costs about 0.7 s to start and a few milliseconds a question; it ends with our process, however
that ends, because its input does. This process never imports sympy.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from inframind.errors import ConfigError

MAX_SYMBOLIC_CHARS = 400
"""Longer answers are not sent: what is undecidable there costs a worker restart each time."""

_START_LIMIT_S = 60.0
_WORKER = Path(__file__).with_name("symbolic_worker.py")


class SymbolicChecker:
    """Decides whether two LaTeX answers are equal as mathematics.

    Safe from any thread; calls queue behind one lock. It blocks: from async code, call it through
    ``asyncio.to_thread``. A process forked from ours gets a worker of its own.

    Args:
        limit_s: seconds of one comparison, after which it is undecided.

    Raises:
        ConfigError: ``limit_s`` is not positive.
    """

    def __init__(self, *, limit_s: float = 3.0) -> None:
        if not limit_s > 0:
            raise ConfigError("limit_s", limit_s, "give a positive number of seconds, such as 3")
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._worker: subprocess.Popen[str] | None = None
        self._owner_pid = 0

    def equal(self, expected: str, answer: str) -> tuple[bool | None, str]:
        """Whether ``answer`` equals ``expected``, and why it could not be decided when that is None."""
        if max(len(expected), len(answer)) > MAX_SYMBOLIC_CHARS:
            return None, f"not compared: longer than {MAX_SYMBOLIC_CHARS} characters"
        with self._lock:
            reply = self._ask(json.dumps([expected, answer]))
        if reply is None:
            return None, f"not decided within {self._limit_s:g} s (or the comparison ran out of memory)"
        equal: bool | None = json.loads(reply)
        return equal, "" if equal is not None else "not understood as mathematics"

    def close(self) -> None:
        """End the worker, if any. The checker stays usable: the next question starts another."""
        with self._lock:
            self._stop()

    def _ask(self, line: str) -> str | None:
        worker = self._running_worker()
        if worker is None:
            return None
        return self._exchange(worker, line, self._limit_s)

    def _running_worker(self) -> subprocess.Popen[str] | None:
        if self._worker is not None and self._owner_pid == os.getpid() and self._worker.poll() is None:
            return self._worker
        self._stop()
        self._worker = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        self._owner_pid = os.getpid()
        atexit.register(self.close)
        return self._worker if self._exchange(self._worker, None, _START_LIMIT_S) else None

    def _exchange(self, worker: subprocess.Popen[str], line: str | None, limit_s: float) -> str | None:
        """One line in, one line out; None, and no worker any more, when that takes too long or breaks."""
        assert worker.stdin is not None and worker.stdout is not None
        executioner = threading.Timer(limit_s, worker.kill)
        executioner.daemon = True
        executioner.start()
        try:
            if line is not None:
                worker.stdin.write(line + "\n")
                worker.stdin.flush()
            reply = worker.stdout.readline()
        except BrokenPipeError:
            reply = ""
        executioner.cancel()
        executioner.join()  # a kill that is under way must not hit the next question
        if not reply:
            self._stop()
        return reply or None

    def _stop(self) -> None:
        worker, self._worker = self._worker, None
        atexit.unregister(self.close)
        if worker is None or self._owner_pid != os.getpid():
            return
        worker.kill()
        worker.communicate()


@functools.cache
def shared_checker() -> SymbolicChecker:
    """The process's one checker, for callers that have no reason to own one."""
    return SymbolicChecker()
