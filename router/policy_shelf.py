"""Policies as they lie on the shelf, and back: bytes, whence they came, and a decider that is ready to serve them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from inframind.errors import CheckpointError, ConfigError
from inframind.fleet.clock import Clock, Deadline
from inframind.fleet.snapshot import FleetSnapshot
from inframind.router.actions import ActionSpace
from inframind.router.decide import Decider
from inframind.router.features import FEATURES_VERSION
from inframind.router.learning.checkpoint import checkpoint_in
from inframind.router.policy import Policy
from inframind.router.policy_file import StoredPolicy, policy_bytes, policy_in
from inframind.router.rollout import VERSION_DIGITS, Served
from inframind.router.rulebook import after_own
from inframind.router.views import Query, Slot
from inframind.traces.shelf import PolicyVersion

Bind = Callable[[StoredPolicy, ActionSpace], Policy]
"""Makes a policy that serves of one that was learned: as it is, or exploring."""
T = TypeVar("T")
_DOES_NOT_FIT = (ArithmeticError, LookupError, TypeError, ValueError)
"""What arrays of the wrong shape, or names that are missing, raise where they are used."""


def content_of(stored: StoredPolicy) -> bytes:
    """The policy's file; the same policy gives the same bytes.

    Raises:
        CheckpointError: a weight is not finite.
    """
    return policy_bytes(stored)


def version_of(
    content: bytes, *, parent: str = "", created_at_s: float, created_by: str, facts: Mapping[str, Any]
) -> PolicyVersion:
    """The version that a policy's file is, once it is put on the shelf."""
    return PolicyVersion(
        version=hashlib.sha256(content).hexdigest(),
        parent=parent,
        created_at_s=created_at_s,
        created_by=created_by,
        features_version=FEATURES_VERSION,
        facts=facts,
    )


def policy_of(version: PolicyVersion, content: bytes) -> StoredPolicy:
    """The policy that a version holds, verified; its decisions are signed with the version's first digits.

    Raises:
        CheckpointError: damaged, over other feature columns, or written by a newer release.
    """
    return _whole(_reading(version, content))


def _reading(version: PolicyVersion, content: bytes) -> Generator[None, None, StoredPolicy]:
    """`policy_of` in pieces."""
    name = f"version {version.version[:VERSION_DIGITS]}"
    if version.features_version != FEATURES_VERSION:
        raise CheckpointError(
            name,
            f"trained on features version {version.features_version!r}, this release serves {FEATURES_VERSION!r}",
            "serve it with the release that it was trained with, or train anew",
        )
    try:
        checkpoint = checkpoint_in(content, name, features_version=FEATURES_VERSION)
        yield
        return replace(policy_in(checkpoint), version=version.version)
    except CheckpointError as error:
        raise CheckpointError(name, error.what, error.fix) from error


def _whole(pieces: Generator[None, None, T]) -> T:
    """All pieces at once."""
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            made: T = end.value
            return made


def ready_to_serve(
    version: PolicyVersion, content: bytes, beside: Decider, snapshot: FleetSnapshot, clock: Clock
) -> Served:
    """A version bound to a fleet's candidates, which has decided once of everything.

    Args:
        version: what it is.
        content: its file.
        beside: whose candidates, forecasts, chance and rules it shares; the version's own rules come after those.
        snapshot: the fleet's load, to try it on.
        clock: time.

    Raises:
        CheckpointError: it cannot be read, or cannot decide over these candidates.
    """
    return _whole(getting_ready(version, content, beside, snapshot, clock))


def getting_ready(
    version: PolicyVersion,
    content: bytes,
    beside: Decider,
    snapshot: FleetSnapshot,
    clock: Clock,
    bind: Bind = StoredPolicy.bind,
) -> Generator[None, None, Served]:
    """`ready_to_serve` in pieces of a few milliseconds, for a thread beside those that wait for the interpreter."""
    stored = yield from _reading(version, content)
    yield
    try:
        decider = beside.with_policy(bind(stored, beside.actions))
        decider = decider.with_rules(after_own(beside.own_rules, stored.rules))
        yield
        yield from _try_out(decider, snapshot, clock)
    except (ConfigError, *_DOES_NOT_FIT) as error:
        raise CheckpointError(
            f"version {version.version[:VERSION_DIGITS]}",
            f"it cannot decide over this fleet's candidates: {error}",
            "train it anew for this fleet",
        ) from error
    return Served(version.version, decider)


def _try_out(decider: Decider, snapshot: FleetSnapshot, clock: Clock) -> Iterator[None]:
    """One decision of each kind, by chance of its own: what is slow the first time is slow now."""
    aside = decider.with_policy(decider.policy, rng=np.random.default_rng(0))
    query = Query(text="How many primes are below 100?", domain="math", prompt_tokens=8)
    deadline = Deadline.after(60.0, clock)
    plan, _ = aside.plan(query, snapshot, deadline, decision_id="trial")
    yield
    slot = Slot(topology=plan.topology.name, role=plan.team[0], team_size=len(plan.team))
    aside.step(query, slot, snapshot, deadline, decision_id="trial")
    yield
    aside.pace(
        query,
        plan.topology,
        round_number=1,
        agreement=0.5,
        stagnation=0.0,
        snapshot=snapshot,
        deadline=deadline,
        decision_id="trial",
        team_size=len(plan.team),
    )
