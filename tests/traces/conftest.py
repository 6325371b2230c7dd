"""Every kind of store, empty."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inframind.traces.store import TraceStore, open_store


@pytest.fixture(params=["sqlite", "postgresql"])
def disk_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty store is that several processes can open, of each such kind."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("fresh_postgres"))
    return f"sqlite:///{tmp_path / 'traces.db'}"


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TraceStore]:
    """An empty store of each kind."""
    urls = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path / 'traces.db'}"}
    url = urls.get(request.param) or request.getfixturevalue("fresh_postgres")
    async with open_store(url) as opened:
        yield opened
