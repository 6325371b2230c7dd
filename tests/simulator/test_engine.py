"""The engine by hand: every literal below follows from the step formula on paper."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.simulator.engine import Engine
from inframind.simulator.engine_profile import EngineProfile
from inframind.simulator.engine_records import (
    EngineEvent,
    EngineRequest,
    Finished,
    FirstToken,
    Preempted,
    Scheduled,
)

# 100 ms a step, 1 ms a prompt token, 10 ms a decoding sequence.
PROFILE = EngineProfile(
    step_base_s=0.1,
    per_prefill_token_s=0.001,
    per_decode_token_s=0.01,
    kv_blocks=64,
    max_num_seqs=2,
    max_num_batched_tokens=100,
    max_model_len=1024,
)


def ask(request_id: str, prompt: int, output: int, **extra: object) -> EngineRequest:
    return EngineRequest(request_id=request_id, prompt_tokens=prompt, output_tokens=output, **extra)  # type: ignore[arg-type]


def drain(engine: Engine) -> list[EngineEvent]:
    events: list[EngineEvent] = []
    while (at_s := engine.next_event_s()) is not None:
        events += engine.advance_to(at_s)
    return events


def finish_times(events: list[EngineEvent]) -> dict[str, float]:
    return {event.request_id: event.at_s for event in events if isinstance(event, Finished)}


def test_a_lone_request_pays_one_prefill_step_and_a_decode_step_for_each_further_token() -> None:
    engine = Engine(PROFILE)
    assert engine.submit(ask("a", prompt=50, output=3), now_s=1.0)
    events = drain(engine)
    assert [type(event) for event in events] == [Scheduled, FirstToken, Finished]
    assert [event.at_s for event in events] == [1.0, 1.15, 1.37]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.record.queue_s == 0.0
    assert finished.record.output_tokens == 3
    assert finished.record.time_per_output_token_s == pytest.approx(0.11)


def test_the_floor_bounds_a_step_from_below() -> None:
    engine = Engine(replace(PROFILE, floor_s=0.5))
    engine.submit(ask("a", prompt=50, output=2), now_s=0.0)
    assert finish_times(drain(engine)) == {"a": 1.0}


def test_requests_of_one_instant_meet_in_one_step_in_whatever_order_they_come() -> None:
    for order in (("a", "b"), ("b", "a")):
        engine = Engine(PROFILE)
        for request_id in order:
            engine.submit(ask(request_id, prompt=20, output=2), now_s=0.0)
            engine.advance_to(0.0)
        # One step of 0.1 + 40 * 0.001, one of 0.1 + 2 * 0.01.
        assert finish_times(drain(engine)) == {"a": 0.26, "b": 0.26}


def test_a_request_that_arrives_in_mid_step_joins_at_the_next_boundary() -> None:
    engine = Engine(PROFILE)
    engine.submit(ask("a", prompt=50, output=10), now_s=0.0)
    engine.submit(ask("b", prompt=10, output=1), now_s=0.2)
    scheduled = [event for event in drain(engine) if isinstance(event, Scheduled)]
    # a: prefill to 0.15, decodes to 0.26; b enters there.
    assert [(event.request_id, event.at_s) for event in scheduled] == [("a", 0.0), ("b", 0.26)]


def test_a_third_request_waits_for_a_slot() -> None:
    engine = Engine(PROFILE)
    for request_id in ("a", "b", "c"):
        engine.submit(ask(request_id, prompt=10, output=2), now_s=0.0)
    engine.advance_to(0.01)
    assert (engine.num_running, engine.num_waiting) == (2, 1)
    # a, b: 0.12 + 0.12; c: 0.11 + 0.11.
    assert finish_times(drain(engine)) == pytest.approx({"a": 0.24, "b": 0.24, "c": 0.46})


def test_the_queue_overhead_is_waited_out_before_scheduling() -> None:
    engine = Engine(replace(PROFILE, queue_base_s=0.02, queue_per_input_token_s=0.001))
    engine.submit(ask("a", prompt=30, output=1), now_s=0.0)
    scheduled, first, _ = drain(engine)
    assert scheduled.at_s == 0.05
    assert isinstance(first, FirstToken)
    assert first.ttft_s == pytest.approx(0.18)


def test_a_long_prompt_is_prefilled_in_chunks_beside_the_decodes() -> None:
    engine = Engine(PROFILE)
    engine.submit(ask("a", prompt=10, output=4), now_s=0.0)
    engine.submit(ask("b", prompt=150, output=1), now_s=0.0)
    events = drain(engine)
    # Step 1: 10 + 90 of b; step 2: a decodes, 60 left of b; then a alone, twice.
    assert [e.at_s for e in events if isinstance(e, FirstToken)] == pytest.approx([0.2, 0.37])
    assert finish_times(events) == pytest.approx({"b": 0.37, "a": 0.59})


def test_a_lower_priority_number_runs_earlier_and_running_requests_are_left_alone() -> None:
    engine = Engine(replace(PROFILE, max_num_seqs=1, scheduling_policy="priority"))
    engine.submit(ask("running", prompt=10, output=5, priority=10), now_s=0.0)
    engine.submit(ask("low", prompt=10, output=1, priority=10), now_s=0.01)
    engine.submit(ask("urgent", prompt=10, output=1, priority=-5), now_s=0.02)
    assert list(finish_times(drain(engine))) == ["running", "urgent", "low"]


def test_first_come_first_served_ignores_priority() -> None:
    engine = Engine(replace(PROFILE, max_num_seqs=1))
    engine.submit(ask("first", prompt=10, output=1, priority=10), now_s=0.0)
    engine.submit(ask("second", prompt=10, output=1, priority=-5), now_s=0.0)
    assert list(finish_times(drain(engine))) == ["first", "second"]


def test_the_newest_is_preempted_when_blocks_run_out_and_recomputes_what_it_had() -> None:
    # Four blocks of 4 tokens: each request grows to 12 tokens, so both cannot stay.
    engine = Engine(replace(PROFILE, kv_blocks=4, block_size=4, max_model_len=16))
    for request_id in ("old", "new"):
        engine.submit(ask(request_id, prompt=7, output=5), now_s=0.0)
    events = drain(engine)
    preempted = [event for event in events if isinstance(event, Preempted)]
    # Prefill 0.114, one decode of both 0.12; the third token needs a fifth and a sixth block.
    assert [(event.request_id, event.at_s) for event in preempted] == [("new", 0.234)]
    # old: three more steps alone; new: prefill of 7 + 2 tokens, then two decodes.
    assert finish_times(events) == pytest.approx({"old": 0.564, "new": 0.564 + 0.109 + 0.22})
    assert engine.stats.preemptions == 1
    assert engine.stats.prompt_tokens == 14
    assert engine.stats.generation_tokens == 10
    assert engine.kv_usage == 0.0


def test_a_request_waits_until_its_whole_prompt_fits_not_its_first_chunk_alone() -> None:
    engine = Engine(replace(PROFILE, kv_blocks=8, max_model_len=128))
    engine.submit(ask("here", prompt=60, output=20), now_s=0.0)
    engine.submit(ask("long", prompt=100, output=5), now_s=0.0)
    events = drain(engine)
    entered = {event.request_id: event.at_s for event in events if isinstance(event, Scheduled)}
    assert entered == {"here": 0.0, "long": finish_times(events)["here"]}
    assert engine.stats.preemptions == 0


def test_the_least_urgent_is_preempted_under_the_priority_policy() -> None:
    profile = replace(PROFILE, kv_blocks=4, block_size=4, max_model_len=16, scheduling_policy="priority")
    engine = Engine(profile)
    engine.submit(ask("low", prompt=7, output=5, priority=9), now_s=0.0)
    engine.submit(ask("high", prompt=7, output=5, priority=0), now_s=0.0)
    assert [e.request_id for e in drain(engine) if isinstance(e, Preempted)] == ["low"]


def test_cached_prompt_blocks_skip_prefill() -> None:
    engine = Engine(PROFILE)
    keys = ("k1", "k2")
    engine.submit(ask("a", prompt=40, output=1, block_keys=keys), now_s=0.0)
    engine.submit(ask("b", prompt=40, output=1, block_keys=keys), now_s=1.0)
    finished = [event for event in drain(engine) if isinstance(event, Finished)]
    assert [event.at_s for event in finished] == [0.14, 1.108]
    assert [event.record.cached_tokens for event in finished] == [0, 32]
    assert [event.record.created_cache_tokens for event in finished] == [32, 0]
    assert (engine.stats.prefix_queries, engine.stats.prefix_hits) == (80, 32)


def test_a_fully_cached_prompt_still_computes_its_last_block() -> None:
    engine = Engine(PROFILE)
    for request_id, at_s in (("a", 0.0), ("b", 1.0)):
        engine.submit(ask(request_id, prompt=32, output=1, block_keys=("k1", "k2")), now_s=at_s)
    assert finish_times(drain(engine)) == {"a": 0.132, "b": 1.116}


def test_the_oldest_cached_blocks_are_evicted_first() -> None:
    engine = Engine(replace(PROFILE, kv_blocks=4, block_size=16, max_model_len=64))
    for request_id, at_s in (("a", 0.0), ("b", 1.0), ("c", 2.0), ("b", 3.0), ("a", 4.0)):
        keys = (f"{request_id}1", f"{request_id}2")
        engine.submit(ask(f"{request_id}{at_s}", prompt=33, output=1, block_keys=keys), now_s=at_s)
    cached = {e.request_id: e.record.cached_tokens for e in drain(engine) if isinstance(e, Finished)}
    # b leaves its two blocks beside one of a's; c needs three and evicts a's rest and the tail of b.
    assert cached == {"a0.0": 0, "b1.0": 0, "c2.0": 0, "b3.0": 16, "a4.0": 0}


def test_without_the_prefix_cache_nothing_is_looked_up() -> None:
    engine = Engine(replace(PROFILE, prefix_cache=False))
    for request_id in ("a", "b"):
        engine.submit(ask(request_id, prompt=40, output=1, block_keys=("k1", "k2")), now_s=0.0)
    drain(engine)
    assert (engine.stats.prefix_queries, engine.stats.prefix_hits) == (0, 0)


def test_a_full_queue_refuses_and_counts() -> None:
    engine = Engine(replace(PROFILE, max_num_queued_reqs=3))
    accepted = [engine.submit(ask(str(index), prompt=10, output=2), now_s=0.0) for index in range(5)]
    assert accepted == [True, True, True, False, False]
    assert engine.stats.rejections == 2
    assert len(finish_times(drain(engine))) == 3


def test_an_aborted_running_request_leaves_at_the_end_of_its_step() -> None:
    engine = Engine(replace(PROFILE, max_num_seqs=1))
    engine.submit(ask("a", prompt=50, output=100), now_s=0.0)
    engine.submit(ask("b", prompt=50, output=1), now_s=0.0)
    engine.abort("a", now_s=0.2)
    events = drain(engine)
    # a: prefill to 0.15, the decode in progress ends at 0.26; b: 0.15 more.
    assert finish_times(events) == {"b": 0.41}
    assert engine.stats.generation_tokens == 3
    assert engine.kv_usage == 0.0


def test_an_aborted_waiting_request_is_never_scheduled() -> None:
    engine = Engine(replace(PROFILE, max_num_seqs=1))
    for request_id in ("a", "b", "c"):
        engine.submit(ask(request_id, prompt=10, output=2), now_s=0.0)
    engine.advance_to(0.05)
    engine.abort("b", now_s=0.05)
    engine.abort("unknown", now_s=0.05)
    assert list(finish_times(drain(engine))) == ["a", "c"]


def test_kv_usage_is_the_share_of_blocks_in_use() -> None:
    engine = Engine(PROFILE)
    engine.submit(ask("a", prompt=33, output=5), now_s=0.0)
    engine.advance_to(0.01)
    assert engine.kv_usage == 3 / 64


def test_inter_token_times_count_every_token_but_the_first() -> None:
    engine = Engine(PROFILE)
    for request_id in ("a", "b"):
        engine.submit(ask(request_id, prompt=10, output=6), now_s=0.0)
    drain(engine)
    assert engine.stats.inter_token_s.count == 10
    assert engine.stats.inter_token_s.total == pytest.approx(10 * 0.12)


def test_a_step_counts_the_tokens_it_gives_and_a_prompt_once_it_is_all_computed() -> None:
    engine = Engine(PROFILE)
    engine.submit(ask("long", prompt=250, output=3), now_s=0.0)
    drain(engine)
    # Two chunks of 100 give no token; the third gives the first one.
    assert (engine.stats.iteration_tokens.count, engine.stats.iteration_tokens.total) == (3, 250 + 3)


def test_tokens_computed_again_after_a_preemption_are_not_counted_again() -> None:
    engine = Engine(replace(PROFILE, kv_blocks=4, block_size=4, max_model_len=16))
    for request_id in ("old", "new"):
        engine.submit(ask(request_id, prompt=7, output=5), now_s=0.0)
    drain(engine)
    assert engine.stats.preemptions == 1
    # Two steps of both, three of the old one, three of the new one.
    assert (engine.stats.iteration_tokens.count, engine.stats.iteration_tokens.total) == (8, 14 + 10)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kv_blocks": 2}, "kv_blocks"),
        ({"max_num_batched_tokens": 1}, "max_num_batched_tokens"),
        ({"step_base_s": 0.0}, "step_base_s"),
        ({"max_num_seqs": 0}, "max_num_seqs"),
    ],
)
def test_a_profile_that_cannot_work_is_refused_by_name(change: dict[str, float], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(PROFILE, **change)  # type: ignore[arg-type]
    assert caught.value.field == field


@pytest.mark.parametrize(("prompt", "output"), [(0, 1), (1, 0), (1000, 25)])
def test_sizes_that_cannot_be_served_are_refused(prompt: int, output: int) -> None:
    with pytest.raises(ValueError, match="request 'a'"):
        Engine(PROFILE).submit(ask("a", prompt=prompt, output=output), now_s=0.0)


def test_an_id_in_flight_cannot_be_used_twice() -> None:
    engine = Engine(PROFILE)
    engine.submit(ask("a", prompt=1, output=1), now_s=0.0)
    with pytest.raises(ValueError, match="in flight"):
        engine.submit(ask("a", prompt=1, output=1), now_s=0.0)


# Properties. Small pools and short budgets, so that chunking, eviction and preemption all happen.


@dataclass(frozen=True)
class Case:
    profile: EngineProfile
    arrivals: list[tuple[float, EngineRequest]]
    aborts: list[tuple[float, str]]

    def script(self) -> list[tuple[float, EngineRequest | str]]:
        return sorted([*self.arrivals, *self.aborts], key=lambda entry: entry[0])


@st.composite
def cases(draw: st.DrawFn) -> Case:
    profile = EngineProfile(
        step_base_s=draw(st.sampled_from([0.1, 1 / 3])),
        per_prefill_token_s=0.001,
        per_decode_token_s=0.007,
        queue_base_s=draw(st.sampled_from([0.0, 0.05])),
        kv_blocks=draw(st.sampled_from([10, 12, 40])),
        block_size=4,
        max_num_seqs=draw(st.sampled_from([5, 3, 1])),
        max_num_batched_tokens=draw(st.integers(5, 40)),
        max_model_len=40,
        max_num_queued_reqs=draw(st.sampled_from([None, 3])),
        scheduling_policy=draw(st.sampled_from(["fcfs", "priority"])),
        prefix_cache=draw(st.booleans()),
    )
    arrivals, at_s = [], 0.0
    for index in range(draw(st.integers(3, 12))):
        at_s += draw(st.sampled_from([0.0, 0.01, 0.3, 0.3]))
        prompt = draw(st.sampled_from([1, 8, 13, 25]))
        family = draw(st.integers(0, 2))
        request = ask(
            str(index),
            prompt=prompt,
            output=draw(st.sampled_from([1, 2, 9, 15])),
            block_keys=tuple((family, block) for block in range(prompt // 4)),
            priority=draw(st.integers(-1, 1)),
        )
        arrivals.append((at_s, request))
    aborts = [
        (at + draw(st.sampled_from([0.0, 0.2, 1.5])), request.request_id)
        for at, request in arrivals
        if draw(st.integers(0, 5)) == 0
    ]
    return Case(profile, arrivals, aborts)


def play(case: Case, looks: list[float]) -> tuple[list[EngineEvent], Engine]:
    """Run the script, calling ``advance_to`` at every instant of ``looks`` besides."""
    engine = Engine(case.profile)
    events: list[EngineEvent] = []
    schedule = [(at_s, None) for at_s in looks] + [(at_s, entry) for at_s, entry in case.script()]
    for at_s, entry in sorted(schedule, key=lambda pair: pair[0]):
        if isinstance(entry, EngineRequest):
            engine.submit(entry, at_s)
        elif isinstance(entry, str):
            engine.abort(entry, at_s)
        else:
            events += engine.advance_to(at_s)
    return events + engine.advance_to(10_000.0), engine


@given(case=cases(), looks=st.lists(st.floats(0, 30), max_size=60))
@settings(max_examples=150, deadline=None)
def test_looking_often_changes_nothing(case: Case, looks: list[float]) -> None:
    once, engine_once = play(case, [])
    often, engine_often = play(case, looks)
    assert often == once
    for name in ("prompt_tokens", "generation_tokens", "prefix_queries", "prefix_hits", "preemptions"):
        assert getattr(engine_often.stats, name) == getattr(engine_once.stats, name)
    assert engine_often.stats.iteration_tokens.counts == engine_once.stats.iteration_tokens.counts
    assert engine_often.stats.inter_token_s.counts == engine_once.stats.inter_token_s.counts
    assert engine_often.stats.inter_token_s.total == pytest.approx(engine_once.stats.inter_token_s.total)


@given(case=cases())
@settings(max_examples=150, deadline=None)
def test_every_accepted_request_gets_exactly_its_tokens(case: Case) -> None:
    case = replace(case, aborts=[])
    events, engine = play(case, [])
    asked = {request.request_id: request for _, request in case.arrivals}
    records = {event.request_id: event.record for event in events if isinstance(event, Finished)}
    assert len(records) == len(asked) - engine.stats.rejections
    assert all(record.output_tokens == asked[name].output_tokens for name, record in records.items())
    assert engine.stats.generation_tokens == sum(record.output_tokens for record in records.values())
    assert engine.stats.prompt_tokens == sum(asked[name].prompt_tokens for name in records)
    assert engine.stats.inter_token_s.count == engine.stats.generation_tokens - len(records)
    assert (engine.num_running, engine.num_waiting, engine.kv_usage) == (0, 0, 0.0)
    for record in records.values():
        assert record.arrived_s <= record.scheduled_s < record.first_token_s <= record.finished_s


@given(case=cases())
@settings(max_examples=60, deadline=None)
def test_nothing_is_left_behind_after_aborts(case: Case) -> None:
    events, engine = play(case, [])
    finished = {event.request_id for event in events if isinstance(event, Finished)}
    assert len(finished) >= len(case.arrivals) - engine.stats.rejections - len(case.aborts)
    assert (engine.num_running, engine.num_waiting, engine.kv_usage) == (0, 0, 0.0)


def step_by_step(profile: EngineProfile, arrivals: list[tuple[float, EngineRequest]]) -> dict[str, float]:
    """A second, naive engine: one step at a time, slots and token budget only, in seconds."""
    waiting, running, now_s, ends = list(arrivals), [], 0.0, {}
    while waiting or running:
        if not running:
            now_s = max(now_s, waiting[0][0] + profile.queue_base_s)
        decoding = [entry for entry in running if entry["left"] == 0]
        budget, prefill = profile.max_num_batched_tokens - len(decoding), 0
        while (
            waiting
            and waiting[0][0] + profile.queue_base_s <= now_s + 1e-9
            and len(running) < profile.max_num_seqs
            and budget - sum(entry["left"] for entry in running) > 0
        ):
            request = waiting.pop(0)[1]
            running.append(
                {"id": request.request_id, "left": request.prompt_tokens, "out": request.output_tokens}
            )
        for entry in [entry for entry in running if entry["left"]]:
            chunk = min(entry["left"], budget)
            entry["left"], budget, prefill = entry["left"] - chunk, budget - chunk, prefill + chunk
            entry["out"] -= entry["left"] == 0
        for entry in decoding:
            entry["out"] -= 1
        now_s += profile.step_s(prefill, len(decoding))
        ends |= {entry["id"]: now_s for entry in running if entry["out"] == 0}
        running = [entry for entry in running if entry["out"]]
    return ends


@given(case=cases())
@settings(max_examples=150, deadline=None)
def test_jumping_agrees_with_a_naive_engine_that_steps(case: Case) -> None:
    profile = replace(
        case.profile, kv_blocks=1000, prefix_cache=False, scheduling_policy="fcfs", max_num_queued_reqs=None
    )
    events, _ = play(Case(profile, case.arrivals, []), [])
    expected = step_by_step(profile, case.arrivals)
    got = finish_times(events)
    assert got.keys() == expected.keys()
    assert all(math.isclose(got[name], expected[name], abs_tol=1e-6) for name in got)
