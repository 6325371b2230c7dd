"""Candidates out of files, recommendations and analyses. What is wrong with one is said of that one."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from inframind.advisor.analysis import Analysis
from inframind.arena.candidates.candidate import Candidate, Refused
from inframind.errors import CallerError, ConfigError
from inframind.plugin.advice.toml_edit import SHOWN_DIGITS
from inframind.plugin.commands.candidate_setup import setup_of
from inframind.plugin.config import load_settings
from inframind.router.rules import RoutingRule
from inframind.traces.outcome_graph import OutcomeGraph

_FORMS = "[[rules]], several [[candidates]] with a name and [[candidates.rules]], or a whole configuration"


def from_file(path: Path) -> Iterator[Candidate | Refused]:
    """The candidates of a TOML file: one with rules, several by name, or another configuration."""
    name, source = path.stem, str(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        yield Refused(name=name, reason=f"{path} cannot be read: {error}", source=source)
        return
    if "endpoints" in values:
        yield _alternative(path)
    elif set(values) == {"rules"}:
        yield _with_rules(name, values["rules"], source)
    elif set(values) == {"candidates"} and isinstance(values["candidates"], list):
        for number, table in enumerate(values["candidates"], start=1):
            yield _named(table, f"{name} {number}", source)
    else:
        keys = ", ".join(values) or "nothing"
        yield Refused(name=name, reason=f"{path} has {keys}: write {_FORMS}", source=source)


def _alternative(path: Path) -> Candidate | Refused:
    try:
        setup = setup_of(load_settings(path))
    except CallerError as error:
        return Refused(name=path.stem, reason=f"{type(error).__name__}: {error}", source=str(path))
    return Candidate(name=path.stem, setup=setup, source=str(path))


def _named(table: object, otherwise: str, source: str) -> Candidate | Refused:
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        return Refused(name=otherwise, reason='it has no name: write name = "..."', source=source)
    if unknown := sorted(set(table) - {"name", "rules"}):
        reason = f"unknown key {unknown[0]!r}: write name and [[candidates.rules]]"
        return Refused(name=table["name"], reason=reason, source=source)
    return _with_rules(table["name"], table.get("rules", []), source)


def _with_rules(name: str, rules: object, source: str) -> Candidate | Refused:
    if not isinstance(rules, list):
        return Refused(name=name, reason="rules are not tables: write [[rules]]", source=source)
    try:
        made = tuple(RoutingRule.model_validate(rule) for rule in rules)
    except ValidationError as error:
        return Refused(name=name, reason=_said(error), source=source)
    return Candidate(name=name, rules=made, source=source)


def _said(error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    what = first["msg"].removeprefix("Value error, ")
    return f"{field}: {what}" if field else what


async def recommended(prefixes: Sequence[str], graph: OutcomeGraph) -> list[Candidate | Refused]:
    """The changes that recommendations would make.

    Raises:
        UnknownRecommendation, ConfigError: as `OutcomeGraph.recommendation`.
    """
    found = [await graph.recommendation(prefix) for prefix in prefixes]
    return [
        _with_rules(one.recommendation_id[:SHOWN_DIGITS], [dict(rule) for rule in one.rules], one.title)
        for one in found
    ]


async def latest_options(graph: OutcomeGraph) -> list[Candidate | Refused]:
    """Every change that the latest analysis found worth recommending.

    Raises:
        ConfigError: there is no analysis, or it found nothing.
    """
    kept = await graph.latest_analysis()
    if kept is None:
        fix = (
            "give recommendations, --rules FILE or --grid; or let `inframind advise` look at the traces first"
        )
        raise ConfigError("candidates", 0, fix)
    options = Analysis.from_json(kept.document).options
    if not options:
        fix = "the latest analysis found nothing to change: give --rules FILE or --grid"
        raise ConfigError("candidates", 0, fix)
    once = {one.option_id: one for one in options}
    return [Candidate(name=one.option_id, rules=one.rules, source=one.title) for one in once.values()]


def parted(found: Iterable[Candidate | Refused]) -> tuple[list[Candidate], list[Refused]]:
    """Those that can be tried, and those that cannot."""
    everyone = list(found)
    fine = [one for one in everyone if isinstance(one, Candidate)]
    return fine, [one for one in everyone if isinstance(one, Refused)]
