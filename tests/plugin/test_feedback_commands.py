"""What the feedback commands print and keep."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from inframind.errors import ConfigError, UnknownTrace
from inframind.fleet.clock import SystemClock
from inframind.plugin.commands.feedback import (
    give_feedback,
    import_feedback_from,
    langfuse_source,
    otel_source,
    prune_pending,
)
from inframind.plugin.commands.traces import StorePlace
from inframind.plugin.importers.source import Cursor
from inframind.traces.aliases import run_alias
from inframind.traces.records import Outcome, Trajectory
from inframind.traces.store import open_store

T1 = "11111111111141118111111111111111"
CALL = uuid.UUID("22222222-2222-4222-8222-222222222222")
PAYLOAD = Path(__file__).parent / "importers" / "payloads" / "otel.json"
HELPFUL_S, LAST_S = 1772359620.5, 1772359740.5
NOTHING_SAID: dict[str, Any] = {
    "thread": None,
    "solved": None,
    "key": None,
    "score": None,
    "value": None,
    "comment": "",
}


@pytest.fixture
def place(tmp_path: Path) -> StorePlace:
    """A store with one run, T1, in which CALL called a model, on the thread chat-7."""
    url = str(tmp_path / "traces.db")

    async def fill() -> None:
        async with open_store(url) as store:
            await store.put(Trajectory(trace_id=T1, question="q", arrived_at_s=0.0, budget_s=1.0))
            await store.add_alias(run_alias(CALL), T1)
            await store.add_alias("thread:chat-7", T1)

    asyncio.run(fill())
    return StorePlace(config=tmp_path / "inframind.toml", store=url)


@pytest.fixture
def telemetry(tmp_path: Path) -> Path:
    path = tmp_path / "evaluations.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in json.loads(PAYLOAD.read_text())))
    return path


def outcomes(place: StorePlace) -> list[Outcome]:
    async def read() -> list[Outcome]:
        async with place.opened() as store:
            return [*(await store.get(T1)).outcomes]

    return asyncio.run(read())


def printed(command: Any, *args: Any, **options: Any) -> str:
    screen = io.StringIO()
    command(*args, **options, console=Console(file=screen, width=300))
    return screen.getvalue()


def say(place: StorePlace, about: str | None, **what: Any) -> str:
    return printed(give_feedback, place, about, **{**NOTHING_SAID, **what}, clock=SystemClock())


@pytest.mark.parametrize("about", [T1[:6], T1, str(CALL), f"lc_run--{CALL}-0"])
def test_feedback_is_recorded_on_the_run_that_is_named(place: StorePlace, about: str) -> None:
    assert say(place, about, solved=True) == f"solved = 1 recorded on {T1}\n"
    assert say(place, about, solved=False) == f"solved = 0 recorded on {T1}\n"
    assert [(o.key, o.score, o.source) for o in outcomes(place)] == [("solved", 0.0, "cli")]


def test_feedback_on_a_thread_is_on_its_latest_run(place: StorePlace) -> None:
    said = say(place, None, thread="chat-7", key="tone", value="rude")
    assert said.startswith(f"tone = rude recorded on {T1}\n")
    assert say(place, None, thread="chat-7", key="note", comment="hm") == f"note recorded on {T1}\n"


def test_a_score_that_says_nothing_of_solved_is_told_what_would(place: StorePlace, tmp_path: Path) -> None:
    said = say(place, T1, key="thumbs", score=1.0).splitlines()
    assert said[0] == f"thumbs = 1 recorded on {T1}"
    assert said[1].startswith("whether the run was solved is not said by it, but by solved: ")
    assert '[feedback] solved_keys = {"thumbs" = 0.5}' in said[1]
    assert "not said by labels" in say(place, T1, key="tone", value="rude")

    place.config.write_text(
        '[[endpoints]]\nname = "e"\nbase_url = "http://localhost:1/v1"\nmodel = "m"\n'
        '[traces]\nurl = "sqlite:///traces.db"\n[feedback]\nsolved_keys = {thumbs = 0.5}\n'
    )
    ours = StorePlace(config=place.config)
    assert say(ours, T1, key="thumbs", score=0.0) == f"thumbs = 0 recorded on {T1}\n"
    assert "but by solved, thumbs: " in say(ours, T1, key="stars", score=5.0)


def test_what_looks_like_markup_is_printed_as_it_is(place: StorePlace) -> None:
    assert say(place, T1, key="[bold]", comment="x") == f"[bold] recorded on {T1}\n"


def test_feedback_on_an_unknown_run_says_that_it_waits(place: StorePlace) -> None:
    stranger = "9" * 32
    assert say(place, stranger, solved=True) == (
        f"solved = 1 recorded for {stranger}, which is not known yet: it waits for that run\n"
    )


def test_no_run_or_two_or_an_unknown_thread_is_refused(place: StorePlace) -> None:
    for about, thread in ((None, None), (T1, "chat-7")):
        with pytest.raises(ConfigError, match="say which run"):
            say(place, about, thread=thread, solved=True)
    with pytest.raises(UnknownTrace, match="thread:chat-8"):
        say(place, None, thread="chat-8", solved=True)


def bring(place: StorePlace, telemetry: Path, cursor: Path | None, since_s: float | None = None) -> str:
    options: dict[str, Any] = {"since_s": since_s, "cursor_file": cursor, "clock": SystemClock()}
    return printed(import_feedback_from, place, otel_source(telemetry), **options)


def test_an_import_says_what_became_of_everything(place: StorePlace, telemetry: Path) -> None:
    assert bring(place, telemetry, None) == (
        "2 joined their traces, 2 wait for runs that are not known yet (2 outcomes wait in all), 1 skipped\n"
        "skipped 1: has no gen_ai.evaluation.name\n"
    )
    assert [o.key for o in outcomes(place)] == ["thumbs", "correctness"]


def test_an_import_goes_on_where_the_last_one_ended_unless_a_time_is_given(
    place: StorePlace, telemetry: Path, tmp_path: Path
) -> None:
    cursor = tmp_path / "cursor.json"
    bring(place, telemetry, cursor)
    assert Cursor.from_text(cursor.read_text()) == Cursor(since_s=LAST_S)
    assert bring(place, telemetry, cursor).startswith("0 joined their traces, 0 wait")
    assert bring(place, telemetry, cursor, since_s=0.0).startswith("2 joined their traces, 2 wait")
    assert sorted(path.name for path in tmp_path.glob("cursor*")) == ["cursor.json"]


def test_a_cursor_file_that_no_import_wrote_is_left_alone(
    place: StorePlace, telemetry: Path, tmp_path: Path
) -> None:
    cursor = tmp_path / "notes.txt"
    cursor.write_text("remember the milk")
    with pytest.raises(ConfigError, match="give the cursor that an import reported"):
        bring(place, telemetry, cursor)
    assert cursor.read_text() == "remember the milk"


def test_feedback_without_a_run_can_be_forgotten(place: StorePlace, telemetry: Path) -> None:
    bring(place, telemetry, None)
    assert (
        printed(prune_pending, place, before_s=HELPFUL_S)
        == "outcomes forgotten, as their run never came: 1\n"
    )
    assert (
        printed(prune_pending, place, before_s=LAST_S) == "outcomes forgotten, as their run never came: 1\n"
    )
    assert len(outcomes(place)) == 2


def test_a_client_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langfuse", None)
    with pytest.raises(ConfigError, match=r"pip install 'inframind\[langfuse\]'"):
        langfuse_source()
