"""Runs that still say something: what they chose from is configured now as it was then.

A model that was replaced under the same name, or a strategy with another text, is another thing, and what came of the
old one promises nothing. Every trace names its configuration, and the store keeps its document, so that both can be
held against what is configured now.

**A run is left out by what it could have chosen, not by what it chose.** A run that could have drawn the old model, and
drew another, was decided with probabilities in which the old one had a share. Kept without those that drew it, such
runs look as if that share had gone nowhere, and rules that send more to the new model are credited with less harm than
they do. Left out by what could be chosen, runs that are kept are no selection of outcomes.

**What does not matter**: the policy and its version, exploration, and rules, as probabilities and masks are recorded;
prices, as costs are worked out at those of today; tools, which calls of one application have in turn; and what was
added since, which those runs could not choose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from inframind.traces.records import Decision, Trajectory

Document = Mapping[str, Any]
"""Of a configuration, see `inframind.traces.configurations.Configuration`."""
Section = Literal["models", "strategies", "topologies", "roles"]
Thing = tuple[Section, str]
"""Something that is configured, by its section of the document and its name there; ``roles`` are those of a domain."""

_NOUNS: Mapping[Section, str] = {
    "models": "model",
    "strategies": "strategy",
    "topologies": "topology",
    "roles": "the roles of",
}
_PRICES = frozenset({"price_input_usd_per_mtok", "price_output_usd_per_mtok"})
_GENERAL = "general"
_MOST_NAMED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentRuns:
    """Runs that were made with what is configured now.

    Attributes:
        runs: these, in the order given.
        set_aside: how many others there were.
        notes: which, and why.
    """

    runs: tuple[Trajectory, ...]
    set_aside: int = 0
    notes: tuple[str, ...] = ()


def current_runs(
    runs: Sequence[Trajectory], *, configuration_id: str, documents: Mapping[str, Document]
) -> CurrentRuns:
    """The runs that chose from nothing that is otherwise configured now.

    A run whose own configuration nobody knows, such as one that an older release wrote, is kept unless some run after
    it was decided while something that it could have chosen was otherwise than it is now.

    Args:
        runs: in any order.
        configuration_id: of the configuration of now. Where its document is not known, all runs are kept.
        documents: of configurations, by id.
    """
    now = documents.get(configuration_id)
    if now is None:
        return CurrentRuns(runs=tuple(runs))
    held = _HeldAgainst(now, documents, runs)
    kept: list[Trajectory] = []
    moved: Counter[Thing] = Counter()
    for run in runs:
        others = held.otherwise(run)
        moved.update(others)
        if not others:
            kept.append(run)
    set_aside = len(runs) - len(kept)
    return CurrentRuns(
        runs=tuple(kept),
        set_aside=set_aside,
        notes=tuple(_told(set_aside, len(runs), moved, now)),
    )


@dataclass(slots=True)
class _HeldAgainst:
    """The configuration of now, and what other ones have otherwise."""

    now: Document
    documents: Mapping[str, Document]
    runs: Sequence[Trajectory]
    _moved: dict[tuple[str, Thing], bool] = field(default_factory=dict)
    _choices: dict[tuple[tuple[str, ...], tuple[bool, ...]], frozenset[str]] = field(default_factory=dict)
    _latest_s: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for run in self.runs:
            if run.configuration in self.documents:
                latest_s = self._latest_s.get(run.configuration, run.arrived_at_s)
                self._latest_s[run.configuration] = max(latest_s, run.arrived_at_s)

    def otherwise(self, run: Trajectory) -> frozenset[Thing]:
        """What a run could have chosen that is otherwise now."""
        return frozenset(thing for thing in set(self._things(run)) if self._is_otherwise(thing, run))

    def _is_otherwise(self, thing: Thing, run: Trajectory) -> bool:
        if run.configuration in self.documents:
            return self._has_moved(run.configuration, thing)
        return any(
            latest_s >= run.arrived_at_s and self._has_moved(name, thing)
            for name, latest_s in self._latest_s.items()
        )

    def _has_moved(self, name: str, thing: Thing) -> bool:
        """Whether a configuration has something that is otherwise now; of what either does not speak nobody knows."""
        key = (name, thing)
        if key not in self._moved:
            then, now = _part(self.documents[name], thing), _part(self.now, thing)
            if then is None or thing[0] not in self.now:
                self._moved[key] = False
            elif thing[0] == "roles":
                self._moved[key] = not _are_kept(then, now or {})
            else:
                self._moved[key] = then != now
        return self._moved[key]

    def _things(self, run: Trajectory) -> Iterator[Thing]:
        """What a run could have chosen: what its policy gave a chance."""
        for decision in run.decisions:
            if decision.kind == "step":
                for label in self._chosen_from(decision):
                    model, _, strategy = label.rpartition("/")
                    yield from (("models", model), ("strategies", strategy))
            elif decision.kind == "plan":
                yield ("roles", run.domain)
                yield from (("topologies", label.rpartition("/")[0]) for label in self._chosen_from(decision))

    def _chosen_from(self, decision: Decision) -> Iterable[str]:
        key = (decision.actions, tuple(probability > 0 for probability in decision.probabilities))
        if key not in self._choices:
            self._choices[key] = frozenset(
                label for label, may in zip(decision.actions, key[1], strict=True) if may
            )
        return self._choices[key]


def _part(document: Document, thing: Thing) -> Any:
    """What a document says of something, or None."""
    section, name = thing
    parts = document.get(section, {})
    if section == "roles":
        names, texts = parts.get(name) or parts.get(_GENERAL), document.get("role_texts", {})
        return None if names is None else {role: texts.get(role) for role in names}
    part = parts.get(name)
    if section != "models" or part is None:
        return part
    return {key: value for key, value in part.items() if key not in _PRICES}


def _are_kept(then: Mapping[str, str | None], now: Mapping[str, str | None]) -> bool:
    """Whether all roles are still there, and told the same as far as anybody knows."""
    return all(
        role in now and (None in (text, now[role]) or text == now[role]) for role, text in then.items()
    )


def _told(set_aside: int, runs: int, moved: Counter[Thing], now: Document) -> Iterator[str]:
    if not set_aside:
        return
    first = sorted(moved.items(), key=lambda one: (-one[1], one[0]))
    named = [f"{_name(thing, now)} ({count:,} runs)" for thing, count in first[:_MOST_NAMED]]
    more = ["other things"] if len(first) > _MOST_NAMED else []
    yield (
        f"{set_aside:,} of {runs:,} runs are set aside, as what they could choose has changed since: "
        f"{', '.join([*named, *more])}."
    )


def _name(thing: Thing, now: Document) -> str:
    section, name = thing
    what = f"{_NOUNS[section]} {name}"
    return what if _part(now, thing) is not None else f"{what}, which is no more"
