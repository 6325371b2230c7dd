"""Who recommends: the best of the latest analysis for a person, what was shown last, and why the rest is not shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from inframind.advisor.ranking.changes import Change
from inframind.advisor.recommending import Ranking
from inframind.errors import ConfigError
from inframind.fleet.clock import Clock
from inframind.plugin.advice.analysts import Analyst
from inframind.plugin.advice.batches import Audience
from inframind.plugin.advice.offers import Offers, change_in
from inframind.plugin.advice.stories import UNDER, Stories, Story
from inframind.traces.advice import Recommendation, RecommendationKind
from inframind.traces.ids import new_ids


class Recommender:
    """Makes recommendations. Not for two callers at once: see `AdviceDesk`, which also says what is raised.

    Args:
        analyst: knows the latest analysis.
        stories: where recommendations are kept.
        offers: knows what may be shown to whom.
        ranking: ranks options; knows what ``stories`` has read.
        clock: time.
        rng: all chance there is.
    """

    def __init__(
        self,
        analyst: Analyst,
        stories: Stories,
        offers: Offers,
        ranking: Ranking,
        *,
        clock: Clock,
        rng: np.random.Generator,
    ) -> None:
        self._analyst, self._stories, self._offers, self._ranking = analyst, stories, offers, ranking
        ids_rng, draws_rng = rng.spawn(2)
        self._new_id, self._seed = new_ids(ids_rng), int(draws_rng.integers(2**63))
        self._clock = clock

    async def recommend(self, *, segment: str, domain: str, most: int | None) -> tuple[Recommendation, ...]:
        """See `AdviceDesk.recommend`."""
        if most is not None and most < 1:
            raise ConfigError(
                "most", most, "ask for at least 1, or leave it out: then as many as are configured"
            )
        number, analysis = await self._analyst.newest()
        if analysis is None:
            return ()
        await self._stories.read()
        audience = self._audience(number, segment, domain)
        made = self._ranking.recommend(
            self._offers.without_what_is_in_force(analysis),
            segment=audience.segment,
            domain=domain,
            configuration=await self._analyst.configuration(analysis),
            most=most,
            now_s=self._clock.wall_s(),
            rng=self._draws(),
            new_id=self._unused_id,
        )
        if not made:
            return ()
        return await self._shown_before(audience, made) or await self._stories.keep(
            made, {**audience.facts(made[0].recommendation_id), UNDER: [*analysis.under]}
        )

    async def _shown_before(
        self, audience: Audience, made: Sequence[Recommendation]
    ) -> tuple[Recommendation, ...]:
        """What is open of what the same people were shown together, where that is the same; empty otherwise."""
        wanted = {*map(_what, made)}
        for batch in await self._stories.shown(audience):
            left = [one.recommendation for one in self._offers.still_shown(batch) if one.standing == "open"]
            if {*map(_what, left)} == wanted:
                return tuple(left)
        return ()

    async def shown(self, *, segment: str, domain: str) -> tuple[Story, ...]:
        """See `AdviceDesk.shown`."""
        number, _ = await self._analyst.newest()
        await self._stories.read()
        batches = await self._stories.shown(self._audience(number, segment, domain))
        return self._offers.still_shown(batches[0]) if batches else ()

    def _audience(self, number: int, segment: str, domain: str) -> Audience:
        return Audience(analysis=number, segment=self._analyst.segment_of(segment), domain=domain)

    async def hidden(self, *, segment: str, domain: str) -> Mapping[str, int]:
        """See `AdviceDesk.hidden`."""
        analysis = await self._analyst.latest()
        await self._stories.read()
        if analysis is None:
            return {}
        known = await self._analyst.configuration(analysis)
        wanted = self._analyst.segment_of(segment)
        return self._offers.hidden(analysis, known, segment=wanted, domain=domain)

    async def stopped(self) -> str:
        """See `AdviceDesk.stopped`."""
        await self._stories.read()
        return str(self._ranking.stop or "")

    def _draws(self) -> np.random.Generator:
        """Chance of this moment: a process that starts anew with the same seed draws otherwise once more is known."""
        return np.random.default_rng([self._seed, self._stories.number])

    def _unused_id(self) -> str:
        """The next one that nothing has: a process that starts anew with the same seed draws the same ones again."""
        while self._stories.has(found := self._new_id()):
            pass
        return found


def _what(made: Recommendation) -> tuple[RecommendationKind, Change]:
    """What it is for and what it changes, whatever it is called."""
    return made.kind, change_in(made)
