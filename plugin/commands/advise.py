"""``inframind advise``: what fails, what to change, and what became of earlier advice."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from inframind.advisor.analysis import Analysis
from inframind.advisor.cluster import FailureCluster
from inframind.plugin.advice.desk import AdviceDesk
from inframind.plugin.advice.freshness import Freshness
from inframind.plugin.advice.offers import same_together
from inframind.plugin.advice.rules import documents_of
from inframind.plugin.advice.stories import Story
from inframind.plugin.advice.toml_edit import tables_text
from inframind.plugin.commands.advise_desk import DeskPlace
from inframind.plugin.commands.advise_in_force import in_force_lines, plain_in_force, without_effect_lines
from inframind.plugin.commands.advise_news import news_lines, news_of, plain_news
from inframind.plugin.commands.advise_outcome import outcome_lines
from inframind.plugin.commands.advise_words import (
    DIGITS,
    KIND_NAMES,
    advice_event_line,
    advice_table,
    alternatives,
    analysis_line,
    cluster_lines,
    concerns,
    is_proven,
    plain_cluster,
    plain_story,
    prediction_table,
    standing_text,
)
from inframind.plugin.config_advisor import SECONDS_PER_DAY
from inframind.plugin.rollout_words import ago
from inframind.plugin.terminal import safe
from inframind.traces.store import TraceStore

FRESH_S = 3600.0
"""Age in seconds from which on an analysis is made anew."""
SHOWN_CLUSTERS = 5
_MORE_DAYS = 30
"""Days before the latest run that old ones are suggested to be read of."""
_REFUSED = ("rejected", "taken back", "rolled back")
_AGAIN = "`inframind advise list --decided` tells what was refused, and `advise accept --again ID` accepts it"


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
        clusters: its failure patterns, of the domain that was asked for.
        stories: recommendations, those without enough evidence last.
        hidden: how many other changes were found, by why they are not shown.
        tries: whether the roll-out tries what is accepted.
        accepted: what was accepted before.
        fresh: how the analysis stands to the store.
        window_s: age in seconds of the oldest runs that it read.
        stopped: why the mode ``process`` was stopped, or "".
    """

    analysis: Analysis | None
    clusters: tuple[FailureCluster, ...] = ()
    stories: tuple[Story, ...] = ()
    hidden: Mapping[str, int] = field(default_factory=dict)
    tries: bool = False
    accepted: tuple[Story, ...] = ()
    fresh: Freshness = field(default_factory=lambda: Freshness(stored=0))
    window_s: float = 0.0
    stopped: str = ""


def advise(place: DeskPlace, wanted: Wanted, *, as_json: bool, console: Console, progress: Console) -> None:
    """Print what fails, and what to change.

    Raises:
        ConfigError: the configuration is wrong, or an extra is not installed.
    """
    advised = asyncio.run(_advise(place, wanted, progress))
    if as_json:
        typer.echo(json.dumps(_plain(advised, place.clock.wall_s())))
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
        desk.require_domain(wanted.domain)
        looked = await _analysis(place, wanted, desk, store, progress)
        if looked is None:
            return Advised(analysis=None)
        analysis, fresh = looked
        stories = await desk.shown(segment=wanted.segment, domain=wanted.domain)
        if not any(story.standing == "open" for story in stories):
            made = await desk.recommend(segment=wanted.segment, domain=wanted.domain)
            stories = tuple(Story(recommendation=one) for one in made)
        return Advised(
            analysis=analysis,
            clusters=tuple(one for one in analysis.clusters if concerns(one, wanted.domain)),
            stories=tuple(sorted(stories, key=lambda one: not is_proven(one))),
            hidden=await desk.hidden(segment=wanted.segment, domain=wanted.domain),
            tries=desk.tries,
            accepted=await desk.accepted(),
            fresh=fresh,
            window_s=desk.window_s,
            stopped=await desk.stopped(),
        )


async def _analysis(
    place: DeskPlace, wanted: Wanted, desk: AdviceDesk, store: TraceStore, progress: Console
) -> tuple[Analysis, Freshness] | None:
    """The latest, or a new one where that is wanted or due; None where there is nothing to look at."""
    latest = await desk.analysis()
    is_old = latest is None or abs(place.clock.wall_s() - latest.at_s) >= FRESH_S  # a clock may be ahead
    if latest is not None and not (is_old or wanted.fresh or wanted.last):
        fresh = await desk.freshness(latest)
        if not fresh.why_old:
            return latest, fresh
    if not await store.count():
        return None
    with _bar(progress) as tell:
        made = await desk.analyse(last=wanted.last, tell=tell)
    return made, await desk.freshness(made)


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """How far an analysis is, where somebody can see it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda what, done, of: bar.update(task, description=what, completed=done, total=of)


def _report(advised: Advised, analysis: Analysis, now_s: float) -> Iterator[Any]:
    if advised.fresh.latest_s is not None:
        yield _too_old(advised.fresh, advised.fresh.latest_s, advised.window_s, now_s)
        return
    yield from news_lines(news_of(advised.accepted, now_s))
    if advised.stopped:
        told = f"mode process was stopped: {advised.stopped}; `resumed_at` under [advisor] lets it go on"
        yield Text(told, "yellow")
    yield analysis_line(analysis, now_s)
    if newer := advised.fresh.newer:
        yield Text(f"{newer:,} newer run{'s' if newer > 1 else ''}; --fresh reads them", "dim")
    if not analysis.labelled:
        yield Text(
            "nobody has said yet which answers were right: see `inframind feedback --help`",
            "yellow",
        )
    yield Text()
    if advised.stories:
        yield advice_table(advised.stories, tries=advised.tries)
        yield from alternatives(advised.stories)
    else:
        yield Text(_nothing(advised.hidden))
    for cluster in advised.clusters[:SHOWN_CLUSTERS]:
        yield Text()
        yield from cluster_lines(cluster)
    yield from in_force_lines(analysis, advised.accepted, now_s)
    for note in analysis.notes:
        yield Text(f"note: {safe(note)}", "dim")
    undecided = [one for one in advised.stories if one.standing == "open"]
    if undecided:
        first = undecided[0].recommendation.recommendation_id[:DIGITS]
        yield Text()
        yield Text(f"inframind advise show {first}     why, and what it would change", "dim")
        yield Text(f"inframind advise accept {first}   change it; `reject` says that it is not wanted", "dim")


def _too_old(fresh: Freshness, latest_s: float, window_s: float, now_s: float) -> Text:
    """Why nothing was read, and what would read it."""
    age_days = (now_s - latest_s) / SECONDS_PER_DAY
    return Text(
        f"none of the {fresh.stored:,} runs in the store is of the last {window_s / SECONDS_PER_DAY:g} days "
        f"(advisor.days), the latest came {ago(latest_s, now_s)}: make new ones, or read old ones with "
        f"`days = {math.floor(age_days) + 1 + _MORE_DAYS}` under [advisor]",
        "yellow",
    )


def _nothing(hidden: Mapping[str, int]) -> str:
    """Why nothing is recommended."""
    if not hidden:
        return "nothing to recommend: no change is surely for the better, as far as these runs can tell"
    total = sum(hidden.values())
    why = "; ".join(f"{count} {reason}" for reason, count in hidden.items())
    found = "1 change was found, and is" if total == 1 else f"{total} changes were found, and are"
    told = f"nothing new to recommend: {found} not shown: {why}"
    refused = any(reason.startswith(_REFUSED) for reason in hidden)
    return f"{told}; {_AGAIN}" if refused else told


def _plain(advised: Advised, now_s: float) -> dict[str, Any]:
    analysis = advised.analysis
    if analysis is None:
        return {
            "analysis": None,
            "clusters": [],
            "recommendations": [],
            "hidden": {},
            "in_force": [],
            "news": [],
            "stopped": "",
        }
    figures = ("at_s", "configuration_id", "runs", "labelled", "failures", "since_s", "until_s", "notes")
    return {
        "analysis": {
            **{name: getattr(analysis, name) for name in figures},
            "newer_runs": advised.fresh.newer,
        },
        "clusters": [plain_cluster(cluster) for cluster in advised.clusters],
        "recommendations": [plain_story(story) for story in advised.stories],
        "hidden": dict(advised.hidden),
        "in_force": plain_in_force(analysis, advised.accepted),
        "news": [plain_news(one) for one in news_of(advised.accepted, now_s)],
        "stopped": advised.stopped,
    }


# What was made ---------------------------------------------------------------------------------------------


def list_advice(place: DeskPlace, *, limit: int, decided: bool, as_json: bool, console: Console) -> None:
    """Print recommendations and how they stand, the newest first; of the same open one only the newest."""
    stories, tries = asyncio.run(_stories(place))
    groups = (one for one in same_together(stories) if not decided or one[0].is_decided)
    found = list(islice(groups, limit))
    if as_json:
        typer.echo(json.dumps([_plain_group(group) for group in found]))
        return
    if not found:
        console.print(
            "nothing was decided yet; `inframind advise` shows what is on offer"
            if stories
            else "no recommendations yet; `inframind advise` makes some"
        )
        return
    console.print(advice_table(tuple(group[0] for group in found), tries=tries))
    for story, *earlier in found:
        for line in without_effect_lines(story):
            console.print(line)
        if story.standing == "set aside":
            told = f"{story.recommendation.recommendation_id[:DIGITS]}: {_set_aside(story)}"
            console.print(Text(told, "yellow"))
        if earlier:
            shown, others = story.recommendation.recommendation_id[:DIGITS], len(earlier)
            console.print(Text(f"{shown}: and {others} earlier, with the same rules", "dim"))


def _plain_group(group: Sequence[Story]) -> dict[str, Any]:
    earlier = [one.recommendation.recommendation_id for one in group[1:]]
    return {**plain_story(group[0]), "earlier": earlier}


def show_advice(place: DeskPlace, prefix: str, *, as_json: bool, console: Console) -> None:
    """Print one recommendation and its story.

    Raises:
        UnknownRecommendation, ConfigError: there is none, or the prefix begins several.
    """
    story, newest, analysis, tries = asyncio.run(_story(place, prefix))
    if as_json:
        typer.echo(json.dumps(plain_story(story)))
        return
    now_s = place.clock.wall_s()
    for line in _told(story, analysis, now_s, tries=tries):
        console.print(line)
    if newest:
        shown = newest[:DIGITS]
        told = f"{shown} is the newest with the same rules: see `inframind advise show {shown}`"
        console.print(Text(told, "yellow"))


def _told(story: Story, analysis: Analysis | None, now_s: float, *, tries: bool) -> Iterator[Any]:
    made = story.recommendation
    yield Text(safe(made.title), "bold")
    yield Text(safe(made.reason))
    yield Text.assemble(
        f"{made.recommendation_id}, {KIND_NAMES[made.kind]}, made {ago(made.made_at_s, now_s)}: ",
        standing_text(story, tries=tries),
    )
    if story.through:
        yield Text(f"what it changes is in force through {safe(story.through)}", "yellow")
    yield from without_effect_lines(story)
    yield from _about(story, analysis)
    yield Text()
    yield prediction_table(made)
    yield Text()
    yield from _rules(story)
    yield Text()
    for event in story.events:
        yield advice_event_line(event, now_s)
    yield from outcome_lines(story)
    if story.is_set_aside:
        told = f"{_set_aside(story)}; nothing spoke against it, and it may be recommended again"
        yield Text(told, "yellow")
    if story.last_word in ("rejected", "reverted") and not story.through:
        shown = made.recommendation_id[:DIGITS]
        yield Text(f"inframind advise accept --again {shown}   accept it all the same, under a new id", "dim")
    if story.standing in ("rolled back", "set aside") and story.is_in_force:
        yield Text(
            "its rules lie in the file and do nothing: `inframind advise revert` takes them out",
            "yellow",
        )


def _set_aside(story: Story) -> str:
    return f"set aside: not enough evidence in {story.runs_tried:,} runs"


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


async def _story(place: DeskPlace, prefix: str) -> tuple[Story, str, Analysis | None, bool]:
    """It, a newer id of the same or "", the latest analysis, and whether the roll-out tries what is accepted."""
    async with place.opened() as (desk, _):
        story = await desk.story(prefix)
        newest = _newer(story.recommendation.recommendation_id, await desk.stories())
        return story, newest, await desk.analysis(), desk.tries


def _newer(own_id: str, stories: Sequence[Story]) -> str:
    for group in same_together(stories):
        newest, *earlier = (one.recommendation.recommendation_id for one in group)
        if own_id in earlier:
            return newest
    return ""
