"""How far a trial has come, and how far it is to go.

Runs count when they are settled, perhaps an hour after they began. What busy applications serve meanwhile at an early
share is more than that stage takes, and is not what the trial was to be spent on.
"""

from __future__ import annotations

from collections.abc import Iterator

from inframind.router.gate.config import GateConfig, information
from inframind.router.gate.evidence import Evidence


def length(evidence: Evidence, config: GateConfig) -> int:
    """Runs of a trial so far, of each early stage at most those that it takes; `GateConfig.most_runs` ends it."""
    return evidence.runs - sum(runs for _, runs in _surplus(evidence, config))


def planned(evidence: Evidence, config: GateConfig) -> float:
    """Information at the trial's end: what was planned, and what runs beyond that bring. Hangs on no outcome."""
    beyond = sum(runs * information(share) for share, runs in _surplus(evidence, config))
    return config.planned_information + beyond


def _surplus(evidence: Evidence, config: GateConfig) -> Iterator[tuple[float, int]]:
    """Runs of each early stage beyond those that it takes."""
    for share in config.rungs[:-1]:
        yield share, max(evidence.at(share) - config.least_runs, 0)
