"""Many interactions in which all options are worth the same: whom does the adviser come to like without reason?

Every time another application, with one change of each kind, each to another of four models; people accept or reject at
random, whatever they see. What an adviser learns from that is noise, and should not show in what it shows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from inframind.advisor.analysis import Analysis
from inframind.advisor.option import Option
from inframind.advisor.recommending import Ranking
from inframind.arena.advice.equal import EQUALS
from inframind.router.rules import Circumstances, RoutingRule
from inframind.traces.advice import KINDS, AdviceEvent, Metric, Prediction, Recommendation

ACCEPTS, SILENT = 0.4, 0.2
"""Share of verdicts that are yes, and of interactions in which nobody says anything."""
_BEGAN_S, _EVERY_S, _READING_S = 1e9, 3600.0, 60.0
_PROMISED: dict[Metric, tuple[float, float]] = {
    "success": (0.6, 0.03),
    "on_time": (0.8, 0.02),
    "latency_s": (5.0, 0.3),
    "cost": (1.0, 0.1),
}
"""Before, and what every option promises, or the scale of the chance in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstShown:
    """What was shown first.

    Attributes:
        kinds: how often each kind was.
        models: how often each model was what steps would have moved to.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)

    def ratios(self) -> tuple[float, float]:
        """Largest over smallest share: of kinds, and of models; infinite where one was never first."""
        return _ratio([self.kinds[kind] for kind in KINDS]), _ratio([self.models[name] for name in EQUALS])


def play_equals(ranking: Ranking, *, seed: int, interactions: int, is_noisy: bool = False) -> FirstShown:
    """Recommend, and hear what people say at random.

    Args:
        ranking: who recommends; knows nothing yet.
        seed: of applications, people and draws.
        interactions: how many.
        is_noisy: whether predictions differ by chance; otherwise all promise the same.
    """
    own, people = np.random.default_rng(seed).spawn(2)
    shown = FirstShown()
    for number in range(interactions):
        analysis = _application(number, people, is_noisy=is_noisy)
        made = ranking.recommend(
            analysis, segment="", now_s=analysis.at_s, rng=own, new_id=lambda: own.bytes(16).hex()
        )
        shown.kinds[made[0].kind] += 1
        shown.models[made[0].rules[0]["only_models"][0]] += 1
        ranking.add(made, _events(made, analysis.at_s, people))
    return shown


def ratios_by_chance(rng: np.random.Generator, *, interactions: int, plays: int) -> list[float]:
    """Largest over smallest of four shares where each interaction draws one of four evenly."""
    return [
        _ratio(row) for row in rng.multinomial(interactions, [1 / len(EQUALS)] * len(EQUALS), plays).tolist()
    ]


def _ratio(counts: list[int]) -> float:
    return max(counts) / min(counts) if min(counts) else float("inf")


def _application(number: int, rng: np.random.Generator, *, is_noisy: bool) -> Analysis:
    at_s = _BEGAN_S + _EVERY_S * number
    when = Circumstances(domains=frozenset({f"d{number}"}))
    options = tuple(
        Option(
            option_id=f"{number:08x}{place:04x}",
            kind=kind,
            cluster_id="",
            domain="",
            rules=(RoutingRule(name="r", when=when, only_models=frozenset({model})),),
            title=f"{kind} of application {number}",
            reason="drawn",
            predictions=_predictions(rng, is_noisy=is_noisy),
            evidence=(),
        )
        for place, (kind, model) in enumerate(zip(KINDS, rng.permutation(EQUALS).tolist(), strict=True))
    )
    return Analysis(
        at_s=at_s,
        configuration_id=f"{number:064x}",
        runs=100,
        labelled=50,
        failures=10,
        since_s=at_s - _EVERY_S,
        until_s=at_s,
        clusters=(),
        options=options,
    )


def _predictions(rng: np.random.Generator, *, is_noisy: bool) -> tuple[Prediction, ...]:
    return tuple(
        _prediction(metric, before, float(rng.normal(0, spread)) if is_noisy else spread, 2 * spread)
        for metric, (before, spread) in _PROMISED.items()
    )


def _prediction(metric: Metric, before: float, change: float, half: float) -> Prediction:
    return Prediction(
        metric=metric,
        before=before,
        change=change,
        low=change - half,
        high=change + half,
        runs=500,
        affected=100,
        effective_size=100.0,
        method="drawn",
    )


def _events(made: tuple[Recommendation, ...], at_s: float, rng: np.random.Generator) -> list[AdviceEvent]:
    """All are shown; of the first somebody may say something."""
    ids = [one.recommendation_id for one in made]
    events = [AdviceEvent(recommendation_id=one, kind="shown", at_s=at_s, by="user") for one in ids]
    accepts, is_silent = rng.random() < ACCEPTS, rng.random() < SILENT
    if not is_silent:
        verdict = AdviceEvent(
            recommendation_id=ids[0],
            kind="accepted" if accepts else "rejected",
            at_s=at_s + _READING_S,
            by="user",
        )
        events.append(verdict)
    return events
