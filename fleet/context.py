"""Who is asking: the step context that travels with every call as a W3C ``baggage`` header.

Servers that log baggage can then join their own records with ours, and the simulated model learns from it
which step of which workflow it is answering. See https://www.w3.org/TR/baggage/.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import quote, unquote

BAGGAGE_PREFIX = "inframind."


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """The step of a workflow that a call belongs to.

    Attributes:
        trace_id: the workflow run.
        question_id: the caller's id of the question, or "" when there is none.
        topology: name of the collaboration topology.
        node: ``agent`` or ``judge``.
        position: 0-based index of the agent in its team; 0 for the judge.
        team_size: number of agents in the team.
        round: 1-based round.
        role: name of the agent's role.
        strategy: name of the prompt strategy.
    """

    trace_id: str = ""
    question_id: str = ""
    topology: str = ""
    node: str = "agent"
    position: int = 0
    team_size: int = 1
    round: int = 1
    role: str = ""
    strategy: str = ""

    def to_baggage(self) -> str:
        """The header's value; empty members are left out."""
        members = ((name, str(getattr(self, name))) for name in _FIELD_NAMES)
        return ",".join(f"{BAGGAGE_PREFIX}{name}={_quoted(value)}" for name, value in members if value)

    @classmethod
    def from_baggage(cls, header: str) -> StepContext | None:
        """Parse a header that may also carry other people's members; None when none is ours.

        Raises:
            ValueError: a member of ours that should be an integer is not.
        """
        found: dict[str, str] = {}
        for member in header.split(","):
            key, _, value = member.partition(";")[0].partition("=")
            name = _NAME_OF_KEY.get(key.strip())
            if name is not None:
                found[name] = unquote(value.strip())
        if not found:
            return None
        members: dict[str, Any] = dict(found)
        members.update({name: int(found[name]) for name in _INT_FIELDS if name in found})
        return cls(**members)


_FIELD_NAMES = tuple(field.name for field in fields(StepContext))
_NAME_OF_KEY = {f"{BAGGAGE_PREFIX}{name}": name for name in _FIELD_NAMES}
_INT_FIELDS = ("position", "team_size", "round")


def _quoted(value: str) -> str:
    """Percent-encoded; most values need none, and finding that out costs a tenth."""
    return value if value.isascii() and value.isalnum() else quote(value, safe="")
