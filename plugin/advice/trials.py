"""How an accepted recommendation is tried by the roll-out, and what the roll-out's events say became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inframind.plugin.advice.toml_edit import SHOWN_DIGITS
from inframind.plugin.advice.versions import ADVISOR
from inframind.traces.advice import AdviceEventKind
from inframind.traces.shelf import UNPROVEN, Rollout, RolloutEvent, rollout_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What the roll-out made of one recommendation.

    Attributes:
        proposal: put its version into the shadow.
        promotion: made that version serve all runs, or None.
        end: took it out again, or None; also where another version was promoted over it.
    """

    proposal: RolloutEvent
    promotion: RolloutEvent | None = None
    end: RolloutEvent | None = None

    @property
    def version(self) -> str:
        """That is, or was, tried."""
        return self.proposal.version

    @property
    def is_to_be_repeated(self) -> bool:
        """Whether it ended because of something else that its version had, which a person took back or the gate rolled
        back: it is to be tried anew."""
        if self.promotion is not None or self.end is None:
            return False
        return self.end.by == ADVISOR or (
            self.end.stage == "rolled_back" and self.end.version != self.version
        )

    @property
    def is_unproven(self) -> bool:
        """Whether it ended for want of evidence, with nothing that speaks against it."""
        return self.promotion is None and self.end is not None and bool(self.end.figures.get(UNPROVEN))

    def happened(self) -> tuple[tuple[AdviceEventKind, RolloutEvent], ...]:
        """All of it, in order."""
        all_of_it: tuple[tuple[AdviceEventKind, RolloutEvent | None], ...] = (
            ("proposed", self.proposal),
            ("promoted", self.promotion),
            ("rolled_back", self.end),
        )
        return tuple((kind, event) for kind, event in all_of_it if event is not None)


def mark_of(recommendation_id: str) -> str:
    """Who proposes it, in the roll-out's events: by that it is found again, even when its version was forgotten."""
    return f"{ADVISOR}:{recommendation_id[:SHOWN_DIGITS]}"


def trial_of(events: Sequence[RolloutEvent], recommendation_id: str) -> Trial | None:
    """What became of a recommendation in the roll-out since it was last proposed, or None where it never was.

    Args:
        events: all of the roll-out, oldest first.
        recommendation_id: of which.
    """
    mark = mark_of(recommendation_id)
    proposal = next((one for one in reversed(events) if one.by == mark and one.stage == "shadow"), None)
    return None if proposal is None else _followed(proposal, events)


def _followed(proposal: RolloutEvent, events: Sequence[RolloutEvent]) -> Trial:
    version, rollout, promotion = proposal.version, Rollout(), None
    for event in events:
        before, rollout = rollout, rollout_after(rollout, event)
        if event.number <= proposal.number:
            continue
        if before.candidate == version != rollout.candidate:
            if rollout.serving != version:
                return Trial(proposal=proposal, end=event)
            promotion = event
        elif before.serving == version != rollout.serving:
            # Where another version follows, what the recommendation changed may be in that one, too.
            taken_out = event if event.stage == "rolled_back" else None
            return Trial(proposal=proposal, promotion=promotion, end=taken_out)
    return Trial(proposal=proposal, promotion=promotion)


def in_service(events: Sequence[RolloutEvent]) -> tuple[str, RolloutEvent | None]:
    """The version that serves, and the event since which it does; ("", None) before any did."""
    rollout, since = Rollout(), None
    for event in events:
        before, rollout = rollout, rollout_after(rollout, event)
        if rollout.serving != before.serving:
            since = event
    return rollout.serving, since
