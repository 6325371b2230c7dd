"""Logs whose truth is known: worlds of a few models and strategies, drawn in arrays.

A world says how well every step goes, and so what any rule would bring, exactly; what is predicted from its logs can be
held against that in a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inframind.advisor.option import Option
from inframind.advisor.options.config import AnalysisConfig
from inframind.advisor.options.effect import Effects
from inframind.advisor.options.expected import regressed
from inframind.advisor.options.logs import Array, Choices, Coded, Logs, renormalised
from inframind.advisor.options.proposing import Proposer
from inframind.advisor.options.reading import known_weights
from inframind.fleet.endpoints import EndpointSpec, group_by_model
from inframind.router.actions import ActionSpace, StrategySpec
from inframind.router.rulebook import RuleBook
from inframind.router.rules import RoutingRule
from inframind.router.topology import CallGraph, TopologySpec
from inframind.traces.advice import METRICS, Metric

DOMAINS = ("code", "general", "knowledge", "math")
ROLES = ("Critic", "Solver")
LEAST_LOGGED = 0.05
"""Added to what the policy draws each action by, before all are divided by their sum."""
_ROUNDING = 1e-12


def space_of(models: Sequence[str], strategies: Sequence[str], servers: int = 1) -> ActionSpace:
    """Models of equally many servers each, which no name tells apart."""
    specs = [
        EndpointSpec(name=f"{model}-{number}", base_url="http://gpu/v1", model=model)
        for model in models
        for number in range(servers)
    ]
    return ActionSpace(
        models=group_by_model(specs),
        strategies={
            name: StrategySpec(name=name, max_tokens=100, expected_output_tokens=50) for name in strategies
        },
        topologies={
            "IO": TopologySpec(name="IO", description="", draw=lambda team, rounds: CallGraph((), ()))
        },
        roles={"general": ROLES},
    )


@dataclass(frozen=True, kw_only=True)
class DrawnWorld:
    """Runs of one to three steps: right if every step goes well, which is decided by chance for each alone.

    Cost and latency add up. What two steps do together is not what each does alone.

    Attributes:
        seed: of everything in it.
        models: names.
        strategies: names.
        runs: how many are logged.
        is_equal: whether all actions go equally well and cost the same.
        labelled: share of runs with a verdict.
        servers: of each model.
        in_time: share of runs in time, whatever they do.
        steps: at most, of a run.
        actions: what may be chosen.
        well_DKA: chance that a step goes well, by domain, role and action.
        cost_A: mean cost of a step by action.
        logging_DKA: probabilities that the policy draws from.
    """

    seed: int
    models: tuple[str, ...] = ("a", "b", "c")
    strategies: tuple[str, ...] = ("Flash", "Plain")
    runs: int = 3000
    is_equal: bool = False
    labelled: float = 1.0
    servers: int = 1
    in_time: float = 0.95
    steps: int = 3
    actions: ActionSpace = field(init=False)
    well_DKA: Array = field(init=False)
    cost_A: Array = field(init=False)
    logging_DKA: Array = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng([self.seed, 1])
        shape = (len(DOMAINS), len(ROLES), len(self.models) * len(self.strategies))
        well = 0.95 - 0.35 * rng.random(shape) ** 2
        logging = rng.random(shape) + LEAST_LOGGED
        object.__setattr__(self, "actions", space_of(self.models, self.strategies, self.servers))
        object.__setattr__(self, "well_DKA", np.full(shape, 0.85) if self.is_equal else well)
        object.__setattr__(
            self, "cost_A", np.ones(shape[2]) if self.is_equal else 0.5 + 1.5 * rng.random(shape[2])
        )
        object.__setattr__(self, "logging_DKA", logging / logging.sum(axis=2, keepdims=True))

    def logs(self) -> Logs:
        """Runs drawn from the world."""
        rng = np.random.default_rng([self.seed, 2])
        domain_R = rng.integers(len(DOMAINS), size=self.runs)
        steps_R = rng.integers(1, self.steps + 1, size=self.runs)
        run_N = np.repeat(np.arange(self.runs), steps_R)
        position_N = np.arange(len(run_N)) - np.repeat(np.cumsum(steps_R) - steps_R, steps_R)
        role_N = position_N % len(ROLES)
        logged_NA = self.logging_DKA[domain_R[run_N], role_N]
        chosen_N = (logged_NA.cumsum(axis=1) > rng.random((len(run_N), 1))).argmax(axis=1)
        well_N = rng.random(len(run_N)) < self.well_DKA[domain_R[run_N], role_N, chosen_N]
        solved_R = np.bincount(run_N, ~well_N, minlength=self.runs) == 0
        time_R = rng.random(self.runs) < self.in_time
        cost_R = np.bincount(run_N, self.cost_A[chosen_N] * rng.gamma(8.0, 1 / 8, len(run_N)), self.runs)
        value_RM = np.column_stack([solved_R & time_R, solved_R, time_R, 2 * cost_R, cost_R]).astype(float)
        labelled_R = rng.random(self.runs) < self.labelled
        known = [labelled_R | ~time_R, labelled_R, *[np.ones(self.runs, dtype=bool)] * 3]
        return made_logs(
            domain=[DOMAINS[place] for place in domain_R],
            value_RM=value_RM,
            is_known_RM=np.column_stack(known),
            is_choosing_R=rng.random(self.runs) < 0.4,
            steps={
                "run_N": run_N,
                "chosen_N": chosen_N,
                "logged_NC": logged_NA,
                "role": [ROLES[place] for place in role_N],
                "endpoint": [
                    f"{self.models[chosen // len(self.strategies)]}-{server}"
                    for chosen, server in zip(
                        chosen_N, rng.integers(self.servers, size=len(run_N)), strict=True
                    )
                ],
            },
        )

    def truth(self, rule: RoutingRule, logs: Logs) -> Array:
        """True change of each metric by a rule, over all questions (M)."""
        effects = effects_of(logs, self.actions)
        left_A = effects.steps_left(rule)
        target = self.logging_DKA.copy()
        for d, domain in enumerate(DOMAINS):
            for k, role in enumerate(ROLES):
                when = rule.when
                if (not when.domains or domain in when.domains) and (not when.roles or role in when.roles):
                    target[d, k] *= left_A
        target /= target.sum(axis=2, keepdims=True)
        solved, cost = (self._worth(target)[i] - self._worth(self.logging_DKA)[i] for i in range(2))
        return np.array([solved * self.in_time, solved, 0.0, 2 * cost, cost])

    def _worth(self, policy_DKA: Array) -> tuple[float, float]:
        well_DK = (policy_DKA * self.well_DKA).sum(axis=2)
        cost_DK = policy_DKA @ self.cost_A
        solved, cost = 0.0, 0.0
        for steps in range(1, self.steps + 1):
            roles = [position % len(ROLES) for position in range(steps)]
            solved += float(well_DK[:, roles].prod(axis=1).mean()) / self.steps
            cost += float(cost_DK[:, roles].sum(axis=1).mean()) / self.steps
        return solved, cost


def made_logs(
    *,
    domain: Sequence[str],
    value_RM: Array,
    steps: Mapping[str, Any],
    is_known_RM: Any = None,
    is_choosing_R: Any = None,
    **more: Any,
) -> Logs:
    """Logs of steps alone, whose policy is the one that served and has not changed.

    Args:
        domain: of each run (R).
        value_RM: its metrics, in the order of `METRICS`.
        steps: ``run_N``, ``chosen_N``, ``logged_NC``, and whatever else `choices_of` takes.
        is_known_RM: which metrics are known; all unless given.
        is_choosing_R: which runs options are found on; none unless given.
        more: of `Logs`.
    """
    runs = len(domain)
    is_known_RM = np.ones((runs, len(METRICS)), dtype=bool) if is_known_RM is None else is_known_RM
    value_RM = np.where(is_known_RM, value_RM, 0.0)
    coded = Coded.of(domain)
    weight_RM, is_blind_RM = known_weights(is_known_RM, value_RM, coded)
    is_choosing_R = np.zeros(runs, dtype=bool) if is_choosing_R is None else is_choosing_R
    run_N = np.asarray(steps["run_N"])
    length_R = np.bincount(run_N, minlength=runs).astype(float)
    asked_RK = np.eye(len(coded.names))[coded.code_N]
    planned_RK = np.column_stack([asked_RK, np.eye(int(length_R.max()) + 1)[length_R.astype(int)]])
    return Logs(
        trace_ids=tuple(f"{place:032x}" for place in range(runs)),
        value_RM=value_RM,
        weight_RM=weight_RM,
        is_blind_RM=is_blind_RM,
        asked_RM=regressed(asked_RK, value_RM, weight_RM, is_choosing_R),
        planned_RM=regressed(planned_RK, value_RM, weight_RM, is_choosing_R),
        is_choosing_R=is_choosing_R,
        failed_R=value_RM[:, 0] == 0,
        domain=coded,
        plans=choices_of(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros((0, 6)), coded),
        steps=choices_of(
            run_N,
            np.asarray(steps["chosen_N"]),
            np.asarray(steps["logged_NC"], dtype=float),
            coded.at(run_N),
            **{
                name: value for name, value in steps.items() if name not in ("run_N", "chosen_N", "logged_NC")
            },
        ),
        **more,
    )


def choices_of(run_N: Any, chosen_N: Any, logged_NC: Array, domain: Coded, **more: Any) -> Choices:
    """Choices at noon with short prompts, all of whose candidates were allowed, unless ``more`` says otherwise."""
    narrow = more.pop("narrow", renormalised(logged_NC, 0.0))
    named = {name: Coded.of(more.pop(name, [""] * len(run_N))) for name in ("role", "topology", "endpoint")}
    return Choices(
        run_N=run_N,
        chosen_N=chosen_N,
        logged_NC=logged_NC,
        allowed_NC=more.pop("allowed_NC", logged_NC > 0),
        now_NC=more.pop("now_NC", logged_NC),
        domain=domain if len(domain.code_N) == len(run_N) else domain.at(run_N),
        hour_N=more.pop("hour_N", np.full(len(run_N), 12)),
        tokens_N=more.pop("tokens_N", np.full(len(run_N), 50)),
        narrow=narrow,
        ask_again=narrow,
        role=named["role"],
        topology=named["topology"],
        endpoint=named["endpoint"],
    )


def servers_of(actions: ActionSpace) -> dict[str, tuple[str, ...]]:
    """Servers of each model."""
    return {model: facts.endpoints for model, facts in actions.models.items()}


def effects_of(logs: Logs, actions: ActionSpace, config: AnalysisConfig | None = None) -> Effects:
    """What rules would do, where there are none yet."""
    support = (config or AnalysisConfig()).support
    return Effects(logs, actions, RuleBook((), actions), servers_of(actions), support)


def proposer_of(
    logs: Logs,
    actions: ActionSpace,
    *,
    seed: int = 0,
    config: AnalysisConfig | None = None,
    rules: Sequence[RoutingRule] = (),
) -> Proposer:
    """Who makes options of logs."""
    return Proposer(
        logs=logs,
        actions=actions,
        book=RuleBook(rules, actions),
        servers=servers_of(actions),
        config=config or AnalysisConfig(),
        rng=np.random.default_rng(seed),
    )


def offered_in(world: DrawnWorld) -> tuple[Logs, tuple[Option, ...]]:
    """The logs of a world, and what is offered for all of it."""
    logs = world.logs()
    return logs, proposer_of(logs, world.actions, seed=world.seed).options(())


def kept_by(world: DrawnWorld, logs: Logs, option: Option) -> dict[Metric, bool]:
    """Whether the truth is in the interval, of each metric of an option with enough evidence."""
    truth_M = world.truth(option.rules[0], logs)
    return {
        one.metric: bool(one.low - _ROUNDING <= truth <= one.high + _ROUNDING)
        for one, truth in zip(option.predictions, truth_M, strict=True)
        if one.is_enough
    }
