"""Which questions are offered, and in what order: mixes of levels, domains and subjects that may shift over time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inframind.errors import ConfigError
from inframind.simulator.items import Item

Weights = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryMix:
    """How often each kind of question comes.

    An attribute without weights is left as the pool has it. With weights, values that are not named do not come at
    all. Several weighted attributes multiply: a question of level 1 about algebra comes as often as the product of
    the two weights says, among the combinations that the pool has. Within a combination all questions are equally
    likely.

    Raises:
        ConfigError: a weight is negative or infinite, or all weights of an attribute are 0.
    """

    levels: Mapping[int, float] = field(default_factory=dict)
    """Weight per level."""
    domains: Weights = field(default_factory=dict)
    """Weight per domain."""
    subjects: Weights = field(default_factory=dict)
    """Weight per subject."""

    def __post_init__(self) -> None:
        for name, weights in (
            ("levels", self.levels),
            ("domains", self.domains),
            ("subjects", self.subjects),
        ):
            if not all(0 <= weight < math.inf for weight in weights.values()):
                raise ConfigError(f"mix.{name}", dict(weights), "give weights from 0 on")
            if weights and not sum(weights.values()) > 0:
                raise ConfigError(f"mix.{name}", dict(weights), "give at least one of them a weight above 0")

    def weight(self, item: Item) -> float:
        """Weight of the combination that an item belongs to; 0 when it does not come."""
        weights = (
            self.levels.get(item.level, 0.0) if self.levels else 1.0,
            self.domains.get(item.domain, 0.0) if self.domains else 1.0,
            self.subjects.get(item.subject, 0.0) if self.subjects else 1.0,
        )
        return math.prod(weights)

    def combination(self, item: Item) -> tuple[object, ...]:
        """The weighted attributes of an item."""
        return (
            item.level if self.levels else None,
            item.domain if self.domains else None,
            item.subject if self.subjects else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """From a point on, another mix.

    Raises:
        ConfigError: both points are given or none, or the point is out of range.
    """

    mix: QueryMix
    at_share: float | None = None
    """Share of the questions that come before."""
    at_s: float | None = None
    """Seconds after the start."""

    def __post_init__(self) -> None:
        if (self.at_share is None) == (self.at_s is None):
            raise ConfigError("shift", (self.at_share, self.at_s), "give either at_share or at_s")
        if self.at_share is not None and not 0 < self.at_share < 1:
            raise ConfigError("shift.at_share", self.at_share, "give a share between 0 and 1, such as 0.5")
        if self.at_s is not None and not 0 < self.at_s < math.inf:
            raise ConfigError("shift.at_s", self.at_s, "give a positive number of seconds")

    def has_begun(self, share: float, elapsed_s: float) -> bool:
        """Whether it holds after that share of the questions, that long after the start."""
        if self.at_s is not None:
            return elapsed_s >= self.at_s
        return self.at_share is not None and share >= self.at_share


@dataclass(frozen=True, slots=True)
class MixSchedule:
    """A mix, and how it shifts: easy questions in the morning, hard ones after.

    Raises:
        ConfigError: shifts that are not in order, or not all by share or all by seconds.
    """

    first: QueryMix = field(default_factory=QueryMix)
    shifts: tuple[Shift, ...] = ()

    def __post_init__(self) -> None:
        for name in ("at_share", "at_s"):
            points = [point for shift in self.shifts if (point := getattr(shift, name)) is not None]
            if points and len(points) < len(self.shifts):
                raise ConfigError("shifts", points, "give all shifts by at_share, or all by at_s")
            if points != sorted(set(points)):
                raise ConfigError("shifts", points, f"give them in order of {name}, each once")

    def phases(self, arrivals_s: Sequence[float]) -> Iterator[int]:
        """How many shifts have happened when each question arrives."""
        for index, arrived_s in enumerate(arrivals_s):
            yield sum(shift.has_begun(index / len(arrivals_s), arrived_s) for shift in self.shifts)


AS_IT_COMES = MixSchedule()
"""Whatever the pool holds, all equally likely."""


def offered_items(
    pool: Sequence[Item],
    arrivals_s: Sequence[float],
    rng: np.random.Generator,
    schedule: MixSchedule = AS_IT_COMES,
) -> tuple[Item, ...]:
    """Draw the question of each arrival from a pool.

    First the combination by its weight, then one of its questions that has come least often so far: none comes
    again before every other one of its combination has come as often.

    Args:
        pool: what there is to ask.
        arrivals_s: when questions arrive, ascending, in seconds after the start.
        rng: decides.
        schedule: how often which kind comes, and when that changes.

    Raises:
        ConfigError: the pool has no question that a mix allows.
    """
    mixes = [schedule.first, *(shift.mix for shift in schedule.shifts)]
    decks = [_Deck.of(pool, mix) for mix in mixes]
    times_drawn = np.zeros(len(pool), dtype=np.int64)
    return tuple(pool[decks[phase].draw(times_drawn, rng)] for phase in schedule.phases(arrivals_s))


@dataclass(frozen=True, slots=True)
class _Deck:
    """The combinations of a mix: indices into the pool, and the probability of each."""

    combinations: tuple[NDArray[np.int64], ...]
    probabilities: NDArray[np.float64]

    @classmethod
    def of(cls, pool: Sequence[Item], mix: QueryMix) -> _Deck:
        members: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for index, item in enumerate(pool):
            if mix.weight(item) > 0:
                members[mix.combination(item)].append(index)
        if not members:
            raise ConfigError(
                "mix", mix, f"none of the {len(pool)} questions has a weight above 0; {_held_by(pool)}"
            )
        weights = np.array([mix.weight(pool[indices[0]]) for indices in members.values()])
        return cls(tuple(np.array(indices) for indices in members.values()), weights / weights.sum())

    def draw(self, times_drawn: NDArray[np.int64], rng: np.random.Generator) -> int:
        """Index of a question; counts it in ``times_drawn``."""
        members = self.combinations[int(rng.choice(len(self.combinations), p=self.probabilities))]
        counts = times_drawn[members]
        index = int(rng.choice(members[counts == counts.min()]))
        times_drawn[index] += 1
        return index


def _held_by(pool: Sequence[Item]) -> str:
    """What a mix can weigh."""
    values = {
        name: ", ".join(map(str, sorted({getattr(item, name) for item in pool} - {""})))
        for name in ("level", "domain", "subject")
    }
    return "there are " + "; ".join(f"{name}s {held}" for name, held in values.items() if held)
