"""Accepted advice in force, in words: since when, and how the runs do that it narrows; and what of it does nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.text import Text

from inframind.advisor.analysis import Analysis
from inframind.advisor.under_rules import InForce
from inframind.plugin.advice.stories import Story
from inframind.plugin.commands.advise_words import DIGITS
from inframind.plugin.rollout_words import ago
from inframind.plugin.terminal import one_line, percent

_LONGEST_TITLE = 100
_LONGEST = 300


def in_force_lines(analysis: Analysis, stories: Sequence[Story], now_s: float) -> Iterator[Text]:
    """Of each piece of accepted advice that runs were decided under: since when, and how they do."""
    for found, accepted_s in _in_force(analysis, stories):
        since = f", accepted {ago(accepted_s, now_s)}" if accepted_s is not None else ""
        yield Text.assemble(
            ("in force ", "bold"),
            f"{found.advice[:DIGITS]} {one_line(found.title, _LONGEST_TITLE)}{since}: it narrowed {found.runs:,} of "
            f"{analysis.runs:,} runs{_rates(found)}",
        )


def plain_in_force(analysis: Analysis, stories: Sequence[Story]) -> list[dict[str, Any]]:
    """For JSON."""
    return [{**asdict(found), "accepted_s": accepted_s} for found, accepted_s in _in_force(analysis, stories)]


def without_effect_lines(story: Story) -> Iterator[Text]:
    """What of its rules does nothing, since there is no more what they speak of."""
    for said in story.without_effect:
        yield Text(f"{story.recommendation.recommendation_id[:DIGITS]}: {one_line(said, _LONGEST)}", "yellow")


def _in_force(analysis: Analysis, stories: Sequence[Story]) -> Iterator[tuple[InForce, float | None]]:
    """With when it was accepted, where that is known; without what was taken back since."""
    known = {story.recommendation.recommendation_id: story for story in stories}
    for found in analysis.in_force:
        story = known.get(found.advice)
        accepted = story.event("accepted") if story else None
        if story is None or story.is_in_force:
            yield found, accepted.at_s if accepted else None


def _rates(found: InForce) -> str:
    """How many of its runs and of the others failed, as far as that is known."""
    rates = [
        f"{percent(failures / known)} of {known:,} {whose}"
        for failures, known, whose in (
            (found.failures, found.known, "with a known result"),
            (found.failures_elsewhere, found.known_elsewhere, "others"),
        )
        if known
    ]
    return f"; {' and '.join(rates)} failed, were late or wrong" if rates else ""
