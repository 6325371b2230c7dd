"""``inframind advise accept``, ``reject`` and ``revert``: what would happen, whether it is meant, what follows."""

from __future__ import annotations

import asyncio
import json
import sys

import typer
from rich.console import Console
from rich.text import Text

from inframind.errors import ConfigError
from inframind.plugin.advice.decided import Decided
from inframind.plugin.advice.stories import Story
from inframind.plugin.advice.toml_edit import FileEdit
from inframind.plugin.commands.advise_desk import DeskPlace
from inframind.plugin.commands.advise_words import DIGITS, advice_event_line, plain_story
from inframind.plugin.rollout_words import ago
from inframind.plugin.terminal import err, safe

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def accept_advice(
    place: DeskPlace, prefix: str, *, again: bool, asks: bool, as_json: bool, console: Console
) -> None:
    """Show what would be written, ask, and write it.

    Raises:
        UnknownRecommendation, AdviceMoved, ConfigError: see `AdviceDesk.accept`; nothing was changed.
    """
    _require_answer(asks=asks, as_json=as_json)
    story, edit, beside = asyncio.run(_acceptance(place, prefix, again=again))
    warning = _together(beside, place.clock.wall_s())
    _make_sure(story, edit, warning, asks=asks, as_json=as_json, console=console)
    decided, tries = asyncio.run(_accept(place, story, edit, again=again))
    _tell(place, decided.story, decided, as_json=as_json, console=console)
    if not as_json:
        console.print(_what_follows(decided.story, tries=tries, is_judged=place.is_judged()))


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
    _require_answer(asks=asks, as_json=as_json)
    story, edit = asyncio.run(_reversal(place, prefix))
    is_over = story.has("reverted") and not (edit and edit.is_change)
    if not is_over:
        _make_sure(story, edit, "", asks=asks, as_json=as_json, console=console)
    decided, tries = asyncio.run(_revert(place, story, edit))
    _tell(place, decided.story, decided, as_json=as_json, console=console)
    if not as_json and is_over and not decided.still_serves:
        console.print("nothing to do: it was taken back before")
    elif not as_json:
        console.print(_what_ends(decided, tries=tries))


def _require_answer(*, asks: bool, as_json: bool) -> None:
    """Who wants JSON is mostly a script: one that cannot be asked has to say so.

    Raises:
        ConfigError: it cannot be asked.
    """
    if asks and as_json and not sys.stdin.isatty():
        raise ConfigError("--yes", False, "give --yes along with --json: there is no terminal to ask at")


def _make_sure(
    story: Story, edit: FileEdit | None, warning: str, *, asks: bool, as_json: bool, console: Console
) -> None:
    """Show what would be done, and ask.

    Raises:
        typer.Exit: it is not wanted, and that is no success.
    """
    shown_at = err() if as_json else console
    if asks or not as_json:
        shown_at.print(Text(safe(story.recommendation.title), "bold"))
        _show(edit, shown_at)
    if warning:
        shown_at.print(Text(warning, "yellow"))
    question = "Accept all the same?" if warning else "Do it?"
    if asks and not typer.confirm(question, err=as_json):
        shown_at.print("nothing was changed")
        raise typer.Exit(1)


def _together(beside: tuple[Story, ...], now_s: float) -> str:
    """What is not known of accepting something beside these; "" where there are none."""
    if not beside:
        return ""
    *most, last = (_accepted_when(story, now_s) for story in beside)
    told = f"{', '.join(most)} and {last} and are" if most else f"{last} and is"
    both = "all of them" if most else "both"
    return f"{told} not measured yet: what is promised of {both} together nobody knows"


def _accepted_when(story: Story, now_s: float) -> str:
    accepted = story.event("accepted")
    when = ago(accepted.at_s, now_s) if accepted else "before"
    return f"{story.recommendation.recommendation_id[:DIGITS]} was accepted {when}"


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
        beside = [*decided.together_with] if decided else []
        typer.echo(json.dumps({**plain_story(story), "backup": backup, "together_with": beside}))
        return
    now_s = place.clock.wall_s()
    for event in story.events:
        if event.kind not in ("shown", "measured"):
            console.print(advice_event_line(event, now_s))


def _what_ends(decided: Decided, *, tries: bool) -> str:
    if decided.story.through:
        return f"what it changed stays in force through {decided.story.through}"
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


async def _acceptance(
    place: DeskPlace, prefix: str, *, again: bool
) -> tuple[Story, FileEdit | None, tuple[Story, ...]]:
    """It, what would be written, and what is not measured yet beside it."""
    async with place.opened() as (desk, _):
        edit = await desk.acceptance(prefix, again=again)
        return await desk.story(prefix), edit, await desk.unmeasured_beside(prefix, again=again)


async def _accept(
    place: DeskPlace, story: Story, edit: FileEdit | None, *, again: bool
) -> tuple[Decided, bool]:
    async with place.opened() as (desk, _):
        own_id = story.recommendation.recommendation_id
        return await desk.accept(own_id, by=place.user, again=again, edit=edit), desk.tries


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
