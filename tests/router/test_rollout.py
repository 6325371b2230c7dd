"""Which policy serves which run."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest

from inframind.errors import CheckpointError
from inframind.fleet.clock import Clock, SystemClock
from inframind.fleet.endpoints import EndpointSpec
from inframind.fleet.pool import Fleet
from inframind.graphs.assembly import Parts
from inframind.router.actions import ActionSpace
from inframind.router.decide import Decider
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.policy_shelf import content_of, policy_of, ready_to_serve, version_of
from inframind.router.policy_shipped import shipped_policy
from inframind.router.rollout import RECENT, Lineup, Served, ServingVersions
from inframind.traces.records import Decision
from inframind.traces.shelf import PolicyVersion, Rollout

CLOCK: Clock = SystemClock()
SPEC = EndpointSpec(name="e0", base_url="http://127.0.0.1:9/v1", model="m0", size_b=8.0)


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return Fleet([SPEC])


@pytest.fixture(scope="module")
def configured(fleet: Fleet) -> Decider:
    actions: ActionSpace = Parts(endpoints=[SPEC]).action_space(fleet.models)
    latency = LearnedLatencyModel(actions.models, actions.strategies)
    policy = shipped_policy().bind(actions)
    return Decider(actions, policy, latency, clock=CLOCK, rng=np.random.default_rng(0))


def published(name: str) -> tuple[PolicyVersion, bytes]:
    content = content_of(replace(shipped_policy(), facts={"name": name}))
    return version_of(content, created_at_s=0.0, created_by="test", facts={}), content


def ready(name: str, beside: Decider, fleet: Fleet) -> Served:
    version, content = published(name)
    return ready_to_serve(version, content, beside, fleet.snapshot(), CLOCK)


def decision_of(decider: Decider) -> Decision:
    return Decision(
        decision_id="d", kind="step", made_s=0.0, policy=decider.policy.name, policy_version=decider.policy.version,
        features_version="", actions=("a",), probabilities=(1.0,), masked=("",), chosen=0, probability=1.0, choice={},
    )  # fmt: skip


def test_until_anything_is_published_the_configured_policy_serves(configured: Decider) -> None:
    versions = ServingVersions(configured)
    assert versions.assign("a run", []).decider is configured
    assert versions.lineup.serving.version == ""


def test_a_version_signs_its_decisions_with_its_first_digits(configured: Decider, fleet: Fleet) -> None:
    served = ready("one", configured, fleet)
    assert served.policy.version == published("one")[0].version[:12]
    assert (served.policy.name, configured.policy.name) == ("learned", "learned")


def test_the_same_policy_is_the_same_version(configured: Decider) -> None:
    assert published("one") == published("one")
    assert published("one")[0].version != published("two")[0].version


def test_runs_are_dealt_out_by_share_and_the_trace_can_say_how(configured: Decider, fleet: Fleet) -> None:
    versions = ServingVersions(configured)
    candidate = ready("one", configured, fleet)
    rollout = Rollout(number=3, candidate=candidate.version, stage="canary", share=0.25)
    versions.serve(Lineup(serving=versions.configured, candidate=candidate, rollout=rollout))
    given = [versions.assign(f"thread {n}", []) for n in range(400)]
    tried = [one for one in given if one.decider is candidate.decider]
    assert 60 < len(tried) < 140
    assert tried[0].facts == {"event": 3, "candidate": candidate.version, "arm": "candidate", "share": 0.25}
    assert {one.facts["arm"] for one in given if one.decider is configured} == {"serving"}


def test_a_run_goes_on_with_the_version_that_it_began_with(configured: Decider, fleet: Fleet) -> None:
    versions = ServingVersions(configured)
    first, second = ready("one", configured, fleet), ready("two", configured, fleet)
    versions.serve(Lineup(serving=first))
    versions.serve(Lineup(serving=second))
    assert versions.assign("k", []).decider is second.decider
    assert versions.assign("k", [decision_of(first.decider)]).decider is first.decider
    assert versions.assign("k", [decision_of(configured)]).decider is configured


def test_a_run_whose_version_is_gone_goes_on_with_what_serves(configured: Decider, fleet: Fleet) -> None:
    versions = ServingVersions(configured)
    gone = ready("gone", configured, fleet)
    versions.keep(gone)
    begun = [decision_of(gone.decider)]
    assert versions.is_at_hand(begun)
    for n in range(RECENT):
        versions.serve(Lineup(serving=ready(str(n), configured, fleet)))
    assert versions.is_at_hand(begun), "a run may still hold it"
    del gone
    gc.collect()
    assert not versions.is_at_hand(begun)
    assert versions.assign("k", begun).decider is versions.lineup.serving.decider


async def test_a_version_that_is_gone_is_called_for(configured: Decider, fleet: Fleet) -> None:
    versions, asked = ServingVersions(configured), []
    served = ready("one", configured, fleet)

    async def recall(prefix: str) -> None:
        asked.append(prefix)
        versions.keep(served)

    versions.recall = recall
    await versions.remember([decision_of(served.decider)])
    await versions.remember([decision_of(served.decider)])
    await versions.remember([])
    assert asked == [served.version[:12]]
    assert versions.assign("k", [decision_of(served.decider)]).decider is served.decider


def test_versions_draw_from_one_chance_and_trying_one_out_draws_nothing(
    configured: Decider, fleet: Fleet
) -> None:
    before = configured._rng.bit_generator.state
    ready("one", configured, fleet)
    assert configured._rng.bit_generator.state == before


def test_a_damaged_version_is_refused() -> None:
    version, content = published("one")
    with pytest.raises(CheckpointError, match=f"version {version.version[:12]}.*copy it again"):
        policy_of(version, content[:-7])
    with pytest.raises(CheckpointError, match="no safetensors"):
        policy_of(version, b"something else")


def test_a_version_over_other_feature_columns_is_refused() -> None:
    version, content = published("one")
    with pytest.raises(CheckpointError, match="trained on features version '0'"):
        policy_of(replace(version, features_version="0"), content)
