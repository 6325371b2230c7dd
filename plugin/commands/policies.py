"""``inframind policies``: versions, their roll-out and its history for people, and the hand on the switch."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from inframind.errors import ConfigError
from inframind.fleet.clock import Clock
from inframind.plugin.commands.traces import StorePlace
from inframind.plugin.fitted_table import Column, FittedTable, Row
from inframind.plugin.rollout_words import advice_of, ago, event_line, name_of, rollout_line, standing_of
from inframind.plugin.terminal import one_line, safe
from inframind.router.guards.freezing import freeze, thaw
from inframind.router.policy_file import load_policy
from inframind.router.policy_shelf import policy_of, version_of
from inframind.router.rollout import VERSION_DIGITS
from inframind.traces.shelf import PRESENT_S, PolicyVersion, Replica, Rollout, RolloutEvent, Shelf, Stage
from inframind.traces.shelves import shelf_of
from inframind.traces.store import TraceStore

CONFIGURED = "configured"
RAMP_FROM = 0.5
"""Share from which on a trial by hand is called a ramp."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDesk:
    """Where the shelf is, what time it is, and who asks.

    Attributes:
        place: of the store.
        clock: time.
        user: ``user:<name>``, for events.
    """

    place: StorePlace
    clock: Clock
    user: str

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[TraceStore, Shelf]]:
        """The store and its shelf.

        Raises:
            ConfigError: there is no such store, or it has no shelf.
        """
        async with self.place.opened() as store:
            yield store, shelf_of(store)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the shelf holds at one moment."""

    rollout: Rollout
    versions: Sequence[PolicyVersion]
    events: Sequence[RolloutEvent]
    replicas: Sequence[Replica]


# Showing ---------------------------------------------------------------------------------------------------


def list_policies(desk: PolicyDesk, *, events: int, as_json: bool, console: Console) -> None:
    """Print what serves, the versions, and the latest events."""
    seen = asyncio.run(_look(desk))
    latest = seen.events[len(seen.events) - events :] if events < len(seen.events) else seen.events
    if as_json:
        typer.echo(_as_json(replace(seen, events=latest)))
        return
    now_s = desk.clock.wall_s()
    console.print(rollout_line(seen.rollout, now_s))
    console.print(_replicas_line(seen.replicas))
    if seen.versions:
        console.print()
        console.print(_table(seen, now_s))
    else:
        console.print("no versions yet; `inframind learn` or `inframind policies add` makes the first")
    if latest:
        console.print()
        for event in latest:
            console.print(event_line(event, now_s))


def show_policy(desk: PolicyDesk, version: str, *, as_json: bool, console: Console) -> None:
    """Print one version.

    Raises:
        UnknownPolicy, ConfigError: there is none, or the name fits several.
    """
    seen = asyncio.run(_look(desk))
    found = asyncio.run(_found(desk, version))
    events = [event for event in seen.events if event.version == found.version]
    serves = [
        replica.name for replica in seen.replicas if found.version in (replica.serving, replica.candidate)
    ]
    if as_json:
        facts = {"version": asdict(found), "events": [asdict(event) for event in events], "replicas": serves}
        typer.echo(json.dumps(facts))
        return
    now_s = desk.clock.wall_s()
    for name, value in _facts(found, seen, now_s).items():
        console.print(Text.assemble((f"{name:<12}", "bold"), safe(value)))
    console.print(
        Text.assemble((f"{'on':<12}", "bold"), safe(", ".join(serves)) or "no process that reports")
    )
    if events:
        console.print()
        for event in events:
            console.print(event_line(event, now_s))


def _facts(version: PolicyVersion, seen: Seen, now_s: float) -> dict[str, str]:
    facts = {
        "version": version.version,
        "number": str(version.number),
        "standing": standing_of(version.version, seen.rollout) or "does not serve",
        "made": f"{ago(version.created_at_s, now_s)} by {version.created_by}",
        "parent": version.parent or "the configured policy",
        "features": version.features_version,
    }
    return facts | {name: one_line(str(value), 300) for name, value in version.facts.items()}


_COLUMNS = (
    Column(name="#", justify="right"),
    Column(name="version"),
    Column(name="standing"),
    Column(name="share", justify="right", leave_out=4),
    Column(name="parent", leave_out=2),
    Column(name="made", leave_out=3),
    Column(name="by", leave_out=1),
    Column(name="facts", leave_out=5, may_wrap=True, least=36),
)


def _table(seen: Seen, now_s: float) -> FittedTable:
    return FittedTable(_COLUMNS, [_row(version, seen, now_s) for version in reversed(seen.versions)])


def _row(version: PolicyVersion, seen: Seen, now_s: float) -> Row:
    rollout = seen.rollout
    standing = standing_of(version.version, rollout)
    shares = {rollout.candidate: rollout.share, rollout.serving: 1 - rollout.share}
    share = f"{shares[version.version]:.0%}" if version.version in shares else ""
    figures = (f"{name} {value:g}" for name, value in version.facts.items() if isinstance(value, int | float))
    facts = ", ".join(filter(None, (advice_of(version), *figures)))
    cells = (
        Text(str(version.number)),
        Text(version.version[:VERSION_DIGITS], "bold" if standing == "serves" else ""),
        Text(standing or _end_of(version.version, seen.events), "green" if standing == "serves" else ""),
        Text(share),
        Text(version.parent[:VERSION_DIGITS] or "configured"),
        Text(ago(version.created_at_s, now_s)),
        Text(safe(version.created_by)),
        Text(one_line(facts, 200)),
    )
    return Row(cells)


def _end_of(version: str, events: Sequence[RolloutEvent]) -> str:
    stages = [event.stage for event in events if event.version == version and event.stage]
    if not stages:
        return "never tried"
    return "rolled back" if stages[-1] == "rolled_back" else "replaced"


def _replicas_line(replicas: Sequence[Replica]) -> Text:
    if not replicas:
        return Text("no process has reported in the last minute", "dim")
    by_version: dict[str, int] = {}
    for replica in replicas:
        by_version[replica.serving] = by_version.get(replica.serving, 0) + 1
    told = ", ".join(f"{count} serve {name_of(version)}" for version, count in by_version.items())
    refused = sorted({one for replica in replicas for one in replica.facts.get("refused", {})})
    text = Text(f"{len(replicas)} process(es) report: {told}", "dim")
    if refused:
        text.append(f"; refused: {', '.join(one[:VERSION_DIGITS] for one in refused)}", "red")
    return text


def _as_json(seen: Seen) -> str:
    return json.dumps(
        {
            "rollout": asdict(seen.rollout),
            "versions": [asdict(version) for version in seen.versions],
            "events": [asdict(event) for event in seen.events],
            "replicas": [asdict(replica) for replica in seen.replicas],
        }
    )


# Deciding by hand ------------------------------------------------------------------------------------------


def add_policy(desk: PolicyDesk, file: Path, *, as_json: bool, console: Console) -> None:
    """Put a file on the shelf.

    Raises:
        CheckpointError: no such file, damaged, or over other feature columns.
    """
    stored = load_policy(file)
    plain = {
        name: value for name, value in stored.facts.items() if isinstance(value, str | int | float | bool)
    }
    content = file.read_bytes()
    made = version_of(
        content,
        created_at_s=desk.clock.wall_s(),
        created_by=desk.user,
        facts={**plain, "file": str(file)},
    )
    added = asyncio.run(_add(desk, made, content))
    if as_json:
        typer.echo(json.dumps(asdict(added)))
        return
    digits = added.version[:VERSION_DIGITS]
    console.print(f"version {digits} is number {added.number}; nothing is served by it yet. To try it:")
    console.print(Text(f'  inframind policies promote {digits} --share 0.1 --reason "..."', "bold"))


def promote(
    desk: PolicyDesk, version: str, *, share: float | None, reason: str, asks: bool, console: Console
) -> None:
    """Let a version serve all runs, or a share of them.

    Raises:
        ConfigError: the roll-out is frozen, another version is being tried, or it serves already.
        CheckpointError: this release could not serve it.
    """
    rollout, found = asyncio.run(_ready(desk, version))
    _require_promotable(rollout, found.version, share)
    stage: Stage = "full" if share is None else _stage_of(share)
    what = (
        "serves all runs"
        if share is None
        else f"serves {share:.0%} of runs"
        if share
        else "is watched, and serves none"
    )
    event = _event(desk, found.version, stage, 1.0 if share is None else share, reason)
    instead = (
        f" instead of {name_of(rollout.serving)}"
        if share is None
        else f", {name_of(rollout.serving)} the others"
    )
    _do(desk, event, rollout, f"{name_of(found.version)} {what}{instead}", asks, console)


def roll_back(desk: PolicyDesk, *, reason: str, asks: bool, console: Console) -> None:
    """End the candidate, or let the version before serve again. Also while the roll-out is frozen.

    Raises:
        ConfigError: there is nothing to roll back.
    """
    rollout = asyncio.run(_rollout(desk))
    version = rollout.candidate or rollout.serving
    if not version:
        raise ConfigError(
            "rollback", "", "the configured policy serves and nothing is tried: nothing to roll back"
        )
    what = (
        f"{name_of(rollout.serving)} serves all runs"
        if rollout.candidate
        else f"{name_of(rollout.before)} serves again"
    )
    event = replace(_event(desk, version, "rolled_back", 0.0, reason), frozen=rollout.frozen)
    _do(desk, event, rollout, f"{name_of(version)} is rolled back; {what}", asks, console)


def set_frozen(desk: PolicyDesk, frozen: bool, *, reason: str, asks: bool, console: Console) -> None:
    """Freeze or thaw the roll-out.

    Raises:
        ConfigError: it is so already.
    """
    rollout = asyncio.run(_rollout(desk))
    switch = freeze if frozen else thaw
    event = switch(rollout, at_s=desk.clock.wall_s(), by=desk.user, reason=reason)
    what = (
        "the roll-out is frozen: nothing changes by itself until it is thawed; a rollback by hand works"
        if frozen
        else "the roll-out goes on"
    )
    _do(desk, event, rollout, what, asks, console)


def _require_promotable(rollout: Rollout, version: str, share: float | None) -> None:
    if rollout.frozen:
        raise ConfigError("rollout.frozen", True, "thaw it first: inframind policies thaw")
    if rollout.candidate not in ("", version):
        fix = "another version is being tried: roll it back first, or promote it"
        raise ConfigError("rollout.candidate", rollout.candidate[:VERSION_DIGITS], fix)
    if version == rollout.serving:
        raise ConfigError("version", version[:VERSION_DIGITS], "it serves already")
    if share == 1.0:
        raise ConfigError("--share", share, "leave --share out to let it serve all runs")


def _stage_of(share: float) -> Stage:
    if not share:
        return "shadow"
    return "canary" if share < RAMP_FROM else "ramp"


def _event(desk: PolicyDesk, version: str, stage: Stage, share: float, reason: str) -> RolloutEvent:
    if not reason.strip():
        raise ConfigError("--reason", reason, "say why, for whoever reads the events")
    return RolloutEvent(
        at_s=desk.clock.wall_s(), version=version, stage=stage, share=share, by=desk.user, reason=reason
    )


def _do(
    desk: PolicyDesk, event: RolloutEvent, rollout: Rollout, what: str, asks: bool, console: Console
) -> None:
    """Say what is about to happen, ask, and do it."""
    console.print(Text(what))
    if asks and not typer.confirm("Do it?"):
        console.print("nothing was changed")
        return
    appended = asyncio.run(_append(desk, event, rollout.number))
    console.print(event_line(appended, desk.clock.wall_s()))


# The shelf -------------------------------------------------------------------------------------------------


async def _look(desk: PolicyDesk) -> Seen:
    async with desk.opened() as (_, shelf):
        return Seen(
            rollout=await shelf.rollout(),
            versions=await shelf.policies(),
            events=await shelf.events(),
            replicas=await shelf.replicas(since_s=desk.clock.wall_s() - PRESENT_S),
        )


async def _rollout(desk: PolicyDesk) -> Rollout:
    async with desk.opened() as (_, shelf):
        return await shelf.rollout()


async def _found(desk: PolicyDesk, name: str) -> PolicyVersion:
    async with desk.opened() as (_, shelf):
        return await shelf.policy(named(name, await shelf.rollout()))


async def _ready(desk: PolicyDesk, name: str) -> tuple[Rollout, PolicyVersion]:
    """The roll-out, and a version that this release can read."""
    async with desk.opened() as (_, shelf):
        rollout = await shelf.rollout()
        found = await shelf.policy(named(name, rollout))
        policy_of(found, await shelf.policy_content(found.version))
        return rollout, found


async def _add(desk: PolicyDesk, version: PolicyVersion, content: bytes) -> PolicyVersion:
    async with desk.opened() as (_, shelf):
        return await shelf.add_policy(version, content)


async def _append(desk: PolicyDesk, event: RolloutEvent, after: int) -> RolloutEvent:
    async with desk.opened() as (_, shelf):
        return await shelf.append(event, after=after)


def named(name: str, rollout: Rollout) -> str:
    """A version's digits from what people call it.

    Raises:
        ConfigError: nothing has that part.
    """
    parts: Mapping[str, str] = {
        "serving": rollout.serving,
        "candidate": rollout.candidate,
        "before": rollout.before,
        CONFIGURED: "",
    }
    version: str | Any = parts.get(name, name)
    if not version and name == "candidate":
        raise ConfigError(
            "version", name, "nothing is being tried: give the digits of a version, see the list"
        )
    if not version:
        fix = "the configured policy, which has no version of its own: give the digits of one, see the list"
        raise ConfigError("version", name, fix)
    return version
