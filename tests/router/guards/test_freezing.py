"""The switch that stops all change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inframind.errors import ConfigError
from inframind.router.guards.freezing import freeze, thaw
from inframind.traces.shelf import Rollout, rollout_after

TRIED = Rollout(number=4, serving="a" * 64, candidate="c" * 64, stage="canary", share=0.1, since_s=7.0)


def test_freezing_and_thawing_change_nothing_else() -> None:
    frozen = rollout_after(TRIED, freeze(TRIED, at_s=9.0, by="user:ann", reason="holidays"))
    assert frozen == replace(TRIED, number=0, frozen=True)
    thawed = rollout_after(frozen, thaw(frozen, at_s=10.0, by="user:ann", reason="back"))
    assert thawed == replace(TRIED, number=0)


def test_what_is_so_already_is_refused() -> None:
    with pytest.raises(ConfigError, match="already"):
        thaw(TRIED, at_s=9.0, by="user:ann", reason="?")
    with pytest.raises(ConfigError, match="already"):
        freeze(replace(TRIED, frozen=True), at_s=9.0, by="user:ann", reason="?")


def test_a_reason_is_asked_for_by_what_stops_change_alone() -> None:
    with pytest.raises(ConfigError, match="say why"):
        freeze(TRIED, at_s=9.0, by="user:ann", reason="")
    assert thaw(replace(TRIED, frozen=True), at_s=9.0, by="user:ann").reason == ""
