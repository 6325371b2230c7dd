"""The driver under a loop whose clock jumps: literal times, no waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from inframind.errors import ConfigError
from inframind.simulator.driver import EngineDriver, EngineGone
from inframind.simulator.engine import Engine
from inframind.simulator.engine_profile import EngineProfile
from inframind.simulator.engine_records import EngineRequest
from inframind.simulator.virtual import VirtualLoop, run_in_virtual_time

# 100 ms a step whatever it holds.
PROFILE = EngineProfile(
    step_base_s=0.1,
    per_prefill_token_s=0.0,
    per_decode_token_s=0.0,
    kv_blocks=64,
    max_num_seqs=2,
    max_model_len=1024,
    max_num_queued_reqs=3,
)


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return run_in_virtual_time(lambda clock: main)


def make_driver(**options: Any) -> EngineDriver:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return EngineDriver(Engine(PROFILE), loop.clock, **options)


def ask(request_id: str, output: int) -> EngineRequest:
    return EngineRequest(request_id=request_id, prompt_tokens=10, output_tokens=output)


@pytest.mark.parametrize("speed", [1.0, 7.0])
def test_tokens_come_when_the_engine_says_so_divided_by_the_speed(speed: float) -> None:
    async def main() -> list[tuple[int, float]]:
        driver = make_driver(speed=speed, flush_interval_s=0.0)
        stream = driver.submit(ask("a", output=4))
        assert stream is not None
        begin_s = asyncio.get_running_loop().time()
        return [(n, asyncio.get_running_loop().time() - begin_s) async for n in stream]

    seen = run(main())
    assert [n for n, _ in seen] == [1, 2, 3, 4]
    assert [at_s * speed for _, at_s in seen] == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_tokens_are_bundled_when_they_come_faster_than_the_flush_interval() -> None:
    async def main() -> list[int]:
        stream = make_driver(flush_interval_s=0.25).submit(ask("a", output=7))
        assert stream is not None
        return [n async for n in stream]

    assert run(main()) == [1, 2, 5, 7]


def test_without_flushes_only_the_first_token_and_the_last_are_told() -> None:
    async def main() -> list[int]:
        stream = make_driver(flush_interval_s=None).submit(ask("a", output=50))
        assert stream is not None
        return [n async for n in stream]

    assert run(main()) == [1, 50]


def test_the_record_carries_simulated_times() -> None:
    async def main() -> tuple[float, float]:
        stream = make_driver(speed=100.0).submit(ask("a", output=5), is_live=False)
        assert stream is not None
        record = await stream.finished()
        return record.prefill_s, record.decode_s

    assert run(main()) == pytest.approx((0.1, 0.4))


def test_closing_a_stream_frees_its_slot_for_the_next_in_line() -> None:
    async def main() -> tuple[float, int]:
        driver = make_driver()
        begin_s = driver.now_s
        streams = [
            driver.submit(ask(name, output=output)) for name, output in (("a", 90), ("b", 90), ("c", 1))
        ]
        assert all(streams)
        await anext(streams[0])  # type: ignore[arg-type]
        streams[0].close()  # type: ignore[union-attr]
        await streams[2].finished()  # type: ignore[union-attr]
        return driver.now_s - begin_s, driver.in_flight

    took_s, in_flight = run(main())
    # One step of a and b, one of b and c.
    assert took_s == pytest.approx(0.2)
    assert in_flight == 1


def test_a_full_queue_gives_no_stream() -> None:
    async def main() -> list[bool]:
        driver = make_driver()
        return [driver.submit(ask(str(index), output=1)) is not None for index in range(4)]

    assert run(main()) == [True, True, True, False]


def test_closing_the_driver_loses_the_requests_in_flight() -> None:
    async def main() -> None:
        driver = make_driver()
        stream = driver.submit(ask("a", output=5))
        assert stream is not None
        driver.close()
        with pytest.raises(EngineGone, match="'a'"):
            await stream.finished()

    run(main())


def test_a_speed_that_stands_still_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(ConfigError, match="speed"):
            make_driver(speed=0.0)

    run(main())
