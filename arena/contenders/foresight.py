"""How long calls will take and what they cost, by someone who knows the servers: for oracles alone.

Knows each server's step times, how long answers of each action to questions of each level tend to be, and how many
requests are there now. Latency of a call is log-normal: mean and variance from the training answers, on top of the
wait for a slot; stages one after the other add up in mean and variance. Servers are taken to serve the least slack
first, so that of those who wait only a share is ahead of us: that of the scenario's budgets that are shorter than the
time we have left.

A = executor actions, M = models, O = options.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframind.arena.contenders.contender import Setting, TrainingGrid
from inframind.arena.contenders.service import engines_of, server_seconds_per_token
from inframind.arena.contenders.teamwork import OptionTable
from inframind.fleet.snapshot import FleetSnapshot
from inframind.router.policy_parts import log_normal_cdf

Array = NDArray[np.float64]

LATEST_OF = np.array([0.0, 0.0, 0.564, 0.846, 1.029, 1.163, 1.267])
"""Expected maximum of n standard normal draws, by n: how much longer the slowest of n agents takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Latency of one call of each action under the present load (A), and the price of the models' time (M).

    Attributes:
        mean_s: mean seconds.
        variance_s2: variance.
        crowding: requests at each model's servers, per slot (M).
    """

    mean_s: Array
    variance_s2: Array
    crowding: Array


class Foresight:
    """Predicts latencies from load, level and action.

    Args:
        setting: speeds of the servers, lengths of the training answers, and the distribution of budgets.

    Raises:
        ConfigError: a model without a profile.
    """

    def __init__(self, setting: Setting) -> None:
        actions = setting.actions
        engines = engines_of(actions.models, setting.profiles)
        self._models = tuple(actions.models)
        self._engines = [engines[model] for model in self._models]
        places = {model: place for place, model in enumerate(self._models)}
        self.model_of = np.array([places[action.model] for action in actions.executor_actions])
        self._replicas = np.array([len(actions.models[model].endpoints) for model in self._models])
        self._per_token_s = np.array([server_seconds_per_token(engine) for engine in self._engines])
        self._budgets_s = np.sort(setting.budgets_s)
        self._mean_tokens, self._variance_tokens2 = _lengths(setting.training)

    def server_seconds(self, level: int) -> Array:
        """Expected server seconds of one call of each action, with full batches (A)."""
        seconds: Array = self._mean_tokens[level] * self._per_token_s[self.model_of]
        return seconds

    def stages(self, snapshot: FleetSnapshot, level: int, prompt_tokens: int, remaining_s: float) -> Stages:
        """One call of each action, were it sent now."""
        present = _present(snapshot, self._models)
        typical_tokens = self._mean_tokens[level].mean()
        ahead = float(np.searchsorted(self._budgets_s, remaining_s)) / len(self._budgets_s)
        step_s, fixed_s, crowding = np.empty((3, len(self._models)))
        for place, engine in enumerate(self._engines):
            slots = engine.max_num_seqs
            here = present[place] / self._replicas[place]
            step_s[place] = engine.step_s(0, min(slots, int(here) + 1))
            wait_s = ahead * max(0.0, here + 1 - slots) / slots * typical_tokens * step_s[place]
            fixed_s[place] = engine.queue_s(prompt_tokens) + engine.step_s(prompt_tokens, 0) + wait_s
            crowding[place] = here / slots
        step_s_A = step_s[self.model_of]
        return Stages(
            mean_s=fixed_s[self.model_of] + self._mean_tokens[level] * step_s_A,
            variance_s2=self._variance_tokens2[level] * step_s_A**2,
            crowding=crowding,
        )


def on_time(options: OptionTable, stages: Stages, remaining_s: float) -> Array:
    """P(the whole option ends in time), a judge always being asked (O)."""
    spread_s = np.sqrt(stages.variance_s2)
    agent_s = stages.mean_s[options.agent] + LATEST_OF[options.width] * spread_s[options.agent]
    final_s = options.has_final * options.final_longer * stages.mean_s[options.final]
    agent_s2 = options.agent_longer**2 * stages.variance_s2[options.agent]
    final_s2 = options.has_final * options.final_longer**2 * stages.variance_s2[options.final]
    return in_time(
        options.depth * options.agent_longer * agent_s + final_s,
        options.depth * agent_s2 + final_s2,
        remaining_s,
    )


def in_time(mean_s: Array, variance_s2: Array, remaining_s: float) -> Array:
    """P(latency <= time left) of log-normal latencies with these means and variances."""
    sigma2 = np.log1p(variance_s2 / mean_s**2)
    return log_normal_cdf(remaining_s, mean_s * np.exp(-sigma2 / 2), np.sqrt(sigma2))


def _present(snapshot: FleetSnapshot, models: tuple[str, ...]) -> Array:
    """Requests at each model's servers, as every router may reckon them, and those that wait on our side (M)."""
    there = dict.fromkeys(models, 0.0)
    for load in snapshot.loads.values():
        there[load.model] += load.requests_now + load.waiting_here
    return np.array([there[model] for model in models])


def _lengths(training: TrainingGrid) -> tuple[dict[int, Array], dict[int, Array]]:
    """Mean and variance of the output tokens of each action, by level; of all levels where one is missing."""
    levels = np.array([item.level for item in training.items])
    means, variances = {}, {}
    for level in range(1, 6):
        rows = levels == level
        tokens = training.output_tokens[rows] if rows.sum() > 1 else training.output_tokens
        means[level] = tokens.mean(axis=0)
        variances[level] = tokens.var(axis=0)
    return means, variances
