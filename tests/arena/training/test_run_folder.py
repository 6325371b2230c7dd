"""Run folders: the same seed, the same bytes, whatever interrupts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest

from inframind.arena.scenario import Scenario, models_of_fleet
from inframind.arena.training.assembly import Training, TrainingPlan, virtual_training
from inframind.arena.training.curriculum import Curriculum
from inframind.arena.training.run_folder import CURVES, LAST, POLICY, STATE, SUMMARY, RunFolder, read_history
from inframind.errors import CheckpointError, ConfigError
from inframind.router.learning.threads import use_one_thread
from inframind.router.policy_file import load_policy
from inframind.simulator.items import generate_items

EPOCHS = 3


def training(learner: str = "learned", seed: int = 4) -> Training:
    use_one_thread()
    models = models_of_fleet("h100")
    items = generate_items(20, 7)
    scenario = Scenario(
        profiles=models.profiles[:3],
        parameters=models.parameters,
        items=items[:5],
        training_items=items[5:],
        questions=5,
    )
    curriculum = Curriculum(epochs=EPOCHS, questions_by_rate={60.0: 6, 300.0: 8})
    return virtual_training(scenario, TrainingPlan(learner=learner, curriculum=curriculum, seed=seed))


def run(folder: RunFolder, learner: str = "learned", seed: int = 4, epochs: int | None = None) -> None:
    for _ in islice(folder.train(training(learner, seed), {"seed": seed}), epochs):
        pass


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("finished") / "run"
    run(RunFolder.begin(path, {"seed": 4}))
    return path


def test_a_finished_folder_holds_policies_curves_and_a_summary(finished: Path) -> None:
    history = read_history(finished)
    assert [one.epoch for one in history] == list(range(EPOCHS))
    assert [one.runs for one in history] == [14, 28, 42]
    summary = json.loads((finished / SUMMARY).read_text())
    assert (summary["epochs"], summary["runs"], summary["stopped_early"]) == (EPOCHS, 42, False)
    best = max(history, key=lambda one: one.smoothed)
    assert summary["best"] == json.loads(json.dumps(best.as_dict()))
    assert load_policy(finished / POLICY).facts["epoch"] == best.epoch
    assert load_policy(finished / LAST).facts["epoch"] == EPOCHS - 1


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(finished: Path, tmp_path: Path) -> None:
    run(RunFolder.begin(tmp_path / "same", {"seed": 4}))
    assert contents(tmp_path / "same") == contents(finished)
    run(RunFolder.begin(tmp_path / "other", {"seed": 4}), seed=5)
    assert (tmp_path / "other" / LAST).read_bytes() != (finished / LAST).read_bytes()


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_training_that_goes_on_gives_the_bytes_of_one_that_never_stopped(
    finished: Path, tmp_path: Path, after: int
) -> None:
    run(RunFolder.begin(tmp_path, {"seed": 4}), epochs=after)
    assert not (tmp_path / SUMMARY).exists()
    run(RunFolder.resume(tmp_path))
    assert contents(tmp_path) == contents(finished)


def test_files_that_a_kill_left_ahead_of_the_state_are_written_anew(finished: Path, tmp_path: Path) -> None:
    run(RunFolder.begin(tmp_path, {"seed": 4}), epochs=1)
    (tmp_path / LAST).write_bytes((finished / LAST).read_bytes())
    with (tmp_path / CURVES).open("a") as curves:
        curves.write('{"epoch": 1, "runs": 2')
    run(RunFolder.resume(tmp_path))
    assert contents(tmp_path) == contents(finished)


def test_a_training_that_was_killed_while_it_ran_goes_on(finished: Path, tmp_path: Path) -> None:
    """SIGKILL arrives as soon as the first state is there, wherever the second epoch is then."""
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import test_run_folder as t; "
        "t.run(t.RunFolder.begin(pathlib.Path(sys.argv[2]), {'seed': 4}))"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "run")])
    while not (tmp_path / "run" / STATE).exists():
        assert child.poll() is None
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    run(RunFolder.resume(tmp_path / "run"))
    assert contents(tmp_path / "run") == contents(finished)


def test_the_published_learner_resumes_as_exactly(tmp_path: Path) -> None:
    run(RunFolder.begin(tmp_path / "whole", {}), "published")
    run(RunFolder.begin(tmp_path / "parts", {}), "published", epochs=1)
    run(RunFolder.resume(tmp_path / "parts"), "published")
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_nothing_is_overwritten(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a finished training is in it: give another folder"):
        RunFolder.begin(finished, {})
    with pytest.raises(ConfigError, match="this training is finished"):
        RunFolder.resume(finished)
    run(RunFolder.begin(tmp_path, {}), epochs=1)
    with pytest.raises(ConfigError, match="go on with --resume"):
        RunFolder.begin(tmp_path, {})


def test_a_training_that_never_got_through_an_epoch_may_be_begun_anew(tmp_path: Path) -> None:
    RunFolder.begin(tmp_path, {"seed": 1})
    assert RunFolder.begin(tmp_path, {"seed": 2}).config == {"seed": 2}
    assert RunFolder.resume(tmp_path).config == {"seed": 2}


def test_a_folder_without_a_training_is_named(tmp_path: Path) -> None:
    for read in (RunFolder.resume, read_history):
        with pytest.raises(ConfigError, match="there is no training in this folder"):
            read(tmp_path)


def test_a_damaged_state_is_refused(finished: Path, tmp_path: Path) -> None:
    folder = RunFolder.begin(tmp_path, {})
    (tmp_path / STATE).write_bytes((finished / STATE).read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="cut short"):
        next(folder.train(training(), {}))


def test_an_unknown_learner_is_refused() -> None:
    with pytest.raises(ConfigError, match="use one of: learned, published"):
        TrainingPlan(learner="oracle")
