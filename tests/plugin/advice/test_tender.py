"""Seeing to advice beside learning: whatever becomes of it, learning and judging go on."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from inframind.errors import StoreError
from inframind.plugin.advice.tender import AdviceTender
from inframind.traces.outcome_graph import KeptAnalysis

from .conftest import Office

ANALYSES = "\n[advisor]\nanalyse_every_s = 100.0\n"


class _Desk:
    """A desk at which nothing works."""

    waits = False

    def __init__(self, *failures: BaseException) -> None:
        self.failures, self.tended, self.analysed = list(failures), 0, 0

    async def tend(self) -> list[Any]:
        self.tended += 1
        if self.failures:
            raise self.failures.pop(0)
        return []

    async def analysis(self) -> None:
        return None

    async def analyse(self) -> None:
        self.analysed += 1
        raise StoreError("read", "gone")


async def test_an_analysis_that_another_release_kept_stops_nobody(
    here: Office, caplog: pytest.LogCaptureFixture
) -> None:
    here.file.write_text(here.file.read_text() + ANALYSES)
    await here.graph.keep_analysis(KeptAnalysis(at_s=0.0, configuration_id="", document={"of": "tomorrow"}))
    await here.serve(8, "", "serving", right=0.5)
    here.clock.pass_s(10.0)
    with caplog.at_level(logging.WARNING):
        assert await here.learner().once()
    kept = await here.graph.latest_analysis()
    assert kept is not None and kept.document["runs"] == 8
    assert "another release" in caplog.text
    assert await here.desk().analysis() is not None


@pytest.mark.parametrize("failure", [StoreError("read", "gone"), KeyError("a bug"), ValueError("another")])
async def test_a_desk_that_fails_ends_no_round_and_is_asked_again_later(
    here: Office, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    desk: Any = _Desk(failure, failure)
    tender = AdviceTender(desk, here.clock, analyse_every_s=0.0)
    tended = []
    for passed_s in (0.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0):
        here.clock.pass_s(passed_s)
        tender.tend()
        await tender.finish()
        tended.append(desk.tended)
    assert tended == [1, 1, 2, 2, 2, 2, 3]  # waits 10 s, then 20 s
    assert caplog.text.count("begins anew") == 2


async def test_a_desk_that_is_slow_holds_up_nobody(here: Office) -> None:
    went_on = asyncio.Event()

    class Slow(_Desk):
        async def tend(self) -> list[Any]:
            await went_on.wait()
            return await super().tend()

    desk: Any = Slow()
    tender = AdviceTender(desk, here.clock, analyse_every_s=0.0)
    for _ in range(3):
        here.clock.pass_s(10.0)
        tender.tend()
    went_on.set()
    await tender.finish()
    assert desk.tended == 1


async def test_an_analysis_that_fails_is_not_tried_every_few_seconds(
    here: Office, caplog: pytest.LogCaptureFixture
) -> None:
    desk: Any = _Desk()
    tender = AdviceTender(desk, here.clock, analyse_every_s=100_000.0)
    for _ in range(200):  # 1000 s
        tender.tend()
        await tender.finish()
        here.clock.pass_s(5.0)
    assert (desk.tended, desk.analysed) == (200, 4)  # after 0, 120, 360 and 840 s
