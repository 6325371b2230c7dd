"""Who measures accepted recommendations, as labelled runs come in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from inframind.errors import AdviceMoved
from inframind.fleet.clock import Clock
from inframind.plugin.advice.counterparts import compared, with_means
from inframind.plugin.advice.measuring import Measurement, is_news, of_canary
from inframind.plugin.advice.stories import Stories, Story
from inframind.plugin.advice.trials import Trial, trial_of
from inframind.plugin.online.learner_state import LearnerState
from inframind.plugin.online.lessons import Hearing
from inframind.plugin.online.publishing import LEARNER
from inframind.plugin.online.trial import Trial as Evidence
from inframind.traces.advice import AdviceEvent
from inframind.traces.outcome_graph import ConfigurationSummary, OutcomeGraph
from inframind.traces.records import SolvedKeys
from inframind.traces.shelf import RolloutEvent, Shelf
from inframind.traces.store import TraceStore

MEASURER = "advisor"
LOOK_EVERY_S = 60.0
"""Seconds between two looks at the same recommendation by one process."""
_PAGES = 40
"""Most pages of traces that are read at one look; the next look goes on."""


@dataclass(frozen=True, kw_only=True)
class MeasureConfig:
    """What counts.

    Attributes:
        keys: which feedback is a verdict.
        hearing: whose feedback is heard in a trial.
        settle_s: age in seconds at which a run of a trial counts.
        window_s: seconds before and after acceptance whose runs are compared.
        is_tried: whether versions carry what is accepted (``[online]``); else configurations do.
        margin: fall in success, in shares of runs, that something cheaper was promised not to exceed.
    """

    keys: SolvedKeys
    hearing: Hearing
    settle_s: float
    window_s: float
    is_tried: bool
    margin: float


class Measurer:
    """Compares runs with and without what was accepted, and keeps what comes of it.

    First when there are 30 labelled runs on either side, and again whenever 1.5 times as many came; until ``window_s``
    after acceptance.

    Args:
        store: where traces are.
        graph: of that store.
        shelf: of that store.
        stories: what became of recommendations.
        config: what counts.
        clock: time.
    """

    def __init__(
        self,
        store: TraceStore,
        graph: OutcomeGraph,
        shelf: Shelf,
        stories: Stories,
        config: MeasureConfig,
        clock: Clock,
    ) -> None:
        self._store, self._graph, self._shelf = store, graph, shelf
        self._stories, self._config, self._clock = stories, config, clock
        self._evidence: dict[str, Evidence] = {}
        self._looked_s: dict[str, float] = {}

    async def tend(self, rollout_events: Sequence[RolloutEvent]) -> list[AdviceEvent]:
        """Measure what is due; the events that came of it.

        Raises:
            StoreError: the store cannot be read or written.
        """
        added: list[AdviceEvent] = []
        for story in self._stories.accepted():
            if self._is_due(story) and (found := await self._news(story, rollout_events)):
                added += await self._keep(story, found)
        return added

    def _is_due(self, story: Story) -> bool:
        accepted, now_s = story.event("accepted"), self._clock.wall_s()
        advice = story.recommendation.recommendation_id
        if accepted is None or not story.is_in_force or now_s > accepted.at_s + self._config.window_s:
            return False
        if self._clock.now_s() - self._looked_s.get(advice, float("-inf")) < LOOK_EVERY_S:
            return False
        self._looked_s[advice] = self._clock.now_s()
        return True

    async def _news(self, story: Story, events: Sequence[RolloutEvent]) -> Measurement | None:
        """What can be said that was not said before."""
        advice, latest = story.recommendation.recommendation_id, story.event("measured")
        said = latest.facts if latest else None
        trial = trial_of(events, advice)
        if trial is not None and (found := of_canary((await self._heard(trial)).evidence)):
            return (
                with_means(found, await self._served_in(trial, events), advice)
                if is_news(found, said)
                else None
            )
        after = await self._after_acceptance(story, trial)
        return after if after and is_news(after, said) else None

    async def _keep(self, story: Story, found: Measurement) -> list[AdviceEvent]:
        event = AdviceEvent(
            recommendation_id=story.recommendation.recommendation_id,
            kind="measured",
            at_s=self._clock.wall_s(),
            by=MEASURER,
            facts={**found.to_facts(), "margin": self._config.margin},
        )
        try:
            return [await self._graph.add_event(event)]
        except AdviceMoved:  # taken back meanwhile
            return []

    # Beside each other ---------------------------------------------------------------------------------

    async def _heard(self, trial: Trial) -> Evidence:
        """Evidence of a trial up to now, or to its end."""
        evidence = self._evidence.get(trial.version) or Evidence.begin(trial.version, trial.proposal.at_s)
        over = trial.promotion or trial.end
        until_s = self._clock.wall_s() - self._config.settle_s
        until_s = min(until_s, over.at_s) if over else until_s
        hearing = self._config.hearing
        book = hearing.book(await self._learner_state())
        for _ in range(_PAGES):
            before = evidence.place
            evidence = await evidence.plus(
                self._store, until_s=until_s, hear=lambda runs, recent: hearing.proofs(runs, book, recent)
            )
            if evidence.place == before:
                break
        self._evidence[trial.version] = evidence
        return evidence

    async def _served_in(
        self, trial: Trial, events: Sequence[RolloutEvent]
    ) -> list[Sequence[ConfigurationSummary]]:
        """Configurations with their runs, from each change of the share that was dealt out to the next."""
        proposal, over = trial.proposal, trial.promotion or trial.end
        until_s = over.at_s if over else self._clock.wall_s()
        dealt = (one for one in events if one.number > proposal.number and one.version == trial.version)
        changes_s = [*(one.at_s for one in dealt if one.share and one.at_s < until_s), until_s]
        return [
            await self._configurations(since_s, end_s)
            for since_s, end_s in pairwise(changes_s)
            if since_s < end_s
        ]

    async def _learner_state(self) -> LearnerState:
        """Who is suspected by now; nobody where nobody learns."""
        progress = await self._shelf.progress(LEARNER)
        return LearnerState.from_bytes(progress.state) if progress else LearnerState(learner=b"")

    # After each other ----------------------------------------------------------------------------------

    async def _after_acceptance(self, story: Story, trial: Trial | None) -> Measurement | None:
        accepted = story.event("accepted")
        if accepted is None or (self._config.is_tried and not story.has("promoted")):
            return None
        advice, window_s, at_s = story.recommendation.recommendation_id, self._config.window_s, accepted.at_s
        begins_s = trial.promotion.at_s if trial and trial.promotion else at_s
        earlier = await self._configurations(at_s - window_s, at_s)
        later = await self._configurations(begins_s, at_s + window_s)
        return compared(earlier, later, advice)

    async def _configurations(self, since_s: float, until_s: float) -> Sequence[ConfigurationSummary]:
        return await self._graph.configurations(since_s=since_s, until_s=until_s, keys=self._config.keys)
