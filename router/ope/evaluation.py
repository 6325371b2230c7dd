"""Off-policy evaluation of policies from traces: `evaluate` one, `compare` two on the same runs.

Values are shares of runs that end right and in time, or right. Latency itself is not evaluated here: what a run waits
for depends on whom else the policy sends where, so replay a candidate in the simulator for that (`inframind evaluate`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from inframind.errors import ConfigError
from inframind.router.actions import ActionSpace
from inframind.router.features import FeatureBuilder
from inframind.router.ope.estimate import Estimate, NoSupport, SupportRule, difference
from inframind.router.ope.guess import CriticGuess, PriorGuess
from inframind.router.ope.methods import METHODS, Method, uses_model
from inframind.router.ope.reading import ReadTraces, Reward, TraceReader
from inframind.router.ope.runs import LEVELS, Level, raw_value
from inframind.router.policy import Policy
from inframind.router.policy_learned import LearnedPolicy
from inframind.router.query_model import QueryModel
from inframind.router.rulebook import RuleBook
from inframind.traces.records import Trajectory

Found = Mapping[Method, Estimate | NoSupport]


@dataclass(frozen=True, kw_only=True)
class OpeConfig:
    """What is evaluated, and how.

    Raises:
        ConfigError: an unknown level, reward or method, or an exploration outside [0, 1].
    """

    level: Level = "workflow"
    """Which decisions are the policy's: see `inframind.router.ope.runs`."""
    methods: tuple[Method, ...] = ("dr", "snips")
    """Estimators, most trusted first."""
    reward: Reward = "on_time"
    """Right and in time, or right."""
    exploration: float = 0.0
    """Share of its decisions that the policy would draw uniformly when it serves."""
    weighs_roles: bool = False
    """Whether who sits where is the policy's choice too; each seat costs an importance weight."""
    rule: SupportRule = field(default_factory=SupportRule)
    """When the traces say enough."""

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ConfigError("level", self.level, f"use one of: {', '.join(LEVELS)}")
        if self.reward not in ("on_time", "solved"):
            raise ConfigError("reward", self.reward, "use 'on_time' or 'solved'")
        unknown = [method for method in self.methods if method not in METHODS]
        if unknown or not self.methods:
            raise ConfigError("methods", self.methods, f"use some of: {', '.join(METHODS)}")
        if not 0 <= self.exploration <= 1:
            raise ConfigError("exploration", self.exploration, "use a share in [0, 1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What the traces say of a policy, or of the difference of two.

    Attributes:
        found: estimate or refusal, by method.
        logged: mean of what happened, under the policies that served.
        runs: number of runs that were read.
        left_out: runs that were not, by why.
    """

    found: Found
    logged: Estimate
    runs: int
    left_out: Mapping[str, int]

    @property
    def best(self) -> Estimate | NoSupport:
        """By the most trusted method."""
        return next(iter(self.found.values()))


def evaluate(
    policy: Policy,
    trajectories: Iterable[Trajectory],
    labels: Mapping[str, float],
    *,
    actions: ActionSpace,
    config: OpeConfig | None = None,
    labelled_probability: Mapping[str, float] | None = None,
    critic: LearnedPolicy | None = None,
) -> Evaluation:
    """What a policy would have achieved in place of those that served.

    Args:
        policy: who is evaluated.
        trajectories: finished runs of any policies, with their propensities.
        labels: whether each answer was right, or how probably, by trace id; runs without one are left out.
        actions: what may be chosen; runs with decisions over anything else are left out.
        config: what is evaluated, and how.
        labelled_probability: as for `TraceReader.read`.
        critic: a learned policy whose critic the model of the reward starts from. It must not have learned from these
            runs, or intervals are too narrow; priors alone unless given.

    Raises:
        ConfigError: no run is left, or a label or probability is out of range.
    """
    config = config or OpeConfig()
    traces = read_traces(
        trajectories, labels, actions, config, labelled_probability=labelled_probability, critic=critic
    )
    return evaluate_read(policy, traces, config)


def compare(
    new: Policy,
    old: Policy | None,
    trajectories: Iterable[Trajectory],
    labels: Mapping[str, float],
    *,
    actions: ActionSpace,
    config: OpeConfig | None = None,
    labelled_probability: Mapping[str, float] | None = None,
    critic: LearnedPolicy | None = None,
) -> Evaluation:
    """By how much a policy would have done better than another, run by run: see `difference`.

    Args:
        new: the candidate.
        old: the incumbent; None compares with what happened, whoever served.
        trajectories: as for `evaluate`; so are the others.
        labels: as above.
        actions: as above.
        config: as above; the exploration is that of both.
        labelled_probability: as above.
        critic: as above.

    Raises:
        ConfigError: as `evaluate`.
    """
    config = config or OpeConfig()
    traces = read_traces(
        trajectories, labels, actions, config, labelled_probability=labelled_probability, critic=critic
    )
    return compare_read(new, old, traces, config)


def read_traces(
    trajectories: Iterable[Trajectory],
    labels: Mapping[str, float],
    actions: ActionSpace,
    config: OpeConfig,
    *,
    labelled_probability: Mapping[str, float] | None = None,
    critic: LearnedPolicy | None = None,
) -> ReadTraces:
    """Traces that several policies can be asked about, read once."""
    if any(uses_model(method) for method in config.methods):
        features = critic.features if critic else FeatureBuilder(actions, QueryModel())
        guess = CriticGuess(critic.weights) if critic else PriorGuess()
        reader = TraceReader(actions, features, guess)
    else:
        reader = TraceReader(actions)
    return reader.read(trajectories, labels, reward=config.reward, labelled_probability=labelled_probability)


def evaluate_read(
    policy: Policy, traces: ReadTraces, config: OpeConfig, *, rules: RuleBook | None = None
) -> Evaluation:
    """`evaluate`, of traces that were read before; under rules, see `ReadTraces.under`."""
    found = _raw(policy, traces, config, rules)
    return _evaluation({method: config.rule.judge(one) for method, one in found.items()}, traces)


def compare_read(
    new: Policy,
    old: Policy | None,
    traces: ReadTraces,
    config: OpeConfig,
    *,
    rules: RuleBook | None = None,
    old_rules: RuleBook | None = None,
) -> Evaluation:
    """`compare`, of traces that were read before; either under rules of its own, see `ReadTraces.under`."""
    of_new = _raw(new, traces, config, rules)
    of_old = _raw(old or new, traces, config, old_rules, is_what_happened=old is None)
    found = {method: config.rule.judge(difference(of_new[method], of_old[method])) for method in of_new}
    return _evaluation(found, traces)


def _raw(
    policy: Policy,
    traces: ReadTraces,
    config: OpeConfig,
    rules: RuleBook | None,
    *,
    is_what_happened: bool = False,
) -> dict[Method, Estimate]:
    runs = traces.under(policy, exploration=config.exploration, weighs_roles=config.weighs_roles, rules=rules)
    runs = runs.on_policy() if is_what_happened else runs
    return {method: raw_value(runs, config.level, method) for method in config.methods}


def _evaluation(found: Found, traces: ReadTraces) -> Evaluation:
    return Evaluation(found=found, logged=traces.as_it_was(), runs=len(traces), left_out=traces.left_out)
