"""Which call made which decision, so that a call that is executed again gets the decision that it had."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from langgraph.runtime import ExecutionInfo

from inframind.router.actions import ActionSpace
from inframind.router.choosing import failover_order
from inframind.router.decide import StepChoice
from inframind.router.topology import JUDGE, call_name
from inframind.traces.records import Decision


@dataclass(frozen=True, slots=True)
class Call:
    """A call that begins.

    Attributes:
        key: LangGraph's task id and the call's index in that task, such as ``6a9a.../0``; "" outside a graph.
        earlier: what was decided when it was made before, or None.
    """

    key: str
    earlier: Decision | None


@dataclass(slots=True)
class CallLedger:
    """The decisions of one run, by the call that made them.

    Attributes:
        made: decision by `Call.key`.
    """

    made: dict[str, Decision] = field(default_factory=dict)
    _executions: dict[str, tuple[ExecutionInfo, int]] = field(default_factory=dict)
    _to_replay: dict[str, list[Decision]] = field(default_factory=dict)

    def begin(self, name: str, execution: ExecutionInfo | None) -> Call:
        """A call begins; ``name`` says what it is within its topology, see `name_of`."""
        if execution is None:
            return Call("", None)
        key = f"{execution.task_id}/{self._index(execution)}"
        return Call(key, self.made.get(key) or self._replayed(name))

    def note(self, call: Call, decision: Decision) -> None:
        """What a call decided, or is given back."""
        if call.key:
            self.made[call.key] = decision

    def restart(self, decisions: Iterable[Decision]) -> None:
        """The whole run starts anew under other task ids: its calls are known again by their names, in order."""
        self.made.clear()
        self._executions.clear()
        self._to_replay.clear()
        for decision in decisions:
            if decision.kind != "plan":
                self._to_replay.setdefault(name_of(decision), []).append(decision)

    def keys(self) -> dict[str, str]:
        """Decision id by call, as plain data; from any thread, while the run goes on."""
        made = list(self.made.items())  # at one go: another thread may be adding to it
        return {key: decision.decision_id for key, decision in made}

    @classmethod
    def of(cls, keys: Mapping[str, str], decisions: Iterable[Decision]) -> CallLedger:
        """From `keys` and the decisions of a stored trace."""
        by_id = {decision.decision_id: decision for decision in decisions}
        return cls(made={key: by_id[one] for key, one in keys.items() if one in by_id})

    def _index(self, execution: ExecutionInfo) -> int:
        """Counts the calls of one execution; another execution of the same task counts from 0 again."""
        running, index = self._executions.get(execution.task_id, (None, 0))
        index = index if running is execution else 0
        self._executions[execution.task_id] = (execution, index + 1)
        return index

    def _replayed(self, name: str) -> Decision | None:
        waiting = self._to_replay.get(name)
        return waiting.pop(0) if waiting else None


def name_of(decision: Decision) -> str:
    """What the call of a step or pace decision is called within its topology."""
    if decision.kind == "pace":
        return pace_name(int(decision.choice["round"]))
    seen = decision.seen
    return JUDGE if seen["kind"] == JUDGE else call_name(int(seen["position"]), int(seen["round"]))


def pace_name(round_number: int) -> str:
    """The question after a round whether there is to be another one."""
    return f"pace/r{round_number}"


def choice_of(decision: Decision, actions: ActionSpace) -> StepChoice | None:
    """A recorded step decision as a choice to act on; None where the fleet has other models or strategies by now."""
    if decision.actions != actions.executor_labels:
        return None
    columns, place = len(actions.strategies), decision.chosen
    same_strategy = range(place % columns, len(decision.actions), columns)
    order = failover_order(
        same_strategy, place, decision.probabilities, decision.masked, decision.latency_q50_s
    )
    return StepChoice(
        model=actions.executor_actions[place].model,
        strategy=actions.executor_actions[place].strategy,
        models=tuple(actions.executor_actions[other].model for other in order),
        q50_s=decision.latency_q50_s[place],
        q90_s=decision.latency_q90_s[place],
        avoid=frozenset(decision.seen.get("avoid_endpoints", ())),
    )
