"""A pacer that was trained, as plain arrays: STAY for another round, or ADVANCE to the judge. No torch in here.

F = columns of `inframind.router.pace_features`, H = hidden units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Protocol

import numpy as np

from inframind.errors import ConfigError
from inframind.router.pace_features import PACE_COLUMNS, PACE_FEATURES_VERSION, pace_features
from inframind.router.policy import Policy, Proposal
from inframind.router.views import Array, PaceView, PlanView, RoleView, StepView

_MOST_LOGIT = 30.0


class Pacer(Protocol):
    """Maps what is seen between two rounds to weights over (STAY, ADVANCE)."""

    @property
    def name(self) -> str:
        """Name in traces."""
        ...

    @property
    def version(self) -> str:
        """Version of the weights or rules."""
        ...

    def propose(self, view: PaceView) -> Proposal:
        """Weights over (STAY, ADVANCE)."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedPacer:
    """One hidden layer to the log-odds of STAY: ``w2 tanh(w1 ((x - mean) * scale) + b1) + b2``.

    A column that never varied in training has scale 0: what was not learned has no say.

    Raises:
        ConfigError: an array of another shape than the columns and the other arrays ask for, or no rounds at all.
    """

    mean_F: Array
    """Mean of each column in training."""
    scale_F: Array
    """One over its standard deviation, or 0."""
    w1_HF: Array
    """Weights of the hidden layer."""
    b1_H: Array
    """Its biases."""
    w2_H: Array
    """Weights of the log-odds."""
    b2: float
    """Its bias."""
    max_rounds: int | None = None
    """Most rounds of any run; None leaves that to the topology."""
    greedy: bool = False
    """Whether the likelier of the two gets all the weight; exploration is then the decider's alone."""

    name = "learned"

    def __post_init__(self) -> None:
        if self.max_rounds is not None and self.max_rounds < 1:
            raise ConfigError("pacer.max_rounds", self.max_rounds, "give at least 1, or None")
        columns, hidden = len(PACE_COLUMNS), len(self.b1_H)
        shapes = {
            "mean_F": (columns,),
            "scale_F": (columns,),
            "w1_HF": (hidden, columns),
            "b1_H": (hidden,),
            "w2_H": (hidden,),
        }
        for field, shape in shapes.items():
            if getattr(self, field).shape != shape:
                raise ConfigError(
                    f"pacer.{field}",
                    getattr(self, field).shape,
                    f"give an array of shape {shape}: a pacer of features version {PACE_FEATURES_VERSION}",
                )

    @cached_property
    def version(self) -> str:
        """Version of the columns, and a digest of the weights."""
        digest = blake2b(digest_size=6)
        for array in self.to_arrays().values():
            digest.update(np.ascontiguousarray(array).tobytes())
        return f"{PACE_FEATURES_VERSION}/{digest.hexdigest()}"

    def propose(self, view: PaceView) -> Proposal:
        """P(STAY) and P(ADVANCE); what is masked is left to the decider."""
        if self.max_rounds is not None and view.round >= self.max_rounds:
            return Proposal(np.array([0.0, 1.0]), f"{self.max_rounds} rounds are done")
        stay = self.stay_probability(pace_features(view))
        chances = (float(stay >= 0.5), float(stay < 0.5)) if self.greedy else (stay, 1.0 - stay)
        return Proposal(np.array(chances), f"another round is worth it with {stay:.2f}")

    def stay_probability(self, features_F: Array) -> float:
        """P(STAY) for one row of features."""
        hidden_H = np.tanh(self._w1_HF @ features_F + self._b1_H)
        logit = float(self.w2_H @ hidden_H) + self.b2
        return 1.0 / (1.0 + math.exp(-min(max(logit, -_MOST_LOGIT), _MOST_LOGIT)))

    def to_arrays(self) -> dict[str, Array]:
        """All but `greedy`, by name, to be stored; no limit on rounds is a 0."""
        return {
            "mean_F": self.mean_F,
            "scale_F": self.scale_F,
            "w1_HF": self.w1_HF,
            "b1_H": self.b1_H,
            "w2_H": self.w2_H,
            "b2": np.array([self.b2]),
            "max_rounds": np.array([float(self.max_rounds or 0)]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], *, greedy: bool = False) -> LearnedPacer:
        """The pacer with these weights.

        Raises:
            ConfigError: an array is missing, or has the wrong shape.
        """
        for name in _ARRAYS:
            if name not in arrays:
                raise ConfigError(
                    "pacer", sorted(arrays), f"the weights lack {name!r}: export them with to_arrays()"
                )
        taken = {name: np.asarray(arrays[name], dtype=np.float64) for name in _ARRAYS}
        b2, max_rounds = _number("b2", taken.pop("b2")), _number("max_rounds", taken.pop("max_rounds"))
        return cls(**taken, b2=b2, max_rounds=int(max_rounds) or None, greedy=greedy)

    @cached_property
    def _w1_HF(self) -> Array:
        """Standardisation folded into the weights, so that serving does it for nothing."""
        return self.w1_HF * self.scale_F

    @cached_property
    def _b1_H(self) -> Array:
        folded: Array = self.b1_H - self._w1_HF @ self.mean_F
        return folded


_ARRAYS = ("mean_F", "scale_F", "w1_HF", "b1_H", "w2_H", "b2", "max_rounds")


def _number(field: str, array: Array) -> float:
    if array.shape != (1,):
        raise ConfigError(f"pacer.{field}", array.shape, "give one number, as an array of shape (1,)")
    return float(array[0])


@dataclass(frozen=True)
class PacedPolicy:
    """Another policy, with a pacer of its own between the rounds.

    Attributes:
        inner: decides on plans, roles and steps.
        pacer: decides on rounds.
    """

    inner: Policy
    pacer: Pacer

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self.inner.name}+{self.pacer.name}"

    @property
    def version(self) -> str:
        """Both versions."""
        return f"{self.inner.version}+{self.pacer.version}"

    def plan(self, view: PlanView) -> Proposal:
        """As the inner policy."""
        return self.inner.plan(view)

    def role(self, view: RoleView) -> Proposal:
        """As the inner policy."""
        return self.inner.role(view)

    def step(self, view: StepView) -> Proposal:
        """As the inner policy."""
        return self.inner.step(view)

    def pace(self, view: PaceView) -> Proposal:
        """As the pacer."""
        return self.pacer.propose(view)


@dataclass(frozen=True)
class PacerOf:
    """The pacing of a policy, as a pacer: a rule's rounds under another's models.

    Attributes:
        policy: whose pacing.
    """

    policy: Policy

    @property
    def name(self) -> str:
        """The policy's."""
        return self.policy.name

    @property
    def version(self) -> str:
        """The policy's."""
        return self.policy.version

    def propose(self, view: PaceView) -> Proposal:
        """As the policy."""
        return self.policy.pace(view)
