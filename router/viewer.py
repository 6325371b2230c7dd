"""What a policy is shown: candidates, predictions, masks and their reasons, from a question and the fleet's load."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import lru_cache
from itertools import compress
from typing import NamedTuple

import numpy as np

from inframind.errors import ConfigError, UnknownModel
from inframind.fleet.clock import Clock, Deadline
from inframind.fleet.snapshot import FleetSnapshot
from inframind.router.actions import ActionSpace, PlannerAction
from inframind.router.latency import LatencyModel
from inframind.router.masks import OPEN, StepMasks, plan_masks
from inframind.router.rulebook import RuleBook, narrowed
from inframind.router.switching import SwitchingConfig, saved_cost, saved_s
from inframind.router.views import Array, Mask, PlanView, Query, Slot, StepView

_PLANNED_KEPT = 256
_NO_ENDPOINTS: frozenset[str] = frozenset()


class Planned(NamedTuple):
    """Planner actions that are asked for together (P), with their labels, calls and depths."""

    actions: tuple[PlannerAction, ...]
    labels: tuple[str, ...]
    calls: Array
    depth: Array


class Viewer:
    """Looks at the world for a `Decider`.

    Args:
        actions: what may be chosen.
        latency: predicts step latency.
        clock: time.
        switching: worth of a warm prefix cache.
        is_careful: whether the 90 % quantile of a step must fit the time that is left, or the median alone.
        book: rules, over the same candidates.
    """

    def __init__(
        self,
        actions: ActionSpace,
        latency: LatencyModel,
        *,
        clock: Clock,
        switching: SwitchingConfig,
        is_careful: bool,
        book: RuleBook,
    ) -> None:
        self._actions, self._latency, self._clock = actions, latency, clock
        self._switching, self._is_careful = switching, is_careful
        self._quality, self._cost = static_columns(actions)
        self._masks = StepMasks(actions)
        self._book = book
        self.planned = lru_cache(maxsize=_PLANNED_KEPT)(self._narrowed)

    def with_book(self, book: RuleBook) -> Viewer:
        """The same sight under other rules."""
        twin = copy(self)
        twin._book = book
        return twin

    def _narrowed(self, topology: str | None, team_size: int | None) -> Planned:
        if topology is not None and team_size is not None:
            self._actions.topology(topology).graph(team_size)
            return self._of_actions((PlannerAction(topology, team_size),))
        wanted = self._actions.planner_actions
        if topology is not None:
            name = self._actions.topology(topology).name
            wanted = tuple(action for action in wanted if action.topology == name)
        if team_size is not None:
            wanted = tuple(action for action in wanted if action.team_size == team_size)
        if not wanted:
            raise ConfigError("team_size", team_size, "no topology is planned with a team of that size")
        return self._of_actions(wanted)

    def _of_actions(self, actions: tuple[PlannerAction, ...]) -> Planned:
        graphs = [self._actions.topologies[a.topology].graph(a.team_size) for a in actions]
        return Planned(
            actions,
            tuple(action.label for action in actions),
            calls=_read_only([float(graph.calls) for graph in graphs]),
            depth=_read_only([float(graph.depth) for graph in graphs]),
        )

    def plan(
        self, query: Query, snapshot: FleetSnapshot, deadline: Deadline, planned: Planned
    ) -> tuple[PlanView, tuple[str, ...]]:
        """What a planner sees, and why each plan that is masked is (P)."""
        remaining_s = deadline.remaining_s(self._clock)
        step, _ = self.step(query, Slot(topology="", prompt_tokens=query.prompt_tokens), snapshot, deadline)
        depth = planned.depth
        is_allowed = step.allowed.tolist()
        q50_s, q90_s, quality = (
            sorted(compress(column.tolist(), is_allowed)) for column in (step.q50_s, step.q90_s, step.quality)
        )
        allowed, reasons = plan_masks(depth * (q90_s if self._is_careful else q50_s)[0], remaining_s)
        if self._book.rules:
            allowed, reasons = self._ruled_plans(query, planned, allowed, reasons)
        view = PlanView(
            query=query,
            budget_s=deadline.budget_s,
            remaining_s=remaining_s,
            actions=planned.actions,
            calls=planned.calls,
            allowed=allowed,
            q50_s=depth * median(q50_s),
            q90_s=depth * median(q90_s),
            step_quality=quality[-1],
            depth=depth,
            step_actions=step.actions,
            step_allowed=step.allowed,
            step_q50_s=step.q50_s,
            step_q90_s=step.q90_s,
            models=self._actions.models,
            snapshot=snapshot,
        )
        return view, reasons

    def step(
        self, query: Query, slot: Slot, snapshot: FleetSnapshot, deadline: Deadline
    ) -> tuple[StepView, tuple[str, ...]]:
        """What an executor sees, and why each candidate that is masked is (A)."""
        remaining_s = deadline.remaining_s(self._clock)
        map_s = self._latency.predict(snapshot, slot.prompt_tokens)
        q50_s, q90_s, cost = map_s.q50_s.reshape(-1), map_s.q90_s.reshape(-1), self._cost
        if slot.warm_tokens:
            q50_s, q90_s, cost = self._warmed(slot, q50_s, q90_s)
        upper_s = q90_s if self._is_careful else q50_s
        allowed, reasons = self._masks.of(query, slot, snapshot, q50_s, upper_s, remaining_s)
        if self._book.rules:
            allowed, reasons = self._ruled(query, slot.role, slot.topology, allowed, reasons)
        view = StepView(
            query=query,
            slot=slot,
            budget_s=deadline.budget_s,
            remaining_s=remaining_s,
            actions=self._actions.executor_actions,
            allowed=allowed,
            q50_s=q50_s,
            q90_s=q90_s,
            quality=self._quality,
            cost=cost,
            models=self._actions.models,
            snapshot=snapshot,
        )
        return view, reasons

    def _warmed(self, slot: Slot, q50_s: Array, q90_s: Array) -> tuple[Array, Array, Array]:
        """Latency and cost with what a warm prefix cache saves; at most half of a prediction."""
        models, columns = self._actions.models, len(self._actions.strategies)
        seconds = saved_s(slot, models, self._switching).repeat(columns)
        dollars = saved_cost(slot, models, self._switching).repeat(columns)
        saving_s = np.minimum(seconds, q50_s / 2)
        return q50_s - saving_s, q90_s - saving_s, np.maximum(self._cost - dollars, 0.0)

    def require_known(self, slot: Slot) -> None:
        """Refuse a slot whose caller settled on what there is not.

        Raises:
            UnknownModel, ConfigError: such a model; such a strategy.
        """
        for model in slot.models or ():
            if model not in self._actions.models:
                raise UnknownModel(model, tuple(self._actions.models))
        for strategy in slot.strategies or ():
            if strategy not in self._actions.strategies:
                known = ", ".join(self._actions.strategies)
                raise ConfigError("strategy", strategy, f"use 'auto' or one of {known}")

    def fastest_q90_s(self, query: Query, topology: str, snapshot: FleetSnapshot) -> float:
        """Predicted 90 % quantile of the fastest step of a topology that can be called now; infinite without any."""
        q90_s = self._latency.predict(snapshot, query.prompt_tokens).q90_s
        callable_now = [snapshot.least_loaded(model) is not None for model in self._actions.models]
        if not self._book.rules:
            return float(q90_s[callable_now].min(initial=np.inf))
        allowed = np.repeat(callable_now, q90_s.shape[1])
        reasons = tuple(["" if may else OPEN for may in allowed.tolist()])
        allowed, _ = self._ruled(query, "", topology, allowed, reasons)
        return float(q90_s.reshape(-1)[allowed].min(initial=np.inf))

    # Rules ---------------------------------------------------------------------------------------------

    def avoided_endpoints(self, query: Query, slot: Slot, model: str) -> frozenset[str]:
        """Servers that a step for which a model was chosen is to try after all others."""
        if not self._book.rules:
            return _NO_ENDPOINTS
        avoided = self._book.avoided_endpoints(
            domain=query.domain,
            role=slot.role,
            topology=slot.topology,
            prompt_tokens=query.prompt_tokens,
            wall_s=self._clock.wall_s(),
        )
        return self._book.tried_last(avoided, model)

    def _ruled(
        self, query: Query, role: str, topology: str, allowed: Mask, reasons: tuple[str, ...]
    ) -> tuple[Mask, tuple[str, ...]]:
        """A mask of steps with what rules forbid beside it (A)."""
        ruled = self._book.at_step(
            domain=query.domain,
            role=role,
            topology=topology,
            prompt_tokens=query.prompt_tokens,
            wall_s=self._clock.wall_s(),
        )
        return narrowed(reasons, ruled) if ruled else (allowed, reasons)

    def _ruled_plans(
        self, query: Query, planned: Planned, allowed: Mask, reasons: tuple[str, ...]
    ) -> tuple[Mask, tuple[str, ...]]:
        """A mask of plans with what rules forbid beside it (P)."""
        ruled = self._book.at_plan(
            planned.actions,
            domain=query.domain,
            prompt_tokens=query.prompt_tokens,
            wall_s=self._clock.wall_s(),
        )
        return narrowed(reasons, ruled) if ruled else (allowed, reasons)


def median(ordered: Sequence[float]) -> float:
    """Of numbers in ascending order."""
    middle = len(ordered) // 2
    return (ordered[middle] + ordered[-middle - 1]) / 2


def _read_only(values: list[float]) -> Array:
    array = np.array(values)
    array.setflags(write=False)
    return array


def static_columns(actions: ActionSpace) -> tuple[Array, Array]:
    """Prior quality and expected cost of each executor action (A), (A)."""
    pairs = [(actions.models[a.model], actions.strategies[a.strategy]) for a in actions.executor_actions]
    quality = [min(facts.quality * strategy.quality_factor, 0.99) for facts, strategy in pairs]
    prices_known = all(facts.price_output_usd_per_mtok > 0 for facts in actions.models.values())
    rates = [facts.price_output_usd_per_mtok if prices_known else facts.size_b for facts, _ in pairs]
    tokens = [strategy.expected_output_tokens for _, strategy in pairs]
    return np.array(quality), np.array(rates) * np.array(tokens, dtype=np.float64)
