"""Where work is done changes nothing about what comes of it."""

from __future__ import annotations

import operator
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec

import numpy as np
import pytest

from inframind.arena.engines import Engine, EngineConfig, InProcess, Processes
from inframind.arena.scenario import Scenario, models_of_fleet
from inframind.arena.training.assembly import TrainingPlan, virtual_training
from inframind.arena.training.curriculum import Curriculum
from inframind.arena.training.rollouts import SideBySide
from inframind.errors import ConfigError
from inframind.simulator.items import generate_items

CURRICULUM = Curriculum(epochs=1, questions_by_rate={30.0: 4, 300.0: 6})


def scenario() -> Scenario:
    models, items = models_of_fleet("reference"), generate_items(24, seed=3)
    return Scenario(
        profiles=models.profiles,
        parameters=models.parameters,
        items=items[:10],
        training_items=items[10:],
        questions=4,
        rates_per_min=(60.0,),
        seeds=(0, 1),
    )


def trained(learner: str, engine: Engine) -> Mapping[str, object]:
    """Weights after an epoch of two sweeps side by side, and what the latency model knows."""
    told: list[int] = []
    training = virtual_training(
        scenario(),
        TrainingPlan(learner=learner, curriculum=CURRICULUM),
        rollouts=lambda environment: SideBySide(
            environment, engine, 2, on_played=lambda played: told.append(len(played.episodes))
        ),
    )
    (figures,) = training.trainer.epochs()
    assert sorted(told) == [4, 6]
    state = training.trainer.state()
    weights = {
        name: {part: tensor.numpy() for part, tensor in module.items()}
        for name, module in state.modules.items()
    }
    return {"weights": weights, "latency": state.progress["latency"], "runs": figures.runs}


@pytest.mark.parametrize("learner", ["learned", "published"])
def test_training_side_by_side_does_not_depend_on_the_number_of_processes(learner: str) -> None:
    with EngineConfig(workers=2).open(2) as processes:
        here, there = trained(learner, InProcess()), trained(learner, processes)
    np.testing.assert_equal(here, there)


def test_results_come_with_their_places() -> None:
    jobs = [(1, 2), (3, 4), (5, 6)]
    with InProcess() as engine:
        assert list(engine.run(operator.add, jobs)) == [(0, 3), (1, 7), (2, 11)]
    with Processes(2) as engine:
        assert sorted(engine.run(operator.add, jobs)) == [(0, 3), (1, 7), (2, 11)]


def test_what_a_job_raises_is_raised() -> None:
    with Processes(1) as engine, pytest.raises(ZeroDivisionError):
        list(engine.run(operator.truediv, [(1, 0)]))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"name": "spark"}, "engine"), ({"workers": 0}, "workers"), ({"address": "auto"}, "ray_address")],
)
def test_an_impossible_engine_is_refused(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        EngineConfig(**wrong)  # type: ignore[arg-type]


ON_RAY = """
import operator
from inframind.arena.engines import EngineConfig, InProcess
from inframind.arena.evaluation import evaluate
from test_engines import scenario, trained
import numpy as np

if __name__ == "__main__":
    ray = EngineConfig(name="ray", workers=2)
    names = ("just-enough", "random")
    assert evaluate(scenario(), names, engine=ray) == evaluate(scenario(), names)
    with ray.open(2) as engine:
        np.testing.assert_equal(trained("learned", engine), trained("learned", InProcess()))
        try:
            list(engine.run(operator.truediv, [(1, 0)]))
        except ZeroDivisionError:
            print("as alone")
"""


@pytest.mark.skipif(find_spec("ray") is None, reason="needs ray: make test-ray")
def test_ray_gives_what_one_process_gives() -> None:
    """In a process of its own: Ray warns of itself, and its workers outlive a test's event loops."""
    ran = subprocess.run(
        [sys.executable, "-c", ON_RAY],
        cwd=__file__.rpartition("/")[0],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.stdout.endswith("as alone\n"), ran.stderr[-3000:]
