"""One simulated vLLM server as an ASGI app.

The engine decides when, the language model what. Durations in ``metrics`` blocks and in ``/metrics`` are
simulated seconds; a client's own stopwatch sees them divided by the server's speed.
"""

from __future__ import annotations

import asyncio
import hmac
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inframind.errors import ConfigError
from inframind.fleet.clock import Clock
from inframind.fleet.context import StepContext
from inframind.fleet.metrics_page import EngineMetrics
from inframind.simulator.chat import Answer, ChatExchange, ChatReply, drop
from inframind.simulator.driver import EngineDriver
from inframind.simulator.engine import Engine
from inframind.simulator.engine_profile import EngineProfile
from inframind.simulator.engine_records import EngineRequest
from inframind.simulator.exposition import (
    CONTENT_TYPE,
    EngineCollector,
    RequestTallies,
    make_registry,
    render,
)
from inframind.simulator.faults import CHAT_ONLY, EVERY_ROUTE, Fault, FaultPlan
from inframind.simulator.model import LanguageModel, SimReply, SimRequest
from inframind.simulator.openai_api import ChatCall, parse_chat, parse_json, room_for_answer
from inframind.simulator.openai_errors import (
    QUEUE_FULL,
    TOO_MANY_REQUESTS,
    UNAUTHORIZED,
    ApiError,
    bad_request,
)
from inframind.simulator.replies import ReplyHead
from inframind.simulator.seeds import reply_seed
from inframind.simulator.speech import compose, is_model_asked
from inframind.simulator.tokens import prefix_keys, prompt_pieces, token_id

VERSION = "0.32.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """One replica.

    Attributes:
        name: unique in its fleet.
        model: served model name; replicas of one model share it.
        profile: speed and limits.
        is_reasoning: whether thinking is sent apart, as ``reasoning``.
        api_key: key that ``/v1`` routes ask for, or None for none.
        seed: part of the seed of every reply; give replicas of one model the same.
        max_output_tokens: longest answer that the server gives anybody, whatever is asked for, as ``max_new_tokens``
            in vLLM's ``--override-generation-config`` does; longer ones end with finish reason ``length``. None for
            no such limit.
    """

    name: str
    model: str
    profile: EngineProfile
    is_reasoning: bool = False
    api_key: str | None = field(default=None, repr=False)
    seed: int = 0
    max_output_tokens: int | None = None

    def __post_init__(self) -> None:
        for name in ("name", "model"):
            if not getattr(self, name):
                raise ConfigError(name, getattr(self, name), "give a non-empty name")
        if self.max_output_tokens is not None and self.max_output_tokens < 1:
            raise ConfigError("max_output_tokens", self.max_output_tokens, "give at least 1, or None")
        if self.api_key == "":
            raise ConfigError("api_key", "", "give a key, or None for a server without one")


class SimulatedServer:
    """The state behind one app.

    Attributes:
        spec: what it serves.
        driver: its engine and the time it runs in.
        faults: what goes wrong with it; change it at any time.
    """

    def __init__(
        self,
        spec: ServerSpec,
        model: LanguageModel,
        clock: Clock,
        *,
        speed: float = 1.0,
        flush_interval_s: float | None = 0.02,
    ) -> None:
        self.spec = spec
        self.faults = FaultPlan()
        self.driver = EngineDriver(
            Engine(spec.profile), clock, speed=speed, flush_interval_s=flush_interval_s
        )
        self._model = model
        self._clock = clock
        self._tallies = RequestTallies(spec.profile.max_model_len)
        self._started_s = clock.wall_s()
        collector = EngineCollector(self.driver.engine, self._tallies, spec.model, self._started_s)
        self._registry = make_registry(collector)
        self._requests = 0

    def close(self) -> None:
        """Let go of every request in flight; their clients see the engine die."""
        self.driver.close()

    def load_figures(self) -> EngineMetrics:
        """What the metrics page says about load, without the page."""
        self.driver.sync()
        engine, stats = self.driver.engine, self.driver.engine.stats
        queue = self._tallies.histograms["vllm:request_queue_time_seconds"]
        e2e = self._tallies.histograms["vllm:e2e_request_latency_seconds"]
        return EngineMetrics(
            running=float(engine.num_running),
            waiting=float(engine.num_waiting),
            kv_cache_usage=engine.kv_usage,
            num_preemptions=float(stats.preemptions),
            prompt_tokens=float(stats.prompt_tokens),
            generation_tokens=float(stats.generation_tokens),
            prefix_cache_queries=float(stats.prefix_queries),
            prefix_cache_hits=float(stats.prefix_hits),
            ttft_sum_s=stats.first_token_s.total,
            ttft_count=float(stats.first_token_s.count),
            itl_sum_s=stats.inter_token_s.total,
            itl_count=float(stats.inter_token_s.count),
            queue_time_sum_s=queue.total,
            queue_time_count=float(queue.count),
            e2e_sum_s=e2e.total,
            e2e_count=float(e2e.count),
            engines=1,
        )

    # The routes.

    async def chat(self, request: Request) -> Response:
        """``POST /v1/chat/completions``."""
        taken = self.take_chat(
            await request.body(), request.headers.get("baggage", ""), request.headers.get("x-request-id", "")
        )
        return ChatReply(taken) if isinstance(taken, ChatExchange) else taken

    async def models(self, request: Request) -> Response:
        """``GET /v1/models``."""
        created = int(self._started_s)
        permission = {
            "id": f"modelperm-{uuid.uuid5(uuid.NAMESPACE_DNS, self.spec.name).hex[:16]}",
            "object": "model_permission",
            "created": created,
            "allow_create_engine": False,
            "allow_sampling": True,
            "allow_logprobs": True,
            "allow_search_indices": False,
            "allow_view": True,
            "allow_fine_tuning": False,
            "organization": "*",
            "group": None,
            "is_blocking": False,
        }
        model = {
            "id": self.spec.model,
            "object": "model",
            "created": created,
            "owned_by": "vllm",
            "root": f"/models/{self.spec.model}",
            "parent": None,
            "max_model_len": self.spec.profile.max_model_len,
            "permission": [permission],
        }
        return _json({"object": "list", "data": [model]})

    async def tokenize(self, request: Request) -> Response:
        """``POST /tokenize``, for ``messages`` or a ``prompt``."""
        data = parse_json(await request.body())
        if isinstance(data.get("prompt"), str):
            data = {"messages": [{"role": "user", "content": data["prompt"]}]} | data
        call = parse_chat(data, served_model=self.spec.model, max_model_len=self.spec.profile.max_model_len)
        tokens = [token_id(piece) for piece in prompt_pieces(call.messages, call.tools)]
        max_model_len = self.spec.profile.max_model_len
        return _json(
            {"count": len(tokens), "max_model_len": max_model_len, "tokens": tokens, "token_strs": None}
        )

    async def health(self, request: Request) -> Response:
        """``GET /health`` and ``/ping``."""
        return Response()

    async def version(self, request: Request) -> Response:
        """``GET /version``."""
        return _json({"version": VERSION})

    async def load(self, request: Request) -> Response:
        """``GET /load``: chat requests in flight."""
        return _json({"server_load": self.driver.in_flight})

    async def metrics(self, request: Request) -> Response:
        """``GET /metrics``."""
        self.driver.sync()
        return Response(render(self._registry), headers={"content-type": CONTENT_TYPE})

    # A chat request's way in.

    def may_pass(self, authorization: bytes) -> bool:
        """Whether this ``authorization`` header opens the ``/v1`` routes."""
        key = self.spec.api_key
        return key is None or hmac.compare_digest(authorization, f"Bearer {key}".encode())

    def take_chat(self, body: bytes, baggage: str, request_id: str = "") -> ChatExchange | Response:
        """Put one chat request to the engine; whatever wire it came by.

        Args:
            body: JSON.
            baggage: the W3C ``baggage`` header: which step asks.
            request_id: the client's, or "".

        Returns:
            The exchange that will answer it, or a refusal.

        Raises:
            ApiError: the request is wrong.
        """
        fault = self.faults.take(among=CHAT_ONLY)
        if fault is not None and fault in _EARLY_FAULTS:
            return _EARLY_FAULTS[fault]()
        call = parse_chat(
            parse_json(body), served_model=self.spec.model, max_model_len=self.spec.profile.max_model_len
        )
        return self._accept(call, _context(baggage), request_id, fault)

    def _accept(
        self, call: ChatCall, context: StepContext | None, request_id: str, fault: Fault | None
    ) -> ChatExchange | Response:
        """Decide every answer's text, and queue its tokens."""
        pieces = prompt_pieces(call.messages, call.tools)
        room = room_for_answer(call, len(pieces), self.spec.profile.max_model_len)
        max_tokens = min(room, self.spec.max_output_tokens or room)
        keys = prefix_keys(pieces, self.spec.profile.block_size)
        news = asyncio.Event()
        answers: list[Answer] = []
        for index in range(call.n):
            speech = compose(
                call,
                self._reply(call, context, index),
                is_reasoning=self.spec.is_reasoning,
                max_tokens=max_tokens,
            )
            work = EngineRequest(
                request_id=self._next_id(),
                prompt_tokens=len(pieces),
                output_tokens=speech.n_tokens,
                block_keys=keys,
                priority=call.priority,
            )
            stream = self.driver.submit(work, is_live=call.stream, news=news)
            if stream is None:
                for answer in answers:
                    answer.stream.close()
                return _json(QUEUE_FULL, 503)
            answers.append(Answer(speech=speech, stream=stream, max_tokens=max_tokens))
        head = ReplyHead(
            reply_id=f"chatcmpl-{call.request_id or request_id or self._reply_id()}",
            created=int(self._clock.wall_s()),
            model=self.spec.model,
            prompt_tokens=len(pieces),
        )
        return ChatExchange(call, head, answers, news, self._tallies, fault)

    def _reply(self, call: ChatCall, context: StepContext | None, choice: int) -> SimReply:
        if not is_model_asked(call) and call.schema != {}:
            return SimReply(text="")
        seed = reply_seed(self.spec.seed, self.spec.model, call.messages, call.seed, context, choice)
        return self._model.reply(
            SimRequest(
                model=self.spec.model, messages=call.messages, context=context, seed=seed, tools=call.tools
            )
        )

    def _next_id(self) -> str:
        self._requests += 1
        return str(self._requests)

    def _reply_id(self) -> str:
        """Looks as random as a real one, and is the same in every run."""
        facts = f"{self.spec.name}/{self.spec.seed}/{self._requests}".encode()
        return blake2b(facts, digest_size=8).hexdigest()


class _Door:
    """What happens to every request: the fault that refuses it, the key, the common headers, the errors."""

    def __init__(self, app: ASGIApp, server: SimulatedServer) -> None:
        self._app, self._server = app, server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._server.faults.take(among=EVERY_ROUTE):
            await drop(scope)
            while (await receive())["type"] != "http.disconnect":
                pass
        elif not self._may_pass(scope):
            await _json(UNAUTHORIZED, 401)(scope, receive, send)
        else:
            await self._app(scope, receive, _with_headers(scope, send))

    def _may_pass(self, scope: Scope) -> bool:
        if not scope["path"].startswith("/v1"):
            return True
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return self._server.may_pass(given)


def create_app(
    spec: ServerSpec,
    model: LanguageModel,
    clock: Clock,
    *,
    speed: float = 1.0,
    flush_interval_s: float | None = 0.02,
) -> Starlette:
    """An app that behaves like one vLLM 0.32 server; ``app.state.server`` is its `SimulatedServer`.

    Args:
        spec: what it serves.
        model: thinks of the answers.
        clock: must agree with the time of the loop that the app runs in.
        speed: simulated seconds per second of the clock.
        flush_interval_s: streams send at most this often, in seconds of the clock, several tokens to an event
            if need be; None for the first token and the last alone.
    """
    return asgi_app(SimulatedServer(spec, model, clock, speed=speed, flush_interval_s=flush_interval_s))


def asgi_app(server: SimulatedServer) -> Starlette:
    """The routes of a server."""
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", server.chat, methods=["POST"]),
            Route("/v1/models", server.models),
            Route("/tokenize", server.tokenize, methods=["POST"]),
            Route("/health", server.health),
            Route("/ping", server.health, methods=["GET", "POST"]),
            Route("/version", server.version),
            Route("/load", server.load),
            Route("/metrics", server.metrics),
        ],
        middleware=[Middleware(_Door, server=server)],
        exception_handlers={HTTPException: _http_error, ApiError: _api_error},
    )
    app.state.server = server
    return app


def _json(body: object, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, headers={"content-type": "application/json"})


def _garbage() -> Response:
    return Response(b"<html>upstream hiccup", headers={"content-type": "application/json"})


_EARLY_FAULTS: dict[Fault, Callable[[], Response]] = {
    Fault.GARBAGE: _garbage,
    Fault.TOO_MANY_REQUESTS: lambda: _json(TOO_MANY_REQUESTS, 429),
    Fault.UNAVAILABLE: lambda: _json(QUEUE_FULL, 503),
}


async def _http_error(request: Request, error: Exception) -> Response:
    """Routing errors, as FastAPI words them."""
    if not isinstance(error, HTTPException):
        raise error
    return _json({"detail": error.detail}, error.status_code)


async def _api_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    return _json(error.body, error.status)


def _context(baggage: str) -> StepContext | None:
    """The step that is asking.

    Raises:
        ApiError: 400, a number in it is not one; a real server would not look, but here the answer hangs on it.
    """
    try:
        return StepContext.from_baggage(baggage)
    except ValueError:
        raise bad_request(
            "The baggage header carries a position or round that is not a number.", "baggage"
        ) from None


def _with_headers(scope: Scope, send: Send) -> Send:
    """Add what vLLM adds: the request's own id, or a fresh one."""
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), None)
    extra = [(b"vary", b"Origin"), (b"x-request-id", given or uuid.uuid4().hex.encode())]

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *extra]
        await send(message)

    return send_with_headers
