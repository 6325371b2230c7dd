"""What single calls and small teams come to on one question, given the latent truth: for oracles and bounds alone.

Enumerated are single calls (IO and CoT), lines of 2 to N agents (Chain), and 2 to N isolated agents with a judge (IO
and CoT). All agents but the last use one model, the last agent or the judge may use another. Debate, Reflection,
FullConnected and teams of three or more models are not enumerated.

Assumptions, each of which flatters teams a little: every answer that is given is found in the text, and right answers
are all spelled alike, so that a right team agrees and needs no judge.

O = options, A = executor actions, T = team actions, N = largest team.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframind.arena.contenders.contender import Truth
from inframind.arena.contenders.item_truth import LINE, ItemTruth, JudgeTruth
from inframind.arena.contenders.votes import VoteWeights, binomial, vote_weights, wrong_agree
from inframind.router.actions import ActionSpace, PlannerAction
from inframind.simulator.items import Item
from inframind.simulator.outcomes import STEP_BY_STEP_TOPOLOGY
from inframind.simulator.writing import STEP_BY_STEP_FACTOR

Array = NDArray[np.float64]
Places = NDArray[np.intp]

ISOLATED = ("IO", "CoT")
TEAM_STRATEGIES = ("Plain",)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionTable:
    """The ways to answer one question; every array is over them (O).

    Attributes:
        plans: topology and team size.
        agent: executor action of the agents, but for the last of a line.
        final: executor action of the judge or of the line's last agent; the agent's own for single calls.
        width: agents side by side; 1 for lines.
        depth: agents one after the other before the final call.
        has_final: whether there is a final call.
        agent_longer: length of the agents' answers over that of the same action in IO.
        final_longer: the same of the final call.
    """

    plans: tuple[PlannerAction, ...]
    agent: Places
    final: Places
    width: NDArray[np.int64]
    depth: NDArray[np.int64]
    has_final: NDArray[np.bool_]
    agent_longer: Array
    final_longer: Array

    def __len__(self) -> int:
        return len(self.plans)


@dataclass(frozen=True, slots=True, kw_only=True)
class Odds:
    """What is true of one question; see the module for what is assumed.

    Attributes:
        success: P(right) of each option (O).
        final_calls: expected number of final calls, less than 1 where agreement spares the judge (O).
        final_success: P(right) of the final call when it is made (O); 0 without one.
        keep: P(right) in each seat of a line after a right answer (T, N).
        repair: the same after a wrong one (T, N).
    """

    success: Array
    final_calls: Array
    final_success: Array
    keep: Array
    repair: Array


@dataclass(frozen=True, slots=True)
class _Block:
    """Options of one plan."""

    plan: PlannerAction
    agent: Places
    final: Places

    @property
    def is_line(self) -> bool:
        return self.plan.topology == LINE

    @property
    def width(self) -> int:
        return 1 if self.is_line else self.plan.team_size

    @property
    def depth(self) -> int:
        return self.plan.team_size - 1 if self.is_line else 1


class Teamwork:
    """The options of an action space, and their odds on any question.

    Args:
        truth: the odds of every question.
        actions: what may be chosen.
        team_strategies: strategies that teams are considered with; those that the space lacks are left out.
    """

    def __init__(
        self,
        truth: Truth,
        actions: ActionSpace,
        *,
        team_strategies: Sequence[str] = TEAM_STRATEGIES,
    ) -> None:
        self._outcomes, self._actions = truth.outcomes, actions
        weights = truth.parameters.mistake_weights
        self._mistake_shares = tuple(weight / sum(weights) for weight in weights)
        steps = actions.executor_actions
        self.team_places = np.array(
            [i for i, a in enumerate(steps) if a.strategy in team_strategies], dtype=int
        )
        self._team = [steps[place] for place in self.team_places]
        self._blocks = [block for plan in actions.planner_actions for block in self._blocks_of(plan)]
        self._known_weights: VoteWeights | None = None
        self.options = _table(self._blocks, actions)

    def odds(self, item: Item) -> Odds:
        """The odds of every option on one question; about a millisecond."""
        truth = ItemTruth(self._outcomes, item, self._actions, self._team)
        solo = {
            topology: truth.solo(topology) for topology in {block.plan.topology for block in self._blocks}
        }
        judges = {topology: truth.judges(topology) for topology in solo if topology in ISOLATED}
        weights = self._vote_weights(truth)
        keep, repair = truth.line(self._actions.max_team)
        parts = []
        for block in self._blocks:
            topology, size = block.plan.topology, block.plan.team_size
            alone = solo[topology][self.team_places]
            if block.is_line:
                parts.append(_line_odds(size, alone, keep, repair))
            elif size > 1:
                parts.append(_judged_odds(size, alone, judges[topology], weights, self._mistake_shares))
            else:
                parts.append((solo[topology][block.agent], *np.zeros((2, len(block.agent)))))
        success, final_calls, final_success = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Odds(
            success=success, final_calls=final_calls, final_success=final_success, keep=keep, repair=repair
        )

    def _vote_weights(self, truth: ItemTruth) -> VoteWeights:
        """How judges weigh votes: learned from the first question that tells, and the same for all."""
        if self._known_weights is not None:
            return self._known_weights
        weights, is_telling = vote_weights(truth, self._actions.max_team, self._mistake_shares)
        if is_telling:
            self._known_weights = weights
        return weights

    def _blocks_of(self, plan: PlannerAction) -> list[_Block]:
        if plan.topology not in (*ISOLATED, LINE):
            return []
        if plan.team_size > 1:
            agent, final = (
                grid.ravel() for grid in np.meshgrid(self.team_places, self.team_places, indexing="ij")
            )
            return [_Block(plan, agent, final)] if len(agent) else []
        excluded = self._actions.topologies[plan.topology].excluded_strategies
        steps = self._actions.executor_actions
        places = np.array([i for i, action in enumerate(steps) if action.strategy not in excluded], dtype=int)
        return [_Block(plan, places, places)]


def _table(blocks: Sequence[_Block], actions: ActionSpace) -> OptionTable:
    sizes = [len(block.agent) for block in blocks]
    agent = np.concatenate([block.agent for block in blocks])
    final = np.concatenate([block.final for block in blocks])
    is_step_by_step = np.repeat([block.plan.topology == STEP_BY_STEP_TOPOLOGY for block in blocks], sizes)
    longer = np.array([_longer_step_by_step(actions, action.model) for action in actions.executor_actions])
    return OptionTable(
        plans=tuple(block.plan for block, size in zip(blocks, sizes, strict=True) for _ in range(size)),
        agent=agent,
        final=final,
        width=np.repeat([block.width for block in blocks], sizes),
        depth=np.repeat([block.depth for block in blocks], sizes),
        has_final=np.repeat([block.plan.team_size > 1 for block in blocks], sizes),
        agent_longer=np.where(is_step_by_step, longer[agent], 1.0),
        final_longer=np.where(is_step_by_step, longer[final], 1.0),
    )


def _longer_step_by_step(actions: ActionSpace, model: str) -> float:
    """How much longer answers get in CoT; thinking, which is most of what a reasoning model writes, does not."""
    return 1.0 if "reasoning" in actions.models[model].capabilities else STEP_BY_STEP_FACTOR


def _line_odds(seats: int, alone: Array, keep: Array, repair: Array) -> tuple[Array, Array, Array]:
    """Of each (agent, last agent): P(right) at the end, one final call, and what that comes to."""
    right = alone
    for seat in range(1, seats - 1):
        right = keep[:, seat] * right + repair[:, seat] * (1 - right)
    last = seats - 1
    success = keep[None, :, last] * right[:, None] + repair[None, :, last] * (1 - right[:, None])
    return success.ravel(), np.ones(success.size), success.ravel()


def _judged_odds(
    agents: int, alone: Array, judge: JudgeTruth, weights: VoteWeights, mistake_shares: Sequence[float]
) -> tuple[Array, Array, Array]:
    """Of each (agent, judge): P(right), P(the judge is asked), and P(right | the judge is asked)."""
    right_votes = binomial(agents, alone)
    agree_right, none_right = right_votes[:, agents], right_votes[:, 0]
    agree_wrong = none_right * wrong_agree(agents, mistake_shares)
    weight = weights.of(agents)
    sure, split = right_votes[:, 1:agents] @ weight, right_votes[:, 1:agents] @ (1 - weight)
    by_judge = (
        sure[:, None] * judge.sure
        + split[:, None] * judge.split
        + (none_right - agree_wrong)[:, None] * judge.lost
    )
    asked = np.broadcast_to((1 - agree_right - agree_wrong)[:, None], by_judge.shape)
    right_if_asked = np.divide(by_judge, asked, out=np.zeros_like(by_judge), where=asked > 0)
    return (agree_right[:, None] + by_judge).ravel(), asked.ravel(), right_if_asked.ravel()
