"""Lessons on every shelf: each is learned exactly once, and no verdict that is missing counts as a no."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from inframind.errors import ConfigError, LearnerMoved
from inframind.traces.records import SOLVED_ONLY, SolvedKeys
from inframind.traces.shelf import Lesson, Progress, Shelf
from inframind.traces.store import TraceStore

THUMBS = SolvedKeys({"thumbs": 0.5})
NOW_S, PATIENCE_S = 1100.0, 50.0  # of runs that arrived until 1050, no verdict is expected any more


async def due(shelf: Shelf, *, limit: int = 100, keys: SolvedKeys = SOLVED_ONLY) -> Sequence[Lesson]:
    return await shelf.lessons(now_s=NOW_S, patience_s=PATIENCE_S, limit=limit, keys=keys)


async def states(shelf: Shelf, *, keys: SolvedKeys = SOLVED_ONLY) -> dict[str, int]:
    counts = await shelf.lesson_counts(now_s=NOW_S, patience_s=PATIENCE_S, keys=keys)
    assert set(counts) == {"pending", "matured", "unheard", "learned", "late"}
    return {state: count for state, count in counts.items() if count}


async def commit(
    shelf: Shelf, *learned: str, after: int = 0, learner: str = "one", at_s: float = NOW_S
) -> Progress:
    return await shelf.commit(learner, after=after, state=b"state", learned=learned, holder="me", at_s=at_s)


async def test_a_run_is_pending_until_a_verdict_or_until_patience_ends(
    store: TraceStore, shelf: Shelf, made: Any
) -> None:
    for n in (10, 50, 51, 60):
        await store.put(made.run(n))
    await store.add_outcome(made.trace_id(60), made.verdict(1070.0))
    unheard = [Lesson(trace_id=made.trace_id(n), arrived_at_s=1000.0 + n, state="unheard") for n in (10, 50)]
    heard = Lesson(trace_id=made.trace_id(60), arrived_at_s=1060.0, state="matured", heard_at_s=1070.0)
    assert list(await due(shelf)) == [*unheard, heard]
    assert await states(shelf) == {"pending": 1, "unheard": 2, "matured": 1}


async def test_the_oldest_come_first_and_no_more_than_asked_for(
    store: TraceStore, shelf: Shelf, made: Any
) -> None:
    for n in (30, 10, 90, 20, 40):
        await store.put(made.run(n))
    for n in (90, 20):
        await store.add_outcome(made.trace_id(n), made.verdict(1095.0))
    assert [lesson.trace_id for lesson in await due(shelf, limit=3)] == [
        made.trace_id(n) for n in (10, 20, 30)
    ]
    assert [lesson.state for lesson in await due(shelf)] == [
        "unheard",
        "matured",
        "unheard",
        "unheard",
        "matured",
    ]


async def test_a_verdict_may_come_before_its_run_and_inside_it(
    store: TraceStore, shelf: Shelf, made: Any
) -> None:
    await store.add_outcome(made.trace_id(60), made.verdict(1.0))
    await store.add_outcome("run:" + "e" * 32, made.verdict(2.0))
    await store.put(made.run(60))
    await store.put(made.run(61, outcomes=(made.verdict(3.0),)))
    await store.put(made.run(62))
    await store.add_alias("run:" + "e" * 32, made.trace_id(62))
    assert [(lesson.state, lesson.heard_at_s) for lesson in await due(shelf)] == [
        ("matured", 1.0),
        ("matured", 3.0),
        ("matured", 2.0),
    ]


async def test_labels_and_other_keys_are_no_verdict(store: TraceStore, shelf: Shelf, made: Any) -> None:
    for n in (60, 61):
        await store.put(made.run(n))
    await store.add_outcome(made.trace_id(60), made.verdict(1070.0, key="thumbs"))
    await store.add_outcome(made.trace_id(61), made.verdict(1070.0, score=None))
    assert list(await due(shelf)) == []
    assert await states(shelf) == {"pending": 2}
    assert [lesson.trace_id for lesson in await due(shelf, keys=THUMBS)] == [made.trace_id(60)]
    assert await states(shelf, keys=THUMBS) == {"pending": 1, "matured": 1}


async def test_a_lesson_is_heard_when_its_first_verdict_was_recorded(
    store: TraceStore, shelf: Shelf, made: Any
) -> None:
    await store.put(made.run(60))
    for at_s in (1080.0, 1070.0, 1090.0):
        await store.add_outcome(made.trace_id(60), made.verdict(at_s))
    await store.add_outcome(made.trace_id(60), made.verdict(1061.0, key="thumbs"))
    assert [lesson.heard_at_s for lesson in await due(shelf)] == [1070.0]
    assert [lesson.heard_at_s for lesson in await due(shelf, keys=THUMBS)] == [1061.0]


async def test_a_run_that_has_not_ended_is_no_lesson_yet(store: TraceStore, shelf: Shelf, made: Any) -> None:
    await store.put(made.run(1, status="open"))
    await store.add_outcome(made.trace_id(1), made.verdict(1070.0))
    assert list(await due(shelf)) == []
    assert await states(shelf) == {}
    await store.put(made.run(1))
    assert [lesson.state for lesson in await due(shelf)] == ["matured"]


async def test_what_was_learned_is_not_due_again_even_when_its_run_is_put_again(
    store: TraceStore, shelf: Shelf, made: Any
) -> None:
    await store.put(made.run(1))
    await commit(shelf, made.trace_id(1))
    await store.put(made.run(1, status="late"))
    assert list(await due(shelf)) == []
    assert await states(shelf) == {"learned": 1}


async def test_a_verdict_after_learning_makes_a_lesson_late(
    store: TraceStore, shelf: Shelf, made: Any
) -> None:
    for n in (1, 2, 3):
        await store.put(made.run(n))
    await store.add_outcome(made.trace_id(1), made.verdict(1090.0))
    await commit(shelf, made.trace_id(1), made.trace_id(2), made.trace_id(3))
    for n in (1, 2):
        await store.add_outcome(made.trace_id(n), made.verdict(NOW_S + 5.0))
    assert await states(shelf) == {"learned": 2, "late": 1}
    assert list(await due(shelf)) == []


async def test_a_commit_keeps_state_and_marks_lessons(store: TraceStore, shelf: Shelf, made: Any) -> None:
    for n in (1, 2, 3):
        await store.put(made.run(n))
    assert await shelf.progress("one") is None
    state = bytes(range(256)) * 400
    first = await shelf.commit("one", after=0, state=state, learned=[made.trace_id(1)], holder="a", at_s=5.0)
    assert first == Progress(number=1, state=state, at_s=5.0, holder="a", learned=1)
    assert await shelf.progress("one") == first
    second = await shelf.commit(
        "one", after=1, state=b"", learned=[made.trace_id(3), made.trace_id(2)], holder="b", at_s=6.0
    )
    assert second == Progress(number=2, state=b"", at_s=6.0, holder="b", learned=3)
    assert await shelf.progress("one") == second
    assert await states(shelf) == {"learned": 3}


async def test_a_commit_without_lessons_keeps_the_state(shelf: Shelf) -> None:
    assert (await commit(shelf)).number == 1
    assert (await commit(shelf, after=1)).learned == 0


@pytest.mark.parametrize("after", [0, 2])
async def test_a_commit_after_another_than_the_last_keeps_nothing(
    store: TraceStore, shelf: Shelf, made: Any, after: int
) -> None:
    await store.put(made.run(1))
    first = await commit(shelf)
    with pytest.raises(LearnerMoved, match=f"it is at commit 1, not {after}"):
        await commit(shelf, made.trace_id(1), after=after)
    assert await shelf.progress("one") == first
    assert await states(shelf) == {"unheard": 1}


async def test_a_first_commit_must_not_claim_an_earlier_one(shelf: Shelf) -> None:
    with pytest.raises(LearnerMoved, match="it is at commit 0, not 3"):
        await commit(shelf, after=3)
    assert await shelf.progress("one") is None


async def test_a_commit_with_one_lesson_learned_before_keeps_nothing(
    store: TraceStore, shelf: Shelf, made: Any
) -> None:
    for n in (1, 2):
        await store.put(made.run(n))
    first = await commit(shelf, made.trace_id(1))
    with pytest.raises(LearnerMoved, match="1 of 2 lessons are learned already"):
        await commit(shelf, made.trace_id(1), made.trace_id(2), after=1)
    with pytest.raises(LearnerMoved, match="learner 'two' was overtaken"):
        await commit(shelf, made.trace_id(1), learner="two")
    assert await shelf.progress("one") == first
    assert await shelf.progress("two") is None
    assert [lesson.trace_id for lesson in await due(shelf)] == [made.trace_id(2)]


async def test_a_forgotten_run_cannot_be_learned(store: TraceStore, shelf: Shelf, made: Any) -> None:
    await store.put(made.run(1))
    await store.delete(made.trace_id(1))
    assert await states(shelf) == {}
    with pytest.raises(LearnerMoved, match="forgotten"):
        await commit(shelf, made.trace_id(1))


async def test_naming_a_lesson_twice_is_refused(store: TraceStore, shelf: Shelf, made: Any) -> None:
    await store.put(made.run(1))
    with pytest.raises(ConfigError, match="once"):
        await commit(shelf, made.trace_id(1), made.trace_id(1))


async def test_of_many_commits_at_once_one_is_kept(store: TraceStore, shelf: Shelf, made: Any) -> None:
    for n in range(8):
        await store.put(made.run(n))
    results = await asyncio.gather(
        *(commit(shelf, made.trace_id(n)) for n in range(8)), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["LearnerMoved"] * 7 + ["Progress"]
    assert await states(shelf) == {"unheard": 7, "learned": 1}


async def test_learners_of_different_names_share_the_lessons(
    store: TraceStore, shelf: Shelf, made: Any
) -> None:
    for n in range(40):
        await store.put(made.run(n))

    async def learn(name: str) -> int:
        number = 0
        while found := await due(shelf, limit=4):
            try:
                number = (
                    await commit(shelf, *(lesson.trace_id for lesson in found), after=number, learner=name)
                ).number
            except LearnerMoved:
                continue
        progress = await shelf.progress(name)
        return progress.learned if progress else 0

    assert sum(await asyncio.gather(*(learn(name) for name in "abc"))) == 40
    assert await states(shelf) == {"learned": 40}


async def test_more_lessons_than_a_statement_has_parameters(
    store: TraceStore, shelf: Shelf, made: Any
) -> None:
    await asyncio.gather(*(store.put(made.run(0, trace_id=made.trace_id(n))) for n in range(1200)))
    found = await due(shelf, limit=5000)
    assert len(found) == 1200
    assert (await commit(shelf, *(lesson.trace_id for lesson in found))).learned == 1200


async def test_a_limit_below_one_is_refused(shelf: Shelf) -> None:
    with pytest.raises(ConfigError, match="limit"):
        await due(shelf, limit=0)


async def test_lessons_of_one_instant_come_by_name(store: TraceStore, shelf: Shelf, made: Any) -> None:
    for n in (3, 1, 2):
        await store.put(replace(made.run(n), arrived_at_s=1000.0))
    assert [lesson.trace_id for lesson in await due(shelf, limit=2)] == [made.trace_id(1), made.trace_id(2)]
