"""`inframind policies`: what people read, and what they do by hand."""

from __future__ import annotations

import asyncio
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from inframind.fleet.clock import SystemClock
from inframind.plugin.cli import app
from inframind.plugin.commands.policies import PolicyDesk, list_policies
from inframind.plugin.commands.traces import StorePlace
from inframind.router.policy_file import save_policy
from inframind.router.policy_shelf import content_of, version_of
from inframind.router.policy_shipped import shipped_policy
from inframind.traces.shelf import PolicyVersion, Replica, Rollout, RolloutEvent
from inframind.traces.shelves import shelf_of
from inframind.traces.store import open_store

CONFIG = """
[[endpoints]]
name = "e0"
base_url = "http://127.0.0.1:9/v1"
model = "m0"

[policy]
name = "learned"
exploration = 0.05

[online]
enabled = true
learner = "separate"

[traces]
url = "sqlite:///traces.db"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inframind.toml").write_text(CONFIG)
    return tmp_path


def run(folder: Path, *words: str, answer: str = "") -> Result:
    config = str(folder / "inframind.toml")
    return CliRunner().invoke(app, ["policies", *words, "--config", config], input=answer)


def said(folder: Path, *words: str) -> Any:
    done = run(folder, *words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def on_shelf(folder: Path, work: Any) -> Any:
    async def do() -> Any:
        async with open_store(f"sqlite:///{folder / 'traces.db'}") as store:
            return await work(shelf_of(store))

    return asyncio.run(do())


def make(name: str, **other: Any) -> tuple[PolicyVersion, bytes]:
    content = content_of(replace(shipped_policy(), facts={"name": name}))
    version = version_of(content, created_at_s=0.0, created_by="learner", facts={"labelled": 200})
    return replace(version, **other), content


def add(folder: Path, name: str, **other: Any) -> str:
    version, content = make(name, **other)
    on_shelf(folder, lambda shelf: shelf.add_policy(version, content))
    return version.version


def rollout(folder: Path) -> Rollout:
    found: Rollout = on_shelf(folder, lambda shelf: shelf.rollout())
    return found


def test_a_trained_file_becomes_a_version_that_serves_nothing_yet(folder: Path) -> None:
    file = save_policy(folder / "policy.safetensors", shipped_policy())
    done = run(folder, "add", str(file))
    assert "number 1; nothing is served by it yet" in done.output
    listed = said(folder, "list")
    assert [version["number"] for version in listed["versions"]] == [1]
    assert listed["versions"][0]["facts"]["file"] == str(file)
    assert listed["rollout"]["serving"] == ""
    assert run(folder, "add", str(file)).exit_code == 0
    assert len(said(folder, "list")["versions"]) == 1


def test_a_damaged_file_is_refused(folder: Path) -> None:
    (folder / "bad.safetensors").write_bytes(b"nothing")
    done = run(folder, "add", str(folder / "bad.safetensors"))
    assert (done.exit_code, "CheckpointError" in done.output) == (2, True)


def test_promoting_asks_first_and_says_who_did_it_and_why(folder: Path) -> None:
    version = add(folder, "one")
    refused = run(folder, "promote", version[:8], "--reason", "better", answer="n\n")
    assert f"version {version[:12]} serves all runs instead of the configured policy" in refused.output
    assert "nothing was changed" in refused.output
    assert rollout(folder).serving == ""
    done = run(folder, "promote", version[:8], "--reason", "better", answer="y\n")
    assert done.exit_code == 0
    assert rollout(folder).serving == version
    event = said(folder, "list")["events"][-1]
    assert (event["by"].partition(":")[0], event["reason"], event["stage"]) == ("user", "better", "full")


@pytest.mark.parametrize(("share", "stage"), [("0", "shadow"), ("0.1", "canary"), ("0.5", "ramp")])
def test_a_share_of_runs_tries_a_version(folder: Path, share: str, stage: str) -> None:
    version = add(folder, "one")
    assert run(folder, "promote", version, "--share", share, "-r", "a try", "--yes").exit_code == 0
    found = rollout(folder)
    assert (found.candidate, found.stage, found.share) == (version, stage, float(share))


def test_rolling_back_ends_the_candidate_and_then_what_serves(folder: Path) -> None:
    first, second = add(folder, "one"), add(folder, "two")
    run(folder, "promote", first, "-r", "a", "-y")
    run(folder, "promote", second, "--share", "0.2", "-r", "b", "-y")
    assert f"version {second[:12]} is rolled back" in run(folder, "rollback", "-r", "c", "-y").output
    assert (rollout(folder).serving, rollout(folder).candidate) == (first, "")
    done = run(folder, "rollback", "-r", "d", "-y")
    assert "the configured policy serves again" in done.output
    assert rollout(folder).serving == ""
    again = run(folder, "rollback", "-r", "e", "-y")
    assert (again.exit_code, "nothing to roll back" in again.output) == (2, True)


def test_while_frozen_nothing_is_promoted_and_a_person_may_still_roll_back(folder: Path) -> None:
    first, second = add(folder, "one"), add(folder, "two")
    run(folder, "promote", first, "-r", "a", "-y")
    assert "is frozen" in run(folder, "freeze", "-r", "release week", "-y").output
    refused = run(folder, "promote", second, "-r", "b", "-y")
    assert (refused.exit_code, "inframind policies thaw" in refused.output) == (2, True)
    assert run(folder, "rollback", "-r", "an emergency", "-y").exit_code == 0
    assert (rollout(folder).serving, rollout(folder).frozen) == ("", True)
    assert run(folder, "thaw", "-y").exit_code == 0
    assert rollout(folder).frozen is False
    assert "thawed" in run(folder, "list").output.splitlines()[-1]
    assert "it is so already" in run(folder, "thaw", "-r", "again", "-y").output


def test_what_cannot_be_served_is_not_promoted(folder: Path) -> None:
    version = add(folder, "one", features_version="0")
    done = run(folder, "promote", version, "-r", "a", "-y")
    assert (done.exit_code, "trained on features version '0'" in done.output) == (2, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("promote", "abcdef", "-r", "a", "-y"), "no policy version 'abcdef'"),
        (("promote", "candidate", "-r", "a", "-y"), "give the digits of a version"),
        (("promote", "abc", "-r", "a", "-y"), "version"),
        (("show", "serving"), "has no version of its own"),
    ],
)
def test_a_version_that_there_is_not_is_refused(folder: Path, words: tuple[str, ...], says: str) -> None:
    add(folder, "one")
    done = run(folder, *words)
    assert (done.exit_code, says in " ".join(done.output.split())) == (2, True)


def test_a_reason_must_say_something(folder: Path) -> None:
    version = add(folder, "one")
    assert run(folder, "promote", version, "-y").exit_code == 2
    assert "say why" in run(folder, "promote", version, "-r", " ", "-y").output


def test_the_list_reads_like_what_happened(folder: Path) -> None:
    first, second = add(folder, "one"), add(folder, "two", parent="ab" * 32)
    run(folder, "promote", first, "-r", "a first one", "-y")
    event = RolloutEvent(
        at_s=0.0,
        version=second,
        stage="canary",
        share=0.1,
        by="gate",
        reason="200 runs without a sign of harm",
    )
    on_shelf(folder, lambda shelf: shelf.append(event, after=1))
    lines = run(folder, "list").output
    assert f"version {first[:12]} serves 90% of runs, version {second[:12]} the other 10%" in lines
    assert "gate: version" in lines
    assert "200 runs without a sign of harm" in lines
    assert "no process has reported" in lines


def test_a_narrow_list_leaves_out_who_made_a_version_before_what_it_learned(folder: Path) -> None:
    facts = {"labelled": 11, "fresh": 11, "fraction": 1, "decisions": 18, "changed": 0, "moved": 0}
    add(folder, "one", facts=facts)
    page = io.StringIO()
    place = StorePlace(config=folder / "inframind.toml")
    desk = PolicyDesk(place=place, clock=SystemClock(), user="user:ann")
    list_policies(desk, events=0, as_json=False, console=Console(file=page, width=100))
    said = " ".join(page.getvalue().split())
    assert "labelled 11, fresh 11" in said and "moved 0" in said and "…" not in said
    assert said.endswith("a wider terminal also shows: by")


def test_one_version_tells_of_itself_and_of_who_serves_it(folder: Path) -> None:
    version = add(folder, "one")
    run(folder, "promote", version, "-r", "a first one", "-y")
    import time

    replica = Replica(name="host-7", at_s=time.time(), serving=version)
    on_shelf(folder, lambda shelf: shelf.report(replica))
    shown = run(folder, "show", "serving").output
    assert "host-7" in shown
    assert "a first one" in shown
    assert "by learner" in shown
    assert said(folder, "show", version[:8])["replicas"] == ["host-7"]
    assert "1 process(es) report: 1 serve" in run(folder, "list").output


def test_a_diff_names_what_moved(folder: Path) -> None:
    stored = shipped_policy()
    offsets = replace(stored.weights.offsets, logit={"m0/Plain": 0.75})
    content = content_of(replace(stored, weights=replace(stored.weights, offsets=offsets)))
    made = version_of(content, created_at_s=0.0, created_by="learner", facts={})
    on_shelf(folder, lambda shelf: shelf.add_policy(made, content))
    told = said(folder, "diff", "configured", made.version)
    assert told["offsets"] == {"m0/Plain": [0.0, 0.75]}
    assert (told["old"], told["new"], told["decisions"]) == ("", made.version, 0)
    shown = run(folder, "diff", "configured", made.version[:8]).output
    assert "+0.75" in shown
    assert "serve some runs first" in shown
