"""One kind of decision: from the candidates' features to what each is worth, in the plain form.

For every candidate a critic says how likely it is to end right (``P_S``), and in time when it does and when it does
not (``P_G = P_S P_T|S``). Both start from what was known before any workflow ran, the question's difficulty and the
predicted latency, and learn what is different. The candidate's worth is the expected reward, linear in the critic:

    Q = (1 - lambda) P_S + lambda P_G - w [(1 - P_T) - (P_S - P_G)] - price * work

with lambda the multiplier of the budget's tier. The last term charges for the server time that a choice takes from
others, by how crowded its servers are: without it every question takes the best model that is fast enough for
itself, and together they melt the fleet. The actor adds to Q / temperature what the critic does not see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from inframind.errors import ConfigError
from inframind.router.columns import SLACK_LOGIT
from inframind.router.features import Features
from inframind.router.scorer import Scorer, ScorerWeights, joined
from inframind.router.views import Array

LARGEST_LOGIT = 12.0
"""Log odds of the critic are cut here."""


@dataclass(frozen=True, kw_only=True)
class Valuation:
    """How the critic's probabilities become a worth, and worths a choice.

    Raises:
        ConfigError: a negative price or weight, or a temperature that is not positive.
    """

    price: float = 0.015
    """What a second of a whole server costs, in solved questions, when its slots are just taken."""
    wrong_late: float = 0.05
    """``w``: what being late costs when the answer is wrong too."""
    temperature: float = 0.008
    """Differences in worth of this size change odds by a factor e."""
    caution: float = 2.0
    """Standard errors by which a plan that was seldom run must look better than one that was run often."""
    uses_prior: bool = True
    """Whether difficulty and predicted latency speak before anything is learned."""
    uses_critic: bool = True
    """Whether worths shape the choice at all; without, the actor alone does, as in the published designs."""

    def __post_init__(self) -> None:
        for name in ("price", "wrong_late", "caution"):
            if getattr(self, name) < 0:
                raise ConfigError(name, getattr(self, name), "use a number of at least 0")
        if not self.temperature > 0:
            raise ConfigError("temperature", self.temperature, "use a positive number")


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadWeights:
    """One kind of decision.

    Attributes:
        critic: three outputs: log odds of right, of in time when right, of in time when wrong.
        actor: one output: what is added to the worths' logits.
    """

    critic: ScorerWeights
    actor: ScorerWeights


class Worth(NamedTuple):
    """What a head makes of the candidates (C) each.

    Attributes:
        solved: P(right).
        worth: expected reward less the price.
        logits: of the choice.
    """

    solved: Array
    worth: Array
    logits: Array


class Head:
    """Values the candidates of one kind of decision."""

    def __init__(self, weights: HeadWeights, valuation: Valuation) -> None:
        self._scorer = Scorer(joined(weights.critic, weights.actor))
        self._valuation = valuation

    def fixed_part(self, names: Mapping[str, Sequence[str]]) -> Array:
        """What the names of a set of candidates contribute; made once per set."""
        return self._scorer.fixed_part(names)

    def worth(self, features: Features, fixed_part: Array, multiplier: float) -> Worth:
        """Values of all candidates, in one pass."""
        valuation = self._valuation
        rows = self._scorer.score(features, fixed_part).T.copy()
        if valuation.uses_prior:
            rows[0] += features.prior_logit
            rows[1:3] += SLACK_LOGIT * features.slack
        solved, share, share_wrong = odds_share(rows[:3])
        on_time = solved * share
        wrong_late = (1.0 - solved) * (1.0 - share_wrong)
        worth = solved + multiplier * (on_time - solved)
        worth -= valuation.wrong_late * wrong_late
        worth -= valuation.price * features.work
        if valuation.uses_critic:
            rows[3] += worth / valuation.temperature
        return Worth(solved, worth, rows[3])


def odds_share(logits: Array) -> Array:
    """The probabilities of some log odds, in their place."""
    return odds_against(np.negative(logits, out=logits))


def odds_against(logits: Array) -> Array:
    """The probabilities that something is not, whose log odds these are, in their place."""
    np.maximum(logits, -_LARGEST_LOGIT, out=logits)
    np.minimum(logits, _LARGEST_LOGIT, out=logits)
    np.exp(logits, out=logits)
    logits += _ONE
    return np.reciprocal(logits, out=logits)


_LARGEST_LOGIT, _ONE = np.array(LARGEST_LOGIT), np.ones(())
"""Arrays without axes: numpy takes half as long with them as with plain floats."""
