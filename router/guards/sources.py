"""Does a source say what others say? Its labels are held against predictions, and those of the trusted beside them.

An honest source may be stricter or milder than a grader, by a little. One whose labels are far better or worse than
predicted, on any slice of the answers (a model and strategy, say), while trusted labels on that slice are not, is
suspected, and not heard until it is cleared: by people, or because its later labels bring it back in line. Slices
matter: who praises long answers and damns short ones may be right on average.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from inframind.errors import ConfigError
from inframind.router.confidence import FEWEST, Interval, Moments, difference_interval, mean_interval
from inframind.router.guards.labels import Trust
from inframind.router.guards.quotas import kind_of
from inframind.traces.records import Trajectory

_TRUSTED = ""


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
    """Difference from predictions that is borne where no trusted label is at hand: predictions err too."""
    trusted_from: float = 1.0
    """Trust from which on a source is what others are held against."""
    tuned_for: float = 100.0
    """Labels by which a difference is to be found."""

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
    """What sources said beyond predictions, by source and slice; trusted ones are kept together.

    Attributes:
        config: when a source is suspected.
        trust: in whom.
        surplus: of ``solved - expected``, by source and slice.
    """

    config: SourceConfig = field(default_factory=SourceConfig)
    trust: Trust = field(default_factory=Trust)
    surplus: Mapping[tuple[str, str], Moments] = field(default_factory=dict)

    def plus(self, samples: Iterable[SourceSample]) -> SourceBook:
        """With more labels; count those of suspected sources too, or they can never be cleared."""
        surplus = dict(self.surplus)
        for sample in samples:
            for name in self._names(sample.source):
                place = (name, sample.slice)
                surplus[place] = surplus.get(place, Moments()).add(sample.solved - sample.expected)
        return SourceBook(config=self.config, trust=self.trust, surplus=surplus)

    def suspicions(self) -> list[Suspicion]:
        """Every source and kind that is suspected, with the slice where it departs most surely."""
        worst: dict[str, Suspicion] = {}
        for (name, part), said in self.surplus.items():
            if name == _TRUSTED:
                continue
            bias, margin = self._bias(said, part)
            excess = max(bias.low - margin, -margin - bias.high)
            if excess > 0 and (name not in worst or said.n > worst[name].labels):
                worst[name] = Suspicion(source=name, slice=part, bias=bias, labels=said.n)
        return list(worst.values())

    def suspected(self, sources: Iterable[str]) -> set[str]:
        """Those of these sources that are suspected, themselves or as one of their kind; trusted ones never are."""
        names = {suspicion.source for suspicion in self.suspicions()}
        return {source for source in sources if names & set(self._names(source))}

    def to_json(self) -> list[dict[str, Any]]:
        """What was said, as plain data."""
        return [
            {"source": name, "slice": part, "moments": asdict(said)}
            for (name, part), said in self.surplus.items()
        ]

    def with_json(self, data: Iterable[Mapping[str, Any]]) -> Self:
        """This book's settings with what `to_json` gave."""
        surplus = {(row["source"], row["slice"]): Moments(**row["moments"]) for row in data}
        return type(self)(config=self.config, trust=self.trust, surplus=surplus)

    def _names(self, source: str) -> set[str]:
        if self.trust.of(source) >= self.config.trusted_from:
            return {_TRUSTED}
        return {source, kind_of(source)}

    def _bias(self, said: Moments, part: str) -> tuple[Interval, float]:
        """How far a source is from the trusted on a slice, and how far it may be."""
        delta, tuned_for = self.config.delta, self.config.tuned_for
        known = self.surplus.get((_TRUSTED, part), Moments())
        if known.n >= FEWEST:
            bias = difference_interval((said, known), delta=delta, tuned_for=tuned_for, range_width=2.0)
            return bias, self.config.margin
        return mean_interval(
            said, delta=delta, tuned_for=tuned_for, range_width=2.0
        ), self.config.margin_alone


def slice_of(run: Trajectory) -> str:
    """Model and strategy that wrote the final answer; "" where nobody did."""
    final = next((step for step in run.steps if step.step_id == run.final_step_id), None)
    return f"{final.served_model}/{final.strategy}" if final else ""
