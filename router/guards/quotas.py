"""No flood of feedback drowns the rest: who is not trusted gives no more than a share of what is learned from.

A share is held against what *others* say: who is alone floods nobody, and is learned from. While a trusted source
speaks, shares are of what is let in; while none does, the others' share is of what they said, let in or not, for
otherwise sources that are few would hold each other down for ever.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
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
    """Labels in a window: the latest that came, let in or not. Who was not heard in it is not held against anybody."""
    free: int = 5
    """Labels of a source, and four times as many of a kind, that are let in whatever the others give: a beginning."""
    trusted_from: float = 1.0
    """Trust from which on a source has no quota."""

    def __post_init__(self) -> None:
        for name in ("most_share", "most_group_share", "trusted_from"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"online.guards.{name}", getattr(self, name), "use a share in (0, 1]")
        if not 0 <= self.free < self.window:
            raise ConfigError("online.guards.free", self.free, f"use a number in [0, {self.window})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Labels after the quotas.

    Attributes:
        kept: to learn from, by trace id.
        set_aside: surplus, by trace id; it stays in the store.
        recent: sources of the latest labels, each after ``+`` where it was let in and ``-`` where it was not, for the
            next time.
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
    window = _Window(config, trust or Trust(), recent)
    kept: dict[str, Label] = {}
    set_aside: dict[str, Label] = {}
    for trace_id, label in labels.items():
        has_room = window.has_room(label.source)
        window.add(label.source, has_room)
        (kept if has_room else set_aside)[trace_id] = label
    return Admission(kept=kept, set_aside=set_aside, recent=window.entries())


def kind_of(source: str) -> str:
    """``user:*`` of ``user:ann``; a source without a name is its own kind."""
    kind, colon, _ = source.partition(":")
    return f"{kind}:*" if colon else source


class _Window:
    """Who said how much lately, and how much of it was let in."""

    def __init__(self, config: QuotaConfig, trust: Trust, recent: Iterable[str]) -> None:
        self._config, self._trust = config, trust
        self._latest: deque[tuple[str, bool]] = deque()
        self._came: Counter[str] = Counter()
        self._let_in: Counter[str] = Counter()
        self._all_let_in = self._trusted_let_in = 0
        for entry in recent:
            self.add(entry[1:], entry.startswith("+"))

    def add(self, source: str, is_let_in: bool) -> None:
        """The latest label; the oldest is forgotten where there are too many."""
        self._latest.append((source, is_let_in))
        self._count(source, is_let_in, 1)
        if len(self._latest) > self._config.window:
            self._count(*self._latest.popleft(), -1)

    def has_room(self, source: str) -> bool:
        """Whether one more of a source is within its share, and within its kind's."""
        if self._is_trusted(source):
            return True
        config, kind = self._config, kind_of(source)
        own = self._is_within(source, config.most_share, config.free)
        return own and (kind == source or self._is_within(kind, config.most_group_share, 4 * config.free))

    def entries(self) -> tuple[str, ...]:
        """As `Admission.recent`."""
        return tuple(f"{'+' if is_let_in else '-'}{source}" for source, is_let_in in self._latest)

    def _is_within(self, name: str, share: float, free: int) -> bool:
        came_of_others = len(self._latest) - self._came[name]
        after = self._let_in[name] + 1
        if not came_of_others or after <= free:
            return True
        let_in_of_others = self._all_let_in - self._let_in[name]
        return after <= share * (after + (let_in_of_others if self._trusted_let_in else came_of_others))

    def _count(self, source: str, is_let_in: bool, by: int) -> None:
        let_in = by * is_let_in
        self._all_let_in += let_in
        self._trusted_let_in += let_in * self._is_trusted(source)
        for name in {source, kind_of(source)}:
            self._came[name] += by
            self._let_in[name] += let_in

    def _is_trusted(self, source: str) -> bool:
        return self._trust.of(source) >= self._config.trusted_from
