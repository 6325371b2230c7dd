"""The published networks: shapes, what the planner cannot see, and numpy that serves what torch has learned."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from inframind.errors import ConfigError
from inframind.router.actions import ActionSpace
from inframind.router.encoder import HashingEncoder
from inframind.router.published.executor import Executor
from inframind.router.published.networks import ExecutorNetwork, PlannerNetwork, exported
from inframind.router.published.planner import Planner
from inframind.router.published.reading import Reader
from inframind.router.views import StepView

STRATEGIES = ("Flash", "Concise", "DeepThink")
QUESTIONS = ("What is 3 + 4?", "Reverse a list in Python.", "Who wrote Faust?", "")
ROLES = ("MathSolver", "Inspector", "Critic")


@pytest.fixture
def reader(actions: ActionSpace) -> Reader:
    return Reader(actions, STRATEGIES, HashingEncoder())


def planner_network(seed: int = 3) -> PlannerNetwork:
    return PlannerNetwork(384, torch.Generator().manual_seed(seed))


def executor_network(seed: int = 3) -> ExecutorNetwork:
    return ExecutorNetwork(384, 5, 15, torch.Generator().manual_seed(seed))


def test_weights_have_the_published_shapes() -> None:
    shapes = {name: array.shape for name, array in exported(executor_network()).items()}
    assert shapes["semantic.weight"] == (128, 768)
    assert shapes["budget.weight"] == (16, 1)
    assert shapes["system.weight"] == (16, 15)
    assert shapes["resource.weight"] == (64, 32)
    assert shapes["merge.weight"] == (128, 192)
    assert shapes["choice.weight"] == (15, 128)
    assert shapes["value.weight"] == (1, 128)


def test_the_executor_serves_what_torch_computes() -> None:
    network, rng = executor_network(), np.random.default_rng(0)
    semantic = rng.normal(size=(50, 768)).astype(np.float32)
    resources = rng.uniform(size=(50, 16)).astype(np.float32)
    with torch.no_grad():
        logits, values = network(torch.from_numpy(semantic), torch.from_numpy(resources))
    serving = Executor(exported(network))
    served = np.stack([serving.logits(*row) for row in zip(semantic, resources, strict=True)])
    assert values.shape == (50,)
    np.testing.assert_allclose(served, logits.numpy(), atol=1e-5, rtol=0)


def test_the_planner_serves_what_torch_computes(reader: Reader) -> None:
    network = planner_network()
    serving = Planner(exported(network), reader)
    questions = torch.from_numpy(np.stack([reader.text(question) for question in QUESTIONS]))
    topologies = torch.from_numpy(np.stack([reader.topology(name) for name in reader.topologies]))
    roles = torch.from_numpy(np.stack([reader.text(role) for role in ROLES]))
    contexts = [reader.context(question, "Debate", ROLES[:taken]) for taken, question in enumerate(QUESTIONS)]
    with torch.no_grad():
        by_topology = network.topology_logits(questions, topologies).numpy()
        by_role = network.role_logits(torch.from_numpy(np.stack(contexts)), roles).numpy()
    for place, question in enumerate(QUESTIONS):
        np.testing.assert_allclose(serving.topology_logits(question), by_topology[place], atol=1e-5, rtol=0)
        served = serving.role_logits(question, "Debate", ROLES[:place], ROLES)
        np.testing.assert_allclose(served, by_role[place], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("along", "size"), [(-20.0, 1), (-1.0, 2), (0.0, 3), (0.7, 4), (1.5, 5), (20.0, 6)])
def test_the_team_size_is_a_rounded_sigmoid(reader: Reader, along: float, size: int) -> None:
    weights = exported(planner_network())
    latent = reader.text(QUESTIONS[0]) @ weights["question.weight"].T + weights["question.bias"]
    weights["team"] = (along * latent / (latent @ latent)).astype(np.float32)
    assert Planner(weights, reader).team_size(QUESTIONS[0]) == size


def test_the_team_size_has_no_gradient() -> None:
    assert "team" not in dict(planner_network().named_parameters())


def test_initial_weights_come_from_the_given_seed_alone() -> None:
    first = exported(executor_network(seed=1))
    torch.rand(7)
    again, other = exported(executor_network(seed=1)), exported(executor_network(seed=2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["choice.weight"], other["choice.weight"])


def test_resources_are_the_published_numbers(bench: Any, step_view: Callable[..., StepView]) -> None:
    reader = Reader(bench.actions, STRATEGIES, HashingEncoder())
    view = step_view(
        bench,
        remaining_s=math.sqrt(300.0),
        q50_s=math.e - 1,
        a={"running": 16.0, "waiting": 8.0, "kv_cache_usage": 0.25},
        b={"age_s": None, "running": None, "waiting": None, "kv_cache_usage": None},
    )
    latency = 1 / math.log(300.0)
    assert reader.resources(view).tolist() == pytest.approx([0.5, 1.5, latency, 0.25, 0.0, latency, 0.0])


def test_no_time_left_reads_as_a_second(bench: Any, step_view: Callable[..., StepView]) -> None:
    reader = Reader(bench.actions, STRATEGIES, HashingEncoder())
    assert reader.resources(step_view(bench, remaining_s=-3.0, q50_s=1.0))[0] == 0.0


def test_the_joint_head_has_the_published_strategies_alone(bench: Any) -> None:
    reader = Reader(bench.actions, STRATEGIES, HashingEncoder())
    labels = [bench.actions.executor_labels[place] for place in reader.places_A]
    assert labels == ["a/Flash", "a/Concise", "a/DeepThink", "b/Flash", "b/Concise", "b/DeepThink"]


@pytest.mark.parametrize("strategies", [(), ("Flash", "Dreamy")])
def test_strategies_that_cannot_be_are_refused(bench: Any, strategies: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="strategies"):
        Reader(bench.actions, strategies, HashingEncoder())
