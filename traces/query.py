"""What to read from a store: filters, order and paging, and how a listing shows a trace."""

from __future__ import annotations

import math
from dataclasses import dataclass

from inframind.errors import ConfigError
from inframind.traces.records import SOLVED_ONLY, SolvedKeys, Status, Trajectory, solved_of

EXCERPT_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceQuery:
    """Which traces to read, and in which order. An empty query means all of them, newest first.

    Attributes:
        status: only traces that ended so.
        topology: only traces of this topology.
        solved: only traces whose outcomes say so, by ``solved_keys``; traces without any match neither value.
        labelled: True for traces with such an outcome, False for those without.
        solved_keys: which outcomes say whether a run was solved; the summaries' ``solved`` follows them too.
        since_s: only arrivals at or after this instant, in seconds since the Unix epoch.
        until_s: only arrivals before this instant.
        limit: at most so many traces; None for no limit.
        cursor: continue after the trace whose `TraceSummary.cursor` this is, in the same order.
        oldest_first: the order in which a learner replays.

    Raises:
        ConfigError: an empty time range, a limit below 1, a cursor that no listing gave out, or ``solved``
            together with ``labelled=False``.
    """

    status: Status | None = None
    topology: str | None = None
    solved: bool | None = None
    labelled: bool | None = None
    solved_keys: SolvedKeys = SOLVED_ONLY
    since_s: float | None = None
    until_s: float | None = None
    limit: int | None = None
    cursor: str | None = None
    oldest_first: bool = False

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ConfigError("limit", self.limit, "give a positive number of traces, or None for all")
        if self.since_s is not None and self.until_s is not None and self.since_s >= self.until_s:
            raise ConfigError("until_s", self.until_s, f"give an instant after since_s = {self.since_s!r}")
        if self.solved is not None and self.labelled is False:
            raise ConfigError(
                "labelled", self.labelled, "a trace without an outcome is neither solved nor not"
            )
        if self.cursor is not None:
            parse_cursor(self.cursor)

    def matches(self, trajectory: Trajectory) -> bool:
        """Whether the filters (not limit and cursor) let this trajectory through."""
        solved = solved_of(trajectory.outcomes, self.solved_keys)
        return (
            self.status in (None, trajectory.status)
            and self.topology in (None, trajectory.topology)
            and self.solved in (None, solved)
            and self.labelled in (None, solved is not None)
            and (self.since_s is None or trajectory.arrived_at_s >= self.since_s)
            and (self.until_s is None or trajectory.arrived_at_s < self.until_s)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSummary:
    """One line of a listing.

    Attributes:
        trace_id: the whole id.
        arrived_at_s: seconds since the Unix epoch.
        status: how the run ended.
        topology: name, or "".
        domain: of the question.
        question_id: the caller's id, or "".
        question: the first 200 characters.
        latency_s: seconds from arrival to the final answer.
        budget_s: seconds that it had.
        solved: what its outcomes say by the query's ``solved_keys``, or None while none says so.
    """

    trace_id: str
    arrived_at_s: float
    status: Status
    topology: str
    domain: str
    question_id: str
    question: str
    latency_s: float
    budget_s: float
    solved: bool | None

    @property
    def cursor(self) -> str:
        """Give this to `TraceQuery.cursor` to continue after this trace."""
        return format_cursor(self.arrived_at_s, self.trace_id)

    @classmethod
    def of(cls, trajectory: Trajectory, keys: SolvedKeys = SOLVED_ONLY) -> TraceSummary:
        """The summary of a whole trajectory, solved or not by these keys."""
        return cls(
            trace_id=trajectory.trace_id,
            arrived_at_s=float(trajectory.arrived_at_s),
            status=trajectory.status,
            topology=trajectory.topology,
            domain=trajectory.domain,
            question_id=trajectory.question_id,
            question=trajectory.question[:EXCERPT_CHARS],
            latency_s=float(trajectory.latency_s),
            budget_s=float(trajectory.budget_s),
            solved=solved_of(trajectory.outcomes, keys),
        )


ALL_TRACES = TraceQuery()


def format_cursor(arrived_at_s: float, trace_id: str) -> str:
    """A place in the order (arrived_at_s, trace_id), as text; exact, because ``repr`` of a float is."""
    return f"{arrived_at_s!r}/{trace_id}"


def parse_cursor(cursor: str) -> tuple[float, str]:
    """The (arrived_at_s, trace_id) that `format_cursor` was given.

    Raises:
        ConfigError: no listing gave this cursor out.
    """
    number, slash, trace_id = cursor.partition("/")
    try:
        arrived_at_s = float(number)
    except ValueError:
        arrived_at_s = math.nan
    if not (math.isfinite(arrived_at_s) and slash and trace_id):
        raise ConfigError("cursor", cursor, "use TraceSummary.cursor of the last trace of the page before")
    return arrived_at_s, trace_id
