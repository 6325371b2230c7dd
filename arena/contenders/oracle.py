"""A router that knows what no router can: the probability that each model solves each question.

It maximises P(solved and on time) less the price of the server time that an option takes. The price stands for what
that time would have been worth to others: without one, every question takes the best model that is still fast
enough for itself, and together they melt the fleet. Prices that grow with the backlog are the dual variables of the
fleet's capacity (drift plus penalty; Neely 2010), so that near-ties go where there is room.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from inframind.arena.contenders.contender import Contender, Setting
from inframind.arena.contenders.foresight import Foresight, Stages, in_time, on_time
from inframind.arena.contenders.item_truth import LINE, best_role
from inframind.arena.contenders.teamwork import Teamwork
from inframind.errors import ConfigError
from inframind.router.policy import Policy, Proposal
from inframind.router.policy_parts import best_allowed, one_hot, propose_pace, propose_plan
from inframind.router.topology import JUDGE
from inframind.router.views import PaceView, PlanView, RoleView, StepView
from inframind.simulator.items import Item

Array = NDArray[np.float64]
REMEMBERED_QUESTIONS = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPrice:
    """What a second of a whole server is worth, in solved questions: ``full * crowding ** power``.

    Crowding is requests per slot, 1 when every slot is taken.

    Raises:
        ConfigError: a negative price or power.
    """

    full: float = 0.03
    """Price when every slot is taken; tuned at 30 to 300 questions a minute, on questions that no evaluation asks."""
    power: float = 1.0
    """How sharply it grows; 1 is the plain backlog."""

    def __post_init__(self) -> None:
        if self.full < 0 or self.power < 0:
            raise ConfigError("price", (self.full, self.power), "use numbers of at least 0")

    def per_second(self, crowding: Array) -> Array:
        """The price on each model (M)."""
        price: Array = self.full * crowding**self.power
        return price


class OraclePolicy:
    """Chooses with the truth about outcomes, the servers' real speeds and the present load at hand.

    It considers the options of `Teamwork`; other topologies it never plans.

    Args:
        setting: what it is made from; the latent truth included.
        price: of server time.

    Raises:
        ConfigError: a model without a profile, a setting without the truth, or a question (when it is asked) that
            the truth does not list.
    """

    name = "oracle"
    version = "1"

    def __init__(self, setting: Setting, price: LoadPrice | None = None) -> None:
        self._actions, self._truth, self._price = setting.actions, setting.known_truth, price or LoadPrice()
        self._teamwork = Teamwork(self._truth, setting.actions)
        self._options = self._teamwork.options
        self._foresight = Foresight(setting)
        plans = self._options.plans
        self._of_plan = {
            plan: np.array([place for place, other in enumerate(plans) if other == plan])
            for plan in dict.fromkeys(plans)
        }
        self._starts = [int(places[0]) for places in self._of_plan.values()]
        self._odds = lru_cache(maxsize=REMEMBERED_QUESTIONS)(self._teamwork.odds)
        self._role = lru_cache(maxsize=REMEMBERED_QUESTIONS)(self._best_role)

    def plan(self, view: PlanView) -> Proposal:
        """The plan of the best option."""
        item = self._item(view.query.question_id)
        stages = self._foresight.stages(view.snapshot, item.level, view.query.prompt_tokens, view.remaining_s)
        values = self._values(item, stages, view.remaining_s)
        worth = dict(zip(self._of_plan, np.maximum.reduceat(values, self._starts).tolist(), strict=True))
        scores = np.array([worth.get(plan, -np.inf) for plan in view.actions])
        place = best_allowed(scores, view.allowed)
        if scores[place] == -np.inf:
            return propose_plan(view, self._options.plans[0])
        return Proposal(
            one_hot(place, len(view.actions)), f"{view.actions[place].label} is worth {scores[place]:.3f}"
        )

    def role(self, view: RoleView) -> Proposal:
        """The role that fits the question best, on every seat."""
        role = self._role(self._item(view.query.question_id))
        place = view.roles.index(role) if role in view.roles else int(np.argmax(view.allowed))
        return Proposal(one_hot(place, len(view.roles)), "fits the question best")

    def step(self, view: StepView) -> Proposal:
        """The action of the best option that the workflow can still become."""
        item = self._item(view.query.question_id)
        stages = self._foresight.stages(view.snapshot, item.level, view.slot.prompt_tokens, view.remaining_s)
        values = self._step_values(item, stages, view)
        place = best_allowed(values, view.allowed)
        return Proposal(one_hot(place, len(view.actions)), f"worth {values[place]:.3f} here")

    def pace(self, view: PaceView) -> Proposal:
        """The topology's default number of rounds."""
        return propose_pace(view)

    def _values(self, item: Item, stages: Stages, remaining_s: float) -> Array:
        """Worth of every option (O)."""
        odds, options = self._odds(item), self._options
        cost = self._call_costs(item, stages)
        agents = options.width * options.depth * options.agent_longer
        price = agents * cost[options.agent] + odds.final_calls * options.final_longer * cost[options.final]
        values: Array = odds.success * on_time(options, stages, remaining_s) - price
        return values

    def _step_values(self, item: Item, stages: Stages, view: StepView) -> Array:
        """Worth of every executor action in this slot (A); minus infinity where no option has it."""
        slot = view.slot
        if slot.kind == JUDGE or (slot.topology == LINE and slot.position > 0):
            return self._final_values(item, stages, view)
        places = self._places(slot.topology, slot.team_size)
        values = self._values(item, stages, view.remaining_s)[places]
        best = np.full(len(view.actions), -np.inf)
        np.maximum.at(best, self._options.agent[places], values)
        return best

    def _final_values(self, item: Item, stages: Stages, view: StepView) -> Array:
        """Worth of each team action as the judge, or for all the seats of a line that are left (A)."""
        team = self._teamwork.team_places
        if view.slot.kind == JUDGE:
            options = self._judged_options(item, view)
            calls, success = 1, self._odds(item).final_success[options]
            longer = self._options.final_longer[options]
        else:
            calls, success = view.slot.depth_left + 1, self._line_success(item, view)
            longer = np.ones(len(team))
        in_time_T = in_time(
            calls * longer * stages.mean_s[team],
            calls * longer**2 * stages.variance_s2[team],
            view.remaining_s,
        )
        values = np.full(len(view.actions), -np.inf)
        values[team] = success * in_time_T - calls * longer * self._call_costs(item, stages)[team]
        return values

    def _judged_options(self, item: Item, view: StepView) -> NDArray[np.int64]:
        """The options that are left to a judge, one per team action: the agents are those of the best option (T)."""
        odds, places = self._odds(item), self._places(view.slot.topology, view.slot.team_size)
        agent = self._options.agent[places[np.argmax(odds.success[places])]]
        left: NDArray[np.int64] = places[self._options.agent[places] == agent]
        return left

    def _line_success(self, item: Item, view: StepView) -> Array:
        """P(right at the end) if each team action takes all the seats that are left (T)."""
        odds, seat = self._odds(item), view.slot.position
        best = int(np.argmax(odds.keep[:, 0]))
        right = np.full(len(odds.keep), odds.keep[best, 0])
        for earlier in range(1, seat):
            right = odds.keep[best, earlier] * right + odds.repair[best, earlier] * (1 - right)
        for later in range(seat, seat + view.slot.depth_left + 1):
            right = odds.keep[:, later] * right + odds.repair[:, later] * (1 - right)
        return right

    def _places(self, topology: str, team_size: int) -> NDArray[np.int64]:
        """Options of a plan; of a single call for a plan that is not among them."""
        for plan, places in self._of_plan.items():
            if plan.topology == topology and plan.team_size == team_size:
                return places
        return next(iter(self._of_plan.values()))

    def _call_costs(self, item: Item, stages: Stages) -> Array:
        """Price of one call of each action (A)."""
        per_second = self._price.per_second(stages.crowding)
        costs: Array = self._foresight.server_seconds(item.level) * per_second[self._foresight.model_of]
        return costs

    def _item(self, question_id: str) -> Item:
        if question_id not in self._truth.items:
            raise ConfigError(
                "question_id", question_id, "the oracle answers only the questions of its setting"
            )
        return self._truth.items[question_id]

    def _best_role(self, item: Item) -> str:
        return best_role(self._truth.outcomes, item, self._actions)


def oracle() -> Contender:
    """Knows the latent probabilities of every question; nothing that learns can be expected above it."""

    def make(setting: Setting) -> Policy:
        return OraclePolicy(setting)

    return Contender(
        name="oracle",
        family="oracle",
        summary="knows how likely each model is to solve each question, and pays for server time by load",
        make=make,
    )
