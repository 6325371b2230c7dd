"""Whether an accepted recommendation kept what its kind promises, as far as measurements tell.

Reliability alone is rewarded; a ``cheapest`` recommendation promises lower cost as well. What each kind promises is in
`inframind.advisor.options.claims`, before anything happened: here the same is asked of what did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from inframind.advisor.options.config import AnalysisConfig
from inframind.plugin.advice.measuring import Moved
from inframind.traces.advice import Metric, RecommendationKind

Verdict = Literal["kept", "broken", "not known"]
Promised = Literal["cost falls", "success stays", "success rises", "worth rises"]
"""Less cost; success that loses no more than the margin; more success; more of success, time and cost together."""
_WORTH = AnalysisConfig()
_SUCCESS = {"before_runs": "before_labelled", "after_runs": "after_labelled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change with its interval.

    Attributes:
        change: estimate.
        low: lower end.
        high: upper end.
    """

    change: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One thing that was promised.

    Attributes:
        promised: what.
        verdict: kept or broken for sure, at 95 %; not known otherwise.
        change: what became of it, as a share of what it was where it is cost, with its 95 % interval; None where it
            was not measured.
    """

    promised: Promised
    verdict: Verdict
    change: Change | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What a recommendation promised, and what is known of it.

    Attributes:
        parts: what was promised.
        margin: fall in success, in shares of runs, that was allowed.
    """

    parts: tuple[Part, ...]
    margin: float

    @property
    def verdict(self) -> Verdict:
        """Kept where all of it is, broken where any of it is."""
        verdicts = {part.verdict for part in self.parts}
        if "broken" in verdicts:
            return "broken"
        return "kept" if verdicts == {"kept"} else "not known"


def promise_of(kind: RecommendationKind, facts: Mapping[str, Any]) -> Promise:
    """What became of what a kind of recommendation promises.

    Args:
        kind: of which.
        facts: of its measurement.
    """
    moved, margin = moved_of(facts), float(facts.get("margin", _WORTH.margin))
    success = _plain(moved.get("success"))
    if kind == "cheapest":
        saved = _part("cost falls", _relative(moved.get("cost")), sign=-1)
        return Promise(parts=(saved, _part("success stays", success, least=-margin)), margin=margin)
    if kind == "balanced":
        return Promise(parts=(_part("worth rises", _worth(moved)),), margin=margin)
    return Promise(parts=(_part("success rises", success),), margin=margin)


def moved_of(facts: Mapping[str, Any]) -> dict[Metric, Moved]:
    """What a measurement says of each metric; events of older releases speak of success alone."""
    wanted: tuple[Metric, ...] = ("success", "on_time", "latency_s", "cost")
    told = {metric: facts if metric == "success" else facts.get(metric, {}) for metric in wanted}
    found = {metric: _moved(of_it, _SUCCESS if metric == "success" else {}) for metric, of_it in told.items()}
    return {metric: moved for metric, moved in found.items() if moved is not None}


def _moved(facts: Mapping[str, Any], names: Mapping[str, str]) -> Moved | None:
    """None where not all of it is there."""
    named = {one.name: names.get(one.name, one.name) for one in fields(Moved)}
    return (
        Moved(**{own: facts[name] for own, name in named.items()})
        if {*named.values()} <= facts.keys()
        else None
    )


def _part(promised: Promised, found: Change | None, *, sign: int = 1, least: float = 0.0) -> Part:
    """``sign`` is -1 where less was promised."""
    if found is None:
        return Part(promised=promised, verdict="not known", change=None)
    worst, best = sorted((sign * found.low, sign * found.high))
    verdict: Verdict = "kept" if worst > least else "broken" if best < least else "not known"
    return Part(promised=promised, verdict=verdict, change=found)


def _plain(moved: Moved | None) -> Change | None:
    return Change(change=moved.change, low=moved.low, high=moved.high) if moved else None


def _relative(moved: Moved | None) -> Change | None:
    """To what it was; None where that is nothing."""
    if moved is None or not moved.before > 0:
        return None
    of = moved.before
    return Change(change=moved.change / of, low=moved.low / of, high=moved.high / of)


def _worth(moved: Mapping[Metric, Moved]) -> Change | None:
    """What ``balanced`` weighs: ``success + t on_time - c cost / (cost before)``.

    The ends of the parts are added up, so that the interval is one of at least 95 % however the parts hang together.
    """
    parts = (_plain(moved.get("success")), _plain(moved.get("on_time")), _relative(moved.get("cost")))
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    weights = (1.0, _WORTH.on_time_worth, -_WORTH.cost_worth)
    ends = [sorted((w * one.low, w * one.high)) for w, one in zip(weights, known, strict=True)]
    change = sum(w * one.change for w, one in zip(weights, known, strict=True))
    return Change(change=change, low=sum(low for low, _ in ends), high=sum(high for _, high in ends))
