"""Training over real sockets, against simulated servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from inframind.arena.scenario import endpoint_tables, fleet_specs
from inframind.arena.training.assembly import DECIDE, TrainingPlan, training_on
from inframind.arena.training.curriculum import Curriculum, Sweep
from inframind.arena.training.fleet_environment import FleetEnvironment, FleetTraffic
from inframind.arena.training.run_folder import RunFolder, read_history
from inframind.errors import ConfigError
from inframind.fleet.endpoints import EndpointSpec
from inframind.graphs.assembly import Parts
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.learning.threads import use_one_thread
from inframind.router.policy import UniformPolicy
from inframind.router.policy_file import load_policy
from inframind.router.query_model import QueryModel
from inframind.simulator.fleet import SimulatedFleetProcess
from inframind.simulator.items import generate_items
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.prompt_reading import AnswerKey

ITEMS = generate_items(8, 3)
TRAFFIC = FleetTraffic(items=ITEMS, budgets="fixed:20")


def parts_of(fleet: SimulatedFleetProcess) -> Parts:
    tables = endpoint_tables(fleet_specs(["llama-3.2-3b", "llama-3.1-8b"]), fleet.base_urls)
    return Parts(endpoints=tuple(EndpointSpec(**table) for table in tables), decide=DECIDE)


def simulated() -> SimulatedFleetProcess:
    specs = fleet_specs(["llama-3.2-3b", "llama-3.1-8b"])
    return SimulatedFleetProcess(specs, LatentDifficultyModel(AnswerKey(ITEMS)), seed=1, speed=50.0)


def test_a_sweep_is_played_graded_and_traced() -> None:
    with simulated() as fleet:
        environment = FleetEnvironment(parts_of(fleet), TRAFFIC)
        actions = environment.actions
        latency = LearnedLatencyModel(actions.models, actions.strategies)
        played = environment.play(UniformPolicy(), Sweep(rate_per_min=1200, questions=8, seed=2), latency)

    assert {episode.item_id for episode in played.episodes} == {item.item_id for item in ITEMS}
    assert {episode.budget_s for episode in played.episodes} == {20.0}
    assert set(played.solved) == {trajectory.trace_id for trajectory in played.trajectories}
    assert len(played.trajectories) == 8
    assert all(trajectory.steps for trajectory in played.trajectories)
    assert (
        latency.state().to_json() != LearnedLatencyModel(actions.models, actions.strategies).state().to_json()
    )


def test_a_policy_is_trained_on_a_fleet_that_is_called_over_http(tmp_path: Path) -> None:
    use_one_thread()
    plan = TrainingPlan(curriculum=Curriculum(epochs=2, questions_by_rate={1200.0: 8}))
    with simulated() as fleet:
        environment = FleetEnvironment(parts_of(fleet), TRAFFIC)
        training = training_on(environment, environment.actions, QueryModel(), plan)
        folder = RunFolder.begin(tmp_path, {})
        assert [one.runs for one in folder.train(training, {})] == [8, 16]

    assert len(read_history(tmp_path)) == 2
    policy = load_policy(folder.policy)
    assert policy.queries is None
    assert policy.weights.latency is not None


def test_there_must_be_questions() -> None:
    with pytest.raises(ConfigError, match="give questions to learn from"):
        FleetTraffic(items=())
