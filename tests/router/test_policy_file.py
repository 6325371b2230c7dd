"""Learned policies as files: the same policy comes back, or the file is refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inframind.errors import CheckpointError, ConfigError
from inframind.router.encoder import HashingEncoder
from inframind.router.features import FEATURES_VERSION, Sight
from inframind.router.learning.checkpoint import load_checkpoint, save_checkpoint
from inframind.router.pace_features import PACE_COLUMNS
from inframind.router.pacer import LearnedPacer
from inframind.router.policy_file import StoredPolicy, load_policy, save_policy
from inframind.router.policy_learned import LearnedPolicy, Valuation
from inframind.router.query_model import QueryWeights
from inframind.router.views import PaceView, PlanView, Query, RoleView, StepView

ROOT = Path(__file__).resolve().parents[2]
ENCODER = HashingEncoder(dimension=16)


def queries(dimension: int = 16) -> QueryWeights:
    rng = np.random.default_rng(7)
    return QueryWeights(
        mean=rng.normal(size=dimension + 5),
        scale=np.full(dimension + 5, 1.5),
        difficulty=rng.normal(size=dimension + 5),
        typical=0.125,
        length_slope=0.3,
        abilities={"a/Plain": 0.5, "b/Plain": 1.0},
        discriminations={"a/Plain": 1.5, "b/Plain": 0.25},
    )


def pacer() -> LearnedPacer:
    rng, n = np.random.default_rng(8), len(PACE_COLUMNS)
    return LearnedPacer(
        mean_F=rng.normal(size=n),
        scale_F=np.ones(n),
        w1_HF=rng.normal(size=(3, n)),
        b1_H=np.zeros(3),
        w2_H=rng.normal(size=3),
        b2=0.5,
        max_rounds=3,
        greedy=True,
    )


@pytest.fixture
def stored(bench: Any, make_weights: Any) -> StoredPolicy:
    weights = make_weights(
        bench,
        edges_s=(8.0, 20.0, 80.0),
        excluded_strategies=frozenset({"Flash"}),
        latency=bench.latency.state(),
    )
    return StoredPolicy(
        weights=weights,
        queries=queries(),
        valuation=Valuation(price=0.7, temperature=0.4),
        sight=Sight(planner_sees_load=False),
        pacer=pacer(),
        facts={"seed": 3, "reward": "on_time"},
    )


def views(bench: Any) -> list[tuple[str, StepView | PlanView | RoleView | PaceView]]:
    role = RoleView(
        query=Query(text="q", domain="math"),
        action=bench.actions.planner_actions[-1],
        seat=1,
        roles=("Solver", "Checker"),
        taken=("Solver",),
        allowed=np.ones(2, dtype=bool),
    )
    texts = ("How many primes are below 100?", "Prove it.")
    load = {"b": {"running": 60.0, "waiting": 4.0}}
    return [
        *[("step", bench.step_view(text, budget_s=9.0, load=load)) for text in texts],
        *[("plan", bench.plan_view(text, budget_s=90.0, load=load)) for text in texts],
        ("role", role),
        ("pace", bench.pace_view(remaining_s=50.0)),
    ]


def proposals(bench: Any, policy: LearnedPolicy) -> list[list[float]]:
    return [getattr(policy, ask)(view).weights.tolist() for ask, view in views(bench)]


def test_a_policy_that_was_stored_proposes_the_same(bench: Any, stored: StoredPolicy, tmp_path: Path) -> None:
    loaded = load_policy(save_policy(tmp_path / "p.safetensors", stored))
    for explores in (False, True):
        one, same = (
            kept.bind(bench.actions, encoder=ENCODER, explores=explores) for kept in (stored, loaded)
        )
        assert proposals(bench, one) == proposals(bench, same)
    assert (loaded.facts, loaded.valuation, loaded.sight) == (stored.facts, stored.valuation, stored.sight)
    assert loaded.weights.multipliers == stored.weights.multipliers
    assert loaded.weights.edges_s == (8.0, 20.0, 80.0)
    assert loaded.weights.excluded_strategies == {"Flash"}
    kept_latency, given_latency = loaded.weights.latency, stored.weights.latency
    assert kept_latency is not None and given_latency is not None
    assert kept_latency.to_json() == given_latency.to_json()


def test_a_policy_without_reader_pacer_or_latency_is_stored_too(
    bench: Any, make_weights: Any, tmp_path: Path
) -> None:
    stored = StoredPolicy(weights=make_weights(bench), queries=None)
    loaded = load_policy(save_policy(tmp_path / "p.safetensors", stored))
    assert loaded.queries is None and loaded.pacer is None and loaded.weights.latency is None
    assert proposals(bench, stored.bind(bench.actions)) == proposals(bench, loaded.bind(bench.actions))


def test_the_same_policy_gives_the_same_bytes_and_another_gives_others(
    bench: Any, stored: StoredPolicy, make_weights: Any, tmp_path: Path
) -> None:
    one, again, other = (tmp_path / f"{name}.safetensors" for name in ("one", "again", "other"))
    save_policy(one, stored)
    save_policy(again, load_policy(one))
    save_policy(other, replace(stored, weights=make_weights(bench, 1)))
    assert one.read_bytes() == again.read_bytes() != other.read_bytes()


def test_its_version_is_its_digest(bench: Any, stored: StoredPolicy, tmp_path: Path) -> None:
    loaded = load_policy(save_policy(tmp_path / "p.safetensors", stored))
    assert len(loaded.version) == 64
    assert loaded.bind(bench.actions, encoder=ENCODER).version == loaded.version[:12]
    assert stored.bind(bench.actions, encoder=ENCODER).version == "unsaved"


def test_other_feature_columns_are_refused(stored: StoredPolicy, tmp_path: Path) -> None:
    path = save_policy(tmp_path / "p.safetensors", stored)
    kept = load_checkpoint(path, features_version=FEATURES_VERSION)
    save_checkpoint(path, kept.arrays, replace(kept.meta, features_version="1"))
    with pytest.raises(CheckpointError, match=f"version '1', fed version '{FEATURES_VERSION}'"):
        load_policy(path)


@pytest.mark.parametrize("place", [200, -1])
def test_a_changed_byte_is_refused(stored: StoredPolicy, tmp_path: Path, place: int) -> None:
    path = save_policy(tmp_path / "p.safetensors", stored)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match=r"p\.safetensors"):
        load_policy(path)


def test_what_it_lacks_is_named(stored: StoredPolicy, tmp_path: Path) -> None:
    path = save_policy(tmp_path / "p.safetensors", stored)
    kept = load_checkpoint(path, features_version=FEATURES_VERSION)
    fewer = {name: array for name, array in kept.arrays.items() if name != "step.critic.out"}
    save_checkpoint(path, fewer, kept.meta)
    with pytest.raises(CheckpointError, match=r"step\.critic\.out"):
        load_policy(path)
    facts = {name: value for name, value in kept.meta.created_from.items() if name != "multipliers"}
    save_checkpoint(path, kept.arrays, replace(kept.meta, created_from=facts))
    with pytest.raises(CheckpointError, match="multipliers"):
        load_policy(path)


def test_an_encoder_of_another_dimension_is_refused(bench: Any, stored: StoredPolicy, tmp_path: Path) -> None:
    loaded = load_policy(save_policy(tmp_path / "p.safetensors", stored))
    with pytest.raises(ConfigError, match=r"encoder\.dimension.*384.*16"):
        loaded.bind(bench.actions)


def test_weights_that_are_not_finite_are_not_stored(bench: Any, stored: StoredPolicy, tmp_path: Path) -> None:
    broken = replace(queries(), mean=np.full(21, np.nan))
    with pytest.raises(CheckpointError, match=r"query\.mean"):
        save_policy(tmp_path / "p.safetensors", replace(stored, queries=broken))
    assert list(tmp_path.iterdir()) == []


SERVE = """
import sys
from pathlib import Path
import numpy as np
from inframind.fleet.endpoints import EndpointSpec, group_by_model
from inframind.fleet.snapshot import EndpointLoad, FleetSnapshot
from inframind.fleet.clock import Deadline, SystemClock
from inframind.graphs.registry import TopologyRegistry
from inframind.router.actions import DEFAULT_STRATEGIES, ActionSpace, strategies_by_name
from inframind.router.decide import Decider
from inframind.router.encoder import HashingEncoder
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.policy_file import load_policy
from inframind.router.views import Query, Slot
models = group_by_model([EndpointSpec(name="a-0", base_url="http://gpu/v1", model="a")])
strategies = strategies_by_name(DEFAULT_STRATEGIES)
actions = ActionSpace(models=models, strategies=strategies, topologies=TopologyRegistry().specs,
                      roles={"general": ("Helper",)})
policy = load_policy(Path(sys.argv[1])).bind(actions, encoder=HashingEncoder(dimension=16))
clock = SystemClock()
decider = Decider(actions, policy, LearnedLatencyModel(models, strategies), clock=clock,
                  rng=np.random.default_rng(0))
snapshot = FleetSnapshot(taken_s=0.0, loads={"a-0": EndpointLoad(endpoint="a-0", model="a")})
deadline, query = Deadline.after(60.0, clock), Query(text="q")
decider.plan(query, snapshot, deadline, decision_id="p")
decider.step(query, Slot(topology="IO"), snapshot, deadline, decision_id="s")
assert "torch" not in sys.modules
"""


def test_loading_and_serving_need_no_torch(stored: StoredPolicy, tmp_path: Path) -> None:
    path = save_policy(tmp_path / "p.safetensors", stored)
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(path)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
