"""What each way to answer is worth to each question of a workload, and what it takes, on a fleet without queues.

The inputs of `inframind.arena.bound`, which says what is assumed and whom it flatters.

Q = questions, O = options, M = models, L = kinds of questions that runs are sampled for, S = sampled runs of an option.
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
Places = NDArray[np.intp]

SAMPLES = 64
SAMPLE_SEED = 20_250_101
"""Lengths are resampled from the training answers with a seed of their own: a bound is no matter of luck."""
LEVELS = (1, 2, 3, 4, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledRuns:
    """Runs of every option by kind of question, each call having its server to itself; all (L, O, S).

    Attributes:
        agents_s: seconds until all agents have answered.
        whole_s: seconds until the final call, if any, has answered too.
        agents_server_s: server seconds of all agents' answers, with full batches.
        final_server_s: the same of the final call.
    """

    agents_s: Array
    whole_s: Array
    agents_server_s: Array
    final_server_s: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Worths:
    """What every option comes to for every question, whatever its answers' lengths.

    Attributes:
        agents_success: P(right, and no final call was made) (Q, O).
        final_success: P(right, and the final call was made) (Q, O).
        final_calls: P(the final call is made) (Q, O).
        kind: which sampled runs are each question's (Q).
    """

    agents_success: Array
    final_success: Array
    final_calls: Array
    kind: Places


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
    """Value and cost of every option of `Teamwork`, for any questions.

    Args:
        setting: action space, training answers and truth.

    Attributes:
        servers: replicas of each model (M).
        agent_model: model of each option's agents (O).
        final_model: model of its final call (O).
        runs: sampled runs, a kind per level.

    Raises:
        ConfigError: a model without a profile, or a setting without the truth.
    """

    def __init__(self, setting: Setting) -> None:
        actions = setting.actions
        places = {model: place for place, model in enumerate(actions.models)}
        self.servers = np.array([float(len(facts.endpoints)) for facts in actions.models.values()])
        self._teamwork = Teamwork(setting.known_truth, actions)
        options, speeds = self._teamwork.options, _speeds(setting)
        model_of = np.array([places[action.model] for action in actions.executor_actions])
        self.agent_model, self.final_model = model_of[options.agent], model_of[options.final]
        self.runs = _stacked([_sampled(setting.training, level, options, speeds) for level in LEVELS])

    def of(self, items: Sequence[Item]) -> Worths:
        """The truth about these questions; about a millisecond for each that is new."""
        odds = {item: self._teamwork.odds(item) for item in dict.fromkeys(items)}
        final_calls = np.stack([odds[item].final_calls for item in items])
        final_success = final_calls * np.stack([odds[item].final_success for item in items])
        return Worths(
            agents_success=np.stack([odds[item].success for item in items]) - final_success,
            final_success=final_success,
            final_calls=final_calls,
            kind=np.array([LEVELS.index(item.level) for item in items]),
        )


def _sampled(training: TrainingGrid, level: int, options: OptionTable, speeds: _Speeds) -> SampledRuns:
    """Runs at one level (O, S): every call's lengths are `SAMPLES` quantiles of the training answers', shuffled."""
    rng = np.random.default_rng([SAMPLE_SEED, level])
    rows = np.array([item.level == level for item in training.items])
    tokens = np.sort(training.output_tokens[rows] if rows.sum() > 1 else training.output_tokens, axis=0)
    quantiles = ((np.arange(SAMPLES) + 0.5) / SAMPLES * len(tokens)).astype(np.intp)

    def later_tokens(places: Places, longer: Array) -> Array:
        picked = rng.permuted(np.tile(quantiles, (len(places), 1)), axis=1)
        later: Array = tokens[picked, places[:, None]] * longer[:, None] - 1
        return later

    agents_s, agents_tokens = np.zeros((2, len(options), SAMPLES))
    first_s, token_s = speeds.first_s[options.agent][:, None], speeds.token_s[options.agent][:, None]
    for seat in range(int(max(options.width.max(), options.depth.max()))):
        drawn = later_tokens(options.agent, options.agent_longer)
        beside, behind = (options.width > seat)[:, None], (options.depth > seat)[:, None] & (seat > 0)
        call_s = first_s + drawn * token_s
        agents_s = np.where(beside, np.maximum(agents_s, call_s), agents_s + behind * call_s)
        agents_tokens = agents_tokens + (beside | behind) * drawn
    drawn = later_tokens(options.final, options.final_longer)
    final_s = speeds.first_s[options.final][:, None] + drawn * speeds.token_s[options.final][:, None]
    return SampledRuns(
        agents_s=agents_s,
        whole_s=agents_s + options.has_final[:, None] * final_s,
        agents_server_s=agents_tokens * speeds.server_s[options.agent][:, None],
        final_server_s=drawn * speeds.server_s[options.final][:, None],
    )


def _stacked(runs: Sequence[SampledRuns]) -> SampledRuns:
    return SampledRuns(
        agents_s=np.stack([run.agents_s for run in runs]),
        whole_s=np.stack([run.whole_s for run in runs]),
        agents_server_s=np.stack([run.agents_server_s for run in runs]),
        final_server_s=np.stack([run.final_server_s for run in runs]),
    )


def _speeds(setting: Setting) -> _Speeds:
    engines = engines_of(setting.actions.models, setting.profiles)
    engine_of = [engines[action.model] for action in setting.actions.executor_actions]
    return _Speeds(
        first_s=np.array([engine.queue_s(0) + engine.step_s(0, 0) for engine in engine_of]),
        token_s=np.array([engine.step_s(0, 1) for engine in engine_of]),
        server_s=np.array([server_seconds_per_token(engine) for engine in engine_of]),
    )
