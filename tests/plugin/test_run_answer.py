"""`inframind run` prints the answer, not what was being written when a step broke off."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from inframind.plugin.commands import run as command
from inframind.plugin.commands.write_config import write_endpoints


async def shown_by_run(serve: Any, folder: Path, script: Any, capsys: pytest.CaptureFixture[str]) -> str:
    server = await serve(script)
    config = folder / "inframind.toml"
    endpoint = {"name": "e0", "base_url": server.base_url, "model": "m0", "metrics": False}
    write_endpoints(config, [endpoint])
    options: Any = {"topology": "IO", "team_size": 2, "domain": "math"}
    await asyncio.to_thread(command.run, "How many?", options, config=config, as_json=False)
    return capsys.readouterr().out


async def judge_breaks(wire: Any) -> None:
    if wire.asked.step["node"] != "judge":
        return await wire.answer(f"draft \\boxed{{{wire.asked.step['position']}}}")
    await wire.begin()
    await wire.piece("the judge says ")
    return wire.drop()


async def all_agree(wire: Any) -> None:
    await wire.answer("I say ", "\\boxed{42}")


async def test_pieces_of_a_broken_judge_are_not_part_of_the_printed_answer(
    serve: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = await shown_by_run(serve, tmp_path, judge_breaks, capsys)
    assert shown.splitlines().count("draft \\boxed{1}") == 1
    assert "the judge says" not in shown


async def test_a_terminal_is_told_that_the_answer_replaces_what_was_being_written(
    serve: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    _, notice, after = (await shown_by_run(serve, tmp_path, judge_breaks, capsys)).partition(command.REPLACED)
    assert notice
    assert "draft \\boxed{1}" in after.splitlines()
    assert "the judge says" not in after


@pytest.mark.parametrize("is_terminal", [False, True])
async def test_an_answer_that_was_written_to_its_end_is_printed_once_and_without_notice(
    is_terminal: bool,
    serve: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if is_terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    shown = await shown_by_run(serve, tmp_path, all_agree, capsys)
    assert shown.splitlines().count("I say \\boxed{42}") == 1
    assert command.REPLACED not in shown
