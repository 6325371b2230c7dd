"""The fleet, the store and the minds of one test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.graphs.subgraph.office import Office


@pytest.fixture
def office() -> Iterator[Office]:
    """``office.mind()``: an `InfraMind` as another process would have it; all are closed with the test."""
    opened = Office()
    yield opened
    for mind in opened.minds:
        mind.close()
