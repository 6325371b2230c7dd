"""What ``inframind doctor`` says of rules that came from recommendations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from inframind.errors import ConfigError, StoreError
from inframind.fleet.clock import Clock
from inframind.fleet.probe import Finding
from inframind.plugin.advice.assembly import advice_desk
from inframind.plugin.advice.stories import Story
from inframind.plugin.advice.toml_edit import SHOWN_DIGITS
from inframind.plugin.config import Settings
from inframind.plugin.terminal import one_line
from inframind.traces.store import open_store

_LONGEST = 80


async def accepted_advice(settings: Settings, clock: Clock) -> list[Finding]:
    """Of each recommendation whose rules the file has: whether they take effect."""
    try:
        async with open_store(settings.traces.url) as store:
            rng = np.random.default_rng(0)  # nothing is drawn: it only reads
            desk = advice_desk(settings, store, clock=clock, rng=rng)
            stories = {story.recommendation.recommendation_id: story for story in await desk.stories()}
    except (ConfigError, StoreError) as error:
        fix = error.fix if isinstance(error, ConfigError) else "see what the check of the trace store says"
        return [Finding(check="advice", level="fail", found=str(error), fix=fix)]
    advice = list(dict.fromkeys(rule.advice for rule in settings.rules if rule.advice))
    return list(_findings(advice, stories, tries=settings.online.enabled))


def _findings(advice: Sequence[str], stories: dict[str, Story], *, tries: bool) -> Iterator[Finding]:
    for one in advice:
        story = stories.get(one)
        if story is None:
            found = "its rules are in the file, and the trace store knows nothing of it"
            fix = "name the store that it was made from, or take its rules out by hand" if tries else ""
            yield Finding(check=one[:SHOWN_DIGITS], level="warn" if tries else "ok", found=found, fix=fix)
            continue
        title = one_line(story.recommendation.title, _LONGEST)
        yield _finding(one, story, title, tries=tries)


def _finding(advice: str, story: Story, title: str, *, tries: bool) -> Finding:
    check = advice[:SHOWN_DIGITS]
    revert = f"inframind advise revert {check}"
    if story.standing == "reverted":
        found = f"{title}: it was taken back, and its rules are in the file again"
        return Finding(check=check, level="warn", found=found, fix=revert)
    if story.standing == "rejected":
        found = f"{title}: it was rejected, and its rules are in the file"
        return Finding(check=check, level="warn", found=found, fix="take them out by hand")
    if tries and story.standing == "set aside":
        tried = f"set aside, not enough evidence in {story.runs_tried:,} runs"
        found = f"{title}: {tried}; its rules in the file do nothing"
        fix = f"{revert} takes them out; a longer trial ([online.gate] most_runs) or more feedback would show more"
        return Finding(check=check, level="warn", found=found, fix=fix)
    if tries and story.standing == "rolled back":
        found = f"{title}: rolled back; its rules in the file do nothing"
        return Finding(check=check, level="warn", found=found, fix=f"{revert} takes them out")
    if story.standing in ("rolled back", "set aside"):
        found = f"{title}: it was {story.standing}, and in effect all the same: without [online] the file's rules serve"
        return Finding(check=check, level="warn", found=found, fix=f"{revert} takes them out")
    standing = "in effect" if not tries else "waits" if story.standing == "accepted" else story.standing
    return Finding(check=check, level="ok", found=f"{title}: {standing}")
