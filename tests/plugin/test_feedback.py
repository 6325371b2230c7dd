"""What may be said about a run, and that neither order nor repetition changes what it comes to."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from typing import Any, Unpack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from inframind.errors import ConfigError, StoreError, UnknownTrace
from inframind.plugin.feedback import FeedbackAbout, outcome_of, record_feedback
from inframind.traces.aliases import run_alias, thread_alias
from inframind.traces.memory import MemoryStore
from inframind.traces.records import Outcome, Trajectory
from inframind.traces.store import TraceStore

ROOT = uuid.UUID("11111111-1111-4111-8111-111111111111")
CALL = uuid.UUID("22222222-2222-4222-8222-222222222222")


@dataclass
class At:
    """A clock that stands still."""

    s: float

    def now_s(self) -> float:
        return self.s

    def wall_s(self) -> float:
        return self.s


async def run_arrives(store: TraceStore) -> None:
    await store.put(Trajectory(trace_id=ROOT.hex, question="q", arrived_at_s=0.0, budget_s=1.0))
    await store.add_alias(run_alias(CALL), ROOT.hex)
    await store.add_alias(thread_alias("chat-7"), ROOT.hex)


async def say(
    store: TraceStore, about: Any = None, at_s: float = 1.0, **what: Unpack[FeedbackAbout]
) -> Outcome:
    return await record_feedback(store, about, clock=At(at_s), **what)


@pytest.mark.parametrize("solved", ["yes", 0.5, 7])
def test_a_verdict_is_true_or_false(solved: Any) -> None:
    with pytest.raises(ConfigError, match=r"^solved = .*: give True or False"):
        outcome_of(recorded_at_s=1.0, solved=solved)


WAYS: list[dict[str, Any]] = [
    {"about": ROOT.hex},
    {"about": ROOT.hex[:8]},
    {"about": ROOT},
    {"about": str(ROOT)},
    {"about": CALL},
    {"about": f"lc_run--{CALL}"},
    {"about": f"lc_run--{CALL}-0"},
    {"about": AIMessage("42", id=f"lc_run--{CALL}")},
    {"about": AIMessage("42", response_metadata={"inframind": {"trace_id": ROOT.hex}})},
    {"trace_id": ROOT.hex.upper()},
    {"message_id": str(CALL)},
    {"message": AIMessage("42", id=f"run--{CALL}-1")},
    {"run_id": CALL.hex},
    {"run_id": ROOT},
    {"thread_id": "chat-7"},
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: " ".join(f"{k}={str(v)[:50]}" for k, v in way.items()))
async def test_every_way_of_naming_a_run_finds_it(way: dict[str, Any]) -> None:
    async with MemoryStore() as store:
        await run_arrives(store)
        await say(store, solved=True, **way)
        assert (await store.get(ROOT.hex)).solved is True


@pytest.mark.parametrize(
    "about", [ROOT.hex, ROOT, CALL, f"lc_run--{CALL}", AIMessage("42", id=f"lc_run--{CALL}")], ids=str
)
async def test_feedback_on_a_run_to_come_waits_for_it(about: Any) -> None:
    async with MemoryStore() as store:
        await say(store, about, solved=True)
        assert await store.count_pending() == 1
        await run_arrives(store)
        assert (await store.get(ROOT.hex)).solved is True
        assert await store.count_pending() == 0


async def test_feedback_on_a_thread_that_never_ran_is_refused() -> None:
    async with MemoryStore() as store:
        with pytest.raises(UnknownTrace, match="thread:chat-7"):
            await say(store, thread_id="chat-7", solved=True)


async def test_the_same_said_early_and_late_under_several_names_counts_once() -> None:
    async with MemoryStore() as store:
        await say(store, CALL, at_s=1.0, key="thumbs", score=1)
        await run_arrives(store)
        await say(store, ROOT, at_s=2.0, key="thumbs", score=1)
        await say(store, thread_id="chat-7", at_s=3.0, key="thumbs", score=0)
        assert [(o.key, o.score) for o in (await store.get(ROOT.hex)).outcomes] == [("thumbs", 0.0)]


async def test_two_sources_and_two_keys_count_each() -> None:
    async with MemoryStore() as store:
        await run_arrives(store)
        for source in ("ada", "bob"):
            for key in ("thumbs", "tone"):
                await say(store, ROOT, key=key, score=1, source=source)
        assert len((await store.get(ROOT.hex)).outcomes) == 4


_ABOUT: list[Any] = [ROOT.hex, ROOT, CALL, f"lc_run--{CALL}-0"]
_SAID = st.fixed_dictionaries(
    {
        "about": st.sampled_from(_ABOUT),
        "key": st.sampled_from(["thumbs", "tone", "solved"]),
        "score": st.sampled_from([0.0, 0.5, 1.0]),
        "feedback_id": st.sampled_from([None, "a", "b"]),
    }
)


@given(
    said=st.lists(_SAID, min_size=1, max_size=8),
    seed=st.randoms(use_true_random=False),
    arrives=st.integers(min_value=0, max_value=24),
)
def test_any_order_and_repetition_comes_to_the_same_trajectory(
    said: list[dict[str, Any]], seed: Any, arrives: int
) -> None:
    # Each was said at its own moment; delivery may repeat and shuffle, and the run may arrive in the midst.
    moments: list[dict[str, Any]] = [{**one, "at_s": float(n)} for n, one in enumerate(said)]
    delivered = [*moments, *seed.choices(moments, k=len(moments))]
    seed.shuffle(delivered)

    async def outcomes(deliveries: list[dict[str, Any]], arrives: int) -> tuple[Outcome, ...]:
        async with MemoryStore() as store:
            for n, delivery in enumerate(deliveries):
                if n == arrives:
                    await run_arrives(store)
                await say(store, **delivery)
            if arrives >= len(deliveries):
                await run_arrives(store)
            return (await store.get(ROOT.hex)).outcomes

    assert asyncio.run(outcomes(delivered, arrives)) == asyncio.run(outcomes(moments, 0))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("fine", "fine"),
        ("", ""),
        (3, "3"),
        (0.5, "0.5"),
        (True, "true"),
        ({"b": [1, None], "a": {"é": 2}}, '{"a":{"é":2},"b":[1,null]}'),
    ],
)
def test_a_value_is_kept_as_text_and_what_is_no_text_as_json(value: Any, text: str) -> None:
    outcome = outcome_of(recorded_at_s=1.0, key="tone", value=value)
    assert (outcome.score, outcome.value) == (None, text)


@pytest.mark.parametrize(("score", "kept"), [(True, 1.0), (False, 0.0), (3, 3.0), (-0.5, -0.5)])
def test_a_score_is_a_number_or_a_yes_or_no(score: Any, kept: float) -> None:
    outcome = outcome_of(recorded_at_s=1.0, key="thumbs", score=score)
    assert (outcome.score, type(outcome.score)) == (kept, float)


def test_a_comment_alone_is_something_said() -> None:
    outcome = outcome_of(recorded_at_s=1.0, key="note", comment="came late")
    assert (outcome.score, outcome.value, outcome.comment) == (None, None, "came late")


@pytest.mark.parametrize(
    "what",
    [
        {},
        {"key": "tone"},
        {"key": "tone", "comment": ""},
        {"solved": True, "key": "tone"},
        {"solved": True, "score": 1.0},
        {"score": 1.0},
    ],
)
def test_nothing_said_or_two_things_at_once_is_refused(what: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"solved=|needs a score="):
        outcome_of(recorded_at_s=1.0, **what)


@pytest.mark.parametrize(
    ("what", "field"),
    [
        ({"score": float("nan")}, "score"),
        ({"score": float("-inf")}, "score"),
        ({"score": 10**400}, "score"),
        ({"score": "1"}, "score"),
        ({"value": float("nan")}, "value"),
        ({"value": {"a": [float("inf")]}}, "value"),
        ({"value": {"a": object()}}, "value"),
    ],
)
def test_what_cannot_be_kept_is_named(what: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        outcome_of(recorded_at_s=1.0, key="tone", **what)
    assert caught.value.field == field


async def test_text_without_utf_8_is_refused_before_anything_is_kept() -> None:
    async with MemoryStore() as store:
        with pytest.raises(StoreError, match="not plain JSON data"):
            await say(store, ROOT, key="tone", value="\ud800")
        assert await store.count_pending() == 0
