"""Which policy serves which run: several versions side by side, each run with one of them for its whole life.

A run is assigned when it makes its first decision, and its recorder holds on to the decider from then on; a version
that no run uses any more is forgotten. What serves from now on is replaced by one assignment, so that nobody waits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from inframind.router.decide import Decider
from inframind.router.gate.arms import arm_of
from inframind.router.policy import Policy
from inframind.traces.records import Decision
from inframind.traces.shelf import Rollout

VERSION_DIGITS = 12
"""Digits of a version that decisions carry as their ``policy_version``."""
RECENT = 4
"""Versions that served lately and are kept, for runs that are resumed and for a rollback."""


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """A version that is ready to decide.

    Attributes:
        version: whole digest, or "" for the configured policy.
        decider: decides by it.
    """

    version: str
    decider: Decider

    @property
    def policy(self) -> Policy:
        """Who proposes."""
        return self.decider.policy


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """What a run is given.

    Attributes:
        decider: decides for it, to its end.
        facts: how it was dealt out, as plain data for its trace; empty where nothing is being tried. ``event`` is the
            number of the roll-out's event, ``candidate`` the version on trial, ``arm`` who serves the run, ``share``
            the probability with which that had been the candidate.
    """

    decider: Decider
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Lineup:
    """What serves: never changed, only replaced.

    Attributes:
        serving: serves every run but the candidate's.
        candidate: version that is being tried, or None.
        rollout: by which runs are dealt out.
    """

    serving: Served
    candidate: Served | None = None
    rollout: Rollout = field(default_factory=Rollout)

    def assign(self, key: str) -> Assignment:
        """Who serves the runs of a thread, or a run without one."""
        if self.candidate is None:
            return Assignment(self.serving.decider)
        arm, rollout = arm_of(key, self.rollout), self.rollout
        served = self.candidate if arm == "candidate" else self.serving
        facts = {"event": rollout.number, "candidate": rollout.candidate, "arm": arm, "share": rollout.share}
        return Assignment(served.decider, facts)


class ServingVersions:
    """Deals runs out to versions. Reads one reference and takes no lock.

    Args:
        configured: decides by the configured policy, which serves until somebody publishes a version.

    Attributes:
        recall: loads the version that a resumed run began with, where it is no longer in memory.
    """

    def __init__(self, configured: Decider) -> None:
        self.configured = Served("", configured)
        self.recall: Callable[[str], Awaitable[None]] | None = None
        self._lineup = Lineup(serving=self.configured)
        self._recent: OrderedDict[str, Served] = OrderedDict()
        # Deciders live as long as a run holds them.
        self._known: WeakValueDictionary[tuple[str, str], Decider] = WeakValueDictionary()

    @property
    def lineup(self) -> Lineup:
        """What serves now."""
        return self._lineup

    def serve(self, lineup: Lineup) -> None:
        """Serve runs that begin from now on by this; runs that have begun keep what they have."""
        for served in (lineup.serving, lineup.candidate):
            if served is not None:
                self.keep(served)
        self._lineup = lineup

    def keep(self, served: Served) -> None:
        """Have a version at hand for runs that began with it."""
        if served.version:
            self._recent[served.version] = served
            self._recent.move_to_end(served.version)
            self._known[_mark(served.policy)] = served.decider
            while len(self._recent) > RECENT:
                self._recent.popitem(last=False)

    def loaded(self, version: str) -> Served | None:
        """The version, where it is in memory and ready."""
        return self._recent.get(version) if version else self.configured

    def assign(self, key: str, decisions: Sequence[Decision]) -> Assignment:
        """Who decides for a run.

        Args:
            key: its thread's id, or else its own: what has the same key has the same arm.
            decisions: those that it has made already, here or elsewhere; by them it keeps its version, or where that
                is gone goes on with what serves.
        """
        lineup = self._lineup
        if decisions:
            return Assignment(self._begun_with(decisions[0]) or lineup.serving.decider)
        return lineup.assign(key)

    def is_at_hand(self, decisions: Sequence[Decision]) -> bool:
        """Whether a run that made these decisions can go on with its version at once."""
        return not decisions or self._begun_with(decisions[0]) is not None

    async def remember(self, decisions: Sequence[Decision]) -> None:
        """Have the version of a resumed run at hand, where it can still be had."""
        if self.recall is not None and not self.is_at_hand(decisions):
            await self.recall(decisions[0].policy_version)

    def _begun_with(self, decision: Decision) -> Decider | None:
        mark = (decision.policy, decision.policy_version)
        if mark == _mark(self.configured.policy):
            return self.configured.decider
        return self._known.get(mark)


def _mark(policy: Policy) -> tuple[str, str]:
    """How a policy signs its decisions."""
    return policy.name, policy.version
