"""A training on disk: what it was started with, how it went, and what is needed to go on after any stop.

After every epoch the files are written in the order policies, curves, state, each atomically. So whatever a kill
interrupts, the state is never ahead of the others, and what is ahead of the state is written anew by going on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inframind.arena.training.assembly import Training
from inframind.arena.training.figures import EpochFigures
from inframind.arena.training.trainer import Trainer
from inframind.errors import ConfigError
from inframind.router.learning.training_state import TrainingState

CONFIG, CURVES, SUMMARY, REPORT = "config.json", "curves.jsonl", "summary.json", "report.html"
POLICY, LAST, STATE = "policy.safetensors", "last.safetensors", "state.safetensors"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one training.

    Attributes:
        path: of the folder.
        config: what the training was started with, as plain data.
    """

    path: Path
    config: Mapping[str, Any]

    @classmethod
    def begin(cls, path: Path, config: Mapping[str, Any]) -> RunFolder:
        """A new folder, or one whose training did not get through its first epoch.

        Raises:
            ConfigError: there is a training in it, finished or not, or it cannot be made.
        """
        if (path / SUMMARY).exists():
            raise ConfigError("out", str(path), "a finished training is in it: give another folder")
        if (path / STATE).exists():
            raise ConfigError("out", str(path), "go on with --resume, or give another folder")
        try:
            path.mkdir(parents=True, exist_ok=True)
            write_text(path / CONFIG, json.dumps(config, indent=2) + "\n")
        except OSError as error:
            raise ConfigError("out", str(path), f"cannot be written: {error.strerror}") from error
        return cls(path, json.loads(json.dumps(config)))

    @classmethod
    def resume(cls, path: Path) -> RunFolder:
        """The folder of a training that did not come to its end.

        Raises:
            ConfigError: there is none, or it is finished.
        """
        if (path / SUMMARY).exists():
            raise ConfigError("resume", str(path), "this training is finished: evaluate it, or start another")
        config = read_config(path)
        for draft in path.glob(".*.tmp"):
            draft.unlink()
        return cls(path, config)

    @property
    def policy(self) -> Path:
        """The best policy so far."""
        return self.path / POLICY

    @property
    def report(self) -> Path:
        """The page that shows how it went."""
        return self.path / REPORT

    def restore(self, training: Training) -> None:
        """Take the training to where the folder stands; `train` does so too, if nobody has before.

        Raises:
            CheckpointError: the state is damaged.
        """
        if (self.path / STATE).exists():
            training.trainer.restore(TrainingState.load(self.path / STATE), training.latency)

    def train(self, training: Training, facts: Mapping[str, object]) -> Iterator[EpochFigures]:
        """Train from where the folder stands; each epoch is on disk before it is yielded.

        Latency model and learner go on from what was written, also when nothing stopped them: a training that was
        interrupted gives the same policy, byte for byte, as one that was not.

        Args:
            training: made from this folder's configuration.
            facts: to keep with the policies.

        Raises:
            CheckpointError: the state is damaged.
        """
        trainer = training.trainer
        if not trainer.history:
            self.restore(training)
        self._write_curves(trainer.history)
        for figures in trainer.epochs():
            self._keep(trainer, figures, facts)
            trainer.latency = training.latency(trainer.latency.state())
            yield figures
        self._finish(trainer)

    def _keep(self, trainer: Trainer, figures: EpochFigures, facts: Mapping[str, object]) -> None:
        known = {**facts, "epoch": figures.epoch, "runs": figures.runs, "on_time_success": figures.smoothed}
        if figures.is_best:
            trainer.save_policy(self.policy, known)
        trainer.save_policy(self.path / LAST, known)
        self._write_curves(trainer.history)
        trainer.state().save(self.path / STATE)

    def _write_curves(self, history: Sequence[EpochFigures]) -> None:
        lines = [json.dumps(figures.as_dict()) + "\n" for figures in history]
        write_text(self.path / CURVES, "".join(lines))

    def _finish(self, trainer: Trainer) -> None:
        best, last = trainer.best, trainer.history[-1]
        summary = {
            "epochs": len(trainer.history),
            "runs": last.runs,
            "stopped_early": len(trainer.history) < trainer.curriculum.epochs,
            "best": best.as_dict() if best else None,
        }
        write_text(self.path / SUMMARY, json.dumps(summary, indent=2) + "\n")


def read_config(path: Path) -> dict[str, Any]:
    """What the training in a folder was started with.

    Raises:
        ConfigError: there is no training in it.
    """
    try:
        config: dict[str, Any] = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError("out", str(path), "there is no training in this folder") from None
    except ValueError as error:
        raise ConfigError("out", str(path), f"its {CONFIG} cannot be read: {error}") from error
    return config


def read_history(path: Path) -> list[EpochFigures]:
    """The epochs of a training, finished or not.

    Raises:
        ConfigError: there is no training in the folder.
    """
    try:
        lines = (path / CURVES).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise ConfigError("out", str(path), "there is no training in this folder") from None
    return [EpochFigures.from_dict(json.loads(line)) for line in lines]


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
