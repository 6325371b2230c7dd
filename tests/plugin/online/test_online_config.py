"""What the section [online] allows, and which options contradict each other."""

from __future__ import annotations

from typing import Any

import pytest

from inframind.errors import ConfigError
from inframind.plugin.config import settings_from
from inframind.router.gate.config import GateConfig

ENDPOINTS = [{"name": "a", "base_url": "http://127.0.0.1:9/v1", "model": "m"}]
LEARNED = {"name": "learned", "exploration": 0.05}


def settings(online: dict[str, Any], policy: dict[str, Any] | None = None, url: str = "memory:") -> Any:
    return settings_from(
        {"endpoints": ENDPOINTS, "traces": {"url": url}, "online": online, "policy": policy or LEARNED}
    )


def test_by_default_nothing_is_followed_and_nothing_learned() -> None:
    online = settings_from({"endpoints": ENDPOINTS}).online
    assert (online.enabled, online.learner) == (False, "off")


@pytest.mark.parametrize(
    ("online", "policy", "field", "says"),
    [
        ({"learner": "separate"}, LEARNED, "online.learner", "online.enabled = true"),
        ({"enabled": True}, {"name": "just_enough"}, "online.enabled", "policy.name = 'just_enough'"),
        (
            {"enabled": True, "learner": "in-process"},
            {"name": "learned"},
            "policy.exploration",
            "online.learner = 'in-process'",
        ),
        ({"enabled": True, "learner": "separate"}, LEARNED, "online.learner", "traces.url = 'memory:'"),
        (
            {"enabled": True, "gate": {"canary_share": 0.6}},
            LEARNED,
            "gate.ramp_shares",
            "let shares grow",
        ),
    ],
)
def test_contradictions_are_refused_and_both_sides_named(
    online: dict[str, Any], policy: dict[str, Any], field: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        settings(online, policy)
    assert refused.value.field == field


def test_the_gate_is_as_careful_as_the_section_says() -> None:
    gate = {"epsilon": 0.02, "canary_share": 0.05, "ramp_shares": [0.25, 0.5], "least_runs": 50}
    config = settings({"enabled": True, "gate": gate}).gate_config()
    assert (config.epsilon, config.rungs, config.least_runs) == (0.02, (0.0, 0.05, 0.25, 0.5), 50)
    assert settings({"enabled": True}).gate_config() == GateConfig()
