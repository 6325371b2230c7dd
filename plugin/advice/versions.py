"""Policy versions that carry what was accepted: the policy that serves with rules more, or with rules less."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from inframind.fleet.clock import Clock
from inframind.router.policy_file import StoredPolicy
from inframind.router.policy_shelf import content_of, policy_of, version_of
from inframind.router.rules import RoutingRule
from inframind.traces.shelf import Shelf

ADVISOR = "advisor"
"""Who makes them."""
_KEPT = 3
"""Versions that are kept in memory: what serves, what is tried, and one more."""


class Versions:
    """Reads versions, and makes them.

    Args:
        shelf: where they are.
        configured: gives the policy that serves where nothing is published.
        clock: time.
    """

    def __init__(self, shelf: Shelf, configured: Callable[[], StoredPolicy], clock: Clock) -> None:
        self._shelf, self._configured, self._clock = shelf, configured, clock
        self._read: dict[str, StoredPolicy] = {}

    async def stored(self, version: str) -> StoredPolicy:
        """A version as it lies on the shelf; "" is the configured policy.

        Raises:
            UnknownPolicy, CheckpointError: it is gone, or this release cannot read it.
        """
        if version not in self._read:
            if len(self._read) >= _KEPT:
                self._read.clear()
            self._read[version] = await self._stored(version)
        return self._read[version]

    async def _stored(self, version: str) -> StoredPolicy:
        if not version:
            return self._configured()
        return policy_of(await self._shelf.policy(version), await self._shelf.policy_content(version))

    async def advice_in(self, version: str) -> frozenset[str]:
        """Ids of the recommendations whose rules a version has.

        Raises:
            UnknownPolicy, CheckpointError: as `stored`.
        """
        return frozenset(rule.advice for rule in (await self.stored(version)).rules if rule.advice)

    async def put_with(self, parent: str, rules: Iterable[RoutingRule], facts: Mapping[str, Any]) -> str:
        """A version with rules more, on the shelf; making it again changes nothing.

        Raises:
            UnknownPolicy, CheckpointError: as `stored`.
        """
        stored = await self.stored(parent)
        return await self._put(replace(stored, rules=(*stored.rules, *rules)), parent, facts)

    async def put_without(self, parent: str, advice: Collection[str], facts: Mapping[str, Any]) -> str:
        """A version without the rules of some recommendations, on the shelf.

        Raises:
            UnknownPolicy, CheckpointError: as `stored`.
        """
        stored = await self.stored(parent)
        rules = tuple(rule for rule in stored.rules if rule.advice not in advice)
        return await self._put(replace(stored, rules=rules), parent, facts)

    async def _put(self, stored: StoredPolicy, parent: str, facts: Mapping[str, Any]) -> str:
        content = content_of(stored)
        row = version_of(
            content,
            parent=parent,
            created_at_s=self._clock.wall_s(),
            created_by=ADVISOR,
            facts=facts,
        )
        return (await self._shelf.add_policy(row, content)).version
