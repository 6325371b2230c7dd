"""What every shelf checks in the same way, whatever it stands on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from inframind.errors import CheckpointError, ConfigError, LearnerMoved, StoreError, UnknownPolicy
from inframind.traces.records import Outcome, SolvedKeys
from inframind.traces.shelf import LessonState, PolicyVersion, Rollout, RolloutEvent

STATES: tuple[LessonState, ...] = ("pending", "matured", "unheard", "learned", "late")
MIN_PREFIX_DIGITS = 6
REPLICA_MEMORY_S = 86_400.0
"""A replica that has been silent for so long is forgotten when another one reports."""

_PREFIX = re.compile(rf"[0-9a-f]{{{MIN_PREFIX_DIGITS},64}}")


def digest_of(content: bytes) -> str:
    """The version that a policy's file is on a shelf: the SHA-256 of its bytes, as 64 hex digits."""
    return hashlib.sha256(content).hexdigest()


def checked_policy(version: PolicyVersion, content: bytes) -> PolicyVersion:
    """The version as it will be read again, but for its number.

    Raises:
        ConfigError: its digest is not that of the content.
        StoreError: its facts are no plain data.
    """
    if version.version != digest_of(content):
        raise ConfigError("version", version.version, f"give the content's own SHA-256, {digest_of(content)}")
    return replace(version, facts=plain(version.facts, f"policy {version.version[:12]}"))


def checked_event(event: RolloutEvent) -> RolloutEvent:
    """The event as it will be read again, but for its number.

    Raises:
        StoreError: its figures are no plain data.
    """
    return replace(event, figures=plain(event.figures, "roll-out event"))


def check_content(version: str, content: bytes) -> bytes:
    """The content, once it is known to be what was added.

    Raises:
        CheckpointError: it is not.
    """
    if digest_of(content) != version:
        raise CheckpointError(
            f"policy {version}",
            "what the store holds does not match its SHA-256",
            "restore the store from a copy, or roll back to another version",
        )
    return content


def check_version_prefix(prefix: str) -> str:
    """The prefix in lower case.

    Raises:
        ConfigError: too short, too long, or not hex.
    """
    lowered = prefix.lower()
    if not _PREFIX.fullmatch(lowered):
        raise ConfigError("version", prefix, f"give {MIN_PREFIX_DIGITS} to 64 hex digits of the version")
    return lowered


def only_version(prefix: str, candidates: Sequence[PolicyVersion]) -> PolicyVersion:
    """The one version that begins with a prefix, of those that do.

    Raises:
        UnknownPolicy: there is none.
        ConfigError: there are several.
    """
    if not candidates:
        raise UnknownPolicy(prefix)
    if len(candidates) > 1:
        examples = ", ".join(sorted(found.version[:12] for found in candidates)[:2])
        raise ConfigError("version", prefix, f"several versions begin so ({examples}, ...); give more digits")
    return candidates[0]


def check_keep(keep: int) -> int:
    """The number of versions to keep.

    Raises:
        ConfigError: fewer than one; the newest is always kept, so that no number is given out twice.
    """
    if keep < 1:
        raise ConfigError("keep", keep, "give 1 or more")
    return keep


def check_learned(learned: Sequence[str]) -> frozenset[str]:
    """The lessons of a commit.

    Raises:
        ConfigError: one is named twice.
    """
    names = frozenset(learned)
    if len(names) < len(learned):
        raise ConfigError("learned", f"{len(learned)} ids", "name each lesson once")
    return names


def require_last(learner: str, last: int, after: int) -> None:
    """Check that a learner's last commit is the one that the next one follows.

    Raises:
        LearnerMoved: it is not.
    """
    if last != after:
        raise LearnerMoved(learner, f"it is at commit {last}, not {after}")


def require_unlearned(learner: str, found: int, wanted: int) -> None:
    """Check that all lessons of a commit are there to be learned.

    Raises:
        LearnerMoved: some are not.
    """
    if found < wanted:
        missing = wanted - found
        raise LearnerMoved(learner, f"{missing} of {wanted} lessons are learned already, or forgotten")


def check_limit(limit: int | None) -> int | None:
    """The limit.

    Raises:
        ConfigError: below 1.
    """
    if limit is not None and limit < 1:
        raise ConfigError("limit", limit, "give 1 or more")
    return limit


def names_a_policy(event: RolloutEvent) -> bool:
    """Whether an event needs its version to be on the shelf: all do, but those that freeze, thaw or remark."""
    return bool(event.version) or event.stage is not None


def in_use(rollout: Rollout) -> frozenset[str]:
    """Versions that must not be forgotten."""
    return frozenset((rollout.serving, rollout.before, rollout.candidate)) - {""}


def plain(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The value as it will be read again: tuples become lists.

    Raises:
        StoreError: it is no plain JSON data, or holds a number that is not finite or a lone surrogate.
    """
    try:
        written = json.dumps(dict(value), allow_nan=False, ensure_ascii=False).encode()
        copied: dict[str, Any] = json.loads(written)
    except (TypeError, ValueError) as error:
        raise StoreError("encode", f"{name} is no plain JSON data: {error}") from error
    return copied


def lesson_state(
    *, arrived_at_s: float, heard_at_s: float | None, learned_at_s: float | None, unheard_by_s: float
) -> LessonState:
    """What has become of a lesson.

    Args:
        arrived_at_s: when its run arrived.
        heard_at_s: when the first verdict was recorded, or None.
        learned_at_s: when it was learned, or None.
        unheard_by_s: of runs that arrived until then, no verdict is expected any more.
    """
    if learned_at_s is not None:
        return "learned" if heard_at_s is None or heard_at_s <= learned_at_s else "late"
    if heard_at_s is not None:
        return "matured"
    return "unheard" if arrived_at_s <= unheard_by_s else "pending"


def heard_at_s(outcomes: Iterable[Outcome], keys: SolvedKeys) -> float | None:
    """When the first verdict was recorded, or None."""
    verdicts = {key for key, _ in keys.thresholds}
    said = (
        outcome.recorded_at_s for outcome in outcomes if outcome.key in verdicts and outcome.score is not None
    )
    return min(said, default=None)
