"""What became of accepted recommendations, as far as it is worth saying before anything new is recommended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from rich.text import Text

from inframind.plugin.advice.measuring import Moved
from inframind.plugin.advice.promises import Promise, moved_of
from inframind.plugin.advice.stories import Story
from inframind.plugin.commands.advise_outcome import promise_text
from inframind.plugin.commands.advise_words import DIGITS
from inframind.plugin.config_advisor import SECONDS_PER_DAY
from inframind.traces.advice import Prediction

MOST = 3
"""Lines."""
_STYLES = {"broken": "red", "less": "yellow", "kept": "green"}
_Kind = Literal["broken", "less", "kept"]
_Compared = Literal["success", "cost"]


@dataclass(frozen=True, slots=True)
class News:
    """What is to be said of an accepted recommendation.

    Attributes:
        kind: ``broken``: surely not what was promised; ``less``: surely less than was promised; ``kept``.
        story: of which.
        told: in words.
    """

    kind: _Kind
    story: Story
    told: str


def news_of(stories: Iterable[Story], now_s: float) -> tuple[News, ...]:
    """The news worth saying, the worst first.

    That a promise was kept is said for a day, that it was broken as long as it takes effect.

    Args:
        stories: what was accepted.
        now_s: seconds since the Unix epoch.
    """
    found = (_news(story, now_s) for story in stories if story.takes_effect)
    order = [*_STYLES]
    return tuple(sorted((one for one in found if one), key=lambda one: order.index(one.kind)))


def news_lines(news: Iterable[News]) -> Iterator[Text]:
    """At most three lines."""
    for one in islice(news, MOST):
        yield Text(one.told, _STYLES[one.kind])


def plain_news(one: News) -> dict[str, str]:
    """For JSON."""
    made = one.story.recommendation
    return {"recommendation_id": made.recommendation_id, "kind": one.kind, "told": one.told}


def _news(story: Story, now_s: float) -> News | None:
    promise, measured = story.promise, story.event("measured")
    if promise is None or measured is None:
        return None
    shown, beside = story.recommendation.recommendation_id[:DIGITS], _beside(story)
    if promise.verdict == "broken" or _does_harm(story):
        told = f"{shown} {_figures(story, promise)}{beside}; `inframind advise revert {shown}`"
        return News("broken", story, told)
    if _is_less(story):
        told = f"{shown} {_figures(story, promise)}{beside}, surely less; see `inframind advise show {shown}`"
        return News("less", story, told)
    if promise.verdict == "kept" and now_s - measured.at_s < SECONDS_PER_DAY:
        return News("kept", story, f"{shown}{beside}: promise {promise_text(promise).plain}")
    return None


def _does_harm(story: Story) -> bool:
    """Whether success surely falls, where nothing cheaper makes up for it."""
    moved = _moved(story, "success")
    return story.recommendation.kind != "cheapest" and moved is not None and moved.high < 0


def _is_less(story: Story) -> bool:
    """Whether all that success may have gained is less than all that was promised of it."""
    moved, promised = _moved(story, "success"), story.recommendation.prediction("success")
    if moved is None or promised is None or not promised.is_enough:
        return False
    return story.recommendation.kind != "cheapest" and moved.high < promised.low


def _figures(story: Story, promise: Promise) -> str:
    """What was promised, and what was measured."""
    broken = {part.promised for part in promise.parts if part.verdict == "broken"}
    if "worth rises" in broken and not _does_harm(story):
        return f"broke its promise so far: {promise_text(promise).plain.removeprefix('broken: ')}"
    if broken == {"cost falls"}:
        return _compared(story, "cost")
    return _compared(story, "success")


def _compared(story: Story, metric: _Compared) -> str:
    promised = story.recommendation.prediction(metric)
    is_known = promised is not None and promised.is_enough
    told = _amount(metric, promised) if is_known else "nothing sure"
    return f"promised {told}, measured {_amount(metric, _moved(story, metric))} so far"


def _amount(metric: _Compared, found: Prediction | Moved | None) -> str:
    if found is None:
        return "nothing"
    if metric == "success":
        return f"{100 * found.change:+.1f} points"
    return f"{100 * found.change / found.before:+.0f} % of the cost" if found.before else "no cost"


def _moved(story: Story, metric: _Compared) -> Moved | None:
    measured = story.event("measured")
    return moved_of(measured.facts).get(metric) if measured else None


def _beside(story: Story) -> str:
    measured = story.event("measured")
    others = measured.facts.get("together_with", ()) if measured else ()
    return f" together with {', '.join(str(one)[:DIGITS] for one in others)}" if others else ""
