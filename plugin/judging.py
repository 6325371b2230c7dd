"""Runs that are judged without anybody being asked: the SDK's doors to graders and signals."""

from __future__ import annotations

from inframind.graphs.portal import Portal
from inframind.plugin.outcomes.bench import Bench
from inframind.plugin.outcomes.judges import Grade, Judge, Signal
from inframind.traces.query import ALL_TRACES, TraceQuery


class Judging:
    """Has finished runs judged, off the request path; a part of `InfraMind`."""

    _bench: Bench
    _portal: Portal

    def add_grader(self, name: str, grade: Grade, *, key: str = "solved", share: float = 1.0) -> None:
        """Have every finished run with an answer judged by a function; what it says is feedback of ``grader:<name>``.

        Args:
            name: of the grader.
            grade: is given the trace; returns True or False, a number, or None for no opinion. It may be a coroutine
                function; a plain one runs in a thread. Its errors are logged and counted, and record nothing.
            key: what is judged; ``solved`` is what rewards read.
            share: share of the runs, the same ones every time, for graders that cost something.

        Raises:
            ConfigError: there is a grader of that name, or an option is out of range.
        """
        self._bench.add_grader(Judge(name=name, key=key, kind="grader", share=share), grade)

    def add_signal(self, name: str, signal: Signal, *, key: str, share: float = 1.0) -> None:
        """Have every run judged by what its thread's next run says of it; feedback of ``signal:<name>``.

        Args:
            name: of the signal.
            signal: is given a run and the next one of the same thread; otherwise like a grader. One to begin with is
                `inframind.plugin.outcomes.judges.asked_again`.
            key: what it says; list it under ``[feedback] solved_keys`` to have it count where nobody graded.
            share: share of the runs.

        Raises:
            ConfigError: as `add_grader`.
        """
        self._bench.add_signal(Judge(name=name, key=key, kind="signal", share=share), signal)

    async def agrade(self, query: TraceQuery = ALL_TRACES) -> int:
        """Have graders judge stored runs that they have not judged yet; the number of verdicts."""
        return await self._bench.catch_up(query)

    def grade(self, query: TraceQuery = ALL_TRACES) -> int:
        """`agrade` for callers without an event loop."""
        return self._portal.run(self.agrade(query))

    def judgements(self) -> dict[str, dict[str, int]]:
        """By judge, how often it ``said`` something, had ``no opinion``, ``failed`` or was ``left out``."""
        return {source: dict(counts) for source, counts in self._bench.figures().items()}
