"""Verdicts that tell one side alone: who only complains does not say how often there was nothing to complain of."""

from __future__ import annotations

from inframind.advisor.options.logs import Array, Coded, Mask
from inframind.traces.advice import METRICS

_SUCCESS, _SOLVED, _ON_TIME = (METRICS.index(metric) for metric in ("success", "solved", "on_time"))
_FEW_MISSING = 0.05
"""Share of runs without a verdict up to which the others speak for them, whatever they say."""


def without_one_sided(is_known_RM: Mask, value_RM: Array, domain: Coded) -> tuple[Mask, list[str]]:
    """What is known of each run (R, M) where verdicts may speak for runs that have none, and where they may not.

    A run without a verdict counts through its like. That is wrong where a verdict is only given to answers that are
    wrong: all would be. So in a domain where every verdict on a run in time is "wrong" and many runs have none, success
    is not known; nor anywhere, where every verdict there is says "right": of many answers in a row that a domain has
    right, one in twenty may have been asked about, of all domains together hardly.
    """
    is_known_RM, told = is_known_RM.copy(), []
    in_time_R = value_RM[:, _ON_TIME] > 0
    is_domain_CR = [domain.code_N == code for code in range(len(domain.names))]
    complained = [
        name
        for name, is_domain_R in zip(domain.names, is_domain_CR, strict=True)
        if _forget(is_known_RM, in_time_R & is_domain_R, value_RM, says=0.0)
    ]
    if complained:
        told.append(
            f"Every verdict on a run in time in {', '.join(complained)} says wrong, and many runs have none: how many "
            "were right is not known. Record feedback on answers that are right, too."
        )
    if _forget(is_known_RM, in_time_R, value_RM, says=1.0):
        told.append(
            "Every verdict on a run in time says right, and many runs have none: how many were wrong is not known. "
            "Record feedback on answers that are wrong, too."
        )
    return is_known_RM, told


def _forget(is_known_RM: Mask, among_R: Mask, value_RM: Array, *, says: float) -> bool:
    """Take verdicts on some runs (R) for none, if all say the same and many are missing; whether that was so."""
    is_known_R = is_known_RM[:, _SOLVED] & among_R
    if not is_known_R.any() or (value_RM[is_known_R, _SOLVED] != says).any():
        return False
    if 1 - is_known_R.sum() / among_R.sum() <= _FEW_MISSING:
        return False
    for metric in (_SUCCESS, _SOLVED):
        is_known_RM[among_R, metric] = False
    return True
