"""What is asked in training: sweeps over the arrival rates, epoch after epoch, each with workloads of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from inframind.errors import ConfigError

QUESTIONS_BY_RATE: Mapping[float, int] = {
    10.0: 25,
    30.0: 30,
    50.0: 35,
    100.0: 45,
    150.0: 55,
    200.0: 60,
    300.0: 80,
}
"""Questions of one sweep: more where more of them meet, since at 300 a minute thirty questions last six seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One workload.

    Attributes:
        rate_per_min: mean arrivals a minute.
        questions: how many.
        seed: of its questions, arrivals, budgets and replies.
    """

    rate_per_min: float
    questions: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """Epochs of sweeps.

    Raises:
        ConfigError: fewer than one epoch or question, or a rate that is not positive.
    """

    epochs: int = 30
    """Passes over the rates."""
    questions_by_rate: Mapping[float, int] = field(default_factory=lambda: dict(QUESTIONS_BY_RATE))
    """Questions of one sweep, by arrival rate a minute."""

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ConfigError("epochs", self.epochs, "train for at least one")
        if not self.questions_by_rate:
            raise ConfigError("rates", {}, "give at least one arrival rate")
        for rate_per_min, questions in self.questions_by_rate.items():
            if not rate_per_min > 0 or questions < 1:
                raise ConfigError(
                    "rates",
                    f"{rate_per_min:g}: {questions}",
                    "give a positive rate and at least one question",
                )

    @property
    def runs_per_epoch(self) -> int:
        """Workflows of one epoch."""
        return sum(self.questions_by_rate.values())

    @property
    def runs(self) -> int:
        """Workflows of the whole training."""
        return self.epochs * self.runs_per_epoch

    def progress(self, epoch: int) -> float:
        """Share of the training that is done when an epoch begins, 0 in the first and 1 in the last."""
        return epoch / max(self.epochs - 1, 1)

    def sweeps(self, epoch: int, seed: int) -> Iterator[Sweep]:
        """The sweeps of an epoch, in an order of its own."""
        rng = np.random.default_rng((seed, epoch))
        rates = list(self.questions_by_rate)
        for place in rng.permutation(len(rates)).tolist():
            yield Sweep(
                rate_per_min=rates[place],
                questions=self.questions_by_rate[rates[place]],
                seed=int(rng.integers(2**31)),
            )
