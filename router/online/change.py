"""Notices that a model is not what it was: surprises of one model that keep adding up, while others surprise nobody."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from inframind.router.online.config import ChangeConfig

_MEMORY = 0.97
"""Share of its recent surprises that a model keeps with each new one: some thirty count."""

_HARDLY, _LEAST_ALLOWANCE = 1e-9, 0.1


@dataclass(slots=True)
class _Watched:
    """One model: CUSUMs to both sides, and a fading sum of surprises with its variance."""

    above: float = 0.0
    below: float = 0.0
    recent: float = 0.0
    variance: float = 0.0

    @property
    def trend(self) -> float:
        """Recent surprises in standard errors of their sum."""
        return self.recent / math.sqrt(self.variance) if self.variance > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something has changed.

    Attributes:
        model: whose runs gave it away.
        is_shared: whether other models surprise likewise, so that it is no fault of this one.
    """

    model: str
    is_shared: bool


class ChangeDetector:
    """One two-sided CUSUM per model.

    Args:
        config: thresholds.
    """

    def __init__(self, config: ChangeConfig) -> None:
        self._config = config
        self._watched: dict[str, _Watched] = {}

    def watch(self, surprise: float, shares: Mapping[str, float], label_share: float = 1.0) -> Alarm | None:
        """Note one labelled run.

        Args:
            surprise: standardised, of expectation 0 and variance 1 while nothing changes.
            shares: of each model in the run.
            label_share: share of all runs that are labelled. A CUSUM's runs between false alarms grow with the
                exponential of its threshold (times twice the allowance), which therefore falls by the logarithm of
                the share.
        """
        alarm = None
        threshold = self._threshold(label_share)
        for model, share in shares.items():
            one = self._watched.setdefault(model, _Watched())
            _note(one, surprise, share, self._config.allowance)
            if max(one.above, one.below) > threshold:
                alarm = Alarm(model, self._is_shared(model))
                one.above = one.below = 0.0
        return alarm

    def state(self) -> dict[str, Any]:
        """As plain data."""
        return {model: asdict(one) for model, one in self._watched.items()}

    @classmethod
    def restored(cls, config: ChangeConfig, state: Mapping[str, Any]) -> ChangeDetector:
        """What `state` was taken of."""
        detector = cls(config)
        detector._watched = {model: _Watched(**one) for model, one in state.items()}
        return detector

    def _threshold(self, label_share: float) -> float:
        config = self._config
        fewer = math.log(max(label_share, _HARDLY)) / (2 * max(config.allowance, _LEAST_ALLOWANCE))
        return max(config.threshold + min(fewer, 0.0), config.least_threshold)

    def _is_shared(self, model: str) -> bool:
        """Whether the others, taken together, surprise in the same direction."""
        others = [one for name, one in self._watched.items() if name != model]
        variance = sum(one.variance for one in others)
        if variance == 0:
            return False
        trend = sum(one.recent for one in others) / math.sqrt(variance)
        return trend * math.copysign(1.0, self._watched[model].trend) > self._config.agreement


def _note(one: _Watched, surprise: float, share: float, allowance: float) -> None:
    one.above = max(0.0, one.above + share * (surprise - allowance))
    one.below = max(0.0, one.below - share * (surprise + allowance))
    one.recent = _MEMORY * one.recent + share * surprise
    one.variance = _MEMORY**2 * one.variance + share**2
