"""What a person should know of the runs that were read: what nothing can be said about, and what would help."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from inframind.advisor.options.logs import Array, Choices, Coded, Logs, Mask
from inframind.traces.advice import METRICS

_SUCCESS = METRICS.index("success")
_OF_TWO_SIDES = 2
"""A change is a comparison: what is done more beside what is done less."""
_PARTS = 4
"""The first of so many parts of the calls is held against the last."""
_FEWEST_CALLS = 200
_MUCH = 0.1
"""Share of the calls by which being on offer must differ to be told of."""
_TELLING_Z = 4.0
"""Standard errors by which it must."""


def of_choices(finished: int, kept: int, steps: Choices) -> Iterator[str]:
    """Of decisions: whether they were over what there is now, and left to chance at all."""
    if kept < finished:
        yield (
            f"{finished - kept:,} of {finished:,} runs were decided over other choices than there are now, "
            "or without probabilities: nothing is predicted from them."
        )
    if not len(steps):
        return
    if (steps.allowed_NC.sum(axis=1) <= 1).all():
        yield "No call had a choice between two models or strategies: there is nothing to compare."
    elif (steps.logged_NC.max(axis=1) == 1).all():
        yield (
            "No call was left to chance, so that nobody knows what another model or strategy would have done: "
            "set policy.exploration = 0.1, and ask again some hundred runs later."
        )


def of_drift(steps: Choices, models: Sequence[str]) -> Iterator[str]:
    """Of models that could be called more often, or less, in the end than in the beginning.

    What comes of a change hangs on what else could be called. That is not the policy's choice alone: a latency model
    that is learning, or a server that fails, rules candidates out. Predictions are of all the runs together; where
    this has changed, the future is like the latest of them.

    Args:
        steps: calls, by order of arrival.
        models: of each candidate (C).
    """
    part = len(steps) // _PARTS
    if len(steps) < _FEWEST_CALLS:
        return
    moved = []
    for model in dict.fromkeys(models):
        column_C = np.array([name == model for name in models])
        offered_N = steps.allowed_NC[:, column_C].mean(axis=1)
        first_n, last_n = offered_N[:part], offered_N[-part:]
        change = float(last_n.mean() - first_n.mean())
        if abs(change) >= _MUCH and abs(change) >= _TELLING_Z * _error(first_n, last_n):
            moved.append(f"{model} ({first_n.mean():.0%}, now {last_n.mean():.0%})")
    if moved:
        yield (
            f"In the first quarter of these calls other models were on offer than in the last: {', '.join(moved)}. "
            "What is predicted is of all of them together: ask again once advisor.last holds no older ones."
        )


def _error(one_n: Array, other_n: Array) -> float:
    """Standard error of the difference of two means."""
    return float(np.sqrt(one_n.var() / len(one_n) + other_n.var() / len(other_n)))


def of_verdicts(is_blind_RM: Mask, domain: Coded, one_sided: Sequence[str]) -> Iterator[str]:
    """Of verdicts: where there are none, and where they tell one side alone; how many there are is said of failures."""
    yield from one_sided
    blind = [
        name for code, name in enumerate(domain.names) if is_blind_RM[domain.code_N == code, _SUCCESS].any()
    ]
    if blind and not one_sided:
        yield f"No run in time has a verdict in {', '.join(blind)}: success there is not known."


def of_size(logs: Logs, least: float) -> Iterator[str]:
    """Of the runs that predictions come from: whether enough have a known result, given the least in effect."""
    known = int((logs.weight_RM[~logs.is_choosing_R, _SUCCESS] > 0).sum())
    if known < _OF_TWO_SIDES * least:
        yield (
            f"{known:,} runs of known success are too few to say what a change would bring: "
            "some hundred are needed, and more where little is left to chance."
        )
