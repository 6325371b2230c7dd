"""Rivals from the literature, as far as a fixed rule can stand in for them. All are blind to load and budget."""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from inframind.arena.contenders.contender import Contender, Setting
from inframind.errors import ConfigError
from inframind.router.actions import ActionSpace, ExecutorAction
from inframind.router.policy import Policy, Proposal
from inframind.router.policy_parts import propose_pace
from inframind.router.policy_seated import SeatedPolicy
from inframind.router.topology import JUDGE
from inframind.router.views import PaceView, PlanView, RoleView, StepView

Array = NDArray[np.float64]
STRATEGY = "Plain"
"""The published baselines prompt without any strategy."""


def moa() -> Contender:
    """Mixture of agents (Wang et al. 2024), one layer, as the reference system runs it.

    Every model proposes once from the question alone, the largest aggregates: IO with a judge. Where all
    proposals agree our graph skips the aggregator, which the source does not.
    """
    return _one_model_per_seat("moa", "IO", "every model proposes, the largest decides")


def gptswarm() -> Contender:
    """GPTSwarm (Zhuge et al. 2024) as the reference system runs it: five nodes, one per model.

    Its learned edges form an upper triangle; here all of them are there, smallest model first, and the largest
    decides. Trained edges would be fewer.
    """
    return _one_model_per_seat("gptswarm", "FullConnected", "models in a row, each sees all before it")


def _one_model_per_seat(name: str, topology: str, summary: str) -> Contender:
    def make(setting: Setting) -> Policy:
        actions = setting.actions
        actions.topology(topology)
        by_size = sorted(actions.models, key=lambda model: actions.models[model].size_b)
        seats = [ExecutorAction(model, _plain(actions)) for model in by_size[-actions.max_team :]]
        return SeatedPolicy(topology, seats, seats[-1], name=name)

    return Contender(name=name, family="blind", summary=summary, make=make)


def masrouter() -> Contender:
    """MasRouter (Yue et al., ACL 2025) as measured by the reference system: its mix of topologies and models.

    Topology, models and roles are drawn independently of the question, with the published shares
    (``masrouter.toml``), so that what MasRouter knows of single questions is lost; its mix hardly moves with load
    or question. Roles are uniform: their mix was not published. Its judge is the most frequent of the agents'
    models; a step does not see those, so that the judge is drawn from the distribution of that mode.
    Needs a decider that is not greedy.
    """

    def make(setting: Setting) -> Policy:
        return MixPolicy(_published_mix(), setting.actions, name="masrouter")

    return Contender(
        name="masrouter",
        family="blind",
        summary="MasRouter's published mix of topologies and models, five agents",
        make=make,
    )


@dataclass(frozen=True, kw_only=True)
class Mix:
    """Shares that a workflow is drawn from.

    Attributes:
        topologies: share of each topology.
        models: share of each model among agents.
        team_size: agents of every workflow.
        strategy: strategy of every call.
    """

    topologies: Mapping[str, float]
    models: Mapping[str, float]
    team_size: int
    strategy: str


class MixPolicy:
    """Draws topology, models and roles from fixed shares; what the action space lacks is left out.

    Args:
        mix: the shares.
        actions: what may be chosen.
        name: name in traces.

    Raises:
        ConfigError: none of the mix's topologies, none of its models, or not its strategy.
    """

    version = "1"

    def __init__(self, mix: Mix, actions: ActionSpace, *, name: str) -> None:
        self.name = name
        self._topologies = _known("topologies", mix.topologies, actions.topologies)
        models = _known("models", mix.models, actions.models)
        if mix.strategy not in actions.strategies:
            raise ConfigError("strategies", tuple(actions.strategies), f"the mix needs {mix.strategy}")
        self._team_size = min(mix.team_size, actions.max_team)
        judges = dict(zip(models, mode_distribution(tuple(models.values()), self._team_size), strict=True))
        self._agent_weights = _step_weights(actions, models, mix.strategy)
        self._judge_weights = _step_weights(actions, judges, mix.strategy)

    def plan(self, view: PlanView) -> Proposal:
        """The topologies' shares, with the team size of the mix; uniform where all of those are masked."""
        weights = np.array(
            [
                self._topologies.get(action.topology, 0.0) * (action.team_size == self._team_size)
                for action in view.actions
            ]
        )
        return _proposal(weights, view.allowed, "published mix of topologies")

    def role(self, view: RoleView) -> Proposal:
        """Uniform, repeats included."""
        return Proposal(np.ones(len(view.roles)), "uniform over the domain's roles")

    def step(self, view: StepView) -> Proposal:
        """The models' shares; for the judge, how often each is the team's most frequent model."""
        weights = self._judge_weights if view.slot.kind == JUDGE else self._agent_weights
        return _proposal(weights, view.allowed, "published mix of models")

    def pace(self, view: PaceView) -> Proposal:
        """The topology's default number of rounds."""
        return propose_pace(view)


def mode_distribution(shares: Sequence[float], draws: int) -> Array:
    """P(each kind is the most frequent of so many draws), the first drawn winning ties.

    By symmetry each of several equally frequent kinds is the first drawn with the same probability.
    """
    probabilities = np.array(shares) / sum(shares)
    mode = np.zeros(len(shares))
    for counts in _compositions(draws, len(shares)):
        ways = math.factorial(draws) / math.prod(math.factorial(count) for count in counts)
        leads = np.array(counts) == max(counts)
        mode += leads / leads.sum() * ways * np.prod(probabilities ** np.array(counts))
    return mode


def _compositions(total: int, parts: int) -> list[tuple[int, ...]]:
    """All tuples of so many counts with that sum."""
    bars = itertools.combinations(range(total + parts - 1), parts - 1)
    return [
        tuple(b - a - 1 for a, b in itertools.pairwise((-1, *places, total + parts - 1))) for places in bars
    ]


def _published_mix() -> Mix:
    text = files("inframind.arena.contenders").joinpath("masrouter.toml").read_text(encoding="utf-8")
    return Mix(**tomllib.loads(text))


def _known(field: str, shares: Mapping[str, float], there: Mapping[str, object]) -> Mapping[str, float]:
    known = {name: share for name, share in shares.items() if name in there and share > 0}
    if not known:
        raise ConfigError(field, tuple(there), f"the mix needs one of: {', '.join(shares)}")
    return known


def _step_weights(actions: ActionSpace, models: Mapping[str, float], strategy: str) -> Array:
    return np.array(
        [models.get(action.model, 0.0) * (action.strategy == strategy) for action in actions.executor_actions]
    )


def _proposal(weights: Array, allowed: NDArray[np.bool_], reason: str) -> Proposal:
    if weights[allowed].sum() > 0:
        return Proposal(weights, reason)
    return Proposal(np.ones(len(weights)), "nothing of the mix can be chosen: uniform over what is allowed")


def _plain(actions: ActionSpace) -> str:
    if STRATEGY not in actions.strategies:
        raise ConfigError("strategies", tuple(actions.strategies), f"this contender needs {STRATEGY}")
    return STRATEGY
