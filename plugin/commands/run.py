"""``inframind run``: one question, with its steps as they happen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text
from rich.tree import Tree

from inframind.fleet.clock import Clock, SystemClock
from inframind.plugin.asking import RunOptions
from inframind.plugin.mind import InfraMind
from inframind.plugin.result import Event
from inframind.plugin.terminal import err, one_line, out, safe, seconds

FIRST_READINGS_S = 1.0
"""Longest wait for the fleet's load before a single question, which would otherwise be routed blind."""
ANSWER_LINES_SHOWN = 12
"""Last lines of the answer that are shown while it is being written."""

REPLACED = "what was being written is not the answer; this is:"
"""Said where somebody saw the pieces of a step that broke off."""


def run(question: str, options: RunOptions, *, config: Path, as_json: bool) -> None:
    """Answer a question and print what came of it."""
    if as_json:
        typer.echo(asyncio.run(_as_json(question, options, config)))
        return
    console = out()
    clock = SystemClock()
    view: _View = _LiveView(console, clock) if console.is_terminal else _PlainView(console)
    try:
        asyncio.run(_follow(question, options, config, view))
    except KeyboardInterrupt:
        if view.trace_id:
            err().print(f"cancelled; the trace is kept: {view.trace_id}")
        raise


async def _as_json(question: str, options: RunOptions, config: Path) -> str:
    async with InfraMind.from_config(config) as mind:
        await mind.fleet.watch(first_readings_s=FIRST_READINGS_S)
        return json.dumps(asdict(await mind.ainvoke(question, **options)))


async def _follow(question: str, options: RunOptions, config: Path, view: _View) -> None:
    async with InfraMind.from_config(config) as mind:
        await mind.fleet.watch(first_readings_s=FIRST_READINGS_S)
        with view:
            async for event in mind.astream(question, **options):
                view.take(event)
    view.finish()


class _View(Protocol):
    """Shows a run while it goes on."""

    @property
    def trace_id(self) -> str: ...

    def __enter__(self) -> object: ...

    def __exit__(self, *_: object) -> None: ...

    def take(self, event: Event) -> None: ...

    def finish(self) -> None: ...


class _PlainView:
    """One line per event, for pipes and logs; the answer once, when it stands: what is printed stays printed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._account: Mapping[str, Any] = {}
        self.trace_id = ""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def take(self, event: Event) -> None:
        """Print the event, unless it is a piece of the answer."""
        self.trace_id = str(event.data.get("trace_id", self.trace_id))
        if event.kind == "answer":
            self._account = event.data
        elif event.kind != "token":
            self._console.print(_line(event))

    def finish(self) -> None:
        """Print the answer and the summary."""
        _print_answer(self._console, self._account)


@dataclass(slots=True)
class _StepLine:
    """A step in the tree: what is known so far."""

    label: str
    began_s: float
    end: Event | None = None


class _LiveView:
    """A tree that grows: steps, pace decisions, skips, and the answer as it is being written."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console, self._clock = console, clock
        self._lines: list[_StepLine | Text] = []
        self._steps: dict[int, _StepLine] = {}
        self._plan = Text("planning ...")
        self._text: list[str] = []
        self._is_writing = True
        self._account: Mapping[str, Any] = {}
        self._live = Live(self, console=console, refresh_per_second=8)
        self.trace_id = ""

    def __enter__(self) -> None:
        self._live.__enter__()

    def __exit__(self, *_: object) -> None:
        """Leave the steps on the screen without the half-written answer, which is printed whole."""
        self._is_writing = False
        self._live.__exit__(None, None, None)

    def take(self, event: Event) -> None:
        """Put the event into the tree."""
        data = event.data
        self.trace_id = str(data.get("trace_id", self.trace_id))
        match event.kind:
            case "plan":
                self._plan = _line(event)
            case "step_start":
                line = _StepLine(_step_label(data), self._clock.now_s())
                self._steps[data["step_id"]] = line
                self._lines.append(line)
            case "step_end" if data["step_id"] in self._steps:
                self._steps[data["step_id"]].end = event
            case "token":
                self._text.append(data["text"])
            case "answer":
                self._account = data
            case _:
                self._lines.append(_line(event))

    def finish(self) -> None:
        """Print the answer and the summary, and say so when the answer is not what was being written."""
        written = "".join(self._text).strip()
        if written and written != self._account["text"].strip():
            self._console.print(Text(REPLACED, "yellow"))
        _print_answer(self._console, self._account)

    def __rich__(self) -> Tree:
        tree = Tree(self._plan)
        for line in self._lines:
            tree.add(self._step_text(line) if isinstance(line, _StepLine) else line)
        if self._text and self._is_writing:
            written = safe("".join(self._text)).splitlines()
            tree.add(Text("\n".join(written[-ANSWER_LINES_SHOWN:]), "dim"))
        return tree

    def _step_text(self, line: _StepLine) -> Text:
        if line.end is None:
            return Text(f"{line.label}  {self._clock.now_s() - line.began_s:.1f} s ...", "yellow")
        return Text(line.label) + Text("  ") + _step_end(line.end.data)


def _line(event: Event) -> Text:
    """An event as one line."""
    data = event.data
    match event.kind:
        case "plan":
            return Text(f"plan: {data['topology']} with {', '.join(data['team'])}", "bold")
        case "step_start":
            return Text(f"{_step_label(data)}: started")
        case "step_end":
            return Text(f"{_step_label(data)}: ") + _step_end(data)
        case "pace":
            return Text(f"pace: {data['choice']} ({data['reason']})", "cyan")
        case "skip":
            return Text(f"skipped: {data['node']} ({data['reason']})", "cyan")
        case _:
            return Text(f"{event.kind}: {one_line(str(dict(data)), 200)}")


def _step_label(data: Mapping[str, Any]) -> str:
    who = "judge" if data["kind"] == "judge" else f"{data['role']} {data['seat'] + 1}, round {data['round']}"
    return f"step {data['step_id']}: {who}, {data['model']}/{data['strategy']}"


def _step_end(data: Mapping[str, Any]) -> Text:
    if data["error"]:
        return Text(f"{data['error']} after {seconds(data['latency_s'])}", "red")
    text = Text(seconds(data["latency_s"]), "green")
    return text.append(f"  {one_line(data['answer'], 60)}", "default")


def _print_answer(console: Console, account: Mapping[str, Any]) -> None:
    console.print()
    console.print(Text(safe(account["text"])))
    console.print()
    is_late = account["status"] != "ok" or account["latency_s"] > account["budget_s"]
    summary = Text("late" if is_late else "in time", "red" if is_late else "green")
    summary.append(
        f": {seconds(account['latency_s'])} of {seconds(account['budget_s'])}; {account['topology']}, "
        f"{len(account['team'])} agent(s), {account['rounds']} round(s), {len(account['decisions'])} decisions",
        "default",
    )
    console.print(summary)
    console.print(Text("trace ") + Text(account["trace_id"], "bold"))
