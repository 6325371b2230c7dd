"""What the pages of reports have in common: their files, their data, and a section per plot."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import Any

import orjson

from inframind.arena.report.plot import Choice, Plot


def asset(name: str) -> str:
    """Text of a file of this folder."""
    return files("inframind.arena.report").joinpath(name).read_text(encoding="utf-8")


def json_for_script(data: Any) -> str:
    """JSON that cannot end the script element that it stands in."""
    text = orjson.dumps(data).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def section(plot: Plot) -> str:
    """A plot's place in the page: heading, choices, canvas and legend."""
    choices = "".join(_select(plot, choice) for choice in plot.choices)
    if plot.has_intervals:
        choices += (
            '<label><input type="checkbox" class="intervals" checked autocomplete=off> 95 % intervals</label>'
        )
    legend = "Show" if plot.is_by_contender else "Colours"
    return (
        f'<section id="plot-{plot.name}" aria-labelledby="title-{plot.name}">\n'
        f'<h2 id="title-{plot.name}">{escape(plot.title)}</h2>\n<p class="quiet">{escape(plot.text)}</p>\n'
        f'<div class="choices">{choices}</div>\n'
        f'<div class="plot" role="group" aria-label="{escape(plot.title)}; the tables give the figures"></div>\n'
        f'<p class="empty" hidden></p>\n<fieldset class="legend"><legend>{legend}</legend></fieldset>\n</section>'
    )


def _select(plot: Plot, choice: Choice) -> str:
    options = "".join(
        f'<option value="{i}"{" selected" if i == choice.start else ""}>{escape(option)}</option>'
        for i, option in enumerate(choice.options)
    )
    return f"<label>{escape(choice.name)} <select autocomplete=off>{options}</select></label>"
