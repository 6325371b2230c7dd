"""The reference: a policy trained from nothing in the changed world, as the shipped one was in the unchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from inframind.arena.online.worlds import World
from inframind.arena.training.assembly import TrainingPlan, virtual_training
from inframind.arena.training.curriculum import QUESTIONS_BY_RATE, Curriculum
from inframind.arena.training.run_folder import SUMMARY, RunFolder
from inframind.router.learning.threads import use_one_thread
from inframind.router.policy_file import StoredPolicy, load_policy

EPOCHS = 30


def retrained_policy(
    world: World,
    folder: Path,
    *,
    epochs: int = EPOCHS,
    on_epoch: Callable[[float], None] = lambda share_done: None,
) -> StoredPolicy:
    """The policy of the changed world: from the folder, or trained into it, going on where an earlier try stopped.

    All runs of the training have labels, and it sees every arrival rate, as the shipped policy's did.

    Args:
        world: what it is trained for, as it stays after the change.
        folder: of the training.
        epochs: of the curriculum.
        on_epoch: told of the share of the training that is done.

    Raises:
        ConfigError: the folder cannot be written.
        CheckpointError: what is in it is damaged.
    """
    if not (folder / SUMMARY).exists():
        _train(world, folder, epochs, on_epoch)
    return load_policy(folder / "policy.safetensors")


def _train(world: World, folder: Path, epochs: int, on_epoch: Callable[[float], None]) -> None:
    use_one_thread()
    curriculum = Curriculum(epochs=epochs, questions_by_rate=QUESTIONS_BY_RATE)
    training = virtual_training(world.changed, TrainingPlan(curriculum=curriculum))
    config = {"world": world.retrained_as, "epochs": epochs, "seed": 0}
    begun = (folder / "config.json").exists()
    run = RunFolder.resume(folder) if begun else RunFolder.begin(folder, config)
    for figures in run.train(training, config):
        on_epoch((figures.epoch + 1) / epochs)
