"""Is this endpoint what the configuration says it is? One `Finding` per question, each fault with its fix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import httpx

from inframind.errors import EndpointError, EndpointRejected, EndpointUnauthorized
from inframind.fleet.client import TimedClient
from inframind.fleet.clock import Clock, Deadline
from inframind.fleet.endpoints import EndpointSpec
from inframind.fleet.messages import ChatRequest, Completion
from inframind.fleet.metrics_page import EngineMetrics, parse_metrics

Level = Literal["ok", "warn", "fail"]

SKEW_TOLERATED_S = 2.0
"""A date header has a resolution of one second; less than two seconds apart says nothing."""
LOAD_FIGURES = frozenset({"running", "waiting", "kv_cache_usage"})
"""Figures that decisions look at; the others only explain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check came to.

    Attributes:
        check: what was checked.
        level: ``ok``, ``warn`` (it works, but something is lost) or ``fail``.
        found: what was found.
        fix: what to do about it, or "".
    """

    check: str
    level: Level
    found: str
    fix: str = ""


async def probe_endpoint(spec: EndpointSpec, clock: Clock, *, timeout_s: float = 10.0) -> list[Finding]:
    """Check one endpoint with three requests: its list of models, one token of chat, and its metrics page.

    Args:
        spec: what it is said to be.
        clock: time.
        timeout_s: for each request.
    """
    limit = httpx.Timeout(timeout_s, connect=min(timeout_s, spec.connect_timeout_s))
    async with httpx.AsyncClient(timeout=limit) as http:
        return await _Probe(spec, clock, http, timeout_s).run()


class _Probe:
    def __init__(self, spec: EndpointSpec, clock: Clock, http: httpx.AsyncClient, timeout_s: float) -> None:
        self._spec, self._clock, self._http, self._timeout_s = spec, clock, http, timeout_s

    async def run(self) -> list[Finding]:
        url = f"{self._spec.base_url}/models"
        asked_s = self._clock.wall_s()
        try:
            reply = await self._http.get(url, headers=_authorization(self._spec))
        except httpx.HTTPError as error:
            fix = "start the server, or correct base_url and the firewall"
            return [_fail("reachable", f"{url}: {_said(error)}", fix)]
        middle_s = (asked_s + self._clock.wall_s()) / 2
        models = list(self._models(reply))
        may_chat = all(finding.level != "fail" or finding.check == "context" for finding in models)
        return [
            _ok("reachable", f"{self._spec.base_url}, {1000 * reply.elapsed.total_seconds():.0f} ms"),
            *models,
            *(await self._chat() if may_chat else ()),
            self._priority(),
            await self._metrics(),
            _clock_skew(reply.headers.get("date", ""), middle_s),
        ]

    def _models(self, reply: httpx.Response) -> Iterator[Finding]:
        if reply.status_code in (401, 403):
            yield self._key_refused(reply.status_code)
            return
        listed = _listed_models(reply)
        if listed is None:
            found = f"{self._spec.base_url}/models says HTTP {reply.status_code}, and no list of models"
            yield _fail("model", found, "correct base_url: it usually ends in /v1")
        elif self._spec.model not in listed:
            names = ", ".join(listed) or "none"
            yield _fail(
                "model", f"{self._spec.model!r} is not served; served: {names}", _model_fix(tuple(listed))
            )
        else:
            yield _ok("model", f"{self._spec.model} is served")
            yield self._context_length(listed[self._spec.model])

    def _context_length(self, model: dict[str, Any]) -> Finding:
        ours, theirs = self._spec.context_length, model.get("max_model_len")
        if not isinstance(theirs, int):
            return _ok("context", f"{ours:,} tokens configured; the server does not say its max_model_len")
        found = f"{ours:,} tokens configured, max_model_len is {theirs:,}"
        if ours > theirs:
            return _fail("context", found, f"set context_length = {theirs}")
        return _ok("context", found)

    async def _chat(self) -> list[Finding]:
        """One token through the client that serves real calls, streamed as they are."""
        client = TimedClient({self._spec.name: self._spec}, self._clock)
        request = ChatRequest(messages=[{"role": "user", "content": "Say yes."}], max_tokens=1)
        try:
            completion = await client.complete(
                request, self._spec.name, Deadline.after(self._timeout_s, self._clock)
            )
        except EndpointUnauthorized as error:
            return [self._key_refused(error.status)]
        except EndpointRejected as error:
            return [_fail("chat", str(error), "make the server accept a plain streamed chat request")]
        except EndpointError as error:
            return [_fail("chat", str(error), "look into the server's log: it lists models but cannot chat")]
        finally:
            await client.aclose()
        return [self._key_accepted(), _chat_worked(completion), _request_metrics(completion)]

    def _key_accepted(self) -> Finding:
        return _ok("api key", "accepted" if self._spec.api_key else "none configured, none asked for")

    def _key_refused(self, status: int | None) -> Finding:
        if self._spec.api_key is None:
            return _fail("api key", f"none configured, HTTP {status}", "set api_key_env or api_key_file")
        return _fail(
            "api key", f"refused, HTTP {status}", "correct the key that api_key_env or api_key_file names"
        )

    def _priority(self) -> Finding:
        if self._spec.priority:
            return _ok(
                "priority",
                "declared; cannot be verified from outside: a first-come server accepts it silently",
            )
        return _ok("priority", "not declared; requests carry none")

    async def _metrics(self) -> Finding:
        if not self._spec.scrape_url:
            return _ok("metrics", "not read (metrics = false): decisions do not see this server's load")
        fix = "set metrics_url to the server's Prometheus page, or metrics = false if it has none"
        try:
            reply = await self._http.get(self._spec.scrape_url)
        except httpx.HTTPError as error:
            return _fail("metrics", f"{self._spec.scrape_url}: {_said(error)}", fix)
        if reply.status_code != 200:
            return _fail("metrics", f"{self._spec.scrape_url}: HTTP {reply.status_code}", fix)
        return _metrics_read(parse_metrics(reply.content), fix)


def _metrics_read(metrics: EngineMetrics, fix: str) -> Finding:
    known = {name for name in EngineMetrics.__dataclass_fields__ if name != "engines"}
    missing = sorted(known - metrics.present)
    if not metrics.present:
        return _fail(
            "metrics", "the page has no vllm: series", f"{fix}; vLLM must not run --disable-log-stats"
        )
    if not missing:
        return _ok("metrics", f"all {len(known)} series read")
    found = f"{len(metrics.present)} of {len(known)} series; missing: {', '.join(missing)}"
    if LOAD_FIGURES & set(missing):
        return Finding(
            check="metrics",
            level="warn",
            found=found,
            fix="update the server: decisions see part of its load only",
        )
    return _ok("metrics", found)


def _chat_worked(completion: Completion) -> Finding:
    ttft_s = completion.timings.ttft_s
    first = "" if ttft_s is None else f", first token after {1000 * ttft_s:.0f} ms"
    return _ok("chat", f"one token in {1000 * completion.timings.total_s:.0f} ms{first}")


def _request_metrics(completion: Completion) -> Finding:
    if completion.timings.queue_s is not None:
        return _ok("request metrics", "reported: queue time is known per call")
    return Finding(
        check="request metrics",
        level="warn",
        found="not reported: queueing and computing cannot be told apart",
        fix="start vLLM with --enable-per-request-metrics",
    )


def _clock_skew(date: str, wall_s: float) -> Finding:
    """Compare the server's date with the middle of the request; the header leaves out fractions of a second."""
    try:
        theirs_s = parsedate_to_datetime(date).timestamp() + 0.5
    except ValueError:
        return _ok("clock", "the server does not send its time")
    skew_s = theirs_s - wall_s
    if abs(skew_s) <= SKEW_TOLERATED_S:
        return _ok("clock", f"within {SKEW_TOLERATED_S:g} s of ours")
    return Finding(
        check="clock",
        level="warn",
        found=f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} ours",
        fix="run NTP on both machines: traces and the server's logs will not line up",
    )


def _listed_models(reply: httpx.Response) -> dict[str, dict[str, Any]] | None:
    """The listed models by name, or None when this is no list of models."""
    if reply.status_code != 200:
        return None
    try:
        data = reply.json()
    except ValueError:
        return None
    models = data.get("data") if isinstance(data, dict) else None
    if not isinstance(models, list):
        return None
    return {str(model["id"]): model for model in models if isinstance(model, dict) and "id" in model}


def _model_fix(served: tuple[str, ...]) -> str:
    if len(served) == 1:
        return f"set model = {served[0]!r}, or serve the configured one"
    return "set model to one of them, or serve the configured one"


def _authorization(spec: EndpointSpec) -> dict[str, str]:
    return {"authorization": f"Bearer {spec.api_key.get_secret_value()}"} if spec.api_key else {}


def _said(error: httpx.HTTPError) -> str:
    return f"{type(error).__name__} {error}".strip()


def _ok(check: str, found: str) -> Finding:
    return Finding(check=check, level="ok", found=found)


def _fail(check: str, found: str, fix: str) -> Finding:
    return Finding(check=check, level="fail", found=found, fix=fix)
