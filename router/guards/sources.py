"""Does a source say what others say? Its labels are held against predictions, and those of the trusted beside them.

An honest source may be stricter or milder than a grader, by a little. One whose labels are far better or worse than
predicted, on any slice of the answers (a model and strategy, say), while trusted labels on that slice are not, is
suspected, and not heard until it is cleared: by people, or because its later labels bring it back in line. Slices
matter: who praises long answers and damns short ones may be right on average.

Labels are compared with those of the same time only, block by block, and old blocks are forgotten: when the world
changes, whoever is heard after the change must not be held against what was said before it. Where no trusted label is
at hand, a source is suspected when it departs from predictions *and* from all others; where all depart alike, it is
the world that has changed, and a source that is alone has nobody to be held against.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import reduce
from typing import Any, Self

from inframind.errors import ConfigError
from inframind.router.confidence import FEWEST, Interval, Moments, Pair, difference_interval, mean_interval
from inframind.router.guards.labels import Trust
from inframind.router.guards.quotas import kind_of
from inframind.traces.records import Trajectory

_TRUSTED, _OTHERS = "", "*"
"""Names under which the labels of all trusted, and of all other sources are kept."""


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """When a source is suspected.

    Raises:
        ConfigError: a number out of its range.
    """

    delta: float = 0.01
    """Chance that an honest source is ever suspected because of one slice, however often one looks."""
    margin: float = 0.1
    """Difference from trusted labels, as a share of labels, that is borne."""
    margin_alone: float = 0.2
    """Difference from predictions, and from all others, that is borne where no trusted label is at hand."""
    trusted_from: float = 1.0
    """Trust from which on a source is what others are held against."""
    tuned_for: float = 100.0
    """Labels by which a difference is to be found."""
    block: int = 1000
    """Labels that count as given at the same time."""
    blocks: int = 4
    """Blocks that are remembered."""

    def __post_init__(self) -> None:
        for name in ("delta", "margin", "margin_alone", "trusted_from"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"guards.sources.{name}", getattr(self, name), "use a share in (0, 1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSample:
    """A label beside its prediction.

    Attributes:
        source: who gave it.
        slice: what kind of answer it is about.
        solved: the label, 0 to 1.
        expected: P(solved) as predicted before.
    """

    source: str
    slice: str
    solved: float
    expected: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """Why a source is not heard.

    Attributes:
        source: it, or a kind of sources such as ``user:*``.
        slice: where it departs.
        bias: by how much its labels are above what trusted ones say there, at least and at most.
        labels: number of its labels there.
    """

    source: str
    slice: str
    bias: Interval
    labels: int

    def __str__(self) -> str:
        return (
            f"{self.source} departs from what is known about {self.slice or 'answers'} "
            f"by {self.bias.low:+.0%} to {self.bias.high:+.0%} ({self.labels} labels)"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBook:
    """What sources said beyond predictions, by block, source and slice; trusted ones are kept together.

    Attributes:
        config: when a source is suspected.
        trust: in whom.
        surplus: of ``solved - expected``, by number of the block, source and slice.
    """

    config: SourceConfig = field(default_factory=SourceConfig)
    trust: Trust = field(default_factory=Trust)
    surplus: Mapping[tuple[int, str, str], Moments] = field(default_factory=dict)

    def plus(self, samples: Iterable[SourceSample]) -> SourceBook:
        """With more labels; count those of suspected sources too, or they can never be cleared."""
        surplus = dict(self.surplus)
        block = max((number for number, _, _ in surplus), default=0)
        filled = sum(
            said.n
            for (number, name, _), said in surplus.items()
            if number == block and name in (_TRUSTED, _OTHERS)
        )
        for sample in samples:
            if filled >= self.config.block:
                block, filled = block + 1, 0
            for name in self._names(sample.source):
                place = (block, name, sample.slice)
                surplus[place] = surplus.get(place, Moments()).add(sample.solved - sample.expected)
            filled += 1
        recent = {place: said for place, said in surplus.items() if place[0] > block - self.config.blocks}
        return SourceBook(config=self.config, trust=self.trust, surplus=recent)

    def suspicions(self) -> list[Suspicion]:
        """Every source and kind that is suspected, with the slice on which most of its labels are."""
        worst: dict[str, Suspicion] = {}
        by_place: dict[tuple[str, str], dict[int, Moments]] = defaultdict(dict)
        for (block, name, part), said in self.surplus.items():
            if name not in (_TRUSTED, _OTHERS):
                by_place[name, part][block] = said
        for (name, part), own in by_place.items():
            bias = self._bias(own, part)
            labels = sum(said.n for said in own.values())
            if bias is not None and (name not in worst or labels > worst[name].labels):
                worst[name] = Suspicion(source=name, slice=part, bias=bias, labels=labels)
        return list(worst.values())

    def suspected(self, sources: Iterable[str]) -> set[str]:
        """Those of these sources that are suspected, themselves or as one of their kind; trusted ones never are."""
        names = {suspicion.source for suspicion in self.suspicions()}
        return {
            source for source in sources if names & {source, kind_of(source)} and not self._is_trusted(source)
        }

    def to_json(self) -> list[dict[str, Any]]:
        """What was said, as plain data."""
        return [
            {"block": block, "source": name, "slice": part, "moments": asdict(said)}
            for (block, name, part), said in self.surplus.items()
        ]

    def with_json(self, data: Iterable[Mapping[str, Any]]) -> Self:
        """This book's settings with what `to_json` gave."""
        surplus = {(row["block"], row["source"], row["slice"]): Moments(**row["moments"]) for row in data}
        return type(self)(config=self.config, trust=self.trust, surplus=surplus)

    def _is_trusted(self, source: str) -> bool:
        return self.trust.of(source) >= self.config.trusted_from

    def _names(self, source: str) -> set[str]:
        return {_TRUSTED} if self._is_trusted(source) else {_OTHERS, source, kind_of(source)}

    def _bias(self, own: Mapping[int, Moments], part: str) -> Interval | None:
        """How far a source departs on a slice, where that is more than is borne."""
        trusted = [(said, self._said(block, _TRUSTED, part)) for block, said in own.items()]
        if sum(known.n for _, known in trusted) >= FEWEST:
            bias = self._gap(trusted)
            return bias if _excess(bias, self.config.margin) else None
        others = [(said, _less(self._said(block, _OTHERS, part), said)) for block, said in own.items()]
        if sum(known.n for _, known in others) < FEWEST:
            return None
        all_own = reduce(Moments.joined, own.values())
        alone = mean_interval(
            all_own, delta=self.config.delta, tuned_for=self.config.tuned_for, range_width=2.0
        )
        aside = self._gap(others)
        margin = self.config.margin_alone
        return alone if _excess(alone, margin) * _excess(aside, margin) > 0 else None

    def _said(self, block: int, name: str, part: str) -> Moments:
        return self.surplus.get((block, name, part), Moments())

    def _gap(self, pairs: list[Pair]) -> Interval:
        delta, tuned_for = self.config.delta, self.config.tuned_for
        return difference_interval(*pairs, delta=delta, tuned_for=tuned_for, range_width=2.0)


def _excess(bias: Interval, margin: float) -> int:
    """1 where a bias is certainly above the margin, -1 where it is below on the other side, else 0."""
    return int(bias.low > margin) - int(bias.high < -margin)


def _less(whole: Moments, part: Moments) -> Moments:
    """Of a sample without a part of it; what `Moments.joined` put together."""
    n = whole.n - part.n
    if not n:
        return Moments()
    mean = (whole.n * whole.mean - part.n * part.mean) / n
    between = (mean - part.mean) ** 2 * n * part.n / whole.n
    return Moments(n, mean, max(whole.squares - part.squares - between, 0.0))


def slice_of(run: Trajectory) -> str:
    """Model and strategy that wrote the final answer; "" where nobody did."""
    final = next((step for step in run.steps if step.step_id == run.final_step_id), None)
    return f"{final.served_model}/{final.strategy}" if final else ""
