"""``inframind advise``: what fails, what to change, and what became of earlier advice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from inframind.advisor.analysis import Analysis
from inframind.plugin.advice.desk import AdviceDesk
from inframind.plugin.advice.rules import documents_of
from inframind.plugin.advice.stories import Story
from inframind.plugin.advice.toml_edit import tables_text
from inframind.plugin.commands.advise_desk import DeskPlace
from inframind.plugin.commands.advise_words import (
    DIGITS,
    KIND_NAMES,
    advice_event_line,
    advice_table,
    analysis_line,
    cluster_lines,
    plain_cluster,
    plain_story,
    prediction_table,
    standing_text,
)
from inframind.plugin.rollout_words import ago
from inframind.plugin.terminal import safe
from inframind.traces.store import TraceStore

FRESH_S = 3600.0
"""Age in seconds from which on an analysis is made anew."""
SHOWN_CLUSTERS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What was asked for.

    Attributes:
        segment: group of people, or "".
        domain: of questions, or "".
        last: latest runs to read, or None.
        fresh: whether to analyse anew in any case.
    """

    segment: str
    domain: str
    last: int | None
    fresh: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Advised:
    """What there is to be shown.

    Attributes:
        analysis: or None without any trace.
        stories: recommendations.
        tries: whether the roll-out tries what is accepted.
    """

    analysis: Analysis | None
    stories: tuple[Story, ...] = ()
    tries: bool = False


def advise(place: DeskPlace, wanted: Wanted, *, as_json: bool, console: Console, progress: Console) -> None:
    """Print what fails, and what to change.

    Raises:
        ConfigError: the configuration is wrong, or an extra is not installed.
    """
    advised = asyncio.run(_advise(place, wanted, progress))
    if as_json:
        typer.echo(json.dumps(_plain(advised)))
        return
    if advised.analysis is None:
        console.print(
            "no traces yet, so there is nothing to advise on: `inframind run` makes one, and so does"
        )
        console.print("every call of an application that is routed; `inframind demo` makes some to look at")
        return
    for line in _report(advised, advised.analysis, place.clock.wall_s()):
        console.print(line)


async def _advise(place: DeskPlace, wanted: Wanted, progress: Console) -> Advised:
    async with place.opened() as (desk, store):
        analysis = await _analysis(place, wanted, desk, store, progress)
        if analysis is None:
            return Advised(analysis=None)
        stories = () if wanted.domain else await desk.shown(segment=wanted.segment)
        if not any(story.standing == "open" for story in stories):
            made = await desk.recommend(segment=wanted.segment, domain=wanted.domain)
            stories = tuple(Story(recommendation=one) for one in made)
        return Advised(analysis=analysis, stories=stories, tries=desk.tries)


async def _analysis(
    place: DeskPlace, wanted: Wanted, desk: AdviceDesk, store: TraceStore, progress: Console
) -> Analysis | None:
    """The latest, or a new one where that is wanted or due; None where there is nothing to look at."""
    latest = await desk.analysis()
    is_old = latest is None or place.clock.wall_s() - latest.at_s >= FRESH_S
    if not (is_old or wanted.fresh or wanted.last):
        return latest
    if not await store.count():
        return None
    with _bar(progress) as tell:
        return await desk.analyse(last=wanted.last, tell=tell)


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """How far an analysis is, where somebody can see it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda what, done, of: bar.update(task, description=what, completed=done, total=of)


def _report(advised: Advised, analysis: Analysis, now_s: float) -> Iterator[Any]:
    yield analysis_line(analysis, now_s)
    if not analysis.labelled:
        yield Text(
            "nobody has said yet which answers were right: see `inframind feedback --help`",
            "yellow",
        )
    yield Text()
    if advised.stories:
        yield advice_table(advised.stories, tries=advised.tries)
    else:
        yield Text("nothing to recommend: no change is surely for the better, as far as these runs can tell")
    for cluster in analysis.clusters[:SHOWN_CLUSTERS]:
        yield Text()
        yield from cluster_lines(cluster)
    for note in analysis.notes:
        yield Text(f"note: {safe(note)}", "dim")
    if advised.stories:
        first = advised.stories[0].recommendation.recommendation_id[:DIGITS]
        yield Text()
        yield Text(f"inframind advise show {first}     why, and what it would change", "dim")
        yield Text(f"inframind advise accept {first}   change it; `reject` says that it is not wanted", "dim")


def _plain(advised: Advised) -> dict[str, Any]:
    analysis = advised.analysis
    if analysis is None:
        return {"analysis": None, "clusters": [], "recommendations": []}
    figures = ("at_s", "configuration_id", "runs", "labelled", "failures", "since_s", "until_s", "notes")
    return {
        "analysis": {name: getattr(analysis, name) for name in figures},
        "clusters": [plain_cluster(cluster) for cluster in analysis.clusters],
        "recommendations": [plain_story(story) for story in advised.stories],
    }


# What was made ---------------------------------------------------------------------------------------------


def list_advice(place: DeskPlace, *, limit: int, decided: bool, as_json: bool, console: Console) -> None:
    """Print recommendations and how they stand, the newest first."""
    stories, tries = asyncio.run(_stories(place))
    found = [one for one in reversed(stories) if not decided or one.standing != "open"][:limit]
    if as_json:
        typer.echo(json.dumps([plain_story(story) for story in found]))
        return
    if not found:
        console.print(
            "nothing was decided yet; `inframind advise` shows what is on offer"
            if stories
            else "no recommendations yet; `inframind advise` makes some"
        )
        return
    console.print(advice_table(tuple(found), tries=tries))


def show_advice(place: DeskPlace, prefix: str, *, as_json: bool, console: Console) -> None:
    """Print one recommendation and its story.

    Raises:
        UnknownRecommendation, ConfigError: there is none, or the prefix begins several.
    """
    story, analysis, tries = asyncio.run(_story(place, prefix))
    if as_json:
        typer.echo(json.dumps(plain_story(story)))
        return
    now_s = place.clock.wall_s()
    for line in _told(story, analysis, now_s, tries=tries):
        console.print(line)


def _told(story: Story, analysis: Analysis | None, now_s: float, *, tries: bool) -> Iterator[Any]:
    made = story.recommendation
    yield Text(safe(made.title), "bold")
    yield Text(safe(made.reason))
    yield Text.assemble(
        f"{made.recommendation_id}, {KIND_NAMES[made.kind]}, made {ago(made.made_at_s, now_s)}: ",
        standing_text(story, tries=tries),
    )
    yield from _about(story, analysis)
    yield Text()
    yield prediction_table(made)
    yield Text()
    yield from _rules(story)
    yield Text()
    for event in story.events:
        yield advice_event_line(event, now_s)
    if story.standing == "rolled back" and story.is_in_force:
        yield Text(
            "its rules lie in the file and do nothing: `inframind advise revert` takes them out",
            "yellow",
        )


def _about(story: Story, analysis: Analysis | None) -> Iterator[Text]:
    made = story.recommendation
    cluster = analysis.cluster(made.cluster_id) if analysis and made.cluster_id else None
    if cluster is not None:
        yield Text()
        yield from cluster_lines(cluster)
    elif made.cluster_id:
        yield Text("the failure pattern that it answers is not among those of the latest analysis", "dim")
    if made.evidence:
        shown = ", ".join(one[:DIGITS] for one in made.evidence[:6])
        yield Text(f"runs that speak for it: {shown}; see `inframind explain`", "dim")


def _rules(story: Story) -> Iterator[Text]:
    for line in tables_text(documents_of(story.recommendation)).splitlines():
        yield Text(f"  {safe(line)}", "green")


async def _stories(place: DeskPlace) -> tuple[tuple[Story, ...], bool]:
    async with place.opened() as (desk, _):
        return await desk.stories(), desk.tries


async def _story(place: DeskPlace, prefix: str) -> tuple[Story, Analysis | None, bool]:
    async with place.opened() as (desk, _):
        return await desk.story(prefix), await desk.analysis(), desk.tries
