"""What a person should know of the runs that were read: what nothing can be said about, and what would help."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from inframind.advisor.options.logs import Choices, Coded, Logs, Mask
from inframind.traces.advice import METRICS

_SUCCESS = METRICS.index("success")
_OF_TWO_SIDES = 2
"""A change is a comparison: what is done more beside what is done less."""


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
