"""Costs of late runs in domains where none is known: a call that was cut short does not say what it had written."""

from __future__ import annotations

import numpy as np

from inframind.advisor.options.logs import Array, Coded, Mask
from inframind.traces.advice import METRICS

_ON_TIME, _COST = METRICS.index("on_time"), METRICS.index("cost")
_FEWEST = 5
"""Late runs of known cost that speak for those of other domains."""


def with_late_costs(value_RM: Array, is_known_RM: Mask, domain: Coded) -> tuple[Array, Mask]:
    """What came of each run, and what of it is known (R, M), late runs of other domains speaking where none does.

    A run of unknown cost counts through its like, which are the late ones of its domain. Where the cost of none of them
    is known, the known costs of all late runs are dealt out to them in turn, in the order of the runs:
    their mean and their spread stay what they are.
    """
    late_R = value_RM[:, _ON_TIME] <= 0
    donors = np.flatnonzero(late_R & is_known_RM[:, _COST])
    if len(donors) < _FEWEST:
        return value_RM, is_known_RM
    speaks_C = np.bincount(domain.code_N[donors], minlength=len(domain.names)) > 0
    silent = np.flatnonzero(late_R & ~speaks_C[domain.code_N])
    value_RM, is_known_RM = value_RM.copy(), is_known_RM.copy()
    value_RM[silent, _COST] = value_RM[np.resize(donors, len(silent)), _COST]
    is_known_RM[silent, _COST] = True
    return value_RM, is_known_RM
