"""Graphs with real OpenAI clients on loopback servers, and a mind that follows their runs."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import openai
import pytest

from inframind.plugin.graphs.live_runs import LiveRuns
from inframind.plugin.mind import InfraMind
from inframind.traces.records import Trajectory


class Notes(TypedDict):
    """State of most graphs here."""

    question: str
    notes: Annotated[list[str], operator.add]


def answering(say: Callable[[str], str] = lambda prompt: f"<{prompt}>") -> Any:
    """A server that answers like a real one, streamed or whole, with what ``say`` makes of the last message."""

    async def script(wire: Any) -> None:
        if wire.asked.body is None:
            await wire.fail(404)
            return
        text = say(wire.asked.prompt)
        if text == "fail":
            await wire.fail(500)
        elif wire.asked.body.get("stream"):
            await wire.answer(*(f"{word} " for word in text.split()))
        else:
            await wire.reply(200, _completion(wire.model, text))

    return script


def _completion(model: str, text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "r1",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
    }


class Followed:
    """A mind, the runs that it follows, and what they left."""

    def __init__(self, mind: InfraMind) -> None:
        self.mind = mind
        self.servers: list[Any] = mind.servers  # type: ignore[attr-defined]
        self.live = LiveRuns(mind.calls, mind.portal)
        self.decide = mind.settings.decide_config()
        self.sync_http, self.http = openai.DefaultHttpxClient(), openai.DefaultAsyncHttpxClient()

    @property
    def wires(self) -> dict[str, Any]:
        """Connections for clients, which would otherwise share theirs with other tests and never close them."""
        return {
            "http_client": self.sync_http,
            "http_async_client": self.http,
            "max_retries": 0,
            "api_key": "k",
        }

    async def aclose(self) -> None:
        """Close the clients' connections."""
        self.sync_http.close()
        await self.http.aclose()

    def client(self, server: int = 0, **options: Any) -> Any:
        """A real OpenAI client of one server, which knows nothing of us."""
        chat = pytest.importorskip("langchain_openai", reason="needs langchain-openai")
        base_url = self.servers[server].base_url
        return chat.ChatOpenAI(model=f"m{server}", base_url=base_url, **self.wires, **options)

    def asked(self) -> list[tuple[str, str]]:
        """(model, prompt) of every chat request so far, server by server."""
        return [
            (one.body["model"], one.prompt) for server in self.servers for one in server.asked if one.body
        ]

    async def settled(self) -> None:
        """Wait for what the background still writes."""
        await asyncio.to_thread(self.mind.portal.run, self.mind.calls.services.drain())
        assert self.live.mishaps.count == 0

    async def traces(self) -> list[Trajectory]:
        """All traces, oldest first."""
        await self.settled()
        found = [trace async for trace in self.mind.store.iter()]
        return sorted(found, key=lambda trace: trace.arrived_at_s)

    async def trace(self) -> Trajectory:
        """The only trace."""
        (found,) = await self.traces()
        return found


@pytest.fixture
async def follow(make_mind: Any) -> Any:
    """``followed = await follow(script, ...)``: a mind on scripted servers, answering ones unless given."""

    made: list[Followed] = []

    async def make(*scripts: Any, **options: Any) -> Followed:
        made.append(Followed(await make_mind(*(scripts or (answering(), answering())), **options)))
        return made[-1]

    yield make
    for followed in made:
        await followed.aclose()


@pytest.fixture
def answer() -> Any:
    """``answer(say)``: see `answering`."""
    return answering


@pytest.fixture
def notes() -> type[Notes]:
    """The state of most graphs here."""
    return Notes
