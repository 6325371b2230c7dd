"""``inframind advise accept``, ``reject`` and ``revert``: what would happen, whether it is meant, what follows."""

from __future__ import annotations

import asyncio
import json

import typer
from rich.console import Console
from rich.text import Text

from inframind.plugin.advice.desk import Decided
from inframind.plugin.advice.stories import Story
from inframind.plugin.advice.toml_edit import FileEdit
from inframind.plugin.commands.advise_desk import DeskPlace
from inframind.plugin.commands.advise_words import advice_event_line, plain_story
from inframind.plugin.terminal import safe

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def accept_advice(place: DeskPlace, prefix: str, *, asks: bool, as_json: bool, console: Console) -> None:
    """Show what would be written, ask, and write it.

    Raises:
        UnknownRecommendation, AdviceMoved, ConfigError: see `AdviceDesk.accept`; nothing was changed.
    """
    story, edit = asyncio.run(_acceptance(place, prefix))
    if not _is_meant(story, edit, asks=asks, as_json=as_json, console=console):
        return
    decided, tries = asyncio.run(_accept(place, story, edit))
    _tell(place, decided.story, decided, as_json=as_json, console=console)
    if not as_json:
        console.print(_what_follows(decided.story, tries=tries, is_judged=place.is_judged))


def reject_advice(place: DeskPlace, prefix: str, *, reason: str, as_json: bool, console: Console) -> None:
    """Note that it is not wanted.

    Raises:
        UnknownRecommendation, AdviceMoved, ConfigError: see `AdviceDesk.reject`.
    """
    story = asyncio.run(_reject(place, prefix, reason))
    _tell(place, story, None, as_json=as_json, console=console)


def revert_advice(place: DeskPlace, prefix: str, *, asks: bool, as_json: bool, console: Console) -> None:
    """Show what would be taken out, ask, and take it out.

    Raises:
        UnknownRecommendation, ConfigError: see `AdviceDesk.revert`; nothing was changed.
    """
    story, edit = asyncio.run(_reversal(place, prefix))
    if not _is_meant(story, edit, asks=asks, as_json=as_json, console=console):
        return
    decided, tries = asyncio.run(_revert(place, story, edit))
    _tell(place, decided.story, decided, as_json=as_json, console=console)
    if not as_json:
        console.print(_what_ends(decided, tries=tries))


def _is_meant(story: Story, edit: FileEdit | None, *, asks: bool, as_json: bool, console: Console) -> bool:
    """Whether the person wants it; who wants JSON is a script, and its refusal is no success."""
    if not as_json:
        console.print(Text(safe(story.recommendation.title), "bold"))
        _show(edit, console)
    if asks and not typer.confirm("Do it?", err=as_json, abort=as_json):
        console.print("nothing was changed")
        return False
    return True


def _show(edit: FileEdit | None, console: Console) -> None:
    if edit is None:
        return
    if not edit.is_change:
        console.print(f"{edit.path} needs no change")
    for line in edit.diff().splitlines():
        console.print(Text(safe(line), _STYLES.get(line[:1], "")))


def _tell(
    place: DeskPlace, story: Story, decided: Decided | None, *, as_json: bool, console: Console
) -> None:
    if as_json:
        backup = str(decided.backup) if decided and decided.backup else ""
        typer.echo(json.dumps({**plain_story(story), "backup": backup}))
        return
    now_s = place.clock.wall_s()
    for event in story.events:
        if event.kind not in ("shown", "measured"):
            console.print(advice_event_line(event, now_s))


def _what_ends(decided: Decided, *, tries: bool) -> str:
    if not tries:
        return "it takes effect when the processes that read this file start anew"
    if decided.still_serves:
        return "the roll-out is frozen: it serves until the roll-out is thawed, see `inframind policies thaw --help`"
    return "what serves has it no longer: processes follow within seconds"


def _what_follows(story: Story, *, tries: bool, is_judged: bool) -> str:
    if not tries:
        return "it takes effect when the processes that read this file start anew; then it is measured"
    if story.has("proposed") and not is_judged:
        return (
            "it is watched in the shadow, and nobody judges it: online.learner is off; "
            "`inframind policies promote candidate` goes on by hand"
        )
    if story.has("proposed"):
        return "it is watched in the shadow, then tried on a few runs: see `inframind policies list`"
    return "it waits: something else is tried now, or the roll-out is frozen; see `inframind policies list`"


async def _acceptance(place: DeskPlace, prefix: str) -> tuple[Story, FileEdit | None]:
    async with place.opened() as (desk, _):
        return await desk.story(prefix), await desk.acceptance(prefix)


async def _accept(place: DeskPlace, story: Story, edit: FileEdit | None) -> tuple[Decided, bool]:
    async with place.opened() as (desk, _):
        found = await desk.accept(story.recommendation.recommendation_id, by=place.user, edit=edit)
        return found, desk.tries


async def _reject(place: DeskPlace, prefix: str, reason: str) -> Story:
    async with place.opened() as (desk, _):
        return await desk.reject(prefix, by=place.user, reason=reason)


async def _reversal(place: DeskPlace, prefix: str) -> tuple[Story, FileEdit | None]:
    async with place.opened() as (desk, _):
        return await desk.story(prefix), await desk.reversal(prefix)


async def _revert(place: DeskPlace, story: Story, edit: FileEdit | None) -> tuple[Decided, bool]:
    async with place.opened() as (desk, _):
        found = await desk.revert(story.recommendation.recommendation_id, by=place.user, edit=edit)
        return found, desk.tries
