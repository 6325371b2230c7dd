"""Whose word counts, and how much: from feedback to one label per run, with whoever gave it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from inframind.errors import ConfigError
from inframind.router.online.protocol import Label
from inframind.traces.records import SOLVED_ONLY, Outcome, SolvedKeys, Trajectory, solved_of

_USUAL = {"grader:*": 1.0, "api": 1.0, "user": 0.5, "user:*": 0.5}


@dataclass(frozen=True, kw_only=True)
class Trust:
    """How far each source of feedback is believed.

    Raises:
        ConfigError: a trust outside [0, 1], or an empty range.
    """

    sources: Mapping[str, float] = field(default_factory=lambda: dict(_USUAL))
    """Trust by source, 0 to 1, with ``*`` for any text; the first pattern that fits counts, and 0 is not heard."""
    unknown: float = 0.2
    """Trust in sources that no pattern fits."""
    least: float = 0.0
    """Score that means *not at all*; lower ones are taken for it."""
    most: float = 1.0
    """Score that means *entirely*; higher ones are taken for it."""
    graded: bool = False
    """Whether a score of ``solved`` between the ends is a label between 0 and 1, instead of a yes or a no."""

    def __post_init__(self) -> None:
        for name, trust in {**self.sources, "unknown": self.unknown}.items():
            if not 0 <= trust <= 1:
                raise ConfigError(f"guards.trust.{name}", trust, "use a number in [0, 1]")
        if not self.least < self.most:
            raise ConfigError("guards.trust.most", self.most, f"use a score above {self.least:g}")

    def of(self, source: str) -> float:
        """Trust in a source."""
        fitting = (trust for pattern, trust in self.sources.items() if fnmatchcase(source, pattern))
        return next(fitting, self.unknown)


def labels_of(
    runs: Iterable[Trajectory],
    *,
    keys: SolvedKeys = SOLVED_ONLY,
    trust: Trust | None = None,
    suspected: Iterable[str] = (),
) -> dict[str, Label]:
    """A label for every run that somebody judged, by trace id.

    Each source has one verdict on a run, its latest. The most trusted source decides, of equals the one heard last;
    with trust t and t' the greatest trust of who disagrees, the label weighs ``t * t / (t + t')``: half, when equals
    disagree. Scores that are no numbers are not heard.

    Args:
        runs: with their outcomes.
        keys: which feedback is a verdict.
        trust: in whom.
        suspected: sources that are not heard now, from `inframind.router.guards.sources`.
    """
    trust = trust or Trust()
    silenced = frozenset(suspected)
    labels = ((run.trace_id, _label(run.outcomes, keys, trust, silenced)) for run in runs)
    return {trace_id: label for trace_id, label in labels if label is not None}


def _label(
    outcomes: Iterable[Outcome], keys: SolvedKeys, trust: Trust, silenced: frozenset[str]
) -> Label | None:
    by_source: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.score is not None and math.isfinite(outcome.score) and outcome.source not in silenced:
            earlier = by_source.pop(outcome.source, [])
            by_source[outcome.source] = [*earlier, outcome]
    verdicts = {source: _verdict(said, keys, trust) for source, said in by_source.items()}
    heard = {
        source: (verdict, trust.of(source))
        for source, verdict in verdicts.items()
        if verdict is not None and trust.of(source) > 0
    }
    if not heard:
        return None
    # Of equals the last in order wins, which is the one heard last.
    winner = max(reversed(heard), key=lambda source: heard[source][1])
    solved, believed = heard[winner]
    against = max((t for verdict, t in heard.values() if (verdict >= 0.5) != (solved >= 0.5)), default=0.0)
    return Label(solved=solved, weight=believed * (believed / (believed + against)), source=winner)


def _verdict(said: list[Outcome], keys: SolvedKeys, trust: Trust) -> float | None:
    solved = solved_of(said, keys)
    graded = [outcome.score for outcome in said if outcome.key == "solved" and outcome.score is not None]
    if solved is None or not trust.graded or not graded:
        return None if solved is None else float(solved)
    return (min(max(graded[-1], trust.least), trust.most) - trust.least) / (trust.most - trust.least)
