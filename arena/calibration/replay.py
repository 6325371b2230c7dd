"""Replays published systems on the reference fleet, in virtual time: engines and a heap of events, nothing else.

The client is the published one. It gives up on an attempt after its timeout and starts over, three times in all. MoA
and GPTSwarm wait for a whole answer; MasRouter streams, so that only the wait for the first token counts. An
abandoned attempt leaves the server. When all attempts failed, the workflow goes on without the answer.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from inframind.arena.calibration.rows import PERCENTILES, PublishedRow
from inframind.arena.calibration.systems import PlannedWorkflow, draw_workflow
from inframind.simulator.engine import Engine
from inframind.simulator.engine_records import EngineRequest, Finished
from inframind.simulator.reference import ReferenceFleet

ATTEMPTS = 3
RETRY_AFTER_S = 0.5
"""The first pause of the OpenAI SDK between attempts."""

ARRIVAL_SEED = 1234
"""The seed of the gaps between arrivals in the published client, whose generator is NumPy's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedWorkflow:
    """A workflow whose calls have lengths.

    Attributes:
        plan: its calls.
        prompt_tokens: of each call.
        output_tokens: of each call.
    """

    plan: PlannedWorkflow
    prompt_tokens: tuple[int, ...]
    output_tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """How calls are made.

    Attributes:
        timeout_s: what one attempt may take.
        is_streaming: whether only the wait for the first token counts.
    """

    timeout_s: float
    is_streaming: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One replayed question.

    Attributes:
        plan: what was done.
        reported_s: the latency that the system reports.
        answered: whether each call was answered at all.
    """

    plan: PlannedWorkflow
    reported_s: float
    answered: tuple[bool, ...]


def replay_row(row: PublishedRow, fleet: ReferenceFleet, seed: int) -> tuple[Episode, ...]:
    """One published run, replayed: the same arrivals, mixes and number of questions; the rest is chance.

    Args:
        row: the run.
        fleet: what answers.
        seed: chance of the router's choices and of answer lengths.
    """
    return replay_workflows(row, fleet, draw_workflows(row, fleet, seed))


def draw_workflows(row: PublishedRow, fleet: ReferenceFleet, seed: int) -> tuple[SizedWorkflow, ...]:
    """What the questions of one published run cause, and how long the answers get."""
    rng = np.random.default_rng(seed)
    facts = fleet.benchmarks[row.benchmark]
    return tuple(
        size_workflow(draw_workflow(row.system, facts, row.mix, rng), fleet, row.benchmark, rng)
        for _ in range(row.n_questions)
    )


def replay_workflows(
    row: PublishedRow, fleet: ReferenceFleet, workflows: Sequence[SizedWorkflow]
) -> tuple[Episode, ...]:
    """Workflows at the arrivals, and through the client, of one published run."""
    timeout_s = fleet.benchmarks[row.benchmark].request_timeout_s[row.system]
    client = Client(timeout_s=timeout_s, is_streaming=row.system == "mas")
    return Replay(fleet, client, published_arrivals_s(row.rate_per_min, len(workflows)), workflows).run()


def published_arrivals_s(rate_per_min: float, n: int) -> NDArray[np.float64]:
    """The published client's Poisson arrivals: the first at 0, and always the same gaps but for the rate."""
    gaps_s = np.random.default_rng(ARRIVAL_SEED).exponential(60.0 / rate_per_min, size=n - 1)
    return np.concatenate([[0.0], np.cumsum(gaps_s)])


def size_workflow(
    plan: PlannedWorkflow, fleet: ReferenceFleet, benchmark: str, rng: np.random.Generator
) -> SizedWorkflow:
    """Draw how long each answer is; prompts follow from what they quote."""
    facts, wordiness = fleet.benchmarks[benchmark], float(rng.standard_normal())
    output_tokens: list[int] = []
    prompt_tokens: list[int] = []
    for call in plan.calls:
        quoted = (
            min(output_tokens[other], fleet.quoted_tokens.get(call.kind, output_tokens[other]))
            for other in call.sees
        )
        prompt_tokens.append(facts.question_tokens + fleet.prompt_tokens[call.kind] + sum(quoted))
        output_tokens.append(fleet.draw_tokens(call.model, call.kind, benchmark, wordiness, rng))
    return SizedWorkflow(plan=plan, prompt_tokens=tuple(prompt_tokens), output_tokens=tuple(output_tokens))


@dataclass(slots=True)
class _Progress:
    """How far one workflow is; -1 stands for what has not happened."""

    starts_s: list[float]
    ends_s: list[float]
    attempts: list[int]
    answered: list[bool]

    @classmethod
    def of(cls, n_calls: int) -> _Progress:
        return cls([-1.0] * n_calls, [-1.0] * n_calls, [0] * n_calls, [False] * n_calls)


class Replay:
    """Workflows on engines that share cards.

    Args:
        fleet: what answers.
        client: how it is asked.
        arrivals_s: when each workflow begins, ascending.
        workflows: what is done then.
    """

    def __init__(
        self,
        fleet: ReferenceFleet,
        client: Client,
        arrivals_s: Sequence[float] | NDArray[np.float64],
        workflows: Sequence[SizedWorkflow],
    ) -> None:
        self._fleet, self._client, self._workflows = fleet, client, workflows
        self._engines = {name: Engine(profile.engine) for name, profile in fleet.profiles.items()}
        self._neighbours = {name: fleet.neighbours(name) for name in fleet.profiles}
        self._looks = dict.fromkeys(fleet.profiles, 0)
        self._busy = dict.fromkeys(fleet.profiles, False)
        self._progress = [_Progress.of(len(workflow.plan.calls)) for workflow in workflows]
        self._order = itertools.count()
        self._heap: list[tuple[float, int, Callable[[float], None]]] = []
        self._over: deque[tuple[int, int, float, bool]] = deque()
        for place, at_s in enumerate(arrivals_s):
            self._at(float(at_s), partial(self._start_ready, place))

    def run(self) -> tuple[Episode, ...]:
        """Replay everything; returns the episodes in the order of their arrival."""
        while self._heap:
            now_s, _, action = heappop(self._heap)
            action(now_s)
            self._pass_on(now_s)
        return tuple(
            Episode(
                plan=workflow.plan,
                reported_s=workflow.plan.reported_s(progress.starts_s, progress.ends_s),
                answered=tuple(progress.answered),
            )
            for workflow, progress in zip(self._workflows, self._progress, strict=True)
        )

    def _at(self, at_s: float, action: Callable[[float], None]) -> None:
        heappush(self._heap, (at_s, next(self._order), action))

    def _pass_on(self, now_s: float) -> None:
        """Let what has happened have its consequences, until nothing new happens."""
        while True:
            while self._over:
                place, index, at_s, is_answered = self._over.popleft()
                progress = self._progress[place]
                progress.ends_s[index], progress.answered[index] = at_s, is_answered
                self._start_ready(place, now_s)
            self._adjust_speeds(now_s)
            if not self._over:
                return

    def _adjust_speeds(self, now_s: float) -> None:
        busy = {name: engine.num_running + engine.num_waiting > 0 for name, engine in self._engines.items()}
        if busy == self._busy:
            return
        self._busy = busy
        for name, engine in self._engines.items():
            n_busy = sum(busy[other] for other in self._neighbours[name])
            self._advance(name, now_s)
            if engine.slow_down(self._fleet.slowdown(n_busy), now_s):
                self._look_again(name)

    # One call's life.

    def _start_ready(self, place: int, now_s: float) -> None:
        """Make the calls of a workflow that wait for nothing any more."""
        progress, plan = self._progress[place], self._workflows[place].plan
        for index, call in enumerate(plan.calls):
            if progress.starts_s[index] < 0 and all(progress.ends_s[other] >= 0 for other in call.after):
                progress.starts_s[index] = now_s
                self._attempt(place, index, now_s)

    def _attempt(self, place: int, index: int, now_s: float) -> None:
        progress, workflow = self._progress[place], self._workflows[place]
        progress.attempts[index] += 1
        attempt, model = progress.attempts[index], workflow.plan.calls[index].model
        self._advance(model, now_s)
        self._engines[model].submit(
            EngineRequest(
                request_id=_request_id(place, index, attempt),
                prompt_tokens=workflow.prompt_tokens[index],
                output_tokens=workflow.output_tokens[index],
            ),
            now_s,
        )
        self._look_again(model)
        self._at(now_s + self._client.timeout_s, partial(self._expire, place, index, attempt))

    def _expire(self, place: int, index: int, attempt: int, now_s: float) -> None:
        """Give up on an attempt that is still waited for."""
        progress, model = self._progress[place], self._workflows[place].plan.calls[index].model
        if progress.ends_s[index] >= 0:
            return
        self._advance(model, now_s)
        if any(entry[:2] == (place, index) for entry in self._over):
            return
        engine, request_id = self._engines[model], _request_id(place, index, attempt)
        if self._client.is_streaming and engine.generated(request_id):
            return
        engine.abort(request_id, now_s)
        self._look_again(model)
        if attempt == ATTEMPTS:
            self._over.append((place, index, now_s, False))
        else:
            self._at(now_s + RETRY_AFTER_S, partial(self._attempt, place, index))

    # The engines' time.

    def _look_again(self, model: str) -> None:
        """Come back when the engine's next event is due; an earlier appointment lapses."""
        at_s = self._engines[model].next_event_s()
        self._looks[model] += 1
        if at_s is not None:
            self._at(at_s, partial(self._look, model, self._looks[model]))

    def _look(self, model: str, look: int, now_s: float) -> None:
        if look == self._looks[model]:
            self._advance(model, now_s)
            self._look_again(model)

    def _advance(self, model: str, now_s: float) -> None:
        for event in self._engines[model].advance_to(now_s):
            if isinstance(event, Finished):
                place, index, _ = map(int, event.request_id.split("/"))
                self._over.append((place, index, event.at_s, True))


def _request_id(place: int, index: int, attempt: int) -> str:
    return f"{place}/{index}/{attempt}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Reported latencies of one or several replays.

    Attributes:
        mean_s: their mean.
        percentiles_s: their percentiles, by `PERCENTILES`.
    """

    mean_s: float
    percentiles_s: Mapping[int, float]


def summarise(runs: Sequence[Sequence[Episode]]) -> Summary:
    """Each figure is the mean over runs of the run's figure."""
    reported_s = [np.array([episode.reported_s for episode in run]) for run in runs]
    percentiles_s = np.mean([np.percentile(run_s, PERCENTILES) for run_s in reported_s], axis=0)
    return Summary(
        mean_s=float(np.mean([run_s.mean() for run_s in reported_s])),
        percentiles_s=dict(zip(PERCENTILES, map(float, percentiles_s), strict=True)),
    )
