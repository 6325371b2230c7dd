"""Whether what is promised of a rule is what comes: runs through the real stack, then the rule applied to fresh ones.

Promises are made from logged runs, as `inframind advise evaluate --on traces` makes them. What comes is measured on
other requests, which meet the application with the rule and without it, one by one, on a fleet that has room: recorded
runs say nothing of load, so that no promise is about it. Nothing is chosen by what was promised: the rules stand here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from inframind.arena.candidates.candidate import Candidate, Setup
from inframind.arena.candidates.recorded import RecordedTraffic
from inframind.arena.grading import RememberingGrader
from inframind.arena.scenario import Scenario, models_of_fleet
from inframind.arena.virtual_run import run_virtually
from inframind.errors import ConfigError
from inframind.graphs.assembly import Parts, PolicyToBind
from inframind.graphs.registry import TopologyRegistry
from inframind.router.decide import DecideConfig
from inframind.router.policy import JustEnoughPolicy, Policy
from inframind.router.policy_shipped import shipped_policy
from inframind.router.rules import Circumstances, RoutingRule
from inframind.simulator.items import Item, generate_items
from inframind.traces.advice import METRICS, Prediction
from inframind.traces.records import Outcome, Trajectory

Floats = NDArray[np.float64]
DOMAINS = ("math", "code", "knowledge")
RATE_PER_MIN = 12.0
"""Arrivals a minute: nobody waits."""
_FLEET, _ITEMS, _ITEMS_SEED = "h100", 240, 11
_SAID_LATER_S = 400.0
_Z = 1.96


@dataclass(frozen=True, kw_only=True)
class Logging:
    """Who decides the runs.

    Attributes:
        policy: makes them.
        decide: how much is explored, and by which quantile steps must be in time.
    """

    policy: Callable[[], Policy | PolicyToBind]
    decide: DecideConfig


LOGGINGS: Mapping[str, Logging] = MappingProxyType(
    {
        "learned": Logging(
            policy=shipped_policy, decide=DecideConfig(exploration=0.15, deadline_quantile=0.5)
        ),
        "just_enough": Logging(policy=JustEnoughPolicy, decide=DecideConfig(exploration=0.5)),
    }
)


def _rule(name: str, **content: object) -> RoutingRule:
    return RoutingRule.model_validate({"name": name, **content})


_IN_MATH, _IN_CODE = (Circumstances(domains=frozenset({domain})) for domain in ("math", "code"))
RULES: Mapping[str, RoutingRule] = MappingProxyType(
    {
        rule.name: rule
        for rule in (
            _rule("no deepseek", avoid_models={"deepseek-r1-32b"}),
            _rule("no deepseek in math", avoid_models={"deepseek-r1-32b"}, when=_IN_MATH),
            _rule("only deepseek", only_models={"deepseek-r1-32b"}),
            _rule("only llama-8b in code", only_models={"llama-3.1-8b"}, when=_IN_CODE),
            _rule("no llama-3b", avoid_models={"llama-3.2-3b"}),
            _rule("no qwen-14b", avoid_models={"qwen2.5-coder-14b"}),
            _rule("no mistral", avoid_models={"mistral-small-24b"}),
            _rule("one agent", most_agents=1),
            _rule("no IO", avoid_topologies={"IO"}),
            _rule("no Flash", avoid_strategies={"Flash"}),
        )
    }
)


def logging_named(name: str) -> Logging:
    """One of `LOGGINGS`.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in LOGGINGS:
        raise ConfigError("logging", name, f"use one of: {', '.join(LOGGINGS)}")
    return LOGGINGS[name]


def logged(logging: Logging, *, seed: int, runs: int, grader: RememberingGrader) -> RecordedTraffic:
    """So many runs, each with a verdict, and the configuration that decided them.

    Args:
        logging: who decides.
        seed: of requests, servers and draws.
        runs: how many.
        grader: says what was right; hand one over to several, and verdicts are remembered.
    """
    setup = Setup(parts=_parts(logging), policy=logging.policy())
    served = _serve(logging, (), seed=seed, runs=runs, grader=grader)
    return RecordedTraffic(baseline=setup, runs=tuple(served))


def promised(
    logging: Logging, *, seed: int, runs: int, grader: RememberingGrader
) -> Mapping[str, tuple[Prediction, ...]]:
    """What so many logged runs promise of every rule, metric by metric; see `logged`."""
    traffic = logged(logging, seed=seed, runs=runs, grader=grader)
    found = {}
    for name, rule in RULES.items():
        candidate = Candidate(name=name, rules=(rule,))
        (job,) = traffic.jobs(candidate)
        found[name] = traffic.play(candidate, job).predictions
    return found


def came(
    logging: Logging, rule: RoutingRule | None, *, seed: int, runs: int, grader: RememberingGrader
) -> Floats:
    """The metrics of requests that were served with a rule, or without one, in the order in which they came (NM).

    The cost of a run that was cut short is not known: NaN. See `logged`.
    """
    served = _serve(logging, () if rule is None else (rule,), seed=seed, runs=runs, grader=grader)
    return np.array([_metrics(run) for run in served])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """What a rule changed.

    Attributes:
        change_M: mean difference over requests, with the rule less without.
        error_M: standard error of that.
    """

    change_M: Floats
    error_M: Floats

    @classmethod
    def of(cls, with_NM: Floats, without_NM: Floats) -> Truth:
        """Of the same requests on either side."""
        change_NM = with_NM - without_NM
        known_M = (~np.isnan(change_NM)).sum(axis=0)
        return cls(
            change_M=np.nanmean(change_NM, axis=0),
            error_M=np.nanstd(change_NM, axis=0, ddof=1) / np.sqrt(known_M),
        )

    def is_in(self, prediction: Prediction) -> bool:
        """Whether a promised interval holds it, as far as it is known: the doubts of both are added in squares."""
        place = METRICS.index(prediction.metric)
        off = float(self.change_M[place]) - prediction.change
        half = prediction.high - prediction.change if off > 0 else prediction.change - prediction.low
        return bool(abs(off) <= np.hypot(half, _Z * self.error_M[place]))


def _parts(logging: Logging, rules: tuple[RoutingRule, ...] = ()) -> Parts:
    """Two topologies and teams of up to two: enough for plans to matter."""
    scenario = scenario_of(1)
    return Parts(
        endpoints=scenario.endpoints({spec.name: "http://nowhere.invalid/v1" for spec in scenario.specs()}),
        registry=TopologyRegistry().only(("IO", "Chain")),
        max_team=2,
        decide=logging.decide,
        rules=rules,
    )


def scenario_of(runs: int) -> Scenario:
    """So many requests to an idle fleet."""
    models = models_of_fleet(_FLEET)
    return Scenario(
        profiles=models.profiles,
        parameters=models.parameters,
        items=_items(),
        training_items=(),
        questions=runs,
        rates_per_min=(RATE_PER_MIN,),
        seeds=(0,),
        budgets="loguniform:5,300",
        replicas=1,
    )


def _items() -> tuple[Item, ...]:
    """Questions of three domains in turn, so that rules can speak of one."""
    drawn = generate_items(_ITEMS, seed=_ITEMS_SEED)
    return tuple(replace(item, domain=DOMAINS[place % len(DOMAINS)]) for place, item in enumerate(drawn))


def _serve(
    logging: Logging, rules: tuple[RoutingRule, ...], *, seed: int, runs: int, grader: RememberingGrader
) -> list[Trajectory]:
    """Runs in order of arrival, each with its verdict."""
    ran = run_virtually(
        scenario_of(runs),
        logging.policy(),
        seed=seed,
        rate_per_min=RATE_PER_MIN,
        grader=grader,
        parts=_parts(logging, rules),
    )
    return [_judged(ran.trajectories[episode.trace_id], solved=episode.solved) for episode in ran.episodes]


def _judged(run: Trajectory, *, solved: bool) -> Trajectory:
    verdict = Outcome(
        feedback_id="grade",
        key="solved",
        score=float(solved),
        source="grader:arena",
        recorded_at_s=run.arrived_at_s + _SAID_LATER_S,
    )
    return replace(run, outcomes=(verdict,))


def _metrics(run: Trajectory) -> tuple[float, ...]:
    """In the order of `METRICS`."""
    solved, on_time = bool(run.solved), run.on_time
    cost = np.nan if run.cost is None else run.cost
    return float(solved and on_time), float(solved), float(on_time), run.latency_s, cost
