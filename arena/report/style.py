"""How contenders and labels look: the same in every plot and table of a report.

Six colours that stay apart under protanopia and deuteranopia and have a contrast of about 3:1 on white and on
near-black; dash and marker differ as well, so that no line is told by colour alone.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from inframind.arena.results.figures import Judgement
from inframind.arena.results.judgement import CONSTANT, constant_label

COLOURS = ("#0068B8", "#BF3B00", "#00A078", "#C979B5", "#B08F28", "#8A5A3C")
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross", "triangle-down")
GREY = "#808080"
OTHERS = -1
"""Stands for the constants that are not drawn one by one."""
CONSTANTS_ALONE = 8
"""Constants that are drawn where nothing else ran."""


@dataclass(frozen=True, slots=True)
class Style:
    """The look of one line."""

    colour: str
    dash: str
    symbol: str


def nth_style(i: int) -> Style:
    """Differs from all others in colour or dash for i < 24."""
    return Style(
        COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)], SYMBOLS[i % len(SYMBOLS)]
    )


def drawn(judgement: Judgement) -> list[int]:
    """Contenders with a line of their own: the best constants and all that are not constants."""
    families = judgement.columns.families
    chosen = [c for c, family in enumerate(families) if family != CONSTANT or constant_label(judgement, c)]
    if len(chosen) > 1:
        return chosen
    return sorted(judgement.order[:CONSTANTS_ALONE])


def styles(judgement: Judgement) -> dict[int, Style]:
    """Style of each contender that is drawn, and of `OTHERS`."""
    looks = {c: nth_style(i) for i, c in enumerate(drawn(judgement))}
    return {**looks, OTHERS: Style(GREY, "solid", "circle")}


def style_entries(judgement: Judgement) -> list[dict[str, Any]]:
    """What the page's script needs to draw legends."""
    names = judgement.columns.contenders
    entries = [
        {"c": c, "name": "other constants" if c == OTHERS else names[c], **asdict(style)}
        for c, style in styles(judgement).items()
    ]
    has_others = len(drawn(judgement)) < len(names)
    return entries if has_others else entries[:-1]


def plot_text(text: str) -> str:
    """Text for Plotly, which reads a little HTML in names and labels."""
    return html.escape(text, quote=False)


def numbers(values: Iterable[float]) -> list[float | None]:
    """Four significant digits, which is more than a plot shows; None for NaN."""
    return [None if np.isnan(value) else float(f"{value:.4g}") for value in values]
