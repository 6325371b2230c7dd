"""What a caller gets back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

EventKind = Literal["plan", "step_start", "step_end", "pace", "skip", "token", "answer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """An answer and how it came about.

    Attributes:
        answer: the final answer, extracted by the domain's rule; the whole text where there is no rule.
        text: the full text of the answering step.
        status: ``ok``, or ``late`` when the deadline cut the run or the answer came after it.
        topology: name of the topology.
        team: role of each agent.
        rounds: rounds that were begun.
        latency_s: seconds from arrival to the answer, routing and judge included.
        budget_s: seconds that there were.
        trace_id: for `InfraMind.feedback`, `InfraMind.explain` and the store.
        decisions: every decision's kind, action and probability, as plain data.
    """

    answer: str
    text: str
    status: Literal["ok", "late"]
    topology: str
    team: tuple[str, ...]
    rounds: int
    latency_s: float
    budget_s: float
    trace_id: str
    decisions: tuple[Mapping[str, Any], ...]

    @property
    def on_time(self) -> bool:
        """Whether the answer came within the budget."""
        return self.status == "ok" and self.latency_s <= self.budget_s

    @classmethod
    def of(cls, account: Mapping[str, Any], text: str) -> Self:
        """From the graph's plain-data account of a run and its answering text."""
        return cls(
            text=text,
            team=tuple(account["team"]),
            decisions=tuple(account["decisions"]),
            **{name: account[name] for name in _SAME_NAMES},
        )


_SAME_NAMES = ("answer", "status", "topology", "rounds", "latency_s", "budget_s", "trace_id")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened during a run.

    Attributes:
        kind: what happened.
        data: plain data; ``token`` has ``text``, ``answer`` has the fields of a `Result`.
    """

    kind: EventKind
    data: Mapping[str, Any]
