"""What a plot of a report is: choices, and one view per combination of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Trace = dict[str, Any]
"""A trace of Plotly, as plain data."""
PERCENT = ".0%"
"""d3 format of shares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Something that the reader chooses.

    Attributes:
        name: what is chosen.
        options: between which, as text for people; the first is shown at the start unless ``start`` says else.
        start: index of the option at the start.
    """

    name: str
    options: tuple[str, ...]
    start: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One plot of the report.

    Attributes:
        name: identifier in the page.
        title: heading.
        text: what it shows and what to look for.
        choices: what the reader chooses.
        views: traces and layout by the indices of the chosen options, joined by "/"; "" when there is no choice.
        layout: what all views have in common.
        is_by_contender: whether a line is a contender; otherwise the legend is of labels.
        has_intervals: whether there are bands to hide and show.
    """

    name: str
    title: str
    text: str
    views: Mapping[str, Mapping[str, Any]]
    choices: tuple[Choice, ...] = ()
    layout: Mapping[str, Any] = field(default_factory=dict)
    is_by_contender: bool = True
    has_intervals: bool = False
