"""A histogram that can take many equal observations at once, which is what a batch of equal steps makes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence


class Tally:
    """Cumulative histogram with fixed upper bounds, as Prometheus counts them (a bound is inclusive).

    Attributes:
        bounds: upper bounds in ascending order; an infinite one is implied.
        counts: observations per bucket, the overflow bucket last; not cumulative.
        count: number of observations.
        total: sum of all observed values.
    """

    __slots__ = ("bounds", "count", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.count = 0
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count ``value`` as often as ``times`` says."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.count += times
        self.total += value * times

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """Pairs of upper bound (as Prometheus prints it) and observations up to it."""
        seen = 0
        for bound, count in zip(self.bounds, self.counts[:-1], strict=True):
            seen += count
            yield str(float(bound)), seen
        yield "+Inf", seen + self.counts[-1]
