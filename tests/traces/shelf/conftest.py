"""Every kind of store, empty, and what tests put into it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from inframind.traces.records import Outcome, Trajectory
from inframind.traces.shelf import PolicyVersion, RolloutEvent, Shelf, Stage
from inframind.traces.shelf_checks import digest_of
from inframind.traces.shelves import shelf_of
from inframind.traces.store import TraceStore, open_store

_schemas = itertools.count()


def _sqlite(request: pytest.FixtureRequest) -> str:
    return f"sqlite:///{request.getfixturevalue('tmp_path') / 'traces.db'}"


def _postgresql(request: pytest.FixtureRequest) -> str:
    """A schema of its own: cheaper than a database."""
    import psycopg

    uri = request.getfixturevalue("postgres")
    name = f"shelf_{next(_schemas)}"
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return f"{uri}{'&' if '?' in uri else '?'}options=-csearch_path%3D{name}"


_URLS: dict[str, Callable[[pytest.FixtureRequest], str]] = {
    "memory": lambda _: "memory:",
    "sqlite": _sqlite,
    "postgresql": _postgresql,
}


@pytest.fixture(params=_URLS)
def url(request: pytest.FixtureRequest) -> str:
    """Where an empty store is, of each kind."""
    return _URLS[request.param](request)


@pytest.fixture(params=["sqlite", "postgresql"])
def shared_url(request: pytest.FixtureRequest) -> str:
    """Where an empty store is that several processes can open, of each such kind."""
    return _URLS[request.param](request)


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> str:
    """An empty store in PostgreSQL."""
    return _postgresql(request)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """An empty store in a file."""
    return f"sqlite:///{tmp_path / 'traces.db'}"


@pytest.fixture
async def store(url: str) -> AsyncIterator[TraceStore]:
    """An empty store of each kind."""
    async with open_store(url) as opened:
        yield opened


@pytest.fixture
def shelf(store: TraceStore) -> Shelf:
    """Its shelf."""
    return shelf_of(store)


class Made:
    """What tests put on shelves."""

    @staticmethod
    def trace_id(n: int) -> str:
        return f"{n:032x}"

    @staticmethod
    def run(n: int, **changes: Any) -> Trajectory:
        fields = {"trace_id": f"{n:032x}", "question": "q", "arrived_at_s": 1000.0 + n, "budget_s": 1.0}
        return Trajectory(**{**fields, **changes})

    @staticmethod
    def verdict(at_s: float, *, key: str = "solved", score: float | None = 1.0) -> Outcome:
        return Outcome(feedback_id=f"{key}-{at_s}", key=key, score=score, recorded_at_s=at_s)

    @staticmethod
    def content(n: int) -> bytes:
        return b"policy \x00\xff %d" % n

    @classmethod
    def version(cls, n: int, **changes: Any) -> PolicyVersion:
        fields = {
            "version": digest_of(cls.content(n)),
            "created_at_s": 10.0 + n,
            "created_by": "learner",
            "features_version": "v3",
            "facts": {"traces": n, "names": ["a", "b"], "loss": 0.5},
        }
        return PolicyVersion(**{**fields, **changes})

    @staticmethod
    def event(version: str, stage: Stage | None, **changes: Any) -> RolloutEvent:
        fields = {"at_s": 5.0, "by": "gate", "reason": "because"}
        return RolloutEvent(version=version, stage=stage, **{**fields, **changes})

    @classmethod
    async def add(cls, shelf: Shelf, *numbers: int) -> list[str]:
        return [(await shelf.add_policy(cls.version(n), cls.content(n))).version for n in numbers]


@pytest.fixture
def made() -> type[Made]:
    """Makes runs, verdicts, versions and events."""
    return Made
