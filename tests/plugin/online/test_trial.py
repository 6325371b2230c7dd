"""What counts as evidence: every run of the trial, once, and only when it is old enough; and what a learner keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from inframind.plugin.online.learner_state import LearnerState
from inframind.plugin.online.lessons import Hearing
from inframind.plugin.online.trial import PAGE, Place, Trial, Watched
from inframind.router.guards.quotas import Admission, QuotaConfig
from inframind.router.online.protocol import Label
from inframind.traces.memory import MemoryStore
from inframind.traces.records import Decision, Outcome, Trajectory

CANDIDATE, OTHER = "c" * 64, "d" * 64


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    async with MemoryStore() as store:
        yield store


def run(number: int, arm: str = "serving", candidate: str = CANDIDATE, **other: Any) -> Trajectory:
    dealt = {"event": 1, "candidate": candidate, "arm": arm, "share": 0.25}
    values: dict[str, Any] = {
        "trace_id": f"{number:032x}",
        "question": "q",
        "arrived_at_s": float(number),
        "budget_s": 10.0,
        "latency_s": 1.0,
        "metadata": {"inframind": {"dealt": dealt}},
        **other,
    }
    return Trajectory(**values)


def right(runs: Any, recent: tuple[str, ...]) -> Admission:
    kept = {one.trace_id: Label(solved=1.0, source="api") for one in runs}
    return Admission(kept=kept, set_aside={}, recent=(*recent, *("api" for _ in kept)))


async def put(store: MemoryStore, *runs: Trajectory) -> None:
    for one in runs:
        await store.put(one)


async def test_runs_of_both_arms_count_with_their_labels(store: MemoryStore) -> None:
    await put(store, run(1), run(2, "candidate"), run(3, "candidate", status="failed"))
    trial = await Trial.begin(CANDIDATE, 0.0).plus(store, until_s=10.0, hear=right)
    records = trial.evidence.records
    assert (records["serving"].runs, records["candidate"].runs) == (1, 2)
    assert (records["candidate"].failed, records["candidate"].labelled) == (1.0, 1)
    assert trial.evidence.at(0.25) == 3


async def test_other_trials_and_runs_without_an_end_do_not_count(store: MemoryStore) -> None:
    bare = run(4, metadata={})
    await put(store, run(1, candidate=OTHER), run(2, status="open"), run(3, status="cancelled"), bare)
    trial = await Trial.begin(CANDIDATE, 0.0).plus(store, until_s=10.0, hear=right)
    assert trial.evidence.runs == 0


async def test_a_run_that_was_given_up_counts_as_late_when_its_budget_had_passed(store: MemoryStore) -> None:
    late = run(1, "candidate", status="cancelled", latency_s=10.0)
    await put(store, late, run(2, "candidate", status="cancelled", latency_s=9.9))
    trial = await Trial.begin(CANDIDATE, 0.0).plus(store, until_s=10.0, hear=right)
    record = trial.evidence.records["candidate"]
    assert (record.runs, record.on_time, record.failed, record.labelled) == (1, 0.0, 0.0, 0)


async def test_a_run_counts_once_and_only_when_it_is_old_enough(store: MemoryStore) -> None:
    trial = Trial.begin(CANDIDATE, 0.0)
    await put(store, run(1), run(2), run(3))
    trial = await trial.plus(store, until_s=2.5, hear=right)
    assert trial.evidence.runs == 2
    trial = await Trial.from_json(trial.to_json()).plus(store, until_s=2.5, hear=right)
    assert trial.evidence.runs == 2
    trial = await Trial.from_json(trial.to_json()).plus(store, until_s=3.5, hear=right)
    assert trial.evidence.runs == 3


async def test_pieces_add_up_to_the_whole(store: MemoryStore) -> None:
    await put(store, *(run(number, "candidate" if number % 3 else "serving") for number in range(40)))
    whole = await Trial.begin(CANDIDATE, 0.0).plus(store, until_s=99.0, hear=right)
    parts = Trial.begin(CANDIDATE, 0.0)
    for until_s in (7.0, 7.0, 19.5, 99.0):
        parts = await parts.plus(store, until_s=until_s, hear=right)
    assert parts.evidence.runs == whole.evidence.runs == 40
    assert parts.evidence.records["candidate"] == whole.evidence.records["candidate"]


async def test_no_more_than_a_page_is_read_at_once(store: MemoryStore) -> None:
    await put(store, *(run(number) for number in range(PAGE + 3)))
    place, read = Place(since_s=0.0), 0
    for expected in (PAGE, 3, 0):
        runs, place = await place.read(store, until_s=1e9)
        read += len(runs)
        assert len(runs) == expected
    assert read == PAGE + 3


async def test_what_serves_is_watched_by_its_signature(store: MemoryStore) -> None:
    def signed(number: int, version: str) -> Trajectory:
        decision = Decision(
            decision_id="d", kind="step", made_s=0.0, policy="learned", policy_version=version[:12],
            features_version="1", actions=("a",), probabilities=(1.0,), masked=("",), chosen=0,
            probability=1.0, choice={},
        )  # fmt: skip
        return run(number, decisions=(decision,))

    await put(store, signed(1, CANDIDATE), signed(2, OTHER), signed(3, CANDIDATE))
    watched = await Watched.begin(CANDIDATE, 0.0).plus(store, until_s=9.0)
    assert (watched.record.runs, watched.record.on_time) == (2, 2.0)
    again = Watched.from_json({**watched.to_json(), "promotion": 3})
    assert again == watched


def test_a_state_is_what_it_was_after_a_journey() -> None:
    state = LearnerState(
        learner=b"\x00\x01\xff", base="a" * 64, published=(CANDIDATE, OTHER), labelled=7, fresh=2,
        labels={"api": 7}, set_aside={"user:x": 3}, recent=("api", "user:x"), sources=[{"source": "api"}],
        trials={"proof": {"place": {"since_s": 1.5}}},
    )  # fmt: skip
    assert LearnerState.from_bytes(state.to_bytes()) == state
    assert state.lineage == ("a" * 64, CANDIDATE, OTHER)


class _Silent:
    """A reader that no run says anything to."""

    def read(self, run: Trajectory) -> None:
        return None


def test_a_flood_from_one_who_is_not_trusted_is_set_aside() -> None:
    flood = [
        run(
            number,
            outcomes=(
                Outcome(feedback_id=f"f{number}", key="solved", score=1.0, source=source, recorded_at_s=1.0),
            ),
        )
        for number, source in enumerate(["grader:x", *["user:x"] * 50])
    ]
    hearing = Hearing(quotas=QuotaConfig(free=5))
    lessons, state = hearing.lessons(flood, LearnerState(learner=b""), _Silent())  # type: ignore[arg-type]
    heard = [lesson for lesson in lessons if lesson.label is not None]
    assert len(lessons) == 51
    assert len(heard) == state.labelled == state.labels["user:*"] + 1 < 20
    assert state.set_aside["user:*"] == 51 - len(heard)
    again, after = hearing.lessons(flood[:10], state, _Silent())  # type: ignore[arg-type]
    assert len(again) == 10
    assert after.set_aside["user:*"] > state.set_aside["user:*"]
