"""The same sequence of requests moves the counters of a real vLLM server and of a simulated one alike.

Each sequence is played to the real server first. The simulated one, in virtual time, then gets its prompts token for
token: `spelled` writes a prompt that it reads as just those tokens, so that lengths and shared prefixes agree.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.contract.sequences import Ask, Line, Messages, Outcome, play
from tests.contract.vllm_servers import (
    BLOCK_SIZE,
    KV_BLOCKS,
    MAX_MODEL_LEN,
    MAX_NUM_BATCHED_TOKENS,
    MAX_NUM_SEQS,
    MAX_UNFINISHED,
    MODEL,
    PATIENCE_S,
    has_real_target,
    real_target,
)

from inframind.fleet.endpoints import EndpointSpec
from inframind.simulator.engine_profile import EngineProfile
from inframind.simulator.model import SimReply, SimRequest
from inframind.simulator.server import ServerSpec
from inframind.simulator.tokens import prompt_pieces
from inframind.simulator.virtual import VirtualClock, run_in_virtual_time
from inframind.simulator.virtual_fleet import VirtualFleet

HALT = "7"
"""Ends a simulated answer where a stop string ended the real one."""

FCFS = EngineProfile(
    step_base_s=0.002,
    per_prefill_token_s=0.0,
    per_decode_token_s=0.0,
    kv_blocks=KV_BLOCKS,
    block_size=BLOCK_SIZE,
    max_num_seqs=MAX_NUM_SEQS,
    max_num_batched_tokens=MAX_NUM_BATCHED_TOKENS,
    max_model_len=MAX_MODEL_LEN,
)
PROFILES = {
    "fcfs": FCFS,
    "priority": replace(FCFS, scheduling_policy="priority", max_num_queued_reqs=MAX_UNFINISHED),
}
"""Limits of the real servers; how fast a simulated one is does not matter."""

# Beginnings of what may differ, and why.
BUSY_PAIR = ("vllm:iteration_tokens_total_count", "vllm:iteration_tokens_total_bucket")
"""The two answers of one request may begin a step apart."""
BUSY_CUT_SHORT = ("vllm:iteration_tokens_total", "vllm:generation_tokens_total")
"""How many tokens a request has got when it is given up depends on the moment."""


def needs_vllm(test: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a test that plays to real servers."""
    reason = "needs real vLLM servers: run `make test-vllm`"
    marked: Callable[..., Any] = pytest.mark.skipif(not has_real_target(), reason=reason)(test)
    pytest.mark.vllm(marked)
    return marked


# Prompts.


def fresh(words: int) -> str:
    """A text that no server has seen, of some five tokens a word."""
    return f"{uuid.uuid4()} {'number ' * words}"


def spoken(text: str) -> Messages:
    """The conversation that asks a text."""
    return [{"role": "user", "content": text}]


def spelled(token_ids: Sequence[int]) -> Messages:
    """A conversation that a simulated server reads as so many tokens; equal ones at equal places read the same."""
    empty = prompt_pieces(spoken(""))
    head = empty.index("<|im_end|>")
    return spoken(
        "".join(f" {token_id}" for token_id in token_ids[head : len(token_ids) - len(empty) + head])
    )


# Players.


@dataclass(frozen=True, slots=True)
class Halting:
    """A language model that says `HALT` with its last token."""

    n_tokens: int = 1

    def reply(self, request: SimRequest) -> SimReply:
        return SimReply(text=" so" * (self.n_tokens - 1) + f" {HALT}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A sequence.

    Attributes:
        server: name of the server that it is for.
        busy: keeps the server busy while the others are queued.
        asks: the others.
        is_cut_short: whether ``busy`` is given up then.
    """

    server: str
    busy: Ask
    asks: Sequence[Ask]
    is_cut_short: bool = False


@dataclass(frozen=True, slots=True)
class Recording:
    """What a real server made of a script: its tokens for each text, and the outcome."""

    token_ids: Mapping[str, Sequence[int]]
    outcome: Outcome


async def play_real(script: Script) -> Recording:
    """Play a script to the real server."""
    async with real_target() as target, httpx2.AsyncClient(timeout=PATIENCE_S, trust_env=False) as http:
        server = {"fcfs": target.fcfs, "priority": target.priority}[script.server]
        line = Line(http, server.spec.root_url, server.key_header, spoken)
        assert kv_blocks(await line.page()) == KV_BLOCKS
        texts = [ask.text for ask in (script.busy, *script.asks)]
        token_ids = {text: await line.token_ids(text) for text in texts}
        outcome = await play(line, script.busy, script.asks, is_cut_short=script.is_cut_short)
    return Recording(token_ids, outcome)


def kv_blocks(page: str) -> int:
    """Blocks that a real server has for requests: it keeps one for padding."""
    families = {family.name: family for family in text_string_to_metric_families(page)}
    return int(families["vllm:cache_config_info"].samples[0].labels["num_gpu_blocks"]) - 1


async def play_simulated(script: Script, recording: Recording) -> Outcome:
    """Play a script to a simulated server, with the tokens of the real one."""
    stopped = [recording.outcome.completion_tokens[ask.name] for ask in script.asks if ask.stop]
    asks = [replace(ask, stop=(HALT,) if ask.stop else ()) for ask in script.asks]
    conversations = {text: spelled(token_ids) for text, token_ids in recording.token_ids.items()}
    spec = ServerSpec(name="twin", model=MODEL, profile=PROFILES[script.server])

    async def main(clock: VirtualClock) -> Outcome:
        fleet = VirtualFleet([spec], Halting(*stopped), clock=clock)
        endpoint = EndpointSpec(name=spec.name, base_url=fleet.base_urls[spec.name], model=MODEL)
        async with fleet.http_client(endpoint) as http:
            line = Line(http, endpoint.root_url, {}, conversations.__getitem__)
            return await play(line, script.busy, asks, is_cut_short=script.is_cut_short)

    return await asyncio.to_thread(run_in_virtual_time, main)


async def assert_alike(script: Script, *, but: tuple[str, ...] = (), is_ordered: bool = True) -> Outcome:
    """Play a script to both servers and compare; returns what both did.

    Args:
        script: what to play.
        but: beginnings of the names of counters that may differ.
        is_ordered: whether no two answers end so close together that a client may see either first.
    """
    recording = await play_real(script)
    simulated = await play_simulated(script, recording)
    mine, theirs = (comparable(outcome, but, is_ordered) for outcome in (simulated, recording.outcome))
    assert mine == theirs
    return recording.outcome


def comparable(outcome: Outcome, but: tuple[str, ...], is_ordered: bool) -> Outcome:
    """What the outcomes of both servers must have in common."""
    moved = {name: growth for name, growth in outcome.moved.items() if not name.startswith(but)}
    finished = outcome.finished if is_ordered else sorted(outcome.finished)
    return replace(outcome, moved=moved, finished=finished)


# The sequences.


TIGHT = {"fcfs": (0, 0, 0, 0, 0), "priority": (5, 9, 0, 7, 3)}
"""Priorities of the requests of `tight`, by server."""


def tight(server: str, priorities: Sequence[int]) -> Script:
    """Requests of which two together outgrow the KV memory, behind one that leaves too little for any of them."""
    sizes = {"a": (1600, 600), "b": (1580, 500), "c": (1560, 700), "d": (600, 300), "e": (1610, 400)}
    asks = [
        Ask(name=name, text=fresh(words), max_tokens=max_tokens, priority=priority)
        for (name, (words, max_tokens)), priority in zip(sizes.items(), priorities, strict=True)
    ]
    return Script(server=server, busy=Ask(name="busy", text=fresh(2790), max_tokens=2000), asks=asks)


@needs_vllm
async def test_a_burst_moves_every_counter_alike() -> None:
    stem = fresh(60)
    asks = [
        Ask(name="short", text=fresh(1), max_tokens=1),
        Ask(name="long", text=fresh(900), max_tokens=40),
        Ask(name="stem", text=f"{stem} one", max_tokens=25),
        Ask(name="same stem", text=f"{stem} two", max_tokens=7),
        Ask(name="stem again", text=f"{stem} one", max_tokens=12),
        Ask(name="two answers", text=fresh(30), max_tokens=9, n=2),
        Ask(name="stopped", text=fresh(20), max_tokens=64, stop=("a", "e", "i", "t")),
    ]
    busy = Ask(name="busy", text=fresh(5), max_tokens=2500, n=MAX_NUM_SEQS)
    both = await assert_alike(Script(server="fcfs", busy=busy, asks=asks), but=BUSY_PAIR, is_ordered=False)
    assert both.finish_reasons["stopped"] == ["stop"]
    assert both.moved["vllm:request_success_total finished_reason=stop"] == 1
    assert both.moved["vllm:request_success_total finished_reason=length"] == 2 + 5 + 2
    assert both.moved["vllm:prefix_cache_hits_total"] > 2 * BLOCK_SIZE


@needs_vllm
@pytest.mark.parametrize(("server", "priorities"), TIGHT.items(), ids=TIGHT)
async def test_tight_memory_preempts_alike_and_loses_nothing(server: str, priorities: Sequence[int]) -> None:
    both = await assert_alike(tight(server, priorities))
    assert both.moved["vllm:num_preemptions_total"] > 0
    assert both.moved["vllm:generation_tokens_total"] == 2000 + 600 + 500 + 700 + 300 + 400
    assert set(both.status.values()) == {200}


@needs_vllm
async def test_a_bounded_queue_refuses_the_same_requests() -> None:
    room = MAX_UNFINISHED - MAX_NUM_SEQS
    asks = [Ask(name=f"{number}", text=fresh(5), max_tokens=5) for number in range(room + 3)]
    asks.insert(room - 1, Ask(name="pair", text=fresh(5), max_tokens=5, n=2))
    busy = Ask(name="busy", text=fresh(5), max_tokens=15_000, n=MAX_NUM_SEQS)
    script = Script(server="priority", busy=busy, asks=asks, is_cut_short=True)
    both = await assert_alike(script, but=BUSY_CUT_SHORT, is_ordered=False)
    refused = {name for name, status in both.status.items() if status == 503}
    assert refused == {"pair", *(str(number) for number in range(room, room + 3))}
    assert both.moved["vllm:admission_rejections_total reason=max_num_queued_reqs"] == 4
    assert both.moved["vllm:request_success_total finished_reason=length"] == room


@needs_vllm
async def test_urgent_requests_overtake_alike() -> None:
    # Two slots: "e" ends after 100 tokens, "c" after 200, and from then on one request every 100 tokens.
    urgencies = {"a": (3, 200), "b": (3, 200), "c": (-1, 200), "d": (7, 200), "e": (-5, 100), "f": (0, 200)}
    asks = [
        Ask(name=name, text=fresh(5), max_tokens=max_tokens, priority=priority)
        for name, (priority, max_tokens) in urgencies.items()
    ]
    busy = Ask(name="busy", text=fresh(5), max_tokens=15_000, n=MAX_NUM_SEQS)
    script = Script(server="priority", busy=busy, asks=asks, is_cut_short=True)
    both = await assert_alike(script, but=BUSY_CUT_SHORT)
    assert both.finished == ["e", "c", "f", "a", "b", "d"]


@pytest.mark.parametrize(
    ("server", "prompt_tokens", "finished", "preemptions", "steps"),
    [
        ("fcfs", [14001, 8051, 7951, 7850, 3051, 8101], "busy a b d c e", 2, 3834),
        ("priority", [14001, 8051, 7951, 7851, 3051, 8099], "busy c e d a b", 3, 3960),
    ],
    ids=["fcfs", "priority"],
)
async def test_tight_memory_preempts_as_a_recorded_vllm_did(
    server: str, prompt_tokens: Sequence[int], finished: str, preemptions: int, steps: int
) -> None:
    """Figures of vLLM 0.32.0, so that the comparison is not lost where no server can run."""
    script = tight(server, TIGHT[server])
    token_ids = {
        ask.text: [number] * length
        for number, (ask, length) in enumerate(zip((script.busy, *script.asks), prompt_tokens, strict=True))
    }
    outcome = await play_simulated(script, Recording(token_ids, Outcome()))
    assert outcome.finished == finished.split()
    assert outcome.moved["vllm:num_preemptions_total"] == preemptions
    assert outcome.moved["vllm:prompt_tokens_total"] == sum(prompt_tokens)
    assert outcome.moved["vllm:generation_tokens_total"] == 4500
    assert outcome.moved["vllm:iteration_tokens_total_count"] == steps
    assert outcome.moved["vllm:iteration_tokens_total_sum"] == sum(prompt_tokens) + 4500
    assert outcome.moved["vllm:request_prompt_tokens_bucket le=5000.0"] == 1
    assert outcome.moved["vllm:request_prompt_tokens_bucket le=10000.0"] == 5
