"""What every outcome graph checks in the same way, whatever it stands on."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from inframind.errors import AdviceMoved, ConfigError, StoreError
from inframind.traces.advice import AdviceEvent, Prediction, Recommendation
from inframind.traces.codec import encode_record
from inframind.traces.configurations import Configuration, configuration_of
from inframind.traces.outcome_graph import KeptAnalysis
from inframind.traces.prefix import RECOMMENDATIONS

KEPT_ANALYSES = 5
"""The newest are kept; only the latest one is read, the others are for people who look what it was like before."""

_ONCE: Final = frozenset({"accepted", "rejected", "proposed", "promoted", "rolled_back", "reverted"})
_EXCLUDES: Final = {"accepted": "rejected", "rejected": "accepted"}
_ID = re.compile(rf"[0-9a-f]{{{RECOMMENDATIONS.digits}}}")
_NUMBERS = tuple(field.name for field in fields(Prediction) if field.type in ("float", "int"))

R = TypeVar("R")
_CONFIGURATION = TypeAdapter(Configuration)
_RECOMMENDATION = TypeAdapter(Recommendation)
_EVENT = TypeAdapter(AdviceEvent)
_ANALYSIS = TypeAdapter(KeptAnalysis)


def checked_configuration(configuration: Configuration, *, at_s: float) -> Configuration:
    """The configuration as it will be read again.

    Raises:
        ConfigError: its ids are not those of its document, or ``at_s`` is not a finite number.
        StoreError: its document is no plain data.
    """
    read = _as_read(_CONFIGURATION, configuration, "configuration")
    own = configuration_of(read.document)
    if (own.configuration_id, own.family) != (configuration.configuration_id, configuration.family):
        fix = f"make it with configuration_of, which gives {own.configuration_id}"
        raise ConfigError("configuration_id", configuration.configuration_id, fix)
    if not math.isfinite(at_s):
        raise ConfigError("at_s", at_s, "give seconds since the Unix epoch")
    return read


def checked_recommendations(recommendations: Iterable[Recommendation]) -> Sequence[Recommendation]:
    """The recommendations as they will be read again, each id once.

    Raises:
        ConfigError: an id is not 32 lowercase hex digits, or a prediction holds a number that is not finite.
        StoreError: one is no plain data.
    """
    checked = {one.recommendation_id: _checked_recommendation(one) for one in recommendations}
    return [*checked.values()]


def checked_event(event: AdviceEvent) -> AdviceEvent:
    """The event as it will be read again, but for its number.

    Raises:
        StoreError: its facts are no plain data, or there is no such kind.
    """
    return _as_read(_EVENT, event, "advice event")


def checked_analysis(analysis: KeptAnalysis) -> KeptAnalysis:
    """The analysis as it will be read again, but for its number.

    Raises:
        StoreError: its document is no plain data.
    """
    return _as_read(_ANALYSIS, analysis, "analysis")


def write_recommendation(recommendation: Recommendation) -> str:
    """A recommendation as a JSON document."""
    return encode_record(recommendation, f"recommendation {recommendation.recommendation_id}").decode()


def read_recommendation(document: str) -> Recommendation:
    """What `write_recommendation` was given.

    Raises:
        StoreError: it is not.
    """
    try:
        return _RECOMMENDATION.validate_json(document, strict=True)
    except ValidationError as error:
        raise StoreError("decode", f"not a recommendation: {_first_problem(error)}") from error


def shown(
    recommendations: Iterable[Recommendation], facts: Mapping[str, Any] | None, *, after: int
) -> Sequence[AdviceEvent]:
    """The events that go with keeping recommendations.

    Args:
        recommendations: that are kept.
        facts: of each event.
        after: number of the event before them.

    Raises:
        StoreError: the facts are no plain data.
    """
    return [
        checked_event(
            AdviceEvent(
                recommendation_id=one.recommendation_id,
                kind="shown",
                at_s=one.made_at_s,
                by="advisor",
                facts=facts or {},
                number=number,
            )
        )
        for number, one in enumerate(recommendations, start=after + 1)
    ]


def require_possible(event: AdviceEvent, earlier: Collection[str]) -> None:
    """Check that an event may still happen, after the kinds of those that have.

    Raises:
        AdviceMoved: it may not.
    """
    in_the_way = {event.kind} & _ONCE | {_EXCLUDES.get(event.kind, "")}
    found = in_the_way & {*earlier}
    if found:
        raise AdviceMoved(event.recommendation_id, event.kind, min(found))


def check_times(since_s: float | None, until_s: float | None) -> None:
    """Check a range of time.

    Raises:
        ConfigError: it is empty.
    """
    if since_s is not None and until_s is not None and not since_s < until_s:
        raise ConfigError("until_s", until_s, f"give an instant after since_s = {since_s!r}")


def check_window(window_s: float) -> float:
    """The length of a window.

    Raises:
        ConfigError: not a positive, finite number.
    """
    if not 0 < window_s < math.inf:
        raise ConfigError("window_s", window_s, "give a positive number of seconds")
    return window_s


def _checked_recommendation(recommendation: Recommendation) -> Recommendation:
    if not _ID.fullmatch(recommendation.recommendation_id):
        fix = f"give {RECOMMENDATIONS.digits} lowercase hex digits"
        raise ConfigError("recommendation_id", recommendation.recommendation_id, fix)
    for prediction in recommendation.predictions:
        for name in _NUMBERS:
            if not math.isfinite(getattr(prediction, name)):
                field = f"predictions.{prediction.metric}.{name}"
                raise ConfigError(field, getattr(prediction, name), "give a finite number")
    return _as_read(_RECOMMENDATION, recommendation, f"recommendation {recommendation.recommendation_id}")


def _as_read(adapter: TypeAdapter[R], record: R, name: str) -> R:
    """What comes back after the record was written: tuples inside plain data are lists."""
    try:
        return adapter.validate_json(encode_record(record, name), strict=True)
    except ValidationError as error:
        raise StoreError("encode", f"{name}: {_first_problem(error)}") from error


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
