"""What became of recommendations: a fold of them and their events, in any order, that duplicates leave as it is.

A recommendation is *decided* once a person accepted or rejected it (taking an accepted one back rejects it), *ignored*
once something newer was shown to its segment `patience_s` later than itself and it is still undecided, and *open*
until then. Open and ignored ones teach nothing of acceptance: nobody said anything.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import ValidationError

from inframind.advisor.ranking.changes import Change, change_of, have_changed, rules_of, switches_model
from inframind.advisor.ranking.features import COLUMNS, VERSION, Tally
from inframind.advisor.ranking.measured import Measured, measured_by
from inframind.advisor.ranking.protocol import Lesson, Verdict
from inframind.traces.advice import (
    AdviceEvent,
    AdviceEventKind,
    Prediction,
    Recommendation,
    RecommendationKind,
)

Undone = Literal["", "taken back", "rolled back"]
_EventKey = tuple[AdviceEventKind, float, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of one recommendation so far.

    Attributes:
        recommendation: it.
        change: what its rules do; see `inframind.advisor.ranking.changes`.
        switches: whether they move steps from one model to another.
        well_formed: whether its rules can be read.
        shown_at_s: when it was shown first, or decided without being shown; None where neither.
        verdict: of a person, or None.
        decided_at_s: when the verdict came.
        undone_at_s: when a person took it back, or the gate did for what it saw of it, after it was accepted.
        undone: how it was undone: ``taken back`` or ``rolled back``; "" where it was not.
        set_aside_at_s: when its trial ended for want of evidence, with nothing that speaks against it.
        lost_at_s: when the file was seen to lack it, and nobody had said anything.
        measured: the latest measurement.
        latest_s: when the latest of this came.
    """

    recommendation: Recommendation
    change: Change
    switches: bool
    well_formed: bool
    shown_at_s: float | None
    verdict: Verdict | None
    decided_at_s: float
    undone_at_s: float | None
    undone: Undone
    set_aside_at_s: float | None
    lost_at_s: float | None
    measured: Measured | None
    latest_s: float

    @property
    def is_in_force(self) -> bool:
        """Whether somebody accepted it, nobody undid it, no trial of it ended without proof, and the file has it."""
        over_s = (self.undone_at_s, self.set_aside_at_s, self.lost_at_s)
        return self.verdict == "accepted" and over_s == (None, None, None)

    @property
    def group(self) -> int:
        """A number that those that were made together, for one segment, share."""
        made = self.recommendation
        text = f"{made.made_at_s!r}|{made.segment}|{made.configuration_id}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big")


class History:
    """All recommendations so far and what became of them.

    Args:
        patience_s: seconds after which a recommendation without a verdict counts as ignored, once something newer
            has been shown to its segment.
    """

    def __init__(self, *, patience_s: float = 86_400.0) -> None:
        self.patience_s = patience_s
        self._made: dict[str, Recommendation] = {}
        self._events: defaultdict[str, dict[_EventKey, AdviceEvent]] = defaultdict(dict)
        self._fates: dict[str, Fate] = {}
        self._by_change: defaultdict[Change, set[str]] = defaultdict(set)
        self._tallies: Counter[tuple[str, RecommendationKind, bool, Verdict]] = Counter()
        self._newest_shown_s: dict[str, float] = {}

    @classmethod
    def of(
        cls,
        recommendations: Iterable[Recommendation],
        events: Iterable[AdviceEvent],
        *,
        patience_s: float = 86_400.0,
    ) -> History:
        """Of these."""
        history = cls(patience_s=patience_s)
        history.add(recommendations, events)
        return history

    def __len__(self) -> int:
        return len(self._fates)

    def add(
        self, recommendations: Iterable[Recommendation] = (), events: Iterable[AdviceEvent] = ()
    ) -> frozenset[str]:
        """Take in more; returns the ids of recommendations of which something new is known.

        Events may come before their recommendation; they wait for it.
        """
        touched: set[str] = set()
        for made in recommendations:
            if made.recommendation_id not in self._made:
                self._made[made.recommendation_id] = made
                touched.add(made.recommendation_id)
        for event in events:
            if self._is_news(event):
                touched.add(event.recommendation_id)
        known = frozenset(touched & self._made.keys())
        for recommendation_id in known:
            self._refold(recommendation_id)
        return known

    def fate(self, recommendation_id: str) -> Fate | None:
        """What became of one, or None where it is not known."""
        return self._fates.get(recommendation_id)

    def events(self, chosen_by: str) -> tuple[AdviceEvent, ...]:
        """Of the recommendations of a chooser, in the order in which the store took them; those it has not yet last."""
        mine = (one.recommendation_id for one in self._made.values() if one.chosen_by == chosen_by)
        return tuple(sorted((event for one in mine for event in self._told(one)), key=_when_taken))

    def decided(self) -> tuple[Fate, ...]:
        """Those with a verdict, in the order of the verdicts."""
        found = (fate for fate in self._fates.values() if fate.verdict is not None)
        return tuple(sorted(found, key=_when_decided))

    def ignored(self) -> tuple[Fate, ...]:
        """Those without a verdict that will hardly get one, in the order in which they were shown."""
        return tuple(sorted(self._without_verdict(ignored=True), key=_when_shown))

    def open(self) -> tuple[Fate, ...]:
        """Those that a verdict may yet come of, in the order in which they were shown."""
        return tuple(sorted(self._without_verdict(ignored=False), key=_when_shown))

    def lessons(self) -> tuple[Lesson, ...]:
        """Decided and ignored ones, as choosers learn them; those of former columns are left out."""
        found = (self.lesson(fate) for fate in (*self.decided(), *self.ignored()))
        return tuple(lesson for lesson in found if lesson is not None)

    def lesson(self, fate: Fate) -> Lesson | None:
        """What is to be learned of one, or None where it is not over or was seen through other columns."""
        made = fate.recommendation
        verdict = fate.verdict or ("ignored" if self._is_ignored(fate) else None)
        if verdict is None or made.features_version != VERSION or len(made.features) != len(COLUMNS):
            return None
        return Lesson(
            recommendation_id=made.recommendation_id,
            features_D=np.array(made.features, dtype=np.float64),
            segment=made.segment,
            verdict=verdict,
            well_formed=fate.well_formed,
            reliability_change=fate.measured.change if fate.measured else None,
            improved=bool(fate.measured and fate.measured.improved),
            shown_with=fate.group,
            at_s=fate.latest_s,
        )

    def tally(
        self,
        *,
        segment: str | None = None,
        kind: RecommendationKind | None = None,
        switches: bool | None = None,
    ) -> Tally:
        """Verdicts of a segment, of a kind, of changes that switch models or of those that do not; None is all."""
        said: Counter[Verdict] = Counter()
        for (its_segment, its_kind, its_switches, verdict), count in self._tallies.items():
            if (
                segment in (None, its_segment)
                and kind in (None, its_kind)
                and switches in (None, its_switches)
            ):
                said[verdict] += count
        return Tally(said["accepted"], said["rejected"])

    def objection(
        self,
        change: Change,
        predictions: Sequence[Prediction],
        *,
        segment: str,
        now_s: float,
        pause_s: float,
    ) -> str:
        """Why a change is not to be recommended to a segment now, in words; "" where it may be.

        What was accepted and not undone is in force. What this segment rejected, or anybody undid, comes back after a
        pause, and then only with other predictions: see `inframind.advisor.ranking.changes.have_changed`; unless the
        same segment accepted it later. What was set aside for want of evidence nobody refused: it comes back with other
        predictions, or after a pause. What the file was merely seen to lack may come back at once.
        """
        fates = [self._fates[one] for one in self._by_change.get(change, ())]
        if any(fate.is_in_force for fate in fates):
            return "accepted before"
        refusals = [(at_s, fate) for fate in fates if (at_s := _refused_at(fate, segment)) is not None]
        refusals = [one for one in refusals if not _accepted_later(one, fates)]
        if refusals:
            at_s, fate = max(refusals, key=_when)
            refused = fate.undone or "rejected"
            if now_s - at_s < pause_s:
                return f"{refused} not long ago"
            if not have_changed(fate.recommendation.predictions, predictions):
                return f"{refused}, and its predictions are what they were"
        tried = [(fate.set_aside_at_s, fate) for fate in fates if fate.set_aside_at_s is not None]
        if tried:
            at_s, fate = max(tried, key=_when)
            if now_s - at_s < pause_s and not have_changed(fate.recommendation.predictions, predictions):
                return "set aside not long ago"
        return ""

    def _is_news(self, event: AdviceEvent) -> bool:
        events = self._events[event.recommendation_id]
        key = (event.kind, event.at_s, event.by)
        if key in events and events[key].number >= event.number:
            return False
        events[key] = event
        return True

    def _refold(self, recommendation_id: str) -> None:
        old = self._fates.get(recommendation_id)
        if old is not None:
            self._count(old, -1)
        fate = _fate_of(self._made[recommendation_id], self._told(recommendation_id), old)
        self._fates[recommendation_id] = fate
        self._by_change[fate.change].add(recommendation_id)
        self._count(fate, 1)
        if fate.shown_at_s is not None:
            segment = fate.recommendation.segment
            newest_s = self._newest_shown_s.get(segment, -math.inf)
            self._newest_shown_s[segment] = max(newest_s, fate.shown_at_s)

    def _told(self, recommendation_id: str) -> tuple[AdviceEvent, ...]:
        return tuple(self._events.get(recommendation_id, {}).values())

    def _count(self, fate: Fate, by: int) -> None:
        if fate.verdict is None:
            return
        made = fate.recommendation
        self._tallies[made.segment, made.kind, fate.switches, fate.verdict] += by

    def _without_verdict(self, *, ignored: bool) -> Iterator[Fate]:
        for fate in self._fates.values():
            is_shown = fate.verdict is None and fate.shown_at_s is not None
            if is_shown and self._is_ignored(fate) == ignored:
                yield fate

    def _is_ignored(self, fate: Fate) -> bool:
        if fate.verdict is not None or fate.shown_at_s is None:
            return False
        newest_s = self._newest_shown_s[fate.recommendation.segment]
        return newest_s - fate.shown_at_s >= self.patience_s


def _fate_of(made: Recommendation, events: Sequence[AdviceEvent], old: Fate | None) -> Fate:
    first: dict[AdviceEventKind, float] = {}
    for event in events:
        if not event.is_loss:
            first[event.kind] = min(event.at_s, first.get(event.kind, math.inf))
    set_aside_at_s = first.get("rolled_back") if any(event.is_unproven for event in events) else None
    if set_aside_at_s is not None:
        # Who then takes the rules out of the file, where they do nothing any more, objects to nothing.
        first = {kind: at_s for kind, at_s in first.items() if kind not in ("rolled_back", "reverted")}
    verdict, decided_at_s = _verdict_of(first)
    undone_at_s, undone = _undone_of(first)
    shown = [first["shown"]] if "shown" in first else [decided_at_s] if verdict else []
    change, switches, well_formed = (
        (old.change, old.switches, old.well_formed) if old is not None else _read(made.rules)
    )
    return Fate(
        recommendation=made,
        change=change,
        switches=switches,
        well_formed=well_formed,
        shown_at_s=shown[0] if shown else None,
        verdict=verdict,
        decided_at_s=decided_at_s,
        undone_at_s=undone_at_s,
        undone=undone,
        set_aside_at_s=set_aside_at_s,
        lost_at_s=min((event.at_s for event in events if event.is_loss), default=None),
        measured=_measured_of(events),
        latest_s=max((event.at_s for event in events), default=made.made_at_s),
    )


def _verdict_of(first: Mapping[AdviceEventKind, float]) -> tuple[Verdict | None, float]:
    """A person's last word: who takes back what they accepted has rejected it after all. The gate has no say here."""
    if "reverted" in first:
        return "rejected", first["reverted"]
    said: list[tuple[float, Verdict]] = []
    if "accepted" in first:
        said.append((first["accepted"], "accepted"))
    if "rejected" in first:
        said.append((first["rejected"], "rejected"))
    if not said:
        return None, 0.0
    at_s, verdict = min(said)
    return verdict, at_s


def _undone_of(first: Mapping[AdviceEventKind, float]) -> tuple[float | None, Undone]:
    ways: tuple[tuple[AdviceEventKind, Undone], ...] = (
        ("reverted", "taken back"),
        ("rolled_back", "rolled back"),
    )
    return max(((first[kind], how) for kind, how in ways if kind in first), default=(None, ""))


def _measured_of(events: Sequence[AdviceEvent]) -> Measured | None:
    """The latest measurement that can be read."""
    told = [event for event in events if event.kind == "measured"]
    for event in sorted(told, key=lambda one: (one.at_s, one.number, one.by), reverse=True):
        if (found := measured_by(event)) is not None:
            return found
    return None


def _read(documents: Iterable[Mapping[str, object]]) -> tuple[Change, bool, bool]:
    try:
        rules = rules_of(documents)
    except ValidationError:
        return frozenset(), False, False
    return change_of(rules), switches_model(rules), True


def _refused_at(fate: Fate, segment: str) -> float | None:
    if fate.undone_at_s is not None:
        return fate.undone_at_s
    if fate.verdict == "rejected" and fate.recommendation.segment == segment:
        return fate.decided_at_s
    return None


def _accepted_later(refusal: tuple[float, Fate], fates: Iterable[Fate]) -> bool:
    """Whether who refused a change changed their mind: the same segment accepted it since."""
    at_s, refused = refusal
    return any(
        fate.verdict == "accepted"
        and fate.decided_at_s > at_s
        and fate.recommendation.segment == refused.recommendation.segment
        for fate in fates
    )


def _when(one: tuple[float, Fate]) -> tuple[float, str]:
    return one[0], one[1].recommendation.recommendation_id


def _when_decided(fate: Fate) -> tuple[float, str]:
    return fate.decided_at_s, fate.recommendation.recommendation_id


def _when_shown(fate: Fate) -> tuple[float, str]:
    return fate.shown_at_s or 0.0, fate.recommendation.recommendation_id


def _when_taken(event: AdviceEvent) -> tuple[float, float, str, str]:
    return event.number or math.inf, event.at_s, event.recommendation_id, event.kind
