"""Plays one sequence of requests against a server and notes how its counters move, the same way for every server.

What comes when is decided by what the server says of itself, never by time: a request that keeps the engine busy goes
first, the others follow one by one, each as soon as the one before is seen waiting. So the same sequence reaches a
real server and a simulated one in the same order, and from the instant at which the first request ends, nothing
arrives any more.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
from prometheus_client.parser import text_string_to_metric_families
from tests.contract.vllm_servers import MODEL, PATIENCE_S

from inframind.fleet.metrics import EngineMetrics, parse_metrics

COUNTED = (
    "vllm:request_success",
    "vllm:admission_rejections",
    "vllm:prompt_tokens",
    "vllm:prompt_tokens_by_source",
    "vllm:prompt_tokens_cached",
    "vllm:generation_tokens",
    "vllm:prefix_cache_queries",
    "vllm:prefix_cache_hits",
    "vllm:num_preemptions",
    "vllm:iteration_tokens_total",
    "vllm:request_prompt_tokens",
    "vllm:request_generation_tokens",
    "vllm:request_max_num_generation_tokens",
    "vllm:request_params_n",
    "vllm:request_params_max_tokens",
    "vllm:request_num_preemptions",
    "vllm:request_prefill_kv_computed_tokens",
)
"""Counters and histograms that do not count seconds."""

Messages = list[dict[str, str]]
Wording = Callable[[str], Messages]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request, for answers of exactly so many tokens unless the stop string comes before.

    Attributes:
        name: unique in its sequence.
        text: what is asked, as the real server reads it.
        max_tokens: tokens of each answer.
        n: answers.
        priority: lower runs earlier, where the server schedules by priority.
        stop: strings that end the answer early.
    """

    name: str
    text: str
    max_tokens: int
    n: int = 1
    priority: int = 0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a sequence.

    Attributes:
        status: HTTP status by name.
        prompt_tokens: by name, of those that were served; for these all the following.
        cached_tokens: by name, how many of them came from the prefix cache, for single answers.
        completion_tokens: by name.
        finish_reasons: by name, one for each answer.
        finished: names, in the order in which the answers were complete.
        moved: by how much each counter grew.
    """

    status: dict[str, int] = field(default_factory=dict)
    prompt_tokens: dict[str, int] = field(default_factory=dict)
    cached_tokens: dict[str, int] = field(default_factory=dict)
    completion_tokens: dict[str, int] = field(default_factory=dict)
    finish_reasons: dict[str, list[str]] = field(default_factory=dict)
    finished: list[str] = field(default_factory=list)
    moved: dict[str, float] = field(default_factory=dict)


class Line:
    """A server as a sequence sees it.

    Args:
        http: a client that reaches it.
        root_url: without ``/v1``.
        headers: what its ``/v1`` routes want to see.
        wording: the conversation that makes this server read a text as the real one does.
    """

    def __init__(
        self, http: httpx2.AsyncClient, root_url: str, headers: Mapping[str, str], wording: Wording
    ) -> None:
        self._http, self._root_url, self._headers, self._wording = http, root_url, dict(headers), wording

    def body(self, ask: Ask) -> dict[str, Any]:
        """The request as JSON."""
        return {
            "model": MODEL,
            "messages": self._wording(ask.text),
            "max_tokens": ask.max_tokens,
            "n": ask.n,
            "priority": ask.priority,
            "stop": list(ask.stop),
            "temperature": 0.0 if ask.n == 1 else 1.0,  # vLLM takes several answers for chance alone
            "seed": 0,
            "ignore_eos": True,
        }

    async def post(self, path: str, body: Mapping[str, Any]) -> httpx2.Response:
        """One request, to the end of its answer."""
        return await self._http.post(self._root_url + path, json=body, headers=self._headers)

    async def token_ids(self, text: str) -> list[int]:
        """What the server makes of a text, its chat template included."""
        ids: list[int] = (
            await self.post("/tokenize", {"model": MODEL, "messages": self._wording(text)})
        ).json()["tokens"]
        return ids

    async def page(self) -> str:
        """The metrics page."""
        return (await self._http.get(self._root_url + "/metrics")).text

    async def page_when(self, condition: Callable[[str, EngineMetrics], bool]) -> str:
        """The metrics page as soon as it fulfils the condition.

        Raises:
            TimeoutError: it does not within `PATIENCE_S`.
        """
        async with asyncio.timeout(PATIENCE_S):
            while not condition(page := await self.page(), parse_metrics(page.encode())):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return page


async def play(line: Line, busy: Ask, asks: Sequence[Ask], *, is_cut_short: bool = False) -> Outcome:
    """Keep the server busy with one request, queue the others behind it in their order, and see all of them out.

    Args:
        line: an idle server.
        busy: leaves no room for any other request to run while it lasts.
        asks: what is queued meanwhile, except what is refused.
        is_cut_short: whether to give ``busy`` up as soon as all others are queued, and to leave it out of the
            outcome; the tokens that it has got by then still count with the server.

    Raises:
        TimeoutError: something that must happen does not within `PATIENCE_S`.
    """
    before, outcome = await line.page(), Outcome()
    occupying = asyncio.create_task(_answer(line, busy, Outcome() if is_cut_short else outcome))
    await line.page_when(lambda _, now: now.running == busy.n or occupying.done())
    queued = await _queue(line, asks, outcome, occupying)
    if is_cut_short:
        occupying.cancel()
    await asyncio.gather(*queued)
    with contextlib.suppress(asyncio.CancelledError):
        await occupying
    answers = successes(before) + sum(map(len, outcome.finish_reasons.values()))
    after = await line.page_when(
        lambda page, now: (now.running, now.waiting, successes(page)) == (0, 0, answers)
    )
    outcome.moved.update(movement(before, after))
    return outcome


async def _queue(
    line: Line, asks: Sequence[Ask], outcome: Outcome, occupying: asyncio.Task[None]
) -> list[asyncio.Task[None]]:
    """Send requests one by one, each when the one before waits or is refused."""
    calls: list[asyncio.Task[None]] = []
    waiting = 0
    for ask in asks:
        call = asyncio.create_task(_answer(line, ask, outcome))
        calls.append(call)
        wanted = waiting + ask.n
        await line.page_when(lambda _, now: now.waiting == wanted or call.done() or occupying.done())  # noqa: B023
        assert not occupying.done(), "the busy request ended before all others were queued"
        waiting = waiting if call.done() else wanted
    return calls


async def _answer(line: Line, ask: Ask, outcome: Outcome) -> None:
    reply = await line.post("/v1/chat/completions", line.body(ask))
    outcome.status[ask.name] = reply.status_code
    if reply.status_code != 200:
        return
    body = reply.json()
    usage = body["usage"]
    outcome.finished.append(ask.name)
    outcome.prompt_tokens[ask.name] = usage["prompt_tokens"]
    if ask.n == 1:  # of several, vLLM reports the one that is complete last
        outcome.cached_tokens[ask.name] = usage["prompt_tokens_details"]["cached_tokens"]
    outcome.completion_tokens[ask.name] = usage["completion_tokens"]
    outcome.finish_reasons[ask.name] = [choice["finish_reason"] for choice in body["choices"]]


def successes(page: str) -> float:
    """Answers that the server has completed since it began."""
    return sum(value for name, value in _samples(page).items() if name.startswith("vllm:request_success"))


def movement(before: str, after: str) -> dict[str, float]:
    """By how much each sample of the `COUNTED` families grew between two pages; those that did not are left out."""
    then, now = _samples(before), _samples(after)
    grown = {name: value - then.get(name, 0.0) for name, value in now.items()}
    return {name: growth for name, growth in grown.items() if growth}


def _samples(page: str) -> dict[str, float]:
    """The samples of the `COUNTED` families by name and labels, less those labels that name the server."""
    return {
        _key(sample.name, sample.labels): sample.value
        for family in text_string_to_metric_families(page)
        if family.name in COUNTED
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def _key(name: str, labels: Mapping[str, str]) -> str:
    told = {label: value for label, value in labels.items() if label not in ("engine", "model_name")}
    return name + "".join(f" {label}={value}" for label, value in sorted(told.items()))
