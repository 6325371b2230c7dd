"""What somebody who reads along is told when the answer is not the text that was being written."""

from __future__ import annotations

from typing import Any

ASK: dict[str, Any] = {"topology": "IO", "team_size": 2, "domain": "math"}


def judge_breaks(text: str) -> Any:
    """Drafts differ; the judge's stream breaks after one piece."""

    async def script(wire: Any) -> None:
        if wire.asked.step["node"] != "judge":
            return await wire.answer(f"draft \\boxed{{{wire.asked.step['position']}}}")
        await wire.begin()
        await wire.piece(text)
        return wire.drop()

    return script


async def told(mind: Any) -> list[tuple[str, str]]:
    events = [event async for event in mind.astream("How many?", **ASK)]
    return [(event.kind, event.data["text"]) for event in events if event.kind in ("token", "answer")]


async def test_the_answer_is_the_last_event_also_when_a_team_agrees(make_mind: Any, say: Any) -> None:
    mind = await make_mind(say(lambda asked: "I say \\boxed{42}"))
    assert await told(mind) == [("token", "I say \\boxed{42}"), ("answer", "I say \\boxed{42}")]


async def test_the_answer_is_the_last_event_also_when_the_judge_breaks_off(make_mind: Any) -> None:
    mind = await make_mind(judge_breaks("the judge says "))
    assert (await told(mind))[-1] == ("answer", "draft \\boxed{1}")


async def test_the_answer_event_carries_the_whole_answer_whatever_was_streamed(make_mind: Any) -> None:
    mind = await make_mind(judge_breaks("the judge says "))
    pieces = await told(mind)
    (answer,) = [text for kind, text in pieces if kind == "answer"]
    (trace,) = [await mind.store.get(summary.trace_id) for summary in await mind.store.list()]
    assert answer == trace.text == "draft \\boxed{1}"
    assert [(step.kind, step.error, step.text) for step in trace.steps if step.error] == [
        ("judge", "EndpointUnreachable", "the judge says ")
    ]
