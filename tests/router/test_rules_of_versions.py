"""Versions that carry rules: kept in their files, and served after the configuration's own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from inframind.errors import CheckpointError
from inframind.router.decide import Decider
from inframind.router.features import FEATURES_VERSION
from inframind.router.learning.checkpoint import checkpoint_in, load_checkpoint, save_checkpoint
from inframind.router.online.learner import OnlineLearner
from inframind.router.policy_file import StoredPolicy, load_policy, policy_bytes, save_policy
from inframind.router.policy_shelf import ready_to_serve, version_of
from inframind.router.policy_shipped import shipped_policy
from inframind.router.rollout import Served
from inframind.router.rulebook import RuleBook
from inframind.router.rules import Circumstances, RoutingRule
from inframind.router.shadow import Shadow, WouldChoose
from inframind.router.views import Query, Slot

NIGHT = RoutingRule(
    name="night",
    when=Circumstances(domains=frozenset({"math", "code"}), hours_utc=(22, 6)),
    avoid_endpoints=frozenset({"b-0", "a-0"}),
    advice="abc123",
)
NO_A = RoutingRule(name="no-a", avoid_models=frozenset({"a"}))
NO_FLASH = RoutingRule(name="no-flash", avoid_strategies=frozenset({"Flash"}))


def with_rules(*rules: RoutingRule) -> StoredPolicy:
    return replace(shipped_policy(), rules=rules)


def served(bench: Any, stored: StoredPolicy, *own: RoutingRule) -> Served:
    content = policy_bytes(stored)
    version = version_of(content, created_at_s=0.0, created_by="test", facts={})
    beside = Decider(
        bench.actions,
        shipped_policy().bind(bench.actions),
        bench.latency,
        clock=bench.clock,
        rng=np.random.default_rng(0),
        book=RuleBook(own, bench.actions),
    )
    return ready_to_serve(version, content, beside, bench.snapshot(), bench.clock)


def test_rules_come_back_from_the_file(tmp_path: Path) -> None:
    path = save_policy(tmp_path / "p.safetensors", with_rules(NIGHT, NO_A))
    assert load_policy(path).rules == (NIGHT, NO_A)


def test_a_file_without_rules_says_nothing_of_them() -> None:
    shipped = shipped_policy()
    content = policy_bytes(shipped)
    meta = checkpoint_in(content, "it", features_version=FEATURES_VERSION).meta
    assert "rules" not in meta.created_from
    assert policy_bytes(with_rules(NO_A)) != content


def header(stored: StoredPolicy, tmp_path: Path) -> dict[str, Any]:
    with safe_open(save_policy(tmp_path / "h.safetensors", stored), framework="np") as file:
        return dict(json.loads(json.loads(file.metadata()["inframind"])["header"]))


def test_releases_that_know_no_rules_refuse_a_file_with_some(tmp_path: Path) -> None:
    """They take these four fields of a header and no other, and would serve without what they do not look at."""
    known = {"kind", "features_version", "names", "created_from"}
    assert header(shipped_policy(), tmp_path).keys() == known
    assert header(with_rules(NO_A), tmp_path).keys() == known | {"needs"}


def test_a_file_that_needs_what_is_not_known_is_refused(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(
        save_policy(tmp_path / "p.safetensors", with_rules(NO_A)), features_version=FEATURES_VERSION
    )
    later = replace(checkpoint.meta, needs=("rules", "oracles"))
    path = save_checkpoint(tmp_path / "q.safetensors", checkpoint.arrays, later)
    with pytest.raises(CheckpointError, match="needs oracles, which this release does not know"):
        load_policy(path)


def test_the_same_rules_give_the_same_bytes_in_any_order_of_names() -> None:
    one = with_rules(RoutingRule(name="r", avoid_models=frozenset(["x", "y", "z"])))
    other = with_rules(RoutingRule(name="r", avoid_models=frozenset(["z", "y", "x"])))
    assert policy_bytes(one) == policy_bytes(other)


def test_rules_that_are_none_are_refused(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(
        save_policy(tmp_path / "p.safetensors", with_rules(NO_A)), features_version=FEATURES_VERSION
    )
    facts = {**checkpoint.meta.created_from, "rules": [{"name": "r", "avoid_planets": ["x"]}]}
    damaged = save_checkpoint(
        tmp_path / "q.safetensors", checkpoint.arrays, replace(checkpoint.meta, created_from=facts)
    )
    with pytest.raises(CheckpointError, match="avoid_planets"):
        load_policy(damaged)


def test_a_version_serves_under_its_rules(bench: Any) -> None:
    decider = served(bench, with_rules(NO_A)).decider
    choice, decision = decider.step(
        Query(text="q"), Slot(topology="IO"), bench.snapshot(), bench.within(), decision_id="d"
    )
    assert choice.model == "b" and decision.masked[0] == "rule no-a"


def test_the_configuration_s_own_rules_come_first_and_win_by_name(bench: Any) -> None:
    of_one_name = RoutingRule(name="no-flash", avoid_strategies=frozenset({"Plain"}))
    assert served(bench, with_rules(NO_A, of_one_name), NO_FLASH).decider.book.rules == (NO_FLASH, NO_A)


def test_a_version_does_not_serve_under_the_rules_of_another(bench: Any) -> None:
    beside = served(bench, with_rules(NO_A), NO_FLASH).decider
    content = policy_bytes(shipped_policy())
    version = version_of(content, created_at_s=0.0, created_by="test", facts={})
    decider = ready_to_serve(version, content, beside, bench.snapshot(), bench.clock).decider
    assert decider.book.rules == (NO_FLASH,)


def test_a_version_without_rules_serves_under_the_configuration_s(bench: Any) -> None:
    assert served(bench, shipped_policy(), NO_FLASH).decider.book.rules == (NO_FLASH,)


def test_a_version_whose_rules_speak_of_what_is_not_here_is_refused(bench: Any) -> None:
    stranger = RoutingRule(name="far", avoid_models=frozenset({"elsewhere"}))
    with pytest.raises(CheckpointError, match=r"cannot decide over this fleet's.*avoid_models = 'elsewhere'"):
        served(bench, with_rules(stranger))


def test_what_is_learned_on_keeps_the_rules_that_it_began_with(bench: Any) -> None:
    learner = OnlineLearner(with_rules(NO_A), bench.actions)
    assert learner.candidate().rules == (NO_A,)
    assert OnlineLearner.restored(learner.state(), bench.actions).candidate().rules == (NO_A,)


def test_a_candidate_that_is_watched_would_choose_under_its_rules(bench: Any) -> None:
    run = bench.play(bench.decider(shipped_policy().bind(bench.actions)), "What is 1 + 1?", team_size=1)
    candidate = served(bench, with_rules(NO_A))
    noted = WouldChoose(candidate.policy.version)

    Shadow(candidate.policy, bench.actions, candidate.decider.book).look(run, noted)

    steps = [decision.decision_id for decision in run.decisions if decision.kind == "step"]
    assert all(noted.choices[name].startswith("b/") for name in steps)
