"""How the sweeps of an epoch are played: in turn, each with what was learned from the one before, or side by side.

Side by side is another way of learning, not just a faster one: its results depend on how many sweeps share a policy,
and not on where they are played.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from inframind.arena.engines import Engine
from inframind.arena.training.curriculum import Sweep
from inframind.arena.training.environment import Environment, PlayedSweep
from inframind.errors import ConfigError
from inframind.fleet.endpoints import ModelFacts
from inframind.router.actions import StrategySpec
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.latency_learners import Call
from inframind.router.latency_state import LatencyState
from inframind.router.policy import Policy


class Rollouts(Protocol):
    """Plays sweeps for a trainer."""

    @property
    def at_once(self) -> int:
        """How many sweeps one policy plays before anything is learned from them."""
        ...

    def play(
        self, policy: Policy, sweeps: Sequence[Sweep], latency: LearnedLatencyModel
    ) -> Iterator[PlayedSweep]:
        """Let one policy answer some sweeps, in order; the latency model learns from every call."""
        ...


class InTurn:
    """One after the other, in this process.

    Args:
        environment: where they are played.
    """

    at_once = 1

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def play(
        self, policy: Policy, sweeps: Sequence[Sweep], latency: LearnedLatencyModel
    ) -> Iterator[PlayedSweep]:
        """Each sweep's latency model knows the sweeps before it."""
        for sweep in sweeps:
            yield self._environment.play(policy, sweep, latency)


class SideBySide:
    """Several at once. Each begins with what the latency model knew before the first, which learns from all afterwards.

    Args:
        environment: where they are played; picklable.
        engine: where the processes are.
        at_once: how many sweeps one policy plays.
        on_played: told of each sweep as it is done.

    Raises:
        ConfigError: fewer than one at once.
    """

    def __init__(
        self,
        environment: Environment,
        engine: Engine,
        at_once: int,
        *,
        on_played: Callable[[PlayedSweep], None] = lambda played: None,
    ) -> None:
        if at_once < 1:
            raise ConfigError("sweeps_at_once", at_once, "play at least one")
        self.at_once = at_once
        self._environment, self._engine, self._on_played = environment, engine, on_played

    def play(
        self, policy: Policy, sweeps: Sequence[Sweep], latency: LearnedLatencyModel
    ) -> Iterator[PlayedSweep]:
        """In order of the sweeps, whichever is done first."""
        knows = latency.state()
        jobs = [
            (self._environment, policy, sweep, latency.models, latency.strategies, knows) for sweep in sweeps
        ]
        done: dict[int, PlayedApart] = {}
        for place, played in self._engine.run(play_apart, jobs):
            done[place] = played
            self._on_played(played.sweep)
        for place in range(len(sweeps)):
            for call in done[place].calls:
                latency.learn_call(call)
            yield done[place].sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedApart:
    """A sweep that was played by itself.

    Attributes:
        sweep: what came of it.
        calls: what its latency model learned from.
    """

    sweep: PlayedSweep
    calls: tuple[Call, ...]


def play_apart(
    environment: Environment,
    policy: Policy,
    sweep: Sweep,
    models: Mapping[str, ModelFacts],
    strategies: Mapping[str, StrategySpec],
    knows: LatencyState,
) -> PlayedApart:
    """Play a sweep with a latency model of its own."""
    latency = _Noting(models, strategies, state=knows)
    played = environment.play(policy, sweep, latency)
    return PlayedApart(sweep=played, calls=tuple(latency.calls))


class _Noting(LearnedLatencyModel):
    """Keeps the calls that it learns from."""

    def __init__(
        self,
        models: Mapping[str, ModelFacts],
        strategies: Mapping[str, StrategySpec],
        *,
        state: LatencyState,
    ) -> None:
        super().__init__(models, strategies, state=state)
        self.calls: list[Call] = []

    def learn_call(self, call: Call) -> None:
        """Note it, and learn it."""
        self.calls.append(call)
        super().learn_call(call)
