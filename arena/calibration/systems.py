"""Three published systems as samplers of call graphs: MasRouter (``mas``), MoA (``moa``), GPTSwarm (``gptswarm``).

They follow the code that the published figures were measured with, defects included; what they route is drawn from
the mixes that were published beside the figures. Where they differ from the topologies of this project:

* Calls run one after another, also those that do not depend on each other, except for MoA's proposers.
* MasRouter pays a decision call even for one agent; its model is the one that most agents have, the first seen of
  equals. Debaters do not see their own last answer. Roles that answer twice do so in any topology, Reflection makes
  every agent do so, and both are one step.
* Where an agent can see a program that passes the question's examples, it copies it and makes no call.
* MasRouter reports the longest path through the steps that see each other, as if the rest had run side by side, and
  leaves the decision out. MoA and GPTSwarm report the time on the clock, their final answer included.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from inframind.errors import ConfigError
from inframind.simulator.reference import BenchmarkFacts, PromptKind, RoleFacts

System = Literal["mas", "moa", "gptswarm"]

SYSTEMS: tuple[System, ...] = ("mas", "moa", "gptswarm")
AGGREGATOR = "deepseek-r1-32b"
POOL = (AGGREGATOR, "mistral-small-24b", "qwen2.5-coder-14b", "llama-3.1-8b", "llama-3.2-3b")
"""The models in the published order, which is the order of GPTSwarm's nodes."""

EDGE_SHARE = 0.5
"""Share of GPTSwarm's possible edges that a question meets: training starts them all at a half, which ones it kept is
not published."""

_STRATEGY = "Plain"
_ALL_EDGES = tuple((earlier, later) for later in range(len(POOL)) for earlier in range(later))
_ROUNDS: Mapping[str, int] = {"Debate": 2}
_TOPOLOGIES = ("IO", "CoT", "Chain", "FullConnected", "Debate", "Reflection")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCall:
    """One call of a workflow; other calls are named by their index in it.

    Attributes:
        model: served name.
        node: ``agent`` or ``judge``.
        position: 0-based place of its agent in the team; 0 for the judge.
        round: 1-based.
        role: name of the agent's role, or "".
        strategy: name of the prompt strategy.
        kind: what its prompt is, which decides how long its answer gets.
        after: the calls that must be over before it starts.
        sees: the calls whose answers are in its prompt; twice where an agent has copied an answer.
        is_timed: whether the reported latency counts it.
        passes_examples: whether its answer is a program that passes the question's examples.
    """

    model: str
    node: str
    position: int
    round: int
    role: str
    strategy: str
    kind: PromptKind
    after: tuple[int, ...]
    sees: tuple[int, ...]
    is_timed: bool
    passes_examples: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedWorkflow:
    """The calls that one question causes; each comes after all that it waits for, and the last one answers.

    Attributes:
        topology: name of the collaboration mode.
        calls: in the order in which they are made.
        timing: what the system reports as latency.
    """

    topology: str
    calls: tuple[PlannedCall, ...]
    timing: Literal["longest path", "clock"]

    def reported_s(self, starts_s: Sequence[float], ends_s: Sequence[float]) -> float:
        """The latency that the system reports for calls that were made and over at these times.

        A round starts where the longest path of the rounds before it ends; within a round, a call starts where the
        last one that it sees ends.
        """
        timed = [index for index, call in enumerate(self.calls) if call.is_timed]
        if self.timing == "clock":
            return max(ends_s[index] for index in timed) - min(starts_s[index] for index in timed)
        path_ends_s: dict[int, float] = {}
        round_start_s, this_round = 0.0, 1
        for index in timed:
            call = self.calls[index]
            if call.round != this_round:
                round_start_s, this_round = max(path_ends_s.values()), call.round
            seen = (path_ends_s[other] for other in call.sees if self.calls[other].round == call.round)
            path_ends_s[index] = max(seen, default=round_start_s) + ends_s[index] - starts_s[index]
        return max(path_ends_s.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """What a system's router chose in a published run; MoA and GPTSwarm choose nothing.

    Attributes:
        models: share of each model among the agents' steps, by served name.
        topologies: share of each topology among the questions.
        team_size: agents per question, always the same in the published runs.
    """

    models: Mapping[str, float]
    topologies: Mapping[str, float]
    team_size: int

    def __post_init__(self) -> None:
        if self.team_size < 1:
            raise ConfigError("team_size", self.team_size, "give at least one agent")
        if unknown := set(self.topologies) - set(_TOPOLOGIES):
            raise ConfigError("topologies", sorted(unknown), f"choose some of: {', '.join(_TOPOLOGIES)}")
        if unknown := set(self.models) - set(POOL):
            raise ConfigError("models", sorted(unknown), f"choose some of: {', '.join(POOL)}")

    @property
    def steps_per_question(self) -> float:
        """Agents' steps per question, the decision not counted."""
        rounds = sum(share * _ROUNDS.get(name, 1) for name, share in self.topologies.items())
        return self.team_size * rounds / sum(self.topologies.values())


def draw_workflow(
    system: System, facts: BenchmarkFacts, mix: Mix | None, rng: np.random.Generator
) -> PlannedWorkflow:
    """What one question makes a system do.

    Args:
        system: which one.
        facts: of the benchmark that the question is from.
        mix: what the router of ``mas`` chooses from; the others take none.
        rng: chance of this question.

    Raises:
        ConfigError: no mix for ``mas``, or an unknown system.
    """
    if system == "moa":
        return moa_workflow()
    if system == "gptswarm":
        return gptswarm_workflow([edge for edge in _ALL_EDGES if rng.random() < EDGE_SHARE])
    if system != "mas":
        raise ConfigError("system", system, f"choose one of: {', '.join(SYSTEMS)}")
    if mix is None:
        raise ConfigError("mix", None, "give the shares of models and topologies that mas chooses from")
    return _draw_mas(facts, mix, rng)


def moa_workflow() -> PlannedWorkflow:
    """Five proposers side by side, then the aggregator."""
    proposers = [_call(model, kind="question", position=place) for place, model in enumerate(POOL)]
    everybody = tuple(range(len(POOL)))
    judge = _call(AGGREGATOR, kind="aggregate", node="judge", round_=2, after=everybody, sees=everybody)
    return PlannedWorkflow(topology="MoA", calls=(*proposers, judge), timing="clock")


def gptswarm_workflow(
    edges: Sequence[tuple[int, int]] = _ALL_EDGES,
) -> PlannedWorkflow:
    """Five nodes one after another, then the decision.

    Args:
        edges: (earlier, later) nodes, where the later sees the earlier's answer; all of them by default.

    Raises:
        ConfigError: an edge that does not point forward between nodes that exist.
    """
    if bad := [edge for edge in edges if not 0 <= edge[0] < edge[1] < len(POOL)]:
        raise ConfigError("edges", bad, "give pairs (earlier, later) of nodes 0 to 4")
    calls = [
        _call(
            model,
            kind="node",
            position=place,
            after=(place - 1,) if place else (),
            sees=tuple(sorted(earlier for earlier, later in edges if later == place)),
        )
        for place, model in enumerate(POOL)
    ]
    everybody = tuple(range(len(POOL)))
    judge = _call(AGGREGATOR, kind="aggregate", node="judge", round_=2, after=everybody[-1:], sees=everybody)
    return PlannedWorkflow(topology="GPTSwarm", calls=(*calls, judge), timing="clock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One of MasRouter's agents.

    Attributes:
        model: served name.
        role: what it is told to be.
        passes: whether its answer, if it is a program, passes the question's examples.
    """

    model: str
    role: RoleFacts
    passes: bool = False


def mas_workflow(topology: str, agents: Sequence[Agent], *, has_examples: bool = False) -> PlannedWorkflow:
    """What MasRouter does with a team.

    Args:
        topology: one of its six modes.
        agents: in their order.
        has_examples: whether the question has examples that the client can run.
    """
    team = _Team(topology, agents, has_examples=has_examples)
    for round_ in range(1, _ROUNDS.get(topology, 1) + 1):
        team.run_round(round_)
    return PlannedWorkflow(topology=topology, calls=(*team.calls, team.decision()), timing="longest path")


def final_model(agents: Sequence[Agent]) -> str:
    """The model of MasRouter's decision: that of most agents, and of those the first seen."""
    return Counter(agent.model for agent in agents).most_common(1)[0][0]


class _Team:
    """MasRouter's agents at work."""

    def __init__(self, topology: str, agents: Sequence[Agent], *, has_examples: bool) -> None:
        self.calls: list[PlannedCall] = []
        self._topology, self._agents, self._has_examples = topology, agents, has_examples
        self._answers: list[int] = []
        self._passing: set[int] = set()

    def run_round(self, round_: int) -> None:
        """Every agent answers, in order."""
        answers: list[int] = []
        for place, agent in enumerate(self._agents):
            visible = self._visible(place, answers)
            copied = next((index for index in visible if index in self._passing), None)
            answers.append(copied if copied is not None else self._answer(place, agent, round_, visible))
        self._answers = answers

    def decision(self) -> PlannedCall:
        """The call that reads everybody's last answer."""
        return _call(
            final_model(self._agents),
            kind="decision",
            node="judge",
            round_=_ROUNDS.get(self._topology, 1) + 1,
            after=(len(self.calls) - 1,),
            sees=tuple(self._answers),
            is_timed=False,
        )

    def _visible(self, place: int, this_round: Sequence[int]) -> tuple[int, ...]:
        """The answers that an agent is shown."""
        if self._topology == "Chain":
            return tuple(this_round[-1:])
        if self._topology == "FullConnected":
            return tuple(this_round)
        if self._topology == "Debate":
            return tuple(answer for other, answer in enumerate(self._answers) if other != place)
        return ()

    def _answer(self, place: int, agent: Agent, round_: int, visible: tuple[int, ...]) -> int:
        passes = self._has_examples and agent.role.writes_code and agent.passes
        if agent.role.answers_twice or self._topology == "Reflection":
            draft = self._add(place, agent, round_, "agent", visible)
            index = self._add(place, agent, round_, "review", (draft,), passes=passes)
        else:
            index = self._add(place, agent, round_, "agent", visible, passes=passes)
        if passes:
            self._passing.add(index)
        return index

    def _add(
        self,
        place: int,
        agent: Agent,
        round_: int,
        kind: PromptKind,
        sees: tuple[int, ...],
        *,
        passes: bool = False,
    ) -> int:
        index = len(self.calls)
        self.calls.append(
            _call(
                agent.model,
                kind=kind,
                position=place,
                round_=round_,
                role=agent.role.name,
                after=(index - 1,) if index else (),
                sees=sees,
                passes_examples=passes,
            )
        )
        return index


def _draw_mas(facts: BenchmarkFacts, mix: Mix, rng: np.random.Generator) -> PlannedWorkflow:
    topology = _draw(mix.topologies, rng)
    roles = {role.name: role for role in facts.roles}
    shares = {role.name: role.weight for role in facts.roles}
    agents = [
        Agent(
            model=_draw(mix.models, rng),
            role=roles[_draw(shares, rng)],
            passes=bool(rng.random() < facts.passes),
        )
        for _ in range(mix.team_size)
    ]
    return mas_workflow(topology, agents, has_examples=bool(rng.random() < facts.examples))


def _draw(weights: Mapping[str, float], rng: np.random.Generator) -> str:
    names, shares = list(weights), np.array(list(weights.values()), dtype=float)
    return names[int(rng.choice(len(names), p=shares / shares.sum()))]


def _call(
    model: str,
    *,
    kind: PromptKind,
    node: str = "agent",
    position: int = 0,
    round_: int = 1,
    role: str = "",
    after: tuple[int, ...] = (),
    sees: tuple[int, ...] = (),
    is_timed: bool = True,
    passes_examples: bool = False,
) -> PlannedCall:
    return PlannedCall(
        model=model,
        node=node,
        position=position,
        round=round_,
        role=role,
        strategy=_STRATEGY,
        kind=kind,
        after=after,
        sees=sees,
        is_timed=is_timed,
        passes_examples=passes_examples,
    )
