"""Logs whose truth is known, and what reads them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from inframind.advisor.options.effect import Effects
from inframind.advisor.options.logs import Logs
from inframind.advisor.options.proposing import Proposer
from inframind.arena.advice.drawn_logs import DrawnWorld, effects_of, made_logs, proposer_of, space_of
from inframind.router.actions import ActionSpace


@pytest.fixture(scope="session")
def make_world() -> Callable[..., DrawnWorld]:
    return DrawnWorld


@pytest.fixture(scope="session")
def make_logs() -> Callable[..., Logs]:
    return made_logs


@pytest.fixture(scope="session")
def make_space() -> Callable[..., ActionSpace]:
    return space_of


@pytest.fixture(scope="session")
def make_effects() -> Callable[..., Effects]:
    return effects_of


@pytest.fixture(scope="session")
def make_proposer() -> Callable[..., Proposer]:
    return proposer_of
