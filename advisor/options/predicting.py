"""From an effect to what is promised of each metric."""

from __future__ import annotations

from inframind.advisor.options.claims import errors_at, objection_of
from inframind.advisor.options.config import AnalysisConfig
from inframind.advisor.options.effect import Effect
from inframind.traces.advice import METRICS, Prediction


def predictions_of(effect: Effect, delta: float, config: AnalysisConfig) -> tuple[Prediction, ...]:
    """One per metric. Where there is not enough evidence the change is 0, and its interval all that there could be.

    Args:
        effect: what the runs say.
        delta: share of such intervals that may miss.
        config: when they say enough.
    """
    return tuple(_prediction(effect, place, delta, config) for place in range(len(METRICS)))


def _prediction(effect: Effect, place: int, delta: float, config: AnalysisConfig) -> Prediction:
    objection = objection_of(effect, place, config)
    least, most = float(effect.least_M[place]), float(effect.most_M[place])
    change, low, high = 0.0, least, most
    if not objection:
        half = errors_at(delta, effect, [place]) * float(effect.error_M[place])
        change = min(max(float(effect.change_M[place]), least), most)
        low, high = max(change - half, least), min(change + half, most)
    return Prediction(
        metric=METRICS[place],
        before=float(effect.before_M[place]),
        change=change,
        low=low,
        high=high,
        runs=effect.runs,
        affected=effect.affected,
        effective_size=float(effect.size_M[place]),
        method=_method(effect),
        objection=objection,
    )


def _method(effect: Effect) -> str:
    served = ", servers as if drawn" if effect.rule.avoid_endpoints else ""
    return f"importance weights, {effect.level}{served}"
