"""Ways of failing: how a run failed, and with which symptom, where symptoms tell failures from runs that did not fail.

A run that was cut at its token limit and a run that was plainly wrong are both wrong, but of different causes. Symptoms
(reasons to finish, errors) say how and never why: they would win against every cause, and leave it nothing to explain.
Late runs have no symptoms, for their timeouts are what being late consists of.

Ways stand in an order, and a run is in the first that fits: failed, late, wrong; symptoms before none. Each is looked
at among the runs that are in no earlier one (continuation ratios). A late answer could not show that it was wrong, so
whatever makes runs late would else seem to guard against wrong answers; leaving out every other failure would make it
seem to cause them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import NormalDist

from inframind.advisor.clustering.config import ClusterConfig
from inframind.advisor.clustering.contrast import proportions_z
from inframind.advisor.clustering.observing import SYMPTOMS, USUAL_ENDS, Facts, Flags, Observed
from inframind.advisor.failure import FailureKind

_WITH_SYMPTOMS: tuple[FailureKind, ...] = ("failed", "wrong")
_KINDS: tuple[FailureKind, ...] = ("failed", "late", "wrong")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Runs that failed in the same way.

    Attributes:
        kind: how they failed.
        symptom: what they show, or nothing.
        failing_N: which they are.
        known_N: which could be: all that ended, are in no earlier way, and were judged where that matters.
        fine_N: which of them did not fail at all.
    """

    kind: FailureKind
    symptom: Facts
    failing_N: Flags = field(repr=False)
    known_N: Flags = field(repr=False)
    fine_N: Flags = field(repr=False)


def ways_of(observed: Observed, config: ClusterConfig) -> tuple[Way, ...]:
    """Every way in which a run failed, in their order; each failure is in one."""
    found: list[Way] = []
    left_N = observed.ended_N
    for kind in _KINDS:
        known_N = left_N & observed.judged_N if kind == "wrong" else left_N
        found.extend(_of_kind(observed, kind, known_N, config))
        left_N = left_N & ~observed.failed_as_N(kind)
    return tuple(found)


def _of_kind(observed: Observed, kind: FailureKind, known_N: Flags, config: ClusterConfig) -> Iterator[Way]:
    """Its ways: one for each telling symptom that enough of its failures show, and one for the others."""
    failing_N = observed.failed_as_N(kind)
    fine_N = known_N & observed.fine_N
    least = config.least_of(len(observed.failed))
    for symptom in (*_telling(observed, kind, failing_N, fine_N, config), ()):
        shows_N = failing_N & known_N & observed.holds_N(symptom)
        if shows_N.sum() >= (least if symptom else 1):
            yield Way(kind=kind, symptom=symptom, failing_N=shows_N, known_N=known_N, fine_N=fine_N)
            known_N = known_N & ~shows_N


def _telling(
    observed: Observed, kind: FailureKind, failing_N: Flags, fine_N: Flags, config: ClusterConfig
) -> list[Facts]:
    """Symptoms that are more frequent in failures of a kind than in runs that did not fail, most telling first."""
    if kind not in _WITH_SYMPTOMS:
        return []
    symptoms = [
        facts for facts in observed.singles.facts if facts[0][0] in SYMPTOMS and facts[0][1] not in USUAL_ENDS
    ]
    least_z = NormalDist().inv_cdf(1 - config.false_alarms / len(_KINDS) / max(1, len(symptoms)))
    z_of = {symptom: proportions_z(observed.holds_N(symptom), failing_N, fine_N) for symptom in symptoms}
    telling = (symptom for symptom in symptoms if z_of[symptom] >= least_z)
    return sorted(telling, key=lambda symptom: (-z_of[symptom], symptom))
