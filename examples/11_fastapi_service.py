"""A service with a chat endpoint and a feedback endpoint. Run it: uvicorn ... or, as here, try it in-process.

Run: python examples/11_fastapi_service.py
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from pydantic import BaseModel, Field

from inframind import InfraMind, settings_from
from inframind.arena.playground import simulated_endpoints
from inframind.errors import CallerError, RunError
from inframind.plugin.config import Settings


class Asked(BaseModel):
    question: str
    budget_s: float = Field(default=20, gt=0)


class Judged(BaseModel):
    trace_id: str
    key: str = "thumbs"
    score: float
    comment: str = ""


def create_app(settings: Settings) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with InfraMind(settings) as mind:
            app.state.mind = mind
            yield

    app = FastAPI(lifespan=lifespan)

    @app.exception_handler(CallerError)
    async def wrong_call(request: Request, error: CallerError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 400)

    @app.exception_handler(RunError)
    async def misfortune(request: Request, error: RunError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 503)

    @app.post("/ask")
    async def ask(asked: Asked) -> dict[str, object]:
        result = await app.state.mind.ainvoke(asked.question, budget_s=asked.budget_s)
        return {"answer": result.text, "trace_id": result.trace_id, "latency_s": result.latency_s}

    @app.post("/feedback")
    async def feedback(judged: Judged) -> dict[str, str]:
        outcome = await app.state.mind.afeedback(**judged.model_dump())
        return {"feedback_id": outcome.feedback_id}

    return app


def main() -> None:
    with simulated_endpoints() as endpoints:
        settings = settings_from({"endpoints": endpoints, "traces": {"url": "memory:"}})
        with TestClient(create_app(settings)) as client:
            reply = client.post("/ask", json={"question": "What is 8 * 9?"}).json()
            print(reply)
            print(client.post("/feedback", json={"trace_id": reply["trace_id"], "score": 1}).json())


if __name__ == "__main__":
    main()
