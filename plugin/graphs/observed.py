"""What watching has shown: per node, how often we would have chosen another model, and what that would have changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean

from rich.text import Text

from inframind.fleet.endpoints import ModelFacts
from inframind.plugin.fitted_table import Column, FittedTable, Row
from inframind.plugin.graphs.shadow import ShadowDecision, shadows_of
from inframind.plugin.terminal import percent, seconds
from inframind.traces.records import Step, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedNode:
    """One node's calls. What cannot be told is None.

    Attributes:
        node: name.
        calls: calls that were heard.
        failed: those that failed.
        other_share: share of the calls for which we would have chosen another model than the application did.
        instead: (theirs, ours) pairs of models with their number of calls, the most frequent first.
        latency_s: mean measured seconds of the calls that did not fail.
        predicted_change_s: mean seconds that our model would have taken longer: what each call took, times the ratio
            of what is predicted with our model and with theirs, less one. Over the calls that were answered by a model
            of our fleet. What both predictions are wrong by cancels.
        cost_usd: dollars that the calls cost at the configured prices.
        predicted_change_usd: dollars of the same tokens with our models less those.
    """

    node: str
    calls: int
    failed: int
    other_share: float
    instead: tuple[tuple[str, str, int], ...]
    latency_s: float | None
    predicted_change_s: float | None
    cost_usd: float | None
    predicted_change_usd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What watching has shown so far.

    Attributes:
        runs: runs with at least one call that was heard.
        nodes: in the order in which they were first heard.
        unknown_models: models that the application uses and the configuration does not have.
        total: all calls as if of one node; None where none was heard.
    """

    runs: int
    nodes: tuple[ObservedNode, ...]
    unknown_models: tuple[str, ...]
    total: ObservedNode | None = None

    def table(self) -> FittedTable:
        """For a terminal."""
        return FittedTable(_COLUMNS, [_row(node) for node in self.nodes])

    def summary(self) -> str:
        """All of it in one line."""
        total = self.total
        if total is None:
            return "No call of a model was heard"
        said = f"{_counted(self.runs, 'run')}, {_counted(total.calls, 'call')}"
        said += f": {percent(total.other_share)} would have gone to another model"
        if total.latency_s is None or total.predicted_change_s is None:
            return said
        change_s = total.predicted_change_s
        more = "more" if change_s > 0 else "less"
        said += f", predicted {seconds(abs(change_s))} {more} per call than the {seconds(total.latency_s)} it took"
        return f"{said}, cost {_cost_change(total)}" if total.cost_usd else said


@dataclass(frozen=True, slots=True)
class _Heard:
    step: Step
    shadow: ShadowDecision


async def observed(trajectories: AsyncIterable[Trajectory], models: Mapping[str, ModelFacts]) -> Observed:
    """Sum up traces; those without a shadow decision are passed over.

    Args:
        trajectories: such as ``store.iter()``.
        models: what the models cost, by name.
    """
    runs, by_node = 0, dict[str, list[_Heard]]()
    async for trajectory in trajectories:
        heard = list(_heard(trajectory))
        runs += bool(heard)
        for one in heard:
            by_node.setdefault(one.step.node, []).append(one)
    every = [one for calls in by_node.values() for one in calls]
    return Observed(
        runs=runs,
        nodes=tuple(_node(node, calls, models) for node, calls in by_node.items()),
        unknown_models=tuple(sorted({one.step.model for one in every} - models.keys())),
        total=_node("", every, models) if every else None,
    )


def _heard(trajectory: Trajectory) -> Iterator[_Heard]:
    shadows = shadows_of(trajectory)
    for step in sorted(trajectory.steps, key=lambda step: step.step_id):
        if step.step_id in shadows:
            yield _Heard(step, shadows[step.step_id])


def _node(node: str, calls: list[_Heard], models: Mapping[str, ModelFacts]) -> ObservedNode:
    instead = Counter(
        (one.step.model, one.shadow.model) for one in calls if one.step.model != one.shadow.model
    )
    answered = [one for one in calls if not one.step.error]
    prices = [price for one in answered if (price := _prices_usd(one, models)) is not None]
    return ObservedNode(
        node=node,
        calls=len(calls),
        failed=len(calls) - len(answered),
        other_share=instead.total() / len(calls),
        instead=tuple((theirs, ours, count) for (theirs, ours), count in instead.most_common()),
        latency_s=_mean([one.step.latency_s for one in answered]),
        predicted_change_s=_mean([change for one in answered if (change := _change_s(one)) is not None]),
        cost_usd=sum(theirs for theirs, _ in prices) if prices else None,
        predicted_change_usd=sum(ours - theirs for theirs, ours in prices) if prices else None,
    )


def _change_s(one: _Heard) -> float | None:
    theirs_s, ours_s = one.shadow.q50_s(one.step.model), one.shadow.q50_s(one.shadow.model)
    return None if not theirs_s or ours_s is None else one.step.latency_s * (ours_s / theirs_s - 1)


def _prices_usd(one: _Heard, models: Mapping[str, ModelFacts]) -> tuple[float, float] | None:
    """What the call cost, and what the same tokens cost with our model."""
    theirs, ours = models.get(one.step.model), models.get(one.shadow.model)
    if theirs is None or ours is None or one.step.completion_tokens is None:
        return None
    if not (theirs.price_output_usd_per_mtok and ours.price_output_usd_per_mtok):
        return None
    return _price_usd(one.step, theirs), _price_usd(one.step, ours)


def _price_usd(step: Step, model: ModelFacts) -> float:
    read = (step.prompt_tokens or 0) * model.price_input_usd_per_mtok
    written = (step.completion_tokens or 0) * model.price_output_usd_per_mtok
    return (read + written) / 1e6


def _mean(values: list[float]) -> float | None:
    return fmean(values) if values else None


_COLUMNS = (
    Column(name="node", may_cut=True),
    Column(name="calls", justify="right"),
    Column(name="failed", justify="right", leave_out=2),
    Column(name="other model", justify="right"),
    Column(name="mostly", leave_out=3),
    Column(name="took", justify="right", leave_out=1),
    Column(name="predicted change", justify="right"),
    Column(name="cost change", justify="right", leave_out=4),
)


def _row(node: ObservedNode) -> Row:
    mostly = f"{node.instead[0][0]} -> {node.instead[0][1]}" if node.instead else ""
    cells = (
        node.node,
        str(node.calls),
        str(node.failed),
        f"{node.other_share:.0%}",
        mostly,
        "unknown" if node.latency_s is None else seconds(node.latency_s),
        "unknown" if node.predicted_change_s is None else f"{node.predicted_change_s:+.2f} s",
        _cost_change(node),
    )
    return Row(tuple(Text(cell) for cell in cells))


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _cost_change(node: ObservedNode) -> str:
    if node.predicted_change_usd is None or not node.cost_usd:
        return "unknown"
    return f"{node.predicted_change_usd / node.cost_usd:+.0%}"
