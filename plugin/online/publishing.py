"""What publishing asks of the shelf and of the store, and what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from inframind.errors import RolloutMoved, UnknownPolicy
from inframind.plugin.advice.versions import ADVISOR
from inframind.plugin.online.learner_state import LearnerState
from inframind.plugin.online.school import Published
from inframind.traces.query import TraceQuery
from inframind.traces.records import SolvedKeys, Trajectory
from inframind.traces.shelf import PolicyVersion, Rollout, RolloutEvent, Shelf
from inframind.traces.store import TraceStore

LEARNER = "learner"
"""Role that is led, and name of the one lineage of policies."""


async def is_tried(shelf: Shelf, version: str) -> bool:
    """Whether a version was ever in a stage; being on the shelf is not enough: it may never have been proposed."""
    return any(event.version == version and event.stage is not None for event in await shelf.events())


async def with_own(shelf: Shelf, state: LearnerState, rollout: Rollout) -> LearnerState:
    """The state with the versions that it can go on from, and does not know of yet.

    One that it published when it was killed before it could note that; and those that differ from one of its own by
    rules alone.
    """
    for version in (rollout.serving, rollout.candidate):
        if not version or version in state.lineage:
            continue
        try:
            row = await shelf.policy(version)
        except UnknownPolicy:
            continue
        if row.created_by == ADVISOR:
            if await _has_own_weights(shelf, row, state):
                state = replace(state, published=(*state.published, version))
        elif _is_own(row, state):
            taught = int(row.facts["labelled"])
            state = replace(
                state, published=(*state.published, version), fresh=max(0, state.labelled - taught)
            )
    return state


async def _has_own_weights(shelf: Shelf, row: PolicyVersion, state: LearnerState) -> bool:
    """Whether only rules lie between it and a version of the lineage."""
    while row.created_by == ADVISOR and row.parent not in state.lineage:
        try:
            row = await shelf.policy(row.parent)
        except UnknownPolicy:
            return False
    return row.created_by == ADVISOR or _is_own(row, state)


def _is_own(row: PolicyVersion, state: LearnerState) -> bool:
    """Made by this lineage, and not by an earlier one: after as many labels was the last publication before it."""
    if row.created_by != LEARNER or row.parent not in state.lineage or "labelled" not in row.facts:
        return False
    return bool(row.facts["labelled"] - row.facts["fresh"] == state.labelled - state.fresh)


async def with_recent(
    store: TraceStore, latest: Sequence[Trajectory], keys: SolvedKeys, least: int
) -> tuple[Trajectory, ...]:
    """The latest runs, and where memory holds few of them, as after a start, the store's latest labelled ones too."""
    if len(latest) >= least:
        return tuple(latest)
    known = {run.trace_id for run in latest}
    query = TraceQuery(labelled=True, solved_keys=keys, limit=least)
    found = [summary.trace_id for summary in await store.list(query) if summary.trace_id not in known]
    return (*await store.get_many(found[: least - len(latest)]), *latest)


async def remark(
    shelf: Shelf, *, reason: str, figures: Mapping[str, float], now_s: float
) -> RolloutEvent | None:
    """For people: nothing follows from it. Overtaken, it is left out; the log has it."""
    rollout = await shelf.rollout()
    event = RolloutEvent(
        at_s=now_s,
        version="",
        stage=None,
        frozen=rollout.frozen,
        by=LEARNER,
        reason=reason,
        figures=figures,
    )
    try:
        return await shelf.append(event, after=rollout.number)
    except RolloutMoved:
        return None


def facts_of(state: LearnerState, published: Published) -> dict[str, object]:
    """Whence a version came."""
    return {
        "labelled": state.labelled,
        "fresh": state.fresh,
        "labels": dict(state.labels),
        "fraction": published.fraction,
        "decisions": published.change.decisions,
        "changed": published.change.changed,
        "moved": published.change.moved,
    }


def reason_of(state: LearnerState, published: Published) -> str:
    """Why a version is tried, for people."""
    part = "" if published.fraction == 1.0 else f"{published.fraction:.0%} of "
    return (
        f"{part}what {state.fresh} more labelled runs taught changes {published.change.changed:.0%} of "
        f"{published.change.decisions} decisions: it is tried in the shadow"
    )
