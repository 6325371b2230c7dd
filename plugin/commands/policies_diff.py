"""``inframind policies diff``: what two versions know, and what they would do otherwise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from inframind.fleet.endpoints import group_by_model
from inframind.graphs.registry import TopologyRegistry
from inframind.plugin.build import parts_of, stored_policy
from inframind.plugin.commands.policies import CONFIGURED, PolicyDesk, named
from inframind.plugin.config import Settings, load_settings
from inframind.plugin.online.foresight import foreseen
from inframind.plugin.online.school import views_of
from inframind.plugin.rollout_words import name_of
from inframind.plugin.terminal import percent
from inframind.router.actions import ActionSpace
from inframind.router.gate.wording import points
from inframind.router.guards.change import Change, change_of
from inframind.router.guards.labels import labels_of
from inframind.router.ope.estimate import Estimate, NoSupport
from inframind.router.policy_file import StoredPolicy
from inframind.router.policy_shelf import policy_of
from inframind.traces.query import TraceQuery
from inframind.traces.records import SolvedKeys, Trajectory
from inframind.traces.shelf import Shelf

SHOWN = 10


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two."""

    version: str
    stored: StoredPolicy


def diff_policies(
    desk: PolicyDesk, old: str, new: str, *, last: int, as_json: bool, console: Console
) -> None:
    """Print facts, multipliers, offsets, and how many recorded decisions would be others.

    Raises:
        UnknownPolicy, ConfigError: no such version.
        CheckpointError: this release cannot read one of them.
    """
    settings = load_settings(desk.place.config)
    sides, runs = asyncio.run(_read(desk, settings, (old, new), last))
    before, after = sides
    actions = _actions_of(settings)
    views = list(views_of(runs, actions))
    change = change_of(after.stored.bind(actions), before.stored.bind(actions), views)
    labels = labels_of(runs, keys=SolvedKeys(settings.feedback.solved_keys))
    said = foreseen(
        after.stored,
        before.stored,
        runs,
        labels,
        actions=actions,
        exploration=settings.policy.exploration,
        rules=settings.own_rules(),
    )
    if as_json:
        typer.echo(json.dumps({**_plain(before, after, change, len(runs)), "foreseen": _bounds(said)}))
        return
    console.print(_known(before, after))
    console.print(_offsets(before, after))
    console.print(_verdict(change, len(runs)))
    console.print(_foreseen(said))
    if change.decisions:
        console.print(_shares(change))


async def _read(
    desk: PolicyDesk, settings: Settings, names: Sequence[str], last: int
) -> tuple[list[_Side], list[Trajectory]]:
    async with desk.opened() as (store, shelf):
        sides = [await _side(shelf, settings, name) for name in names]
        return sides, [run async for run in store.iter(TraceQuery(limit=last))]


async def _side(shelf: Shelf, settings: Settings, name: str) -> _Side:
    rollout = await shelf.rollout()
    is_configured = {CONFIGURED: True, "serving": not rollout.serving, "before": not rollout.before}
    if is_configured.get(name, False):
        return _Side("", stored_policy(settings.policy))
    found = await shelf.policy(named(name, rollout))
    return _Side(found.version, policy_of(found, await shelf.policy_content(found.version)))


def _actions_of(settings: Settings) -> ActionSpace:
    registry = TopologyRegistry()
    if settings.policy.topologies:
        registry = registry.only(settings.policy.topologies)
    return parts_of(settings, registry).action_space(group_by_model(settings.endpoint_specs()))


def _known(before: _Side, after: _Side) -> Table:
    """What differs of what is known, line by line."""
    table = _table("", name_of(before.version), name_of(after.version))
    pairs = {
        "multipliers": tuple(
            ", ".join(f"{value:.2f}" for value in side.stored.weights.multipliers) for side in (before, after)
        ),
        "rules": tuple(", ".join(rule.name for rule in side.stored.rules) for side in (before, after)),
        **{
            name: (str(before.stored.facts.get(name, "")), str(after.stored.facts.get(name, "")))
            for name in {**before.stored.facts, **after.stored.facts}
        },
    }
    for name, (one, other) in pairs.items():
        table.add_row(name, one, other, style="" if one != other else "dim")
    return table


def _offsets(before: _Side, after: _Side) -> Table | Text:
    moved = _moved(before, after)
    if not moved:
        return Text("offsets: the same in both", "dim")
    table = _table("offset of", "before", "after", "moved")
    for label, (one, other) in moved[:SHOWN]:
        table.add_row(label, f"{one:+.2f}", f"{other:+.2f}", f"{other - one:+.2f}")
    if len(moved) > SHOWN:
        table.add_row(f"... and {len(moved) - SHOWN} more", "", "", "", style="dim")
    return table


def _moved(before: _Side, after: _Side) -> list[tuple[str, tuple[float, float]]]:
    """Offsets that differ, those that moved most first."""
    old, new = (side.stored.weights.offsets.logit for side in (before, after))
    pairs = {label: (old.get(label, 0.0), new.get(label, 0.0)) for label in {**old, **new}}
    differing = [(label, pair) for label, pair in pairs.items() if pair[0] != pair[1]]
    return sorted(differing, key=lambda item: -abs(item[1][1] - item[1][0]))


def _verdict(change: Change, runs: int) -> Text:
    if not change.decisions:
        return Text("no recorded decision can be asked about again; serve some runs first", "yellow")
    return Text(
        f"of {change.decisions} decisions of the last {runs} runs {percent(change.changed)} would be others; "
        f"{percent(change.moved)} of all choices go elsewhere",
        "bold",
    )


def _foreseen(said: Estimate | NoSupport | None) -> Text:
    """What graded runs say that the change is worth."""
    if said is None:
        return Text("no graded run says what that is worth", "dim")
    if isinstance(said, NoSupport):
        return Text(f"graded runs do not say what that is worth: {said.reason}", "dim")
    interval = said.running_interval()
    if interval.high - interval.low > 1.0:
        return Text("graded runs say too little of what that is worth", "dim")
    return Text(f"graded runs say that {points(interval)} more of them would be right and in time", "bold")


def _bounds(said: Estimate | NoSupport | None) -> list[float] | None:
    if not isinstance(said, Estimate):
        return None
    interval = said.running_interval()
    return [interval.low, interval.high]


def _shares(change: Change) -> Table:
    table = _table("choice", "before", "after")
    most = sorted(change.shares.items(), key=lambda item: -abs(item[1][1] - item[1][0]))
    for label, (one, other) in most[:SHOWN]:
        if round(100 * one) or round(100 * other):
            table.add_row(label, percent(one), percent(other))
    return table


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _plain(before: _Side, after: _Side, change: Change, runs: int) -> dict[str, object]:
    return {
        "old": before.version,
        "new": after.version,
        "multipliers": [list(side.stored.weights.multipliers) for side in (before, after)],
        "offsets": {label: list(pair) for label, pair in _moved(before, after)},
        "rules": [[rule.to_plain() for rule in side.stored.rules] for side in (before, after)],
        "runs": runs,
        **asdict(change),
    }
