"""Follows the roll-out: loads what is to serve beside the requests, swaps, says what serves, outlives outages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inframind.errors import (
    CheckpointError,
    ConfigError,
    RolloutMoved,
    StoreClosed,
    StoreError,
    UnknownPolicy,
)
from inframind.fleet.clock import Clock
from inframind.fleet.snapshot import EndpointLoad
from inframind.graphs.services import Services
from inframind.router.policy_file import StoredPolicy
from inframind.router.policy_shelf import Bind, getting_ready
from inframind.router.rollout import VERSION_DIGITS, Lineup, Served
from inframind.traces.shelf import PolicyVersion, Replica, Rollout, RolloutEvent, Shelf

_log = logging.getLogger(__name__)
BREATH_S = 0.01
"""Pause between two pieces of work on a version, so that a request meets a few milliseconds of work at most."""
PRESENT_S = 15.0
"""Age of a process's latest report up to which it counts as present, at least."""
_DOUBLINGS = 30
"""Enough for any wait; two to the power of a thousand is no float."""
_REFUSED = (CheckpointError, ConfigError, UnknownPolicy)


@dataclass(frozen=True, kw_only=True)
class FollowConfig:
    """How a process follows the roll-out."""

    report_s: float = 5.0
    """Seconds between two reports of what this process serves; also the longest wait for a missed notification."""
    first_backoff_s: float = 0.5
    """Wait after a first failure of the store; doubles with each."""
    max_backoff_s: float = 15.0
    """Longest wait between two tries."""

    def __post_init__(self) -> None:
        for name in ("report_s", "first_backoff_s", "max_backoff_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"online.{name}", getattr(self, name), "use a positive number of seconds")


class Follower:
    """Keeps one process with the roll-out. All of it runs on the loop of `follow`, which should not be the requests'.

    Args:
        shelf: where versions and the roll-out are.
        services: whose versions are swapped.
        name: of this process, unique.
        clock: time.
        config: how often, how patiently.
        about: plain facts about the process, for its reports.
        bind: makes a policy that serves of one that was learned.

    Attributes:
        refused: why versions are not served here, by version.
        others: what the processes that reported lately said, this one among them.
        failures: failures of the store since it last answered.
    """

    def __init__(
        self,
        shelf: Shelf,
        services: Services,
        *,
        name: str,
        clock: Clock,
        config: FollowConfig | None = None,
        about: Mapping[str, Any] | None = None,
        bind: Bind = StoredPolicy.bind,
    ) -> None:
        self._shelf, self._services, self._clock = shelf, services, clock
        self._config, self._about, self._bind = config or FollowConfig(), dict(about or {}), bind
        self.name = name
        self.refused: dict[str, str] = {}
        self.others: Sequence[Replica] = ()
        self.failures = 0
        self._told = set(services.versions.configured.decider.book.without_effect)
        self._reported_s = float("-inf")

    async def follow(self) -> None:
        """Follow until cancelled, or until the store is closed.

        A store that fails is tried again, ever more seldom, while serving goes on.
        """
        while True:
            try:
                await self.catch_up()
                await self._report_when_due()
                number = self._services.versions.lineup.rollout.number
                await self._shelf.wait(after=number, timeout_s=self._config.report_s)
            except StoreError as error:
                await self._wait_out(error)
            except StoreClosed:
                return
            else:
                self._note_answer()

    async def catch_up(self) -> Lineup:
        """Serve what the shelf says is to be served, and what serves here afterwards.

        What cannot be loaded is refused: the version that served before goes on.

        Raises:
            StoreError: the shelf cannot be read.
        """
        versions = self._services.versions
        rollout = await self._shelf.rollout()
        now = versions.lineup
        if rollout.number == now.rollout.number:
            return now
        serving = await self._loaded(rollout.serving) or now.serving
        candidate = await self._loaded(rollout.candidate) if rollout.candidate else None
        lineup = Lineup(serving=serving, candidate=candidate, rollout=rollout)
        versions.serve(lineup)
        _log.info("%s", _in_words(now, lineup))
        self._reported_s = float("-inf")
        return lineup

    async def recall(self, prefix: str) -> None:
        """Have the version at hand that a resumed run began with; where it cannot be had, what serves will do.

        Raises:
            StoreError: the shelf cannot be read.
        """
        try:
            found = await self._shelf.policy(prefix)
        except (UnknownPolicy, ConfigError):
            return
        await self._loaded(found.version)

    async def report(self) -> None:
        """Say what is served here, and hear what others serve.

        Raises:
            StoreError: the shelf cannot be written.
        """
        lineup, now_s = self._services.versions.lineup, self._clock.wall_s()
        await self._shelf.report(
            Replica(
                name=self.name,
                at_s=now_s,
                serving=lineup.serving.version,
                candidate=lineup.candidate.version if lineup.candidate else "",
                facts=self._facts(lineup.rollout),
            )
        )
        self.others = await self._shelf.replicas(since_s=now_s - max(3 * self._config.report_s, PRESENT_S))
        self._reported_s = self._clock.now_s()

    async def _report_when_due(self) -> None:
        if self._clock.now_s() - self._reported_s >= self._config.report_s:
            await self.report()

    # Loading -------------------------------------------------------------------------------------------

    async def _loaded(self, version: str) -> Served | None:
        """The version, ready; None where it was refused."""
        versions = self._services.versions
        known = versions.loaded(version)
        if known is not None or version in self.refused:
            return known
        try:
            row = await self._shelf.policy(version)
            content = await self._shelf.policy_content(version)
            served = await self._made_ready(row, content)
        except _REFUSED as error:
            await self._refuse(version, str(error))
            return None
        versions.keep(served)
        self._tell_without_effect(served)
        return served

    def _tell_without_effect(self, served: Served) -> None:
        """What of its rules speaks of what is gone here, said once: every version that is learned on has them, too."""
        for one in served.decider.book.without_effect:
            if one not in self._told:
                self._told.add(one)
                _log.warning("%s is served here as it is, but %s", _name(served), one)

    async def _made_ready(self, version: PolicyVersion, content: bytes) -> Served:
        """Piece by piece, so that no request waits long for the interpreter."""
        beside, snapshot = self._services.versions.configured.decider, self._services.fleet.snapshot()
        pieces = getting_ready(version, content, beside, snapshot, self._clock, self._bind)
        while True:
            try:
                next(pieces)
            except StopIteration as end:
                served: Served = end.value
                return served
            await asyncio.sleep(BREATH_S)

    async def _refuse(self, version: str, reason: str) -> None:
        self.refused[version] = reason
        _log.error("version %s is not served here: %s", version[:VERSION_DIGITS], reason)
        await self._remark(version, f"{self.name} cannot serve it: {reason}")

    async def _remark(self, version: str, reason: str) -> None:
        """Say it among the roll-out's events, unless another process did; overtaken, look again."""
        while True:
            rollout = await self._shelf.rollout()
            events = await self._shelf.events()
            if any(event.version == version and event.by.startswith("replica:") for event in events):
                return
            remark = RolloutEvent(
                at_s=self._clock.wall_s(),
                version=version,
                stage=None,
                frozen=rollout.frozen,
                by=f"replica:{self.name}",
                reason=reason,
            )
            try:
                await self._shelf.append(remark, after=rollout.number)
            except RolloutMoved:
                continue
            except UnknownPolicy:  # pruned: nothing can be said of it any more
                return
            return

    # Outages -------------------------------------------------------------------------------------------

    async def _wait_out(self, error: StoreError) -> None:
        wait_s = min(
            self._config.first_backoff_s * 2.0 ** min(self.failures, _DOUBLINGS), self._config.max_backoff_s
        )
        if not self.failures:
            _log.warning("the roll-out is not followed until the store answers again: %s", error)
        self.failures += 1
        await asyncio.sleep(wait_s)

    def _note_answer(self) -> None:
        if self.failures:
            _log.info("the store answers again after %d failures; the roll-out is followed", self.failures)
        self.failures = 0

    # Words ---------------------------------------------------------------------------------------------

    def _facts(self, rollout: Rollout) -> dict[str, Any]:
        loads = self._services.fleet.snapshot().loads.values()
        return {
            **self._about,
            "event": rollout.number,
            "in_flight": sum(load.in_flight for load in loads),
            "endpoints": {load.endpoint: _load_facts(load) for load in loads},
            "refused": dict(self.refused),
            "without_effect": self._without_effect(),
        }

    def _without_effect(self) -> list[str]:
        """What of rules does nothing here, in what serves and what is tried."""
        lineup = self._services.versions.lineup
        books = [served.decider.book for served in (lineup.serving, lineup.candidate) if served]
        return list(dict.fromkeys(str(one) for book in books for one in book.without_effect))


def _load_facts(load: EndpointLoad) -> dict[str, Any]:
    return {
        "breaker": load.breaker,
        "in_flight": load.in_flight,
        "running": load.running,
        "waiting": load.waiting,
        "age_s": load.age_s,
    }


def _in_words(before: Lineup, after: Lineup) -> str:
    said = f"serving {_name(after.serving)}"
    if after.serving is not before.serving:
        said += f" instead of {_name(before.serving)}"
    if after.candidate is not None:
        said += f"; {after.rollout.stage} of {_name(after.candidate)} with {after.rollout.share:.0%} of runs"
    return said


def _name(served: Served) -> str:
    digits = served.version[:VERSION_DIGITS]
    return f"version {digits}" if digits else f"the configured policy ({served.policy.name})"
