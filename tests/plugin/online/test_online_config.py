"""What the section [online] allows, and which options contradict each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from inframind.errors import ConfigError
from inframind.plugin.cli import app
from inframind.plugin.config import load_settings, settings_from
from inframind.plugin.config_online import GuardsSection
from inframind.plugin.online.hearing import hearing_of
from inframind.plugin.online.lessons import Hearing
from inframind.router.gate.config import GateConfig
from inframind.router.guards.labels import Trust
from inframind.router.guards.quotas import QuotaConfig
from inframind.router.guards.sources import SourceConfig

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
        ({"enabled": True, "guards": {"free": 9, "window": 9}}, LEARNED, "online.guards.free", r"\[0, 9\)"),
        ({"guards": {"most_share": 0.0}}, LEARNED, "online.guards.most_share", "greater than 0"),
        ({"guards": {"trust": {"user:*": 2.0}}}, LEARNED, "online.guards.trust.user:*", "less than or equal"),
        ({"guards": {"quota": 1}}, LEARNED, "online.guards.quota", "unknown key"),
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


def test_whose_feedback_counts_is_as_the_section_says() -> None:
    guards = {
        "trust": {"user:boss": 1.0, "user:*": 0.1},
        "unknown": 0.0,
        "most_share": 0.3,
        "suspect_margin": 0.2,
    }
    hearing = hearing_of(settings({"enabled": True, "guards": guards}))
    sources = ("user:boss", "user:ann", "grader:x", "api", "nobody")
    assert [hearing.trust.of(source) for source in sources] == [1.0, 0.1, 1.0, 1.0, 0.0]
    assert hearing.quotas == QuotaConfig(most_share=0.3)
    assert hearing.suspicion == SourceConfig(margin=0.2)


def test_by_default_hearing_is_what_it_is_without_a_configuration() -> None:
    assert hearing_of(settings({"enabled": True})) == Hearing()


def test_the_example_s_guards_are_the_defaults(tmp_path: Path) -> None:
    CliRunner().invoke(app, ["init", str(tmp_path / "new.toml")])
    written = load_settings(tmp_path / "new.toml").online.guards
    assert written.model_fields_set == set(GuardsSection.model_fields)
    assert (written.to_trust(), written.to_quotas(), written.to_suspicion()) == (
        Trust(),
        QuotaConfig(),
        SourceConfig(),
    )
