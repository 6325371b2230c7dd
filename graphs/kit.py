"""The parts that every topology is built from: the agent and judge nodes, pacing, and who is sent what.

A topology's file says who sees what, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.graph import StateGraph
from langgraph.types import Send

from inframind.graphs.agent import AgentStep
from inframind.graphs.agreement import agreement, best_draft, stagnation
from inframind.graphs.events import announce
from inframind.graphs.ledger import pace_name
from inframind.graphs.portal import Portal
from inframind.graphs.recorder import RunRecorder
from inframind.graphs.services import Services
from inframind.graphs.state import AgentTask, Draft, TopologyInput, TopologyOutput, TopologyState
from inframind.router.actions import STAY
from inframind.router.topology import JUDGE, TopologySpec
from inframind.traces.records import Decision

AGENT, PACE = "agent", "pace"
Update = dict[str, Any]


class TopologyKit:
    """Nodes and helpers for one topology.

    Args:
        services: what the nodes need.
        spec: the topology.
        portal: runs the nodes for graphs that are invoked synchronously.
    """

    def __init__(self, services: Services, spec: TopologySpec, portal: Portal) -> None:
        self.spec = spec
        self._services, self._portal = services, portal
        self._step = AgentStep(services)

    def new_graph(self) -> StateGraph[TopologyState, None, TopologyInput, TopologyOutput]:
        """An empty graph over the topologies' state."""
        return StateGraph(TopologyState, input_schema=TopologyInput, output_schema=TopologyOutput)

    @property
    def agent(self) -> Node:
        """Node that makes one agent's call; send it an `AgentTask`."""
        return Node(self._agent, self._portal)

    @property
    def judge(self) -> Node:
        """Node that ends a round: by agreement, by a judge's call, or by the only draft."""
        return Node(self._judge, self._portal)

    @property
    def close(self) -> Node:
        """Node that answers with the latest draft that has an answer, without any call."""
        return Node(self._close, self._portal)

    @property
    def pace(self) -> Node:
        """Node between two rounds: STAY raises ``round``, ADVANCE leaves it."""
        return Node(self._pace, self._portal)

    def task(
        self,
        state: TopologyState,
        seat: int,
        *,
        task: str,
        round_number: int = 1,
        peers: Sequence[Draft] = (),
        calls_after: int = 0,
        is_last: bool = False,
    ) -> Send:
        """What one agent is sent.

        Args:
            state: the topology's state.
            seat: 0-based seat.
            task: one of `inframind.graphs.prompts.TASKS`; where the drafts that it speaks of failed, another.
            round_number: 1-based round.
            peers: drafts that it waits for and is shown, where they have text.
            calls_after: calls that must follow this one, one after the other, the judge apart.
            is_last: whether nothing but the judge can follow.
        """
        judged = self.is_judged(state)
        shown = [peer for peer in peers if peer["text"]]
        return Send(
            AGENT,
            AgentTask(
                run=state["run"],
                seat=seat,
                round=round_number,
                task=_fitting_task(task, seat, shown) if peers else task,
                peers=list(peers),
                depth_left=calls_after + int(judged),
                is_final=is_last and not judged,
            ),
        )

    def is_judged(self, state: TopologyState) -> bool:
        """Whether a team of this size has a judge."""
        return JUDGE in self.spec.graph(team_size(state)).nodes

    async def _agent(self, task: AgentTask, config: RunnableConfig) -> Update:
        return {"drafts": [await self._step(task, config)]}

    async def _judge(self, state: TopologyState, config: RunnableConfig) -> Update:
        drafts = last_round(state)
        best = best_draft(drafts) or best_draft(state["drafts"])
        reason = self._skip_reason(state, drafts)
        if reason is None:
            verdict = await self._step(self._judge_task(state, drafts), config)
            return {"final": verdict if verdict["text"] and not verdict["error"] else best or verdict}
        if reason:
            (await self._services.recorder(state["run"])).skip(JUDGE, reason)
            announce("skip", trace_id=state["run"]["trace_id"], node=JUDGE, reason=reason)
        return {"final": best}

    def _skip_reason(self, state: TopologyState, drafts: Sequence[Draft]) -> str | None:
        """Why no judge is asked: "" when none is planned, None when one is to be asked."""
        usable = [draft for draft in drafts if draft["text"]]
        if not self.is_judged(state):
            return ""
        if len(usable) < 2:
            return "one draft" if usable else "no drafts"
        return "agreement" if agreement(usable) == 1.0 else None

    def _judge_task(self, state: TopologyState, drafts: Sequence[Draft]) -> AgentTask:
        return AgentTask(
            run=state["run"],
            seat=0,
            round=drafts[-1]["round"],
            task=JUDGE,
            peers=list(drafts),
            depth_left=0,
            is_final=True,
        )

    async def _close(self, state: TopologyState, config: RunnableConfig) -> Update:
        with_text = [draft for draft in state["drafts"] if draft["text"]]
        answered = [draft for draft in with_text if draft["answer"] and not draft["error"]] or with_text
        return {"final": answered[-1] if answered else None}

    async def _pace(self, state: TopologyState, config: RunnableConfig) -> Update:
        number = current_round(state)
        if number >= self.spec.max_rounds:
            return {"round": number}
        recorder = await self._services.recorder(state["run"])
        call = recorder.begin(pace_name(number))
        decision = call.earlier or self._decide_pace(state, recorder)
        recorder.decide(call, decision)
        self._services.note(recorder)
        announce(
            "pace",
            trace_id=recorder.trace_id,
            decision_id=decision.decision_id,
            probability=decision.probability,
            choice=decision.action,
            round=number,
            reason=decision.reason,
            replayed=call.earlier is not None,
        )
        return {"round": number + int(decision.action == STAY)}

    def _decide_pace(self, state: TopologyState, recorder: RunRecorder) -> Decision:
        drafts, number = last_round(state), current_round(state)
        _, decision = self._services.decider_of(recorder).pace(
            recorder.query,
            self.spec,
            round_number=number,
            agreement=(agreement(drafts) or 0.0) if len(drafts) > 1 else 0.0,
            stagnation=stagnation(drafts_of_round(state, number - 1), drafts) if number > 1 else 0.0,
            snapshot=self._services.fleet.snapshot(),
            deadline=recorder.deadline,
            decision_id=recorder.new_decision_id(),
            team_size=team_size(state),
        )
        return decision


def _fitting_task(task: str, seat: int, shown: Sequence[Draft]) -> str:
    """The task, unless the drafts that it speaks of are not there because their calls failed."""
    if not shown:
        return "alone"
    has_own = any(peer["seat"] == seat for peer in shown)
    return task if has_own or task != "debate" else "build_on"


def team_size(state: TopologyState) -> int:
    """Number of agents of the run."""
    return len(state["run"]["team"])


def drafts_of_round(state: TopologyState, number: int) -> list[Draft]:
    """Drafts of one round, by seat."""
    return sorted((d for d in state["drafts"] if d["round"] == number), key=lambda draft: draft["seat"])


def current_round(state: TopologyState) -> int:
    """The latest round that has drafts."""
    return max((draft["round"] for draft in state["drafts"]), default=0)


def last_round(state: TopologyState) -> list[Draft]:
    """Drafts of the latest round, by seat."""
    return drafts_of_round(state, current_round(state))


class Path(Runnable[Any, Any]):
    """A condition that says where to go next, asked on the event loop itself.

    LangGraph asks a plain function from ``ainvoke`` in a thread of its own, which costs more than the answer.
    """

    def __init__(self, choose: Callable[[Any], list[Send] | Send | str]) -> None:
        self._choose = choose
        self.name = choose.__name__

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Where to go."""
        return self._choose(input)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Where to go."""
        return self._choose(input)


class Node(Runnable[Any, Update]):
    """A graph node for ``ainvoke`` and ``invoke``; the synchronous door runs it on the portal's loop.

    A `Runnable` of our own rather than a `RunnableLambda`, which opens a callback run and inspects signatures
    on every call: LangGraph already does both for the node.
    """

    def __init__(
        self, call: Callable[[Any, RunnableConfig], Coroutine[Any, Any, Update]], portal: Portal
    ) -> None:
        self._call, self._portal = call, portal
        self.name = call.__name__.strip("_")

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Update:
        """Run the node on the running loop."""
        return await self._call(input, config or {})

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Update:
        """Run the node on the portal's loop, and wait for it."""
        return self._portal.run(self._call(input, config or {}))
