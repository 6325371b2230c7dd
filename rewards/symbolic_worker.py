"""The program that `inframind.rewards.symbolic` runs in a process of its own. Nothing imports it.

Protocol: one JSON line ``[expected, answer]`` in, one JSON line out: true, false, or null when either side
could not be read as mathematics. The first line out is ``"ready"``. It ends with its standard input.
"""

from __future__ import annotations

import json
import logging
import signal
import sys

from math_verify import parse, verify  # type: ignore[import-untyped]

MEMORY_LIMIT_BYTES = 4 << 30


def main() -> None:
    """Answer one line at a time until the parent goes away."""
    _stay_small_and_quiet()
    print(json.dumps("ready"), flush=True)  # noqa: T201 (standard output is the protocol)
    for line in sys.stdin:
        expected, answer = json.loads(line)
        print(json.dumps(_equal(expected, answer)), flush=True)  # noqa: T201


def _equal(expected: str, answer: str) -> bool | None:
    """No time limit here: math-verify's own needs signals, and cannot stop one long integer operation."""
    gold = parse(f"${expected}$", parsing_timeout=0)
    target = parse(f"${answer}$", parsing_timeout=0)
    if not _was_understood(gold) or not _was_understood(target):
        return None
    return bool(verify(gold, target, timeout_seconds=0))


def _was_understood(parsed: list[object]) -> bool:
    return any(not isinstance(candidate, str) for candidate in parsed)


def _stay_small_and_quiet() -> None:
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it closes our input
    if sys.platform != "win32":
        import resource  # absent on Windows

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))


if __name__ == "__main__":
    main()
