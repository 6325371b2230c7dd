"""What was shown together, of which analysis, and to whom: told by the facts of ``shown`` events, not by clocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inframind.traces.advice import AdviceEvent

_KEPT = 8
"""Latest batches of one audience that are kept in mind."""
_BATCH = "batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Who was shown something, and out of what.

    Attributes:
        analysis: number of the analysis.
        segment: group of people, or "".
        domain: of questions that was asked for, or "".
    """

    analysis: int
    segment: str
    domain: str

    def facts(self, batch: str) -> dict[str, Any]:
        """For the events of what is shown.

        Args:
            batch: a name of its own, such as the first one's id.
        """
        return {"analysis": self.analysis, "segment": self.segment, "domain": self.domain, _BATCH: batch}


class Batches:
    """Ids of what was shown together out of the latest analysis. What older releases showed is not among it."""

    def __init__(self) -> None:
        self._analysis = 0
        self._shown: dict[Audience, deque[tuple[str, list[str]]]] = {}

    def add(self, event: AdviceEvent) -> None:
        """Take in an event; only ``shown`` ones say something."""
        found = _audience_of(event.facts) if event.kind == "shown" else None
        if found is None or found.analysis < self._analysis:
            return
        if found.analysis > self._analysis:
            self._analysis, self._shown = found.analysis, {}
        batches, name = self._shown.setdefault(found, deque(maxlen=_KEPT)), event.facts[_BATCH]
        if not batches or batches[0][0] != name:
            batches.appendleft((name, []))
        batches[0][1].append(event.recommendation_id)

    def of(self, audience: Audience) -> Sequence[Sequence[str]]:
        """What an audience was shown, the latest first."""
        return [batch for _, batch in self._shown.get(audience, ())]


def _audience_of(facts: Mapping[str, Any]) -> Audience | None:
    try:
        return Audience(analysis=facts["analysis"], segment=facts["segment"], domain=facts["domain"])
    except KeyError:
        return None
