"""What routing costs on top of a call: against the bare SDK, LiteLLM's Router and a bare LangGraph.

Every contender runs in a process of its own against the same local server, which answers at once, in rounds that
alternate; the figure is the median over rounds of each round's p50. LiteLLM pins another version of the SDK, so
it gets an environment of its own (``.venv-litellm``), made on the first run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import operator
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

if TYPE_CHECKING:
    from _common import Bench

ROOT = Path(__file__).resolve().parents[1]
LITELLM_VENV = ROOT / ".venv-litellm"
LITELLM = "litellm==1.106.2"
QUESTION = "How many primes are there below one hundred? " * 4
CHUNKS = 42
AGENTS = 6


# The server -------------------------------------------------------------------------------------------------


def answers() -> dict[bytes, bytes]:
    """Whole HTTP responses by what the request's model name asks for."""
    text = "The primes can be counted one by one. \\boxed{25}"
    usage = {"prompt_tokens": 60, "completion_tokens": CHUNKS, "total_tokens": 60 + CHUNKS}
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    frame = {"id": "chatcmpl-1", "created": 1, "model": "m", "usage": usage}
    whole = json.dumps({**frame, "object": "chat.completion", "choices": [choice]}).encode()
    return {
        b"whole": _http(b"application/json", whole),
        b"one": _http(b"text/event-stream", b"".join(_events([text], usage))),
        b"many": _http_chunked(_events([f"piece {n} " for n in range(CHUNKS)], usage)),
    }


def _events(pieces: list[str], usage: dict[str, int]) -> list[bytes]:
    def event(choices: list[dict[str, Any]], **more: Any) -> bytes:
        body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        return b"data: " + json.dumps({**body, "choices": choices, **more}).encode() + b"\n\n"

    def delta(content: dict[str, Any], reason: str | None = None) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": content, "logprobs": None, "finish_reason": reason}]

    return [
        event(delta({"role": "assistant", "content": ""})),
        *(event(delta({"content": piece})) for piece in pieces),
        event(delta({}, "stop")),
        event([], usage=usage),
        b"data: [DONE]\n\n",
    ]


def _http(kind: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (kind, len(body), body)


def _http_chunked(parts: list[bytes]) -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + body + b"0\r\n\r\n"


class InstantServer(asyncio.Protocol):
    """Answers every request at once: by model name ``many``, else by whether a stream is asked for."""

    replies = answers()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._unread = transport, b""

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while (end := self._unread.find(b"\r\n\r\n")) >= 0:
            head = self._unread[:end].lower()
            start = head.find(b"content-length:")
            length = int(head[start + 15 :].split(b"\r\n")[0]) if start >= 0 else 0
            if len(self._unread) < end + 4 + length:
                return
            body, self._unread = self._unread[end + 4 : end + 4 + length], self._unread[end + 4 + length :]
            self._transport.write(self._reply(body))  # type: ignore[attr-defined]

    def _reply(self, body: bytes) -> bytes:
        if b'"stream":true' not in body.replace(b" ", b""):
            return self.replies[b"whole"]
        return self.replies[b"many" if b'"many"' in body else b"one"]


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(InstantServer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# The contenders ---------------------------------------------------------------------------------------------

Call = Callable[[], Awaitable[object]]
MESSAGES = [{"role": "system", "content": "You answer."}, {"role": "user", "content": QUESTION}]


def _settings(url: str, store: str, *, more_models: tuple[str, ...] = ()) -> Any:
    from inframind import settings_from

    endpoint = {"base_url": url, "size_b": 8, "context_length": 32768, "metrics": False}
    models = [*(f"m{n}" for n in range(5)), *more_models]
    endpoints = [
        {**endpoint, "name": f"gpu-{n}", "model": model, "size_b": n + 3} for n, model in enumerate(models)
    ]
    values = {"endpoints": endpoints, "traces": {"url": store}, "policy": {"name": "uniform", "seed": 1}}
    return settings_from(values)


async def bare(url: str, *, stream: bool = False, model: str = "m") -> Call:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0)

    async def whole() -> None:
        await client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=256)

    async def streamed() -> None:
        options = {"include_usage": True}
        events = await client.chat.completions.create(
            model=model, messages=MESSAGES, max_tokens=256, stream=True, stream_options=options
        )
        async for _ in events:
            pass

    return streamed if stream else whole


async def routed(url: str, store_url: str, *, stream: bool = True) -> Call:
    """Decide, complete and record one step; no graph."""
    import numpy as np

    from inframind.fleet.clock import Deadline, SystemClock
    from inframind.fleet.messages import ChatRequest
    from inframind.graphs.recorder import FinalAnswer, RunRecorder
    from inframind.graphs.registry import TopologyRegistry
    from inframind.plugin.build import build_services
    from inframind.router.views import Query, Slot
    from inframind.traces.records import Step

    clock = SystemClock()
    services = build_services(
        _settings(url, store_url), TopologyRegistry(), clock=clock, rng=np.random.default_rng(1)
    )
    query = Query(text=QUESTION, domain="math", prompt_tokens=60)
    slot = Slot(topology="IO", role="MathSolver", prompt_tokens=60)

    async def call() -> None:
        deadline = Deadline.after(20.0, clock)
        run = RunRecorder(
            trace_id=services.new_trace_id(), query=query, deadline=deadline, clock=clock,
            arrived_at_s=clock.wall_s(),
        )  # fmt: skip
        choice, decision = services.decider.step(
            query, slot, services.fleet.snapshot(), deadline, decision_id=run.new_decision_id()
        )
        run.decisions.append(decision)
        request = ChatRequest(messages=MESSAGES, max_tokens=256, stream=stream)
        completion = await services.fleet.complete(request, choice.models, deadline)
        run.steps.append(
            Step(
                step_id=run.new_step_id(), node="agent", kind="agent", position=0, round=1, role="MathSolver",
                parents=(), decision_id=decision.decision_id, model=choice.model, strategy=choice.strategy,
                started_s=0.0, finished_s=run.since_arrival_s(), text=completion.text,
            )
        )  # fmt: skip
        final = FinalAnswer(text=completion.text, answer="", message_id="", step_id=0)
        await services.store.put(run.freeze("ok", final=final))

    return call


async def our_stream(url: str) -> Call:
    """The timed client alone on a stream of many chunks, every piece handed on."""
    from inframind.fleet.client import TimedClient
    from inframind.fleet.clock import Deadline, SystemClock
    from inframind.fleet.endpoints import EndpointSpec
    from inframind.fleet.messages import ChatRequest, Delta

    clock = SystemClock()
    client = TimedClient({"a": EndpointSpec(name="a", base_url=url, model="many")}, clock)
    pieces = []

    async def on_delta(delta: Delta) -> None:
        pieces.append(delta.text)

    async def call() -> None:
        pieces.clear()
        request = ChatRequest(messages=MESSAGES, max_tokens=256)
        await client.complete(request, "a", Deadline.after(20.0, clock), on_delta=on_delta)
        assert len(pieces) == CHUNKS

    return call


async def our_graph(url: str, topology: str) -> Call:
    from inframind import InfraMind

    mind = InfraMind(_settings(url, "memory:"))

    async def call() -> None:
        result = await mind.ainvoke(QUESTION, topology=topology, team_size=AGENTS, budget_s=60)
        assert result.status == "ok"

    return call


class State(TypedDict, total=False):
    question: str
    drafts: Annotated[list[str], operator.add]
    answer: str


async def bare_graph(url: str, topology: str) -> Call:
    """The same nodes and calls in LangGraph with the bare SDK: plan, six agents, close, respond."""
    from langgraph.graph import END, START, StateGraph
    from langgraph.types import Send

    ask = await bare(url)

    async def agent(state: State) -> State:
        await ask()
        return {"drafts": ["25"]}

    async def passing(state: State) -> State:
        return {"answer": "25"}

    def next_agent(state: State) -> Any:
        asked = len(state.get("drafts", []))
        if topology == "IO":
            return "close" if asked else [Send("agent", state) for _ in range(AGENTS)]
        return "close" if asked == AGENTS else [Send("agent", state)]

    inner = StateGraph(State)
    inner.add_node("agent", agent)
    inner.add_node("close", passing)
    inner.add_conditional_edges(START, next_agent, ["agent", "close"])
    inner.add_conditional_edges("agent", next_agent, ["agent", "close"])
    inner.add_edge("close", END)
    outer = StateGraph(State)
    outer.add_node("plan", passing)
    outer.add_node("topology", inner.compile())
    outer.add_node("respond", passing)
    outer.add_edge(START, "plan")
    outer.add_edge("plan", "topology")
    outer.add_edge("topology", "respond")
    outer.add_edge("respond", END)
    graph = outer.compile()

    async def call() -> None:
        await graph.ainvoke({"question": QUESTION, "drafts": []})

    return call


async def chat(
    url: str, *, ours: bool, model: str = "m", stream: bool = False, store: str = "memory:"
) -> Call:
    """A LangChain chat model of theirs or ours; ours decides among five, and stores a trace of every call."""
    llm = _our_chat(url, store) if ours else _their_chat(url, model)
    llm = llm.bind(model=model) if ours and model != "m" else llm
    prompt = [("system", "You answer."), ("user", QUESTION)]

    async def whole() -> None:
        await llm.ainvoke(prompt)

    async def streamed() -> None:
        async for _ in llm.astream(prompt):
            pass

    return streamed if stream else whole


def _their_chat(url: str, model: str = "m") -> Any:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model=model, base_url=url, api_key="none", max_retries=0, stream_usage=True)


def _our_chat(url: str, store: str = "memory:") -> Any:
    from inframind import InfraMind

    return InfraMind(_settings(url, store, more_models=("many",))).chat_model()


async def application(url: str, way: str) -> Call:
    """A graph of three nodes with their model: as it is, watched, or with its budget kept track of."""
    from langgraph.graph import START, MessagesState, StateGraph

    from inframind import InfraMind

    llm = _their_chat(url)

    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await llm.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    for name, before in (("one", START), ("two", "one"), ("three", "two")):
        builder.add_node(name, node)
        builder.add_edge(before, name)
    graph = builder.compile()
    mind = InfraMind(_settings(url, "memory:", more_models=("m",)))
    graph = {
        "plain": lambda: graph,
        "observed": lambda: mind.observe(graph),
        "budgeted": lambda: mind.budget(graph),
    }[way]()

    async def call() -> None:
        await graph.ainvoke({"messages": [("user", QUESTION)]})

    return call


async def agent(url: str, *, ours: str) -> Call:
    """One step of LangChain's agent: with their model, with ours in its place, or with theirs and our middleware."""
    from langchain.agents import create_agent

    from inframind import InfraMind

    middleware = [InfraMind(_settings(url, "memory:")).middleware()] if ours == "middleware" else []
    llm = _our_chat(url) if ours == "model" else _their_chat(url)
    graph = create_agent(llm, [], system_prompt="You answer.", middleware=middleware)

    async def call() -> None:
        await graph.ainvoke({"messages": [("user", QUESTION)]})

    return call


async def litellm_router(url: str) -> Call:
    import litellm  # type: ignore[import-not-found]

    litellm.suppress_debug_info = True
    target = {"model": "openai/m", "api_base": url, "api_key": "none"}
    models = [{"model_name": "m", "litellm_params": target} for _ in range(5)]
    router = litellm.Router(model_list=models, num_retries=0)

    async def call() -> None:
        await router.acompletion(model="m", messages=MESSAGES, max_tokens=256)

    return call


def contenders(url: str, folder: str) -> dict[str, Callable[[], Awaitable[Call]]]:
    return {
        "bare": lambda: bare(url),
        "bare_stream_1": lambda: bare(url, stream=True),
        "bare_stream_42": lambda: bare(url, stream=True, model="many"),
        "routed_memory": lambda: routed(url, "memory:"),
        "routed_sqlite": lambda: routed(url, f"sqlite:///{folder}/overhead-{os.getpid()}.db"),
        "routed_whole": lambda: routed(url, "memory:", stream=False),
        "our_stream_42": lambda: our_stream(url),
        "bare_graph_chain": lambda: bare_graph(url, "Chain"),
        "our_graph_chain": lambda: our_graph(url, "Chain"),
        "bare_graph_fan": lambda: bare_graph(url, "IO"),
        "our_graph_fan": lambda: our_graph(url, "IO"),
        "chat_openai": lambda: chat(url, ours=False),
        "chat_inframind": lambda: chat(url, ours=True),
        "chat_inframind_sqlite": lambda: chat(
            url, ours=True, store=f"sqlite:///{folder}/chat-{os.getpid()}.db"
        ),
        "chat_openai_stream_42": lambda: chat(url, ours=False, model="many", stream=True),
        "chat_inframind_stream_42": lambda: chat(url, ours=True, model="many", stream=True),
        "agent_openai": lambda: agent(url, ours=""),
        "agent_inframind": lambda: agent(url, ours="model"),
        "agent_middleware": lambda: agent(url, ours="middleware"),
        "app_plain": lambda: application(url, "plain"),
        "app_observed": lambda: application(url, "observed"),
        "app_budgeted": lambda: application(url, "budgeted"),
        "litellm_router": lambda: litellm_router(url),
    }


# Measuring --------------------------------------------------------------------------------------------------


async def measure(name: str, url: str, folder: str, calls: int) -> None:
    """Run in the contender's own process: print p50 in microseconds."""
    call = await contenders(url, folder)[name]()
    for _ in range(max(calls // 5, 10)):
        await call()
    taken_us = []
    for _ in range(calls):
        began = time.perf_counter()
        await call()
        taken_us.append((time.perf_counter() - began) * 1e6)
    print(json.dumps({"p50_us": statistics.median(taken_us)}), flush=True)


def run_contender(name: str, url: str, folder: str, calls: int, python: str) -> float:
    command = [python, __file__, "--contender", name, "--url", url, "--folder", folder, "--calls", str(calls)]
    quiet = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    done = subprocess.run(command, capture_output=True, text=True, env=quiet, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    return float(json.loads(done.stdout.strip().splitlines()[-1])["p50_us"])


def litellm_python(given: str | None) -> str:
    """An interpreter that has LiteLLM; makes one when there is none."""
    if given:
        return given
    python = LITELLM_VENV / "bin" / "python"
    if not python.exists():
        print(f"Installing {LITELLM} into {LITELLM_VENV.name} (once)", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(LITELLM_VENV)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", LITELLM]
        if subprocess.run(install, stderr=subprocess.DEVNULL, check=False).returncode:
            shutil.rmtree(LITELLM_VENV)
            raise SystemExit(f"{LITELLM} cannot be installed here; name an interpreter with --litellm-python")
    return str(python)


def report(bench: Bench, p50_us: dict[str, float]) -> None:
    for name, value in p50_us.items():
        bench.add_figure(f"{name}_p50_us", value, "us")
    bare_us = p50_us["bare"]
    litellm_us = p50_us["litellm_router"] - bare_us
    bench.add_figure("litellm_overhead_us", litellm_us, "us", f"above the bare client; {LITELLM}")
    over_us = p50_us["routed_memory"] - bare_us
    bench.add_bar("routed_call_above_bare_us", over_us, 150, "us")
    bench.add_bar("routed_call_over_litellm_router", max(over_us, 0.0) / litellm_us, 1 / 20)
    durable_us = p50_us["routed_sqlite"] - bare_us
    bench.add_bar("durable_routed_call_above_bare_us", durable_us, 150, "us")
    bench.add_bar("stream_42_over_sdk", p50_us["our_stream_42"] / p50_us["bare_stream_42"], limit=0.4)
    bench.add_bar("chat_over_chat_openai", p50_us["chat_inframind"] / p50_us["chat_openai"], limit=1.0)
    bench.add_figure(
        "chat_sqlite_over_chat_openai", p50_us["chat_inframind_sqlite"] / p50_us["chat_openai"], "ratio"
    )
    for way in ("observed", "budgeted"):
        bench.add_figure(f"app_{way}_above_plain_us", p50_us[f"app_{way}"] - p50_us["app_plain"], "us")
    stream = p50_us["chat_inframind_stream_42"] / p50_us["chat_openai_stream_42"]
    bench.add_bar("chat_stream_42_over_chat_openai", stream, limit=0.5)
    bench.add_bar("agent_step_over_unrouted", p50_us["agent_inframind"] / p50_us["agent_openai"], limit=1.1)
    bench.add_bar(
        "agent_step_with_middleware", p50_us["agent_middleware"] / p50_us["agent_openai"], limit=1.1
    )
    bench.add_bar(
        "graph_chain_over_bare_langgraph", p50_us["our_graph_chain"] / p50_us["bare_graph_chain"], limit=1.2
    )
    bench.add_bar(
        "graph_fan_over_bare_langgraph", p50_us["our_graph_fan"] / p50_us["bare_graph_fan"], limit=1.2
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, under 50 seconds")
    parser.add_argument(
        "--litellm-python", help="interpreter with litellm (default: .venv-litellm, made once)"
    )
    for hidden in ("--contender", "--url", "--folder"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--calls", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
    elif options.contender:
        asyncio.run(measure(options.contender, options.url, options.folder, options.calls))
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    # LiteLLM's environment has neither numpy nor our version of anything: its process must not import these.
    from _common import Bench

    rounds, calls = (1, 100) if options.quick else (5, 400)
    packages = ("openai", "langgraph", "langchain-core", "httpx2")
    bench = Bench(title="What routing costs on top of a call", packages=packages, seed=1)
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        pythons = {"litellm_router": litellm_python(options.litellm_python)}
        seen: dict[str, list[float]] = {name: [] for name in contenders(url, "")}
        with tempfile.TemporaryDirectory() as folder:
            for number in range(rounds):
                for name, values in seen.items():
                    print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr)
                    python = pythons.get(name, sys.executable)
                    values.append(run_contender(name, url, folder, calls, python))
        report(bench, {name: statistics.median(values) for name, values in seen.items()})
    finally:
        server.kill()
        server.wait()
    bench.print(as_json=options.json)


if __name__ == "__main__":
    main()
