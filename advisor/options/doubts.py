"""Whether runs may be compared at all: what no number of them would tell.

Three things make a change look good that is none:

* **who is judged**. A run without a verdict counts through its like (same domain, in time or not). That holds where a
  verdict is given regardless of what was chosen. Where people complain of one model and a grader judges the others, the
  ones that complain are all that is heard of it. So the share of runs in time that have a verdict must be the same of
  what a change would do less and of what it would do more, and so must be who gives them.
* **verdicts that say the same**. Where every verdict on one side says "wrong" and others are missing, that may be why
  they were given. Were all that have none right, at least the share that was called wrong is: only where that is surely
  more than on the other side, it is believed.
* **what is over**. A server was mended, a provider took back an update: early runs speak of what is no more. Where the
  latest runs are surely less in favour, and say next to nothing for it, they are right.

Under verdicts by chance the sums below have mean 0, whatever the options do and however often each was drawn: of a
decision's weights with and without a rule the means are the same.

k = runs that a change concerns, R = all runs, M = metrics.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from inframind.advisor.options.logs import Array, Ints, Logs, Mask
from inframind.traces.advice import METRICS

Doubts = tuple[str, ...]
"""Of each metric: why runs say nothing of it, or ""."""
NO_DOUBTS: Doubts = ("",) * len(METRICS)
SURE_Z = 2.6
"""Standard errors from which on a difference is no chance: one in a hundred is."""
MATERIAL = 0.1
"""Differences of shares, and of shares relative to what was expected, that could make a change look good."""

_SUCCESS, _SOLVED, _ON_TIME = (METRICS.index(metric) for metric in ("success", "solved", "on_time"))
_MORE_IS_BETTER_M = np.array([metric in ("success", "solved", "on_time") for metric in METRICS])
_FEW_MISSING = 0.05
_FEWEST_LATE = 30
"""Runs that a change concerns, early and late, below which nothing is said to be over."""
_LATE = 0.25
_DAY_S = 86_400.0
_OVER_Z = 3.0
_LEFT = 0.25
"""Share of what a change would have brought early that must be left of it late."""
_HELP = "have graders judge a share of all runs, whatever answered"


@dataclass(frozen=True, slots=True)
class _Side:
    """Runs in time that a change would have more of, or fewer, by weight (k)."""

    weight_k: Array
    known_k: Mask
    solved_k: Mask

    def share(self, of_k: Array | Mask, among_k: Array | Mask) -> float:
        total = float((self.weight_k * among_k).sum())
        return float((self.weight_k * among_k * of_k).sum()) / total if total > 0 else 0.0

    @property
    def judged(self) -> float:
        """Share with a verdict."""
        return self.share(self.known_k, np.ones(len(self.known_k)))

    @property
    def wrong(self) -> float:
        """Share of the verdicts that say so."""
        return self.share(~self.solved_k, self.known_k)

    def size(self, among_k: Mask) -> float:
        """How many runs of equal weight say as much."""
        squares = float((self.weight_k[among_k] ** 2).sum())
        return float(self.weight_k[among_k].sum()) ** 2 / squares if squares > 0 else 0.0


def doubts_of(logs: Logs, place_k: Ints, change_k: Array, part_kM: Array) -> Doubts:
    """Why runs say nothing of what a change brings, by metric.

    Args:
        logs: all runs.
        place_k: places of those that a change concerns, ascending.
        change_k: weight that each would gain.
        part_kM: what each adds to the estimated change.
    """
    verdicts = _of_verdicts(logs, place_k, change_k)
    over_M = _is_over(logs, place_k, part_kM)
    found = []
    for metric in range(len(METRICS)):
        about_verdicts = verdicts if metric in (_SUCCESS, _SOLVED) else ""
        found.append(about_verdicts or (_OVER if over_M[metric] else ""))
    return tuple(found)


_OVER = "the latest runs no longer bear out what earlier ones say: what was wrong seems to be over"


# Verdicts ----------------------------------------------------------------------------------------------


def _of_verdicts(logs: Logs, place_k: Ints, change_k: Array) -> str:
    is_asked_k = (logs.value_RM[place_k, _ON_TIME] > 0) & ~logs.is_blind_RM[place_k, _SOLVED]
    place_k, change_k = place_k[is_asked_k], change_k[is_asked_k]
    weight_k = logs.weight_RM[place_k, _SOLVED]
    known_k, solved_k = weight_k > 0, logs.value_RM[place_k, _SOLVED] > 0
    less, more = (_Side(np.maximum(sign * change_k, 0.0), known_k, solved_k) for sign in (-1, 1))
    if not (less.weight_k.any() and more.weight_k.any() and known_k.any()):
        return ""
    found = chain(
        _of_rates(less, more, change_k, weight_k),
        _of_judges(logs, less, more, change_k, place_k),
        _of_one_side(less, more),
    )
    return next(found, "")


def _of_rates(less: _Side, more: _Side, change_k: Array, weight_k: Array) -> Iterator[str]:
    """Whether some of it is judged more often than others, held against the domain's share."""
    apart = more.share(weight_k, np.ones(len(weight_k))) - less.share(weight_k, np.ones(len(weight_k)))
    if abs(apart) >= MATERIAL and _z(change_k * (weight_k - 1)) >= SURE_Z:
        yield (
            f"a verdict is given for {less.judged:.0%} of the runs in time that there would be fewer of, and for "
            f"{more.judged:.0%} of those that there would be more of, so that what is right cannot be compared: {_HELP}"
        )


def _of_judges(logs: Logs, less: _Side, more: _Side, change_k: Array, place_k: Ints) -> Iterator[str]:
    """Whether some of it is judged by others."""
    if logs.judge is None:
        return
    code_k, expected_RJ = logs.judge.code_N[place_k], judge_shares(logs)
    weight_k, known_k = logs.weight_RM[place_k, _SOLVED], less.known_k
    for code, name in enumerate(logs.judge.names):
        is_by_k = (code_k == code) & known_k
        apart = more.share(is_by_k, known_k) - less.share(is_by_k, known_k)
        off_k = change_k * weight_k * (is_by_k - expected_RJ[place_k, code])
        if abs(apart) >= MATERIAL and _z(off_k) >= SURE_Z:
            yield (
                f"{name} gives {less.share(is_by_k, known_k):.0%} of the verdicts on runs that there would be fewer "
                f"of, and {more.share(is_by_k, known_k):.0%} of those on runs that there would be more of, so that "
                f"what is right cannot be compared: {_HELP}"
            )
            return


def judge_shares(logs: Logs) -> Array:
    """Share of the verdicts on runs in time that each judge gives in a run's domain (R, J)."""
    assert logs.judge is not None
    shares_RJ = np.zeros((len(logs), len(logs.judge.names)))
    known_R = (logs.weight_RM[:, _SOLVED] > 0) & (logs.value_RM[:, _ON_TIME] > 0)
    for code in range(len(logs.domain.names)):
        there_R = logs.domain.code_N == code
        counts_J = np.bincount(logs.judge.code_N[there_R & known_R], minlength=len(logs.judge.names))
        shares_RJ[there_R] = counts_J / max(counts_J.sum(), 1)
    return shares_RJ


def _of_one_side(less: _Side, more: _Side) -> Iterator[str]:
    """Whether all that is heard of one side is that it is wrong, and that might be why it is heard."""
    for side, other, which in ((less, more, "fewer"), (more, less, "more")):
        judged = side.judged
        if side.wrong < 1 or judged >= 1 - _FEW_MISSING or not judged:
            continue
        error2 = judged * (1 - judged) / side.size(np.ones(len(side.known_k), dtype=np.bool_))
        error2 += other.wrong * (1 - other.wrong) / max(other.size(other.known_k), 1.0)
        if judged - other.wrong < SURE_Z * error2**0.5:
            yield (
                f"every verdict on the runs in time that there would be {which} of says wrong, and "
                f"{1 - judged:.0%} of them have none, so that nobody knows how many are right: {_HELP}"
            )


# What is over ------------------------------------------------------------------------------------------


def latest_part(arrived_R: Array) -> Mask | None:
    """The latest runs (R), of those ordered by arrival: a quarter, and of a whole day, since days have their course.

    None where a day is more than half of them, or there are none.
    """
    if not len(arrived_R):
        return None
    first = min(int(len(arrived_R) * (1 - _LATE)), int(np.searchsorted(arrived_R, arrived_R[-1] - _DAY_S)))
    return np.arange(len(arrived_R)) >= first if 2 * first >= len(arrived_R) else None


def _is_over(logs: Logs, place_k: Ints, part_kM: Array) -> Mask:
    """Of which metrics the improvement is over (M): the latest of the runs that it concerns say surely less of it."""
    is_over_M = np.zeros(len(METRICS), dtype=np.bool_)
    if logs.is_late_R is None:
        return is_over_M
    is_late_k = logs.is_late_R[place_k]
    if min(int(is_late_k.sum()), int((~is_late_k).sum())) < _FEWEST_LATE:
        return is_over_M
    better_kM = np.where(_MORE_IS_BETTER_M, part_kM, -part_kM)
    early_M, late_M = better_kM[~is_late_k].mean(axis=0), better_kM[is_late_k].mean(axis=0)
    error2_M = sum(better_kM[one].var(axis=0, ddof=1) / one.sum() for one in (is_late_k, ~is_late_k))
    is_less_M = early_M - late_M >= _OVER_Z * np.sqrt(error2_M)
    return np.asarray((early_M > 0) & (late_M < _LEFT * early_M) & is_less_M)


def _z(off_k: Array) -> float:
    """Standard errors by which a sum is away from 0, its mean by chance."""
    error = float(np.sqrt((off_k**2).sum()))
    return abs(float(off_k.sum())) / error if error > 0 else 0.0
