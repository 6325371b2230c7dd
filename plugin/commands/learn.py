"""``inframind learn``: the learner in a process of its own, and what it says meanwhile."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from inframind.errors import ConfigError
from inframind.fleet.clock import Clock, SystemClock
from inframind.fleet.endpoints import group_by_model
from inframind.graphs.registry import TopologyRegistry
from inframind.plugin.build import parts_of
from inframind.plugin.config import Settings, load_settings
from inframind.plugin.online.assembly import learner_service
from inframind.plugin.online.attached import replica_name
from inframind.plugin.online.learning import LEARNER, LearnerService, Round
from inframind.plugin.rollout_words import event_line, name_of, rollout_line
from inframind.plugin.terminal import one_line
from inframind.router.actions import ActionSpace
from inframind.traces.records import SolvedKeys
from inframind.traces.shelf import LessonState, Progress, RolloutEvent, Shelf
from inframind.traces.shelves import shelf_of
from inframind.traces.store import TraceStore, open_store

Mode = Literal["once", "follow", "dry-run"]
SHOWN_EVENTS = 6
COUNT_S = 2.0
"""Seconds between two counts of lessons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnOptions:
    """What was asked for.

    Attributes:
        config: configuration file.
        mode: what there is now, or go on, or only say.
        as_json: one JSON object a round, instead of a display.
    """

    config: Path
    mode: Mode
    as_json: bool


def learn(options: LearnOptions, console: Console) -> bool:
    """Learn as the configuration says; False where another process leads.

    Raises:
        ConfigError: the configuration has nobody learn here.
    """
    settings = load_settings(options.config)
    if settings.online.learner != "separate":
        fix = "use learner = 'separate' with enabled = true, and policy.exploration above 0"
        raise ConfigError("online.learner", settings.online.learner, fix)
    with suppress(asyncio.CancelledError):
        return asyncio.run(_learn(options, settings, SystemClock(), console))
    return True


async def _learn(options: LearnOptions, settings: Settings, clock: Clock, console: Console) -> bool:
    task = asyncio.current_task()
    if task is not None and threading.current_thread() is threading.main_thread():
        # Ended by SIGTERM it stops leading at once, so that another need not wait for its lease to lapse.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with open_store(settings.traces.url) as store:
        if options.mode == "dry-run":
            return await _dry_run(options, settings, store, clock, console)
        board = _board_of(options, settings, store, clock, console)
        rounds: list[Round] = []

        def tell(done: Round) -> None:
            if options.mode == "once":
                rounds.append(done)
            board.take(done)

        standing = _Standing(shelf_of(store), settings, clock, board.say)
        service = _service(settings, store, clock, tell, stands=standing.note)
        with board:
            if options.mode == "once":
                leads = await service.once()
                if not options.as_json:
                    console.print(_how_it_went(leads, rounds))
                return leads
            await _beside(service.follow(), board.count(), standing.follow())
    return True


def _how_it_went(leads: bool, rounds: Sequence[Round]) -> str:
    if not leads:
        return "another process leads: nothing was learned here"
    learned = sum(done.learned for done in rounds)
    in_all = rounds[-1].state.labelled if rounds else 0
    what = f"{learned:,} runs learned" if learned else "nothing new to learn"
    return f"{what}; {in_all:,} labelled in all"


async def _beside(work: Any, *displays: Any) -> None:
    """All until the work ends."""
    shown = [asyncio.create_task(display) for display in displays]
    try:
        await work
    finally:
        for task in shown:
            task.cancel()
        await asyncio.gather(*shown, return_exceptions=True)


def _service(
    settings: Settings,
    store: TraceStore,
    clock: Clock,
    tell: Callable[[Round], None],
    *,
    stands: Callable[[bool], None] = lambda leads: None,
    shelf: Shelf | None = None,
) -> LearnerService:
    actions, holder = _actions_of(settings), replica_name()
    return learner_service(
        settings, store, actions, holder=holder, clock=clock, tell=tell, stands=stands, shelf=shelf
    )


def _actions_of(settings: Settings) -> ActionSpace:
    registry = TopologyRegistry()
    if settings.policy.topologies:
        registry = registry.only(settings.policy.topologies)
    return parts_of(settings, registry).action_space(group_by_model(settings.endpoint_specs()))


# Saying only -----------------------------------------------------------------------------------------------


class _Dry:
    """A shelf that is read and never written."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shelf, name)

    async def commit(self, learner: str, *, after: int, **rest: Any) -> Progress:
        """As if it had been kept."""
        return Progress(number=after + 1, state=b"", at_s=rest["at_s"], holder=rest["holder"], learned=0)

    async def add_policy(self, version: Any, content: bytes) -> Any:
        """As if it had been added."""
        return version

    async def append(self, event: RolloutEvent, *, after: int) -> RolloutEvent:
        """As if it had been appended."""
        return replace(event, number=after + 1)

    async def prune_policies(self, *, keep: int) -> int:
        """Nothing is forgotten."""
        return 0


async def _dry_run(
    options: LearnOptions, settings: Settings, store: TraceStore, clock: Clock, console: Console
) -> bool:
    shelf = shelf_of(store)
    service = _service(settings, store, clock, lambda done: None, shelf=cast(Shelf, _Dry(shelf)))
    done = await service.round()
    counts = await _counts(shelf, settings, clock)
    if options.as_json:
        typer.echo(json.dumps(_plain(done, counts)))
        return True
    console.print("nothing of this was kept:", style="bold")
    console.print(_figures(done, counts))
    for event in done.events:
        console.print(event_line(event, clock.wall_s()))
    return True


class _Standing:
    """Says who leads, at first and whenever that changes."""

    def __init__(self, shelf: Shelf, settings: Settings, clock: Clock, say: Callable[[str], None]) -> None:
        self._shelf, self._settings, self._clock, self._say = shelf, settings, clock, say
        self._leads: bool | None = None
        self._has_news = asyncio.Event()

    def note(self, leads: bool) -> None:
        """Be told whether this process leads."""
        if leads is not self._leads:
            self._leads = leads
            self._has_news.set()

    async def follow(self) -> None:
        """Say what there is to say, until cancelled."""
        while await self._has_news.wait():
            self._has_news.clear()
            self._say(await (self._leading() if self._leads else self._standing_by()))

    async def _leading(self) -> str:
        counts = await _counts(self._shelf, self._settings, self._clock)
        ready = counts.get("matured", 0)
        return (
            f"leading; {counts.get('pending', 0):,} runs wait for feedback, {ready:,} are ready to be learned"
        )

    async def _standing_by(self) -> str:
        progress = await self._shelf.progress(LEARNER)
        last = f" ({progress.holder} learned last)" if progress is not None else ""
        return f"another learner leads{last}; standing by"


# Showing ---------------------------------------------------------------------------------------------------


class _Silent:
    """Shows nothing on the way but what happens, for logs."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console, self._clock = console, clock

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def take(self, done: Round) -> None:
        """A line where something was learned, and one for each event."""
        if done.learned:
            self._console.print(
                f"{done.learned} runs learned, {done.labelled} of them labelled; "
                f"{done.state.labelled} labelled in all, {done.state.fresh} since the last publication"
            )
        for event in done.events:
            self._console.print(event_line(event, self._clock.wall_s()))

    def say(self, news: str) -> None:
        """A line."""
        self._console.print(news)

    async def count(self) -> None:
        """Nothing to count."""


class _Lines(_Silent):
    """One JSON object a round in which anything happened."""

    def take(self, done: Round) -> None:
        """A line."""
        if done.learned or done.events:
            typer.echo(json.dumps(_plain(done, {})))

    def say(self, news: str) -> None:
        """Nothing: it is no round."""


class _Board(_Silent):
    """A display that is kept up to date."""

    def __init__(self, console: Console, clock: Clock, settings: Settings, shelf: Shelf) -> None:
        super().__init__(console, clock)
        self._settings, self._shelf = settings, shelf
        self._live = Live(console=console, refresh_per_second=4, transient=False)
        self._done: Round | None = None
        self._counts: Mapping[LessonState, int] = {}
        self._events: tuple[RolloutEvent, ...] = ()
        self._line = Text("waiting to lead", "dim")

    def __enter__(self) -> None:
        self._live.__enter__()
        self._live.update(self._line)

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def take(self, done: Round) -> None:
        """Show the round."""
        self._done = done
        self._events = (*self._events, *done.events)[-SHOWN_EVENTS:]
        self._show()

    async def count(self) -> None:
        """Count lessons now and then, until cancelled."""
        while True:
            self._counts = await _counts(self._shelf, self._settings, self._clock)
            self._line = rollout_line(await self._shelf.rollout(), self._clock.wall_s())
            self._show()
            await asyncio.sleep(COUNT_S)

    def _show(self) -> None:
        if self._done is not None:
            lines = [event_line(event, self._clock.wall_s()) for event in self._events]
            self._live.update(Group(self._line, _figures(self._done, self._counts), *lines))


def _board_of(
    options: LearnOptions, settings: Settings, store: TraceStore, clock: Clock, console: Console
) -> _Silent:
    if options.as_json:
        return _Lines(console, clock)
    if not console.is_terminal:
        return _Silent(console, clock)
    return _Board(console, clock, settings, shelf_of(store))


async def _counts(shelf: Shelf, settings: Settings, clock: Clock) -> Mapping[LessonState, int]:
    return await shelf.lesson_counts(
        now_s=clock.wall_s(),
        patience_s=settings.online.patience_s,
        keys=SolvedKeys(settings.feedback.solved_keys),
    )


def _figures(done: Round, counts: Mapping[LessonState, int]) -> Table:
    """Lessons by state, labels by source, versions, and what the gate said last."""
    state = done.state
    grid = Table.grid(padding=(0, 2))
    rows = {
        "lessons": ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "-",
        "labelled": f"{state.labelled:,} in all, {state.fresh:,} since the last publication",
        "labels by": ", ".join(f"{source} {n:,}" for source, n in state.labels.items()) or "nobody yet",
        "set aside": ", ".join(f"{source} {n:,}" for source, n in state.set_aside.items()) or "none",
        "published": f"{len(state.published)}, the latest {name_of(state.published[-1])}"
        if state.published
        else "none",
        "gate": one_line(done.verdict.reason, 200) if done.verdict else "nothing is being judged",
    }
    for name, value in rows.items():
        grid.add_row(Text(name, "bold"), Text(value))
    return grid


def _plain(done: Round, counts: Mapping[LessonState, int]) -> dict[str, Any]:
    state = done.state
    return {
        "learner": LEARNER,
        "learned": done.learned,
        "labelled": done.labelled,
        "labelled_in_all": state.labelled,
        "fresh": state.fresh,
        "labels": dict(state.labels),
        "set_aside": dict(state.set_aside),
        "published": done.published,
        "gate": done.verdict.reason if done.verdict else "",
        "events": [event.reason for event in done.events],
        "lessons": dict(counts),
    }
