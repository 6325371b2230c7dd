"""Group-relative updates of a softmax policy over what is shown together: the opt-in mode ``process``.

The policy is ``pi(i) = softmax(x_i t)`` over the options of one screen. What became of a screen is a group; each of
its members is paid `inframind.rewards.feedback.process`: +1 where its configuration was applied, plus the measured
change of reliability (an applied recommendation makes no tool calls). The advantage of a member is its reward less
the group's mean, **not** divided by the group's standard deviation: with rewards of 0 and 1 that division weighs
screens by how unanimous they are rather than by what is at stake (Dr. GRPO, Liu et al. 2025); ``with_spread`` has it
as in GRPO (Shao et al. 2024). Each portion of groups is climbed some steps, from the policy before it (old):

    J(t) = mean over groups of  sum_i old(i) min(r_i A_i, clip(r_i, 1 - e, 1 + e) A_i) - k KL(pi || old),   r = pi / old

All members of a group are observed rather than sampled, so that they are weighed by ``old`` where GRPO, whose members
are drawn from it, weighs them alike.

A screen of which nothing was accepted or rejected says nothing, and is left out: nobody looked. Where one member was
decided on, the others were passed over, and are paid 0; so is one that was rejected. Two rewards that are equal
throughout a group teach nothing, as everywhere with groups.

Known failure: acceptance alone is paid +1, a change of reliability of five points +0.05. People who accept everything
are paid for; see `inframind.advisor.ranking.monitor`.

G = groups, K = members of the largest (shorter ones are padded), D = columns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inframind.advisor.ranking.features import COLUMNS
from inframind.advisor.ranking.protocol import Array, Lesson
from inframind.errors import ConfigError
from inframind.rewards.feedback import ProcessOutcomes, process

_SMALLEST_SPREAD = 1e-8


@dataclass(frozen=True, kw_only=True)
class ProcessConfig:
    """How the policy climbs.

    Raises:
        ConfigError: a number out of its range.
    """

    groups: int = 8
    """Screens per portion."""
    steps: int = 4
    """Steps of one portion."""
    pace: float = 3.0
    """Length of a step, in gradients."""
    clip: float = 0.2
    """How far a probability may move from what it was before something is gained no more by moving it, e."""
    restraint: float = 0.05
    """Weight of the divergence from the policy before, k."""
    with_spread: bool = False
    """Whether advantages are divided by the group's standard deviation."""

    def __post_init__(self) -> None:
        for name in ("groups", "steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"advisor.ranking.process.{name}", getattr(self, name), "use at least 1")
        if not self.pace > 0:
            raise ConfigError("advisor.ranking.process.pace", self.pace, "use a positive number")
        if not 0 < self.clip < 1:
            raise ConfigError("advisor.ranking.process.clip", self.clip, "use a share in (0, 1)")
        if not self.restraint >= 0:
            raise ConfigError("advisor.ranking.process.restraint", self.restraint, "use at least 0")


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Screens side by side.

    Attributes:
        features_GKD: columns of the members, 0 where there is none.
        present_GK: where there is one.
        rewards_GK: of the members, 0 where there is none.
    """

    features_GKD: Array
    present_GK: np.ndarray[tuple[int, int], np.dtype[np.bool_]]
    rewards_GK: Array

    def __len__(self) -> int:
        return len(self.rewards_GK)

    @classmethod
    def of(cls, screens: Sequence[Sequence[Lesson]]) -> Groups:
        """Of at least one screen of at least one member."""
        most = max(map(len, screens))
        features_GKD = np.zeros((len(screens), most, len(COLUMNS)))
        present_GK = np.zeros((len(screens), most), dtype=np.bool_)
        rewards_GK = np.zeros((len(screens), most))
        for place, screen in enumerate(screens):
            features_GKD[place, : len(screen)] = [lesson.features_D for lesson in screen]
            present_GK[place, : len(screen)] = True
        rewards_GK[present_GK] = rewards_of([lesson for screen in screens for lesson in screen])
        return cls(features_GKD, present_GK, rewards_GK)

    def portion(self, first: int, end: int) -> Groups:
        """Of these, from one to before another."""
        return Groups(self.features_GKD[first:end], self.present_GK[first:end], self.rewards_GK[first:end])

    def advantages(self, *, with_spread: bool) -> Array:
        """Rewards less their group's mean (G, K), 0 where there is no member."""
        members_G1 = self.present_GK.sum(axis=1, keepdims=True)
        mean_G1 = self.rewards_GK.sum(axis=1, keepdims=True) / members_G1
        advantages_GK = np.where(self.present_GK, self.rewards_GK - mean_G1, 0.0)
        if not with_spread:
            return advantages_GK
        spread_G1 = np.sqrt((advantages_GK**2).sum(axis=1, keepdims=True) / members_G1)
        return advantages_GK / np.where(spread_G1 < _SMALLEST_SPREAD, 1.0, spread_G1)

    def log_probabilities(self, weights_D: Array) -> Array:
        """Of the members (G, K), minus infinity where there is none."""
        logits_GK = np.where(self.present_GK, self.features_GKD @ weights_D, -np.inf)
        logits_GK = logits_GK - logits_GK.max(axis=1, keepdims=True)
        found_GK: Array = logits_GK - np.log(np.exp(logits_GK).sum(axis=1, keepdims=True))
        return found_GK


def rewards_of(lessons: Sequence[Lesson]) -> Array:
    """What members of a screen are paid (B); see `inframind.rewards.feedback.process`."""
    applied = np.array([lesson.verdict == "accepted" for lesson in lessons])
    outcomes = ProcessOutcomes(
        tool_timeouts_B=np.zeros(len(lessons)),
        tool_successes_B=np.zeros(len(lessons)),
        config_applied_B=applied,
        reliability_delta_B=np.array(
            [lesson.reliability_change or 0.0 if lesson.verdict == "accepted" else 0.0 for lesson in lessons]
        ),
    )
    return process(outcomes).total


def objective(weights_D: Array, old_D: Array, groups: Groups, config: ProcessConfig) -> tuple[float, Array]:
    """J and its exact gradient (D); see the module."""
    logs_GK, old_logs_GK = groups.log_probabilities(weights_D), groups.log_probabilities(old_D)
    chances_GK, old_GK = np.exp(logs_GK), np.exp(old_logs_GK)
    ratios_GK = np.exp(
        np.where(groups.present_GK, logs_GK, 0.0) - np.where(groups.present_GK, old_logs_GK, 0.0)
    )
    advantages_GK = groups.advantages(with_spread=config.with_spread)
    plain_GK = ratios_GK * advantages_GK
    clipped_GK = np.clip(ratios_GK, 1 - config.clip, 1 + config.clip) * advantages_GK
    moved_GK = np.where(groups.present_GK, logs_GK, 0.0) - np.where(groups.present_GK, old_logs_GK, 0.0)
    gained_G = (old_GK * np.minimum(plain_GK, clipped_GK)).sum(axis=1)
    divergence_G = (chances_GK * moved_GK).sum(axis=1)
    # Per member, the derivative by its own log probability; the softmax's own derivative follows.
    slope_GK = (
        np.where(plain_GK <= clipped_GK, old_GK * plain_GK, 0.0) - config.restraint * chances_GK * moved_GK
    )
    by_logit_GK = slope_GK - chances_GK * slope_GK.sum(axis=1, keepdims=True)
    gradient_D: Array = np.einsum("gk,gkd->d", by_logit_GK, groups.features_GKD) / len(groups)
    return float((gained_G - config.restraint * divergence_G).mean()), gradient_D


class ProcessPolicy:
    """A chooser that draws an order from a softmax policy learned on screens.

    What it has learned hangs on the lessons alone: screens are learned in the order of their latest news, from the
    start again when something earlier changes.

    Args:
        config: how it climbs.
    """

    name = "process"

    def __init__(self, config: ProcessConfig | None = None) -> None:
        self._config = config or ProcessConfig()
        self._lessons: dict[str, Lesson] = {}
        self._weights_D: Array | None = None

    @property
    def weights(self) -> Array:
        """t (D), after all whole portions of screens so far."""
        if self._weights_D is None:
            self._weights_D = self._climbed()
        return self._weights_D

    def learn(self, lessons: Sequence[Lesson]) -> None:
        """Take in lessons, ignored ones too: where others of their screen were decided on, they were passed over."""
        for lesson in lessons:
            old = self._lessons.get(lesson.recommendation_id)
            if old is None or (lesson.at_s, lesson.verdict != "ignored") >= (
                old.at_s,
                old.verdict != "ignored",
            ):
                self._lessons[lesson.recommendation_id] = lesson
                self._weights_D = None

    def scores(self, features_KD: Array, segment: str, rng: np.random.Generator) -> Array:
        """Log odds of options plus Gumbel noise (K): in their order, options are drawn from the policy."""
        drawn_K: Array = self.draws(features_KD, segment, 1, rng)[0]
        return drawn_K

    def draws(self, features_KD: Array, segment: str, count: int, rng: np.random.Generator) -> Array:
        """The same, as many draws (N, K)."""
        noise_NK = rng.gumbel(size=(count, len(features_KD)))
        found_NK: Array = features_KD @ self.weights + noise_NK
        return found_NK

    def _climbed(self) -> Array:
        weights_D = np.zeros(len(COLUMNS))
        screens, portion = self._screens(), self._config.groups
        if len(screens) < portion:
            return weights_D
        everything = Groups.of(screens)
        for first in range(0, len(screens) - portion + 1, portion):
            groups, old_D = everything.portion(first, first + portion), weights_D
            for _ in range(self._config.steps):
                weights_D = (
                    weights_D + self._config.pace * objective(weights_D, old_D, groups, self._config)[1]
                )
        return weights_D

    def _screens(self) -> list[list[Lesson]]:
        """Of two or more, at least one of which was decided on, in the order of their latest news."""
        together: defaultdict[int, list[Lesson]] = defaultdict(list)
        for lesson in sorted(self._lessons.values(), key=lambda one: one.recommendation_id):
            together[lesson.shown_with].append(lesson)
        heard = [
            screen
            for screen in together.values()
            if len(screen) > 1 and any(lesson.verdict != "ignored" for lesson in screen)
        ]
        return sorted(heard, key=lambda screen: (max(one.at_s for one in screen), screen[0].shown_with))
