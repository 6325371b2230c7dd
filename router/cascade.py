"""Ask one arm, look at what came back, then stay with it or ask another: sequential choice at a price of cost.

A state is the set of arms that were called. In each state, a logistic head per arm says how likely its answer is right
given the question's traits and the replies seen so far, and a regression per arm says what calling it would lead to.
The latter is learned backwards from the last states, as in fitted Q iteration (Ernst et al. 2005) or the pricing of
American options (Longstaff and Schwartz 2001), for all prices at once.

N = questions, A = arms, M = candidate arms, L = prices, P = columns of a state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inframind.errors import ConfigError
from inframind.router.outcome_heads import fit_heads, sigmoid
from inframind.router.outcome_model import Outlook, Recorded, with_one
from inframind.router.replies import Replies, ReplyScale

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
State = tuple[int, ...]
"""Called arms, ascending."""

_WORST = -1e9
"""Value of staying before anyone was asked."""
_COST_PENALTY = 30.0
_VALUE_PENALTY = 1.0
_LARGEST_SURPRISE = 8.0
"""A cost this many times what was expected is not learned from as if it were more."""
_LEAST_SHARE = 0.2
"""Replies do not lower what is expected of another arm's cost below this share."""


@dataclass(frozen=True, kw_only=True)
class CascadeConfig:
    """The shape of a cascade.

    Raises:
        ConfigError: an option is out of range.
    """

    depth: int = 2
    """Most calls per question."""
    candidates: int = 7
    """Arms that may be called: those on, or least below, the hull of mean quality over mean cost."""
    reads: bool = True
    """Whether questions are read; a cascade of depth 1 that does not is a constant arm per price."""
    penalty: float = 4.0
    """Ridge penalty of the heads."""

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= 3:
            raise ConfigError(
                "depth", self.depth, "give 1, 2 or 3: states grow with candidates to this power"
            )
        if self.candidates < 1:
            raise ConfigError("candidates", self.candidates, "give at least 1")
        if self.penalty <= 0:
            raise ConfigError("penalty", self.penalty, "give a number above 0")


@dataclass(frozen=True, kw_only=True, eq=False)
class StateModel:
    """What is known of one state.

    Attributes:
        judged: arms whose chances are predicted; in a last state the called ones, else all candidates.
        heads: of the judged arms (judged, P).
        surprise: how what was seen moves the candidates' costs, as a share of what was expected (P, M).
        onward: value of calling each candidate, by price, on the columns of `_Sight.onward` (M, P', L); empty in a
            last state, zero for the called arms.
    """

    judged: State
    heads: Floats
    surprise: Floats
    onward: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Cascade:
    """A fitted cascade.

    Attributes:
        config: its shape.
        arms: candidates (M), ascending.
        prices: of cost, in quality per unit of cost (L).
        scale: of replies.
        usual_cost: mean cost over the mean of what was expected (M).
        states: by called arms.
    """

    config: CascadeConfig
    arms: State
    prices: Floats
    scale: ReplyScale
    usual_cost: Floats
    states: Mapping[State, StateModel]

    def decide(self, price: int, called: State, outlook: Outlook, replies: Replies, allowed: Bools) -> Ints:
        """The next arm of each question that has called the same arms (N).

        Args:
            price: index of the price.
            called: arms called so far, ascending.
            outlook: of the questions.
            replies: of the questions; only those of ``called`` are looked at.
            allowed: arms that may be called (N, A); before any call, at least one candidate per question.

        Returns:
            One of ``called``: stay, with that arm's answer. Another arm: call it.
        """
        state = self.states[called]
        sight = self._sight(called, state, outlook, replies)
        stay, value = sight.stay(called, state.judged)
        if len(called) == self.config.depth:
            return stay
        unseen = np.array([arm not in called for arm in self.arms])
        values = sight.onward_values(state.onward[:, :, price], self.prices[price], unseen)
        onward = np.where(allowed[:, list(self.arms)], values, -np.inf)
        best = onward.argmax(axis=1)
        go = onward.max(axis=1) > value
        chosen: Ints = np.where(go, np.array(self.arms)[best], stay)
        return chosen

    def to_arrays(self) -> dict[str, Floats]:
        """All numbers that the cascade is, by name; with `to_document`, all of it."""
        arrays = {"prices": self.prices, "usual_cost": self.usual_cost}
        arrays |= {f"mean.{name}": values for name, values in self.scale.mean.items()}
        arrays |= {f"spread.{name}": values for name, values in self.scale.spread.items()}
        for called, state in self.states.items():
            for part in _STATE_ARRAYS:
                arrays[f"{_label(called)}.{part}"] = getattr(state, part)
        return arrays

    def to_document(self) -> dict[str, Any]:
        """Its shape and names, as JSON knows them."""
        return {
            "config": asdict(self.config),
            "arms": list(self.arms),
            "amounts": list(self.scale.mean),
            "states": [[list(called), list(state.judged)] for called, state in self.states.items()],
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats], document: Mapping[str, Any]) -> Cascade:
        """The cascade that gave these arrays and this document."""
        amounts = document["amounts"]
        return cls(
            config=CascadeConfig(**document["config"]),
            arms=tuple(document["arms"]),
            prices=arrays["prices"],
            scale=ReplyScale(
                mean={name: arrays[f"mean.{name}"] for name in amounts},
                spread={name: arrays[f"spread.{name}"] for name in amounts},
            ),
            usual_cost=arrays["usual_cost"],
            states={
                tuple(called): StateModel(
                    judged=tuple(judged),
                    **{part: arrays[f"{_label(called)}.{part}"] for part in _STATE_ARRAYS},
                )
                for called, judged in document["states"]
            },
        )

    def _sight(self, called: State, state: StateModel, outlook: Outlook, replies: Replies) -> _Sight:
        columns = _columns(called, outlook, replies, self.scale, self.config)
        share = np.maximum(self.usual_cost + columns @ state.surprise, _LEAST_SHARE)
        return _Sight(
            columns=columns,
            chance=sigmoid(columns @ state.heads.T),
            cost=outlook.cost[:, list(self.arms)] * share,
            place=tuple(state.judged.index(arm) for arm in called),
        )


_STATE_ARRAYS = ("heads", "surprise", "onward")


def _label(called: Sequence[int]) -> str:
    return "after." + "-".join(map(str, called)) if called else "start"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sight:
    """A state of some questions, as it is seen.

    Attributes:
        columns: (N, P).
        chance: of the judged arms (N, judged).
        cost: of the candidates (N, M).
        place: of the called arms among the judged ones.
    """

    columns: Floats
    chance: Floats
    cost: Floats
    place: tuple[int, ...]

    def stay(self, called: State, judged: State) -> tuple[Ints, Floats]:
        """The called arm that is most likely right, and its chance; `_WORST` before any call."""
        if not called:
            return np.zeros(len(self.columns), dtype=np.int64), np.full(len(self.columns), _WORST)
        own = self.chance[:, list(self.place)]
        arms: Ints = np.array(called)[own.argmax(axis=1)]
        return arms, own.max(axis=1)

    def onward(self, candidate: int) -> Floats:
        """Columns (N, P') that the value of calling a candidate is regressed on."""
        chance = self.chance[:, candidate]
        best = self.chance[:, list(self.place)].max(axis=1) if self.place else np.zeros(len(chance))
        return np.column_stack([self.columns, best, chance, best * chance, best**2, chance**2])

    def onward_values(self, weights: Floats, price: float, unseen: Bools) -> Floats:
        """Value of calling each candidate, less its cost (N, M); minus infinity for the called ones."""
        values = np.full(self.cost.shape, -np.inf)
        for candidate in np.flatnonzero(unseen):
            values[:, candidate] = self.onward(int(candidate)) @ weights[candidate]
        return values - price * self.cost


def fit_cascade(
    recorded: Recorded, outlook: Outlook, replies: Replies, prices: Floats, config: CascadeConfig
) -> Cascade:
    """Fit a cascade.

    Args:
        recorded: questions and what came of every arm.
        outlook: of these questions as if each had not been learned from.
        replies: of every arm.
        prices: of cost, in quality per unit of cost (L).
        config: the shape.
    """
    arms = candidate_arms(recorded, config.candidates)
    scale = ReplyScale.of(replies)
    cost, expected = recorded.cost[:, list(arms)], outlook.cost[:, list(arms)]
    known = ~np.isnan(cost)
    total = np.where(known, expected, 0.0).sum(axis=0)
    usual_cost = np.divide(
        np.where(known, cost, 0.0).sum(axis=0), total, out=np.ones(len(arms)), where=total > 0
    )
    surprise = np.where(known, np.minimum(cost / np.maximum(expected, 1e-300), _LARGEST_SURPRISE), usual_cost)
    fit = _Fit(recorded, outlook, replies, scale, config, arms, usual_cost, surprise, prices)
    return Cascade(
        config=config, arms=arms, prices=prices, scale=scale, usual_cost=usual_cost, states=fit.states()
    )


def candidate_arms(recorded: Recorded, most: int) -> State:
    """Arms on, or least below, the upper hull of mean quality over mean cost, ascending."""
    order = np.argsort(_below_hull(recorded.mean_cost, recorded.mean_quality), kind="stable")
    return tuple(sorted(int(arm) for arm in order[:most]))


def _below_hull(cost: Floats, quality: Floats) -> Floats:
    """How far each arm (A) is below the best mixture of two arms at its cost; 0 for those on the hull."""
    across = cost[None, :] - cost[:, None]
    below = np.zeros(len(cost))
    for arm in range(len(cost)):
        cheaper, dearer = cost <= cost[arm], cost >= cost[arm]
        reach = np.where(cheaper, quality, -np.inf).max()
        gap = across[np.ix_(cheaper, dearer)]
        share = np.divide(cost[arm] - cost[cheaper][:, None], gap, out=np.zeros(gap.shape), where=gap > 0)
        mixed = quality[cheaper][:, None] * (1 - share) + quality[dearer][None, :] * share
        below[arm] = max(reach, float(mixed.max())) - quality[arm]
    return below


@dataclass(frozen=True, slots=True)
class _Fit:
    recorded: Recorded
    outlook: Outlook
    replies: Replies
    scale: ReplyScale
    config: CascadeConfig
    arms: State
    usual_cost: Floats
    surprise: Floats
    prices: Floats

    def states(self) -> dict[State, StateModel]:
        """All states, from the last ones to the first."""
        worth: dict[State, Floats] = {}
        states: dict[State, StateModel] = {}
        for depth in range(self.config.depth, -1, -1):
            for called in combinations(self.arms, depth):
                states[called], worth[called] = self._state(called, worth)
        return states

    def _state(self, called: State, worth: Mapping[State, Floats]) -> tuple[StateModel, Floats]:
        """The state, and what it is worth at every price (N, L)."""
        columns = _columns(called, self.outlook, self.replies, self.scale, self.config)
        is_last = len(called) == self.config.depth
        judged = called if is_last else self.arms
        quality = self.recorded.quality[:, list(judged)]
        heads, chance = fit_heads(columns, quality, ~np.isnan(quality), self.config.penalty)
        surprise = self._surprise(columns, seen=bool(called))
        share = np.maximum(self.usual_cost + columns @ surprise, _LEAST_SHARE)
        sight = _Sight(
            columns=columns,
            chance=chance,
            cost=self.outlook.cost[:, list(self.arms)] * share,
            place=tuple(judged.index(arm) for arm in called),
        )
        _, value = sight.stay(called, judged)
        best = np.repeat(value[:, None], len(self.prices), axis=1)
        onward = np.empty((0, 0, 0))
        if not is_last:
            onward = np.stack(list(self._onward(called, sight, worth)))
            for candidate in (place for place, arm in enumerate(self.arms) if arm not in called):
                cost = sight.cost[:, candidate, None] * self.prices
                best = np.maximum(best, sight.onward(candidate) @ onward[candidate] - cost)
        return StateModel(judged=judged, heads=heads, surprise=surprise, onward=onward), best

    def _onward(self, called: State, sight: _Sight, worth: Mapping[State, Floats]) -> Iterator[Floats]:
        """Of each candidate, weights (P', L) that predict the worth of the state after calling it."""
        for place, arm in enumerate(self.arms):
            x = sight.onward(place)
            if arm in called:
                yield np.zeros((x.shape[1], len(self.prices)))
            else:
                yield _regression(x, worth[tuple(sorted((*called, arm)))], _VALUE_PENALTY)

    def _surprise(self, columns: Floats, *, seen: bool) -> Floats:
        if not seen:
            return np.zeros((columns.shape[1], len(self.arms)))
        return _regression(columns, self.surprise - self.surprise.mean(axis=0), _COST_PENALTY)


def _regression(x: Floats, y: Floats, penalty: float) -> Floats:
    """Ridge regression of y (N, L) on x (N, P), whose first column is 1 and not penalised."""
    penalties = np.diag(np.r_[1e-6, np.full(x.shape[1] - 1, penalty)])
    weights: Floats = np.linalg.solve(x.T @ x + penalties, x.T @ y)
    return weights


def _columns(
    called: Sequence[int], outlook: Outlook, replies: Replies, scale: ReplyScale, config: CascadeConfig
) -> Floats:
    """1, the traits, and what is seen of the called arms' replies (N, P)."""
    n = len(outlook.chance)
    traits = outlook.traits if config.reads else np.empty((n, 0))
    return with_one(np.column_stack([traits, scale.columns(replies, called, n)]))
