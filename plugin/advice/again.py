"""Accepting again what was refused: events happen once, so the same change comes as a recommendation of its own."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from inframind.plugin.advice.stories import Stories, Story
from inframind.traces.advice import Recommendation
from inframind.traces.prefix import RECOMMENDATIONS

AGAIN = "again"
"""Fact of the ``shown`` event: the recommendation whose change it is."""


async def once_more(stories: Stories, refused: Story, *, at_s: float) -> Story:
    """The recommendation under which a change is accepted that was rejected or taken back; not kept yet if it is new.

    It has the same id whoever asks, so that of two who accept it at once one does.

    Args:
        stories: in which it may be already.
        refused: how often it may have been refused since.
        at_s: when it is made, seconds since the Unix epoch.
    """
    story = refused
    while story.last_word in ("rejected", "reverted"):
        made = _again(story.recommendation, at_s)
        story = await stories.known(made.recommendation_id) or Story(recommendation=made)
    return story


def _again(made: Recommendation, at_s: float) -> Recommendation:
    own_id = hashlib.sha256(f"again {made.recommendation_id}".encode()).hexdigest()[: RECOMMENDATIONS.digits]
    rules = tuple({**rule, "advice": own_id} for rule in made.rules)
    return replace(
        made,
        recommendation_id=own_id,
        made_at_s=at_s,
        rules=rules,
        chosen_by="person",
        probability=1.0,
        rank=0,
    )
