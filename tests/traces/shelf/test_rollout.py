"""Roll-out events on every shelf: appended one by one, and who serves after them."""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError, RolloutMoved, UnknownPolicy
from inframind.traces.shelf import Rollout, RolloutEvent, Shelf, rollout_after
from inframind.traces.shelf_checks import digest_of

CONTENTS = [b"a", b"b", b"c"]
VERSIONS = [digest_of(content) for content in CONTENTS]

_EVENTS = st.lists(
    st.builds(
        RolloutEvent,
        at_s=st.floats(0, 1e6),
        version=st.sampled_from(VERSIONS),
        stage=st.sampled_from([None, "shadow", "canary", "ramp", "full", "rolled_back"]),
        share=st.floats(0, 1),
        frozen=st.booleans(),
        by=st.just("gate"),
        reason=st.just("because"),
    ),
    max_size=12,
).map(lambda events: [replace(event, number=n) for n, event in enumerate(events, start=1)])


def folded(events: list[RolloutEvent]) -> list[Rollout]:
    return [*itertools.accumulate(events, rollout_after, initial=Rollout())]


async def test_before_the_first_event_the_configured_policy_serves(shelf: Shelf) -> None:
    assert await shelf.rollout() == Rollout()
    assert list(await shelf.events()) == []


async def test_events_come_back_as_they_were_with_their_number(shelf: Shelf, made: Any) -> None:
    (version,) = await made.add(shelf, 1)
    canary = made.event(version, "canary", share=0.05, figures={"lower": -0.01, "n": 40.0})
    freeze = made.event("", None, frozen=True, by="user:ann")
    assert await shelf.append(canary, after=0) == replace(canary, number=1)
    assert await shelf.append(freeze, after=1) == replace(freeze, number=2)
    assert list(await shelf.events()) == [replace(canary, number=1), replace(freeze, number=2)]
    assert list(await shelf.events(after=1)) == [replace(freeze, number=2)]
    assert list(await shelf.events(limit=1)) == [replace(canary, number=1)]
    assert list(await shelf.events(after=2)) == []
    assert await shelf.rollout() == Rollout(
        number=2, candidate=version, stage="canary", share=0.05, since_s=5.0, frozen=True
    )


async def test_a_candidate_goes_through_its_stages_and_back(shelf: Shelf, made: Any) -> None:
    old, new = await made.add(shelf, 1, 2)
    steps = [(old, "full"), (new, "shadow"), (new, "canary"), (new, "full"), (new, "rolled_back")]
    seen = []
    for number, (version, stage) in enumerate(steps):
        await shelf.append(made.event(version, stage, at_s=float(number)), after=number)
        rollout = await shelf.rollout()
        seen.append((rollout.serving, rollout.before, rollout.candidate, rollout.stage, rollout.since_s))
    assert seen == [
        (old, "", "", None, 0.0),
        (old, "", new, "shadow", 1.0),
        (old, "", new, "canary", 2.0),
        (new, old, "", None, 0.0),
        (old, "", "", None, 0.0),
    ]


async def test_an_event_after_another_than_the_last_is_refused(shelf: Shelf, made: Any) -> None:
    (version,) = await made.add(shelf, 1)
    await shelf.append(made.event(version, "shadow"), after=0)
    for stale in (0, 2):
        with pytest.raises(RolloutMoved) as caught:
            await shelf.append(made.event(version, "full"), after=stale)
        assert (caught.value.after, caught.value.last) == (stale, 1)
    assert (await shelf.rollout()).serving == ""


async def test_of_many_who_append_after_the_same_event_one_does(shelf: Shelf, made: Any) -> None:
    (version,) = await made.add(shelf, 1)
    for after in range(3):
        results = await asyncio.gather(
            *(shelf.append(made.event(version, "shadow"), after=after) for _ in range(8)),
            return_exceptions=True,
        )
        assert sorted(type(result).__name__ for result in results) == ["RolloutEvent"] + ["RolloutMoved"] * 7
    assert [event.number for event in await shelf.events()] == [1, 2, 3]


@pytest.mark.parametrize(("version", "stage"), [("a" * 64, "full"), ("a" * 64, None), ("", "canary")])
async def test_an_event_of_a_version_that_is_not_there_is_refused(
    shelf: Shelf, made: Any, version: str, stage: Any
) -> None:
    with pytest.raises(UnknownPolicy):
        await shelf.append(made.event(version, stage), after=0)


async def test_a_limit_below_one_is_refused(shelf: Shelf) -> None:
    with pytest.raises(ConfigError, match="limit"):
        await shelf.events(limit=0)


@given(_EVENTS)
def test_who_serves_was_once_made_full(events: list[RolloutEvent]) -> None:
    full = {""}
    for event, rollout in zip(events, folded(events)[1:], strict=True):
        if event.stage == "full":
            full.add(event.version)
        assert {rollout.serving, rollout.before} <= full
        assert rollout.number == event.number


@given(_EVENTS)
def test_a_candidate_has_a_stage_and_nobody_else_has(events: list[RolloutEvent]) -> None:
    for rollout in folded(events):
        if rollout.candidate:
            assert rollout.stage in ("shadow", "canary", "ramp")
        else:
            assert (rollout.stage, rollout.share, rollout.since_s) == (None, 0.0, 0.0)


@given(_EVENTS, st.sampled_from(VERSIONS))
def test_rolling_back_ends_a_candidate_or_who_serves_and_nothing_else(
    events: list[RolloutEvent], version: str
) -> None:
    before = folded(events)[-1]
    event = RolloutEvent(
        number=before.number + 1, at_s=0.0, version=version, stage="rolled_back", by="user:ann", reason="oops"
    )
    after = rollout_after(before, event)
    if version not in (before.serving, before.candidate):
        assert after == replace(before, number=event.number, frozen=False)
    elif version == before.candidate:
        assert (after.candidate, after.serving) == ("", before.serving)
    else:
        assert (after.candidate, after.serving) == ("", before.before)
        assert after.serving != version


async def test_a_shelf_comes_to_what_its_events_come_to(shelf: Shelf, made: Any) -> None:
    for number, content in enumerate(CONTENTS):
        await shelf.add_policy(made.version(number, version=digest_of(content)), content)
    chance, expected = random.Random(1), Rollout()
    for number in range(30):
        drawn = made.event(
            chance.choice(VERSIONS),
            chance.choice([None, "shadow", "canary", "ramp", "full", "rolled_back"]),
            at_s=chance.random(),
            share=chance.random(),
            frozen=chance.random() < 0.5,
        )
        expected = rollout_after(expected, await shelf.append(drawn, after=number))
        assert await shelf.rollout() == expected
    assert folded([*await shelf.events()])[-1] == expected
