"""No flood of feedback drowns the rest: who is not trusted gives no more than a share of what is learned from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from inframind.errors import ConfigError
from inframind.router.guards.labels import Trust
from inframind.router.online.protocol import Label


@dataclass(frozen=True, kw_only=True)
class QuotaConfig:
    """How much one source may say.

    Raises:
        ConfigError: a number out of its range.
    """

    most_share: float = 0.2
    """Share of the labels in a window that one source which is not trusted may give."""
    most_group_share: float = 0.5
    """Share that all sources of one kind (``user:ann`` and ``user:bob`` are of kind ``user``) may give together."""
    window: int = 500
    """Labels in a window: the latest that were let in."""
    free: int = 5
    """Labels of a source, and four times as many of a kind, that are let in whatever the others give: a beginning."""
    trusted_from: float = 1.0
    """Trust from which on a source has no quota."""

    def __post_init__(self) -> None:
        for name in ("most_share", "most_group_share", "trusted_from"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"guards.quotas.{name}", getattr(self, name), "use a share in (0, 1]")
        if not 0 <= self.free < self.window:
            raise ConfigError("guards.quotas.free", self.free, f"use a number in [0, {self.window})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Labels after the quotas.

    Attributes:
        kept: to learn from, by trace id.
        set_aside: surplus, by trace id; it stays in the store.
        recent: sources of the latest labels that were let in, for the next time.
    """

    kept: Mapping[str, Label]
    set_aside: Mapping[str, Label]
    recent: tuple[str, ...]

    @property
    def surplus(self) -> dict[str, int]:
        """Labels set aside, by source."""
        return dict(Counter(label.source for label in self.set_aside.values()))


def admit(
    labels: Mapping[str, Label],
    config: QuotaConfig,
    *,
    trust: Trust | None = None,
    recent: tuple[str, ...] = (),
) -> Admission:
    """Let labels in as they come, while their source has room in the window.

    Args:
        labels: by trace id, in the order in which they were given.
        config: how much one source may say.
        trust: who has no quota.
        recent: as the last `Admission` left it.
    """
    trust = trust or Trust()
    window = list(recent[-config.window :])
    counts = Counter(key for source in window for key in {source, kind_of(source)})
    kept: dict[str, Label] = {}
    set_aside: dict[str, Label] = {}
    for trace_id, label in labels.items():
        if trust.of(label.source) < config.trusted_from and not _has_room(
            label.source, counts, len(window), config
        ):
            set_aside[trace_id] = label
            continue
        kept[trace_id] = label
        window.append(label.source)
        counts.update({label.source, kind_of(label.source)})
        if len(window) > config.window:
            first = window.pop(0)
            counts.subtract({first, kind_of(first)})
    return Admission(kept=kept, set_aside=set_aside, recent=tuple(window))


def kind_of(source: str) -> str:
    """``user:*`` of ``user:ann``; a source without a name is its own kind."""
    kind, colon, _ = source.partition(":")
    return f"{kind}:*" if colon else source


def _has_room(source: str, counts: Mapping[str, int], n: int, config: QuotaConfig) -> bool:
    after = min(n + 1, config.window)
    own = counts.get(source, 0) + 1 <= max(config.free, config.most_share * after)
    if kind_of(source) == source:
        return own
    of_kind = counts.get(kind_of(source), 0) + 1
    return own and of_kind <= max(4 * config.free, config.most_group_share * after)
