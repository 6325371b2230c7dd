"""The calls of a finished run on the clock: what each needed, and what came after it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from inframind.graphs.budget_share import NODE_KEY, RUN_KEY
from inframind.router.masks import TOO_SLOW
from inframind.traces.records import Decision, Step, Trajectory


class Visit(NamedTuple):
    """One call of a run.

    Attributes:
        node: its node.
        started_s: seconds after the run's arrival.
        finished_s: seconds after the run's arrival.
        need_s: see `needed_s`; None for what it took.
    """

    node: str
    started_s: float
    finished_s: float
    need_s: float | None = None

    @property
    def needed_s(self) -> float:
        """What it needed, or what it took where that is not known."""
        return self.finished_s - self.started_s if self.need_s is None else self.need_s


def needed_s(step: Step, decision: Decision | None) -> float:
    """Seconds that a step would have taken with the middle one of the candidates that it could have been given.

    What a call takes depends on what it was given: with much time, a large model is chosen, which takes long. If that
    were taken for the node's need, a node that was once given much would be given much for ever. So what it took is
    divided by what was predicted for the chosen candidate, and multiplied by what was predicted for the middle one,
    of those that were not masked, or masked for lack of time alone.
    """
    ratio = slowness(step, decision)
    if decision is None or ratio is None:
        return max(step.latency_s, 0.0)
    could_be = [
        predicted_s
        for predicted_s, reason in zip(decision.latency_q50_s, decision.masked, strict=True)
        if reason in ("", TOO_SLOW)
    ]
    return ratio * median(could_be)


def slowness(step: Step, decision: Decision | None, *, is_careful: bool = False) -> float | None:
    """What a step took, over what was predicted for what answered it; None where nothing was predicted.

    Predictions know the model, its load and the prompt, not the node: one that writes long answers is always slower.

    Args:
        step: the step.
        decision: behind it.
        is_careful: compare with the 90 % quantile, where that is what must fit the time that is left, else with the
            median. A quantile that has been widened by other nodes' long answers is not widened once more.
    """
    if decision is None or not decision.latency_q50_s:
        return None
    predicted_s = decision.latency_q90_s if is_careful else decision.latency_q50_s
    label = f"{step.served_model}/{step.strategy}"
    used = decision.actions.index(label) if label in decision.actions else decision.chosen
    return max(step.latency_s, 0.0) / predicted_s[used]


def visits_of(steps: Iterable[Step], decisions: Iterable[Decision]) -> list[Visit]:
    """The steps of a trace that were answered."""
    by_id: Mapping[str, Decision] = {decision.decision_id: decision for decision in decisions}
    return [
        Visit(step.node, step.started_s, step.finished_s, needed_s(step, by_id.get(step.decision_id)))
        for step in steps
        if not step.error
    ]


def part_of(trajectory: Trajectory) -> tuple[str, str] | None:
    """The run that a trace is a part of, and the node of that run which it is; None where it stands alone."""
    run_id, node = trajectory.metadata.get(RUN_KEY), trajectory.metadata.get(NODE_KEY)
    is_answered = trajectory.status in ("ok", "late")
    return (run_id, node) if is_answered and isinstance(run_id, str) and isinstance(node, str) else None


def visit_of_part(trajectory: Trajectory, node: str, run_arrived_at_s: float) -> Visit:
    """A routed graph as one call of the run around it.

    Args:
        trajectory: the routed graph's own trace.
        node: the node of the run that it is.
        run_arrived_at_s: when the run began, in seconds since the Unix epoch.
    """
    started_s, took_s = trajectory.arrived_at_s - run_arrived_at_s, trajectory.latency_s
    calls_took_s = sum(step.latency_s for step in trajectory.steps if not step.error)
    calls_needed_s = sum(visit.needed_s for visit in visits_of(trajectory.steps, trajectory.decisions))
    need_s = took_s * (calls_needed_s / calls_took_s if calls_took_s else 1.0)
    return Visit(node, started_s, started_s + took_s, need_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The calls of a run, moved on the clock to where they would be if each had taken what it needs.

    Attributes:
        visits: the calls, ordered by when they began.
        started_s: when they began, in order.
        finished_s: when they ended, in order.
    """

    visits: Sequence[Visit]
    started_s: Sequence[float]
    finished_s: Sequence[float]

    @classmethod
    def of(cls, visits: Iterable[Visit]) -> Timeline:
        """Every call begins as long after the last end before it as it did; LangGraph goes on when all have ended."""
        calls = sorted(visits, key=lambda visit: (visit.started_s, visit.finished_s, visit.node))
        moved: list[Visit] = []
        ends = sorted(range(len(calls)), key=lambda place: (calls[place].finished_s, place))
        ready_s = moved_ready_s = 0.0
        seen = 0
        for call in calls:
            while calls[ends[seen]].finished_s <= call.started_s and ends[seen] < len(moved):
                ready_s = calls[ends[seen]].finished_s
                moved_ready_s = max(moved_ready_s, moved[ends[seen]].finished_s)
                seen += 1
            started_s = moved_ready_s + (call.started_s - ready_s)
            moved.append(Visit(call.node, started_s, started_s + call.needed_s))
        return cls(
            visits=moved,
            started_s=sorted(visit.started_s for visit in moved),
            finished_s=sorted(visit.finished_s for visit in moved),
        )

    def behind(self, call: Visit) -> tuple[float, float]:
        """How long a call's result lay idle before it was of use, and what was left of the run from there.

        The next call is the first to begin after this one ended. It waited for whatever ended last before it began:
        until then this call's branch had time to spare.
        """
        end_s = self.finished_s[-1]
        following = bisect_left(self.started_s, call.finished_s)
        next_s = self.started_s[following] if following < len(self.started_s) else end_s
        ready_s = self.finished_s[bisect_right(self.finished_s, next_s) - 1]
        return max(ready_s - call.finished_s, 0.0), end_s - ready_s
