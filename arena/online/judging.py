"""What seasons come to: recovery, regret and losses, over contenders that met the same requests.

Axes: S = seeds, N = requests after the change, in order of arrival, B = requests before it.

Every contender is held against the reference, request by request: what is hard for both cancels. A **shortfall** is
what the reference succeeded at and the contender did not (1), the other way round (-1), or neither (0).

* **Gap**: mean shortfall of the frozen policy over the whole time after the change. Where a server goes, the frozen
  policy's masks keep it from most harm, so that there is next to no such gap; there the gap is what is at stake: the
  successes that the lost server gave before.
* **Recovery**: requests after the change until a moving average of the shortfall, over full windows that begin no
  earlier than the change, is down to a quarter of the gap.
* **Regret**: sum of the shortfalls.

Where the reference did not play, the frozen policy stands in for it: then regret says what was lost by learning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframind.arena.results.statistics import half_width
from inframind.errors import ConfigError

Floats = NDArray[np.float64]
REGAINED = 0.75
"""Share of the gap."""
FROZEN, REFERENCE = "frozen", "retrained"


def recovery(shortfall_N: Floats, gap: float, *, window: int, step: int) -> int | None:
    """Requests until the average of the latest ``window`` shortfalls is down to a quarter of the gap; None if never.

    Args:
        shortfall_N: after the change; a mean over seeds, or one seed's.
        gap: what there is to regain.
        window: requests that are averaged.
        step: requests between two looks.
    """
    sums = np.concatenate([[0.0], np.cumsum(shortfall_N)])
    for end in range(window, len(shortfall_N) + 1, step):
        if (sums[end] - sums[end - window]) / window <= (1 - REGAINED) * gap:
            return end
    return None


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over seeds, and half of its 95 % interval (Student's t); NaN with fewer than three seeds."""

    mean: float
    half: float

    @classmethod
    def of(cls, per_seed: Floats) -> Interval:
        """Of one figure per seed (S)."""
        return cls(float(per_seed.mean()), float(half_width(per_seed)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One contender in one world.

    Attributes:
        contender: its name.
        before: on-time success before the change.
        after: on-time success after it.
        regret: on-time successes lost against the reference.
        recovery: requests until the mean over the seeds has regained three quarters of the gap; None if never.
        recoveries: the same, seed by seed.
        regained: share of the gap that is regained on average from the promised request to the end; noise cannot make
            it look good early, as it can the first window that is good enough. NaN where nothing is promised.
        loss: of on-time success after the change against the frozen policy.
        loss_before: the same before the change.
        worst_loss: the largest of such losses, averaged over the seeds and a moving window.
    """

    contender: str
    before: Interval
    after: Interval
    regret: Interval
    recovery: int | None
    recoveries: tuple[int | None, ...]
    regained: float
    loss: Interval
    loss_before: Interval
    worst_loss: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """A world, judged.

    Attributes:
        gap: on-time success that there is to regain, as a share.
        verdicts: by contender.
        shortfall: of each contender against the reference after the change (S, N).
    """

    gap: float
    verdicts: Mapping[str, Verdict]
    shortfall: Mapping[str, Floats]


def judge_world(
    success: Mapping[str, Floats],
    before: int,
    *,
    window: int,
    step: int,
    at_stake: float | None = None,
    promised: int | None = None,
) -> Judged:
    """Judge all contenders of one world.

    Args:
        success: on-time success of every request, by contender (S, B + N), the frozen policy among them; seeds in
            one order.
        before: requests before the change (B).
        window: requests that recovery averages over.
        step: requests between two looks at it.
        at_stake: the gap, where it is not the frozen policy's.
        promised: requests within which three quarters of it are to be regained.

    Raises:
        ConfigError: the frozen policy is missing.
    """
    if FROZEN not in success:
        raise ConfigError(
            "contenders", ", ".join(success), f"play {FROZEN!r} too: others are held against it"
        )
    reference = success.get(REFERENCE, success[FROZEN])[:, before:]
    shortfall = {name: reference - success_SN[:, before:] for name, success_SN in success.items()}
    gap = float(shortfall[FROZEN].mean()) if at_stake is None else at_stake
    verdicts = {
        name: Verdict(
            contender=name,
            before=Interval.of(success_SN[:, :before].mean(axis=1)),
            after=Interval.of(success_SN[:, before:].mean(axis=1)),
            regret=Interval.of(shortfall[name].sum(axis=1)),
            recovery=recovery(shortfall[name].mean(axis=0), gap, window=window, step=step),
            recoveries=tuple(recovery(one_N, gap, window=window, step=step) for one_N in shortfall[name]),
            regained=_regained(shortfall[name], gap, promised),
            loss=Interval.of((success[FROZEN] - success_SN)[:, before:].mean(axis=1)),
            loss_before=Interval.of((success[FROZEN] - success_SN)[:, :before].mean(axis=1)),
            worst_loss=_worst((success[FROZEN] - success_SN)[:, before:].mean(axis=0), window),
        )
        for name, success_SN in success.items()
    }
    return Judged(gap=gap, verdicts=verdicts, shortfall=shortfall)


def _regained(shortfall_SN: Floats, gap: float, promised: int | None) -> float:
    if promised is None or not gap > 0:
        return float("nan")
    return 1.0 - float(shortfall_SN[:, promised:].mean()) / gap


def moving_average(values_N: Floats, window: int) -> Floats:
    """Over full windows (N - window + 1)."""
    sums = np.concatenate([[0.0], np.cumsum(values_N)])
    return np.asarray((sums[window:] - sums[:-window]) / window, np.float64)


def _worst(loss_N: Floats, window: int) -> float:
    return float(moving_average(loss_N, min(window, len(loss_N))).max())
