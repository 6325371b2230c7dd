"""A look at an application: what fails, what could be changed, and how it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from inframind.advisor.cluster import FailureCluster
from inframind.advisor.option import Option
from inframind.advisor.under_rules import InForce


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What was found in some runs. Kept in the store as plain data, read by everything that recommends.

    Attributes:
        at_s: when it was made, seconds since the Unix epoch.
        configuration_id: of the configuration that served most recently.
        runs: runs that were read.
        labelled: of those, with a verdict.
        failures: of those, that failed.
        since_s: earliest arrival.
        until_s: latest arrival.
        clusters: failure patterns, largest first.
        options: changes that could be recommended.
        notes: what a person should know: what could not be looked at, and why.
        in_force: accepted advice, and how the runs do that it narrowed.
        stored: runs in the store when it was made; 0 where nobody counted.
        under: ids of the recommendations whose rules were in force when it was made: what its options promise is
            predicted with them.
    """

    at_s: float
    configuration_id: str
    runs: int
    labelled: int
    failures: int
    since_s: float
    until_s: float
    clusters: tuple[FailureCluster, ...] = ()
    options: tuple[Option, ...] = ()
    notes: tuple[str, ...] = field(default=())
    in_force: tuple[InForce, ...] = ()
    stored: int = 0
    under: tuple[str, ...] = ()

    def cluster(self, cluster_id: str) -> FailureCluster | None:
        """The failure pattern of that id, or None."""
        return next((one for one in self.clusters if one.cluster_id == cluster_id), None)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        found: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return found

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Analysis:
        """What `to_json` gave.

        Raises:
            pydantic.ValidationError: it is not.
        """
        return _ADAPTER.validate_python(data)


_ADAPTER: TypeAdapter[Analysis] = TypeAdapter(Analysis)
