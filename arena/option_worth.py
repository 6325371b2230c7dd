"""What each way to answer is worth to each question of a workload, and what it takes, on a fleet without queues.

The inputs of `inframind.arena.bound`, which says what is assumed and whom it flatters.

Q = questions, O = options, M = models, S = sampled runs of an option.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframind.arena.contenders.contender import Setting, TrainingGrid
from inframind.arena.contenders.service import engines_of, server_seconds_per_token
from inframind.arena.contenders.teamwork import OptionTable, Teamwork
from inframind.simulator.items import Item

Array = NDArray[np.float64]

SAMPLES = 256
SAMPLE_SEED = 20_250_101
"""Lengths are resampled from the training answers with a seed of their own: a bound is no matter of luck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Speeds:
    """What tokens take at best, by executor action (A).

    Attributes:
        first_s: seconds to the first token of an empty prompt.
        token_s: seconds of each later token on an idle server.
        server_s: server seconds of each later token in a full batch.
    """

    first_s: Array
    token_s: Array
    server_s: Array


class OptionWorths:
    """Value and cost of every option of `Teamwork`, for any questions and budgets.

    Args:
        setting: action space, training answers and truth.

    Attributes:
        servers: replicas of each model (M).

    Raises:
        ConfigError: a model without a profile.
    """

    def __init__(self, setting: Setting) -> None:
        actions = setting.actions
        places = {model: place for place, model in enumerate(actions.models)}
        self.servers = np.array([float(len(facts.endpoints)) for facts in actions.models.values()])
        self._teamwork = Teamwork(setting.outcomes, actions)
        self._model_of = np.array([places[action.model] for action in actions.executor_actions])
        speeds = _speeds(setting)
        self._runs = {
            level: _Runs.sampled(setting.training, level, self._teamwork.options, speeds)
            for level in range(1, 6)
        }

    def of(self, items: Sequence[Item], budgets_s: Array) -> tuple[Array, Array]:
        """Expected on-time success (Q, O), and expected server seconds on each model (Q, O, M)."""
        options = self._teamwork.options
        odds = {item: self._teamwork.odds(item) for item in dict.fromkeys(items)}
        value = np.empty((len(items), len(options)))
        seconds = np.zeros((len(items), len(options), len(self.servers)))
        every = np.arange(len(options))
        agent, final = self._model_of[options.agent], self._model_of[options.final]
        for row, (item, budget_s) in enumerate(zip(items, budgets_s.tolist(), strict=True)):
            truth, runs = odds[item], self._runs[item.level]
            agents_fit, whole_fits = runs.in_time(budget_s)
            by_final = truth.final_calls * truth.final_success
            value[row] = (truth.success - by_final) * agents_fit + by_final * whole_fits
            seconds[row, every, agent] += runs.agents_server_s(budget_s)
            seconds[row, every, final] += truth.final_calls * whole_fits * runs.final_server_s
        return value, seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runs:
    """Sampled runs of every option at one level, each call having its server to itself.

    Attributes:
        agents_s: seconds until the agents have answered (O, S).
        whole_s: seconds until the final call, if any, has answered too (O, S).
        strand_s: decoding seconds of one agent, or of all in a line but the last (O, S).
        strand_share: server seconds of all strands together, per such second (O).
        final_server_s: mean server seconds of a final call (O).
    """

    agents_s: Array
    whole_s: Array
    strand_s: Array
    strand_share: Array
    final_server_s: Array

    @classmethod
    def sampled(cls, training: TrainingGrid, level: int, options: OptionTable, speeds: _Speeds) -> _Runs:
        rng = np.random.default_rng([SAMPLE_SEED, level])
        rows = np.array([item.level == level for item in training.items])
        tokens = training.output_tokens[rows] if rows.sum() > 1 else training.output_tokens

        def draw(places: NDArray[np.intp], longer: Array) -> Array:
            picked = rng.integers(len(tokens), size=(len(places), SAMPLES))
            return tokens[picked, places[:, None]] * longer[:, None]

        agents_s, strand_s = np.zeros((2, len(options), SAMPLES))
        first_s, token_s = speeds.first_s[options.agent][:, None], speeds.token_s[options.agent][:, None]
        for seat in range(int(options.width.max())):
            calls_s = (draw(options.agent, options.agent_longer) - 1) * token_s
            agents_s = np.where(
                (options.width > seat)[:, None], np.maximum(agents_s, first_s + calls_s), agents_s
            )
            strand_s = calls_s if seat == 0 else strand_s
        for seat in range(1, int(options.depth.max())):
            calls_s = (draw(options.agent, options.agent_longer) - 1) * token_s
            is_there = (options.depth > seat)[:, None]
            agents_s = agents_s + is_there * (first_s + calls_s)
            strand_s = strand_s + is_there * calls_s
        later_tokens = draw(options.final, options.final_longer) - 1
        final_s = (
            speeds.first_s[options.final][:, None] + later_tokens * speeds.token_s[options.final][:, None]
        )
        return cls(
            agents_s=agents_s,
            whole_s=agents_s + options.has_final[:, None] * final_s,
            strand_s=strand_s,
            strand_share=options.width * (speeds.server_s / speeds.token_s)[options.agent],
            final_server_s=later_tokens.mean(axis=1) * speeds.server_s[options.final],
        )

    def in_time(self, budget_s: float) -> tuple[Array, Array]:
        """P(the agents have answered within the budget), P(the final call has too) (O) each."""
        return (self.agents_s <= budget_s).mean(axis=1), (self.whole_s <= budget_s).mean(axis=1)

    def agents_server_s(self, budget_s: float) -> Array:
        """Mean server seconds of the agents' calls, which the deadline cuts (O)."""
        spent: Array = self.strand_share * np.minimum(self.strand_s, budget_s).mean(axis=1)
        return spent


def _speeds(setting: Setting) -> _Speeds:
    engines = engines_of(setting.actions.models, setting.profiles)
    engine_of = [engines[action.model] for action in setting.actions.executor_actions]
    return _Speeds(
        first_s=np.array([engine.queue_s(0) + engine.step_s(0, 0) for engine in engine_of]),
        token_s=np.array([engine.step_s(0, 1) for engine in engine_of]),
        server_s=np.array([server_seconds_per_token(engine) for engine in engine_of]),
    )
